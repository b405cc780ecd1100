"""Records as a fetch brings them, with what a stage asks of them and no more: aiokafka's own take twice as long to make."""

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from msgspec import Struct

from streams.engine.stage import Record


class FetchedRecord(Struct, gc=False):
    """One record: `streams.engine.stage.Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class FetchedRecords(fetcher.PartitionRecords):
    """The records of one partition: which of them are whole, committed and asked for is aiokafka's to know."""

    def _consumer_record(self, tp: TopicPartition, record: Record) -> FetchedRecord:
        return FetchedRecord(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def install() -> None:
    """Lets every consumer of this process make such records: aiokafka has no place to say so of one."""
    fetcher.PartitionRecords = FetchedRecords  # type: ignore[misc] # that is what is meant
