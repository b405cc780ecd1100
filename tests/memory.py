"""A worker's Faust app on a cluster in memory: everything is the product's own but aiokafka's consumer, which is one of ours.

The test decides when the group rebalances, and what becomes of a fetch.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import JoinGroupRequest
from faust.transport.drivers import aiokafka as driver

from streams.engine import shard as shard_module
from streams.engine.engine import Engine
from streams.engine.host import KararApp, build
from streams.engine.spec import Clock, Spec
from streams.engine.transport import Consumer, Thread
from tests.cluster import Cluster, MemoryKafka, Stored
from tests.shards import NOW

PATIENCE: Final = 10
LOOK: Final = 0.002


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that is to come soon."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - a condition of a test
            await asyncio.sleep(LOOK)


class State:
    """How far one partition was fetched."""

    def __init__(self, cluster: Cluster, tp: TopicPartition) -> None:
        self.cluster, self.tp = cluster, tp
        self._position: int | None = None

    @property
    def lso(self) -> int:
        """Where the log ends."""
        return len(self.cluster.logs[self.tp])


class Assignment:
    """What a member was given."""

    def __init__(self, cluster: Cluster, tps: Iterable[TopicPartition]) -> None:
        self.tps = frozenset(tps)
        self.states = {tp: State(cluster, tp) for tp in self.tps}

    def state_value(self, tp: Any) -> State:
        """One partition's."""
        return self.states[tp]


class Closing:
    """What is closed: ``closed`` has the loop of whoever did it."""

    def __init__(self) -> None:
        self.closed: list[asyncio.AbstractEventLoop] = []

    async def close(self) -> None:
        """Closes it."""
        self.closed.append(asyncio.get_running_loop())


class Coordinator(Closing):
    """The group, which has one member."""

    def __init__(self) -> None:
        super().__init__()
        self.member_id, self.generation, self.left = "", 0, 0

    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, JoinGroupRequest):
            self.member_id = "me"
        return SimpleNamespace(error_code=0)

    async def _maybe_leave_group(self) -> None:
        self.left += 1


class Fetcher:
    """Fetches. ``faults`` are what the next fetches do instead: each is called with this fetch's partitions, when there are records.

    ``answers``: how long and for how many bytes each fetch that has ended was to wait, and whether it found something.
    """

    _closed = False

    def __init__(self, member: "Member") -> None:
        self.member = member
        self._subscriptions = SimpleNamespace(fetch_context=self.context)
        self.faults: list[Callable[[set[TopicPartition]], None]] = []
        self.fetches = 0
        self._fetch_max_wait_ms, self._fetch_min_bytes = 0, 0
        self.answers: list[tuple[int, int, bool]] = []

    @contextmanager
    def context(self) -> Iterator[None]:
        """Nothing is measured."""
        yield

    async def fetched_records(self, partitions: Any, *, timeout: float, max_records: int) -> dict[TopicPartition, list[Stored]]:  # noqa: ASYNC109 - aiokafka's
        """What there is; positions move."""
        self.fetches += 1
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            assigned = self.member.assigned
            found = self.drained({tp for tp in assigned.tps if not partitions or tp in partitions}, max_records) if assigned else {}
            if found and self.faults:
                self.faults.pop(0)(set(found))
            if found or asyncio.get_running_loop().time() > deadline:
                self.answers.append((self._fetch_max_wait_ms, self._fetch_min_bytes, bool(found)))
                return found
            await asyncio.sleep(LOOK)

    def drained(self, tps: set[TopicPartition], number: int) -> dict[TopicPartition, list[Stored]]:
        """Records from the positions on, over markers."""
        found = {}
        for tp in sorted(tps):
            state = self.member.assigned.states[tp]  # type: ignore[union-attr] # there is one
            if state._position is None:  # noqa: SLF001 - aiokafka's name
                continue
            part = self.member.cluster.logs[tp][state._position :][:number]  # noqa: SLF001 - aiokafka's name
            state._position += len(part)  # noqa: SLF001 - aiokafka's name
            if records := [record for record in part if record is not None]:
                found[tp] = records
        return found


class Member:
    """What Faust's driver, and our transport, ask of aiokafka's consumer. ``last``: given in a round that is under way as it stops."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.assigned: Assignment | None = None
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=None))
        self._coordinator, self._fetcher, self._client = Coordinator(), Fetcher(self), Closing()
        self.last: list[TopicPartition] | None = None
        self._closed, self._max_poll_records = False, 8_000
        self.listener: Any = None
        self.topics: set[str] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.committed: dict[TopicPartition, int] = {}
        self.failing: list[KafkaError] = []

    async def start(self) -> None:
        """In the consumer's thread."""
        self.loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """The group is left, when a round that is under way has ended."""
        if self.last is not None:
            await self.rebalance(self.last)
        if self._closed:
            return
        self._closed = True
        await self._coordinator.close()
        await self._client.close()

    def subscribe(self, topics: set[str], listener: Any) -> None:
        """Wants these."""
        self.topics, self.listener = topics, listener

    def assignment(self) -> frozenset[TopicPartition]:
        """Has these."""
        return self.assigned.tps if self.assigned else frozenset()

    def seek(self, tp: Any, offset: int) -> None:
        """From there."""
        assert self.assigned is not None
        self.assigned.states[TopicPartition(*tp)]._position = offset  # noqa: SLF001 - aiokafka's name

    async def beginning_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        """The first that are there."""
        return {tp: self.cluster.firsts[tp] for tp in tps}

    async def end_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        """The ends."""
        return {tp: len(self.cluster.logs[tp]) for tp in tps}

    async def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        """The group's offsets."""
        if self.failing:
            raise self.failing.pop()
        if not offsets:
            raise ValueError(offsets)
        self.committed.update({tp: meta.offset for tp, meta in offsets.items()})

    async def rebalance(self, tps: Iterable[TopicPartition]) -> None:
        """One round of the group, as aiokafka's coordinator goes through it."""
        await self.listener.on_partitions_revoked(self.assignment())
        await self._coordinator._send_req(JoinGroupRequest("g", 1, 1, self._coordinator.member_id, "", "consumer", []))  # noqa: SLF001 - aiokafka's name
        self._coordinator.generation += 1
        self.assigned = Assignment(self.cluster, tps)
        self._subscription.subscription.assignment = self.assigned
        await self.listener.on_partitions_assigned(self.assigned.tps)

    def do(self, work: Any) -> "Future[Any]":
        """Runs something in the consumer's thread."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop)


class NoProducer:
    """Faust's own producer, which the engine has no use for."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def flush(self) -> None:
        """Nothing."""


class Worker:
    """A running app."""

    def __init__(self, app: KararApp, engine: Engine, member: Member) -> None:
        self.app, self.engine, self.member = app, engine, member
        self.cluster = member.cluster

    @property
    def consumer(self) -> Consumer:
        """Our transport's."""
        made: Any = self.app.consumer
        assert isinstance(made, Consumer)
        return made

    async def rebalance(self, *partitions: int) -> None:
        """The group gives these partitions of every source to this worker; returns when it has been told."""
        tps = [TopicPartition(topic, n) for topic in self.engine.stage_of for n in partitions]
        await asyncio.wrap_future(self.member.do(self.member.rebalance(tps)))

    async def opened(self, *partitions: int) -> None:
        """The same; returns when the shards are open."""
        await self.rebalance(*partitions)
        await until(self.engine.ready)

    async def applied(self) -> None:
        """Returns when everything that is there has been applied and committed."""
        await until(lambda: self.engine.ready() and all(self.is_done(*slot) for slot in self.engine.shards))

    def is_done(self, name: str, n: int) -> bool:
        """Whether one shard has."""
        shard = self.engine.shards[name, n]
        there = {topic: len(self.cluster.logs[topic, n]) for topic in shard.positions}
        return shard.committed == shard.positions == there and not shard.pending.records

    @property
    def answers(self) -> list[tuple[int, int, bool]]:
        """What fetches waited for, and whether they found it."""
        return self.member._fetcher.answers  # noqa: SLF001 - aiokafka's name

    def fault(self, fault: Callable[[set[TopicPartition]], None]) -> None:
        """The next fetch that finds something does this, when its positions have moved."""
        self.member._fetcher.faults.append(fault)  # noqa: SLF001 - aiokafka's name


@asynccontextmanager
async def working(kafka: MemoryKafka, *specs: Spec) -> AsyncIterator[Worker]:
    """A worker without partitions, stopped in order in the end."""
    engine = Engine(specs, kafka, "group", Clock(fixed=NOW))
    member = Member(kafka.cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thread, "_create_worker_consumer", lambda *_: member)
        patch.setattr(driver.Producer, "_new_producer", lambda *_, **__: NoProducer())
        patch.setattr(shard_module, "IDLE_SECONDS", 0.02)
        patch.setattr(shard_module, "LAZY_SECONDS", 0)
        app = build(engine, name="memory", web={"web_enabled": False})
        starting = asyncio.create_task(app.start())  # returns when the group has assigned something
        worker = Worker(app, engine, member)
        try:
            await until(lambda: member.listener is not None)
            yield worker
        finally:
            async with asyncio.timeout(PATIENCE):
                await app.stop()
                await starting
