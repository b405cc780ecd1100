"""Kafka itself: killed, gone for a minute, and unable to write."""

import asyncio
import resource
from typing import Final

from tests.soak.catalogue.scene import Fault, Scene

CALM_SECONDS: Final = 3
QUIET_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 2
DYING_SECONDS: Final = 60


async def away(scene: Scene, seconds: float) -> None:
    """Kafka is killed, and starts again after some seconds. Publishers hold back what they have meanwhile."""
    scene.workers.expect_no_kafka(3600)
    scene.kafka.kill()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(scene.kafka.start)
    scene.workers.expect_no_kafka(0)


async def kafka_killed(scene: Scene) -> None:
    """SIGKILL, again and again, with everything under way."""
    async with scene.load() as load:
        for _ in range(scene.times):
            await asyncio.sleep(CALM_SECONDS)
            load.held = True
            await away(scene, AWAY_SECONDS)
            load.held = False
            await scene.recovered()
    scene.how_often = f"{scene.times} × {AWAY_SECONDS} s"


async def kafka_gone(scene: Scene) -> None:
    """Nobody is there for longer than any worker waits for a commit."""
    async with scene.load() as load:
        await asyncio.sleep(CALM_SECONDS)
        load.held = True
        await asyncio.sleep(QUIET_SECONDS)
        await away(scene, scene.times)
        load.held = False
        await scene.recovered()
        await asyncio.sleep(CALM_SECONDS)
    scene.how_often = f"1 × {scene.times} s"


async def disk_full(scene: Scene) -> None:
    """Kafka can write no more, and ends; when there is room again it goes on from what it has.

    A disk to be filled is root's to make: no file of Kafka's may grow instead, and it gets its error from every write, as from a full disk.
    """
    async with scene.load() as load:
        for _ in range(scene.times):
            await asyncio.sleep(CALM_SECONDS)
            kafka = scene.kafka.process
            assert kafka is not None
            scene.workers.expect_no_kafka(3600)
            resource.prlimit(kafka.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            scene.soak.tell("Kafka, when it could not write, ended with status", await asyncio.to_thread(kafka.wait, DYING_SECONDS))
            load.held = True
            await away(scene, QUIET_SECONDS)
            load.held = False
            await scene.recovered()
    scene.how_often = str(scene.times)


FAULTS: Final = (
    Fault(name="kafka_killed", script=kafka_killed, long=8, short=1, in_ci=False, alone=True),
    Fault(name="kafka_gone", script=kafka_gone, long=60, short=8, in_ci=False, alone=True),
    Fault(name="disk_full", script=disk_full, long=4, short=1, alone=True),
)
