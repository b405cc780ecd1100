"""Faults that need the whole core: a customer without end, rules that change in a rolling deployment, clocks that jump."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.agents import LONGEST, LONGEST_LETTER
from streams.connection import administrator
from streams.core.targets import DAY
from streams.publishing import Parcel, home, parcel, sending
from streams.settings import Settings
from streams.topics import INPUTS
from tests import oracle
from tests.soak.catalogue.kafka import FaultyKafka
from tests.soak.catalogue.memory import Memory
from tests.soak.catalogue.report import Row
from tests.soak.core import WholeCore, moments_of
from tests.soak.expected import differences, without_names
from tests.soak.load import Load, monday, regular
from tests.soak.run import Plan, Soak, around, told
from tests.soak.scraper import Scraper
from tests.soak.watch import Watch
from tests.soak.workers import Command, Worker, Workers
from tests.topics import fresh, records

RATE: Final = 400
SESSION: Final = 6.0
PARTITIONS: Final = 4
STALLED_SECONDS: Final = 40
READY_SECONDS: Final = 120
LOOK_SECONDS: Final = 0.3
HOUR: Final = 3_600_000
MINUTE: Final = 60_000
CALM_SECONDS: Final = 4
SIZES: Final = (LONGEST + 1, LONGEST_LETTER, LONGEST_LETTER + 1, 10_000_000)
LARGEST: Final = 12_000_000
AT_ONCE: Final = 5_000
AHEAD: Final = 50 * MINUTE
TOO_FAR_AHEAD: Final = 30 * HOUR


@dataclass(frozen=True, kw_only=True)
class CoreFault:
    """A fault with a name. ``long`` and ``short`` say how often; ``clock`` is the workers' while there is load.

    Its first event is so many ``days_ago``, and none is later than the start of the run; 0: long enough ago for any number of them. The
    simulated centre has as many customers as so many ``seconds`` for each time need. ``in_ci``, ``grows_mb``: as in Fault.
    """

    name: str
    script: Callable[["CoreScene"], Awaitable[None]]
    long: int
    short: int
    clock: str = "event"
    days_ago: int = 0
    seconds: int = 30
    in_ci: bool = True
    grows_mb: int = 64


class Core(WholeCore):
    """The whole core, of which each worker may have settings of its own, and its own clock."""

    def __init__(self, settings: Settings, plan: Plan, start: int, clock: str) -> None:
        super().__init__(settings, plan, start, clock)
        self.besides: dict[str, str] = {}
        self.given: dict[int, Mapping[str, str]] = {}
        self.moved: dict[int, Path] = {}

    def environment(self, port: int) -> dict[str, str]:
        """The settings of a worker: those of all, and its own."""
        return {**super().environment(port), **self.besides, **self.given.get(port, {})}

    def command(self, port: int) -> Command:
        """A worker, whose clock may be moved."""
        if (file := self.moved.get(port)) is None:
            return super().command(port)
        return Command((sys.executable, "-m", "tests.soak.catalogue.moved", str(file), "worker"), self.environment(port))


@dataclass
class CoreScene:
    """Everything that a script may touch. ``buried``: how many records must be dead letters."""

    fault: CoreFault
    soak: Soak
    subject: Core
    folder: Path
    short: bool
    parcels: Iterator[Parcel]
    session: aiohttp.ClientSession
    how_often: str = ""
    buried: int = 0
    ready_seconds: float = 0.0

    @property
    def times(self) -> int:
        """How often in this form."""
        return self.fault.short if self.short else self.fault.long

    @property
    def all(self) -> list[Worker]:
        """The places of workers."""
        return self.soak.workers.all

    @asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """Events at a rate, as long as the block lasts."""
        settings = self.subject.settings
        load = Load(settings.broker, self.subject.topics(), self.parcels, RATE, float("inf"))
        task = asyncio.create_task(load.run())
        try:
            yield load
        finally:
            load.until, load.held = 0, False
            await task
            self.soak.sent += load.sent

    async def states(self, worker: Worker) -> list[str]:
        """What a worker says of its shards; nothing while it does not answer."""
        try:
            async with self.session.get(worker.address.replace("/metrics", "/readyz")) as answer:
                shards = json.loads(await answer.text())["shards"]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            return []
        return [shard["state"] for shard in shards]

    async def recovered(self, *, refused: int = 0) -> float:
        """Returns when every shard is open and has caught up, but for so many that are refused; after how many seconds."""
        started, states = time.monotonic(), list[str]()
        while (seconds := time.monotonic() - started) < READY_SECONDS:
            states = [state for worker in self.all for state in await self.states(worker)]
            if sorted(states) == sorted(["open"] * (2 * PARTITIONS - refused) + ["refused"] * refused):
                self.ready_seconds = max(self.ready_seconds, seconds)
                return seconds
            await asyncio.sleep(LOOK_SECONDS)
        self.soak.tell("stuck", f"not every shard is open {READY_SECONDS} s after the fault: {states}", wrong=True)
        return READY_SECONDS

    async def joined(self, worker: Worker) -> None:
        """Returns when a worker has shards."""
        async with asyncio.timeout(READY_SECONDS):
            while not await self.states(worker):  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(LOOK_SECONDS)


async def perform_whole(fault: CoreFault, kafka: FaultyKafka, folder: Path, seed: int, *, short: bool) -> Row:
    """One fault from beginning to end; its row."""
    plan = Plan((fault.short if short else fault.long) * fault.seconds, seed, RATE, SESSION, PARTITIONS, STALLED_SECONDS)
    now = time.time_ns() // 1_000_000
    start = now // DAY * DAY - fault.days_ago * DAY if fault.days_ago else monday(now / 1000)
    subject = Core(fresh(kafka.address, PARTITIONS), plan, start, fault.clock)
    if fault.days_ago:
        subject.centre = replace(subject.centre, until=now)
    await subject.prepare()
    workers = Workers(subject.command, folder)
    async with Scraper(Watch()) as scraper, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session:
        soak = Soak(plan, subject, workers, scraper.watch, scraper)
        scene = CoreScene(fault, soak, subject, folder, short, subject.parcels(), session)
        memory = Memory(workers)
        try:
            async with around(workers, scraper), memory.watching():
                await fault.script(scene)
                await subject.settle(soak)
                await subject.judge(soak)
                letters = await asyncio.to_thread(records, subject.settings, "dead-letters")
                soak.tell("dead letters", len(letters), wrong=len(letters) != scene.buried)
            await workers.end_all()
        finally:
            workers.forget()
        memory.judge(soak, fault.grows_mb)
        told(soak)
    wrong = differences(subject.found, without_names(subject.expected, subject.overflowed))
    watch = soak.watch
    return Row(
        fault.name, scene.how_often, soak.sent + subject.centre.regular, moments_of(subject.expected), moments_of(subject.found),
        subject.repeated, len(wrong),
        watch.largest_fall, watch.served_twice, subject.unbalanced or 0, scene.ready_seconds, str(memory), details=soak.rows,
        problems=soak.problems,
    )  # fmt: skip


def generation(number: int) -> tuple[str, oracle.Rules]:
    """One targets file after the other, and what the oracle takes it for: what is expected of calls, and whose queues are whose."""
    wait, hold, transfers = 20 + 7 * number, 60 + 15 * number, 1 + number % 2
    teams = {"billing": f"money-{number % 3}", "technical": f"repair-{number}"}
    rows = "".join(f'{queue} = "{team}"\n' for queue, team in teams.items())
    text = (
        f'[[target]]\nkind = "wait"\nchannel = "call"\nseconds = {wait}\n'
        f'[[target]]\nkind = "hold"\nseconds = {hold}\n'
        f'[[target]]\nkind = "transfers"\ncount = {transfers}\n[queues]\n{rows}'
    )
    waits = oracle.DEFAULTS.wait_target | {"call": wait * 1000}
    return text, oracle.Rules(wait_target=waits, hold_target=hold * 1000, transfers_target=transfers, team_of_queue=teams)


async def rolling_rules(scene: CoreScene) -> None:
    """Worker by worker gets a newer targets file, under load; the first is killed meanwhile.

    Who still has the older file refuses what was counted by the newer one, and goes on with the rest.
    """
    subject, workers, refused = scene.subject, scene.soak.workers, 0
    first, second = scene.all
    subject.teams_changed = True
    for worker in scene.all:
        workers.start(worker)
    async with scene.load():
        await scene.recovered()
        for number in range(scene.times):
            text, subject.rules = generation(number)
            file = scene.folder / f"targets-{number}.toml"
            file.write_text(text, "utf-8")
            await asyncio.sleep(CALM_SECONDS)
            await workers.end(first)
            subject.given[first.port] = {"KARAR_TARGETS": str(file)}
            workers.start(first)
            await scene.joined(first)
            await scene.recovered()
            newer = (await scene.states(first)).count("open") // 2
            workers.kill(first)
            await scene.recovered(refused=newer)
            refused += newer
            workers.start(first)
            await scene.joined(first)
            await workers.end(second)
            subject.given[second.port] = subject.given[first.port]
            workers.start(second)
            await scene.joined(second)
            await scene.recovered()
            subject.besides = dict(subject.given[first.port])
    scene.soak.tell("shards refused by who had older rules", refused, wrong=not refused)
    scene.how_often = f"{scene.times} files"


async def clock_jumps(scene: CoreScene) -> None:
    """One worker's clock is set back to where open chains are, and forwards to beyond what Kafka takes, under load.

    A worker that is more than an hour ahead of Kafka cannot commit: it leaves, again and again, until its clock is right.
    """
    subject, file, back = scene.subject, scene.folder / "moved", 0
    file.write_text("0", "ascii")
    subject.moved[scene.all[0].port] = file
    for worker in scene.all:
        scene.soak.workers.start(worker)

    async def jump(to: int, seconds: float) -> None:
        file.write_text(str(to - time.time_ns() // 1_000_000), "ascii")
        subject.farthest = max(subject.farthest, to + int(seconds * 1000) + MINUTE)
        await asyncio.sleep(seconds)

    async with scene.load() as load:
        await scene.recovered()
        for number in range(scene.times):
            await asyncio.sleep(CALM_SECONDS)
            load.most = coming = load.sent + 2 * CALM_SECONDS * RATE
            newest = await asyncio.to_thread(subject.centre.newest, coming)
            before, now = load.sent, time.time_ns() // 1_000_000
            await jump(newest + HOUR, CALM_SECONDS)
            back += newest + HOUR < now and load.sent > before
            now = time.time_ns() // 1_000_000
            await jump(now + (AHEAD if number % 2 else TOO_FAR_AHEAD), CALM_SECONDS)
            load.most = float("inf")
            file.write_text("0", "ascii")
            await scene.recovered()
    scene.soak.tell("set back under load", f"{back} of {scene.times}", wrong=back < scene.times)
    scene.how_often = f"{2 * scene.times}"


async def large_records(scene: CoreScene) -> None:
    """Records that nobody may send, among the events: as long as one may be and a byte more, 8 MiB, and 10 MB; all of them are buried."""
    topic = scene.subject.settings.topic("calls")
    async with administrator(scene.subject.settings.broker) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(LARGEST)})])
    for worker in scene.all:
        scene.soak.workers.start(worker)
    async with scene.load():
        await scene.recovered()
        for _ in range(scene.times):
            async with sending(scene.subject.settings.broker, [topic]) as sender:
                for size in SIZES:
                    await sender.put(Parcel(topic, b"large-%d" % size, b"x" * size))
                    scene.buried += 1
                await sender.flush()
            await scene.recovered()
    scene.how_often = f"{scene.buried} of {min(SIZES) >> 20} to {max(SIZES) >> 20} MiB"


async def hot_customer(scene: CoreScene) -> None:
    """One customer chats without end, among the others, as fast as it can be sent."""
    subject = scene.subject
    subject.centre = replace(subject.centre, regular=scene.times * AT_ONCE)
    for worker in scene.all:
        scene.soak.workers.start(worker)
    topics = {name: subject.settings.topic(name) for name in INPUTS}
    async with scene.load():
        await scene.recovered()
        async with sending(subject.settings.broker, topics.values()) as sender:
            for event in regular(subject.centre.start, subject.centre.regular):
                await sender.put(parcel(event, topics[home(event)]))
            await sender.flush()
        await scene.recovered()
    scene.how_often = f"{subject.centre.regular:,} of one customer"


FAULTS: Final = (
    CoreFault(name="hot_customer", script=hot_customer, long=20, short=1),
    CoreFault(name="large_records", script=large_records, long=10, short=1, in_ci=False),
    CoreFault(name="rolling_rules", script=rolling_rules, long=6, short=1),
    CoreFault(name="clock_jumps", script=clock_jumps, long=8, short=1, clock="wall", days_ago=8, seconds=120),
)
