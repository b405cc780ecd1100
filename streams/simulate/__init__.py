"""A believable contact centre with branches, as the events that its systems would publish.

`simulate` is all of it. Journeys (`calls`, `visits`, `written`) are generators that publish what happens to one contact
and yield the instant of their next step; `floor` takes the earliest step, `line` lets customers wait for the staff of
`centre`, `aftermath` knows what follows.
"""

from collections.abc import Iterator
from math import inf
from random import Random
from typing import Final

from schemas.events import Event
from streams.simulate.calls import call, outbound, video
from streams.simulate.centre import CONTACTS_A_WEEK, DAY, HOUR, MONDAY, STREAMS, WEEK, Stream
from streams.simulate.floor import RESTARTS, Cause, Floor, Publication, Step, restarts
from streams.simulate.visits import visit
from streams.simulate.written import chat, mail, work

__all__ = ["simulate"]

MONDAY_5_JANUARY_2026: Final = 1_767_571_200_000
JOURNEYS: Final = {"call": call, "video": video, "chat": chat, "mail": mail, "visit": visit, "outbound": outbound, "work": work}


def simulate(  # noqa: PLR0913 all by name, all with a default
    *,
    seed: int = 1,
    customers: int = 2000,
    days: float = 1.0,
    start: int = MONDAY_5_JANUARY_2026,
    disorder: bool = True,
    late: float = 0.05,
    late_by: int = 6 * HOUR,
    duplicates: float = 0.03,
    resets: bool = False,
) -> Iterator[Event]:
    """The events of ``days`` days from ``start`` (ms) of a centre that serves ``customers``, in order of publication.

    Nothing begins after the last day, but what began is finished: the last events come later. With ``disorder`` each
    event is published within 1.5 s, a share ``late`` of them within ``late_by`` ms, a share ``duplicates`` twice;
    without it, strictly by (``at``, ``sequence``) and once. The events are the same ones in either order. ``resets``:
    publishers restart daily and say so. Lazy, so ``days`` may be infinite; equal arguments give equal events.
    """
    chance = Random(f"{seed} publication") if disorder else None
    publication = Publication(start, chance, late, late_by, duplicates)
    end = start + days * DAY if days < inf else inf
    floor = Floor(seed=seed, customers=customers, end=end, publication=publication, resets=resets)
    floor.journeys.update(JOURNEYS)
    for stream in STREAMS:
        floor.go_on(start, _arrivals(floor, stream, start))
    for source in RESTARTS if resets else ():
        floor.go_on(start, restarts(floor, source, start))
    return floor.run()


def _arrivals(floor: Floor, stream: Stream, at: float) -> Step:
    """Customers who begin by themselves: a Poisson process at the rate of the hour.

    The intensity is used up hour by hour until an exponential amount of it is gone (time change, exact).
    """
    rates = [weight * floor.customers * CONTACTS_A_WEEK * stream.share / HOUR for weight in stream.weights()]
    amount = floor.exponential()
    while at < floor.end:
        rate = rates[int((at + MONDAY) % WEEK) // HOUR]
        rest = HOUR - at % HOUR
        if amount >= rate * rest:
            amount -= rate * rest
            at += rest
            continue
        at += amount / rate
        amount = floor.exponential()
        if at < floor.end:
            yield int(at)
            floor.begin(stream.journey, Cause(floor.customer(), int(at)))
