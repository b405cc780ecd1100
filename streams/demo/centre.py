"""The centre of the demo: two days that have been, and then what happens now. Its working day is at its best whenever the demo starts."""

from collections.abc import Iterator
from math import inf
from typing import Any, Final

from msgspec.structs import replace

from schemas.events import Event
from streams.simulate import simulate

DAY: Final = 86_400_000
CUSTOMERS: Final = 40_000
"""So many that something happens every second."""
THURSDAY_10: Final = 1_767_866_400_000
"""The centre's own time when it goes live: Thursday, 8 January 2026, 10:00. Tuesday and Wednesday have been."""
INSTANTS: Final = ("updated_at", "appointment_at", "promised_by")


def happenings(now: int, seed: int, days: int = 2, run: str = "") -> Iterator[Event]:
    """What the centre publishes, in order, from ``days`` days before ``now`` (ms) on and without an end. Equal seeds, equal days.

    ``run`` ends the names of its sources: another run on the same topics tells of other contacts.
    """
    shift = now - THURSDAY_10
    for event in simulate(seed=seed, customers=CUSTOMERS, days=inf, start=THURSDAY_10 - days * DAY):
        yield moved(event, shift, run)


def moved(event: Event, shift: int, run: str = "") -> Event:
    """The same event so much later: every instant that it names."""
    later: dict[str, Any] = {name: at + shift for name in INSTANTS if (at := getattr(event, name, 0))}
    return replace(event, source=event.source + run, at=event.at + shift, **later)
