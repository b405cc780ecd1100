"""Events to interaction: the fold of one interaction's set of events, in their order (docs/counting.md, 1 to 3).

`fold` never raises for data: an event that does not fit the state it meets changes nothing. What depends on the clock is
left open here, with the instant at which it will be presumed; `settle` decides it for a given now.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence, Set
from typing import Final

from msgspec.structs import replace

from schemas import events as e
from schemas.records import (
    Attempt,
    Blocked,
    BotTouch,
    Callback,
    Consult,
    Drop,
    Entry,
    Guest,
    Handover,
    Interaction,
    Missed,
    Touch,
    Work,
)
from streams.core.identity import Identity, interaction_key, is_known

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

RING, QUEUE, TALK, HOLD, PENDING, OVER = "ring", "queue", "talk", "hold", "pending", "over"
LIMITS: Final[dict[str, dict[str, int]]] = {
    "call": {RING: 5 * MINUTE, QUEUE: 2 * HOUR, TALK: 8 * HOUR, HOLD: 8 * HOUR, PENDING: 10 * MINUTE},
    "visit": dict.fromkeys((RING, QUEUE, TALK, HOLD), 14 * HOUR) | {PENDING: 2 * HOUR},
    "chat": dict.fromkeys((RING, QUEUE, TALK, HOLD), 24 * HOUR) | {PENDING: 2 * HOUR},
    "email": dict.fromkeys((RING, QUEUE, TALK, HOLD), 30 * DAY) | {PENDING: 3 * DAY},
}
LIMITS["video"] = LIMITS["call"]
LIMITS["back_office"] = LIMITS["email"]

ENDED_WAITING: Final = {"lost": "unknown", "closed": "withdrawn", "withdrawn": "withdrawn"}
EXITS: Final = {"timeout": "timeout", "key": "opt_out"}
FAILED_ATTEMPTS: Final = frozenset({"machine", "busy", "no_answer", "dropped"})
UNREACHABLE: Final = frozenset({"unreachable", "busy", "no_answer"})
NOT_LIFECYCLE: Final = frozenset({e.Rated, e.Linked, e.Identified, e.MessageSent, e.Reopened, e.WrappedUp})
AT_A_COUNTER: Final = frozenset({e.Called, e.ServingStarted, e.NoShow, e.Recalled})
ACCEPTS: Final = frozenset({e.Answered, e.ServingStarted, e.Resumed})
BEGINNINGS: Final = frozenset({e.Offered, e.Queued, e.LeftQueue, e.WorkStarted})
WORK: Final = frozenset({e.WorkStarted, e.WorkCompleted})
PRESENCE: Final = frozenset(
    {
        e.Offered, e.Queued, e.LeftQueue, e.Answered, e.Called, e.ServingStarted, e.NoShow, e.Abandoned,
        e.CallbackRequested, e.Recalled, e.Parked, e.Resumed,
    },
)  # fmt: skip
NO_SHOW: Final = "no_show"

Place = tuple[int, int, str]


class Fold:
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
        if self.pending is not None:
            return PENDING
        if self.bot is not None or any(not w.end for w in self.record.works):
            return TALK
        return OVER if self.over else RING

    def expire(self, at: int) -> None:
        """A handover that nobody took within its limit has expired, whatever comes later."""
        pending = self.pending
        if pending is not None and self.entry is None:
            instant = pending.since + LIMITS[self.record.channel][PENDING]
            if at >= instant:
                expired(pending, instant)
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

    def gone(self, at: int, exit_: str, reason: str = "") -> None:
        """The customer is gone before anyone accepted."""
        self.leave(at, exit_, reason)
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
            callback.state = callback.state or "connected"
        self.end_bot(at)
        self.parked = False
        self.left, self.released = None, False
        handover = self.taken(representative, at)
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
        return x.queue

    def taken(self, representative: str, at: int) -> int | None:
        """Which handover this acceptance completes: its index, -1 for none, None when the same touch is resumed."""
        handovers, last, pending = self.record.handovers, self.last, self.pending
        if pending is not None:
            self.pending = None
            pending.settled_at = at
            if last is not None and last.representative == representative:
                pending.outcome = "returned"
                return None
            pending.outcome = "accepted"
            return next(i for i, h in enumerate(handovers) if h is pending)
        if last is not None:
            if last.representative == representative:
                return None
            kind = "next_service" if self.record.channel == "visit" else "reroute"
            handovers.append(Handover(kind, at, sender=self.index(last), outcome="accepted", settled_at=at))
        elif self.record.bots:
            bot = self.record.bots[-1]
            handovers.append(
                Handover(
                    "escalation", at, from_team=bot.team, from_bot=bot.representative, outcome="accepted", settled_at=at,
                ),
            )
        else:
            return -1
        return len(handovers) - 1

    def resume(self, at: int) -> None:
        """The last touch goes on: another span of the same touch, no new moment."""
        if self.last is not None:
            self.last.spans += (at, 0)
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

    # -- one method for each type that means something to the fold ------------------------------------------------------

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
                    "overflow", x.at, from_queue=self.left.queue, to_queue=x.queue, outcome="accepted", settled_at=x.at,
                ),
            )
            self.left = None
        entry = Entry(x.queue, max(x.at, x.appointment_at), self.accepts)
        self.record.entries.append(entry)
        self.entry = entry
        self.parked = self.released = False
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
        last = self.left
        if last is None or last.queue != x.queue or last.reason != x.reason:
            self.record.blocked.append(Blocked(x.queue, x.reason))
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
            self.bot = BotTouch(x.representative, x.team, x.at)
            self.record.bots.append(self.bot)
            self.left = None

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
        sender, kind, bot = self.last, x.kind, self.bot
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
            kind = "escalation" if sender is None else "reroute"
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
        self.left = None
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
        self.gone(x.at, ENDED_WAITING.get(reason, "abandoned"), reason)
        for work in self.record.works:
            work.end = work.end or x.at
        if self.record.direction == "outbound" and not self.record.touches:
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
            if touch.end and x.representative in {"", touch.representative}:
                if not touch.wrapped_up_at and x.at >= touch.end:
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
        self.left = None
        self.over = True

    def park(self, x: e.Parked) -> None:
        """The visit is set aside."""
        if self.main is not None:
            self.dismiss(x.at)
            self.release(x.at)
            self.parked = True

    def resumed(self, x: e.Resumed) -> None:
        """A parked visit goes on, with the same representative or with another one."""
        if self.parked and self.last is not None and x.representative in {"", self.last.representative}:
            self.parked = False
            self.accepts += 1
            self.resume(x.at)
        elif x.representative:
            self.accept(x)

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


ON: Final[dict[type[e.Event], Callable[[Fold, e.Event], None]]] = {
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
}  # type: ignore[dict-item]  # each method takes the event type that it stands beside


def fold(key: str, version: int, events: Sequence[e.Event], resets: Sequence[Place], identity: Identity) -> tuple[Interaction, str]:
    """The interaction that a set of events tells of, and the key of the customer whose chain it joins.

    ``events``: the current revision of each, in order, at least one. ``resets``: the source's publisher-wide resets, sorted.
    """
    record, customer = common(key, version, events, identity)
    state = Fold(record)
    last: e.Event | None = None
    for x in events:
        kind = type(x)
        if kind not in NOT_LIFECYCLE:
            last = x
            if state.pending is not None:
                state.expire(x.at)
        apply = ON.get(kind)
        if apply is not None:
            apply(state, x)
    close(state, last or events[-1], resets)
    return record, customer


def close(state: Fold, last: e.Event, resets: Sequence[Place]) -> None:
    """Notes until when the interaction is active: its end, or the instant at which it will be presumed over."""
    record, phase = state.record, state.phase
    record.phase = phase
    record.over = phase == OVER
    record.accepts = state.accepts
    record.active_until = last.at
    if phase == OVER:
        if record.handovers:
            record.active_until = max(last.at, max(h.settled_at for h in record.handovers))
        return
    since = state.pending.since if phase == PENDING and state.pending is not None else last.at
    record.active_until = since + LIMITS[record.channel][phase]
    place = bisect_right(resets, (last.at, last.sequence, last.id))
    if place < len(resets):
        record.active_until = min(record.active_until, resets[place][0])


def common(key: str, version: int, events: Sequence[e.Event], identity: Identity) -> tuple[Interaction, str]:
    """What the events say of the whole interaction: channel, direction, customer, case, start, presence."""
    channel = direction = segment = need = case_id = ""
    identifiers: dict[str, str] = {}
    linked: list[str] = []
    counter = work = False
    first: e.Event | None = None
    kinds = set()
    for x in events:
        kind = type(x)
        kinds.add(kind)
        if first is None and kind not in NOT_LIFECYCLE:
            first = x
        channel = channel or x.channel
        direction = direction or x.direction
        segment = x.segment or segment
        need = x.need or need
        case_id = x.case_id or case_id
        if x.identifiers:
            for name, value in x.identifiers.items():
                if not identity.is_blocked(value):
                    identifiers[name] = value
        if kind is e.Linked:
            linked.append(interaction_key(x.source, x.to_interaction_id))  # type: ignore[attr-defined]
    first = first or events[0]
    direction = direction or "inbound"
    present = is_present(kinds, events, direction)
    if not channel:
        counter, work = not kinds.isdisjoint(AT_A_COUNTER), not kinds.isdisjoint(WORK)
        channel = "visit" if counter else "back_office" if work and not present else "call"
    record = Interaction(
        key, version, first.at, first.sequence, channel, direction, over=False, active_until=0,
        present=present and channel != "back_office", identified=is_known(identifiers), case_id=case_id,
        segment=segment, need=need, linked=linked,
        orphan=kinds.isdisjoint(BEGINNINGS) and any(x.queue for x in events),
    )  # fmt: skip
    return record, identity.customer_key(identifiers, case_id, key)


def is_present(kinds: Set[type[e.Event]], events: Sequence[e.Event], direction: str) -> bool:
    """Whether the customer was there: what makes an interaction a contact."""
    if direction == "outbound":
        return any(type(x) in ACCEPTS and x.actor == "human" for x in events)
    return not kinds.isdisjoint(PRESENCE) or any(type(x) is e.MessageSent and x.by == "customer" for x in events)  # type: ignore[attr-defined]


def settle(record: Interaction, now: int, join_limit: int = 10_000) -> Interaction:
    """The interaction as it stands at ``now``: over by presumption, or by the expiry of a pending handover, where that is due.

    Returns the record itself where nothing is due; never changes it.
    """
    if record.over or now < record.active_until:
        return record
    at = record.active_until
    end = {"over": True, "presumed": "" if record.phase == PENDING else record.phase}
    settled = replace(record, **end, handovers=[replace(h) for h in record.handovers])
    for handover in settled.handovers:
        if not handover.outcome:
            expired(handover, at)
    if record.phase != PENDING:
        settled.entries = [x if x.end else replace(x, end=at, exit="unknown") for x in record.entries]
        settled.touches = [t if t.end else unobserved(t, at) for t in record.touches]
        settled.guests = [g if g.end else replace(g, end=at, observed=False) for g in record.guests]
        settled.works = [w if w.end else replace(w, end=at) for w in record.works]
    settled.bots = [b if b.end else replace(b, end=at) for b in record.bots]
    return settled


def unobserved(touch: Touch, at: int) -> Touch:
    """A touch whose end nobody saw."""
    holds = [*touch.holds[:-1], at] if touch.holds and not touch.holds[-1] else touch.holds
    return replace(touch, spans=[*touch.spans[:-1], at], holds=holds, observed=False)


def expired(handover: Handover, at: int) -> None:
    """Nobody took it in time; where the publisher shows only queues and none followed, it left what Karar sees."""
    if handover.queues_only and not handover.entry_queue:
        handover.kind, handover.outcome, handover.settled_at = "external", "accepted", handover.at
    else:
        handover.outcome, handover.settled_at = "expired", at
