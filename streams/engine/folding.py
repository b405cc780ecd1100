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
ANY_LENGTH: Final = 1 << 31
NOW: Final = "now"
NO_HEADERS: Final[list[tuple[str, bytes]]] = []

Row = tuple[bytes | None, bytes | None, int | None, Sequence[tuple[str, bytes]]]
"""A record on its way out: key, value, timestamp (ms; None: that of its batch), headers."""

Rows = dict[tuple[str, int], list[Row]]
"""Records on their way out, by topic and partition."""

Step = Callable[[bytes, bytes | None, Sequence[Any], int], Change]


class TooLargeError(Exception):
    """A state or an output that would not fit a record."""


Stored = tuple[bytes, bytes | None, bytes | None, int]
"""A key, its value before and after, and when it wants to be stepped again without records."""


class Way:
    """Where a stage's output goes. ``own``: the partition that all of it goes to, -1 where its key decides. ``feeds``: another stage."""

    __slots__ = ("feeds", "own", "partitions", "places")

    def __init__(self, topic: str, partitions: int, own: int, *, feeds: bool) -> None:
        self.partitions, self.own, self.feeds = partitions, own, feeds
        self.places = [(topic, n) for n in range(partitions)]


class Stepped:
    """All that follows from the steps of some keys, before any of it is stored. ``sent``: bytes of outputs; ``rows``: these, to go out."""

    __slots__ = ("archived", "bookings", "counts", "outputs", "revisit", "rows", "sent", "stored")

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.bookings: list[Any] = []
        self.archived: list[Any] = []
        self.counts: list[Mapping[tuple[str, ...], int]] = []
        self.rows: Rows = {}
        self.outputs = self.sent = 0
        self.revisit = False


def step_all(
    groups: Mapping[bytes, Sequence[Any]], values: Values, step: Step, now: int, ways: Mapping[str, Way], timestamp: int
) -> Stepped:
    """Steps every key that records belong to, and routes what follows (`route`); nothing is changed by it.

    ``timestamp`` (ms): of the record that all of it came of. TooLargeError: something would not fit a record.
    """
    stepped = Stepped()
    stored, rows = stepped.stored, stepped.rows
    told = now.to_bytes(8, "big")
    for key, records in groups.items():
        old = values.get(key)
        value, due, bookings, archived, outputs, counts, revisit = step(key, old, records, now)
        if value is not None and len(value) > LONGEST_VALUE:
            raise TooLargeError(f"the state would have {len(value)} bytes")
        stored.append((key, old, value, due))
        if bookings:
            stepped.bookings += bookings
        if archived:
            stepped.archived += archived
        if outputs:
            number, size = route(outputs, ways, rows, timestamp, told, LONGEST_VALUE)
            stepped.outputs += number
            stepped.sent += size
        if counts:
            stepped.counts.append(counts)
        if revisit:
            stepped.revisit = True
    return stepped


def store_all(stored: Iterable[Stored], store: Store, dirty: dict[bytes, bytes | None], ripe: AbstractSet[bytes]) -> int:
    """Stores new values; returns the bytes of those that had not changed before.

    ``ripe``: keys that stand in the index of due times no more.
    """
    size = 0
    for key, old, value, due in stored:
        is_ripe = key in ripe
        if value is not old or is_ripe:
            store.put(key, old, value, due, ripe=is_ripe)
        if value is not old:
            known = len(dirty)
            dirty[key] = value
            if value is not None and len(dirty) > known:
                size += len(value)
    return size


def route(
    outputs: Iterable[Outgoing], ways: Mapping[str, Way], rows: Rows, timestamp: int | None, now: bytes, longest: int = ANY_LENGTH
) -> tuple[int, int]:
    """Puts outputs to the partition of their key; returns how many, and their bytes. ``now`` goes with what feeds another stage.

    TooLargeError: one is longer than ``longest``. ValueError: one is for a partition that is not there.
    """
    number = size = 0
    for topic, key, value, asked, given in outputs:
        way = ways[topic]
        if asked is None:
            partition = way.own if way.own >= 0 else partition_of(key or b"", way.partitions)
        elif 0 <= asked < way.partitions:
            partition = asked
        else:
            raise ValueError(f"an output to {topic} is for partition {asked} of {way.partitions}")
        if value is not None:
            if len(value) > longest:
                raise TooLargeError(f"an output to {topic} would have {len(value)} bytes")
            size += len(value)
        place = way.places[partition]
        row = key, value, timestamp, ((NOW, now), *given) if way.feeds else given
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
