"""Keeping an eye on an engine: its gauges, the group's offsets, and whether everything moves."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from streams.engine.balance import draw, told
from streams.engine.engine import SEEK_SECONDS, Engine, Slot

log = logging.getLogger(__name__)

MIRROR_SECONDS: Final = 5
WATCH_SECONDS: Final = 1
SEARCH_SECONDS: Final = 10
STUCK_SECONDS: Final = 60
TRIM_SECONDS: Final = 60
ASSIGNED_SECONDS: Final = 120
REST_SECONDS: Final = 0.02
"""The trial balance takes pieces of some milliseconds, and rests so long between them."""


async def mirror(engine: Engine) -> None:
    """Shows positions in the group's offsets, again and again, for lag tools."""
    while True:
        await asyncio.sleep(MIRROR_SECONDS)
        committed = {(topic, s.partition): at for s in engine.shards.values() for topic, at in s.committed.items()}
        if committed:
            await engine.delivery.mirror(committed)


async def watch(engine: Engine) -> None:
    """Keeps the gauges, and leaves when a shard does not move although there is something to read or to commit."""
    moved: dict[Slot, tuple[int, float]] = {}
    started = time.monotonic()
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if engine.mine is None:
            if time.monotonic() > started + ASSIGNED_SECONDS:
                engine.leave(f"the group has assigned nothing for {ASSIGNED_SECONDS} s")
            continue
        gauge(engine)
        now = time.monotonic()
        for why in stuck(engine, moved, now):
            engine.leave(why)
        await search(engine, moved, now)


async def trim(engine: Engine) -> None:
    """Deletes what stages have committed of topics that nobody else reads, again and again."""
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        try:
            await trim_all(engine)
        except KafkaError as error:
            log.info("not trimmed: %r", error)


async def trim_all(engine: Engine) -> None:
    """Deletes the records that the shards here have committed. KafkaError."""
    shards = [shard for shard in engine.shards.values() if shard.spec.trims]
    read = {TopicPartition(topic, s.partition): RecordsToDelete(at) for s in shards for topic, at in s.committed.items() if at}
    if not read:
        return
    admin = engine.kafka.administrator()
    try:
        await admin.start()
        await admin.delete_records(read)
    finally:
        await admin.close()


async def balance(engine: Engine, every: float) -> None:
    """Draws the trial balance of every shard here, again and again, shard after shard. ``every`` in seconds; 0: never."""
    while every:
        await asyncio.sleep(every)
        await balance_all(engine)


async def balance_all(engine: Engine) -> None:
    """The trial balance of every shard here: what differs is an error in the log, and how many series do is a gauge."""
    number = 0
    for shard in list(engine.shards.values()):
        if differences := await draw(shard, REST_SECONDS):
            number += len(differences)
            log.error("%s: the trial balance is not 0: %s", shard.name, told(differences))
    engine.meters.differences.set(number)


def stuck(engine: Engine, moved: dict[Slot, tuple[int, float]], now: float) -> list[str]:
    """What does not move, judged by position. ``moved``: where each shard stood when it last moved, and when that was."""
    found = []
    for slot in moved.keys() - engine.shards.keys():
        del moved[slot]
    for slot, shard in engine.shards.items():
        if shard.pending.records and now - shard.pending.since > STUCK_SECONDS:
            found.append(f"{shard.name} has not committed for {now - shard.pending.since:.0f} s")
        here = sum(shard.positions.values())
        at, since = moved.get(slot, (-1, now))
        if at != here or not engine.lag_of(shard):
            moved[slot] = here, now
        elif now - since > STUCK_SECONDS:
            found.append(f"{shard.name} gets nothing to apply although {engine.lag_of(shard)} records are there")
    return found


async def search(engine: Engine, moved: Mapping[Slot, tuple[int, float]], now: float) -> None:
    """Reads again where nothing has come for a while although it is there: lost on the way, with nothing behind it that would show it."""
    for slot, shard in list(engine.shards.items()):
        if slot not in moved or now - moved[slot][1] <= SEARCH_SECONDS or shard.paused:
            continue
        for topic, position in shard.positions.items():
            if (engine.delivery.end_of(topic, shard.partition) or 0) > position:
                try:
                    async with asyncio.timeout(SEEK_SECONDS):
                        await engine.read_again(shard, topic, f"nothing has come for {SEARCH_SECONDS} s")
                except Exception as error:  # noqa: BLE001 - it is not known what will be read
                    engine.leave(f"{shard.name} cannot read {topic} again: {error!r}")


def gauge(engine: Engine) -> None:
    """The worker's gauges as they are now."""
    meters, shards, now = engine.meters, list(engine.shards.values()), time.monotonic()
    meters.shards.set(len(engine.mine or ()))
    meters.uncommitted.set(sum(s.pending.records for s in shards))
    meters.oldest.set(max((now - s.pending.since for s in shards if s.pending.records), default=0))
    meters.behind.set(max(map(engine.behind, shards), default=0))
    meters.up.clear()
    meters.consumer_lag.clear()
    for name, n in engine.mine or ():
        shard = engine.shards.get((name, n))
        for topic in engine.specs[name].sources:
            meters.up.labels(topic, str(n)).set(int(shard is not None))
            end = engine.delivery.end_of(topic, n)
            if shard is not None and end is not None:
                meters.consumer_lag.labels(topic, str(n)).set(max(0, end - shard.positions[topic]))
    for name in engine.specs:
        newest = max((s.newest for s in shards if s.spec.name == name), default=0)
        meters.last_event.labels(name).set(newest / 1000)
