"""Records of topics that nobody else reads are deleted when they have been committed (streams/engine/watch.py)."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.engine.kafka import Kafka
from streams.engine.watch import trim_all
from tests.topics import fresh, make


def test_what_has_been_committed_is_deleted_and_nothing_else(kafka: str) -> None:
    """Up to the committed position of the shards here; a stage whose sources are others' as well deletes nothing."""
    settings = fresh(kafka, 2)
    make(settings, "interactions", 2)
    make(settings, "calls", 2)

    async def trimmed() -> dict[str, int]:
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        for name in ("interactions", "calls"):
            for partition in (0, 1):
                for _ in range(5):
                    await producer.send_and_wait(settings.topic(name), b"x", partition=partition)
        await producer.stop()
        shards = [
            shard(settings.topic("interactions"), 0, 3, trims=True),
            shard(settings.topic("interactions"), 1, 0, trims=True),
            shard(settings.topic("calls"), 0, 4, trims=False),
        ]
        engine: Any = SimpleNamespace(kafka=Kafka(kafka), shards=dict(enumerate(shards)))
        await trim_all(engine)
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
        await consumer.start()
        places = [TopicPartition(settings.topic(name), n) for name in ("interactions", "calls") for n in (0, 1)]
        first = await consumer.beginning_offsets(places)
        await consumer.stop()
        return {f"{place.topic.rpartition('.')[2]}-{place.partition}": first[place] for place in places}

    assert asyncio.run(trimmed()) == {"interactions-0": 3, "interactions-1": 0, "calls-0": 0, "calls-1": 0}


def shard(topic: str, partition: int, committed: int, *, trims: bool) -> SimpleNamespace:
    """A shard as far as trimming is concerned."""
    return SimpleNamespace(spec=SimpleNamespace(trims=trims), partition=partition, committed={topic: committed})
