"""A scene: workers of the counting stages on a Kafka, load, one fault; and then what must hold after every fault."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.admin import NewTopic

from streams.connection import administrator
from streams.publishing import Parcel, sending
from streams.settings import Settings
from streams.topics import CHANGELOG
from tests.soak import counting
from tests.soak.catalogue.kafka import FaultyKafka
from tests.soak.catalogue.memory import Memory
from tests.soak.catalogue.proxy import Proxy
from tests.soak.catalogue.report import Row
from tests.soak.counted import Counted
from tests.soak.load import Load
from tests.soak.run import Plan, Soak, around, told
from tests.soak.scraper import Scraper
from tests.soak.subjects import BIRTH_SECONDS, SERVED_SECONDS, CountingStages, served
from tests.soak.watch import SHARD, Watch
from tests.soak.workers import Command, Worker, Workers
from tests.topics import fresh

SESSION: Final = 6.0
PARTITIONS: Final = 4
RATE: Final = 400
BESIDES: Final = 1_000_000
"""The first number of what is published besides the load."""
READY_SECONDS: Final = 150
LOOK_SECONDS: Final = 0.2
STALLED_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault with a name. ``script`` is what goes wrong, under its own load; ``first`` is done before there is a worker.

    ``long`` and ``short`` say how often, or for how many seconds. ``proxied``: how many workers reach Kafka through the proxy.
    ``configs``: of topics. ``alone``: it harms Kafka, and needs one of its own. ``in_ci``: its short form is worth its seconds there.
    """

    name: str
    script: Callable[["Scene"], Awaitable[None]]
    long: int
    short: int
    first: Callable[["Scene"], Awaitable[None]] | None = None
    workers: int = 2
    proxied: int = 0
    partitions: int = PARTITIONS
    changes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    archived_at: int = 0
    alone: bool = False
    in_ci: bool = True
    grows_mb: int = 64


class Stages(CountingStages):
    """Counting stages, of which some workers reach Kafka through a proxy. ``proxied``: their ports."""

    def __init__(self, settings: Settings, plan: Plan, fault: Fault, roundabout: str) -> None:
        super().__init__(settings, plan, ",".join(fault.changes))
        self.fault, self.roundabout = fault, roundabout
        self.counted = Counted(settings, fault.archived_at)
        self.proxied: frozenset[int] = frozenset()

    async def prepare(self) -> None:
        """Makes the topics."""
        async with administrator(self.settings.broker) as admin:
            await admin.create_topics(
                [
                    NewTopic(self.settings.topic(name), self.settings.partitions, 1, topic_configs=self.configs(name))
                    for name in counting.TOPICS
                ]
            )

    def configs(self, name: str) -> dict[str, str]:
        """The configuration of a topic."""
        return {**(CHANGELOG if name in counting.STATES.values() else {}), **self.fault.configs.get(name, {})}

    def command(self, port: int) -> Command:
        """A worker that counts."""
        arguments, environment = super().command(port)
        ours = {"KARAR_BROKER": self.roundabout} if port in self.proxied else {}
        if self.fault.archived_at:
            ours[counting.ARCHIVED_AT] = str(self.fault.archived_at)
        return Command(arguments, {**environment, **self.fault.environment, **ours})


@dataclass
class Scene:
    """Everything that a fault's script may touch. ``times`` is how often it went wrong, ``how_often`` how that is told."""

    fault: Fault
    kafka: FaultyKafka
    proxy: Proxy
    soak: Soak
    subject: Stages
    short: bool
    parcels: Iterator[Parcel]
    how_often: str = ""
    published: int = 0
    besides: int = BESIDES
    ready_seconds: float = 0.0
    served: int = 0
    under_way: Load | None = None

    @property
    def times(self) -> int:
        """How often, or for how long, in this form."""
        return self.fault.short if self.short else self.fault.long

    @property
    def workers(self) -> Workers:
        """All workers."""
        return self.soak.workers

    @property
    def all(self) -> list[Worker]:
        """Their places."""
        return self.soak.workers.all

    @property
    def source(self) -> str:
        """The topic that is counted."""
        return self.subject.settings.topic(counting.IN)

    @asynccontextmanager
    async def load(self, rate: float = RATE) -> AsyncIterator[Load]:
        """Numbers at a rate, as long as the block lasts."""
        load = self.under_way = Load(self.kafka.address, [self.source], self.parcels, rate, float("inf"))
        task = asyncio.create_task(load.run())
        try:
            yield load
        finally:
            load.until = 0
            load.held = False
            self.under_way = None
            await task
            self.published += load.sent

    async def publish(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Records at once, and returns when Kafka has them. None of them may be what no step can take."""
        async with sending(self.kafka.address, [self.source]) as sender:
            for key, value in records:
                await sender.put(Parcel(self.source, key, value))
                self.published += 1
            await sender.flush()

    def more(self) -> int:
        """A number that nobody else publishes."""
        self.besides += 1
        return self.besides

    async def scrape(self) -> list[str]:
        """One answer of each worker."""
        return await self.soak.scraper.scrape_all(self.all)

    async def recovered(self) -> float:
        """Returns when everything that has been published by now is counted and served; after how many seconds."""
        published = self.published + (self.under_way.sent if self.under_way else 0)
        started = time.monotonic()
        while (seconds := time.monotonic() - started) < READY_SECONDS:
            if served(await self.scrape(), counting.SECOND) >= published:
                self.ready_seconds = max(self.ready_seconds, seconds)
                return seconds
            await asyncio.sleep(LOOK_SECONDS)
        self.soak.tell("stuck", f"not all is served {READY_SECONDS} s after the fault", wrong=True)
        self.ready_seconds = READY_SECONDS
        return READY_SECONDS

    async def shards(self) -> dict[str, int]:
        """Which worker serves each shard."""
        return {name: worker.number for worker, text in zip(self.all, await self.scrape(), strict=True) for name in SHARD.findall(text)}


async def perform(fault: Fault, kafka: FaultyKafka, folder: Path, seed: int, *, short: bool) -> Row:
    """One fault from beginning to end; its row."""
    settings = fresh(kafka.address, fault.partitions)
    plan = Plan(0, seed, RATE, SESSION, fault.partitions, STALLED_SECONDS)
    subject = Stages(settings, plan, fault, kafka.roundabout)
    workers = Workers(subject.command, folder, fault.workers)
    subject.proxied = frozenset(worker.port for worker in workers.all[: fault.proxied])
    await subject.prepare()
    async with AsyncExitStack() as stack:
        scraper = await stack.enter_async_context(Scraper(Watch()))
        proxy = await stack.enter_async_context(Proxy(kafka.proxied, kafka.behind)) if fault.proxied else Proxy(0, 0)
        stack.callback(workers.forget)
        soak = Soak(plan, subject, workers, scraper.watch, scraper)
        scene = Scene(fault, kafka, proxy, soak, subject, short, subject.parcels())
        if fault.first is not None:
            await fault.first(scene)
        for worker in workers.all:
            workers.start(worker)
        memory = Memory(workers)
        async with around(workers, scraper), memory.watching():
            await ready(scene)
            await fault.script(scene)
            await scene.recovered()
            await subject.settle(soak)
            await judge(scene)
        await workers.end_all()
        told(soak)
        return row_of(scene, memory)


async def ready(scene: Scene) -> None:
    """Returns when every worker that is to run belongs to the group."""
    async with asyncio.timeout(READY_SECONDS):  # why the next line sleeps: other processes tell nobody
        while not all(text for worker, text in zip(scene.all, await scene.scrape(), strict=True) if worker.wanted):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)


async def judge(scene: Scene) -> None:
    """What must hold after every fault: everything once in outputs, states, ledgers and dead letters, and what is served is that."""
    soak, counted = scene.soak, scene.subject.counted
    await asyncio.sleep(BIRTH_SECONDS + 2)
    await counted.read()
    for what, verdict in counted.verdicts().items():
        soak.tell(what, verdict, wrong=bool(verdict))
    expected = counted.numbers[counting.IN].values.total()
    deadline = time.monotonic() + SERVED_SECONDS
    # Nobody serves a shard that moves, and a worker may just have come back.
    while {served(texts := await scene.scrape(), stage) for stage in counting.STATES} != {expected} and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)
    for stage in counting.STATES:
        total = scene.served = served(texts, stage)
        soak.tell(f"served of {stage}", total, wrong=total != expected)
    balance = counted.balance()
    soak.tell("balance", balance, wrong=balance != 0)
    soak.tell("published", scene.published, wrong=scene.published != expected)


def row_of(scene: Scene, memory: Memory) -> Row:
    """The same in numbers."""
    counted, watch = scene.subject.counted, scene.soak.watch
    verdicts = counted.verdicts().values()
    sent = counted.numbers[counting.IN]
    memory.judge(scene.soak, scene.fault.grows_mb)
    return Row(
        scene.fault.name, scene.how_often, sent.values.total() + sent.poison.total(), sent.values.total(),
        scene.served,
        sum(verdict.repeated for verdict in verdicts), sum(verdict.missing for verdict in verdicts),
        watch.largest_fall, watch.served_twice, counted.balance(), scene.ready_seconds, str(memory),
        scene.soak.rows, scene.soak.problems,
    )  # fmt: skip
