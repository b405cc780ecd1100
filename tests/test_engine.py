"""The engine: which shards are here, what of them is served when, what is read again, and when the process leaves instead."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.engine import engine as engine_module
from streams.engine import opening as opening_module
from streams.engine import shard as shard_module
from streams.engine.ledger import Ledger
from streams.engine.pace import TURNS
from streams.engine.shard import Shard
from streams.engine.slices import Slice
from streams.engine.watch import gauge
from tests.cluster import Producer, in_memory
from tests.shards import counted, events, part, total
from tests.world import SESSION, World, spec, until

pytestmark = pytest.mark.asyncio


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
    world.engine.assigned(world.fetching, {("in", 0)})
    world.engine.lease.confirmed(world.time.at)
    assert (set(world.engine.refused), world.engine.away, world.engine.served()) == ({("count", 0)}, {}, {})
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
    await world.engine.put_away()
    pid, epoch = shard.writer.identity
    await world.opened(0)
    assert shard.writer.identity == (pid, epoch + 1)
    await world.give(2, first=1)

    assert (world.engine.shards["count", 0] is shard, world.cluster.reads) == (True, reads)
    assert world.served() == {"count-0": 2}


async def test_shards_that_were_here_are_taken_up_before_others_are_read(world: World) -> None:
    """Few open at a time: one whose memory is here would stand still until the states of others have been read."""
    await world.opened(1)
    await world.engine.put_away()
    world.assign(0, 1)

    assert list(world.engine.tasks) == [("count", 1), ("count", 0)]
    await until(world.engine.ready)


async def overtaken(world: World) -> World:
    """Whoever has counted the second event of a shard while the one who had the first stood still."""
    await world.opened(0)
    await world.give(1)
    world.time.at += 100
    other = World(world.kafka)
    other.time.at = world.time.at
    await other.opened(0)
    await other.give(2, first=1)
    return other


@pytest.mark.parametrize(("owner", "name"), [(opening_module, "described"), (Producer, "start"), (Producer, "stop")])
async def test_a_shard_that_was_being_taken_up_when_it_was_put_away_is_read_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str,
) -> None:  # fmt: skip
    """The try has moved the epoch past that of whoever had it meanwhile: the next one would find his own, and trust old memory."""
    other = await overtaken(world)
    await other.engine.put_away()
    await world.expelled()
    reached, real = asyncio.Event(), getattr(owner, name)

    async def cut_short(*arguments: Any) -> Any:
        found = await real(*arguments)
        reached.set()
        await asyncio.Event().wait()
        return found

    monkeypatch.setattr(owner, name, cut_short)
    world.assign(0)
    await reached.wait()
    await world.engine.put_away()
    monkeypatch.setattr(owner, name, real)
    world.join()
    world.assign(0)
    await until(world.engine.ready)
    shard = world.engine.shards["count", 0]

    assert (world.engine.leaving, shard.positions, counted(shard)) == (False, {"in": 2}, {b"k": 2})


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


async def test_a_series_is_born_no_sooner_than_its_shard_is_served(exits: list[int]) -> None:
    """A new owner is silent until every former one is: until then nobody can have seen a 0."""
    world = World(in_memory(**{"in": 2, "state": 2, "out": 1, "dead": 1}), spec(ledger=lambda: Ledger(str, birth=30)))
    await world.opened(0)
    await world.give(1)
    await world.engine.put_away()
    world.cluster.fence("group-count-0")
    began = time.monotonic()
    world.join()
    world.assign(0)
    await until(world.engine.ready)
    ledger = world.engine.shards["count", 0].ledger
    silent = world.engine.lease.settled() - world.time.at

    assert list(ledger.born) == ["events_counted"]
    assert ledger.born["events_counted"] >= began + silent > began + 2
    ledger.publish([(("new", ""), 1, 0, False)], began)
    assert ledger.born["new"] == ledger.born["events_counted"]
    await world.expelled()
    world.time.at += 60
    world.engine.lease.known = world.engine.lease.losses
    world.engine.lease.answered(world.time.at)
    world.assign(0)
    await until(world.engine.ready)
    assert world.engine.shards["count", 0].ledger is ledger
    assert ledger.born["new"] >= time.monotonic() + silent - 1 > began + 1
    await world.engine.put_away()
    assert exits == []


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
    other = await overtaken(world)
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


async def test_an_output_may_have_more_partitions_than_are_written_to(world: World) -> None:
    """As `karar topics --check` says: keys go to as many as they always did."""
    await world.opened(0)
    await world.engine.put_away()
    world.cluster.create("out", 3)
    await world.opened(0)
    await world.give(1)

    assert (world.engine.refused, world.served()) == ({}, {"count-0": 1})


async def test_an_output_that_another_stage_reads_has_exactly_as_many(exits: list[int]) -> None:
    """Its partitions are shards, and another number is counted wrong by whoever reads it."""
    world = World(in_memory(**{"in": 2, "state": 2, "out": 2, "dead": 1}), spec(feeds=frozenset({"out"})))
    world.join()
    world.assign(0)
    await until(lambda: bool(world.engine.refused))

    assert world.engine.refused == {("count", 0): "count-0: out has 2 partitions, not 1; `karar topics --check` says more"}
    assert exits == []


async def test_a_shard_that_is_refused_when_it_is_taken_up_again_is_served_no_more(world: World) -> None:
    """What it had does not rise any more, and whoever waits in it would wait for ever; its producer ends."""
    await world.opened(0)
    await world.give(1)
    shard = world.engine.shards["count", 0]
    await world.engine.put_away()
    world.cluster.create("out", 0)
    world.join()
    world.assign(0)
    await until(lambda: bool(world.engine.refused))
    world.time.at = world.engine.lease.settled()

    assert world.engine.refused == {("count", 0): "count-0: out has 0 partitions, not 1; `karar topics --check` says more"}
    assert (world.served(), world.engine.away, world.engine.ready()) == ({}, {}, False)
    await until(lambda: shard.writer.running is None)


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


@pytest.mark.parametrize(("seconds", "askers", "turns"), [(0.0003, 1, 0), (0.0005, 0, 1), (0.0005, 1, TURNS), (1.0, 2, TURNS)])
async def test_who_waits_for_a_scrape_has_more_turns_between_slices(
    world: World, seconds: float, askers: int, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape needs some ten turns of the loop; with one between two slices it would wait for ten of these."""
    clock, had, seen = [0.0], 0, list[int]()
    monkeypatch.setattr(engine_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    async def apply(_: Slice) -> None:
        seen.append(had)
        clock[0] += seconds

    monkeypatch.setattr(world.engine, "apply", apply)
    with ExitStack() as stack:
        for _ in range(askers):
            stack.enter_context(world.engine.turns.asked())
        applying = asyncio.create_task(world.engine.apply_all([part(events(1))] * 2))
        await asyncio.sleep(0)
        while not applying.done():
            had += 1
            await asyncio.sleep(0)

    assert (seen, world.engine.turns.askers) == ([0, turns], 0)


async def test_who_has_his_scrape_needs_no_more_turns(world: World) -> None:
    """They cost a worker that is busy: what it commits sooner is less at a time."""
    turns, had = world.engine.turns, 0
    with turns.asked():
        giving = asyncio.create_task(turns.give())
        for _ in range(4):
            await asyncio.sleep(0)
        assert not giving.done()
    while not giving.done():
        had += 1
        await asyncio.sleep(0)

    assert had == 1


async def test_a_partition_that_was_paused_flows_again_when_there_is_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where so much is applied during the transaction that made room that there is none when it ends."""
    await world.opened(0)
    await until(lambda: not world.engine.shards["count", 0].has_work())
    monkeypatch.setattr(shard_module, "ENOUGH", 3)
    world.cluster.publish("in", 0, *[(b"k", b"")] * 4)
    world.cluster.gate = asyncio.Event()
    await world.engine.apply(part(events(1, 2)))
    assert (world.fetching.flowing, world.engine.wants("in", 0)) == (set(), False)
    assert world.engine.upsets == 3  # assigned, opened, and now paused: each may leave something in circles
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
