"""Visits to a branch: the ticket and its call, the talk at the desk, and the way from desk to desk."""

from operator import itemgetter
from typing import Final

from schemas.events import Abandoned, Called, LeftQueue, NoShow, Parked, Queued, Recalled, Resumed, ServingStarted, Transferred
from streams.simulate.aftermath import Endings, Middles, close, converse, inside
from streams.simulate.centre import HOUR, MINUTE, SECOND, Queue, next_off
from streams.simulate.floor import Cause, Contact, Floor, Step
from streams.simulate.line import Touch, Waiting, again, engage, wrap_up

APPOINTMENTS: Final = 0.12
CALLED_EARLY: Final = 0.1
STAY_AFTER: Final = 20 * MINUTE


def visit(floor: Floor, cause: Cause) -> Step:
    """A customer comes to a branch and takes a ticket; nobody comes to a closed door."""
    queue = floor.queue_for("visit")
    if not queue.is_open(cause.at):
        return
    c = Contact(floor, cause, "visit")
    c.need = floor.one_of(queue.needs)
    c.identifiers = {**c.identifiers, "ticket": f"{queue.name[0].upper()}-{c.id}"}
    due = cause.at
    if floor.chance(APPOINTMENTS):
        due += floor.span(0, 1500)
        c.begin(Queued, cause.at, queue=queue.name, service=c.need, appointment_at=due)
        if floor.chance(CALLED_EARLY):
            due = cause.at
        yield c.step(due)
    else:
        c.begin(Queued, cause.at, queue=queue.name, service=c.need)
    yield from converse(c, (yield from _sit(c, queue, due)), MIDDLES, ENDINGS)
    c.settle()


def _sit(c: Contact, queue: Queue, at: int) -> Waiting:
    """In the waiting area: called, gone, or sent home when the branch closes."""
    free = c.floor.pools[queue.team].free(at)
    patience = at + c.floor.around(queue.patience, 0.6)
    closing = next_off(queue.hours, at) + STAY_AFTER if queue.is_open(at) else at + STAY_AFTER
    if c.floor.chance(0.02):  # removed by mistake, or served without the system
        closing = min(closing, at + c.floor.span(30, 900))
    when, end = min((free, ""), (patience, "abandoned"), (closing, "withdrawn"), key=itemgetter(0))
    if not end:
        return (yield from _call_up(c, queue, free, 0.08 if free - at > 2 * MINUTE else 0.005))
    yield c.step(when)
    if end == "abandoned":
        c.say(Abandoned, when, queue=queue.name)
        again(c, when, 0.15)
    else:
        c.say(LeftQueue, when, queue=queue.name, reason="withdrawn")
    return None


def _call_up(c: Contact, queue: Queue, at: int, missing: float) -> Waiting:
    """The ticket is called: the customer comes, at once or after one more call, or not, or goes back into the line."""
    floor = c.floor
    desk = _desk(c, queue)
    c.say(Called, at, queue=queue.name, desk=desk)
    if floor.chance(missing):
        return (yield from _miss_call(c, queue, at, desk))
    if floor.chance(0.015):
        pool = floor.pools[queue.team]
        pool.book(at + MINUTE)
        c.say(Parked, at + 40 * SECOND, queue=queue.name, reason="documents")
        later = at + floor.span(180, 600)
        yield c.step(later)
        return (yield from _call_up(c, queue, pool.free(later), 0.0))
    if floor.chance(0.07):
        c.say(Recalled, at + 35 * SECOND, queue=queue.name, desk=desk)
        at += 35 * SECOND
    return _serve(c, queue, at + floor.span(8, 40), desk)


def _miss_call(c: Contact, queue: Queue, at: int, desk: str) -> Waiting:
    """Nobody comes; some turn up later and are called again."""
    floor = c.floor
    pool = floor.pools[queue.team]
    pool.book(at + 80 * SECOND)
    c.say(Recalled, at + 35 * SECOND, queue=queue.name, desk=desk)
    c.say(NoShow, at + 75 * SECOND, queue=queue.name, desk=desk)
    if not floor.chance(0.4):
        return None
    later = at + floor.span(200, 1200)
    yield c.step(later)
    free = pool.free(later)
    if free > later + HOUR:
        return None
    desk = _desk(c, queue)
    c.say(Called, free, queue=queue.name, desk=desk)
    return _serve(c, queue, free + floor.span(8, 40), desk)


def _serve(c: Contact, queue: Queue, at: int, desk: str) -> Touch:
    touch = engage(c, queue, at)
    c.say(ServingStarted, at, queue=queue.name, representative=touch.representative, desk=desk, service=c.need)
    return touch


def _desk(c: Contact, queue: Queue) -> str:
    """The desk of the clerk who was found free; every clerk has one."""
    return f"{queue.name}/{c.floor.pools[queue.team].next_number() + 1}"


def park(c: Contact, touch: Touch) -> Step:
    """Set aside while the customer fills in a form."""
    yield from ()
    c.say(Parked, inside(c, touch, 0.2, 0.4), representative=touch.representative, reason="form")
    back = touch.representative if c.floor.chance(0.6) else ""
    c.say(Resumed, inside(c, touch, 0.5, 0.85), representative=back)


def park_for_another(c: Contact, touch: Touch) -> Waiting:
    """Set aside, and another clerk goes on with it."""
    c.say(Parked, touch.until, representative=touch.representative, reason="form")
    later = touch.until + c.floor.span(60, 600)
    yield c.step(later)
    queue = touch.queue
    free = c.floor.pools[queue.team].free(later)
    if free > later + HOUR:
        return None
    desk = _desk(c, queue)
    taken = engage(c, queue, free)
    c.say(Resumed, free, queue=queue.name, representative=taken.representative, desk=desk)
    return taken


def to_desk(c: Contact, touch: Touch) -> Waiting:
    """Sent to a clerk at another desk."""
    queue = _other_counter(c, touch)
    pool = c.floor.pools[queue.team]
    yield c.step(touch.until)
    free = pool.free(touch.until)
    if free > touch.until + 15 * MINUTE:
        return (yield from close(c, touch))
    desk = _desk(c, queue)
    colleague = pool.names[pool.next_number()]
    c.say(Transferred, touch.until, kind="blind", representative=touch.representative, to_representative=colleague, to_team=queue.team)
    wrap_up(c, touch)
    c.say(Called, free, desk=desk)
    return _serve(c, queue, free + c.floor.span(15, 60), desk)


def to_pool(c: Contact, touch: Touch) -> Waiting:
    """Sent back to the waiting area, for another pool."""
    queue = _other_counter(c, touch)
    c.say(Transferred, touch.until, kind="requeue", representative=touch.representative, to_queue=queue.name)
    wrap_up(c, touch)
    yield c.step(touch.until + SECOND)
    c.say(Queued, touch.until + SECOND, queue=queue.name)
    return (yield from _sit(c, queue, touch.until + SECOND))


def next_service(c: Contact, touch: Touch) -> Waiting:
    """A further service of the same ticket by another clerk, with a wait of its own or straight away."""
    queue = _other_counter(c, touch)
    c.need = c.floor.one_of(queue.needs)
    yield c.step(touch.until)
    free = c.floor.pools[queue.team].free(touch.until)
    if free == touch.until:
        return _serve(c, queue, free, _desk(c, queue))
    c.say(Queued, touch.until, queue=queue.name, service=c.need)
    return (yield from _sit(c, queue, touch.until))


def _other_counter(c: Contact, touch: Touch) -> Queue:
    branch = touch.queue.name.rpartition("/")[0]
    lines = [queue for queue in c.floor.queues.values() if queue.name.startswith(branch + "/")]
    return c.floor.one_of([queue for queue in lines if queue is not touch.queue])


MIDDLES: Final[Middles] = ((0.04, park),)
ENDINGS: Final[Endings] = ((0.04, to_desk), (0.04, to_pool), (0.04, next_service), (0.01, park_for_another))
