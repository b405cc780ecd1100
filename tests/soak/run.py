"""One soak from beginning to end: load, faults and scrapes at once; then calm, until everything is counted or nothing moves."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from streams.broker.kafka import Broker
from streams.publishing import Parcel
from tests.soak.faults import Faults
from tests.soak.load import Load
from tests.soak.scraper import Scraper
from tests.soak.watch import Watch
from tests.soak.workers import Command, Workers

READY_SECONDS: Final = 60
STALLED_SECONDS: Final = 45
LOOK_SECONDS: Final = 1.0


@dataclass
class Plan:
    """What kind of soak: how long, how much, by which seed. ``session`` in seconds."""

    seconds: float
    seed: int
    rate: float = 2000
    session: float = 6
    partitions: int = 8
    stalled: float = STALLED_SECONDS


class Subject(Protocol):
    """What is soaked, and how it is judged."""

    name: str

    async def prepare(self) -> None:
        """Makes the topics."""

    def command(self, port: int) -> Command:
        """A worker."""

    def topics(self) -> list[str]:
        """Where the load goes."""

    def parcels(self) -> Iterator[Parcel]:
        """The load."""

    async def settle(self, soak: "Soak") -> None:
        """Called when the load and the faults are over; returns when everything is counted, or nothing moves any more."""

    async def judge(self, soak: "Soak") -> None:
        """Writes down what came of it."""


@dataclass
class Soak:
    """A soak under way, and its report: ``rows`` of what happened, ``problems`` of what must not."""

    plan: Plan
    subject: Subject
    workers: Workers
    watch: Watch
    scraper: Scraper
    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sent: int = 0

    def tell(self, what: str, value: object, *, wrong: bool = False) -> None:
        """One row."""
        self.rows.append((what, f"{value:,}" if isinstance(value, int) else str(value)))
        if wrong:
            self.problems.append(f"{what}: {value}")


async def soak(plan: Plan, subject: Subject, broker: Broker, folder: Path) -> Soak:
    """Runs it all."""
    await subject.prepare()
    workers = Workers(subject.command, folder)
    watch = Watch()
    async with Scraper(watch) as scraper:
        run = Soak(plan, subject, workers, watch, scraper)
        try:
            for worker in workers.all:
                workers.start(worker)
            async with around(workers, scraper):
                await torment(run, broker)
                calm = time.monotonic()
                await subject.settle(run)
                run.tell("seconds until settled", f"{time.monotonic() - calm:.1f}")
                await subject.judge(run)
            await workers.end_all()
        finally:
            workers.forget()
    told(run)
    return run


@asynccontextmanager
async def around(workers: Workers, scraper: Scraper) -> AsyncIterator[None]:
    """Workers are started again and scraped every second meanwhile. An error in either is an error here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(workers.supervise()), *(group.create_task(scraper.go_on(worker)) for worker in workers.all)]
        yield
        for task in tasks:
            task.cancel()


async def torment(run: Soak, broker: Broker) -> None:
    """Load and faults together."""
    plan, subject = run.plan, run.subject
    until = time.monotonic() + plan.seconds
    load = Load(broker.address, subject.topics(), subject.parcels(), plan.rate, until)
    faults = Faults(run.workers, run.scraper, plan.session, plan.seed, until)
    await asyncio.gather(load.run(), faults.run(broker))
    run.sent = load.sent
    run.tell("events sent", load.sent)
    run.tell("longest wait of the publisher", f"{load.longest_wait:.1f} s")
    for kind, number in sorted(faults.done.items()):
        run.tell(kind, number)


def told(run: Soak) -> None:
    """What holds for every soak: exits, and what the scraper saw."""
    for reason, number in sorted(run.workers.exits.items()):
        run.tell(f"exits: {reason}", number)
    run.problems += run.workers.failures
    watch = run.watch
    for answer, number in sorted(watch.answers.items()):
        run.tell(f"scrapes: {answer}", number)
    run.tell("series watched", len(watch.last))
    run.tell("series that fell", watch.fallen, wrong=bool(watch.fallen))
    if watch.falls:
        worst = watch.falls[0]
        run.tell("largest fall", f"{worst.before - worst.after:g}: {worst}", wrong=True)
    run.tell("served twice", watch.served_twice, wrong=bool(watch.served_twice))
    for shard, one, other in watch.twice[:3]:
        run.tell("served twice", f"{shard}: {place(one.worker, one.sent, one.received)}, {place(other.worker, other.sent, other.received)}")


def place(worker: int, sent: float, received: float) -> str:
    """A response in words."""
    return f"worker {worker} from {sent:.3f} to {received:.3f}"
