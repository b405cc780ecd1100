"""Keeping an eye on an engine: what is stuck, how far it is, what balances, what is mirrored; and the worker's own series."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import generate_latest

from streams.engine import watch as watch_module
from streams.engine.engine import Slot
from streams.engine.meters import Meters
from streams.engine.watch import SEARCH_SECONDS, STUCK_SECONDS, balance_all, gauge, search, stuck
from tests.counting import HEADER
from tests.shards import events, part
from tests.world import World, until

pytestmark = pytest.mark.asyncio


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


async def test_a_shard_that_gets_nothing_for_a_while_is_read_again(world: World) -> None:
    """Past the time, once; not where there is nothing, and not where the shard itself wants nothing."""
    await world.opened(0, 1)
    world.cluster.publish("in", 0, (b"k", b""))
    moved: dict[Slot, tuple[int, float]] = {}
    stuck(world.engine, moved, 0)
    world.fetching.sought.clear()
    await search(world.engine, moved, SEARCH_SECONDS)
    assert world.fetching.sought == []
    world.engine.shards["count", 0].paused = True
    await search(world.engine, moved, SEARCH_SECONDS + 1)
    assert world.fetching.sought == []
    world.engine.shards["count", 0].paused = False
    await search(world.engine, moved, SEARCH_SECONDS + 1)
    await search(world.engine, moved, SEARCH_SECONDS + 1)

    assert world.fetching.sought == [("in", 0, 0)]


async def test_who_cannot_read_again_leaves(world: World, exits: list[int]) -> None:
    """It is not known what would be read."""
    await world.opened(0)
    world.cluster.publish("in", 0, (b"k", b""))
    world.fetching.failing = True
    await search(world.engine, {("count", 0): (0, 0)}, SEARCH_SECONDS + 1)
    await until(lambda: bool(exits))

    assert exits == [70]


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


# -- What runs beside --------------------------------------------------------------------------------------------------


async def beside(work: Any, happened: Any) -> None:
    """Something that goes on for ever, until something has happened."""
    task = asyncio.create_task(work)
    await until(lambda: happened() or task.done())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a second."""
    monkeypatch.setattr(watch_module, "MIRROR_SECONDS", 0.001)
    monkeypatch.setattr(watch_module, "WATCH_SECONDS", 0.001)


async def test_what_has_committed_is_mirrored(world: World) -> None:
    """Nothing where nothing is open; then where each shard stands."""
    assert world.fetching.mirrored == []
    await world.opened(0)
    await world.give(1)
    await beside(watch_module.mirror(world.engine), lambda: bool(world.fetching.mirrored))

    assert world.fetching.mirrored[0] == {("in", 0): 1}


async def test_whoever_does_not_move_is_made_to_leave(world: World, exits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog keeps the gauges, and starts the process again where nothing comes although something is there."""
    monkeypatch.setattr(watch_module, "STUCK_SECONDS", 0.01)
    await world.opened(0)
    world.cluster.publish("in", 0, (b"k", b""))
    await beside(watch_module.watch(world.engine), lambda: bool(exits))

    assert exits == [70]
    assert world.engine.meters.shards._value.get() == 1  # noqa: SLF001 - what a scrape would show


async def test_whoever_is_assigned_nothing_is_made_to_leave(world: World, exits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The group has forgotten this worker, or never heard of it."""
    monkeypatch.setattr(watch_module, "ASSIGNED_SECONDS", 0.01)
    await beside(watch_module.watch(world.engine), lambda: bool(exits))
    world.fetching.left = 1  # there is no consumer to tell

    assert exits == [70]


async def test_the_trial_balance_is_drawn_of_every_shard(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """0 while all is well, also of what has not committed yet; what differs is named, counted, and an error in the log."""
    await world.opened(0, 1)
    await world.give(1, 2)
    await world.engine.apply(part(events(3, first=2)))
    await balance_all(world.engine)
    differences = world.engine.meters.differences._value  # noqa: SLF001 - what a scrape would show
    assert differences.get() == 0
    shard = world.engine.shards["count", 0]
    shard.ledger.amounts["events_counted", ""].total += 5
    with caplog.at_level(logging.ERROR):
        await balance_all(world.engine)

    assert differences.get() == 1
    assert "count-0: the trial balance is not 0: events_counted +5" in caplog.text


async def test_a_state_that_cannot_be_read_shows_in_the_trial_balance(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It stands for nothing; the rest is added up all the same."""
    await world.opened(0)
    await world.give(1, 2)
    shard = world.engine.shards["count", 0]
    values = shard.store.values
    values.put(b"spoilt", None, bytes(HEADER) + b"{")
    values.put(b"k", values[b"k"], bytes(HEADER) + b"{")
    await balance_all(world.engine)

    assert "a state cannot be read: " in caplog.text
    assert "count-0: the trial balance is not 0: events_counted +2" in caplog.text
    for key, value in list(values.items()):
        values.put(key, value, None)


# -- The worker's own series -------------------------------------------------------------------------------------------


def shown(meters: Meters, name: str) -> dict[str, float]:
    """What a scrape shows of a series, by the rest of its line."""
    lines = [line for line in generate_latest(meters.registry).decode().splitlines() if line.startswith(name)]
    return {line.removeprefix(name).rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


class At:
    """A record of some instant."""

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp


@pytest.mark.parametrize(
    ("timestamps", "within", "beyond"),
    [
        ([900, 900], {"0.1": 2, "0.075": 0}, 0),  # exactly at a bound
        ([899, 901], {"0.1": 1, "0.15": 2}, 0),  # one on each side of it
        ([0, 990], {"0.01": 1, "0.75": 1, "1": 2}, 0),
        ([-10_000_000, 1_000], {"0.005": 1, "3600": 1}, 1),
        ([2_000], {"0.005": 1}, 0),  # the publisher's clock is ahead
    ],
)
async def test_how_long_records_took_is_a_histogram(timestamps: Sequence[int], within: dict[str, int], beyond: int) -> None:
    """From a record's own time to the publication of what it changed, at 1,000 ms; of whole slices at once."""
    meters = Meters()
    records: Any = [At(timestamp) for timestamp in timestamps]
    meters.lag.observe("stitch", 1_000, records)
    buckets = shown(meters, "karar_event_lag_seconds_bucket")

    assert {bound: buckets[f'{{le="{bound}",stage="stitch"}}'] for bound in within} == within
    assert buckets['{le="+Inf",stage="stitch"}'] - buckets['{le="3600",stage="stitch"}'] == beyond
    assert shown(meters, "karar_event_lag_seconds_count") == {'{stage="stitch"}': len(timestamps)}


async def test_counts_of_steps_are_added_by_name_and_labels() -> None:
    """A name that nobody knows is nobody's series."""
    meters = Meters()
    meters.count({("truncated_total", "events"): 2, ("unheard_of_total", "x"): 1})
    meters.count({("truncated_total", "events"): 3})

    assert shown(meters, "karar_truncated_total") == {'{what="events"}': 5}
    assert shown(meters, "karar_unheard_of_total") == {}
