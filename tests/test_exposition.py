"""The renderer: byte for byte what prometheus_client writes, and nothing rendered that has not changed."""

import gzip
from collections.abc import Iterable
from random import Random
from typing import Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from prometheus_client.utils import floatToGoString

from schemas.events import Event
from streams.core.identity import Identity
from streams.core.series import SERIES, joined
from streams.core.targets import Rules
from streams.engine.ledger import Served
from streams.exposition import END, PIECE, WIRE, Exposition, compressed, exposition, number, pieces, served_of
from streams.replay import Replay
from streams.simulate import simulate
from tests.reference import reference
from tests.story import DAY, MINUTE, call, instant, replayed

NOW: Final = 1_800_000_000_000
RULES: Final = Rules()
OFFERED: Final = joined(("contacts_offered_total", "call", "A"))
OTHER: Final = joined(("contacts_offered_total", "call", "B"))
WAIT: Final = joined(("wait_seconds", "call", "A"))


def counts(total: int, retracted: int = 0) -> dict[str, tuple[int, int]]:
    """A counter's only slot."""
    return {"": (total, retracted)}


def text_of(exposition_: Exposition, shards: dict[str, Served], *, openmetrics: bool = False, now: int = NOW) -> bytes:
    """The whole text, ending included."""
    return b"".join(exposition_.chunks(shards, now, openmetrics=openmetrics)) + (END if openmetrics else b"")


def served(replay: Replay) -> dict[str, Served]:
    """What a worker would serve of a replay's shards."""
    return {name: served_of(ledger, replay.stitch[n].waiting()) for n, (name, ledger) in enumerate(replay.ledgers.items())}


def day(partitions: int = 3) -> tuple[Replay, Iterable[list[Event]]]:
    """A replay that has seen nothing yet, and the slices of a simulated day."""
    replay = Replay(RULES, Identity(), partitions)
    events = list(simulate(seed=5, customers=800, days=1))
    return replay, [events[start : start + 250] for start in range(0, len(events), 250)]


def update(shards: dict[str, Served], replay: Replay) -> None:
    """What has been committed since reaches what is served."""
    for name, fresh in served(replay).items():
        known = shards.setdefault(name, Served())
        changed = [series for series, slots in fresh.series.items() if known.series.get(series) != slots]
        known.series.update({series: fresh.series[series] for series in changed})
        known.changed.update(changed)
        known.overflow, known.waiting = fresh.overflow, fresh.waiting


# -- The text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_simulated_day_is_written_as_prometheus_client_writes_it(*, openmetrics: bool) -> None:
    """Byte for byte, scrape after scrape: what was kept is what would be rendered anew."""
    replay, slices = day()
    kept, shards = Exposition(RULES), dict[str, Served]()
    scrapes = waits = 0
    for part in (*slices, []):
        replay.take(part, 0 if part else replay.now + 10 * DAY * 1000)
        update(shards, replay)
        expected = reference(shards, RULES, replay.now, openmetrics=openmetrics)
        scrapes += 1
        waits += any(one.waiting for one in shards.values())

        assert text_of(kept, shards, openmetrics=openmetrics, now=replay.now) == expected
    assert scrapes > 2
    assert waits


def test_both_official_parsers_read_it() -> None:
    """Prometheus text and OpenMetrics say the same families, samples and types."""
    replay, slices = day()
    for part in slices:
        replay.take(part)
    replay.finish(replay.now + 10 * DAY * 1000)
    shards = served(replay)
    shards["stitch-1"].overflow["moments_of_truth_total"] = 3
    text, openmetrics = (text_of(Exposition(RULES), shards, openmetrics=om).decode() for om in (False, True))
    parsed, other = list(text_families(text)), list(openmetrics_families(openmetrics))  # type: ignore[no-untyped-call]  # not typed

    assert [(f.name, f.type, f.documentation, f.samples) for f in parsed] == [(f.name, f.type, f.documentation, f.samples) for f in other]
    assert len({f.name for f in parsed}) == len(parsed) > 60


def test_what_replay_writes_is_the_same_text() -> None:
    """`replay --metrics` writes the ledger as the worker would serve it, waits included."""
    replay = replayed(call("c1").queued(0, "A"), call("c2").queued(MINUTE, "A"))
    replay.finish(instant(3 * MINUTE))

    assert replay.metrics() == reference(served(replay), RULES, replay.now)
    assert b'karar_longest_wait_seconds{channel="call",queue="A",shard="stitch-0"} 180.0\n' in replay.metrics()


@pytest.mark.parametrize("name", ["A", 'say "A"', "back\\slash", "two\nlines", "日本", "a=b,c{d}", "\\n", 'all\\"\n', "\r", "unit\x1f"])
@pytest.mark.parametrize("openmetrics", [False, True])
def test_publishers_names_are_escaped(name: str, *, openmetrics: bool) -> None:
    """Quotes, backslashes and line ends in a label do not end it."""
    one = Served({joined((family, "call", name)): counts(1) for family in ("contacts_offered_total", "customers_waiting", "wait_seconds")})

    assert text_of(Exposition(RULES), {"stitch-0": one}, openmetrics=openmetrics) == reference(
        {"stitch-0": one}, RULES, NOW, openmetrics=openmetrics
    )


@pytest.mark.parametrize(
    "value", [0, 1, 999_999, 1_000_000, 1_000_001, 123_456_789, 2**53, 2**60, 0.001, 0.5, 999_999.999, 1e6, 1e16, -1, -0.5]
)
def test_a_number_is_written_as_go_writes_it(value: float) -> None:
    """Small integers go a short way; the result is the same."""
    assert number(value) == floatToGoString(value)  # type: ignore[no-untyped-call]


def test_shards_come_one_after_the_other_and_families_once() -> None:
    """A family is contiguous, with one HELP and one TYPE."""
    shards = {f"stitch-{n}": Served({OTHER: counts(n), OFFERED: counts(n)}) for n in (1, 0)}
    lines = text_of(Exposition(RULES), shards).decode().splitlines()[:6]

    assert lines == [
        "# HELP karar_contacts_offered_total Queue entries.",
        "# TYPE karar_contacts_offered_total counter",
        'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 0.0',
        'karar_contacts_offered_total{channel="call",queue="B",shard="stitch-0"} 0.0',
        'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-1"} 1.0',
        'karar_contacts_offered_total{channel="call",queue="B",shard="stitch-1"} 1.0',
    ]


def test_openmetrics_names_a_counter_without_total() -> None:
    """The family `karar_contacts_offered` has the sample `karar_contacts_offered_total`; so has the twin."""
    text = text_of(Exposition(RULES), {"stitch-0": Served({OFFERED: counts(2, 1)})}, openmetrics=True)

    assert b"# TYPE karar_contacts_offered counter\nkarar_contacts_offered_total{" in text
    assert b"# TYPE karar_contacts_offered_retracted counter\nkarar_contacts_offered_retracted_total{" in text


@pytest.mark.parametrize("series", ["_interactions_sent", joined(("_private", "call")), "unheard_of_total"])
def test_what_is_not_in_the_table_is_never_shown(series: str) -> None:
    """Names that begin with `_` are the ledger's own, and a newer name waits for its table."""
    one = Served({series: counts(7)}, overflow={series.partition("\x1f")[0]: 2})

    assert text_of(Exposition(RULES), {"stitch-0": one}) == text_of(Exposition(RULES), {"stitch-0": Served()})


def test_a_wait_is_never_below_zero() -> None:
    """Now − since; a wait that begins later than now is 0."""
    series = joined(("longest_wait_seconds", "call", "A"))
    kept, one = Exposition(RULES), Served(waiting={series: NOW - 1_500})
    shown = [text_of(kept, {"stitch-0": one}, now=NOW + later) for later in (0, 1_000, -2_000)]

    assert [text.split(b'shard="stitch-0"} ')[1].splitlines()[0] for text in shown] == [b"1.5", b"2.5", b"0.0"]
    one.waiting.clear()
    assert b"longest_wait" not in text_of(kept, {"stitch-0": one})


def test_a_ledger_whose_series_are_full_says_so() -> None:
    """What was booked as `other` is counted by metric and shard."""
    shards = {f"stitch-{n}": Served(overflow={"ping_pongs_total": n + 1}) for n in (0, 1)}
    text = text_of(Exposition(RULES), shards)

    assert text == reference(shards, RULES, NOW)
    assert b'karar_label_overflow_total{metric="karar_ping_pongs_total",shard="stitch-1"} 2.0\n' in text


def test_only_what_is_asked_for_is_rendered() -> None:
    """By the name of a family or of a sample; the retracted twin has a name of its own. What was not asked for is rendered when it is."""
    one, kept = Served({OFFERED: counts(3), WAIT: {"0": (1, 0), "sum": (500, 0)}}, overflow={"ping_pongs_total": 1}), Exposition(RULES)
    everything = text_of(Exposition(RULES), {"stitch-0": one})

    def asked(*names: str) -> bytes:
        return b"".join(kept.chunks({"stitch-0": one}, NOW, frozenset(names)))

    offered = asked("karar_contacts_offered_total")
    assert offered.count(b"# TYPE") == 1
    assert b'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 3.0\n' in offered
    waits = [asked("karar_wait_seconds"), asked("karar_wait_seconds_sum"), asked("karar_wait_seconds_bucket")]
    assert waits[0] == waits[1] == waits[2]
    assert waits[0].count(b"# TYPE") == 1
    assert asked("karar_label_overflow_total").count(b"karar_label_overflow_total{") == 1
    assert asked("karar_contacts_offered_total", "karar_wait_seconds").count(b"# TYPE") == 2
    assert asked("karar_targets_info").count(b"# TYPE") == 1
    assert asked("nobody_knows") == b""
    assert b"".join(kept.chunks({"stitch-0": one}, NOW)) == everything


# -- What is kept ------------------------------------------------------------------------------------------------------


def test_a_series_is_rendered_again_only_if_it_changed() -> None:
    """The text of the others is the very same; whoever renders takes the changed ones out."""
    one, kept = Served({OFFERED: counts(1), OTHER: counts(1), WAIT: {"0": (1, 0), "sum": (500, 0)}}), Exposition(RULES)
    before = kept.chunks({"stitch-0": one}, NOW)
    assert one.changed == set()
    one.series[OTHER] = counts(2)
    one.series[OFFERED] = counts(9)
    one.changed.add(OTHER)
    after = kept.chunks({"stitch-0": one}, NOW)
    same = [a is b for a, b in zip(before, after, strict=True)]

    assert [chunk for chunk, is_same in zip(after, same, strict=True) if not is_same and b"shard" in chunk] == [
        b'karar_contacts_offered_total{channel="call",queue="B",shard="stitch-0"} 2.0\n',
        b'karar_contacts_offered_retracted_total{channel="call",queue="B",shard="stitch-0"} 0.0\n',
    ]
    assert one.changed == set()


def test_a_series_that_appears_takes_its_place() -> None:
    """Order is by name, not by arrival: a shard that moves is served in the same order."""
    one, kept = Served({OTHER: counts(1)}), Exposition(RULES)
    text_of(kept, {"stitch-0": one})
    one.series[OFFERED] = counts(1)
    one.changed.add(OFFERED)

    assert text_of(kept, {"stitch-0": one}) == text_of(Exposition(RULES), {"stitch-0": one})


def test_a_shard_that_was_opened_anew_is_rendered_anew() -> None:
    """Another owner may have booked meanwhile; nothing that was kept of the former opening is served."""
    kept = Exposition(RULES)
    text_of(kept, {"stitch-0": Served({OFFERED: counts(1), OTHER: counts(1)})})
    again = Served({OFFERED: counts(5)})

    assert text_of(kept, {"stitch-0": again}) == reference({"stitch-0": again}, RULES, NOW)


def test_a_shard_that_is_gone_is_forgotten() -> None:
    """What another worker serves is not served here, and is not kept either."""
    kept, both = Exposition(RULES), {f"stitch-{n}": Served({OFFERED: counts(n)}) for n in (0, 1)}
    text_of(kept, both)
    del both["stitch-0"]

    assert text_of(kept, both) == reference(both, RULES, NOW)
    assert set(kept.texts) == {"stitch-1"}


def test_many_changed_series_are_rendered_in_pieces(seed: int) -> None:
    """Between pieces the loop goes on, and more may change meanwhile."""
    rng = Random(seed)
    names = [joined(("contacts_offered_total", "call", f"queue {n}")) for n in range(10 * PIECE)]
    one, kept = Served({name: counts(1) for name in names}), Exposition(RULES)
    pieces = 0
    for _ in kept.catch_up({"stitch-0": one}):
        pieces += 1
        if pieces % 2:
            name = rng.choice(names)
            one.series[name] = counts(one.series[name][""][0] + 1)
            one.changed.add(name)

    assert pieces >= 10
    assert text_of(kept, {"stitch-0": one}) == reference({"stitch-0": one}, RULES, NOW)


def test_a_few_changed_series_in_many_places_are_one_piece() -> None:
    """A piece for each family of each shard would be as many turns of a loop that has more to do."""
    some = {name: {"": (1, 0)} for name in (OFFERED, joined(("contacts_handled_total", "call", "sales")))}
    many = {f"stitch-{n}": Served(dict(some)) for n in range((PIECE - 1) // 2)}

    assert list(Exposition(RULES).catch_up(many)) == []


def test_a_changed_series_that_is_not_there_is_passed_over() -> None:
    """Nobody's scrape fails because of it."""
    one = Served({OFFERED: counts(1)}, changed={"nowhere"})

    assert text_of(Exposition(RULES), {"stitch-0": one}) == reference({"stitch-0": one}, RULES, NOW)


def test_every_family_of_the_table_can_be_rendered() -> None:
    """Each of the table's families, with a label for each of its names."""
    one = Served(
        {joined((s.name, *s.labels)): {"0": (3, 1), "sum": (5, 2)} if s.bounds else counts(3, 1) for s in SERIES.values() if s.booked}
    )

    assert text_of(Exposition(RULES), {"stitch-0": one}) == reference({"stitch-0": one}, RULES, NOW)
    assert exposition({}, RULES, NOW) == reference({}, RULES, NOW)


# -- On the wire -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, WIRE - 1, WIRE, WIRE + 1])
def test_chunks_are_joined_piece_by_piece(size: int) -> None:
    """Nothing is lost or left over, and no piece grows with the whole."""
    chunks = [b"a" * size, *[b"b" * 1_000] * 1_000]
    parts = list(pieces(chunks))

    assert b"".join(parts) == b"".join(chunks) == gzip.decompress(b"".join(compressed(chunks)))
    assert max(map(len, parts)) < 2 * WIRE + 1_000
