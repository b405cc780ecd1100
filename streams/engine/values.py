"""Encoded values by key: those that changed lately as they are, all others on pages (`streams.engine.pages`).

Most of what a shard holds waits for days until something concerns it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Final

from streams.engine.pages import Pages, Row

YOUNG: Final = 8_192
"""So many keys are kept as they are: a shard that has had no more of them has no pages."""
SETTLED: Final = 256
SETTLED_BYTES: Final = 1 << 20
"""So many are put on pages together, or fewer that have so many bytes, which takes milliseconds."""
LOADING: Final = 16_384
"""While a changelog is read so many keys are kept: the more, the fewer are put on pages and come once more."""
PIECE: Final = 2_048
"""So many of these are put on pages together."""


class Values:
    """All keys of a shard, each either young or on a page of ``old``. ``young``: the eldest first.

    ``by_hash``: the young keys by their hashes, of which no two are alike: who comes second sends the first one to a page. ``loading``:
    what the last records of a changelog say that is being read.
    """

    def __init__(
        self, young: int = YOUNG, settled: int = SETTLED, old: Pages | None = None, loading: tuple[int, int] = (LOADING, PIECE)
    ) -> None:
        self.least, self.settled, (self.most_loading, self.piece) = young, settled, loading
        self.young: dict[bytes, bytes] = {}
        self.by_hash: dict[int, bytes] = {}
        self.old = Pages() if old is None else old
        self.loading: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

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
        return self.old.get(key) if value is None else value

    def put(self, key: bytes, old: bytes | None, value: bytes | None) -> None:
        """A key has another value than the one it had; None: it has none."""
        if key in self.young:
            self.renew(key, value)
            return
        rest = self.old.remove(key, sure=True) if old is not None else ()
        if value is not None:
            self.enter(key, value)
        for left, its in rest:
            self.enter(left, its)

    def load(self, key: bytes, value: bytes | None) -> None:
        """A record of a changelog, of which it is not known what it changes; `loaded` is to follow."""
        self.loading[key] = value
        if len(self.loading) >= self.most_loading:
            self.take(self.piece, young=False)

    def loaded(self) -> None:
        """All records have been read: the last ones are young."""
        while len(self.loading) > self.least:
            self.take(min(self.piece, len(self.loading) - self.least), young=False)
        self.take(self.least, young=True)

    def take(self, number: int, *, young: bool) -> None:
        """Takes so many keys that have been read, the first ones."""
        records, rows = list(islice(self.loading.items(), number)), list[Row]()
        coming = {key for key, _ in records}
        for key, value in records:
            del self.loading[key]
            coming.remove(key)
            if key in self.young:
                self.renew(key, value)
                continue
            # Whoever else leaves a page that is given up, and is still to come, has a newer value.
            rows += [row for row in self.old.remove(key, sure=False) if row[0] not in coming]
            if value is None:
                continue
            if young:
                self.enter(key, value)
            else:
                rows.append((key, value))
        self.old.add(rows)

    def renew(self, key: bytes, value: bytes | None) -> None:
        """What a young key has now."""
        if value is None:
            del self.young[key], self.by_hash[hash(key)]
        else:
            self.young[key] = value

    def enter(self, key: bytes, value: bytes) -> None:
        """A key is young."""
        hashed = hash(key)
        other = self.by_hash.get(hashed)
        if other is not None:
            self.old.add([(other, self.young.pop(other))])
        self.young[key] = value
        self.by_hash[hashed] = key
        if len(self.young) >= self.least + self.settled:
            self.settle()

    def settle(self) -> None:
        """Puts those on pages that have been young for longest."""
        rows, size = list[Row](), 0
        for row in self.young.items():
            rows.append(row)
            size += len(row[1])
            if len(rows) == self.settled or size > SETTLED_BYTES:
                break
        self.old.add(rows)
        for key, _ in rows:
            del self.young[key], self.by_hash[hash(key)]

    def items(self) -> Iterator[Row]:
        """All keys with their values; nothing may change until the last one has been asked for."""
        yield from self.young.items()
        yield from self.old.items()

    def hashed(self, hashes: Iterable[int]) -> list[Row]:
        """The keys whose hashes are among these, with their values."""
        wanted = set(hashes)
        young = [self.by_hash[hashed] for hashed in wanted if hashed in self.by_hash]
        return [(key, self.young[key]) for key in young] + self.old.hashed(wanted)

    def copy(self) -> "Values":
        """The same, apart from what becomes of this one."""
        same = Values(self.least, self.settled, self.old.copy(), (self.most_loading, self.piece))
        same.young, same.by_hash = dict(self.young), dict(self.by_hash)
        return same
