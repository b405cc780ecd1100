"""Joined waits: consecutive queue entries without a touch between are one wait (docs/counting.md, 6)."""

from typing import Final

from schemas.records import Entry
from streams.core.contact import NO_SHOW
from streams.core.targets import SHORT, Expected

GIVEN_UP: Final = frozenset({"abandoned", NO_SHOW})
UNSETTLED: Final = frozenset({"", "unknown"})


class Wait:
    """Consecutive entries without a touch between: one link against the first queue's target."""

    __slots__ = ("entries", "expected", "length", "queue")

    def __init__(self, entries: list[Entry], expected: Expected | None) -> None:
        self.entries = entries
        self.expected = expected
        self.length = 0
        self.queue = ""
        for entry in entries:
            self.length += entry.waited
            if not self.queue and expected is not None and self.length > expected.amount:
                self.queue = entry.queue
        self.queue = self.queue or entries[-1].queue

    @property
    def short(self) -> bool:
        """Given up so early that nobody is to blame."""
        return self.entries[-1].exit in GIVEN_UP and self.length < SHORT

    @property
    def scored(self) -> bool:
        """Whether an expectation applies to it: settled, of known length, not short."""
        return self.expected is not None and self.entries[-1].exit not in UNSETTLED and not self.short
