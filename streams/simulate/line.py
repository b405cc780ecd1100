"""Waiting and being accepted, the same in every channel that has queues and representatives who answer."""

from collections.abc import Callable, Generator
from operator import itemgetter
from typing import Final, NamedTuple

from schemas.events import Abandoned, Answered, CallbackRequested, Ended, Identified, LeftQueue, Missed, Queued, Rang, WrappedUp
from streams.simulate.centre import HOUR, MINUTE, SECOND, Queue
from streams.simulate.floor import Cause, Contact

MISSED: Final = 0.035
RINGING: Final = 18 * SECOND
PAUSE: Final = 2 * MINUTE
GONE: Final = 10 * MINUTE
NEVER: Final = 1 << 60


class Touch(NamedTuple):
    """A representative with the customer from ``at`` to ``until``, and busy until ``wrapped``."""

    representative: str
    queue: Queue
    at: int
    until: int
    wrapped: int


Waiting = Generator[int, None, Touch | None]
Exit = Callable[[Contact, Queue, int], Waiting]


def wait(c: Contact, queue: Queue, at: int) -> Waiting:
    """The customer joins a queue, in a step at ``at``: answered, or gone by whatever comes first."""
    floor = c.floor
    free = floor.pools[queue.team].free(at)
    reason = _refusal(c, queue, at, free)
    if reason:
        c.say(LeftQueue, at, queue=queue.name, reason=reason)
        c.say(Ended, at + 2 * SECOND, reason=reason)
        return None
    c.say(Queued, at, queue=queue.name)
    if free == at:
        return accept(c, queue, free)
    hasty = floor.chance(0.04)
    exits: list[tuple[int, Exit | None]] = [
        (free, None),
        (at + (floor.span(2, 12) if hasty else floor.around(queue.patience, 0.9)), _give_up),
        (at + queue.limit * SECOND, _go_on),
    ]
    if queue.channel == "call" and free - at > MINUTE and floor.chance(0.3):
        exits.append((at + floor.span(45, 90), _press_key))
    if free - at > HOUR:
        exits.append((at + floor.span(5, 20), _find_nobody))
    if floor.chance(0.003):
        exits.append((at + floor.span(5, 300), _break_off))
    when, leave = min(exits, key=itemgetter(0))
    if leave is None:
        return accept(c, queue, free)
    return (yield from leave(c, queue, when))


def _refusal(c: Contact, queue: Queue, at: int, free: int) -> str:
    if not queue.is_open(at):
        return "closed"
    if free - at > HOUR:
        return "empty" if c.floor.chance(0.5) else ""
    return "full" if free - at > queue.full * SECOND else ""


def _give_up(c: Contact, queue: Queue, at: int) -> Waiting:
    yield c.step(at)
    c.say(Abandoned, at, queue=queue.name)
    again(c, at, 0.35)
    return None


def _break_off(c: Contact, queue: Queue, at: int) -> Waiting:
    yield c.step(at)
    c.say(Ended, at, queue=queue.name, reason="lost")
    again(c, at, 0.6)
    return None


def again(c: Contact, at: int, share: float) -> None:
    """Some try again soon after they got nothing, and the publisher may see that it is the same matter."""
    floor = c.floor
    if floor.chance(share):
        journey = "chat" if c.channel == "chat" else "call"
        linked = c.id if c.channel == "call" and floor.chance(0.3) else ""
        known = "customer" in c.identifiers
        floor.begin(journey, Cause(c.cause.customer, at + floor.span(60, 2400), c.case, linked, known))


def _go_on(c: Contact, queue: Queue, at: int) -> Waiting:
    """The limit of the queue: on to the next queue, said or not, or out."""
    if not queue.overflow:
        c.say(LeftQueue, at, queue=queue.name, reason="timeout")
        c.say(Ended, at + 3 * SECOND)
        return None
    if c.floor.chance(0.7):
        c.say(LeftQueue, at, queue=queue.name, reason="timeout")
    yield c.step(at)
    following = c.floor.queues[queue.overflow]
    return (yield from wait(c, following, at))


def _find_nobody(c: Contact, queue: Queue, at: int) -> Waiting:
    yield c.step(at)
    reason = "empty" if c.floor.chance(0.8) else "closed"
    c.say(LeftQueue, at, queue=queue.name, reason=reason)
    c.say(Ended, at + SECOND, reason=reason)
    return None


def _press_key(c: Contact, queue: Queue, at: int) -> Waiting:
    """Called back later, to another queue, or away to the voicemail."""
    yield c.step(at)
    floor = c.floor
    if floor.chance(0.65):
        promised = at + 30 * MINUTE
        c.say(CallbackRequested, at, queue=queue.name, promised_by=promised)
        return (yield from _call_back(c, queue, at + floor.span(300, 2400)))
    c.say(LeftQueue, at, queue=queue.name, reason="key")
    if floor.chance(0.4):
        yield c.step(at + SECOND)
        return (yield from wait(c, floor.queues["backup"], at + SECOND))
    c.say(Answered, at + SECOND, representative="voicemail", team="voicemail", actor="bot")
    c.say(Ended, at + floor.span(20, 60))
    return None


def _call_back(c: Contact, queue: Queue, at: int) -> Waiting:
    """As promised, or when somebody has the time; not everybody can be reached, and not everybody is called."""
    yield c.step(at)
    free = c.floor.pools[queue.team].free(at)
    if free - at > 3 * HOUR:
        return None
    if c.floor.chance(0.2):
        c.floor.pools[queue.team].book(free + 40 * SECOND)
        c.say(
            Ended,
            free + 30 * SECOND,
            queue=queue.name,
            team=queue.team,
            reason=c.floor.one_of(("unreachable", "unreachable", "no_answer", "busy")),
        )
        return None
    return accept(c, queue, free)


def accept(c: Contact, queue: Queue, free: int) -> Touch | None:
    """Offered to whoever is free at ``free``, and to the next if missed; books the whole talk, and what follows it."""
    floor = c.floor
    pool = floor.pools[queue.team]
    leg = f"{c.id}/{len(c.teams)}" if c.teams else ""
    while queue.channel != "email" and floor.chance(MISSED):
        representative = pool.book(free + RINGING + PAUSE)
        c.say(Rang, free, queue=queue.name, representative=representative, leg_id=leg)
        c.say(Missed, free + RINGING, queue=queue.name, representative=representative, team=queue.team, leg_id=leg)
        following = pool.free(free + RINGING)
        if following - free > GONE:
            c.say(Abandoned, free + RINGING + floor.span(5, 60), queue=queue.name)
            return None
        free = following
    answered = free + (floor.span(2, 9) if queue.channel in ("call", "video") else SECOND)
    touch = engage(c, queue, answered)
    if queue.channel != "email":
        c.say(Rang, free, queue=queue.name, representative=touch.representative, leg_id=leg)
    timed = queue.channel != "email" or floor.chance(0.7)
    c.say(Answered, answered, queue=queue.name, team=queue.team, representative=touch.representative, leg_id=leg, timed=timed)
    return touch


def engage(c: Contact, queue: Queue, at: int) -> Touch:
    """Books the one found free for a talk that begins at ``at``."""
    floor = c.floor
    until = at + floor.around(queue.talk, 0.6)
    wrapped = until + floor.around(30, 0.7)
    c.teams.append(queue.team)
    return Touch(floor.pools[queue.team].book(wrapped), queue, at, until, wrapped)


def wrap_up(c: Contact, touch: Touch) -> None:
    """Most publishers say when the work after a touch is done, some of the time."""
    if c.floor.chance(0.75):
        c.owe(WrappedUp, touch.wrapped, representative=touch.representative)


def recognise(c: Contact, touch: Touch) -> None:
    """The customer becomes known in the course of the touch."""
    if c.unsaid:
        c.owe(Identified, touch.at + (touch.until - touch.at) // 12, identifiers=c.learn())
