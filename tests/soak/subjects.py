"""What can be soaked: stages that count and are not idempotent, and the whole core."""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

from aiokafka.admin import NewTopic

from streams.connection import administrator
from streams.publishing import Parcel
from streams.settings import Settings
from streams.topics import CHANGELOG
from tests.soak import counting
from tests.soak.counted import Counted
from tests.soak.load import numbered
from tests.soak.run import LOOK_SECONDS, Plan, Soak
from tests.soak.workers import Command

BIRTH_SECONDS: Final = 2
SERVED_SECONDS: Final = 30


def environment(settings: Settings, port: int, session: float, **besides: str) -> dict[str, str]:
    """The settings of a worker."""
    given = {
        "KARAR_BROKER": settings.broker,
        "KARAR_PREFIX": settings.prefix,
        "KARAR_PARTITIONS": str(settings.partitions),
        "KARAR_WEB_HOST": "127.0.0.1",
        "KARAR_WEB_PORT": str(port),
        "KARAR_SESSION_SECONDS": str(session),
        "KARAR_SERIES_BIRTH_SECONDS": str(BIRTH_SECONDS),
        "KARAR_LOG": "console",
    }
    return given | besides


class CountingStages:
    """Two stages that are not idempotent. ``changes`` names what is done to the workers (tests/soak/sabotage.py)."""

    name = "counting"

    def __init__(self, settings: Settings, plan: Plan, changes: str = "") -> None:
        self.settings, self.plan, self.changes = settings, plan, changes
        self.counted = Counted(settings)

    async def prepare(self) -> None:
        """Makes the topics."""
        states = set(counting.STATES.values())
        async with administrator(self.settings.broker) as admin:
            await admin.create_topics(
                [
                    NewTopic(self.settings.topic(name), self.settings.partitions, 1, topic_configs=CHANGELOG if name in states else {})
                    for name in counting.TOPICS
                ]
            )

    def command(self, port: int) -> Command:
        """A worker that counts."""
        given = environment(self.settings, port, self.plan.session, **{counting.CHANGES: self.changes})
        return Command((sys.executable, "-m", "tests.soak.counting"), given)

    def topics(self) -> list[str]:
        """Where the load goes."""
        return [self.settings.topic(counting.IN)]

    def parcels(self) -> Iterator[Parcel]:
        """The load."""
        return numbered(self.settings.topic(counting.IN), self.plan.seed)

    async def settle(self, soak: Soak) -> None:
        """Until everything has been counted, or nothing has for some time, or something was counted twice: that never heals."""
        moved = time.monotonic()
        while time.monotonic() - moved < soak.plan.stalled:
            if await self.counted.read():
                moved = time.monotonic()
            if self.counted.is_exact() or self.counted.is_repeated():
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def judge(self, soak: Soak) -> None:
        """Everything once; and what is served at the end is what was sent."""
        await asyncio.sleep(BIRTH_SECONDS + 2 * LOOK_SECONDS)
        await self.counted.read()
        for what, verdict in self.counted.verdicts().items():
            soak.tell(what, verdict, wrong=bool(verdict))
        expected = self.counted.numbers[counting.IN].values.total()
        deadline = time.monotonic() + SERVED_SECONDS
        # Nobody serves a shard that moves, and a worker may just have come back.
        while {served(texts := await soak.scraper.scrape_all(soak.workers.all), stage) for stage in counting.STATES} != {expected}:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_SECONDS)
        for stage in counting.STATES:
            total = served(texts, stage)
            soak.tell(f"served of {stage}", total, wrong=total != expected)


def served(texts: Iterable[str], stage: str) -> int:
    """What workers say that a stage has counted."""
    lines = (line.rpartition(" ") for text in texts for line in text.splitlines() if not line.startswith("#"))
    return sum(int(value) for series, _, value in lines if f'shard="{stage}-' in series)
