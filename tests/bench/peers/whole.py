"""The whole workload in a host that is not Karar: Karar's own core, all of it, with the host's state, topics and guarantees around it.

What a host does not do, in its favour: it has no timers (the clock is the newest event of the process), and its ledger is in memory,
booked every so many steps, in no changelog.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from schemas.sources import open_source
from streams.agents import AssembleStage, StitchStage
from streams.core import stitch
from streams.core.assemble import INTERACTIONS
from streams.core.identity import Identity
from streams.core.step import Output
from streams.core.targets import Rules
from streams.engine.ledger import Ledger
from streams.metrics import other
from tests.bench.telling import made_of

EVENTS: Final = "events"
SLICE: Final = 500
TOLD: Final = ("moments", "chains", "alerts", "dead-letters")
"""Where the second stage's outputs go, each to the topic of this name behind the run's."""

SNAPSHOTS: Final = "recovery"
"""The folder, where a host was started, that it keeps its states in if it does so in no changelog."""

SETTINGS: Final = {
    "core": made_of(stitch.__file__), "clock": "newest event", "timers": "none", "ledger": f"in memory, booked every {SLICE} steps",
}  # fmt: skip


@dataclass(slots=True)
class Record:
    """A record as a stage reads it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    offset: int = 0
    timestamp: int = 0


class Sent(NamedTuple):
    """A snapshot of an interaction, or that it has moved, for its customer."""

    key: bytes
    value: bytes


class Core:
    """Both stages, and what a process has done with them: events assembled, snapshots sent, and snapshots stitched."""

    def __init__(self) -> None:
        self.assembling = AssembleStage(Identity(), {EVENTS: open_source("events")}, partition=0, partitions=1)
        self.stitching = StitchStage(Rules())
        self.journal, self.ledger = self.stitching.journal(), Ledger(other)
        self.counts: dict[tuple[str, ...], int] = {}
        self.now = self.events = self.sent = self.stitched = 0

    def read(self, key: bytes | None, value: bytes | None, headers: Any = ()) -> Mapping[bytes, list[Any]]:
        """The events of a record by the key of their interaction."""
        batch = self.assembling.read((EVENTS, 0), [Record(key, value, headers)], wall())
        self.now = max(self.now, batch.newest)
        if not batch.groups:
            raise ValueError(f"no event: {value!r}")
        return batch.groups

    def assemble(self, key: bytes, old: bytes | None, events: list[Any]) -> tuple[bytes | None, list[Sent]]:
        """Events join their interaction: its new state, and what of it goes on."""
        change = self.assembling.step(key, old, events, self.now)
        sent = [Sent(x.key or b"", x.value or b"") for x in change.outputs if x.topic == INTERACTIONS]
        self.note(change)
        self.events += len(events)
        self.sent += len(sent)
        return change.value, sent

    def stitch(self, customer: bytes, old: bytes | None, value: bytes | None) -> tuple[bytes | None, Sequence[Output]]:
        """A snapshot joins its customer's chains: their new state, and what is told of them."""
        state, told = old, list[Output]()
        for key, snapshots in self.stitching.read((INTERACTIONS, 0), [Record(customer, value)], wall()).groups.items():
            change = self.stitching.step(key, state, snapshots, self.now)
            state = change.value
            told += change.outputs
            self.journal.take(change.bookings)
            self.note(change)
        self.stitched += 1
        if not self.stitched % SLICE:
            self.ledger.book(self.journal.bookings())
        return state, told

    def note(self, change: Any) -> None:
        """Adds up the counters of a change."""
        for labels, number in change.counts.items():
            self.counts[labels] = self.counts.get(labels, 0) + number

    def figures(self) -> dict[str, float]:
        """What has been done, and what is left between the stages."""
        return {"events": self.events, "left": self.sent - self.stitched}


def wall() -> int:
    """The clock on the wall, in ms."""
    return time.time_ns() // 1_000_000
