"""What the engine asks of a stage, and what a stage may ask of the engine: keys, bytes, amounts and due times.

The step is `(key, old, records, now) -> Change`. It returns; nothing is stored, sent or counted before it has returned.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

SHARED: Final = b"\1"
"""Keys that begin so hold what a whole shard shares (publisher-wide events): `Stage.share` is told of each when a shard opens."""

RESERVED: Final = b"\0"
"""Keys that begin so are the engine's own: positions, totals, clock, rules. A stage refuses data that would make such a key."""

FIRST: Final = b"\2"
"""All keys that are shared or reserved are before this one."""

Place = tuple[str, str]
"""A slot of a series: its name with labels, and which slot."""

Origin = tuple[str, int]
"""The topic and the partition that records came of."""


class Record(Protocol):
    """A record as it was consumed; ``timestamp`` in ms."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""

    @property
    def timestamp(self) -> int:
        """When it was made, or arrived."""

    @property
    def key(self) -> bytes | None:
        """Whom it concerns."""

    @property
    def value(self) -> bytes | None:
        """The content; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """What stands beside key and value."""


Posting = tuple[Place, int, int]
"""Amounts for one slot of one series: what is new, and what is no longer true, both at least 0."""


Outgoing = tuple[str, bytes | None, bytes | None, int | None, Sequence[tuple[str, bytes]]]
"""A record for another topic: the stage's own name for the topic (the app says which one that is), key, value (None is a tombstone),
partition (None: the one that the key hashes to, Java-compatible murmur2), headers. What each is: `streams.core.step.Output`."""

Change = tuple[bytes | None, int, Sequence[Any], Sequence[Any], Sequence[Outgoing], Mapping[tuple[str, ...], int], bool]
"""All that follows from records for one key: value, due, bookings, archived, outputs, counts, revisit. What each is:
`streams.core.step.Change`. It is taken apart once for each key that changes, which costs a tuple a tenth of what it costs an object."""


class Journal(Protocol):
    """Sums what steps book, so that a slice is booked at once."""

    def take(self, differences: Iterable[Any], /) -> None:
        """Notes what one change makes true and untrue."""

    def bookings(self) -> Iterable[Posting]:
        """What was noted since the last call."""


@dataclass(slots=True)
class Batch:
    """What a stage reads in a slice: records by key in order of arrival, what follows at once, and the newest event time (ms).

    ``outputs`` are dead letters and what belongs to another partition; ``counts`` worker counters by (name, label values…).
    """

    groups: dict[bytes, list[Any]] = field(default_factory=dict)
    outputs: list[Outgoing] = field(default_factory=list)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    newest: int = 0


class Stage(Protocol):
    """What one shard runs: one object for each shard, made anew whenever the shard opens.

    ``rules`` is the version of what it counts by: a shard that was counted by others is counted anew before it goes on.
    ``counting`` is the number of the counting code: a shard with a higher one is refused.
    """

    rules: str
    counting: int

    def journal(self) -> Journal:
        """A journal for bookings, and one for what is archived."""

    def remembers(self, topic: str) -> int:
        """How many records before its position the reading of a topic depends on; 0 where each record stands for itself."""

    def prime(self, origin: Origin, records: Sequence[Record]) -> None:
        """Takes notice of records that were applied before the shard opened (`remembers`); nothing follows from them."""

    def read(self, origin: Origin, records: Sequence[Record], wall: int) -> Batch:
        """Decodes records of one partition; ``wall`` (ms) is what no event may lie far ahead of. Never raises for bad data."""

    def defect(self, origin: Origin, record: Record, error: str) -> Batch:
        """What becomes of a record that a step could not take: a dead letter."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """All that follows from records for one key, or from time alone where there are none. Pure."""

    def share(self, key: bytes, value: bytes) -> None:
        """Takes what the whole shard shares from its encoded value."""

    def live(self, value: bytes) -> Mapping[Place, int]:
        """The amounts that an encoded state stands for: the trial balance adds these up."""

    def due(self, value: bytes) -> int:
        """The instant (ms) at which an encoded state wants to be stepped without records; read without decoding."""

    def is_open(self, value: bytes) -> bool:
        """Whether an encoded state wants to be looked at when its shard says `revisit`; read without decoding."""

    def waiting(self, value: bytes) -> Sequence[tuple[str, int]]:
        """Series and the instant (ms) since when somebody waits there; read without decoding."""
