"""The group: workers that join and leave all the time, or are frozen, and how long the others wait for them."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.murmur import partition_of
from streams.publishing import Parcel
from tests.soak import counting
from tests.soak.catalogue.scene import PARTITIONS, SESSION, Fault, Scene
from tests.soak.load import KEYS
from tests.soak.workers import Worker

PACE_SECONDS: Final = (0.5, 3.0)
CALM_SECONDS: Final = 5.0
STABLE: Final = 2
ABORTING_SECONDS: Final = 10.0
"""Kafka looks so often for transactions that are too old."""


async def rebalance_storm(scene: Scene) -> None:
    """Two workers stay, two join and leave every few seconds, in order or not."""
    until = time.monotonic() + scene.times
    left: list[str] = []

    async def come_and_go(worker: Worker) -> None:
        chance = Random(f"{scene.soak.plan.seed} storm {worker.number}")
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(*PACE_SECONDS))
            if in_order := chance.random() < 0.5:
                await scene.workers.end(worker)
            else:
                scene.workers.kill(worker)
            left.append("SIGTERM" if in_order else "SIGKILL")
            await asyncio.sleep(chance.uniform(*PACE_SECONDS))
            scene.workers.start(worker)

    async with scene.load():
        await asyncio.gather(*map(come_and_go, scene.all[STABLE:]))
        await scene.recovered()
    scene.how_often = f"{len(left)} in {scene.times} s"


async def killed(scene: Scene) -> None:
    """SIGKILL of any worker at any moment."""
    chance = Random(f"{scene.soak.plan.seed} killed")
    async with scene.load():
        for _ in range(scene.times):
            await asyncio.sleep(chance.uniform(*PACE_SECONDS))
            worker = chance.choice(scene.all)
            scene.workers.kill(worker)
            await asyncio.sleep(chance.random())
            scene.workers.start(worker)
        await scene.recovered()
    scene.how_often = str(scene.times)


async def past_the_session(scene: Scene) -> None:
    """One worker after the other is stopped for longer than its session, and wakes up in the belief that nothing was."""
    async with scene.load():
        for n in range(scene.times):
            await frozen(scene, scene.all[n % len(scene.all)], SESSION + 3)
            await scene.recovered()
    scene.how_often = str(scene.times)


async def frozen(scene: Scene, worker: Worker, seconds: float) -> None:
    """A worker is stopped for some seconds."""
    scene.workers.send(worker, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    if scene.workers.send(worker, signal.SIGCONT):
        scene.soak.scraper.woken(worker)


def numbered(topic: str) -> Iterator[Parcel]:
    """Numbers, of whose keys it is known where they go."""
    number = 0
    while True:
        yield Parcel(topic, key_of(number), b'{"i":%d}' % number)
        number += 1


def key_of(number: int) -> bytes:
    """The key of a number."""
    return b"key-%d" % (number % KEYS)


@dataclass
class Lags:
    """From when a number was sent until it came out of the second stage (s), for whoever reads what has committed.

    ``others``: only what no worker but these shards' had to do with.
    """

    scene: Scene
    others: frozenset[int] = frozenset()
    seen: list[float] = field(default_factory=list)

    async def look(self) -> None:
        """Reads on as long as it is let."""
        topic = self.scene.subject.settings.topic(counting.OUT)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.scene.kafka.address, enable_auto_commit=False, isolation_level="read_committed", fetch_max_wait_ms=20
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, n) for n in range(PARTITIONS)])
            await consumer.seek_to_end()
            while True:
                for place, records in (await consumer.getmany(timeout_ms=50)).items():
                    now = time.time()
                    for record in records:
                        came = partition_of(key_of(int(record.value or b"")), PARTITIONS)
                        if {came, place.partition} <= self.others:
                            self.seen.append(now - record.timestamp / 1000)
        finally:
            await consumer.stop()

    def told(self, what: str) -> float:
        """The 99th percentile since the last time, and a row that says so; the longest."""
        seen, self.seen = sorted(self.seen), []
        self.scene.soak.tell(what, f"p50 {seen[len(seen) // 2]:.3f}, p99 {seen[len(seen) * 99 // 100]:.3f}, longest {seen[-1]:.3f} s")
        return seen[-1]


async def others_meanwhile(scene: Scene) -> None:
    """What the others do while one worker is frozen: for less than its session, and for longer. Its records wait, theirs must not for long.

    What he has in an open transaction hides what comes after it in the topic between the stages, until Kafka or his successor aborts it.
    """
    scene.parcels = numbered(scene.source)
    lags = Lags(scene)
    looking = asyncio.create_task(lags.look())
    try:
        async with scene.load():
            for _ in range(scene.times):
                await asyncio.sleep(CALM_SECONDS)
                await scene.recovered()
                shards = await scene.shards()
                away = shards[f"{counting.FIRST}-0"]
                lags.others = frozenset(n for n in range(PARTITIONS) if away not in {shards[f"{stage}-{n}"] for stage in counting.STATES})
                lags.seen.clear()
                await asyncio.sleep(CALM_SECONDS)
                lags.told(f"lag of what {len(lags.others)} shards have, all is well")
                for seconds, what in ((SESSION / 2, "less than a session"), (SESSION + CALM_SECONDS, "longer than a session")):
                    await frozen(scene, scene.all[away], seconds)
                    await scene.recovered()
                    longest = lags.told(f"lag of the same while one worker is frozen for {what}")
                    scene.soak.tell("longest", f"{longest:.1f} s", wrong=longest > SESSION + ABORTING_SECONDS + CALM_SECONDS)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    scene.how_often = f"{2 * scene.times}"


FAULTS: Final = (
    Fault(name="killed", script=killed, long=200, short=3, in_ci=False),
    Fault(name="rebalance_storm", script=rebalance_storm, long=120, short=12, in_ci=False, workers=4),
    Fault(name="past_the_session", script=past_the_session, long=10, short=1, in_ci=False),
    Fault(name="others_meanwhile", script=others_meanwhile, long=5, short=1, in_ci=False, workers=3, environment={counting.FANS_OUT: "1"}),
)
