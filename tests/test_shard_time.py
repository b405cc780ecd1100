"""What time alone brings to a shard: keys that are due, keys that are looked at, and what now is."""

from collections.abc import Sequence
from typing import Any

import pytest

from streams.engine import shard as engine_shard
from streams.engine import spec as engine_spec
from streams.engine.spec import Clock
from tests.counting import NEVER, Counted, Counting, Output
from tests.shards import NOW, buried, counted, events, memory, opened, part, spec, total

pytestmark = pytest.mark.asyncio
FAR = 15 << 16


class Timed(Counting):
    """A key is due at the number of its last event; below 0, time cannot step it. Each look in time is told."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Counted:
        """Counts, or looks."""
        if not records:
            assert old is not None
            if key == b"bad":
                raise ValueError("time cannot step it")
            return Counted(NEVER.to_bytes(8, "big") + old[8:], outputs=[Output("out", key, b"%d" % now)])
        change = Counted(*super().step(key, old, records, now))
        assert change.value is not None
        due = int(records[-1].strip(b'{"i:}'))
        return Counted(due.to_bytes(8, "big") + change.value[8:], due, change.bookings)

    def is_open(self, value: bytes) -> bool:
        """Those that are due some time."""
        return self.due(value) != NEVER


async def test_keys_whose_time_has_come_are_stepped_once() -> None:
    """At its instant, and not before."""
    shard = await opened(kafka := memory(), spec(Timed))
    shard.apply(part(events(NOW, key=b"now") + events(NOW + 1, key=b"later", first=1)))

    assert not shard.sweep()
    assert not shard.sweep()
    await shard.commit()
    assert [record.key for record in kafka.cluster.records("out")] == [b"now"]


async def test_a_sweep_stops_after_a_number_of_keys() -> None:
    """So that slices are not held up; it says that there are more."""
    shard = await opened(of=spec(Timed))
    keys = engine_shard.SWEPT_AT_ONCE + 10
    shard.apply(part([record for n in range(keys) for record in events(1, key=b"%d" % n, first=n)]))

    assert shard.sweep()
    assert not shard.sweep()
    assert len(shard.pending.outputs["out", 0]) == keys


async def test_keys_that_stand_in_the_index_twice_do_not_end_a_sweep() -> None:
    """Who was due later in this minute before stands there of then, too: what is counted is entries, what is stepped is keys."""
    shard = await opened(of=spec(Timed))
    keys = engine_shard.SWEPT_AT_ONCE + 10
    assert not shard.sweep()
    for turn, later in enumerate((1, 0)):
        shard.apply(part([record for n in range(keys) for record in events(FAR + 2 * n + later, key=b"%d" % n, first=n + turn * keys)]))

    swept = 0
    while shard.sweep():
        swept += 1
    assert (swept, len(shard.pending.outputs["out", 0])) == (2, keys)


async def test_a_turn_steps_many_keys_and_leaves_the_rest_to_the_next() -> None:
    """The loop goes round in between; a shard that is being closed steps none."""
    shard = await opened(of=spec(Timed))
    keys = engine_shard.SWEPT_AT_ONCE * engine_shard.SWEEPS_A_TURN + 1
    shard.apply(part([record for n in range(keys) for record in events(1, key=b"%d" % n, first=n)]))
    shard.wake.clear()
    shard.closing = True
    await shard.keep_time()
    assert shard.pending.outputs == {}

    shard.closing = False
    await shard.keep_time()
    assert (len(shard.pending.outputs["out", 0]), shard.wake.is_set()) == (keys - 1, True)
    shard.wake.clear()
    await shard.keep_time()
    assert (len(shard.pending.outputs["out", 0]), shard.wake.is_set()) == (keys, False)


async def test_a_key_that_time_cannot_step_waits_for_its_next_record() -> None:
    """The others are stepped; it is a defect, counted; nothing is tried again and again."""
    shard = await opened(of=spec(Timed))
    shard.apply(part(events(1, key=b"bad") + events(2, key=b"good", first=1)))

    assert not shard.sweep()
    assert [row[0] for row in shard.pending.outputs["out", 0]] == [b"good"]
    assert shard.pending.counts == {("defects_total", "count"): 1}
    assert not shard.sweep()
    assert shard.pending.counts == {("defects_total", "count"): 1}


async def test_a_key_that_time_could_not_step_is_due_again_after_its_next_record() -> None:
    """Also where that makes it due later than before."""
    shard = await opened(of=spec(Timed))
    shard.apply(part(events(1, key=b"bad")))
    shard.sweep()
    shard.apply(part(events(2, key=b"bad", first=1)))
    shard.sweep()

    assert shard.pending.counts == {("defects_total", "count"): 2}


class Resetting(Timed):
    """An event 7 says that everything open is to be looked at."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Counted:
        """Counts, and asks."""
        return super().step(key, old, records, now)._replace(revisit=b'{"i":7}' in records)


async def test_every_open_key_is_looked_at_when_a_step_says_so() -> None:
    """Once, after the slice; what is closed is left alone."""
    shard = await opened(kafka := memory(), spec(Resetting))
    shard.apply(part(events(NOW + 5, key=b"a") + events(NOW + 5, key=b"b", first=1) + events(NEVER, key=b"closed", first=2)))
    shard.apply(part(events(7, key=b"r", first=3)))
    await shard.commit()

    assert sorted(record.key or b"" for record in kafka.cluster.records("out")) == [b"a", b"b", b"r"]


async def test_a_key_that_cannot_be_looked_at_does_not_count_a_slice_twice() -> None:
    """The slice is stored by then: the key waits for its next record, a defect, and the slice is no dead letter."""
    shard = await opened(kafka := memory(), spec(Resetting))
    shard.apply(part(events(NOW + 5, key=b"bad")))
    shard.apply(part(events(7, 7, key=b"r", first=1)))
    await shard.commit()

    assert (counted(shard)[b"r"], total(shard), buried(kafka.cluster)) == (2, 3, [])


@pytest.mark.parametrize(
    ("clock", "caught_up", "now"),
    [(Clock(fixed=5), True, 5), (Clock(fixed=5), False, 5), (Clock(by_events=True), True, 77), (Clock(), False, 77)],
)
async def test_now_is_what_the_clock_says(clock: Clock, caught_up: bool, now: int) -> None:  # noqa: FBT001 - parametrized
    """A fixed instant; the newest event time, also until a shard has caught up."""
    assert clock.now(77, caught_up=caught_up) == now


async def test_now_is_the_wall_clock_once_a_shard_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines come although no event does."""
    monkeypatch.setattr(engine_spec, "wall", lambda: 99)

    assert Clock().now(77, caught_up=True) == 99


@pytest.mark.parametrize(("applied", "caught_up"), [(1, False), (2, True)])
async def test_a_shard_has_caught_up_when_all_that_was_there_is_applied(applied: int, caught_up: bool) -> None:  # noqa: FBT001 - parametrized
    """What arrives later does not take that back."""
    kafka = memory()
    kafka.cluster.publish("in", 0, (b"k", b'{"i":1}'), (b"k", b'{"i":2}'))
    shard = await opened(kafka)
    shard.apply(part(events(1, 2)[:applied]))
    shard.look_at_ends()

    assert shard.caught_up == caught_up
