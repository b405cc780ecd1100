"""What a slice does to a shard's memory, in loops over all its keys: the hot path, compiled where the core is.

The order is that of the promise: every step has returned, and every size is right, before anything is stored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from streams.engine.murmur import partition_of
from streams.engine.stage import Change, Outgoing, Record
from streams.engine.store import Store
from streams.engine.values import Values

LONGEST_VALUE: Final = 900_000
"""A state or an output larger than this is not written: what led to it becomes a dead letter."""
NOW: Final = "now"
NO_HEADERS: Final[list[tuple[str, bytes]]] = []

Row = tuple[bytes | None, bytes | None, int | None, Sequence[tuple[str, bytes]]]
"""A record on its way out: key, value, timestamp (ms; None: that of its batch), headers."""

Rows = dict[tuple[str, int], list[Row]]
"""Records on their way out, by topic and partition."""

Step = Callable[[bytes, bytes | None, Sequence[Any], int], Change]


class TooLargeError(Exception):
    """A state or an output that would not fit a record."""


Stepped = tuple[bytes, bytes | None, bytes | None, Change]
"""One key, its value before and after, and all that follows."""


class Way:
    """Where a stage's output goes. ``own``: the partition that all of it goes to, -1 where its key decides. ``feeds``: another stage."""

    __slots__ = ("feeds", "own", "partitions", "places")

    def __init__(self, topic: str, partitions: int, own: int, *, feeds: bool) -> None:
        self.partitions, self.own, self.feeds = partitions, own, feeds
        self.places = [(topic, n) for n in range(partitions)]


class Sum:
    """What the changes of a slice ask for besides their values. ``size``: bytes of the values of keys that have not changed before."""

    __slots__ = ("archived", "bookings", "counts", "outputs", "revisit", "size")

    def __init__(self) -> None:
        self.bookings: list[Any] = []
        self.archived: list[Any] = []
        self.outputs: list[Outgoing] = []
        self.counts: list[Mapping[tuple[str, ...], int]] = []
        self.revisit = False
        self.size = 0


def step_all(groups: Mapping[bytes, Sequence[Any]], values: Values, step: Step, now: int) -> list[Stepped]:
    """Steps every key that records belong to; nothing is changed by it. TooLargeError: something would not fit a record."""
    stepped: list[Stepped] = []
    for key, records in groups.items():
        old = values.get(key)
        change = step(key, old, records, now)
        stepped.append((key, old, checked(change), change))
    return stepped


def checked(change: Change) -> bytes | None:
    """The value of a change. TooLargeError: something of it would not fit a record."""
    value = change.value
    if value is not None and len(value) > LONGEST_VALUE:
        raise TooLargeError(f"the state would have {len(value)} bytes")
    for output in change.outputs:
        sent = output.value
        if sent is not None and len(sent) > LONGEST_VALUE:
            raise TooLargeError(f"an output to {output.topic} would have {len(sent)} bytes")
    return value


def store_all(stepped: Iterable[Stepped], store: Store, dirty: dict[bytes, bytes | None], ripe: AbstractSet[bytes]) -> Sum:
    """Stores new values, and gathers the rest. ``ripe``: keys that stand in the index of due times no more."""
    total = Sum()
    for key, old, value, change in stepped:
        is_ripe = key in ripe
        if value is not old or is_ripe:
            store.put(key, old, value, change.due, ripe=is_ripe)
        if value is not old:
            known = len(dirty)
            dirty[key] = value
            if value is not None and len(dirty) > known:
                total.size += len(value)
        if change.bookings:
            total.bookings += change.bookings
        if change.archived:
            total.archived += change.archived
        if change.outputs:
            total.outputs += change.outputs
        if change.counts:
            total.counts.append(change.counts)
        if change.revisit:
            total.revisit = True
    return total


def route(outputs: Iterable[Outgoing], ways: Mapping[str, Way], rows: Rows, timestamp: int, now: bytes) -> tuple[int, int]:
    """Puts outputs to the partition of their key; returns how many, and their bytes. ``now`` goes with what feeds another stage."""
    number = size = 0
    for output in outputs:
        key, partition, headers = output.key, output.partition, output.headers
        way = ways[output.topic]
        if partition is None:
            partition = way.own if way.own >= 0 else partition_of(key or b"", way.partitions)
        elif not 0 <= partition < way.partitions:
            raise ValueError(f"an output to {output.topic} is for partition {partition} of {way.partitions}")
        if way.feeds:
            headers = ((NOW, now), *headers)
        place = way.places[partition]
        value = output.value
        size += len(value) if value is not None else 0
        row = key, value, timestamp, headers
        known = rows.get(place)
        if known is None:
            rows[place] = [row]
        else:
            known.append(row)
        number += 1
    return number, size


def size_of(records: Iterable[Record]) -> int:
    """Bytes of the values of records."""
    size = 0
    for record in records:
        value = record.value
        size += len(value) if value is not None else 0
    return size


def rows_of(values: Mapping[bytes, bytes | None]) -> list[Row]:
    """Keys with their values as rows of a changelog; one that is gone has a tombstone."""
    return [(key, value, None, ()) for key, value in values.items()]


def fill(append: Callable[..., object], rows: Sequence[Row], start: int) -> int:
    """Puts rows into a batch from one on, numbered from 0; returns which one does not fit any more. ``append``: aiokafka's builder's."""
    for at in range(start, len(rows)):
        key, value, timestamp, headers = rows[at]
        if append(at - start, timestamp, key, value, list(headers) if headers else NO_HEADERS) is None:
            return at
    return len(rows)
