"""What a step returns: the one thing that a host (the engine, or `replay`) must understand of the core."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

NEVER: Final = 1 << 62

DEAD_LETTERS: Final = "dead-letters"
TOO_LATE: Final = (("reason", b"too_late"),)
"""The headers of a dead letter that was in order, and came when its place was gone."""

NOW: Final = "now"
"""The header in which a stage tells the next one its now: 8 bytes, big-endian, ms."""

Place = tuple[str, str]
"""One slot of one series: its name and labels, and ``""`` for a counter, a bucket or ``sum`` for a histogram."""

Booking = tuple[Place, int, int]
"""Amounts for one slot of one series: added and retracted, both at least 0."""

Difference = tuple[tuple[str | int, ...], int]
"""A fact, and how many more or fewer of it are true."""


class Output(NamedTuple):
    """A record for another topic. ``topic`` is the stage's own name for it; ``partition`` None: the one that its key hashes to."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Change(NamedTuple):
    """All that follows from records for one key: nothing is stored, sent or counted before it has been returned.

    ``value`` None deletes the key. ``due`` is the instant (ms) at which the key wants to be stepped again without records.
    ``archived``: facts whose chain left the table; they move from live to archived and change no total.
    ``revisit``: every open key of the shard wants a step. ``counts``: worker counters by (name, label values…).
    """

    value: bytes | None
    due: int = NEVER
    bookings: Sequence[Difference] = ()
    archived: Sequence[Difference] = ()
    outputs: tuple[Output, ...] = ()
    counts: Mapping[tuple[str, ...], int] = {}
    revisit: bool = False
