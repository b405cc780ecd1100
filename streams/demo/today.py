"""Moments of today, from the moments topic: each was booked or retracted, and says when it was."""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from streams.engine.kafka import Kafka

DAY: Final = 86_400_000
WAIT_MS: Final = 500


class Told(Struct):
    """What matters here of a moment's record."""

    at: int
    state: str
    actor: str


READ: Final = Decoder(Told)


class Today:
    """Moments of truth since midnight (UTC) of the day of ``now`` (ms): booked less retracted, as far as the topic has been read."""

    def __init__(self, kafka: Kafka, topic: str, partitions: int, now: int) -> None:
        self.kafka, self.places = kafka, [TopicPartition(topic, n) for n in range(partitions)]
        self.midnight = now - now % DAY
        self.number = 0

    async def run(self) -> None:
        """Reads on and on."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, enable_auto_commit=False, isolation_level="read_committed",
            auto_offset_reset="earliest", **self.kafka.security,
        )  # fmt: skip
        await consumer.start()
        try:
            consumer.assign(self.places)
            while True:
                for records in (await consumer.getmany(timeout_ms=WAIT_MS)).values():
                    for record in records:
                        self.take(record.value or b"")
        finally:
            await consumer.stop()

    def take(self, value: bytes) -> None:
        """One record."""
        try:
            told = READ.decode(value)
        except DecodeError:
            return
        if told.actor == "human" and told.at >= self.midnight:
            self.number += 1 if told.state == "booked" else -1
