"""Records as a fetch brings them: the same as aiokafka's own, whatever is asked for, in whatever pieces, and never what is broken."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import kafka  # noqa: F401 - it is what installs them
from streams.engine.fetched import AT_ONCE, FRONT, Answer, FetchedRecords, FetchResult, pace

PLACE: Final = TopicPartition("in", 0)
READ_COMMITTED: Final = 1
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"
CONTROL: Final = 0x20
CHECKSUM, ATTRIBUTES, LAST_OFFSET, RECORDS = slice(17, 21), 22, slice(23, 27), slice(57, 61)
NONE, GZIP, LZ4 = 0, 1, 3
OURS: Final = Answer, FetchedRecords, FetchResult
THEIRS: Final = MemoryRecords, FetchedRecords.__bases__[0], FetchResult.__bases__[0]


class Sent(NamedTuple):
    """A batch. ``producer``: of its transaction, -1 for none; ``marker``: how that ended.

    Compaction has taken all records but each ``stride``-th, and ``gone`` at the end.
    """

    records: int
    codec: int = NONE
    producer: int = -1
    marker: bytes = b""
    gone: int = 0
    stride: int = 1

    @property
    def offsets(self) -> int:
        """How many it takes."""
        return self.records * self.stride + self.gone + bool(self.marker)


def batch(sent: Sent, offset: int) -> bytes:
    """A batch as a broker has it, at an offset."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=sent.codec, is_transactional=sent.producer >= 0, producer_id=sent.producer, producer_epoch=0,
        base_sequence=0, batch_size=1 << 24,
    )  # fmt: skip
    if sent.marker:
        builder.append(0, 1, sent.marker, bytes(6), [])
    for n in range(sent.records):
        builder.append(n * sent.stride, 1000 + n, b"k%d" % n if n % 3 else None, b"v" * n or None, [("h", b"%d" % n)] * (n % 2))
    data = bytearray(builder.build())
    data[:8] = offset.to_bytes(8, "big")
    data[LAST_OFFSET] = (sent.offsets - 1).to_bytes(4, "big")
    data[RECORDS] = (sent.records + bool(sent.marker)).to_bytes(4, "big")
    if sent.marker:
        data[ATTRIBUTES] |= CONTROL
    data[CHECKSUM] = crc32c(bytes(data[FRONT:])).to_bytes(4, "big")
    return bytes(data)


def log(batches: Iterable[Sent]) -> bytes:
    """Batches one after the other, from offset 0 on."""
    every = [*batches]
    starts = accumulate((sent.offsets for sent in every), initial=0)
    return b"".join(batch(sent, start) for sent, start in zip(every, starts, strict=False))


class Assigned:
    """A partition that is read on from ``position``, as aiokafka knows it."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _: TopicPartition) -> "Assigned":
        """There is one."""
        return self

    def consumed_to(self, position: int) -> None:
        """Moves on."""
        self.position = position


def fetched(by: Any, data: bytes, position: int = 0, aborted: Sequence[tuple[int, int]] = ()) -> tuple[Any, Assigned]:
    """What one fetch brought, by our classes or by aiokafka's."""
    batches, records, result = by
    assigned = Assigned(position)
    parts = records(PLACE, batches(data), [*aborted], position, None, None, True, READ_COMMITTED)  # noqa: FBT003 - aiokafka's
    return result(PLACE, assignment=assigned, partition_records=parts, backoff=0), assigned


def told(records: Iterable[Any]) -> list[Any]:
    """What of a record concerns us."""
    return [(one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in records]


BATCHES: Final = st.lists(
    st.builds(
        Sent, st.integers(0, 6), st.sampled_from([NONE, GZIP, LZ4]), st.integers(-1, 2), st.just(b""), st.integers(0, 2), st.integers(1, 3)
    )
    | st.builds(Sent, st.just(0), st.just(NONE), st.integers(0, 2), st.sampled_from([ABORT, COMMIT]), st.just(0), st.just(1)),
    min_size=1, max_size=6,
).filter(lambda every: all(sent.offsets for sent in every))  # fmt: skip


@given(BATCHES, st.data(), st.integers(0, 12), st.none() | st.integers(1, 9))
def test_they_are_the_same_as_aiokafkas_own(every: list[Sent], data: st.DataObject, position: int, most: int | None) -> None:
    """Compressed, aborted, emptied by compaction, and asked for from the middle of a batch; however few at a time, none is left out."""
    total = sum(sent.offsets for sent in every)
    aborted = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, total)), max_size=3))
    theirs, known = fetched(THEIRS, log(every), position, aborted)
    ours, here = fetched(OURS, log(every), position, aborted)
    expected, found = told(theirs.getall()), []
    while ours.has_more():
        part = told(ours.getall(most))
        found += part
        rest = expected[len(found) :]

        assert most is None or len(part) <= most
        assert here.position <= rest[0][0] if rest else here.position <= known.position
        assert not part or here.position > part[-1][0]
    assert (found, here.position) == (expected, known.position)


@pytest.mark.parametrize("codec", [NONE, LZ4])
@pytest.mark.parametrize("most", [None, 1, 700, 1_000])
def test_a_large_batch_is_taken_in_pieces(codec: int, most: int | None) -> None:
    """More records than are made at once: no more of them are there than that, however well they were compressed."""
    theirs, _ = fetched(THEIRS, log([Sent(2_500, codec)]), 40)
    ours, here = fetched(OURS, log([Sent(2_500, codec)]), 40)
    found = told(ours.getall(most))
    kept = ours._partition_records  # noqa: SLF001 - what of it is in memory
    assert kept is None or len(kept.rest) < AT_ONCE
    while ours.has_more():
        found += told(ours.getall(most))

    assert (found, here.position) == (told(theirs.getall()), 2_500)


def test_one_at_a_time() -> None:
    """Whoever asks for one gets one."""
    result, here = fetched(OURS, log([Sent(2), Sent(1)]))

    assert [(told([result.getone()])[0][0], here.position) for _ in range(3)] == [(0, 1), (1, 2), (2, 3)]
    assert (result.getone(), result.has_more()) == (None, False)


@pytest.mark.parametrize("by_processor", [True, False])
def test_what_is_broken_is_not_read(monkeypatch: pytest.MonkeyPatch, *, by_processor: bool) -> None:
    """A bit that is another one: aiokafka says so, and reads it again; what came before is not lost, whoever computes the checksum."""
    monkeypatch.setattr("streams.engine.fetched.BY_PROCESSOR", by_processor)
    data = bytearray(log([Sent(2), Sent(3)]))
    data[-1] ^= 1
    result, here = fetched(OURS, bytes(data))
    assert [offset for offset, *_ in told(result.getall(2))] == [0, 1]
    with pytest.raises(CorruptRecordException):
        result.getall()

    assert here.position == 2


def test_what_is_not_there_to_its_end_is_not_read() -> None:
    """A broker cuts its answer off where it is full."""
    result, here = fetched(OURS, log([Sent(2), Sent(3)])[:-1])

    assert ([offset for offset, *_ in told(result.getall())], here.position) == ([0, 1], 2)


def test_what_was_fetched_is_nobodys_when_the_partition_is_read_from_elsewhere() -> None:
    """A seek in between."""
    result, here = fetched(OURS, log([Sent(5)]))
    assert len(result.getall(2)) == 2
    here.position = 4

    assert (result.getall(), result.has_more(), here.position) == ([], False, 4)


def test_what_is_as_old_as_kafka_0_10_is_read_record_by_record() -> None:
    """By aiokafka alone."""
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=NONE, batch_size=1000)
    for n in range(3):
        builder.append(n, 1000 + n, b"k", b"%d" % n)
    result, _ = fetched(OURS, bytes(builder.build()))
    records = result.getall(2) + result.getall()

    assert [(one.offset, one.timestamp, one.key, one.value) for one in records] == [(n, 1000 + n, b"k", b"%d" % n) for n in range(3)]


def test_every_consumer_of_the_process_has_them() -> None:
    """By the names that aiokafka looks up when an answer has come."""
    there: Any = SimpleNamespace(**vars(fetcher))
    looks_up = [of.__code__.co_names for of in (there.Fetcher._proc_fetch_request, there.Fetcher.fetched_records)]  # noqa: SLF001 - held by tests/test_private_names.py

    assert (there.MemoryRecords, there.PartitionRecords, there.FetchResult) == OURS
    assert {"MemoryRecords", "PartitionRecords", "FetchResult"} <= {*looks_up[0], *looks_up[1]}


@pytest.mark.parametrize(
    ("partitions", "each"), [(0, 2 << 20), (1, 2 << 20), (16, 2 << 20), (40, 838_860), (128, 256 << 10), (1000, 256 << 10)]
)
def test_the_more_partitions_the_less_of_each_at_once(partitions: int, each: int) -> None:
    """None waits long for its turn in a backlog; a single record goes whatever its size, which is the broker's to see to."""
    asked: Any = SimpleNamespace()
    pace(asked, partitions, busy=True)

    assert asked._max_partition_fetch_bytes == each  # noqa: SLF001 - aiokafka's name
