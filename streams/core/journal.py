"""Facts to bookings: every fact is an amount in one slot of one series (`streams.core.series`)."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

from streams.core.reading import Facts, Key
from streams.core.series import HISTOGRAMS, SUM, joined
from streams.core.step import Booking, Difference, Place


class Slots(NamedTuple):
    """Where the observations of one histogram series go: its bounds, a place for each bucket, and the place of the sum."""

    bounds: tuple[int, ...]
    buckets: tuple[Place, ...]
    sum: Place


SINGLES: Final[dict[Key, Place]] = {}
OBSERVED: Final[dict[Key, Slots]] = {}
MEMO: Final = 20_000


def single(key: Key) -> Place:
    """The only slot of a counter or gauge."""
    place = SINGLES.get(key)
    if place is None:
        if len(SINGLES) >= MEMO:
            SINGLES.clear()
        place = SINGLES[key] = joined(key), ""
    return place


def observed(labels: Key) -> Slots:
    """The slots of a histogram series."""
    slots = OBSERVED.get(labels)
    if slots is None:
        if len(OBSERVED) >= MEMO:
            OBSERVED.clear()
        series, bounds = joined(labels), HISTOGRAMS[labels[0]]
        slots = OBSERVED[labels] = Slots(bounds, tuple((series, str(n)) for n in range(len(bounds) + 1)), (series, SUM))
    return slots


class Journal:
    """Differences of many changes, summed by fact before they become bookings: a slice is booked at once, not change by change.

    What one change adds and another retracts stays apart, so that both sides of the ledger only rise.
    """

    __slots__ = ("added", "retracted")

    def __init__(self) -> None:
        self.added: Facts = {}
        self.retracted: Facts = {}

    def take(self, differences: Iterable[Difference]) -> None:
        """Notes what a change makes true (above 0) and untrue (below 0)."""
        added, retracted = self.added, self.retracted
        for key, amount in differences:
            if amount > 0:
                added[key] = added.get(key, 0) + amount
            else:
                retracted[key] = retracted.get(key, 0) - amount

    def bookings(self) -> list[Booking]:
        """What was noted since the last call, series by series and slot by slot."""
        added, retracted = amounts(self.added), amounts(self.retracted)
        self.added, self.retracted = {}, {}
        booked = [(place, amount, retracted.pop(place, 0)) for place, amount in added.items()]
        booked += [(place, 0, amount) for place, amount in retracted.items()]
        return booked


def amounts(facts: Facts) -> dict[Place, int]:
    """Facts as amounts by series and slot."""
    found: dict[Place, int] = {}
    for key, amount in facts.items():
        if key[0] in HISTOGRAMS:
            value = key[-1]
            bounds, buckets, place = observed(key[:-1])
            found[place] = found.get(place, 0) + amount * value  # type: ignore[operator]  # an observation ends in its value
            place = buckets[bisect_left(bounds, value)]
        else:
            place = single(key)
        found[place] = found.get(place, 0) + amount
    return found
