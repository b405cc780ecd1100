"""Records to Kafka as publishers send them: which topic and partition, whole batches, and what of them was acknowledged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.codec import to_cloudevent
from schemas.events import Event, Rated, Reset
from streams.broker import BrokerError
from streams.connection import entering, reaching
from streams.core.interaction import AT_A_COUNTER
from streams.engine.murmur import partition_of
from streams.engine.topics import describe
from streams.security import PLAINTEXT, Security

Headers = list[tuple[str, bytes]]
Place = tuple[str, int]
"""A topic and the number of one of its partitions."""

STRUCTURED: Final[Headers] = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
NONE: Final[Headers] = []
BATCH_BYTES: Final = 1 << 18
ANSWER_SECONDS: Final = 30
GOODBYE_SECONDS: Final = 2


class Parcel(NamedTuple):
    """One record on its way."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = NONE


def home(event: Event) -> Literal["calls", "visits", "feedback"]:
    """The topic of an event: ratings are feedback, what happens at a counter is a visit, every other channel is calls."""
    if type(event) is Rated:
        return "feedback"
    return "visits" if event.channel == "visit" or (not event.channel and type(event) in AT_A_COUNTER) else "calls"


def parcel(event: Event, topic: str) -> Parcel:
    """A canonical event as its publisher sends it: a CloudEvent in structured mode, by the interaction it belongs to."""
    key = event.source if type(event) is Reset else event.interaction_id
    return Parcel(topic, key.encode(), to_cloudevent(event), STRUCTURED)


class Sender:
    """Whole batches of records to topics that exist, one for each partition in hand and one on its way: memory is bounded.

    Several tasks may share one: batches go one after the other, and stay in hand until the producer has them.
    ``acknowledged`` counts by topic what Kafka has, on every replica that is in sync.
    """

    def __init__(self, producer: AIOKafkaProducer, address: str, partitions: dict[str, int], patience: float = ANSWER_SECONDS) -> None:
        self.producer, self.address, self.partitions, self.patience = producer, address, partitions, patience
        self.acknowledged: Counter[str] = Counter()
        self.batches: dict[Place, BatchBuilder] = {}
        self.turn = asyncio.Lock()
        self.flying: set[asyncio.Future[object]] = set()
        self.failure: BaseException | None = None

    async def put(self, parcel: Parcel) -> None:
        """Adds a record to its batch; a batch that is full goes. BrokerError: one line."""
        topic, key, value, headers = parcel
        place = topic, partition_of(key, self.partitions[topic])
        while (batch := self.batches.get(place)) is None or batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
            if batch is None:
                self.batches[place] = self.producer.create_batch()
            else:
                await self.send(place, batch)

    async def send(self, place: Place, batch: BatchBuilder) -> None:
        """Sends a batch in hand, when the one before it is on its way, unless another task has. BrokerError: one line."""
        async with self.turn:
            if self.batches.get(place) is not batch:
                return
            self.check()
            batch.close()
            topic, number = place
            with reaching(self.address):
                future = await self.producer.send_batch(batch, topic, partition=number)
            del self.batches[place]
            self.flying.add(future)
            future.add_done_callback(partial(self.arrived, topic, batch.record_count()))

    async def send_all(self) -> None:
        """Sends what is in hand, without waiting for an answer. BrokerError: one line."""
        for place, batch in list(self.batches.items()):
            await self.send(place, batch)

    async def flush(self) -> None:
        """Sends what is in hand, and returns when Kafka has everything sent so far. BrokerError: one line."""
        await self.send_all()
        late = set(self.flying)
        if late:
            _, late = await asyncio.wait(late, timeout=self.patience)
        self.check()
        if late:
            with reaching(self.address):
                raise TimeoutError

    def arrived(self, topic: str, records: int, future: asyncio.Future[object]) -> None:
        """Notes what became of a batch."""
        self.flying.discard(future)
        error = future.exception()
        if error is None:
            self.acknowledged[topic] += records
        else:
            self.failure = self.failure or error

    def check(self) -> None:
        """Says that a batch was refused. BrokerError: one line."""
        if self.failure is not None:
            with reaching(self.address):
                raise self.failure


@asynccontextmanager
async def sending(
    address: str, topics: Iterable[str], security: Security = PLAINTEXT, *, patience: float = ANSWER_SECONDS,
) -> AsyncIterator[Sender]:  # fmt: skip
    """A sender for some topics, which must exist. What is in hand at the end and was not flushed is lost.

    ``patience``: seconds until what Kafka has not taken is given up.

    BrokerError, ValueError: one line.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=address, client_id="karar-publish", acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES,
        request_timeout_ms=round(patience * 1000), **security.client(),
    )  # fmt: skip
    try:
        async with entering(address, security):
            await producer.start()
            there = await producer.client.fetch_all_metadata()
        partitions = {topic: len(there.partitions_for_topic(topic) or ()) for topic in topics}
        for topic, number in partitions.items():
            if not number:
                with reaching(address), suppress(UnknownTopicOrPartitionError):
                    await describe(producer.client, [topic])  # it is there, and not for us to see
                raise BrokerError(
                    f"{topic}: there is no such topic at {address}; `karar topics` creates Karar's own and those that KARAR_ADAPTERS names"
                )
        yield Sender(producer, address, partitions, patience)
    finally:
        # A producer that repeats nothing twice repeats for ever: it would wait for a Kafka that is gone.
        with suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), GOODBYE_SECONDS)
        await producer.client.close()
