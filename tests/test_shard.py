"""A shard: slices are folded whole, what no step can take becomes a dead letter, and all of it commits together."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import shard as engine_shard
from streams.engine.folding import LONGEST_VALUE, Rows, TooLargeError, Way, route
from streams.engine.shard import DEFECTS_IN_A_ROW, Shard
from streams.engine.stage import Batch, Change
from tests.counting import FRONT, Counted, Counting, Output
from tests.shards import NOW, buried, closed, counted, events, memory, opened, part, seen, sent, spec, total

pytestmark = pytest.mark.asyncio


class Poisoned(Counting):
    """No step can take events below 0."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """Counts, and fails."""
        if any(b'"i":-' in value for value in records):
            raise ValueError("poison")
        return super().step(key, old, records, now)


# -- Slices ------------------------------------------------------------------------------------------------------------


async def test_a_slice_is_folded_by_key_in_order() -> None:
    """Each event once, in the order of arrival; the position moves behind the slice."""
    shard = await opened()
    records = events(1, 2) + events(3, key=b"l", first=2) + events(4, first=3)

    assert shard.apply(part(records))
    assert (counted(shard), seen(shard)) == ({b"k": 3, b"l": 1}, [1, 2, 4])
    assert shard.positions == {"in": 4}


async def test_a_slice_may_end_behind_its_last_record() -> None:
    """Markers take offsets."""
    shard = await opened()
    shard.apply(part(events(1), end=3))

    assert shard.positions == {"in": 3}


async def test_a_slice_without_records_moves_over_markers() -> None:
    """Nothing is folded, and there is nothing urgent to commit."""
    shard = await opened()
    await shard.commit()

    assert shard.apply(part([], 0, 2))
    assert (shard.positions, counted(shard), shard.has_work()) == ({"in": 2}, {}, False)


async def test_a_slice_that_begins_beyond_the_position_is_not_applied() -> None:
    """Something was lost before it, and must be read again."""
    shard = await opened()

    assert not shard.apply(part(events(2, first=1)))
    assert not shard.apply(part([], 1, 2))
    assert (shard.positions, counted(shard)) == ({"in": 0}, {})


async def test_a_slice_that_was_applied_is_not_applied_again() -> None:
    """It was delivered twice."""
    shard = await opened()
    shard.apply(part(events(1, 2)))

    assert shard.apply(part(events(1, 2)))
    assert shard.apply(part(events(1)))
    assert (shard.positions, counted(shard)) == ({"in": 2}, {b"k": 2})


async def test_of_a_slice_that_overlaps_only_what_is_new_is_applied() -> None:
    """It was read again from further back."""
    shard = await opened()
    shard.apply(part(events(1, 2)))

    assert shard.apply(part(events(1, 2, 3, 4)))
    assert (shard.positions, seen(shard)) == ({"in": 4}, [1, 2, 3, 4])


async def test_a_slice_may_begin_before_the_position_and_have_its_first_record_behind() -> None:
    """Its start stands on a marker that was passed."""
    shard = await opened()
    shard.apply(part(events(1), end=2))

    assert shard.apply(part(events(2, first=2), start=1))
    assert (shard.positions, seen(shard)) == ({"in": 3}, [1, 2])


async def test_of_an_overlap_without_new_records_only_the_position_moves() -> None:
    """What is behind the position is a marker."""
    shard = await opened()
    shard.apply(part(events(1)))

    assert shard.apply(part(events(1), end=2))
    assert (shard.positions, counted(shard)) == ({"in": 2}, {b"k": 1})


async def test_each_source_has_a_position_of_its_own() -> None:
    """Topics are read side by side."""
    shard = await opened(memory("in", "also"), spec(Counting, "in", "also"))
    shard.apply(part(events(1, 2)))
    shard.apply(part(events(3, topic="also"), topic="also"))

    assert (shard.positions, counted(shard)) == ({"in": 2, "also": 1}, {b"k": 3})


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12))
async def test_however_slices_overlap_each_record_is_applied_once(cuts: list[tuple[int, int]]) -> None:
    """Any pieces of a log in any order, the last up to its end: no event twice, none left out."""
    log = events(*range(12))
    shard = await opened()
    for start, end in [*((min(cut), max(cut)) for cut in cuts), (0, 12)]:
        shard.apply(part(log[start:end], start, end))

    assert (shard.positions, counted(shard), seen(shard)) == ({"in": 12}, {b"k": 12}, [6, 7, 8, 9, 10, 11])


# -- What no step can take ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", range(5))
async def test_a_record_that_no_step_can_take_becomes_a_dead_letter_wherever_it_stands(where: int) -> None:
    """The rest of its slice is counted, once; the letter commits with it."""
    shard = await opened(kafka := memory(), spec(Poisoned))
    numbers = [1, 2, 3, 4]
    numbers.insert(where, -1)

    assert shard.apply(part(events(*numbers)))
    assert (counted(shard), seen(shard), shard.positions) == ({b"k": 4}, [1, 2, 3, 4], {"in": 5})
    await shard.commit()
    assert (buried(kafka.cluster), sent(kafka.cluster)) == ([-1], {1: 1, 2: 1, 3: 1, 4: 1})


async def test_a_slice_is_folded_whole_or_not_at_all() -> None:
    """One key cannot be stepped: nothing of the others has been stored, sent or booked by then."""
    shard = await opened(of=spec(Poisoned))
    with pytest.raises(ValueError, match="poison"):
        shard.fold(("in", 0), events(1) + events(2, key=b"l", first=1) + events(-1, key=b"m", first=2))

    assert counted(shard) == {}
    assert (shard.pending.dirty, shard.pending.outputs, shard.journal.bookings()) == ({}, {}, [])


async def test_a_step_that_fails_later_does_not_count_the_slice_twice() -> None:
    """Records one by one after a failure: those before the poison were not applied already."""
    shard = await opened(kafka := memory(), spec(Poisoned))
    shard.apply(part(events(1, 2, -1, 3)))
    await shard.commit()

    assert (total(shard), sent(kafka.cluster)) == (3, {1: 1, 2: 1, 3: 1})


async def test_the_position_moves_with_each_record_that_is_folded_singly() -> None:
    """Too many defects end the worker: what was folded before stands at its own position, and is not read again."""
    shard = await opened(of=spec(Poisoned))
    with pytest.raises(ValueError, match="poison"):
        shard.apply(part(events(1, 2, *[-1] * (DEFECTS_IN_A_ROW + 1))))

    assert (shard.positions, counted(shard)) == ({"in": 2 + DEFECTS_IN_A_ROW}, {b"k": 2})


@pytest.mark.parametrize(("defects", "ends"), [(DEFECTS_IN_A_ROW, False), (DEFECTS_IN_A_ROW + 1, True)])
async def test_more_defects_in_a_row_than_allowed_are_not_the_records_fault(defects: int, ends: bool) -> None:  # noqa: FBT001 - parametrized
    """Then everything would become a dead letter: the worker ends instead."""
    shard = await opened(of=spec(Poisoned))
    ended = False
    try:
        for offset in range(defects):
            shard.apply(part(events(-1, first=offset)))
    except ValueError:
        ended = True

    assert ended == ends


async def test_defects_are_in_a_row_only_if_nothing_else_comes_between() -> None:
    """Slices that are folded well, too: a bad record now and then is a dead letter now and then."""
    shard = await opened(of=spec(Poisoned))
    for offset in range(0, 4 * DEFECTS_IN_A_ROW, 2):
        shard.apply(part(events(-1, first=offset)))
        shard.apply(part(events(1, first=offset + 1)))

    assert counted(shard) == {b"k": 2 * DEFECTS_IN_A_ROW}


async def test_a_defect_is_counted_by_stage() -> None:
    """When it has committed, and once."""
    shard = await opened(of=spec(Poisoned))
    shard.apply(part(events(-1)))
    defects = shard.meters.counters["defects_total"].labels("count")
    assert defects._value.get() == 0  # noqa: SLF001 - what a scrape would show
    await shard.commit()

    assert defects._value.get() == 1  # noqa: SLF001 - what a scrape would show


async def test_reading_on_after_a_defect_skips_what_was_applied() -> None:
    """A slice that overlaps and has poison in it: only what is new is tried."""
    shard = await opened(kafka := memory(), spec(Poisoned))
    shard.apply(part(events(-1, 1)))
    shard.apply(part(events(-1, 1, -2, 2)))
    await shard.commit()

    assert (counted(shard), buried(kafka.cluster)) == ({b"k": 2}, [-1, -2])


# -- What would not fit ------------------------------------------------------------------------------------------------


class Growing(Counting):
    """The state, or an output, is as long as an event says."""

    def __init__(self, *, output: bool) -> None:
        super().__init__()
        self.of_output = output

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Counted:  # noqa: ARG002 - the contract's signature
        """As long as it says."""
        content = bytes(int(records[-1].strip(b'{"i:}')))
        return Counted(FRONT, outputs=[Output("out", key, content)]) if self.of_output else Counted(content)


@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize(("size", "fits"), [(LONGEST_VALUE, True), (LONGEST_VALUE + 1, False)])
async def test_what_would_not_fit_a_record_becomes_a_dead_letter(output: bool, size: int, fits: bool) -> None:  # noqa: FBT001 - parametrized
    """A state or an output: exactly the longest goes, one more does not."""
    shard = await opened(kafka := memory(), spec(lambda: Growing(output=output)))
    shard.apply(part(events(size)))
    await shard.commit()

    assert buried(kafka.cluster) == ([] if fits else [size])
    assert shard.positions == {"in": 1}


async def test_what_is_too_large_is_said() -> None:
    """With its size, and where it was to go."""
    shard = await opened(of=spec(lambda: Growing(output=False)))
    with pytest.raises(TooLargeError, match=r"^the state would have 900001 bytes$"):
        shard.fold(("in", 0), events(LONGEST_VALUE + 1))
    shard = await opened(of=spec(lambda: Growing(output=True)))
    with pytest.raises(TooLargeError, match=r"^an output to out would have 900001 bytes$"):
        shard.fold(("in", 0), events(LONGEST_VALUE + 1))


@pytest.mark.parametrize("partition", [-1, 2])
async def test_an_output_for_a_partition_that_is_not_there_is_said(partition: int) -> None:
    """It is a defect of ours; nothing goes to another partition instead."""
    rows: Rows = {}
    with pytest.raises(ValueError, match=rf"^an output to out is for partition {partition} of 2$"):
        route([Output("out", b"k", b"", partition)], {"out": Way("out", 2, -1, feeds=False)}, rows, 1, b"")

    assert rows == {}


class Astray(Counting):
    """An event below 0 has an output for a partition that is not there."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """Counts, and sends."""
        change = Counted(*super().step(key, old, records, now))
        astray = any(b'"i":-' in value for value in records)
        return change._replace(outputs=[Output("out", key, b"", 7)]) if astray else change


async def test_a_record_whose_output_cannot_go_anywhere_becomes_a_dead_letter() -> None:
    """It is found out before anything of its slice is stored; the rest of the slice is counted, once."""
    shard = await opened(kafka := memory(), spec(Astray))
    with pytest.raises(ValueError, match="partition 7 of 1"):
        shard.fold(("in", 0), events(1, key=b"l") + events(-2, first=1))
    assert (counted(shard), shard.pending.dirty, shard.pending.outputs, shard.pending.rows) == ({}, {}, {}, 0)

    shard.apply(part(events(1, -2, 2)))
    await shard.commit()
    assert (counted(shard), buried(kafka.cluster), sent(kafka.cluster)) == ({b"k": 2}, [-2], {1: 1, 2: 1})


# -- Pausing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "room"), [(5, True), (6, False)])
async def test_a_shard_with_too_much_uncommitted_asks_for_a_pause(monkeypatch: pytest.MonkeyPatch, number: int, room: bool) -> None:  # noqa: FBT001 - parametrized
    """Records and outputs together: exactly enough goes, one more does not; a transaction makes room."""
    monkeypatch.setattr(engine_shard, "ENOUGH", 10)
    shard = await opened()
    shard.apply(part(events(*range(number))))

    assert shard.has_room == room
    await shard.commit()
    assert shard.has_room


async def rests(shard: Shard, since: float = 0) -> bool:
    """Whether it waits for its next transaction, an hour after the last one, which was so many seconds ago."""
    shard.committed_at = time.monotonic() - since
    resting = asyncio.create_task(shard.rest(3600))
    for _ in range(10):
        await asyncio.sleep(0)
    return resting.cancel()


@pytest.mark.parametrize(("number", "waits"), [(2, True), (3, False)])
async def test_a_shard_with_much_to_commit_waits_no_longer(monkeypatch: pytest.MonkeyPatch, number: int, waits: bool) -> None:  # noqa: FBT001 - parametrized
    """More than half of what may be applied: it would have to pause. Then the next ones wait again."""
    monkeypatch.setattr(engine_shard, "ENOUGH", 10)
    shard = await opened()
    shard.apply(part(events(*range(number))))

    assert await rests(shard) == waits
    await shard.commit()
    assert await rests(shard)


async def test_a_shard_rests_no_longer_than_it_is_told() -> None:
    """From the end of its last transaction on; where that is past, it goes on at once."""
    shard = await opened()

    assert await rests(shard, 3599)
    assert not await rests(shard, 3600)


# -- Commit ------------------------------------------------------------------------------------------------------------


async def test_state_totals_positions_and_outputs_commit_together() -> None:
    """And the next owner goes on from there."""
    kafka = memory(there=9)
    shard = await opened(kafka)
    shard.apply(part(events(1, 2), end=3))
    await shard.commit()
    again = await opened(kafka)

    assert (counted(again), again.positions, total(again)) == ({b"k": 2}, {"in": 3}, 2)
    assert sent(kafka.cluster) == {1: 1, 2: 1}
    assert kafka.cluster.commits == 1


async def test_nothing_is_served_before_it_has_committed() -> None:
    """What is folded is nobody's to see."""
    shard = await opened()
    shard.apply(part(events(1)))
    assert total(shard) == 0
    await shard.commit()

    assert total(shard) == 1


async def test_what_comes_during_a_commit_goes_into_the_next() -> None:
    """The one under way has the state and the position of the moment at which it began."""
    kafka = memory(there=9)
    shard = await opened(kafka)
    shard.apply(part(events(1)))
    kafka.cluster.before_commit = lambda _: shard.apply(part(events(2, first=1)))
    await shard.commit()
    kafka.cluster.before_commit = lambda _: None

    assert (total(shard), shard.committed, shard.positions) == (1, {"in": 1}, {"in": 2})
    assert sent(kafka.cluster) == {1: 1}
    again = await opened(kafka)
    assert (counted(again), again.positions) == ({b"k": 1}, {"in": 1})


async def test_a_batch_that_is_refused_fails_the_commit() -> None:
    """The client would say OK: every batch is asked for."""
    kafka = memory()
    shard = await opened(kafka)
    shard.apply(part(events(1)))
    kafka.cluster.refusing = {"state"}
    with pytest.raises(Exception, match="MessageSizeTooLarge"):
        await shard.commit()

    assert (total(shard), kafka.cluster.commits, kafka.cluster.records("out")) == (0, 0, [])


async def test_a_former_owner_cannot_commit() -> None:
    """The next one has started under the same transactional id: what the former has folded is nobody's."""
    kafka = memory()
    former = await opened(kafka)
    former.apply(part(events(1)))
    await opened(kafka)
    with pytest.raises(Exception, match="ProducerFenced"):
        await former.commit()

    assert (total(former), kafka.cluster.commits) == (0, 0)


async def test_a_commit_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past it nobody knows: the worker leaves."""
    monkeypatch.setattr(engine_shard, "COMMIT_SECONDS", 0.01)
    kafka = memory()
    shard = await opened(kafka)
    shard.apply(part(events(1)))
    kafka.cluster.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        await shard.commit()


async def test_a_transaction_leaves_nothing_to_commit() -> None:
    """What it counts of itself is shown with it, and is no reason for the next."""
    shard = await opened()
    shard.apply(part(events(1)))
    await shard.commit()

    assert not shard.has_work()
    assert shard.meters.counters["bookings_total"].labels("added")._value.get() == 1  # noqa: SLF001 - what a scrape would show


async def test_a_position_alone_is_in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction ends in a marker, which moves a position: it is not a reason for the next transaction at once."""
    shard = await opened()
    await shard.commit()
    shard.apply(part([], 0, 1))
    assert not shard.has_work()
    monkeypatch.setattr(engine_shard, "LAZY_SECONDS", -1)

    assert shard.has_work()
    await shard.commit()
    assert not shard.has_work()


async def test_a_new_shard_writes_down_where_it_begins() -> None:
    """Before anything comes: which topic that is, and how many partitions it has, is judged from then on."""
    kafka = memory()
    kafka.cluster.publish("in", 0, *[(b"k", b'{"i":1}')] * 3)
    kafka.cluster.truncate("in", 0, 2)
    shard = await opened(kafka)
    assert (shard.positions, shard.has_work()) == ({"in": 2}, True)
    await shard.commit()

    assert (await opened(kafka)).positions == {"in": 2}


async def test_a_transaction_larger_than_a_batch_takes_several() -> None:
    """All of them, in order."""
    kafka = memory()
    shard = await opened(kafka)
    numbers = list(range(4_500))
    shard.apply(part(events(*numbers)))
    await shard.commit()

    assert [int(record.value or b"") for record in kafka.cluster.records("out")] == numbers


async def test_outputs_go_to_the_partition_of_their_key_unless_one_is_named() -> None:
    """As Kafka's own clients hash; those that another stage reads tell what now is here."""

    class Spreading(Counting):
        """An output for each of several keys, and one on purpose."""

        def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Counted:
            """Counts and spreads."""
            spread = [
                *(Output("out", k, b"1") for k in (b"21", b"foobar", b"a-little-bit-long-string")),
                Output("out", b"21", b"1", 4),
            ]
            return Counted(*super().step(key, old, records, now))._replace(outputs=spread)

    kafka = memory()
    kafka.cluster.create("out", 5)
    shard = await opened(kafka, spec(Spreading, outputs={"out": 5, "dead": 1}, feeds=frozenset({"out"})))
    shard.apply(part(events(1)))
    await shard.commit()
    by_partition = {n: [r.key for r in kafka.cluster.records("out", n)] for n in range(5)}

    # Kafka's UtilsTest: murmur2 is -973932308, -790332482, -985981536.
    expected: dict[int, list[bytes]] = {n: [] for n in range(5)}
    for key, murmur in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        expected[(murmur & 0x7FFFFFFF) % 5].append(key)
    expected[4].append(b"21")
    assert by_partition == expected
    assert {r.headers[0] for n in range(5) for r in kafka.cluster.records("out", n)} == {("now", NOW.to_bytes(8, "big"))}


async def test_what_somebody_waits_for_is_told_by_series() -> None:
    """Since when, the earliest of each, from the front of values; gone when nobody waits."""

    class Waiting(Counting):
        """Somebody waits since the last event, unless it is 0."""

        def waiting(self, value: bytes) -> list[tuple[str, int]]:
            """Since when."""
            since = int(value.rpartition(b"[")[2].rstrip(b"]}").rpartition(b",")[2])
            return [("queue", since)] if since else []

    shard = await opened(of=spec(Waiting))
    shard.apply(part(events(5, key=b"a") + events(3, key=b"b", first=1) + events(9, key=b"c", first=2)))
    await shard.commit()
    assert shard.ledger.served.waiting == {"queue": 3}
    shard.apply(part(events(0, key=b"b", first=3)))
    await shard.commit()
    assert shard.ledger.served.waiting == {"queue": 5}
    shard.apply(part(events(0, key=b"a", first=4) + events(0, key=b"c", first=5)))
    await shard.commit()

    assert shard.ledger.served.waiting == {}


async def test_a_shard_that_was_not_started_cannot_write() -> None:
    """There is no producer yet."""
    with pytest.raises(RuntimeError, match=r"^group-count-0: not started$"):
        closed(memory()).writer.batches({("state", 0): []})


async def test_batches_of_a_stage_are_empty_at_first() -> None:
    """What a stage reads begins with nothing."""
    assert (Batch().groups, Batch().outputs, Batch().counts, Batch().newest) == ({}, [], {}, 0)
