"""Calls: the voice menu in front, what happens in a talk, the ways in which it is passed on, and calls to customers."""

from typing import Final

from schemas.events import (
    Abandoned,
    Answered,
    Consulted,
    Ended,
    Held,
    Identified,
    Joined,
    Left,
    Missed,
    Offered,
    Rang,
    Retrieved,
    Transferred,
)
from streams.simulate.aftermath import Endings, Middles, close, converse, inside
from streams.simulate.centre import BOT, MINUTE, SECOND, Queue
from streams.simulate.floor import Cause, Contact, Floor, Step
from streams.simulate.line import GONE, RINGING, Touch, Waiting, accept, again, engage, wait, wrap_up

AT_ONCE: Final = 15 * SECOND
ATTEMPTS: Final = ((0.28, "no_answer"), (0.14, "machine"), (0.09, "busy"), (0.04, "dropped"))


def call(floor: Floor, cause: Cause) -> Step:
    """A customer calls the hotline."""
    c = Contact(floor, cause, "call")
    queue = floor.queue_for("call")
    if floor.pools[queue.team].free(cause.at) - cause.at > 20 * MINUTE and floor.chance(0.7):
        queue = floor.queues["emergency"]
    c.need = floor.one_of(queue.needs)
    entered = greet(c, queue, 0.45 if queue.is_open(cause.at) else 0.0)
    if entered:
        yield c.step(entered)
        yield from converse(c, (yield from wait(c, queue, entered)), MIDDLES, ENDINGS)
    c.settle()


def video(floor: Floor, cause: Cause) -> Step:
    """A customer asks for advice by video."""
    c = Contact(floor, cause, "video")
    queue = floor.queues["video_advice"]
    c.need = floor.one_of(queue.needs)
    c.begin(Offered, cause.at)
    yield c.step(cause.at + SECOND)
    yield from converse(c, (yield from wait(c, queue, cause.at + SECOND)), MIDDLES[:2], ENDINGS[:1])
    c.settle()


def greet(c: Contact, queue: Queue, share: float) -> int:
    """The call arrives, for some with a voice menu; when it goes on to the queue, or 0 if it does not."""
    floor, at = c.floor, c.cause.at
    c.begin(Offered, at)
    if not floor.chance(share):
        return at + floor.span(1, 4)
    c.say(Answered, at + SECOND, representative=BOT, team=BOT, actor="bot")
    until = at + floor.span(8, 45)
    if c.unsaid and floor.chance(0.3):
        c.say(Identified, at + 6 * SECOND, identifiers=c.learn())
    if floor.chance(0.1):
        c.say(Ended, until)
        return 0
    if floor.chance(0.03):
        c.say(Abandoned, until)
        return 0
    if floor.chance(0.6):
        c.say(Transferred, until, kind="blind", actor="bot", representative=BOT, team=BOT, to_queue=queue.name)
    return until


def hold(c: Contact, touch: Touch) -> Step:
    """On hold, once or twice."""
    yield from ()
    begun, ended = inside(c, touch, 0.15, 0.3), inside(c, touch, 0.32, 0.55)
    c.say(Held, begun, representative=touch.representative)
    c.say(Retrieved, min(ended, begun + c.floor.around(45, 0.8)), representative=touch.representative)
    if c.floor.chance(0.15):
        c.say(Held, inside(c, touch, 0.6, 0.7), representative=touch.representative)
        c.say(Retrieved, inside(c, touch, 0.72, 0.9), representative=touch.representative)


def consult(c: Contact, touch: Touch) -> Step:
    """A question to a colleague, the customer off the line."""
    yield from ()
    other = _other_queue(c, touch)
    begun, ended = inside(c, touch, 0.3, 0.5), inside(c, touch, 0.55, 0.8)
    if c.floor.chance(0.5):
        c.say(Held, begun - 500, representative=touch.representative)
    c.say(
        Consulted,
        begun,
        representative=touch.representative,
        to_team=other.team,
        to_representative=c.floor.one_of(c.floor.pools[other.team].names),
    )
    c.say(Retrieved, ended, representative=touch.representative)


def listen_in(c: Contact, touch: Touch) -> Step:
    """A supervisor listens, whispers or coaches; the customer does not notice."""
    yield from ()
    mode = c.floor.one_of(("monitor", "whisper", "coach"))
    c.say(Joined, inside(c, touch, 0.15, 0.4), representative="supervisor.01", mode=mode)
    c.say(Left, inside(c, touch, 0.5, 0.9), representative="supervisor.01")


def confer(c: Contact, touch: Touch) -> Step:
    """A colleague comes onto the line, for long or only for some seconds."""
    begun = inside(c, touch, 0.2, 0.5)
    yield c.step(begun)
    pool = c.floor.pools[_other_queue(c, touch).team]
    if pool.free(begun) > begun:
        return
    ended = inside(c, touch, 0.6, 0.9) if c.floor.chance(0.7) else begun + c.floor.span(2, 9)
    ended = min(ended, inside(c, touch, 0.9, 0.9))
    guest = pool.book(ended + SECOND)
    c.say(Joined, begun, representative=guest, mode="conference")
    c.say(Left, ended, representative=guest)


def lose_line(c: Contact, touch: Touch) -> Waiting:
    """The line breaks, in talk or on hold."""
    yield from ()
    if c.floor.chance(0.25):
        c.say(Held, inside(c, touch, 0.92, 0.97), representative=touch.representative)
    c.say(Ended, touch.until, reason="lost")
    again(c, touch.until, 0.6)
    return None


def blind(c: Contact, touch: Touch) -> Waiting:
    """Passed on unannounced: to a colleague who is free, else by the switch into the queue."""
    queue = _other_queue(c, touch)
    yield c.step(touch.until)
    at = touch.until + SECOND
    free = c.floor.pools[queue.team].free(at)
    if free - at > GONE:
        return (yield from close(c, touch))
    _transfer(c, touch, "blind", queue)
    if c.floor.chance(0.03):
        c.say(Ended, at + c.floor.span(5, 60), queue=queue.name)
        return None
    if free <= at + AT_ONCE:
        return accept(c, queue, free)
    yield c.step(at)
    return (yield from wait(c, queue, at))


def requeue(c: Contact, touch: Touch) -> Waiting:
    """Put back into a queue."""
    queue = _other_queue(c, touch)
    yield c.step(touch.until)
    if c.floor.pools[queue.team].free(touch.until) - touch.until > GONE:
        return (yield from close(c, touch))
    _transfer(c, touch, "requeue", queue)
    return (yield from wait(c, queue, touch.until))


def consult_first(c: Contact, touch: Touch) -> Waiting:
    """Passed on to a colleague who was asked before."""
    return (yield from _hand_over(c, touch, introduced=False))


def introduce(c: Contact, touch: Touch) -> Waiting:
    """Passed on to a colleague who came onto the line before."""
    return (yield from _hand_over(c, touch, introduced=True))


def _hand_over(c: Contact, touch: Touch, *, introduced: bool) -> Waiting:
    """If no colleague is free the representative goes on alone."""
    asked = inside(c, touch, 0.91, 0.97)
    yield c.step(asked)
    queue = _other_queue(c, touch)
    if c.floor.pools[queue.team].free(asked) > asked:
        return (yield from close(c, touch))
    taken = engage(c, queue, touch.until)
    if introduced:
        c.say(Joined, asked, representative=taken.representative, team=queue.team, mode="conference")
        if c.floor.chance(0.5):
            c.say(Left, touch.until, representative=touch.representative)
            wrap_up(c, touch)
        else:
            _transfer(c, touch, "introduced", queue, taken.representative)
        return taken
    c.say(Consulted, asked, representative=touch.representative, to_team=queue.team, to_representative=taken.representative)
    _transfer(c, touch, "consult", queue, taken.representative)
    at = touch.until + c.floor.span(0, 2)
    c.say(Answered, at, queue=queue.name, team=queue.team, representative=taken.representative, leg_id=f"{c.id}/{len(c.teams)}")
    return taken._replace(at=at)


def send_away(c: Contact, touch: Touch) -> Waiting:
    """Passed on to somebody outside; one partner's queue shows only that the call went there."""
    yield from ()
    if c.floor.chance(0.2):
        c.say(
            Transferred,
            touch.until,
            kind="blind",
            representative=touch.representative,
            team=touch.queue.team,
            to_queue="partner",
            queues_only=True,
        )
        return None
    c.say(Transferred, touch.until, kind="external", representative=touch.representative, team=touch.queue.team)
    c.say(Ended, touch.until + c.floor.span(1, 300))
    return None


def come_back(c: Contact, touch: Touch) -> Waiting:
    """Passed on, nobody takes it, and the same representative has it again."""
    sent = inside(c, touch, 0.9, 0.92)
    back = sent + 2 * SECOND + RINGING
    if back + 5 * SECOND > touch.until:
        return (yield from close(c, touch))
    queue = _other_queue(c, touch)
    colleague = c.floor.one_of(c.floor.pools[queue.team].names)
    _transfer(c, touch._replace(until=sent, wrapped=sent), "blind", queue, colleague)
    c.say(Rang, sent + SECOND, queue=queue.name, representative=colleague)
    c.say(Missed, sent + SECOND + RINGING, queue=queue.name, team=queue.team, representative=colleague)
    c.say(Answered, back, queue=touch.queue.name, team=touch.queue.team, representative=touch.representative)
    return (yield from close(c, touch))


def lose_representative(c: Contact, touch: Touch) -> Waiting:
    """The representative's line breaks; the system finds another one."""
    c.say(Left, touch.until, representative=touch.representative, reason="lost")
    yield c.step(touch.until)
    free = c.floor.pools[touch.queue.team].free(touch.until + SECOND)
    if free > touch.until + 2 * MINUTE:
        c.say(Ended, touch.until + 20 * SECOND, reason="lost")
        return None
    return accept(c, touch.queue, free)


def _transfer(c: Contact, touch: Touch, kind: str, queue: Queue, colleague: str = "") -> None:
    c.say(
        Transferred,
        touch.until,
        kind=kind,
        representative=touch.representative,
        team=touch.queue.team,
        to_queue="" if colleague else queue.name,
        to_team=queue.team,
        to_representative=colleague,
    )
    if touch.wrapped > touch.until:
        wrap_up(c, touch)


def _other_queue(c: Contact, touch: Touch) -> Queue:
    """Where the matter belongs, now and then back where it came from."""
    floor = c.floor
    former = [queue for queue in floor.queues.values() if queue.team == c.teams[0] and queue.channel == c.channel]
    if len(c.teams) > 1 and c.teams[0] != touch.queue.team and former and floor.chance(0.3):
        return former[0]
    queue = floor.queue_for(c.channel)
    return floor.queues["claims"] if queue.team == touch.queue.team and c.channel == "call" else queue


MIDDLES: Final[Middles] = ((0.17, hold), (0.06, consult), (0.03, listen_in), (0.03, confer))
ENDINGS: Final[Endings] = (
    (0.012, lose_line),
    (0.04, blind),
    (0.03, requeue),
    (0.02, consult_first),
    (0.02, introduce),
    (0.01, send_away),
    (0.025, come_back),
    (0.005, lose_representative),
)


def outbound(floor: Floor, cause: Cause) -> Step:
    """A call to a customer: in a campaign, or about a case as promised."""
    queue = floor.queues["case_calls" if cause.case else "campaign"]
    pool = floor.pools[queue.team]
    at = pool.free(cause.at)
    if at > cause.at:
        yield at
        at = pool.free(at)
    c = Contact(floor, cause._replace(at=at, known=True), "call", "callback" if cause.case and floor.chance(0.5) else "outbound")
    c.need = floor.one_of(queue.needs)
    c.begin(Offered, at, queue=queue.name, team=queue.team)
    result = floor.pick(ATTEMPTS, "")
    at += floor.span(6, 30)
    if result:
        pool.book(at + 10 * SECOND)
        c.say(Ended, at, reason=result, team=queue.team)
        if floor.chance(0.4):
            floor.begin("outbound", cause._replace(at=at + floor.span(3600, 20 * 3600)))
    else:
        touch = engage(c, queue, at)
        c.say(Answered, at, queue=queue.name, team=queue.team, representative=touch.representative)
        yield from converse(c, touch, MIDDLES[:1], ())
    c.settle()
