"""Encoded values by key: those that changed lately as they are, all others compressed, a few to a page.

Most of what a shard holds waits for days until something concerns it. A page is a dictionary in MessagePack, compressed with LZ4:
reading one costs some microseconds, and a key on it half of its size instead of twice.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final, NamedTuple

from cramjam import lz4
from msgspec import msgpack


class Sizes(NamedTuple):
    """How many keys are where.

    ``young`` are kept as they are: a shard that has no more of them has no pages. ``settled`` are put on pages together, which takes a few
    milliseconds, ``loaded`` while a changelog is read, when nobody waits for anything else: the more, the fewer pages are written twice.
    ``paged`` are on one page; a value of more than ``large`` bytes has one of its own: who asks for a neighbour does not want to read it.
    """

    young: int = 8_192
    settled: int = 256
    loaded: int = 65_536
    paged: int = 8
    large: int = 8_192


SIZES: Final = Sizes()
Page = dict[bytes, bytes]
ENCODE: Final = msgpack.Encoder().encode
DECODE: Final = msgpack.Decoder(Page).decode


def packed(page: Page) -> bytes:
    """A page as it is kept."""
    return bytes(lz4.compress_block(ENCODE(page))) if page else b""


def unpacked(page: bytes) -> Page:
    """A page as it is read."""
    return DECODE(lz4.decompress_block(page)) if page else {}


class Pages:
    """A hash table of pages that grows by one at a time (linear hashing, Litwin 1980): no call takes long.

    ``half``: as many pages as there were when it last had doubled. ``large``: by key the pages of large values.
    """

    def __init__(self, sizes: Sizes = SIZES) -> None:
        self.sizes = sizes
        self.pages: list[bytes] = [b""]
        self.large: dict[bytes, bytes] = {}
        self.half = 1
        self.keys = 0

    def number(self, hashed: int) -> int:
        """Where a key is by its hash."""
        number = hashed & (2 * self.half - 1)
        return number if number < len(self.pages) else number - self.half

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        if self.large and key in self.large:
            return unpacked(self.large[key])[key]
        page = self.pages[self.number(hash(key))]
        return DECODE(lz4.decompress_block(page)).get(key) if page else None

    def take(self, changes: dict[bytes, bytes | None]) -> None:
        """Brings keys up to date; None takes one away."""
        self.grow(self.keys + len(changes))
        largest = self.sizes.large
        by_page: dict[int, list[bytes]] = {}
        for key in changes:
            by_page.setdefault(self.number(hash(key)), []).append(key)
        for number, keys in by_page.items():
            page = unpacked(self.pages[number])
            before = len(page)
            for key in keys:
                value = changes[key]
                if self.large and self.large.pop(key, None) is not None:
                    self.keys -= 1
                if value is None:
                    page.pop(key, None)
                elif len(value) > largest:
                    page.pop(key, None)
                    self.large[key] = packed({key: value})
                    self.keys += 1
                else:
                    page[key] = value
            self.keys += len(page) - before
            self.pages[number] = packed(page)

    def grow(self, keys: int) -> None:
        """Makes room for so many keys."""
        while keys > self.sizes.paged * len(self.pages):
            split, new = len(self.pages) - self.half, len(self.pages)
            page = unpacked(self.pages[split])
            self.pages.append(b"")
            if page:
                moved = {key: value for key, value in page.items() if hash(key) & (2 * self.half - 1) == new}
                if moved:
                    self.pages[new] = packed(moved)
                    self.pages[split] = packed({key: value for key, value in page.items() if key not in moved})
            if len(self.pages) == 2 * self.half:
                self.half *= 2

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys with their values."""
        for pages in [*self.pages], [*self.large.values()]:
            for page in pages:
                yield from unpacked(page).items()

    def hashed(self, hashes: set[int]) -> list[tuple[bytes, bytes]]:
        """The keys whose hashes are among these, with their values; each page is read once."""
        found = []
        for number in sorted({self.number(hashed) for hashed in hashes}):
            found += [(key, value) for key, value in unpacked(self.pages[number]).items() if hash(key) in hashes]
        return found + [(key, unpacked(page)[key]) for key, page in self.large.items() if hash(key) in hashes]

    def copy(self) -> "Pages":
        """The same, apart: the pages themselves never change."""
        same = Pages(self.sizes)
        same.pages, same.large, same.half, same.keys = [*self.pages], dict(self.large), self.half, self.keys
        return same


class Values:
    """All keys of a shard. ``young``: what changed lately, the eldest first; None where that takes away what the pages have.

    ``by_hash``: the young keys by their hashes, of which no two are alike: who comes second sends the first one to its page.
    """

    def __init__(self, sizes: Sizes = SIZES) -> None:
        self.sizes, self.most = sizes, sizes.young + sizes.settled
        self.young: dict[bytes, bytes | None] = {}
        self.by_hash: dict[int, bytes] = {}
        self.old = Pages(sizes)
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[bytes]:
        return map(itemgetter(0), self.items())

    def __getitem__(self, key: bytes) -> bytes:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        value = self.young.get(key)
        if value is not None or not self.old.keys or key in self.young:
            return value
        return self.old.get(key)

    def put(self, key: bytes, old: bytes | None, value: bytes | None) -> None:
        """A key has another value than the one it had; None: it has none."""
        self.renew(key, value)
        self.count += (value is not None) - (old is not None)
        if len(self.young) >= self.most:
            self.settle(self.sizes.settled)

    def renew(self, key: bytes, value: bytes | None) -> None:
        """What a key has now is young."""
        young = self.young
        if value is None and not self.old.keys:
            if key in young:
                del young[key], self.by_hash[hash(key)]
            return
        known = len(young)
        young[key] = value
        if len(young) > known:
            hashed = hash(key)
            other = self.by_hash.get(hashed)
            if other is not None:
                self.old.take({other: young.pop(other)})
            self.by_hash[hashed] = key

    def settle(self, number: int) -> None:
        """Puts so many keys on pages, those first that have been young for longest."""
        changes: dict[bytes, bytes | None] = {}
        for key, value in self.young.items():
            changes[key] = value
            if len(changes) == number:
                break
        self.old.take(changes)
        for key in changes:
            del self.young[key], self.by_hash[hash(key)]

    def load(self, key: bytes, value: bytes | None) -> None:
        """A record of a changelog, of which it is not known what it changes; `loaded` is to follow, which finds the hashes."""
        if value is None and not self.old.keys:
            self.young.pop(key, None)
            return
        self.young[key] = value
        if len(self.young) >= self.sizes.loaded:
            self.old.take(self.young)
            self.young.clear()

    def loaded(self) -> None:
        """All records have been read."""
        read, self.young = self.young, {}
        if self.old.keys or len(read) > self.sizes.young:
            self.old.take(read)
        else:
            for key, value in read.items():
                self.renew(key, value)
        self.count = self.old.keys + len(self.young)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys with their values; nothing may change until the last one has been asked for."""
        for key, value in self.young.items():
            if value is not None:
                yield key, value
        if self.old.keys:
            for key, paged in self.old.items():
                if key not in self.young:
                    yield key, paged

    def hashed(self, hashes: Iterable[int]) -> list[tuple[bytes, bytes]]:
        """The keys whose hashes are among these, with their values."""
        wanted = set(hashes)
        found = []
        for hashed in wanted:
            young = self.by_hash.get(hashed)
            if young is not None and (value := self.young[young]) is not None:
                found.append((young, value))
        if self.old.keys:
            found += [(key, value) for key, value in self.old.hashed(wanted) if key not in self.young]
        return found

    def copy(self) -> "Values":
        """The same, apart from what becomes of this one."""
        same = Values(self.sizes)
        same.young, same.by_hash, same.old, same.count = dict(self.young), dict(self.by_hash), self.old.copy(), self.count
        return same
