"""Chats, letters and the work behind the counter."""

from typing import Final

from schemas.events import Abandoned, Answered, Ended, MessageSent, Offered, Queued, Reopened, Transferred, WorkCompleted, WorkStarted
from streams.simulate.aftermath import Endings, Middles, close, converse
from streams.simulate.centre import CHATBOT, DAY, MINUTE, SECOND
from streams.simulate.floor import Cause, Contact, Floor, Step
from streams.simulate.line import GONE, Touch, Waiting, accept, engage, recognise, wait, wrap_up


def chat(floor: Floor, cause: Cause) -> Step:
    """A customer writes to the chat, half of them to a bot at first."""
    c = Contact(floor, cause, "chat")
    queue = floor.queue_for("chat")
    c.need = floor.one_of(queue.needs)
    c.begin(Offered, cause.at)
    c.say(MessageSent, cause.at + 500, by="customer")
    entered = _ask_bot(c, cause.at + SECOND) if queue.is_open(cause.at) and floor.chance(0.5) else cause.at + SECOND
    if entered:
        yield c.step(entered)
        yield from converse(c, (yield from wait(c, queue, entered)), WRITING, PASSING_ON)
    c.settle()


def _ask_bot(c: Contact, at: int) -> int:
    """The bot answers; until when, if a person is wanted, or 0."""
    floor = c.floor
    c.say(Answered, at, representative=CHATBOT, team=CHATBOT, actor="bot")
    for _ in range(1 + int(3 * floor.random())):
        c.say(MessageSent, at + SECOND, by="bot")
        at += floor.span(8, 40)
        c.say(MessageSent, at, by="customer")
    if floor.chance(0.3):
        c.say(Ended, at + 2 * SECOND)
        return 0
    if floor.chance(0.05):
        c.say(Abandoned, at + 2 * SECOND)
        return 0
    c.say(Transferred, at + SECOND, kind="blind", actor="bot", representative=CHATBOT, team=CHATBOT)
    return at + SECOND


def correspond(c: Contact, touch: Touch) -> Step:
    """Question and answer until the matter is done."""
    yield from ()
    floor = c.floor
    at = touch.at + floor.span(2, 15)
    while at < touch.until:
        c.say(MessageSent, at, by="representative", representative=touch.representative)
        at += floor.span(10, 70)
        if at < touch.until:
            c.say(MessageSent, at, by="customer")
        at += floor.span(8, 50)


def pass_on(c: Contact, touch: Touch) -> Waiting:
    """To the other queue, by hand."""
    queue = c.floor.queues["chat" if touch.queue.name == "chat_backup" else "chat_backup"]
    yield c.step(touch.until)
    free = c.floor.pools[queue.team].free(touch.until)
    if free > touch.until + GONE:
        return (yield from close(c, touch))
    kind = c.floor.one_of(("requeue", "requeue", "blind"))
    c.say(Transferred, touch.until, kind=kind, representative=touch.representative, team=touch.queue.team, to_queue=queue.name)
    wrap_up(c, touch)
    if kind == "blind" and free <= touch.until + MINUTE:
        return accept(c, queue, free)
    return (yield from wait(c, queue, touch.until))


def mail(floor: Floor, cause: Cause) -> Step:
    """A customer writes a letter by e-mail; some answer the answer, and the thread goes on."""
    c = Contact(floor, cause, "email")
    queue = floor.queues["mail"]
    c.need = floor.one_of(queue.needs)
    c.begin(MessageSent, cause.at, by="customer")
    at = cause.at + SECOND
    while True:
        c.say(Queued, at, queue=queue.name)
        sorted_at = at + floor.around(2400, 0.9)
        yield c.step(sorted_at)
        touch = accept(c, queue, floor.pools[queue.team].free(sorted_at))
        if touch is None:
            break
        recognise(c, touch)
        c.say(MessageSent, touch.until - SECOND, by="representative", representative=touch.representative)
        yield from converse(c, touch, (), ())
        if not floor.chance(0.08):
            break
        at = touch.wrapped + floor.around(5 * 3600, 0.8)
        if at >= floor.end:
            break
        c.step(at)
        c.say(Reopened, at)
        c.say(MessageSent, at + SECOND, by="customer")
        at += 2 * SECOND
    c.settle()


def work(floor: Floor, cause: Cause) -> Step:
    """The back office works on a case, one or two of its people, and tells the customer; some ask before."""
    c = Contact(floor, cause, "back_office")
    queue = floor.queues["cases"]
    c.need = "claim"
    pool = floor.pools[queue.team]
    if floor.chance(0.15):
        floor.begin("call", Cause(cause.customer, cause.at + floor.span(3600, 30 * 3600), cause.case, known=True))
    touch = engage(c, queue, pool.free(cause.at))
    c.begin(WorkStarted, touch.at, representative=touch.representative, team=queue.team, promised_by=cause.at + 2 * DAY)
    c.say(WorkCompleted, touch.until, representative=touch.representative)
    while floor.chance(0.25):
        later = touch.until + floor.span(600, 6 * 3600)
        yield c.step(later)
        touch = engage(c, queue, pool.free(later))
        c.say(WorkStarted, touch.at, representative=touch.representative, team=queue.team)
        c.say(WorkCompleted, touch.until, representative=touch.representative)
    c.say(Ended, touch.until + SECOND)
    if floor.chance(0.6):
        floor.begin("outbound", Cause(cause.customer, touch.until + floor.span(300, 3 * 3600), cause.case, known=True))
    c.settle()


WRITING: Final[Middles] = ((1.0, correspond),)
PASSING_ON: Final[Endings] = ((0.09, pass_on),)
