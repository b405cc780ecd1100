"""What a stage of the flow is, told once by the app: what it reads and writes, what its shards are made of, what they take for now."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.engine.folding import Row
from streams.engine.ledger import Ledger
from streams.engine.stage import Stage


@dataclass(frozen=True)
class Clock:
    """What a shard takes for now: the wall clock once it has caught up; ``by_events`` its newest event time; ``fixed`` an instant (ms)."""

    by_events: bool = False
    fixed: int | None = None

    def now(self, newest: int, *, caught_up: bool) -> int:
        """The instant (ms)."""
        if self.fixed is not None:
            return self.fixed
        return newest if self.by_events or not caught_up else max(wall(), 0)


def wall() -> int:
    """The wall clock (ms)."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Spec:
    """One stage of the flow: what it reads and writes, and what makes its shards.

    ``sources`` are co-partitioned topics: a shard is partition n of all of them. ``topics``: the stage's names of its outputs → topic.
    ``feeds``: outputs that another stage reads, which carry this shard's now. ``after``: the stage whose outputs this one reads.
    ``trims``: its sources are nobody else's, and records that have been committed are deleted. ``aligned``: outputs that go to the
    partition of the shard's own number, whatever their key. ``heard``: by the stage's name of an output, who is told of its records
    once they have committed.
    """

    name: str
    sources: tuple[str, ...]
    changelog: str
    partitions: int
    make: Callable[[int], Stage]
    ledger: Callable[[], Ledger]
    topics: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    feeds: frozenset[str] = frozenset()
    after: str = ""
    trims: bool = False
    aligned: frozenset[str] = frozenset()
    heard: Mapping[str, Callable[[Sequence[Row]], None]] = field(default_factory=dict)
