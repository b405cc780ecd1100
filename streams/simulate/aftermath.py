"""How contacts close and what customers and the house do afterwards: ratings, cases, the next contact."""

from collections.abc import Callable
from typing import Final

from schemas.events import Ended, Rated
from streams.simulate.centre import DAY
from streams.simulate.floor import Cause, Contact, Step
from streams.simulate.line import Touch, Waiting, recognise, wrap_up

VANISHED: Final = 0.003
CASES: Final = {"call": 0.05, "video": 0.2, "visit": 0.08, "chat": 0.04, "email": 0.12}
RATED: Final = {"call": 0.08, "video": 0.2, "visit": 0.05, "chat": 0.2, "email": 0.06}
SURVEYS: Final = (
    ("nps", 0, 10, (9, 10, 8, 10, 7, 9, 3, 6, 8, 0)),
    ("csat", 1, 5, (5, 4, 5, 3, 4, 1, 5, 2)),
    ("resolved", 0, 1, (1, 1, 1, 0)),
)
# what, share, earliest and latest hour after the contact
FOLLOWING: Final[dict[str, tuple[tuple[str, float, float, float], ...]]] = {
    "call": (("visit", 0.05, 0.7, 4), ("call", 0.05, 2, 72), ("mail", 0.01, 0.2, 5)),
    "video": (("visit", 0.10, 20, 80), ("mail", 0.05, 1, 10)),
    "visit": (("call", 0.04, 1, 48), ("visit", 0.02, 20, 72)),
    "chat": (("call", 0.08, 0.1, 3), ("visit", 0.03, 1, 5)),
    "email": (("call", 0.06, 1, 30),),
}

Middle = Callable[[Contact, Touch], Step]
Ending = Callable[[Contact, Touch], Waiting]
Middles = tuple[tuple[float, Middle], ...]
Endings = tuple[tuple[float, Ending], ...]
PASSES: Final = 5


def converse(c: Contact, touch: Touch | None, middles: Middles, endings: Endings) -> Step:
    """Touch after touch, each with something in its midst and an end that may bring the next."""
    while touch is not None:
        recognise(c, touch)
        yield from c.floor.pick(middles, nothing)(c, touch)
        ending = close if len(c.teams) >= PASSES else c.floor.pick(endings, close)
        touch = yield from ending(c, touch)


def nothing(_c: Contact, _touch: Touch) -> Step:
    """A touch like most."""
    yield from ()


def inside(c: Contact, touch: Touch, least: float, most: float) -> int:
    """An instant between two parts of a touch."""
    return touch.at + int((touch.until - touch.at) * (least + (most - least) * c.floor.random()))


def close(c: Contact, touch: Touch) -> Waiting:
    """The contact is over, what follows from it is begun; of a few the end is never published."""
    yield from ()
    floor = c.floor
    if floor.chance(VANISHED):
        return None
    case = open_case(c, touch.until)
    c.say(Ended, touch.until, representative=touch.representative, **case)
    wrap_up(c, touch)
    if floor.chance(RATED[c.channel]):
        rate(c, touch.until + floor.span(20, 5400))
    known = "customer" in c.identifiers
    for journey, share, least, most in FOLLOWING[c.channel]:
        if floor.chance(share):
            at = touch.until + floor.span(least * 3600, most * 3600)
            floor.begin(journey, Cause(c.cause.customer, at, c.case, known=known))
    return None


def open_case(c: Contact, at: int) -> dict[str, str | int]:
    """Some matters become a case that the back office works on; its number and the promise go out with an event."""
    floor = c.floor
    if c.case or not floor.chance(CASES[c.channel]):
        return {}
    c.case = f"case-{c.id}"
    floor.begin("work", Cause(c.cause.customer, at + floor.span(1800, 20 * 3600), c.case, known=True))
    return {"case_id": c.case, "promised_by": at + 2 * DAY}


def rate(c: Contact, at: int) -> None:
    """The customer answers a survey."""
    kind, minimum, maximum, answers = c.floor.one_of(SURVEYS)
    c.owe(Rated, at, kind=kind, value=c.floor.one_of(answers), minimum=minimum, maximum=maximum)
