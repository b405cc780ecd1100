"""One contact while its events are folded: what is open, and how waits, touches, holds and handovers end and begin.

The verbs here are what happens to a contact; `streams.core.fold` says which event means which (docs/counting.md, 2).
"""

from schemas import events as e
from schemas.records import (
    BotTouch,
    Entry,
    Guest,
    Handover,
    Interaction,
    Touch,
)
from streams.core.phases import HOLD, LIMITS, OVER, PENDING, QUEUE, RING, TALK

NO_SHOW = "no_show"


class Contact:
    """What is known of one interaction so far. `phase` names the state that the next event meets."""

    __slots__ = (
        "accepts",
        "bot",
        "entry",
        "guests",
        "last",
        "left",
        "main",
        "over",
        "parked",
        "pending",
        "record",
        "released",
    )

    def __init__(self, record: Interaction) -> None:
        self.record = record
        self.entry: Entry | None = None
        self.main: Touch | None = None
        self.last: Touch | None = None
        self.bot: BotTouch | None = None
        self.pending: Handover | None = None
        self.left: Entry | None = None
        self.guests: list[Guest] = []
        self.parked = self.over = self.released = False
        self.accepts = 0

    @property
    def phase(self) -> str:
        """The first state that applies: hold, talk, queue, pending, over, ring."""
        if self.main is not None:
            return HOLD if self.main.holds and not self.main.holds[-1] else TALK
        if self.parked:
            return HOLD
        if self.entry is not None:
            return QUEUE
        if self.bot is not None or any(not w.end for w in self.record.works):
            return TALK
        if self.pending is not None:
            return PENDING
        return OVER if self.over else RING

    @property
    def pending_until(self) -> int:
        """When the pending handover expires; 0 where none does: it never does while its entry waits."""
        if self.pending is None or self.entry is not None:
            return 0
        return self.pending.since + LIMITS[self.record.channel][PENDING]

    def expire(self, at: int) -> None:
        """A handover that nobody took within its limit has expired, whatever comes later."""
        instant = self.pending_until
        if self.pending is not None and 0 < instant <= at:
            expired(self.pending, instant)
            self.pending = None
            self.over = True

    def index(self, touch: Touch | None) -> int:
        """Where a touch stands among the interaction's touches, -1 for none."""
        if touch is None:
            return -1
        return next(i for i, t in enumerate(self.record.touches) if t is touch)

    # -- endings -------------------------------------------------------------------------------------------------------

    def release(self, at: int, *, transferred: bool = False) -> None:
        """The open touch ends; a hold that runs ends with it."""
        main = self.main
        if main is not None:
            self.retrieve(at)
            main.spans[-1] = at
            self.last, self.main, self.released = main, None, not transferred

    def retrieve(self, at: int) -> None:
        """A hold that runs ends."""
        if self.main is not None and self.main.holds and not self.main.holds[-1]:
            self.main.holds[-1] = at

    def leave(self, at: int, exit_: str, reason: str = "") -> None:
        """The open queue entry ends with the given exit."""
        entry = self.entry
        if entry is not None:
            entry.end, entry.exit, entry.reason = at, exit_, reason
            if self.pending is not None:
                self.pending.since = max(self.pending.since, at)
            self.entry = None

    def fail(self, at: int) -> None:
        """A pending handover is abandoned by the customer."""
        if self.pending is not None:
            self.pending.outcome, self.pending.settled_at = "abandoned", at
            self.pending = None

    def end_bot(self, at: int) -> None:
        """The open bot touch ends."""
        if self.bot is not None:
            self.bot.end = at
            self.bot = None

    def dismiss(self, at: int) -> None:
        """Every conference guest leaves."""
        for guest in self.guests:
            guest.end = at
        self.guests.clear()

    def gone(self, at: int, exit_: str) -> None:
        """The customer is gone before anyone accepted."""
        self.leave(at, exit_)
        self.fail(at)
        self.end_bot(at)

    # -- acceptances ---------------------------------------------------------------------------------------------------

    def accept(self, x: e.Event, *, timed: bool = True) -> None:
        """A person accepts: the wait is answered, a handover is taken, a touch begins or goes on."""
        representative, at = x.representative, x.at
        if any(g.representative == representative for g in self.guests):
            return
        if self.main is not None:
            if self.main.representative == representative:
                self.retrieve(at)
                return
            self.dismiss(at)
            self.release(at)
        queue = self.answer(x)
        for callback in self.record.callbacks:
            callback.state = "connected"
        self.end_bot(at)
        handover = self.taken(representative, at, parked=self.parked)
        self.left, self.released, self.parked = None, False, False
        self.accepts += 1
        if handover is None:
            self.resume(at)
            return
        touch = Touch(representative, x.team, queue, [at, 0], self.accepts - 1, handover, [], timed)
        if handover >= 0:
            self.record.handovers[handover].touch = len(self.record.touches)
        self.record.touches.append(touch)
        self.main = self.last = touch

    def answer(self, x: e.Event) -> str:
        """The open entry is answered, or the one that ended in a no-show now served; returns the queue that brought it."""
        entry, entries = self.entry, self.record.entries
        if entry is not None:
            entry.end, entry.exit = x.at, "answered"
            self.entry = None
            return entry.queue
        if entries and entries[-1].exit == NO_SHOW and entries[-1].group == self.accepts:
            entries[-1].exit = "answered"
            return entries[-1].queue
        return x.queue or (entries[-1].queue if entries else "")

    def taken(self, representative: str, at: int, *, parked: bool) -> int | None:
        """Which handover this acceptance completes: its index, -1 for none, None when the same touch is resumed."""
        handovers, last, pending = self.record.handovers, self.last, self.pending
        if pending is not None:
            self.pending = None
            pending.settled_at = at
            escalation = pending.kind == "escalation"
            if not escalation and last is not None and last.representative == representative:
                pending.outcome = "returned"
                return None
            pending.outcome = "accepted"
            if last is None or not escalation:
                return next(i for i, h in enumerate(handovers) if h is pending)
            pending.touch = self.index(last) if last.representative == representative else len(self.record.touches)
        visit = self.record.channel == "visit"
        if last is not None and last.representative == representative:
            if not visit and not parked:
                sender = self.index(last)
                handovers.append(Handover("reroute", at, sender=sender, outcome="returned", settled_at=at, touch=sender))
            return None
        if last is not None:
            kind = "next_service" if visit else "reroute"
            handovers.append(Handover(kind, at, sender=self.index(last), outcome="accepted", settled_at=at))
        elif self.record.bots:
            bot = self.record.bots[-1]
            handovers.append(
                Handover(
                    "escalation",
                    at,
                    from_team=bot.team,
                    from_bot=bot.representative,
                    outcome="accepted",
                    settled_at=at,
                ),
            )
        else:
            return -1
        return len(handovers) - 1

    def resume(self, at: int) -> None:
        """The last touch goes on: another span of the same touch, no new moment."""
        if self.last is not None:
            self.last.spans += (at, 0)
            self.last.wrapped_up_at = 0
            self.main = self.last

    def introduce(self, at: int) -> None:
        """The inviter leaves and the earliest guest who is still there stays: an introduced handover."""
        guest = self.guests.pop(0)
        self.record.guests.remove(guest)
        sender = self.index(self.main)
        self.release(at, transferred=True)
        handover = Handover("introduced", at, sender=sender, outcome="accepted", settled_at=at, touch=len(self.record.touches))
        self.record.handovers.append(handover)
        touch = Touch(guest.representative, guest.team, guest.queue, [guest.start, 0], -1, len(self.record.handovers) - 1)
        self.record.touches.append(touch)
        self.main = self.last = touch
        self.accepts += 1
        self.left = None


def expired(handover: Handover, at: int) -> None:
    """Nobody took it in time; where the publisher shows only queues and none followed, it left what Karar sees."""
    if handover.queues_only and handover.sender >= 0 and not handover.entry_queue:
        handover.kind, handover.outcome, handover.settled_at = "external", "accepted", handover.at
    else:
        handover.outcome, handover.settled_at = "expired", at
