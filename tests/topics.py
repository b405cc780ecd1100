"""Topics for tests on a real Kafka: a prefix that nobody else has, somebody else's topics, and what is in them."""

import asyncio
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from streams.connection import administrator
from streams.settings import Settings
from tests.cluster import Stored


def fresh(address: str, partitions: int = 3) -> Settings:
    """Settings with a prefix that nobody else has."""
    return Settings(broker=address, prefix=f"test-{uuid4().hex[:8]}", partitions=partitions)


def make(settings: Settings, name: str, partitions: int, **configs: str) -> None:
    """Create a topic as somebody else would."""

    async def make_it() -> None:
        async with administrator(settings.broker) as admin:
            given = {option.replace("_", "."): text for option, text in configs.items()}
            await admin.create_topics([NewTopic(settings.topic(name), partitions, 1, topic_configs=given)])

    asyncio.run(make_it())


def stored(place: TopicPartition, record: Any) -> Stored:
    """A record with where it stands."""
    return Stored(*place, record.offset, record.timestamp, record.key, record.value, record.headers)


def records(settings: Settings, *names: str) -> list[Stored]:
    """Everything that has been committed to some topics, by topic, partition and offset."""

    async def all_of_it() -> list[Stored]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.broker, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed"
        )
        await consumer.start()
        try:
            places = [TopicPartition(settings.topic(name), n) for name in names for n in range(settings.partitions)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Stored] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for place, part in (await consumer.getmany(timeout_ms=100)).items():
                    found += [stored(place, record) for record in part]
        finally:
            await consumer.stop()
        return sorted(found, key=lambda record: (record.topic, record.partition, record.offset))

    return asyncio.run(all_of_it())
