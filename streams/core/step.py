"""What a step returns: the one thing that a host (the engine, or `replay`) must understand of the core."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

NEVER: Final = 1 << 62
HEADER: Final = 9


Place = tuple[str, str]
"""One slot of one series: its name and labels, and ``""`` for a counter, a bucket or ``sum`` for a histogram."""


class Booking(NamedTuple):
    """Amounts for one slot of one series: both at least 0."""

    place: Place
    added: int
    retracted: int


Difference = tuple[tuple[str | int, ...], int]
"""A fact, and how many more or fewer of it are true."""


class Output(NamedTuple):
    """A record for another topic."""

    topic: str
    key: bytes
    value: bytes


class Change(Struct, frozen=True, kw_only=True):
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
    counts: dict[tuple[str, ...], int] = {}
    revisit: bool = False


def seal(due: int, body: bytes, *, is_open: bool) -> bytes:
    """An encoded value with its due time and whether it is open in front, so that a host reads both without decoding."""
    return due.to_bytes(8, "big") + (b"\x01" if is_open else b"\x00") + body


def due_of(value: bytes) -> int:
    """The due time in front of an encoded value."""
    return int.from_bytes(value[:8], "big")


def open_of(value: bytes) -> bool:
    """Whether an encoded value says that it is open."""
    return value[8] == 1
