"""The state of one shard: encoded values by key, and the keys by the instant at which they want to be stepped again."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Final

from streams.engine.stage import FIRST, RESERVED, SHARED, Record
from streams.engine.values import Values

NEVER: Final = 1 << 62
AT_ONCE: Final = 0
"""An entry of the index that holds whatever the value says of its time."""
SPANS: Final = (28, 20, 12)
"""The index is in spans of 2 to these powers of milliseconds: three days, a quarter of an hour, four seconds. What is further off needs no
instant of its own in memory, and few spans are there at a time (hierarchical timing wheels, Varghese and Lauck 1987)."""
MANY: Final = 1_000
"""So many keys that are to be stepped at once stand in the index; of all others there is a hash."""
SPARE: Final = 1_000
"""Entries of the index that are outdated and still wait for their time: more than these, and as many as there are keys, are cleared."""


class Store:
    """Values stay encoded, so that memory is the size of the data and recovery a plain read. ``due_of`` reads a value's due time.

    ``near``: a heap of the keys of spans that have begun, by instant; ``far``: hashes of the keys of later spans, by their first instant
    and power, which ``spans`` has in a heap; ``anew``: hashes of keys that are to be stepped at once. A hash is 8 bytes, and no key is
    kept for it.
    """

    def __init__(self, due_of: Callable[[bytes], int]) -> None:
        self.values = Values()
        self.due_of = due_of
        self.near: list[tuple[int, bytes]] = []
        self.far: dict[tuple[int, int], array[int]] = {}
        self.spans: list[tuple[int, int]] = []
        self.anew = array("q")
        self.begun, self.entries = 0, 0

    def load(self, records: Iterable[Record], own: dict[bytes, bytes], shared: set[bytes]) -> None:
        """Takes records of the changelog back, in their order; `loaded` is to follow. ``own``: what is reserved; ``shared``: keys."""
        values = self.values
        for record in records:
            key, value = record.key or b"", record.value
            if key < FIRST:
                if key.startswith(RESERVED):
                    if value is not None:
                        own[key] = value
                    continue
                if key.startswith(SHARED):
                    shared.add(key)
            values.load(key, value)

    def loaded(self) -> None:
        """All records of the changelog have been taken back; `note` of all follows."""
        self.values.loaded()

    def note(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Notes when keys are due, by their values."""
        due_of = self.due_of
        for key, value in rows:
            self.enter(due_of(value), key)

    def index(self) -> None:
        """Notes anew when each key is due."""
        self.clear()
        self.note(self.values.items())

    def step_all(self, keys: Iterable[bytes]) -> None:
        """Lets these keys be ripe at once, and only these: their due times may be others than their values say."""
        self.clear()
        self.anew.extend(map(hash, keys))
        self.entries = len(self.anew)

    def clear(self) -> None:
        """Forgets who is due when."""
        self.near, self.far, self.spans, self.anew, self.entries = [], {}, [], array("q"), 0

    def enter(self, due: int, key: bytes) -> None:
        """Notes when a key is due."""
        if due == NEVER:
            return
        self.entries += 1
        for power in SPANS:
            first = due >> power << power
            if first > self.begun:
                span = first, power
                waiting = self.far.get(span)
                if waiting is None:
                    waiting = self.far[span] = array("q")
                    heappush(self.spans, span)
                waiting.append(hash(key))
                return
        heappush(self.near, (due, key))

    def put(self, key: bytes, old: bytes | None, value: bytes | None, due: int, *, ripe: bool = False) -> None:
        """Stores what a step returned. A key that was found `ripe` stands in the index no more."""
        self.values.put(key, old, value)
        if value is None:
            return
        if due != NEVER and (old is None or ripe or due < self.due_of(old)):
            self.enter(due, key)
            if self.entries > 2 * len(self.values) + SPARE and self.next_due() != AT_ONCE:
                self.index()

    def next_due(self) -> int:
        """An instant before which no key is ripe; never where none will be."""
        if self.anew:
            return AT_ONCE
        if self.near:
            return self.near[0][0]
        return self.spans[0][0] if self.spans else NEVER

    def ripe(self, now: int) -> Iterator[bytes]:
        """The keys whose time has come, in its order. One whose time has moved on waits again."""
        self.begin(now)
        while self.near and self.near[0][0] <= now:
            due, key = heappop(self.near)
            self.entries -= 1
            self.go_on()
            value = self.values.get(key)
            if value is None:
                continue
            actual = self.due_of(value)
            if actual <= due or due == AT_ONCE:
                yield key
            else:
                self.enter(actual, key)

    def begin(self, now: int) -> None:
        """Finds the instants of the keys whose span has begun."""
        self.begun = max(self.begun, now)
        self.go_on()
        hashes: set[int] = set()
        while self.spans and self.spans[0][0] <= now:
            begun = self.far.pop(heappop(self.spans))
            self.entries -= len(begun)
            hashes.update(begun)
        if hashes:
            self.note(self.values.hashed(hashes))

    def go_on(self) -> None:
        """Finds some more of the keys that are to be stepped at once, when those that stood there have been."""
        while self.anew and not (self.near and self.near[0][0] == AT_ONCE):
            some = self.anew[-MANY:]
            del self.anew[-MANY:]
            self.entries -= len(some)
            for key, _ in self.values.hashed(some):
                if not key.startswith(SHARED):  # which may have the hash of one of them
                    self.enter(AT_ONCE, key)
