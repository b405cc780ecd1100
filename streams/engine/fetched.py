"""Records as a fetch brings them, many at a time, and how much a fetch may bring: what aiokafka does for each costs more than the record.

Which batches are whole, committed and asked for is aiokafka's to know. To it a batch has few records here, each of which holds many; they
are as its parser has made them, without their topic and partition, which whoever fetches knows.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from struct import Struct as Packed
from typing import Final, NamedTuple, cast

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record._protocols import DefaultRecordBatchProtocol, LegacyRecordBatchProtocol, LegacyRecordProtocol
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from google_crc32c import implementation
from google_crc32c import value as crc32c

from streams.engine.stage import Record

LENGTH: Final = Packed(">8xi")
"""Behind a batch's first offset stands how many bytes follow."""
FRONT: Final = 21
"""So many bytes stand before those whose checksum it has."""
AT_ONCE: Final = 1_000
"""So many records of a batch are made together: compressed, there may be hundreds of thousands in a megabyte."""
FETCH_WAIT_MS: Final = 100
"""A partition that is resumed waits for the fetch that is under way without it."""
BUSY_WAIT_MS: Final = 30
BUSY_BYTES: Final = 1 << 20
"""While records come, the broker answers after so long, or when it has so much: every fetch asks for every partition, and costs as much
for one record as for a hundred. After a fetch that brought nothing it answers at the first record again."""
LEAST_BYTES: Final = 256 << 10
MOST_BYTES: Final = 2 << 20
ALL_BYTES: Final = 32 << 20
"""Of a partition an answer holds so much, at least and at most, and of all together about so much: in a backlog the answers of all others
are folded before it is a partition's turn again, and its shard is not to be taken for stuck meanwhile (`streams.engine.watch`)."""
BY_PROCESSOR: Final = implementation == "c"
"""Where there is no wheel of it, the library computes checksums in Python: then aiokafka does."""


class Together(NamedTuple):
    """Records of a batch, and the offset of the last one."""

    records: Sequence[Record]
    offset: int


class RecordBatch:
    """A batch as aiokafka finds it. The checksum is computed by the processor, not by a table."""

    def __init__(self, parsed: DefaultRecordBatchProtocol, data: bytes, start: int, end: int) -> None:
        self.parsed, self.data, self.start, self.end = parsed, data, start, end
        self.base_offset, self.next_offset = parsed.base_offset, parsed.next_offset
        self.producer_id, self.is_control_batch = parsed.producer_id, parsed.is_control_batch
        self.is_transactional = parsed.is_transactional

    def __iter__(self) -> Iterator[Together]:
        every: Iterator[Record] = chain(self.parsed)
        more = True
        while more:  # the parser may not be asked again after its end
            records = list(islice(every, AT_ONCE))
            more = len(records) == AT_ONCE
            if records:
                yield Together(records, records[-1].offset)

    def __next__(self) -> object:
        return next(self.parsed)

    def validate_crc(self) -> bool:
        """Whether it is as it was sent."""
        if not BY_PROCESSOR:
            return bool(self.parsed.validate_crc())
        return bool(crc32c(self.data[self.start + FRONT : self.end]) == self.parsed.crc)


class Answer:
    """What a broker has answered for one partition."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.parsed = MemoryRecords(data)
        self.has_next, self.size_in_bytes = self.parsed.has_next, self.parsed.size_in_bytes

    def next_batch(self) -> RecordBatch | LegacyRecordBatchProtocol | DefaultRecordBatchProtocol | None:
        """The next one that is there to its end. What is older than Kafka 0.11 aiokafka reads record by record."""
        parsed = self.parsed.next_batch()
        start = self.at
        if parsed is not None:
            self.at += LENGTH.size + LENGTH.unpack_from(self.data, start)[0]
        return RecordBatch(parsed, self.data, start, self.at) if isinstance(parsed, DefaultRecordBatch) else parsed


class FetchedRecords(fetcher.PartitionRecords):
    """The records of one partition."""

    rest: list[Record]
    next_fetch_offset: int

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self.rest = []

    def _consumer_record(self, tp: TopicPartition, record: Together | LegacyRecordProtocol) -> Sequence[Record]:  # noqa: ARG002 - aiokafka's signature
        """Those that were asked for."""
        if not isinstance(record, Together):
            return [cast("Record", record)]
        records, first = record.records, self.next_fetch_offset
        return records if records[0].offset >= first else [one for one in records if one.offset >= first]

    def take(self, most: int | None) -> tuple[list[Record], bool]:
        """So many records at most, and whether there may be more; ``next_fetch_offset`` is behind them."""
        found, self.rest = self.rest, []
        while most is None or len(found) < most:
            batch: Sequence[Record] | None = next(self, None)
            if batch is None:
                return found, False
            found += batch
        found, self.rest = found[:most], found[most:]
        self.next_fetch_offset = self.rest[0].offset if self.rest else found[-1].offset + 1
        return found, True


class FetchResult(fetcher.FetchResult):
    """What one fetch brought of one partition, until all of it was taken."""

    _partition_records: FetchedRecords | None

    def getall(self, max_records: int | None = None) -> list[Record]:
        """So many records at most. They are nobody's if the partition is read from elsewhere by now."""
        fetched = self._partition_records
        if fetched is None or not self.check_assignment(self._topic_partition):  # type: ignore[no-untyped-call]
            return []
        found, more = fetched.take(max_records)
        self._update_position()  # type: ignore[no-untyped-call]
        if not more:
            self._partition_records = None
        return found

    def getone(self) -> Record | None:
        """One record."""
        return next(iter(self.getall(1)), None)


def pace(asked: fetcher.Fetcher, partitions: int, *, busy: bool) -> None:
    """Says how long, and for how much, the broker may wait with its next answer, and what it may hold of each of so many partitions."""
    asked._fetch_max_wait_ms, asked._fetch_min_bytes = (BUSY_WAIT_MS, BUSY_BYTES) if busy else (FETCH_WAIT_MS, 1)
    asked._max_partition_fetch_bytes = max(LEAST_BYTES, min(MOST_BYTES, ALL_BYTES // max(1, partitions)))


def install() -> None:
    """Lets every consumer of this process have such records: aiokafka has no place to say so of one."""
    ours = {"MemoryRecords": Answer, "PartitionRecords": FetchedRecords, "FetchResult": FetchResult}
    for name, made in ours.items():
        setattr(fetcher, name, made)
