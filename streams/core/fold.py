"""What each type of event does to a contact (docs/counting.md, 2). An event that does not fit the state it meets changes nothing."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from schemas import events as e
from schemas.records import Attempt, Blocked, BotTouch, Callback, Consult, Drop, Entry, Guest, Handover, Missed, Work
from streams.core.contact import NO_SHOW, Contact
from streams.core.phases import HOLD, TALK

ENDED_WAITING: Final = {"lost": "unknown", "closed": "withdrawn", "withdrawn": "withdrawn"}
EXITS: Final = {"timeout": "timeout", "key": "opt_out"}
FAILED_ATTEMPTS: Final = frozenset({"machine", "busy", "no_answer", "dropped"})
UNREACHABLE: Final = frozenset({"unreachable", "busy", "no_answer"})


class Fold(Contact):
    """The contact, and one method for each type of event that means something to it."""

    __slots__ = ()

    def queued(self, x: e.Queued) -> None:
        """The customer waits in a queue; after another queue and before any touch this is an overflow."""
        self.dismiss(x.at)
        self.release(x.at)
        if self.entry is not None:
            if self.entry.queue == x.queue:
                return
            self.left = self.entry
            self.leave(x.at, "withdrawn")
        if self.left is not None:
            self.left.exit = "overflow"
            self.record.handovers.append(
                Handover(
                    "overflow",
                    x.at,
                    from_queue=self.left.queue,
                    to_queue=x.queue,
                    outcome="accepted",
                    settled_at=x.at,
                ),
            )
            self.left = None
        entry = Entry(x.queue, max(x.at, x.appointment_at), self.accepts)
        self.record.entries.append(entry)
        self.entry = entry
        self.released = False
        if self.pending is not None:
            self.pending.entry_queue = x.queue

    def left_queue(self, x: e.LeftQueue) -> None:
        """The customer left the line unanswered, or was turned away before it. One fact, one exit."""
        if self.entry is not None:
            if self.entry.queue == x.queue:
                self.left = self.entry
                self.leave(x.at, EXITS.get(x.reason, "withdrawn"), x.reason)
                self.over = True
            return
        last = self.record.entries[-1] if self.record.entries else None
        if last is None or (last.queue, last.reason, last.group) != (x.queue, x.reason, self.accepts):
            self.record.blocked.append(Blocked(x.queue, x.reason, x.at))
        self.over = True

    def missed(self, x: e.Missed) -> None:
        """An offer not taken."""
        queue = x.queue or (self.entry.queue if self.entry is not None else "")
        self.record.missed.append(Missed(x.representative, x.team, queue))

    def answered(self, x: e.Answered) -> None:
        """A person accepts, or a bot does: a bot ends no wait and takes no handover."""
        if x.actor == "human":
            self.accept(x, timed=x.timed)
        elif self.main is None and (self.bot is None or self.bot.representative != x.representative):
            self.end_bot(x.at)
            self.bot = BotTouch(x.representative, x.team, x.at, observed=x.timed)
            self.record.bots.append(self.bot)
            self.left, self.released = None, False

    def held(self, x: e.Event) -> None:
        """The customer is on hold."""
        main = self.main
        if main is not None and x.representative in ("", main.representative) and not (main.holds and not main.holds[-1]):
            main.holds += (x.at, 0)

    def retrieved(self, x: e.Retrieved) -> None:
        """The customer is back from hold."""
        if self.main is not None and x.representative in {"", self.main.representative}:
            self.retrieve(x.at)

    def consulted(self, x: e.Consulted) -> None:
        """A colleague is asked, the customer off the line: hold, with or without a `held`."""
        main = self.main
        if main is not None:
            self.record.consults.append(Consult(self.index(main), x.to_team, x.to_queue, x.to_representative))
            if not (main.holds and not main.holds[-1]):
                main.holds += (x.at, 0)

    def transferred(self, x: e.Transferred) -> None:
        """A representative (or a bot) passes the contact on."""
        sender, bot = self.last, self.bot
        kind: str = x.kind
        if self.main is not None:
            if self.guests and kind in {"introduced", "consult"}:
                self.introduce(x.at)
                return
            sender = self.main
            self.dismiss(x.at)
            self.release(x.at, transferred=True)
        elif bot is not None or (x.actor == "bot" and self.record.bots):
            bot = bot or self.record.bots[-1]
            self.end_bot(x.at)
            if self.pending is not None:
                return
            kind, sender = "escalation", None
        elif not self.released or self.pending is not None:
            self.moved(x.at)
            return
        self.parked = self.released = False
        handover = Handover(
            kind, x.at, self.index(sender), to_team=x.to_team, to_queue=x.to_queue, to_representative=x.to_representative,
            queues_only=x.queues_only, since=x.at, group=self.accepts,
        )  # fmt: skip
        if kind == "escalation" and bot is not None:
            handover.from_team, handover.from_bot = bot.team, bot.representative
        if self.entry is not None:
            handover.entry_queue = self.entry.queue
        self.record.handovers.append(handover)
        if kind == "external":
            handover.outcome, handover.settled_at = "accepted", x.at
            self.over = True
        else:
            self.pending = handover

    def moved(self, at: int) -> None:
        """A waiting contact is taken out of its line by somebody who never had it."""
        if self.entry is not None:
            self.left = self.entry
            self.leave(at, "withdrawn")
            self.parked = False
            self.over = True

    def joined(self, x: e.Joined) -> None:
        """A second employee with the customer; monitor, whisper and coach are not with the customer."""
        main = self.main
        if x.mode != "conference" or main is None or main.representative == x.representative:
            return
        if all(g.representative != x.representative for g in self.guests):
            guest = Guest(x.representative, x.team, x.queue or main.queue, x.at)
            self.guests.append(guest)
            self.record.guests.append(guest)

    def left_contact(self, x: e.Left) -> None:
        """An employee leaves: a guest, the one who invited, or the only one."""
        guest = next((g for g in self.guests if g.representative == x.representative), None)
        if guest is not None:
            guest.end = x.at
            self.guests.remove(guest)
        elif self.main is not None and self.main.representative == x.representative:
            if self.guests:
                self.introduce(x.at)
            else:
                self.release(x.at)
                self.over = True
        elif self.bot is not None and self.bot.representative == x.representative:
            self.end_bot(x.at)
            self.over = True

    def abandoned(self, x: e.Abandoned) -> None:
        """The customer gave up; from a representative this is an end like any other."""
        if self.main is not None:
            self.finish(x, "customer")
        else:
            self.gone(x.at, "abandoned")
            self.parked = False
            self.over = True

    def callback_requested(self, x: e.CallbackRequested) -> None:
        """The customer asks to be called back: the entry's exit, not an abandon."""
        entries = self.record.entries
        entry, queue = (len(entries) - 1, self.entry.queue) if self.entry is not None else (-1, x.queue)
        self.record.callbacks.append(Callback(queue, entry))
        self.leave(x.at, "callback")
        self.over = True

    def ended(self, x: e.Ended) -> None:
        """The contact is over."""
        self.finish(x, x.reason)

    def finish(self, x: e.Event, reason: str) -> None:
        """What was still open ends the way the reason says."""
        main = self.main
        if main is not None:
            if reason == "lost":
                stage = HOLD if main.holds and not main.holds[-1] else TALK
                self.record.drops.append(Drop(self.index(main), stage))
            self.dismiss(x.at)
            self.release(x.at)
        self.gone(x.at, ENDED_WAITING.get(reason, "abandoned"))
        for work in self.record.works:
            work.end = work.end or x.at
        if self.record.direction == "outbound" and not self.record.touches and self.record.attempt is None:
            result = reason if reason in FAILED_ATTEMPTS else "no_answer"
            self.record.attempt = Attempt(result, x.team, x.representative)
        if reason in UNREACHABLE:
            for callback in self.record.callbacks:
                callback.state = callback.state or "unreachable"
        self.parked = False
        self.left = None
        self.over = True

    def wrapped_up(self, x: e.WrappedUp) -> None:
        """The work after the last ended touch of that representative is done."""
        for touch in reversed(self.record.touches):
            if touch.end and not touch.wrapped_up_at and x.representative in ("", touch.representative):
                touch.wrapped_up_at = x.at
                return

    def called(self, x: e.Event) -> None:
        """The ticket is called: the first call ends the wait."""
        if self.entry is not None and not self.entry.called_at:
            self.entry.called_at = x.at

    def serving_started(self, x: e.ServingStarted) -> None:
        """The customer sits at the desk: the touch begins."""
        self.accept(x)

    def no_show(self, x: e.NoShow) -> None:
        """The called customer did not come: an abandon, until served later."""
        self.leave(x.at, NO_SHOW)
        self.over = True

    def park(self, x: e.Parked) -> None:
        """The visit is set aside."""
        if self.main is not None:
            self.dismiss(x.at)
            self.release(x.at)
            self.parked = True

    def resumed(self, x: e.Resumed) -> None:
        """A parked visit goes on, with the same representative or with another one."""
        if x.representative:
            self.accept(x)
        elif self.parked and self.last is not None:
            self.accept(replace(x, representative=self.last.representative))

    def work_started(self, x: e.WorkStarted) -> None:
        """Work without the customer begins."""
        if all(w.end or w.representative != x.representative for w in self.record.works):
            self.record.works.append(Work(x.representative, x.team, x.queue, x.at))

    def work_completed(self, x: e.WorkCompleted) -> None:
        """That work is done."""
        for work in reversed(self.record.works):
            if not work.end and x.representative in {"", work.representative}:
                work.end = x.at
                break
        self.over = True


ON: Final[dict[type[e.Event], Callable[[Fold, Any], None]]] = {
    e.Queued: Fold.queued,
    e.LeftQueue: Fold.left_queue,
    e.Missed: Fold.missed,
    e.Answered: Fold.answered,
    e.Held: Fold.held,
    e.Retrieved: Fold.retrieved,
    e.Consulted: Fold.consulted,
    e.Transferred: Fold.transferred,
    e.Joined: Fold.joined,
    e.Left: Fold.left_contact,
    e.Abandoned: Fold.abandoned,
    e.CallbackRequested: Fold.callback_requested,
    e.Ended: Fold.ended,
    e.WrappedUp: Fold.wrapped_up,
    e.Called: Fold.called,
    e.ServingStarted: Fold.serving_started,
    e.NoShow: Fold.no_show,
    e.Parked: Fold.park,
    e.Resumed: Fold.resumed,
    e.WorkStarted: Fold.work_started,
    e.WorkCompleted: Fold.work_completed,
}
