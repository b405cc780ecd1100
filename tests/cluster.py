"""A Kafka in memory, as far as the engine needs one: logs with markers, transactions that fence, topics with ids.

What is refused is as treacherous as with the real client: the commit says OK although a batch was not taken.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced, UnknownTopicOrPartitionError

from streams.engine.kafka import Kafka

BATCH = 2_000


@dataclass(slots=True)
class Stored:
    """A record as it is read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


Log = list[Stored | None]
"""A partition: index = offset; None is a marker, or what was aborted."""


@dataclass
class Cluster:
    """All logs and who may write. ``refusing``: topics whose batches the broker does not take; ``before_commit`` runs in front of each."""

    ids: dict[str, int] = field(default_factory=dict)
    logs: dict[tuple[str, int], Log] = field(default_factory=dict)
    firsts: dict[tuple[str, int], int] = field(default_factory=dict)
    owners: dict[str, tuple[int, int]] = field(default_factory=dict)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None
    before_commit: Callable[[str], object] = lambda _: None
    commits: int = 0
    reads: int = 0

    def create(self, topic: str, partitions: int = 1) -> None:
        """A topic, or the same one anew: with another id and nothing in it."""
        self.ids[topic] = self.ids.get(topic, len(self.ids) * 100) + 1
        for place in [place for place in self.logs if place[0] == topic]:
            del self.logs[place]
        self.logs.update({(topic, n): [] for n in range(partitions)})
        self.firsts.update({(topic, n): 0 for n in range(partitions)})

    def partitions(self, topic: str) -> int:
        """How many there are."""
        return sum(name == topic for name, _ in self.logs)

    def publish(self, topic: str, partition: int, *rows: tuple[bytes | None, bytes | None]) -> None:
        """Records of somebody who has no transactions."""
        for key, value in rows:
            self.append(topic, partition, key, value)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, timestamp: int | None = None,
               headers: Sequence[tuple[str, bytes]] = ()) -> None:  # fmt: skip
        """One record at the end."""
        log = self.logs[topic, partition]
        log.append(Stored(topic, partition, len(log), timestamp or 1, key, value, headers))

    def marker(self, topic: str, partition: int) -> None:
        """An offset without a record."""
        self.logs[topic, partition].append(None)

    def records(self, topic: str, partition: int = 0) -> list[Stored]:
        """What is there."""
        return [record for record in self.logs[topic, partition] if record is not None]

    def truncate(self, topic: str, partition: int, first: int) -> None:
        """Retention takes what lies before."""
        self.firsts[topic, partition] = first

    @property
    def client(self) -> Any:
        """Whom one asks for metadata."""
        return SimpleNamespace(get_random_node=lambda: 0, send=self.send)

    async def send(self, _: int, request: Any) -> Any:
        """Metadata of topics, as version 12 of the protocol has them."""
        return SimpleNamespace(topics=[self.described(name) for name in request.names])

    def described(self, name: str) -> tuple[Any, ...]:
        """One topic."""
        error = 0 if name in self.ids else UnknownTopicOrPartitionError.errno
        return error, name, self.ids.get(name, 0).to_bytes(16, "big"), False, [None] * self.partitions(name)

    def fence(self, transactional_id: str) -> tuple[int, int]:
        """Starts a producer: nobody who had this id before may write any more."""
        pid, epoch = self.owners.get(transactional_id, (1_000 + len(self.owners), -1))
        self.owners[transactional_id] = pid, epoch + 1
        return pid, epoch + 1


class Batch:
    """Rows on their way out, a bounded number."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, bytes | None, bytes | None, list[tuple[str, bytes]]]] = []
        self._builder = self

    def append(self, number: int, timestamp: int | None, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> Any:
        """One more, after ``number`` others; None if there is no room."""
        assert number == len(self.rows)
        if len(self.rows) == BATCH:
            return None
        self.rows.append((timestamp, key, value, headers))
        return True


class Producer:
    """A transactional producer."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self.cluster, self.transactional_id = cluster, transactional_id
        self.identity = (-1, -1)
        self.sent: list[tuple[str, int, Batch]] = []
        self.create_batch = Batch
        self.client = cluster.client

    @property
    def _sender(self) -> Self:
        return self

    @property
    def _txn_manager(self) -> Any:
        pid, epoch = self.identity
        return SimpleNamespace(_pid_and_epoch=SimpleNamespace(pid=pid, epoch=epoch))

    async def start(self) -> None:
        """Fences."""
        self.identity = self.cluster.fence(self.transactional_id)

    async def stop(self) -> None:
        """Nothing is kept."""

    def check(self) -> None:
        """Raises if somebody else has started under this id."""
        if self.cluster.owners[self.transactional_id] != self.identity:
            raise ProducerFenced

    async def begin_transaction(self) -> None:
        """Begins."""
        self.check()
        self.sent = []

    async def send(self, batches: Iterable[tuple[str, int, Batch]]) -> list[Any]:
        """Futures of what the broker says."""
        return [self.answer(*one) for one in batches]

    def answer(self, topic: str, partition: int, batch: Batch) -> Any:
        """What it says of one batch."""
        future = asyncio.get_running_loop().create_future()
        if topic in self.cluster.refusing:
            future.set_exception(MessageSizeTooLargeError())
        else:
            self.sent.append((topic, partition, batch))
            future.set_result(None)
        return future

    async def commit(self) -> None:
        """Everything that was taken, at once, each partition with its marker; then the next epoch."""
        if self.cluster.gate is not None:
            await self.cluster.gate.wait()
        self.cluster.before_commit(self.transactional_id)
        self.check()
        for topic, partition, batch in self.sent:
            for timestamp, key, value, headers in batch.rows:
                self.cluster.append(topic, partition, key, value, timestamp, headers)
        for topic, partition in {(topic, partition): None for topic, partition, _ in self.sent}:
            self.cluster.marker(topic, partition)
        self.cluster.commits += 1
        self.identity = self.cluster.fence(self.transactional_id)


class Reader:
    """A consumer without a group."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.at: dict[Any, int] = {}
        self.paused: set[Any] = set()
        self._client = cluster.client

    async def start(self) -> None:
        """Connects."""

    async def stop(self) -> None:
        """Disconnects."""

    def assign(self, tps: Iterable[Any]) -> None:
        """Reads these."""
        self.at = dict.fromkeys(tps, 0)

    def pause(self, *tps: Any) -> None:
        """Not these."""
        self.paused |= set(tps)

    def resume(self, *tps: Any) -> None:
        """These, too."""
        self.paused -= set(tps)

    def seek(self, tp: Any, offset: int) -> None:
        """From there."""
        self.at[tp] = offset

    async def seek_to_beginning(self, *tps: Any) -> None:
        """From the first that is there."""
        for tp in tps:
            self.at[tp] = self.cluster.firsts[tp]

    async def beginning_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        """The first that are there."""
        return {tp: self.cluster.firsts[tp] for tp in tps}

    async def end_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        """The ends."""
        return {tp: len(self.cluster.logs[tp]) for tp in tps}

    async def position(self, tp: Any) -> int:
        """The next offset."""
        return self.at[tp]

    async def getmany(self, *tps: Any, timeout_ms: int = 0, max_records: int = 100) -> dict[Any, list[Stored]]:  # noqa: ARG002 - aiokafka's
        """What comes next."""
        found = {}
        for tp in tps:
            if tp in self.paused:
                continue
            part = self.cluster.logs[tp][self.at[tp] :][:max_records]
            self.at[tp] += len(part)
            self.cluster.reads += len(part)
            found[tp] = [record for record in part if record is not None]
        return found


@dataclass(frozen=True)
class MemoryKafka(Kafka):
    """Connections to a cluster in memory."""

    cluster: Cluster = field(default_factory=Cluster)

    def consumer(self, isolation: str = "") -> Any:  # noqa: ARG002 - nothing is open in here
        """A consumer without a group."""
        return Reader(self.cluster)

    def producer(self, transactional_id: str) -> Any:
        """A transactional producer."""
        return Producer(self.cluster, transactional_id)


def in_memory(**topics: int) -> MemoryKafka:
    """A Kafka with these topics."""
    kafka = MemoryKafka("127.0.0.1:1")
    for name, partitions in topics.items():
        kafka.cluster.create(name, partitions)
    return kafka
