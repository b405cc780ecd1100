"""Short soaks of the counting stages in which exactly one thing goes wrong at a time, and everything that can be provoked in turn."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.connection import administrator
from streams.publishing import Parcel, sending
from streams.settings import Settings
from tests.soak.counting import IN, MIDDLE
from tests.soak.load import Load
from tests.soak.run import Plan, Soak, around
from tests.soak.sabotage import ONCE
from tests.soak.scraper import Scraper
from tests.soak.subjects import CountingStages
from tests.soak.watch import Watch
from tests.soak.workers import Command, Worker, Workers

RATE: Final = 400
PARTITIONS: Final = 2
SESSION: Final = 6
STALLED: Final = 40
POISON: Final = 15
GOOD: Final = 40
FIRST_BESIDES: Final = 1_000_000
LARGEST_OF_A_MARKER: Final = 78
"""A smaller limit would refuse the end of every transaction as well, and Kafka would never get over it."""
QUIET_SECONDS: Final = 1.5
READY_LOOKS: Final = 200
LOOK_SECONDS: Final = 0.2

Script = Callable[[Soak], Awaitable[None]]


class Provoked(CountingStages):
    """Counting stages with changes; one of their processes may be killed by itself."""

    def __init__(self, settings: Settings, plan: Plan, changes: Iterable[str], once: Path) -> None:
        super().__init__(settings, plan, ",".join(changes))
        self.once = once

    def command(self, port: int) -> Command:
        """A worker that knows which file says that one was killed."""
        arguments, environment = super().command(port)
        return Command(arguments, {**environment, ONCE: str(self.once)})


@dataclass(frozen=True)
class Case:
    """What is done to how many workers while there is load for some seconds.

    ``shows``: what the check then says, missing or repeated. ``stalled``: after so many seconds without anything new it ends.
    """

    seconds: float
    script: Script
    changes: tuple[str, ...] = ()
    workers: int = 1
    shows: str = ""
    stalled: float = STALLED


async def provoked(address: str, case: Case, folder: Path) -> Soak:
    """Runs one case; its report. Nothing is judged but what was counted, and how workers ended."""
    plan = Plan(case.seconds, seed=1, rate=RATE, session=SESSION, partitions=PARTITIONS, stalled=case.stalled)
    settings = Settings(broker=address, prefix=f"test-{folder.name}-{time.time_ns():x}", partitions=PARTITIONS)
    subject = Provoked(settings, plan, case.changes, folder / "killed")
    await subject.prepare()
    workers = Workers(subject.command, folder, case.workers, accepted=frozenset({-signal.SIGKILL}))
    async with Scraper(watch := Watch()) as scraper:
        soak = Soak(plan, subject, workers, watch, scraper)
        try:
            for worker in workers.all:
                workers.start(worker)
            async with around(workers, scraper):
                await ready(soak)
                load = Load(address, subject.topics(), subject.parcels(), RATE, time.monotonic() + case.seconds)
                await asyncio.gather(load.run(), case.script(soak))
                await subject.settle(soak)
            for what, verdict in subject.counted.verdicts().items():
                soak.tell(what, verdict, wrong=bool(verdict))
        finally:
            workers.forget()
    return soak


async def ready(soak: Soak) -> None:
    """Returns when every worker belongs to the group."""
    for _ in range(READY_LOOKS):
        if all(await soak.scraper.scrape_all(soak.workers.all)):
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError(f"workers were not ready after {READY_LOOKS * LOOK_SECONDS} s: {soak.workers.exits}")


async def calm(_: Soak) -> None:
    """Nothing goes wrong but what the changes do."""


async def wake(soak: Soak) -> None:
    """A worker that has stopped itself goes on past its session."""
    while not (stopped := [worker for worker in soak.workers.all if is_stopped(worker)]):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(SESSION + QUIET_SECONDS)
    for worker in stopped:
        soak.workers.send(worker, signal.SIGCONT)


def is_stopped(worker: Worker) -> bool:
    """Whether its process has been stopped by a signal."""
    if worker.process is None or worker.process.poll() is not None:
        return False
    return Path(f"/proc/{worker.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "T"


async def freeze(soak: Soak) -> None:
    """One worker is stopped past its session, and goes on."""
    await asyncio.sleep(QUIET_SECONDS)
    frozen = soak.workers.all[0]
    soak.workers.send(frozen, signal.SIGSTOP)
    await asyncio.sleep(SESSION + QUIET_SECONDS)
    soak.workers.send(frozen, signal.SIGCONT)


async def refuse(soak: Soak) -> None:
    """For some seconds the broker refuses every batch for the topic between the stages."""
    await asyncio.sleep(QUIET_SECONDS)
    await limit(soak, LARGEST_OF_A_MARKER)
    await asyncio.sleep(2 * QUIET_SECONDS)
    await limit(soak, 1 << 20)


async def limit(soak: Soak, largest: int) -> None:
    """How large a batch of outputs of the first stage may be."""
    subject = soak.subject
    assert isinstance(subject, CountingStages)
    async with administrator(subject.settings.broker) as admin:
        topic = subject.settings.topic(MIDDLE)
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(largest)})])


async def poison(soak: Soak) -> None:
    """In the middle of one slice are records that no step can take."""
    subject = soak.subject
    assert isinstance(subject, CountingStages)
    await asyncio.sleep(QUIET_SECONDS)
    topic = subject.settings.topic(IN)
    good = [FIRST_BESIDES + n for n in range(2 * GOOD)]
    async with sending(subject.settings.broker, [topic]) as sender:
        for number in (*good[:GOOD], *range(-1, -1 - POISON, -1), *good[GOOD:]):
            await sender.put(Parcel(topic, b"poisoned", b'{"i":%d}' % number))
        await sender.flush()


async def restart(soak: Soak) -> None:
    """A worker ends in order while there is load, and another one starts."""
    await asyncio.sleep(soak.plan.seconds - QUIET_SECONDS)
    worker = soak.workers.all[0]
    await soak.workers.end(worker)
    soak.workers.start(worker)


async def everything(soak: Soak) -> None:
    """One after the other."""
    await refuse(soak)
    await poison(soak)
    await freeze(soak)
    await asyncio.sleep(QUIET_SECONDS)
    await soak.workers.end(soak.workers.all[1])
    soak.workers.start(soak.workers.all[1])
