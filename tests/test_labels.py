"""The dry run of label growth: what it says is what a worker's ledgers come to."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.codec import encode
from schemas.events import Event
from streams.core.identity import Identity
from streams.core.series import LONGEST_WAIT
from streams.core.targets import CASE_GAP, FOREVER, Rules
from streams.growth import SERIES_BYTES, UNLIMITED, Growth, growth
from streams.metrics import PREFIX
from streams.replay import SLICE, Replay
from streams.simulate import simulate
from tests.command import karar
from tests.story import call

EVENTS: Final = list(simulate(seed=5, customers=300, days=2))
SHARDS: Final = 3
QUEUES: Final = sorted({event.queue for event in EVENTS if event.queue})


def ended(limit: int, rules: Rules | None = None) -> Replay:
    """All of it, and every chain closed."""
    replay = Replay(rules or Rules(), Identity(), SHARDS, FOREVER, limit=limit)
    for part in replay.slices(EVENTS):
        replay.take(part)
    replay.finish()
    replay.finish(replay.now + 3 * CASE_GAP)
    return replay


def lines(replay: Replay, names: list[str]) -> Counter[str]:
    """The lines of each of the ledger's families at /metrics, twins with them."""
    found: Counter[str] = Counter()
    for line in replay.metrics().decode().splitlines():
        if not line.startswith("#"):
            sample = line.partition("{")[0].partition(" ")[0].replace("_retracted", "")
            found.update([name for name in names if sample in {name, *(name + end for end in ("_bucket", "_sum", "_count"))}])
    return found


@pytest.mark.parametrize("rules", [Rules(), Rules(queues=dict.fromkeys(QUEUES[::2], "here") | {"nowhere": "there"})], ids=["", "named"])
@pytest.mark.parametrize("limit", [1, 4, 20, 500])
def test_what_is_told_is_what_would_be_served(limit: int, rules: Rules) -> None:
    """Line for line, under any limit: who is beyond it is one more series at most, and counted as a worker counts it."""
    told, served = growth(ended(UNLIMITED, rules), len(EVENTS), limit), ended(limit, rules)
    by_name = {family.name: family for family in told.families if family.name != PREFIX + LONGEST_WAIT}

    assert {name: family.served for name, family in by_name.items()} == lines(served, list(by_name))
    beyond: Counter[str] = Counter()
    for ledger in served.ledgers.values():
        beyond.update({PREFIX + name: number for name, number in ledger.overflow.items()})
    assert {name: family.beyond for name, family in by_name.items() if family.beyond} == beyond
    assert told.served == sum(family.served for family in told.families)
    assert told.bytes == told.served * SERIES_BYTES
    assert told.beyond == 0 or limit < 500


def test_values_are_told_by_label_and_some_beyond_by_name() -> None:
    """Within, exactly, outside the limit of one shard."""
    replay = Replay(Rules(), Identity(), limit=UNLIMITED)
    replay.take([x for n in range(4) for x in call(f"c{n}").queued(n, f"q{n}").answered(n + 1, "ann", team=f"t{n % 2}").ended(n + 9)])
    told = {limit: family_of(growth(replay, 12, limit), "contacts_offered_total") for limit in (3, 4, 5)}

    assert {limit: (f.series, f.largest, f.beyond, f.shards_beyond, f.served, f.unlimited) for limit, f in told.items()} == {
        3: (4, 4, 1, 1, 8, 8), 4: (4, 4, 0, 0, 8, 8), 5: (4, 4, 0, 0, 8, 8),
    }  # fmt: skip
    assert told[3].values == {"channel": 1, "queue": 4}
    assert told[3].examples == [{"channel": "call", "queue": "q3"}]
    assert family_of(growth(replay, 12, 3), "touches_ended_total").values == {"channel": 1, "team": 2}


def family_of(told: Growth, name: str) -> Any:
    """One family."""
    return next(family for family in told.families if family.name == PREFIX + name)


def written(folder: Path, events: list[Event], *more: bytes) -> str:
    """A file of events."""
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in (*map(encode, events), *more)))
    return "events.jsonl"


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    """The same figures twice, and which families would be cut."""
    name = written(tmp_path, EVENTS)
    given = ("labels", name, "--format", "events", "--partitions", "3", "--limit", "4")
    shown, told = karar(tmp_path, *given), karar(tmp_path, *given, "--json")
    figures = json.loads(told.out)

    assert (shown.status, told.status) == (0, 0)
    expected = growth(ended(UNLIMITED), len(EVENTS), 4)
    assert (figures["shards"], figures["limit"], figures["events"]) == (3, 4, len(EVENTS))
    assert (figures["served"], figures["beyond"]) == (expected.served, expected.beyond)
    assert f"{expected.served:,} time series from {len(EVENTS):,} events in 3 shards: about " in shown.out
    worst = max(expected.families, key=lambda family: family.beyond)
    assert f"{worst.name}: {worst.beyond:,} series beyond 4 in {worst.shards_beyond} shards become other, such as " in shown.out


def test_where_nothing_is_beyond_the_limit_it_says_so(tmp_path: Path) -> None:
    """As with most centers."""
    said = karar(tmp_path, "labels", written(tmp_path, EVENTS[:50]), "--format", "events")

    assert said.status == 0
    assert said.out.splitlines()[-1] == "no family has more than 500 series in a shard: nothing is booked as other"


def test_what_is_refused_is_told_and_what_cannot_be_read_as_well(tmp_path: Path) -> None:
    """Exit 1 for bad data, 2 for wrong usage; one line."""
    bad = karar(tmp_path, "labels", written(tmp_path, EVENTS[:50], b"noise"), "--format", "events")
    assert (bad.status, bad.lines[0].split(": ")[1]) == (1, "malformed")
    none = karar(tmp_path, "labels", written(tmp_path, [], b"noise"), "--format", "events")
    assert (none.status, none.lines[-1]) == (1, "karar: events.jsonl: no event, 1 records refused")
    for arguments in (("events.jsonl",), ("--format", "events")):
        wrong = karar(tmp_path, "labels", *arguments)
        assert (wrong.status, wrong.lines) == (
            2, ["karar: --format: files need a format such as events; topics have theirs (KARAR_ADAPTERS)"],
        )  # fmt: skip


@pytest.mark.slow
def test_topics_come_to_the_same_as_the_file_that_was_published(kafka: str, tmp_path: Path) -> None:
    """Read to their end, in no group; without topics it says what to do. What is seen in passing depends on the order."""
    given: Any = {"KARAR_BROKER": kafka, "KARAR_PREFIX": f"labels-{tmp_path.name}", "KARAR_PARTITIONS": "1"}
    nothing = karar(tmp_path, "labels", **given)
    assert (nothing.status, len(nothing.lines)) == (1, 1)
    name = written(tmp_path, [event for event in EVENTS if event.channel == "call"][:SLICE])
    assert karar(tmp_path, "topics", **given).status == 0
    assert karar(tmp_path, "publish", name, "--format", "events", **given).status == 0
    topics, file = karar(tmp_path, "labels", "--json", **given), karar(tmp_path, "labels", name, "--format", "events", "--json", **given)

    assert (topics.status, file.status) == (0, 0)
    assert json.loads(topics.out) == json.loads(file.out)
