"""Values that nothing concerns for the time being: compressed, a few to a page, each page written once.

Keys that settle together are on a page together, and stay where they are until they go; a page with few keys left is given up
(a log-structured store, Rosenblum and Ousterhout 1992). A page is a list in MessagePack, compressed with LZ4: reading one costs some
microseconds, and a key on it half of its size instead of twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cramjam import lz4
from msgspec import msgpack

from streams.engine.places import Places

MOST: Final = 8
"""Keys of a page; whether one is still there is a bit of a byte."""
LARGE: Final = 8_192
"""A value of more bytes has a page of its own: who asks for a neighbour does not want to read it."""
ENCODE: Final = msgpack.Encoder().encode
DECODE: Final = msgpack.Decoder(list[bytes]).decode

Row = tuple[bytes, bytes]
"""A key and its value."""


class Pages:
    """Keys with their values. A place is that of a page times `MOST`, and the key's among those of the page.

    ``there``: for each page a bit for each of its keys that has not gone; ``free``: places of pages that were given up.
    """

    def __init__(self, most: int = MOST, large: int = LARGE) -> None:
        self.most, self.large = most, large
        self.pages: list[bytes] = []
        self.there = bytearray()
        self.free: list[int] = []
        self.places = Places()

    def __len__(self) -> int:
        return self.places.count

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        for place in self.places.of(hash(key)):
            page = self.read(place // MOST)
            at = place % MOST * 2
            if page[at] == key:
                return page[at + 1]
        return None

    def add(self, rows: Iterable[Row]) -> None:
        """Puts keys that are not here on pages, those with values of a size together: a page of which half is left is half a page."""
        page: list[bytes] = []
        for key, value in sorted(rows, key=size_of):
            if len(value) > self.large:
                self.write([key, value])
                continue
            page += (key, value)
            if len(page) == 2 * self.most:
                self.write(page)
                page = []
        if page:
            self.write(page)

    def write(self, page: Sequence[bytes]) -> None:
        """One page: keys and values in turn."""
        if self.free:
            number = self.free.pop()
        else:
            number = len(self.pages)
            self.pages.append(b"")
            self.there.append(0)
        keys = page[::2]
        self.pages[number] = bytes(lz4.compress_block(ENCODE(page)))
        self.there[number] = (1 << len(keys)) - 1
        for at, key in enumerate(keys):
            self.places.add(hash(key), number * MOST + at)

    def remove(self, key: bytes, *, sure: bool) -> Sequence[Row]:
        """A key goes; with it those that would be left on a page with few others, which are returned. ``sure``: it is known to be here."""
        hashed = hash(key)
        places = self.places.of(hashed)
        if not sure or len(places) > 1:
            places = [place for place in places if self.read(place // MOST)[place % MOST * 2] == key]
        if not places:
            return ()
        place = places[0]
        number = place // MOST
        self.places.remove(hashed, place)
        left = self.there[number] & ~(1 << place % MOST)
        self.there[number] = left
        if 2 * left.bit_count() >= self.most:
            return ()
        rest = []
        if left:
            page = self.read(number)
            for at in range(self.most):
                if left >> at & 1:
                    key, value = page[2 * at], page[2 * at + 1]
                    self.places.remove(hash(key), number * MOST + at)
                    rest.append((key, value))
        self.pages[number], self.there[number] = b"", 0
        self.free.append(number)
        return rest

    def read(self, number: int) -> list[bytes]:
        """Keys and values of a page in turn, those that have gone among them."""
        return DECODE(lz4.decompress_block(self.pages[number]))

    def items(self) -> Iterator[Row]:
        """All keys with their values."""
        for number in range(len(self.pages)):
            there = self.there[number]
            if there:
                rows = self.read(number)
                for at in range(len(rows) // 2):
                    if there >> at & 1:
                        yield rows[2 * at], rows[2 * at + 1]

    def hashed(self, hashes: Iterable[int]) -> list[Row]:
        """The keys whose hashes are among these, with their values; each page is read once."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for hashed in hashes:
            for place in self.places.of(hashed):
                wanted.setdefault(place // MOST, []).append((place % MOST, hashed))
        rows = []
        for number, places in sorted(wanted.items()):
            page = self.read(number)
            for at, hashed in places:
                key = page[2 * at]
                if hash(key) == hashed:
                    rows.append((key, page[2 * at + 1]))
        return rows

    def copy(self) -> "Pages":
        """The same, apart: the pages themselves never change."""
        same = Pages(self.most, self.large)
        same.pages, same.there, same.free, same.places = [*self.pages], self.there[:], [*self.free], self.places.copy()
        return same


def size_of(row: Row) -> int:
    """Bytes of a value."""
    return len(row[1])
