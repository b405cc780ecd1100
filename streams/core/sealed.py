"""An encoded state with what a host reads of it without decoding in front: when it is due, whether it is open, who waits since when."""

from collections.abc import Sequence
from struct import Struct as Packed
from typing import Final

from msgspec import msgpack

DUE: Final = Packed(">Q")
HEADER: Final = 9
OPEN: Final = 1
WAITING: Final = 2
LONGEST_WAITING: Final = (1 << 16) - 1
"""What may stand of waits in front of a value: two bytes say how long it is."""

Waiting = tuple[str, int]
"""A series, and the instant (ms) since when somebody waits there."""

WAITS: Final = msgpack.Decoder(list[Waiting])
ENCODE: Final = msgpack.Encoder().encode


def seal(due: int, body: bytes, *, is_open: bool, waiting: Sequence[Waiting] = ()) -> bytes:
    """An encoded value with what a host reads without decoding in front: when it is due, whether it is open, who waits since when.

    8 bytes due; 1 byte of flags; with the second flag 2 bytes of length and the waits, the longest of each series; the body.
    """
    if not waiting:
        return due.to_bytes(8, "big") + (b"\x01" if is_open else b"\x00") + body
    waits = ENCODE(longest(waiting))
    return b"%b%c%b%b%b" % (due.to_bytes(8, "big"), OPEN * is_open | WAITING, len(waits).to_bytes(2, "big"), waits, body)


def longest(waiting: Sequence[Waiting]) -> list[Waiting]:
    """The longest wait of each series, longest first; of more than there is room for the shortest are left out."""
    first: dict[str, int] = {}
    for series, since in waiting:
        first[series] = min(since, first.get(series, since))
    found = sorted(first.items(), key=lambda wait: (wait[1], wait[0]))
    while len(ENCODE(found)) > LONGEST_WAITING:
        del found[len(found) // 2 :]
    return found


def due_of(value: bytes) -> int:
    """The due time in front of an encoded value."""
    due: int = DUE.unpack_from(value)[0]
    return due


def open_of(value: bytes) -> bool:
    """Whether an encoded value says that it is open."""
    return value[8] & OPEN == OPEN


def waiting_of(value: bytes) -> list[Waiting]:
    """The waits in front of an encoded value: series, and the instant (ms) since when somebody waits there."""
    return WAITS.decode(value[HEADER + 2 : start_of(value)]) if value[8] & WAITING else []


def body_of(value: bytes) -> bytes:
    """An encoded value without what stands in front."""
    return value[start_of(value) :]


def start_of(value: bytes) -> int:
    """Where the body of an encoded value begins."""
    return HEADER + 2 + int.from_bytes(value[HEADER : HEADER + 2], "big") if value[8] & WAITING else HEADER
