"""The state of one shard: encoded values by key, and the keys by the instant at which they want to be stepped again."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

NEVER: Final = 1 << 62
AT_ONCE: Final = 0
"""An entry of the index that holds whatever the value says of its time."""
SPARE: Final = 1_000
"""Entries of the index that are outdated and still wait for their time: more than these, and as many as there are keys, are cleared."""


class Store:
    """Values stay encoded, so that memory is the size of the data and recovery a plain read. ``due_of`` reads a value's due time."""

    def __init__(self, due_of: Callable[[bytes], int]) -> None:
        self.values: dict[bytes, bytes] = {}
        self.due_of = due_of
        self.due: list[tuple[int, bytes]] = []

    def load(self, key: bytes, value: bytes | None) -> None:
        """Takes one record of the changelog back; `index` follows when all are."""
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def index(self) -> None:
        """Finds the due times of all that was loaded."""
        due_of = self.due_of
        self.due = [(due, key) for key, value in self.values.items() if (due := due_of(value)) != NEVER]
        heapify(self.due)

    def step_all(self, keys: Iterable[bytes]) -> None:
        """Lets these keys be ripe at once, and only these: their due times may be others than their values say."""
        self.due = [(AT_ONCE, key) for key in keys]
        heapify(self.due)

    def put(self, key: bytes, old: bytes | None, value: bytes | None, due: int, *, ripe: bool = False) -> None:
        """Stores what a step returned. A key that was found `ripe` stands in the index no more."""
        if value is None:
            self.values.pop(key, None)
            return
        self.values[key] = value
        if due != NEVER and (old is None or ripe or due < self.due_of(old)):
            heappush(self.due, (due, key))
            if len(self.due) > 2 * len(self.values) + SPARE and self.due[0][0] != AT_ONCE:
                self.index()

    def next_due(self) -> int:
        """The earliest instant at which some key may be ripe; never where there is none."""
        return self.due[0][0] if self.due else NEVER

    def ripe(self, now: int) -> Iterator[bytes]:
        """The keys whose time has come, in its order. One whose time has moved on waits again."""
        while self.due and self.due[0][0] <= now:
            due, key = heappop(self.due)
            value = self.values.get(key)
            if value is None:
                continue
            actual = self.due_of(value)
            if actual <= due or due == AT_ONCE:
                yield key
            elif actual != NEVER:
                heappush(self.due, (actual, key))
