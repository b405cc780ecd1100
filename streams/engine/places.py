"""Where a key is, by its hash: a number each, in a dozen bytes instead of the hundred that a dictionary takes."""

from struct import Struct as Packed
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

PART: Final = 0xFFFFFFFF
"""Of a hash these bits are kept."""
BYTE: Final = 0xFF
ENTRY: Final = Packed("<II")
NUMBER: Final = Packed("<I")
SIZE: Final = 8
FULL: Final = 16
"""Entries of a bucket, on average."""


class Places:
    """A hash table that grows by a bucket at a time (linear hashing, Litwin 1980): no call takes long.

    A bucket is its entries one behind the other, half of a hash and a number (less than 2 to the power of 32). Of two keys whose halves are
    alike both numbers are found: whoever asks has the keys. ``half``: as many buckets as there were when it last had doubled.
    """

    def __init__(self) -> None:
        self.buckets: list[bytes] = [b""]
        self.half = 1
        self.count = 0

    def bucket(self, hashed: int) -> int:
        """In which one a key is."""
        whole: i64 = hashed  # of the machine, where this is compiled
        half: i64 = self.half
        number = whole & (2 * half - 1)
        return number if number < len(self.buckets) else number - half

    def of(self, hashed: int) -> list[int]:
        """All numbers of keys that may have this hash."""
        bucket = self.buckets[self.bucket(hashed)]
        return [NUMBER.unpack_from(bucket, at + 4)[0] for at in found(bucket, hashed)]

    def add(self, hashed: int, number: int) -> None:
        """One more."""
        whole: i64 = hashed
        self.buckets[self.bucket(hashed)] += ENTRY.pack(whole & PART, number)
        self.count += 1
        if self.count > FULL * len(self.buckets):
            self.grow()

    def remove(self, hashed: int, number: int) -> None:
        """One that is there."""
        at = self.bucket(hashed)
        bucket = self.buckets[at]
        [start] = [start for start in found(bucket, hashed) if NUMBER.unpack_from(bucket, start + 4)[0] == number]
        self.buckets[at] = bucket[:start] + bucket[start + SIZE :]
        self.count -= 1

    def grow(self) -> None:
        """One bucket more, with what was in another one of it."""
        split, power = len(self.buckets) - self.half, self.half.bit_length() - 1
        bucket, which, bit = self.buckets[split], power // 8, 1 << power % 8
        stay: list[bytes] = []
        move: list[bytes] = []
        for at in range(0, len(bucket), SIZE):
            (move if bucket[at + which] & bit else stay).append(bucket[at : at + SIZE])
        self.buckets[split] = b"".join(stay)
        self.buckets.append(b"".join(move))
        if len(self.buckets) == 2 * self.half:
            self.half *= 2

    def copy(self) -> "Places":
        """The same, apart: the buckets themselves never change."""
        same = Places()
        same.buckets, same.half, same.count = [*self.buckets], self.half, self.count
        return same


def found(bucket: bytes, hashed: int) -> list[int]:
    """Where the entries are that may be of this hash."""
    whole: i64 = hashed
    first, second, third, fourth = whole & BYTE, whole >> 8 & BYTE, whole >> 16 & BYTE, whole >> 24 & BYTE
    at: i64 = 0
    end: i64 = len(bucket)
    places: list[int] = []
    while at < end:
        if bucket[at + 3] == fourth and bucket[at + 2] == third and bucket[at + 1] == second and bucket[at] == first:
            places.append(at)
        at += SIZE
    return places
