"""The engine: which shards are here, what of them is served when, what is read again, and when the process leaves instead."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
import pytest_asyncio

from streams.engine import engine as engine_module
from streams.engine import shard as shard_module
from streams.engine.engine import Engine, Slot
from streams.engine.shard import Shard
from streams.engine.slices import Slice
from streams.engine.spec import Clock, Spec
from streams.engine.watch import STUCK_SECONDS, gauge, stuck
from tests.cluster import Cluster, MemoryKafka, in_memory
from tests.counting import Counting
from tests.shards import NOW, counted, events, ledger, part, total

pytestmark = pytest.mark.asyncio

SESSION = 10.0


class Fetching:
    """What the engine asks of a consumer: where it was sought to, what is paused."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sought: list[tuple[str, int, int]] = []
        self.flowing: set[Slot] = set()
        self.mirrored: list[dict[Slot, int]] = []
        self.left = 0
        self.failing = False

    async def seek_to(self, topic: str, partition: int, position: int) -> None:
        """Notes."""
        if self.failing:
            raise ConnectionError("no seek")
        self.sought.append((topic, partition, position))

    async def first_offset(self, topic: str, partition: int) -> int:
        """The first that is there."""
        if self.failing:
            raise ConnectionError("no offset")
        return self.cluster.firsts[topic, partition]

    async def last_offset(self, topic: str, partition: int) -> int:
        """The end."""
        return len(self.cluster.logs[topic, partition])

    def pause(self, tps: Iterable[Slot]) -> None:
        """Notes."""
        self.flowing -= set(tps)

    def resume(self, tps: Iterable[Slot]) -> None:
        """Notes."""
        self.flowing |= set(tps)

    def end_of(self, topic: str, partition: int) -> int | None:
        """The end."""
        return len(self.cluster.logs.get((topic, partition), []))

    async def mirror(self, offsets: Mapping[Slot, int]) -> None:
        """Notes."""
        self.mirrored.append(dict(offsets))

    async def leave_group(self) -> None:
        """Notes."""
        self.left += 1


class Time:
    """A clock that a test moves."""

    at = 1_000.0

    def __call__(self) -> float:
        """The instant."""
        return self.at


class World:
    """One engine of one stage with two partitions, on a cluster in memory."""

    def __init__(self, kafka: MemoryKafka, *specs: Spec) -> None:
        self.kafka, self.cluster = kafka, kafka.cluster
        self.engine = Engine(specs or (spec(),), kafka, "group", Clock(fixed=NOW))
        self.time = self.engine.lease.clock = Time()
        self.fetching = Fetching(kafka.cluster)

    async def expelled(self) -> None:
        """What the client does when it is told that it is no member any more: everything is given up, and joined anew, as a new member."""
        self.engine.lease.lost()
        await self.engine.put_away()
        self.engine.lease.lost()
        self.join()

    def join(self) -> None:
        """A join that is asked for and answered at this moment."""
        self.engine.lease.asking(self.time.at)
        self.engine.lease.answered(self.time.at)

    def assign(self, *partitions: int) -> None:
        """These partitions of every source are ours."""
        self.engine.assigned(self.fetching, {(topic, n) for topic in self.engine.stage_of for n in partitions})

    async def opened(self, *partitions: int) -> None:
        """Joined, assigned, open, and past the grace of any former owner."""
        self.join()
        self.assign(*partitions)
        await until(self.engine.ready)
        self.time.at = max(self.time.at, self.engine.lease.settled())
        self.engine.lease.confirmed(self.time.at)

    async def give(self, *numbers: int, first: int = 0) -> None:
        """A slice of partition 0, which is committed."""
        self.cluster.publish("in", 0, *[(b"k", b"") for _ in numbers])
        await self.engine.apply(part(events(*numbers, first=first)))
        shard = self.engine.shards["count", 0]
        await until(lambda: shard.committed == shard.positions and not shard.has_work())

    def served(self) -> dict[str, int]:
        """What a scrape would show at this moment: events counted by shard."""
        if not self.engine.holds():
            return {}
        served = self.engine.served()
        return {name: of.series.get("events_counted", {}).get("", (0, 0))[0] for name, of in served.items()}


def spec(make: Callable[[], Counting] = Counting, **changes: Any) -> Spec:
    """A stage with two partitions."""
    made = Spec(
        name="count", sources=("in",), changelog="state", partitions=2, make=lambda _: make(), ledger=ledger,
        topics={"out": "out", "dead": "dead"}, outputs={"out": 1, "dead": 1},
    )  # fmt: skip
    return replace(made, **changes)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that is to come soon."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a condition of a test
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the process would have ended, and with which status."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(engine_module, "LEAVE_SECONDS", 60)
    return ended


@pytest_asyncio.fixture
async def world(exits: list[int], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """An engine whose shards are put away in the end, and which has had no reason to leave unless a test says so."""
    monkeypatch.setattr(shard_module, "IDLE_SECONDS", 0.01)
    made = World(in_memory(**{"in": 2, "state": 2, "out": 1, "dead": 1}))
    yield made
    made.cluster.gate = None
    await made.engine.put_away()
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer):
            timer.cancel()
    assert made.engine.leaving == bool(exits) == bool(made.fetching.left)


# -- Which shards are here ---------------------------------------------------------------------------------------------


async def test_nothing_is_here_before_anything_was_assigned(world: World) -> None:
    """Neither ready nor served, and there is no consumer to ask."""
    assert (world.engine.ready(), world.engine.progress(), world.engine.served()) == (False, [], {})
    with pytest.raises(RuntimeError, match=r"^no partition has been assigned yet$"):
        _ = world.engine.delivery


async def test_a_shard_that_is_open_is_read_on_from_its_position(world: World) -> None:
    """The consumer is sought there, and only then delivers."""
    world.cluster.publish("in", 0, (b"k", b""), (b"k", b""))
    world.cluster.truncate("in", 0, 1)
    assert not world.engine.wants("in", 0)
    await world.opened(0)
    await until(lambda: world.fetching.flowing == {("in", 0)})

    assert world.fetching.sought == [("in", 0, 1)]
    assert (world.engine.takes("in", 0), world.engine.takes("in", 1), world.engine.takes("else", 0)) == (True, False, False)
    assert world.engine.positions() == {("in", 0): 1}


async def test_nobody_who_has_nothing_is_not_ready(world: World) -> None:
    """A worker without partitions is ready: it waits in reserve."""
    world.join()
    world.assign()

    assert (world.engine.ready(), world.engine.progress()) == (True, [])


async def test_a_shard_needs_its_partition_of_every_source(exits: list[int]) -> None:
    """Topics of one stage are assigned together; a part of them is no shard, and that is said."""
    world = World(in_memory(**{"in": 2, "also": 2, "state": 2, "out": 1, "dead": 1}), spec(sources=("in", "also")))
    world.engine.assigned(world.fetching, {("in", 0), ("also", 0), ("in", 1)})
    await until(lambda: ("count", 0) in world.engine.shards)

    assert [(p.name, p.state) for p in world.engine.progress()] == [("count-0", "catching up"), ("count-1", "refused")]
    assert world.engine.refused["count", 1].startswith("count-1: partition 1 of also is not assigned here; ")
    await world.engine.put_away()
    assert exits == []


# -- Put away and taken up ---------------------------------------------------------------------------------------------


async def test_what_is_folded_commits_before_a_shard_is_put_away(world: World) -> None:
    """Nothing that was applied is left behind, and nothing more is taken."""
    await world.opened(0, 1)
    world.cluster.publish("in", 0, (b"k", b""))
    await world.engine.apply(part(events(1)))
    await world.engine.put_away()

    assert (world.engine.shards, set(world.engine.away)) == ({}, {("count", 0), ("count", 1)})
    assert world.engine.away["count", 0].committed == {"in": 1}


async def test_a_shard_that_nobody_had_meanwhile_is_not_read_again(world: World) -> None:
    """Kept through a rebalance: same producer id, exactly the next epoch; its memory is as good as its log."""
    await world.opened(0)
    await world.give(1)
    shard, reads = world.engine.shards["count", 0], world.cluster.reads
    pid, epoch = shard.identity
    await world.engine.put_away()
    await world.opened(0)
    await world.give(2, first=1)

    assert world.engine.shards["count", 0] is shard
    assert (shard.identity, world.cluster.reads) == ((pid, epoch + 1), reads)
    assert world.served() == {"count-0": 2}


async def test_a_shard_that_somebody_else_had_meanwhile_is_read_anew(world: World) -> None:
    """The producer's epoch tells: what is in memory may be old."""
    await world.opened(0)
    await world.give(1)
    shard = world.engine.shards["count", 0]
    await world.engine.put_away()
    world.cluster.fence("group-count-0")
    await world.opened(0)
    again = world.engine.shards["count", 0]

    assert again is not shard
    assert (counted(again), total(again)) == ({b"k": 1}, 1)


async def test_a_shard_that_is_assigned_elsewhere_is_let_go(world: World) -> None:
    """Its connection is closed, and it is not served from the moment of the assignment."""
    await world.opened(0, 1)
    shard = world.engine.shards["count", 1]
    await world.engine.put_away()
    world.join()
    world.assign(0)
    assert set(world.served()) == {"count-0"}
    await until(lambda: shard.writer.running is None)
    await until(world.engine.ready)

    assert set(world.engine.shards) == {("count", 0)}


async def test_a_shard_that_is_still_opening_is_put_away_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has applied nothing; opening begins again with the next assignment."""
    opening = asyncio.Event()

    async def never(_: Any) -> None:
        opening.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as slow:
        slow.setattr(engine_module, "open_shard", never)
        world.assign(0)
        await opening.wait()
        assert [(p.name, p.state) for p in world.engine.progress()] == [("count-0", "opening")]
        await world.engine.put_away()
    assert (world.engine.shards, world.engine.away, world.engine.opening, world.engine.tasks) == ({}, {}, {}, {})
    await world.opened(0)

    assert set(world.engine.shards) == {("count", 0)}


async def test_a_shard_is_put_away_and_taken_up_any_number_of_times(world: World) -> None:
    """Also while it is being taken up."""
    await world.opened(0)
    await world.give(1)
    for _ in range(5):
        await world.engine.put_away()
        world.join()
        world.assign(0)
        await asyncio.sleep(0)
    await until(world.engine.ready)
    await world.give(2, first=1)

    assert counted(world.engine.shards["count", 0]) == {b"k": 2}


async def test_who_cannot_finish_a_commit_leaves(world: World, exits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may have the shard before this is known: the next owner fences it."""
    monkeypatch.setattr(engine_module, "CLOSE_SECONDS", 0.01)
    await world.opened(0)
    await until(lambda: not world.engine.shards["count", 0].has_work())
    world.cluster.gate = asyncio.Event()
    world.cluster.publish("in", 0, (b"k", b""))
    await world.engine.apply(part(events(1)))
    await world.engine.put_away()
    await until(lambda: exits == [70])
    world.cluster.gate.set()


# -- What is served ----------------------------------------------------------------------------------------------------


async def test_a_shard_that_was_taken_over_is_served_when_every_former_owner_is_silent(world: World) -> None:
    """Before that two could tell of it."""
    world.join()
    world.assign(0)
    await until(world.engine.ready)
    assert world.served() == {}
    world.time.at = world.engine.lease.settled() - 0.001
    assert world.served() == {}
    world.time.at = world.engine.lease.settled()

    assert world.served() == {"count-0": 0}


async def test_a_shard_is_served_through_a_rebalance_for_a_short_grace(world: World) -> None:
    """What it had when it was put away; after the grace nothing, until it is known whose it is."""
    await world.opened(0)
    await world.give(1)
    await world.engine.put_away()
    assert world.served() == {"count-0": 1}
    world.engine.lease.asking(world.time.at)
    assert world.served() == {"count-0": 1}
    world.time.at += world.engine.lease.grace
    assert world.served() == {}
    world.engine.lease.answered(world.time.at)
    assert world.served() == {}
    world.assign(0)

    assert world.served() == {"count-0": 1}
    await until(world.engine.ready)
    assert world.served() == {"count-0": 1}


async def test_nothing_is_served_beyond_the_lease(world: World) -> None:
    """Whatever became of the process meanwhile."""
    await world.opened(0)
    world.time.at += SESSION

    assert world.served() == {}


async def test_what_somebody_else_may_have_counted_meanwhile_is_never_served_from_memory(world: World) -> None:
    """A process that stood still past its session wakes up: it joins again and gets its shard again, which another had meanwhile.

    The lease is good again with the answer to the join. What is in memory is as it was before: it must not be served until the shard
    was opened anew, not even between the answer and the opening.
    """
    await world.opened(0)
    await world.give(1)
    world.time.at += 100
    other = World(world.kafka)
    other.time.at = world.time.at
    await other.opened(0)
    await other.give(2, first=1)
    assert other.served() == {"count-0": 2}
    await other.engine.put_away()

    await world.expelled()
    assert world.served() == {}
    world.assign(0)
    assert world.served() == {}
    await until(world.engine.ready)
    assert world.served() == {}
    world.time.at = world.engine.lease.settled()

    assert world.served() == {"count-0": 2}


async def test_a_loss_that_changed_nothing_makes_a_shard_wait_like_a_new_one(world: World) -> None:
    """Nobody had it, so it is not read again; but who might have had it may still be telling of it."""
    await world.opened(0)
    await world.give(1)
    shard = world.engine.shards["count", 0]
    await world.expelled()
    assert world.served() == {}
    world.assign(0)
    await until(world.engine.ready)
    assert world.engine.shards["count", 0] is shard
    assert world.served() == {}
    world.time.at = world.engine.lease.settled()

    assert world.served() == {"count-0": 1}


# -- Refused -----------------------------------------------------------------------------------------------------------


async def test_a_shard_that_cannot_be_gone_on_from_stays_closed_and_says_why(world: World) -> None:
    """The process goes on, with its other shards; a new assignment tries again."""
    await world.opened(0, 1)
    await world.give(1)
    await world.engine.put_away()
    world.cluster.fence("group-count-0")
    world.cluster.truncate("in", 0, 1)
    world.cluster.publish("in", 0, (b"k", b""))
    world.cluster.truncate("in", 0, 2)
    world.join()
    world.assign(0, 1)
    await until(lambda: [p.state for p in world.engine.progress()] == ["refused", "open"])
    (refused, _) = world.engine.progress()
    assert refused.why.startswith("count-0: position 1 lies outside of what in still has (2 to 2); ")
    gauge(world.engine)
    up = {p: world.engine.meters.up.labels("in", p)._value.get() for p in "01"}  # noqa: SLF001 - what a scrape would show
    assert (up, world.engine.ready(), world.engine.takes("in", 0)) == ({"0": 0, "1": 1}, False, False)
    world.cluster.truncate("in", 0, 0)
    await world.engine.put_away()
    await world.opened(0, 1)

    assert [p.state for p in world.engine.progress()] == ["catching up", "open"]


@pytest.mark.parametrize(("first", "end"), [(3, 5), (0, 0)])
async def test_a_log_that_is_cut_while_it_is_read_refuses_its_shard(world: World, first: int, end: int) -> None:
    """At its beginning, by retention; at its end, because the topic was made anew: what is lost is never passed over."""
    await world.opened(0)
    await world.give(1)
    shard = world.engine.shards["count", 0]
    world.cluster.logs["in", 0][:] = [None] * end
    world.cluster.truncate("in", 0, first)
    await world.engine.gone("in", 0)

    (progress,) = world.engine.progress()
    assert progress.state == "refused"
    assert progress.why.startswith(f"count-0: position 1 lies outside of what in still has ({first} to {end}); ")
    assert (world.fetching.flowing, world.engine.served()) == (set(), {})
    await until(lambda: shard.writer.running is None)
    await world.engine.gone("in", 0)


async def test_a_topic_made_anew_while_it_is_read_refuses_its_shard(world: World) -> None:
    """Also where it has more records by then than were counted of the former."""
    await world.opened(0)
    await world.give(1)
    world.cluster.create("in", 2)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 5)
    await world.engine.gone("in", 0)

    assert world.engine.refused["count", 0].startswith("count-0: in was deleted and made anew since it was read up to offset 1; ")


async def test_a_log_that_has_what_a_shard_wants_is_read_on(world: World) -> None:
    """The broker was wrong for a moment."""
    await world.opened(0)
    await world.give(1)
    await world.engine.gone("in", 0)

    assert (world.engine.refused, world.fetching.sought[-1]) == ({}, ("in", 0, 1))


# -- Slices ------------------------------------------------------------------------------------------------------------


async def test_what_was_lost_on_the_way_is_read_again(world: World) -> None:
    """A slice begins beyond the position: back to there, counted by topic; once, for those under way begin too late as well."""
    await world.opened(0)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 5)
    await until(lambda: len(world.fetching.sought) == 1)
    await world.engine.apply(part(events(3, first=3)))
    await world.engine.apply(part(events(4, first=4)))

    assert world.fetching.sought[1:] == [("in", 0, 0)]
    assert world.engine.meters.counters["seeks_total"].labels("in")._value.get() == 1  # noqa: SLF001 - what a scrape would show
    assert counted(world.engine.shards["count", 0]) == {}


async def test_what_is_lost_again_is_read_again_again(world: World) -> None:
    """As soon as something was applied in between."""
    await world.opened(0)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 5)
    await until(lambda: len(world.fetching.sought) == 1)
    await world.engine.apply(part(events(1, first=1)))
    await world.engine.apply(part(events(0)))
    await world.engine.apply(part(events(4, first=4)))

    assert world.fetching.sought[1:] == [("in", 0, 0), ("in", 0, 1)]


async def test_a_slice_for_a_shard_that_is_not_open_is_dropped(world: World) -> None:
    """It is read again when the shard opens."""
    await world.opened(0)
    await world.engine.apply(replace(part(events(1)), partition=1))

    assert counted(world.engine.shards["count", 0]) == {}


async def test_slices_of_one_fetch_are_bundled_by_stage(world: World) -> None:
    """In their order; all of them are applied."""
    await world.opened(0)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 2)
    parts = [part(events(1)), part(events(2, first=1))]
    assert list(world.engine.bundled(parts)) == [parts]
    await world.engine.apply_all(parts)

    assert counted(world.engine.shards["count", 0]) == {b"k": 2}


async def test_a_partition_that_was_paused_flows_again_when_there_is_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where so much is applied during the transaction that made room that there is none when it ends."""
    await world.opened(0)
    await until(lambda: not world.engine.shards["count", 0].has_work())
    monkeypatch.setattr(shard_module, "ENOUGH", 3)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 4)
    world.cluster.gate = asyncio.Event()
    await world.engine.apply(part(events(1, 2)))
    assert (world.fetching.flowing, world.engine.wants("in", 0)) == (set(), False)
    shard = world.engine.shards["count", 0]
    await until(lambda: shard.has_room)
    await world.engine.apply(part(events(3, 4, first=2)))
    world.cluster.gate.set()
    await until(lambda: world.fetching.flowing == {("in", 0)})


# -- Leaving -----------------------------------------------------------------------------------------------------------


async def fails_to_open(world: World) -> None:
    """The topic is not there."""
    del world.cluster.ids["in"]
    world.assign(0)


async def fails_to_seek(world: World) -> None:
    """The consumer cannot be sought."""
    world.fetching.failing = True
    world.assign(0)


async def fails_to_commit(world: World) -> None:
    """Somebody else has the shard now."""
    await world.opened(0)
    await until(lambda: not world.engine.shards["count", 0].has_work())
    world.cluster.fence("group-count-0")
    world.cluster.publish("in", 0, (b"k", b""))
    await world.engine.apply(part(events(1)))


async def fails_to_apply(world: World) -> None:
    """What is no event at all."""
    await world.opened(0)
    await world.engine.apply(Slice("in", 0, 0, 1, [cast("Any", object())]))


async def fails_to_read_again(world: World) -> None:
    """Nobody says where the log begins."""
    await world.opened(0)
    await until(lambda: bool(world.fetching.sought))
    world.fetching.failing = True
    await world.engine.apply(part(events(2, first=1)))


async def fails_to_judge(world: World) -> None:
    """Nobody says how far the log reaches."""
    await world.opened(0)
    await until(lambda: bool(world.fetching.sought))
    world.fetching.failing = True
    await world.engine.gone("in", 0)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (fails_to_open, "count-0 does not open: UnknownTopicOrPartitionError"),
        (fails_to_seek, "count-0 cannot commit: ConnectionError"),
        (fails_to_commit, "count-0 cannot commit: ProducerFenced"),
        (fails_to_apply, "count-0 cannot apply what it gets: AttributeError"),
        (fails_to_judge, "count-0 cannot read in: ConnectionError"),
        (fails_to_read_again, "count-0 cannot apply what it gets: ConnectionError"),
    ],
)
async def test_whoever_cannot_trust_his_memory_leaves(
    world: World, exits: list[int], caplog: pytest.LogCaptureFixture, event: Callable[[World], Awaitable[None]], why: str
) -> None:
    """With status 70, which means "start me again"; from that moment on nothing is served."""
    await event(world)
    await until(lambda: bool(exits))

    assert (exits, world.engine.holds()) == ([70], False)
    assert [r.getMessage() for r in caplog.records if why in r.getMessage()] != []


async def test_whoever_leaves_says_so_once(world: World, exits: list[int]) -> None:
    """To the group, so that nobody waits for the session; further reasons change nothing."""
    await world.opened(0)
    world.engine.leave("one")
    world.engine.leave("another")
    await until(lambda: bool(exits))

    assert (exits, world.fetching.left) == ([70], 1)


# -- What a watchdog sees ----------------------------------------------------------------------------------------------


async def test_a_shard_that_does_not_commit_is_stuck(world: World) -> None:
    """Within, exactly, outside."""
    await world.opened(0)
    shard = world.engine.shards["count", 0]
    await until(lambda: not shard.has_work())
    world.cluster.gate = asyncio.Event()
    world.cluster.publish("in", 0, (b"k", b""))
    shard.pending.records, shard.pending.since = 1, 100.0
    assert stuck(world.engine, {}, 100.0 + STUCK_SECONDS) == []

    assert stuck(world.engine, {}, 100.1 + STUCK_SECONDS) == [f"count-0 has not committed for {STUCK_SECONDS} s"]
    shard.pending.records = 0


async def test_a_shard_that_gets_nothing_although_there_is_something_is_stuck(world: World) -> None:
    """Judged by its position: it does not move while the log is longer."""
    await world.opened(0)
    moved: dict[Slot, tuple[int, float]] = {}
    assert stuck(world.engine, moved, 0) == []
    world.cluster.publish("in", 0, (b"k", b""), (b"k", b""))
    assert stuck(world.engine, moved, STUCK_SECONDS) == []
    assert stuck(world.engine, moved, STUCK_SECONDS + 1) == ["count-0 gets nothing to apply although 2 records are there"]
    world.engine.shards["count", 0].apply(part(events(1)))

    assert stuck(world.engine, moved, STUCK_SECONDS + 2) == []


async def test_a_shard_that_was_away_is_not_stuck_when_it_comes_back(world: World) -> None:
    """It stands where it stood, and much has come meanwhile: its time begins anew."""
    await world.opened(0)
    moved: dict[Slot, tuple[int, float]] = {}
    stuck(world.engine, moved, 0)
    await world.engine.put_away()
    assert stuck(world.engine, moved, 1) == []
    world.cluster.publish("in", 0, (b"k", b""))
    await world.opened(0)

    assert stuck(world.engine, moved, 2 * STUCK_SECONDS) == []
    assert stuck(world.engine, moved, 3 * STUCK_SECONDS + 1) != []


async def test_how_far_a_shard_is_behind_shows(world: World) -> None:
    """Records it has not applied; 0 when it has caught up."""
    world.cluster.publish("in", 0, (b"k", b""), (b"k", b""))
    await world.opened(0)
    shard = world.engine.shards["count", 0]
    await world.engine.apply(part(events(1)))
    (progress,) = world.engine.progress()
    assert (progress.state, progress.position, world.engine.lag_of(shard)) == ("catching up", {"in": 1}, 1)
    assert progress.behind_seconds > 0
    gauge(world.engine)
    await world.engine.apply(part(events(2, first=1)))
    await until(lambda: shard.caught_up)
    (progress,) = world.engine.progress()

    assert (progress.state, progress.position, progress.behind_seconds) == ("open", {"in": 2}, 0)


async def test_a_shard_that_has_opened_when_it_is_revoked_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is told to end at its next pause; one that has none left must see for itself that the shard was put away."""
    started = asyncio.Event()

    async def opening(shard: Shard) -> None:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        del shard

    monkeypatch.setattr("streams.engine.engine.open_shard", opening)
    world.join()
    world.assign(0)
    await started.wait()
    await world.engine.put_away()

    assert (world.engine.shards, world.engine.away, world.engine.opening, world.engine.leaving) == ({}, {}, {}, False)
