"""Who waits since when, by series and key: what a shard serves of it is the earliest instant of each series."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from streams.engine.values import Values

FEW: Final = 256
"""Of each series so many are known by name, those who have waited longest: the others follow when these have gone."""
MOST_ALIKE: Final = 10_000
SPARE: Final = 10_000
"""Entries of those who are not known by name: more than these, and twice as many as there are keys, are cleared of who waits no more."""
SOUGHT: Final = 8
"""When of so many keys one was looked up without anybody found who waits, it is no more to look at all of them."""
NEVER: Final = 1 << 62

Waits = Sequence[tuple[str, int]]
"""Series, and the instant (ms) since when somebody waits there."""
Read = Callable[[bytes], Waits]


class Later:
    """Those of a series who have not waited for long, each an instant and the hash of a key: 16 bytes, and no key is kept for it.

    They are in chunks of less than ``longest``, which follow each other in time; within one they are in no order, and some more than once.
    ``firsts``: the instant before which nobody of a chunk waits.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.firsts: list[int] = []
        self.chunks: list[tuple[array[int], array[int]]] = []

    def add(self, since: int, hashed: int) -> int:
        """One who waits no longer than the first of all; by how many entries there are more or fewer."""
        at = bisect_right(self.firsts, since) - 1
        instants, hashes = self.chunks[at]
        instants.append(since)
        hashes.append(hashed)
        if len(instants) < self.longest:
            return 1
        rows = sorted(set(zip(instants, hashes, strict=True)))
        change = 1 + len(rows) - len(instants)
        del self.firsts[at], self.chunks[at]
        if len(rows) > self.longest // 2:
            self.insert(at, rows[len(rows) // 2 :])
            rows = rows[: len(rows) // 2]
        self.insert(at, rows)
        return change

    def insert(self, at: int, rows: Sequence[tuple[int, int]]) -> None:
        """A chunk of instants and hashes, in order of time."""
        self.firsts.insert(at, rows[0][0])
        self.chunks.insert(at, (array("q", [since for since, _ in rows]), array("q", [hashed for _, hashed in rows])))

    def take(self) -> "array[int]":
        """The hashes of those who have waited longest, who are in here no more."""
        del self.firsts[0]
        return self.chunks.pop(0)[1]


class Waiting:
    """``since``: by series and key the instant; ``later``: by series those who are not in there, none of whom has waited longer.

    ``names``: by key the series in which it is known, of keys that wait alike the same object; ``earliest``: what is served.
    """

    def __init__(self, few: int = FEW, spare: int = SPARE) -> None:
        self.few, self.spare = few, spare
        self.since: dict[str, dict[bytes, int]] = {}
        self.later: dict[str, Later] = {}
        self.entries, self.needed = 0, 0
        self.names: dict[bytes, tuple[str, ...]] = {}
        self.alike: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.earliest: dict[str, int] = {}

    def take(self, rows: Mapping[bytes, bytes | None], values: Values, read: Read) -> dict[str, int]:
        """Notes what keys say now, and returns the earliest instant of each series. ``values``: all there are, these among them."""
        changed: set[str] = set()
        for key, value in rows.items():
            for series in self.names.pop(key, ()):
                if self.since[series].pop(key) <= self.earliest[series]:
                    changed.add(series)
            if value is None:
                continue
            for series, since in read(value):
                self.add(key, series, since)
                if since < self.earliest.get(series, NEVER):
                    changed.add(series)
        if self.entries > 2 * max(len(values), self.needed) + self.spare:
            self.clear_up(values, read)
        for series in changed:
            if series in self.later and not self.since[series]:
                self.seek(series, values, read)
            self.settle(series)
        return dict(self.earliest)

    def note(self, rows: Iterable[tuple[bytes, bytes]], read: Read) -> None:
        """Notes what the values of keys say that nothing is known of; `settle_all` follows."""
        for key, value in rows:
            for series, since in read(value):
                self.add(key, series, since)

    def settle_all(self) -> dict[str, int]:
        """The earliest instant of each series."""
        for series in list(self.since):
            self.settle(series)
        return dict(self.earliest)

    def seek(self, series: str, values: Values, read: Read) -> None:
        """Finds who has waited longest in a series of which nobody is known any more."""
        held, later, looked = self.since[series], self.later[series], 0
        while not held and later.firsts:
            if looked > len(values) // SOUGHT:
                self.clear_up(values, read)
                return
            hashes = later.take()
            looked += len(hashes)
            self.entries -= len(hashes)
            last = later.firsts[0] if later.firsts else NEVER
            for key, value in values.hashed(hashes):
                for name, since in read(value):
                    if name == series and since <= last:  # whoever waits since later by now has another entry
                        self.know(key, series, since, held)
        if not later.firsts:
            del self.later[series]

    def add(self, key: bytes, series: str, since: int) -> None:
        """Somebody waits."""
        held = self.since.get(series)
        if held is None:
            held = self.since[series] = {}
        later = self.later.get(series)
        if later is not None and since >= later.firsts[0]:
            self.entries += later.add(since, hash(key))
            return
        self.know(key, series, since, held)
        if len(held) >= 2 * self.few:
            self.shorten(series, held)

    def know(self, key: bytes, series: str, since: int, held: dict[bytes, int]) -> None:
        """Somebody waits, and is known by name."""
        if key not in held:
            names = *self.names.get(key, ()), series
            if len(self.alike) >= MOST_ALIKE:
                self.alike.clear()
            self.names[key] = self.alike.setdefault(names, names)
        held[key] = since

    def shorten(self, series: str, held: dict[bytes, int]) -> None:
        """Forgets the names of those who have not waited for long."""
        rows = sorted([(since, key) for key, since in held.items()])[self.few :]
        later = self.later.get(series)
        if later is None:
            later = self.later[series] = Later(2 * self.few)
        later.insert(0, [(since, hash(key)) for since, key in rows])
        self.entries += len(rows)
        for _, key in rows:
            del held[key]
            names = tuple([name for name in self.names.pop(key) if name != series])
            if names:
                self.names[key] = self.alike.setdefault(names, names)

    def clear_up(self, values: Values, read: Read) -> None:
        """Notes anew who waits: too many entries are of those who wait no more."""
        self.since, self.later, self.names, self.entries = {series: {} for series in self.since}, {}, {}, 0
        self.note(values.items(), read)
        self.needed = self.entries

    def settle(self, series: str) -> None:
        """Brings the earliest instant of a series up to who is known."""
        held = self.since[series]
        if held:
            self.earliest[series] = min(held.values())
        else:
            del self.since[series]
            self.earliest.pop(series, None)
