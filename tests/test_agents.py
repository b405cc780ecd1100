"""The stages as the engine runs them: what is read, refused, forwarded, and that wrong partitions change no count."""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from schemas.codec import encode
from schemas.events import Event
from schemas.records import Moved
from schemas.sources import Source
from schemas.sources.asterisk import AsteriskQueueLog
from schemas.sources.canonical import CanonicalEvents
from schemas.sources.csv_log import CsvLog
from streams import agents
from streams.agents import AssembleStage, StitchStage
from streams.core.assemble import RESETS, key_of
from streams.core.identity import Identity
from streams.core.journal import amounts
from streams.core.sealed import body_of
from streams.core.states import ASSEMBLED, ENCODE
from streams.core.step import Change, Output
from streams.core.targets import Rules, parse
from streams.engine.murmur import partition_of
from streams.engine.stage import RESERVED, SHARED, Batch, Stage
from streams.logs import masked
from streams.replay import Replay
from streams.simulate import simulate
from tests import shards
from tests.chaos import chaos
from tests.cluster import Stored
from tests.core import interactions
from tests.hosted import WALL, Arrived, Host
from tests.stage import CUSTOMER, LATER, TALK
from tests.story import DAY, MINUTE, Story, call, instant, reset

HERE: Final = 1
PARTITIONS: Final = 3
QUEUE_LOG: Final = partial(AsteriskQueueLog, "pbx")
LOG: Final = "log", 0
SNAPSHOTS: Final = "interactions", 0
LINE: Final = b"1772438400|c1|A|NONE|ENTERQUEUE||1"
Records = list[tuple[bytes | None, bytes | None]]
START: Final = b"1772438400|NONE|NONE|NONE|QUEUESTART|"


def stage(*, partition: int = HERE, partitions: int = PARTITIONS, **named: Any) -> AssembleStage:
    """Stage 1 over topics of two formats."""
    adapters: dict[str, Source] = {"calls": CanonicalEvents(), "log": QUEUE_LOG()}
    return AssembleStage(Identity(), adapters, partition=partition, partitions=partitions, **named)


def read(*values: bytes | None, topic: str = "calls", wall: int = WALL, **named: Any) -> Batch:
    """One slice."""
    return stage(**named).read((topic, 0), [Arrived(topic, n, b"key", value) for n, value in enumerate(values)], wall)


def home(partition: int, story: str = "c") -> str:
    """The name of an interaction that belongs to a partition."""
    return next(name for n in range(1000) if partition_of(name := f"{story}{n}", PARTITIONS) == partition)


MINE: Final = call(home(HERE), phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)
THEIRS: Final = call(home(2), phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)


def letters(batch: Batch) -> list[tuple[bytes | None, bytes | None, dict[str, str]]]:
    """The dead letters: key, value, headers."""
    return [(key, value, {k: v.decode() for k, v in headers}) for topic, key, value, _, headers in batch.outputs if topic == "dead-letters"]


def test_both_are_what_the_engine_asks_for() -> None:
    """The contract is `streams.engine.stage`; mypy holds the rest of it."""
    stages: list[Stage] = [stage(), StitchStage(Rules())]

    assert [(s.rules, s.counting) for s in stages] == [("assemble-1", 1), (Rules().version, 3)]
    assert StitchStage(parse('[queues]\nA = "front"')).rules != Rules().version


# -- Stage 1: reading --------------------------------------------------------------------------------------------------


def test_events_come_by_key_in_order_of_arrival() -> None:
    """Records by key in order of arrival, and the newest event time."""
    other = call(home(HERE, "d")).rang(5)
    arriving = [MINE.events[1], *other, MINE.events[0], MINE.events[1]]
    batch = read(*map(encode, arriving))

    assert batch.groups == {key_of(MINE.events[0]): [arriving[0], *arriving[2:]], key_of(other.events[0]): list(other)}
    assert batch.newest == instant(10)
    assert (batch.outputs, batch.counts) == ([], {})
    assert read().newest == 0


def test_each_topic_has_its_format_and_a_record_its_offset() -> None:
    """A log's line is placed by its offset; binary CloudEvents say in headers what their data lacks."""
    log = stage(partitions=1, partition=0)
    (queued,) = log.read(("log", 0), [Arrived("log", 7, None, LINE)], WALL).groups[b"pbx\x1fc1"]
    headers = [("ce_type", b"karar.rang"), ("ce_id", b"e"), ("ce_source", b"s"), ("ce_specversion", b"1.0")]
    binary = log.read(("calls", 0), [Arrived("calls", 0, None, b'{"interaction_id":"i","at":1772438400000}', headers)], WALL)

    assert (queued.sequence, queued.at, queued.queue) == (7, 1772438400000, "A")
    assert list(binary.groups) == [b"s\x1fi"]


def test_what_is_ignored_is_counted() -> None:
    """A tombstone, an unknown type, a line that nobody needs: by the format's name, for the source is not known."""
    assert read(None, b'{"type":"danced"}', b" ").counts == {("events_total", "events", "ignored"): 2}
    assert read(b"1772438400|c1|A|ann|PAUSE|", topic="log").counts == {("events_total", "asterisk-queue-log", "ignored"): 1}


def test_what_is_refused_becomes_a_dead_letter() -> None:
    """Original bytes, reason, origin; the key and the headers as they came; and nothing else is lost of the slice."""
    record = Arrived("log", 41, b"key", b"no\xff line", [("trace", b"\x00\xff")], 5, 77)
    batch = stage(partitions=1, partition=0).read(("log", 5), [record, Arrived("log", 42, None, LINE)], WALL)

    assert batch.outputs == [
        Output(
            "dead-letters",
            b"key",
            b"no\xff line",
            None,
            (
                *(("reason", b"encoding"), ("where", b"byte 2 is not UTF-8"), ("topic", b"log"), ("partition", b"5")),
                *(("offset", b"41"), ("timestamp", b"77"), ("original.trace", b"\x00\xff")),
            ),
        )
    ]
    assert batch.counts == {
        ("events_total", "asterisk-queue-log", "rejected"): 1,
        ("dead_letters_total", "asterisk-queue-log", "encoding"): 1,
    }
    assert list(batch.groups) == [b"pbx\x1fc1"]


def test_a_dead_letter_has_no_key_where_the_record_had_none() -> None:
    """Nothing is made up: no key stays no key, a header without content is empty."""
    record = Arrived("calls", 0, None, b"{", [("x", None)])  # type: ignore[list-item]  # clients do give None
    ((key, value, headers),) = letters(stage().read(("calls", 0), [record], WALL))

    assert (key, value, headers["original.x"]) == (None, b"{", "")


@pytest.mark.parametrize(("length", "refused"), [(99, False), (100, False), (101, True)])
def test_a_record_that_is_too_long_is_refused_before_it_is_decoded(length: int, refused: bool) -> None:  # noqa: FBT001 - a table's column
    """`too_long`: within, exactly, outside."""
    batch = read(b'{"type":"danced"}'.ljust(length), longest=100)
    expected = [(b"key", b'{"type":"danced"}'.ljust(length), "too_long")] if refused else []

    assert [(key, value, told["reason"]) for key, value, told in letters(batch)] == expected


@pytest.mark.parametrize(("over", "kept"), [(-1, -1), (0, 0), (1, None)])
def test_of_a_record_that_no_topic_would_take_the_beginning_is_kept(over: int, kept: int | None) -> None:
    """Up to 8 MiB whole, else the beginning, with the length that there was."""
    ((_, value, told),) = letters(read(b"x" * (agents.LONGEST_LETTER + over)))

    assert value is not None
    assert len(value) == (agents.LONGEST if kept is None else agents.LONGEST_LETTER + kept)
    assert told.get("truncated") == (None if kept is not None else str(agents.LONGEST_LETTER + 1))


@pytest.mark.parametrize(
    ("at", "reason"),
    [(LATER + 5 * MINUTE * 1000, ""), (LATER + 5 * MINUTE * 1000 + 1, "future"), (946_684_800_000, ""), (946_684_799_999, "ancient")],
)
def test_no_event_lies_far_ahead_or_before_2000(at: int, reason: str) -> None:
    """More than 5 min ahead of the wall clock, or before 2000; what is refused does not move time on."""
    batch = read(encode(replace(MINE.events[0], at=at)), wall=LATER)

    assert [told["reason"] for _, _, told in letters(batch)] == [reason][: bool(reason)]
    assert batch.newest == (0 if reason else at)


@pytest.mark.parametrize("first", ["\0", "\1", "\x1f", " ", "a"])
def test_no_source_can_make_a_key_of_the_engines(first: str) -> None:
    """Keys that begin with a control character are the engine's, or shared."""
    batch = read(*(encode(replace(x, source=f"{first}positions")) for x in (MINE.events[0], reset(1))))
    refused = first < " "

    assert [told["reason"] for _, _, told in letters(batch)] == ["impossible"] * 2 * refused
    assert all(key == RESETS or not key.startswith((SHARED, RESERVED)) for key in batch.groups)
    assert bool(batch.groups) != refused


def test_of_several_reasons_the_first_is_told() -> None:
    """One record is one dead letter, however much of it is refused."""

    class Two(CanonicalEvents):
        def decode(self, raw: bytes | None, number: int, headers: Any = ()) -> list[Any]:
            return [y for x in MINE.events[:2] for y in (replace(x, at=number), *super(Two, self).decode(raw, number, headers))]

    batch = AssembleStage(Identity(), {"two": Two()}, partition=0, partitions=1).read(("two", 0), [Arrived("two", 0, None, b"{")], WALL)

    assert [told["reason"] for _, _, told in letters(batch)] == ["ancient"]


def test_a_defect_is_a_dead_letter() -> None:
    """An exception from a step dead-letters that one record, and says what was raised in 200 characters."""
    for one, source in ((stage(), "asterisk-queue-log"), (StitchStage(Rules()), "interactions")):
        batch = one.defect(("log", 0), Arrived("log", 3, b"k", b"v"), "KeyError: " + "x" * 300)
        ((key, value, told),) = letters(batch)

        assert (key, value, told["reason"], told["where"], told["offset"]) == (b"k", b"v", "defect", "KeyError: " + "x" * 190, "3")
        assert batch.counts == {("dead_letters_total", source, "defect"): 1}


# -- Stage 1: other partitions, resets, what is remembered ----------------------------------------------------------------


def test_what_belongs_to_another_partition_is_sent_there() -> None:
    """A key that does not hash to its partition is sent on, as a canonical event under its right key, counted."""
    batch = read(*map(encode, [*THEIRS, *MINE]))

    assert list(batch.groups) == [key_of(MINE.events[0])]
    assert batch.outputs == [Output("forward", THEIRS.name.encode(), encode(x)) for x in THEIRS]
    assert batch.counts == {("forwarded_total", "pbx"): 3}
    assert batch.newest == instant(60)


def test_what_was_sent_on_stays() -> None:
    """Events read from the forward topic are never sent again, wherever they belong: nothing can go in circles."""
    batch = read(*map(encode, THEIRS), encode(reset(70)), topic="karar.forward", forward="karar.forward")

    assert batch.groups == {key_of(THEIRS.events[0]): list(THEIRS), RESETS: [reset(70)]}
    assert (batch.outputs, batch.counts) == ([], {})


def test_a_reset_goes_to_every_other_partition() -> None:
    """Publisher-wide events reach every partition."""
    batch = read(START, topic="log")
    (lost,) = batch.groups[RESETS]

    assert batch.outputs == [Output("forward", None, encode(lost), partition) for partition in (0, 2)]
    assert read(START, topic="log", partition=0, partitions=1).outputs == []


def test_resets_are_shared() -> None:
    """What the whole shard shares is told to whoever opens it."""
    (lost,) = read(encode(reset(20))).groups[RESETS]
    one, two = stage(), stage()
    value = one.step(RESETS, None, [lost], LATER).value
    assert value is not None
    two.share(b"\1something else", b"")
    two.share(RESETS, value)

    assert RESETS.startswith(SHARED)
    assert two.assemble.resets == one.assemble.resets != {}
    assert one.live(value) == {}


def test_the_trial_balance_of_stage_1_is_about_what_was_sent() -> None:
    """The facts of an interaction's state are whether it stands sent."""
    one = stage()
    change = one.step(key_of(MINE.events[0]), None, list(MINE), LATER)
    assert change.value is not None

    assert one.live(change.value) == amounts(dict(change.bookings)) == {("_interactions_sent", ""): 1}


def test_a_log_remembers_where_a_line_stands() -> None:
    """A repeated line is another occurrence, also after the shard has moved: its reader sees again what came before."""
    records = [Arrived("log", n, None, line) for n, line in enumerate([LINE, LINE, LINE])]
    whole, before, after, forgetful = (stage(partitions=1, partition=0) for _ in range(4))
    expected = whole.read(LOG, records, WALL).groups
    first = before.read(LOG, records[:2], WALL).groups
    after.prime(LOG, [*records[:2], Arrived("log", 9, None, b"x" * (agents.LONGEST + 1)), Arrived("log", 10, None, b"{")])

    assert after.remembers("log") == 1_000
    assert [(s, stage().remembers(s)) for s in ("calls", "forward")] == [("calls", 0), ("forward", 0)]
    assert {key: [*group, *after.read(LOG, records[2:], WALL).groups[key]] for key, group in first.items()} == expected
    assert forgetful.read(LOG, records[2:], WALL).groups != after.read(LOG, records[2:], WALL).groups


def test_no_other_format_remembers() -> None:
    """Elsewhere each record stands for itself."""
    assert (CanonicalEvents().remembers, CsvLog.remembers) == (0, 0)


# -- Stage 2 -----------------------------------------------------------------------------------------------------------


def snapshots(*versions: int) -> list[Arrived]:
    """The snapshot of a talk in several versions, as it is sent."""
    ((record,),) = interactions(TALK).values()
    return [Arrived("interactions", n, CUSTOMER, ENCODE(replace(record, version=version))) for n, version in enumerate(versions)]


def test_snapshots_and_moves_come_by_customer() -> None:
    """Records by key in order of arrival; now is that of the last who sent."""
    moved = ENCODE(Moved("pbx\x1fc1", 3, "customer:y"))
    said = [("other", b"\xff"), ("now", instant(60).to_bytes(8, "big"))]
    records = [*snapshots(1, 2), Arrived("interactions", 2, CUSTOMER, moved, said), Arrived("interactions", 3, b"customer:z", moved)]
    batch = StitchStage(Rules()).read(SNAPSHOTS, records, 0)

    assert [x.version for x in batch.groups[CUSTOMER]] == [1, 2, 3]
    assert list(batch.groups) == [CUSTOMER, b"customer:z"]
    assert (batch.newest, batch.outputs, batch.counts) == (instant(60), [], {})
    assert StitchStage(Rules()).read(SNAPSHOTS, snapshots(1), 0).newest == 0


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (CUSTOMER, b"", "malformed"),
        (CUSTOMER, None, "malformed"),
        (CUSTOMER, b"\xc1", "malformed"),
        (CUSTOMER, b"\x93\x01", "malformed"),
        (None, ENCODE(Moved("i", 1, "")), "impossible"),
        (b"\0positions", ENCODE(Moved("i", 1, "")), "impossible"),
    ],
)
def test_what_stitch_cannot_read_is_a_dead_letter(key: bytes | None, value: bytes | None, reason: str) -> None:
    """Never raises for bad data."""
    batch = StitchStage(Rules()).read(("interactions", 0), [Arrived("interactions", 0, key, value)], 0)

    assert [(k, v, told["reason"]) for k, v, told in letters(batch)] == [(key, value, reason)]
    assert batch.counts == {("dead_letters_total", "interactions", reason): 1}
    assert batch.groups == {}


def test_what_is_in_front_and_behind_is_read() -> None:
    """Due time, open, waiting in front; the facts behind."""
    stitch = StitchStage(Rules())
    waiting = call("c1", phone="1").queued(0, "A")
    ((record,),) = interactions(waiting).values()
    change = stitch.step(CUSTOMER, None, [record], instant(5))
    assert change.value is not None
    stitch.prime(SNAPSHOTS, [])
    stitch.share(b"", b"")

    assert (stitch.due(change.value), stitch.is_open(change.value)) == (change.due, True)
    assert stitch.waiting(change.value) == [("longest_wait_seconds\x1fcall\x1fA", instant(0))]
    assert stitch.live(change.value) == amounts(dict(change.bookings))
    assert stitch.remembers("interactions") == 0


# -- Both, over partitions ------------------------------------------------------------------------------------------------


def misplaced(events: Sequence[Event], random: Random, partitions: int) -> list[tuple[int, Records]]:
    """Slices of partitions as a publisher sends them who hashes otherwise: every fifth event lands anywhere."""
    slices: list[tuple[int, Records]] = []
    for start in range(0, len(events), 97):
        parts: list[Records] = [[] for _ in range(partitions)]
        for x in events[start : start + 97]:
            key = x.interaction_id.encode()
            right = partition_of(key, partitions)
            parts[random.randrange(partitions) if random.random() < 0.2 else right].append((key, encode(x)))
        slices += [(number, part) for number, part in enumerate(parts) if part]
    return slices


def same_day() -> list[Event]:
    """A day with branches, late and double events; the publishers restart."""
    return list(simulate(seed=8, customers=300, days=1, resets=True))


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("events", [same_day(), list(chaos(Random(5), 60, 8))], ids=["a day", "nonsense"])
def test_wrong_partitions_change_no_net(events: list[Event], partitions: int, seed: int) -> None:
    """Through both stages, forwarded, resets to all: the same net totals as a replay, and the books balance."""
    replay = Replay(Rules(), Identity())
    for part in replay.slices(events):
        replay.take(part)
    host = Host({"calls": CanonicalEvents}, partitions)
    for number, records in misplaced(events, Random(seed), partitions):
        host.take("calls", number, records)
    now = max(x.at for x in events)
    for later in (now, now + 3 * DAY * 1000):
        replay.finish(later)
        host.finish(later)

        assert host.net() == replay.net()
        assert [shard.differences() for shard in (*host.assemble, *host.stitch)] == [{}] * 2 * partitions
        assert host.lost() == 0
    assert bool(sum(n for labels, n in host.counts().items() if labels[0] == "forwarded_total")) == (partitions > 1)
    assert not [x for x in host.topics.get("dead-letters", []) if dict(x.headers)["reason"] != b"too_late"]


def test_a_shard_that_is_opened_anew_goes_on_where_the_other_stopped() -> None:
    """All that a stage knows is in its states: resets that came before are seen by calls that come after."""
    events = [x for n in range(20) for x in call(f"c{n}", phone=str(n)).queued(n, "A")]
    host = Host({"calls": CanonicalEvents}, PARTITIONS)
    host.take("calls", 0, [(None, encode(reset(30)))])
    for number, shard in enumerate(host.assemble):
        shard.reopened(host.assembling(number))
    for x in events:
        host.take("calls", 0, [(b"whatever", encode(x))])
    host.finish(instant(40))

    assert host.net()["queue_exits_total\x1fcall\x1fA\x1funknown", ""] == 20


class Poisoned:
    """An assemble stage of which no step can take an interaction called poison; nothing can be derived of what is compiled."""

    def __init__(self) -> None:
        self.stage = AssembleStage(Identity(), {"in": CanonicalEvents()}, partition=0, partitions=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stage, name)

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """Steps, and fails."""
        if key.endswith(b"poison"):
            raise ValueError("poison")
        return self.stage.step(key, old, records, now)


@pytest.mark.asyncio
@pytest.mark.parametrize("stories", [(), (call("poison").queued(1, "A"),)], ids=["alone", "with poison"])
async def test_a_reset_ends_what_is_open_whatever_fails_in_its_slice(stories: Sequence[Story]) -> None:
    """The slice is folded again one by one, and the reset is as new as it was."""
    topics = {"interactions": "out", "dead-letters": "dead"}
    shard = await shards.opened(of=shards.spec(Poisoned, topics=topics, outputs=dict.fromkeys(topics, 1)))
    open_call = call("c1", phone="1").queued(0, "A").events
    for start, events in ((0, open_call), (1, [reset(20), *(x for story in stories for x in story)])):
        shard.apply(shards.part([Stored("in", 0, n, 1, b"key", encode(x)) for n, x in enumerate(events, start)]))

    assert ASSEMBLED.decode(body_of(shard.store.values[b"pbx\x1fc1"])).version == 2


def test_an_interaction_that_is_cut_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Truncation is counted each time and logged once, with the key masked; past what is remembered it may be told again."""
    here = stage()
    many = [replace(next(iter(MINE)), id=f"e{n}", at=instant(n)) for n in range(1_001)]
    key, other_key = key_of(MINE.events[0]), b"pbx\x1fother"
    full = here.step(key, None, many, LATER)
    more = here.step(key, full.value, [replace(many[0], id="more", at=instant(2_000))], LATER)

    assert full.counts["truncated_total", "events"] == more.counts["truncated_total", "events"] == 1
    assert caplog.messages == [f"interaction {masked(key)} has more than 1000 events: the others are not folded"]
    here.cut.update(b"another %d" % n for n in range(agents.REMEMBERED))
    here.step(other_key, None, many, LATER)
    here.step(key, full.value, [replace(many[0], id="more", at=instant(2_000))], LATER)
    assert [message.split()[1] for message in caplog.messages] == [masked(key), masked(other_key), masked(key)]


def test_a_chain_that_is_cut_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each cut is counted, of each customer one is logged, with the key masked; past what is remembered it may be told again."""
    here, other_key = StitchStage(Rules(max_links=2)), b"phone:2"
    stories = [call(f"c{n}", phone="1").queued(n, "A").answered(n + 5, "ann") for n in range(3)]
    (records,) = interactions([x for story in stories for x in story]).values()
    value: bytes | None = None
    cuts = []
    for record in records:
        change = here.step(CUSTOMER, value, [replace(record, version=1)], LATER)
        cuts.append(change.counts.get(("truncated_total", "links"), 0))
        value = change.value

    assert cuts == [0, 1, 1]
    assert caplog.messages == [f"customer {masked(CUSTOMER)} has more than 2 links in one matter: another chain goes on"]
    for key in (other_key, other_key, CUSTOMER):
        here.step(key, None, records, LATER)
    here.cut.update(b"another %d" % n for n in range(agents.REMEMBERED))
    here.step(b"phone:3", None, records, LATER)
    here.step(CUSTOMER, None, records, LATER)
    assert [message.split()[1] for message in caplog.messages] == [masked(k) for k in (CUSTOMER, other_key, b"phone:3", CUSTOMER)]
