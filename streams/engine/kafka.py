"""Connections to Kafka as the engine needs them, and one transaction at a time."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.engine.fetched import install
from streams.engine.folding import Row, fill
from streams.engine.requests import Batches, Requests

BATCH_BYTES: Final = 1 << 20
FETCH_BYTES: Final = 8 << 20
REQUEST_SECONDS: Final = 10
RETRY_MS: Final = 20
ANSWER_SECONDS: Final = 3
GOING_SECONDS: Final = 0.25
"""So long TLS may take to say goodbye. A connection that was never made does not."""
UNREACHED: Final = (KafkaConnectionError, NodeNotReadyError, KafkaTimeoutError, RequestTimedOutError, TimeoutError, OSError)

install()


@dataclass(frozen=True)
class Kafka:
    """Where Kafka is and how to talk to it. ``session`` is the group's session timeout in seconds; ``security`` what aiokafka takes."""

    bootstrap: str
    session: float = 10.0
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def administrator(self) -> AIOKafkaAdminClient:
        """A client for topics."""
        return AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=REQUEST_SECONDS * 1000, **self.security)

    def consumer(self, isolation: str = "read_committed") -> AIOKafkaConsumer:
        """A consumer without a group, which sees what has committed."""
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, isolation_level=isolation, auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=100, request_timeout_ms=REQUEST_SECONDS * 1000, **self.security,
        )  # fmt: skip

    async def written(self, topic: str, partition: int) -> int:
        """The end of a log with what cannot be read yet: Kafka says that a transaction has committed before its markers are written."""
        place, consumer = TopicPartition(topic, partition), self.consumer("read_uncommitted")
        try:
            await consumer.start()
            return int((await consumer.end_offsets([place]))[place])
        finally:
            await consumer.stop()

    async def answers(self) -> bool:
        """Whether Kafka answers at one of its addresses, by connections of our own: even that it does not let us in is an answer."""
        return any(await asyncio.gather(*(self.answers_at(host, port) for host, port, _ in collect_hosts(self.bootstrap))))

    async def answers_at(self, host: str, port: int) -> bool:
        """The same of one address."""
        connection = AIOKafkaConnection(host, port, client_id="karar", request_timeout_ms=ANSWER_SECONDS * 1000, **self.security)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.connect()
        except UNREACHED:
            return False
        except KafkaError:
            return True
        finally:
            await asyncio.wait([connection.close()], timeout=GOING_SECONDS)
        return True

    def producer(self, transactional_id: str) -> AIOKafkaProducer:
        """A transactional producer. Its transactions end by themselves within a session, so that nobody waits longer for a frozen one."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, transactional_id=transactional_id, linger_ms=0, max_batch_size=BATCH_BYTES,
            max_request_size=FETCH_BYTES * 2, transaction_timeout_ms=int(self.session * 1000), retry_backoff_ms=RETRY_MS,
            request_timeout_ms=REQUEST_SECONDS * 1000, **self.security,
        )  # fmt: skip
        producer._sender = Requests(  # type: ignore[no-untyped-call] # noqa: SLF001 - held by tests/test_private_names.py
            producer.client, acks=-1, txn_manager=producer._txn_manager, message_accumulator=producer._message_accumulator,  # noqa: SLF001
            retry_backoff_ms=RETRY_MS, request_timeout_ms=REQUEST_SECONDS * 1000,
        )  # fmt: skip
        return producer


class Writer:
    """The transactional producer of one shard. Starting it fences whoever had the same id, and aborts what he left open."""

    def __init__(self, kafka: Kafka, transactional_id: str) -> None:
        self.kafka, self.transactional_id = kafka, transactional_id
        self.running: AIOKafkaProducer | None = None

    @property
    def producer(self) -> AIOKafkaProducer:
        """The producer, which must have been started."""
        if self.running is None:
            raise RuntimeError(f"{self.transactional_id}: not started")
        return self.running

    async def start(self) -> None:
        """Starts, or starts anew."""
        await self.stop()
        self.running = self.kafka.producer(self.transactional_id)
        await self.running.start()

    @property
    def identity(self) -> tuple[int, int]:
        """Producer id and epoch, which whoever starts the same writer next finds one higher."""
        known = self.producer._txn_manager._pid_and_epoch  # noqa: SLF001 - held by tests/test_private_names.py
        return known.pid, known.epoch

    async def stop(self) -> None:
        """Lets go of the connection."""
        running, self.running = self.running, None
        if running is not None:
            await running.stop()

    def batches(self, records: Mapping[tuple[str, int], Sequence[Row]]) -> list[tuple[str, int, BatchBuilder]]:
        """Rows by topic and partition as batches. Nothing waits in here: what is built is the state of one moment."""
        create = self.producer.create_batch
        return [(topic, partition, batch) for (topic, partition), rows in records.items() for batch in packed(create, rows)]

    async def commit(self, batches: Batches) -> None:
        """One transaction. aiokafka commits although a batch was refused, so every batch is awaited first."""
        requests: Any = self.producer._sender  # noqa: SLF001 - held by tests/test_private_names.py
        await self.producer.begin_transaction()
        await self.delivered(await requests.send(batches))
        await requests.commit()

    async def delivered(self, sent: list[Any]) -> None:
        """Returns when the broker has taken every batch; raises what it said of one that it has not."""
        for future in sent:
            await future


def packed(create: Callable[[], BatchBuilder], rows: Sequence[Row]) -> Iterator[BatchBuilder]:
    """Rows in as few batches as they fit, by aiokafka's compiled builder: what is around it costs as much again for each row."""
    start = 0
    while start < len(rows):
        batch = create()
        end = fill(batch._builder.append, rows, start)  # noqa: SLF001 - held by tests/test_private_names.py
        if end == start:
            raise ValueError("a record does not fit into a batch of its own")
        batch._relative_offset = end - start  # noqa: SLF001 - likewise
        yield batch
        start = end
