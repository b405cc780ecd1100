"""One stage for one key, as a host runs it: its state from step to step, and what it has said."""

from collections import Counter
from typing import Any, Final

from streams.core.sealed import due_of
from streams.core.step import Change
from tests.story import HOUR, call, instant

CUSTOMER: Final = b"customer:x"
TALK: Final = call("c1", phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)
LATER: Final = instant(HOUR)


class Stage:
    """One stage for one key: its state, and everything that it has said."""

    def __init__(self, step: Any, key: bytes) -> None:
        self.step, self.key = step, key
        self.value: bytes | None = None
        self.counts: Counter[tuple[str, ...]] = Counter()

    def take(self, *records: Any, now: int = LATER) -> Change:
        """One step; what must hold for each of them."""
        change: Change = self.step(self.key, self.value, records, now)
        self.value = change.value
        self.counts.update(change.counts)
        assert change.value is None or due_of(change.value) == change.due
        assert all(amount for _, amount in change.bookings)
        return change
