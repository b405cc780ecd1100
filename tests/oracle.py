"""The second writing of docs/counting.md: slow, obvious, from the whole set of events each time.

Imports nothing of `streams` (and msgspec for one thing: the content of a revision): what both say is believed, what only one
says is a defect of either. Quotations in docstrings are
the rules they implement; "law" is METRICS.md. Instants and lengths are integers in ms, scores are fractions.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec

from schemas import events as ev
from schemas.events import Event, ordered

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

TRANSFERS = ("blind", "consult", "introduced", "requeue", "external")
TIE_ORDER = ("unserved", "wait", "hold", "handover", "gap", "touch")
KNOWN_BY = ("customer", "account", "email", "phone", "device")  # from the strongest; a ticket knows no customer
BLOCKED = frozenset({"", "anonymous", "unknown", "restricted", "<unknown>", "unavailable", "private"})
NOT_LIFECYCLE = (ev.Rated, ev.Linked, ev.Identified, ev.MessageSent, ev.Reopened, ev.WrappedUp)
PRESENT = (
    ev.Offered,
    ev.Queued,
    ev.LeftQueue,
    ev.Answered,
    ev.Called,
    ev.ServingStarted,
    ev.NoShow,
    ev.Abandoned,
    ev.CallbackRequested,
    ev.Recalled,
    ev.Parked,
    ev.Resumed,
)
FAILED_ATTEMPTS = ("machine", "busy", "no_answer", "dropped")
UNREACHABLE = ("unreachable", "busy", "no_answer")
LEFT_EXITS = ("timeout", "opt_out", "withdrawn")
ABANDON_EXITS = ("abandoned", "no_show")

# Section 8: upper bounds, inclusive, in the unit of the observations.
SECONDS_BOUNDS = tuple(
    s * SECOND for s in (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
)
CHAIN_BOUNDS = tuple(
    s * SECOND for s in (10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 28800, 86400, 172800, 259200, 604800, 1209600, 2592000)
)
COUNT_BOUNDS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
RATIO_BOUNDS = tuple(range(0, 1001, 100))
BOUNDS: dict[str, tuple[int, ...]] = {
    "wait_seconds": SECONDS_BOUNDS,
    "abandon_wait_seconds": SECONDS_BOUNDS,
    "contact_wait_seconds": SECONDS_BOUNDS,
    "talk_seconds": SECONDS_BOUNDS,
    "hold_seconds": SECONDS_BOUNDS,
    "wrap_up_seconds": SECONDS_BOUNDS,
    "chain_experience_seconds": CHAIN_BOUNDS,
    "chain_resolution_seconds": CHAIN_BOUNDS,
    "moments_per_chain": COUNT_BOUNDS,
    "transfers_per_chain": COUNT_BOUNDS,
    "representatives_per_chain": COUNT_BOUNDS,
    "link_score_ratio": RATIO_BOUNDS,
    "chain_score_ratio": RATIO_BOUNDS,
}

Key = tuple[int, int, str]  # (at, sequence, id)


def _wait_targets() -> dict[str, int]:
    return {
        "call": 20 * SECOND,
        "video": 20 * SECOND,
        "visit": 600 * SECOND,
        "chat": 60 * SECOND,
        "email": 24 * HOUR,
        "back_office": 3 * DAY,
    }


def _phase_limits() -> dict[str, dict[str, int]]:
    spoken = {"hold": 8 * HOUR, "talk": 8 * HOUR, "queue": 2 * HOUR, "ring": 5 * MINUTE}
    always = {"visit": 14 * HOUR, "chat": 24 * HOUR, "email": 30 * DAY, "back_office": 30 * DAY}
    return {"call": spoken, "video": spoken} | {c: dict.fromkeys(spoken, limit) for c, limit in always.items()}


def _pending_limits() -> dict[str, int]:
    return {
        "call": 10 * MINUTE,
        "video": 10 * MINUTE,
        "visit": 2 * HOUR,
        "chat": 2 * HOUR,
        "email": 3 * DAY,
        "back_office": 3 * DAY,
    }


@dataclass(frozen=True)
class Rules:
    """Targets and settings: the defaults of section 9 and the values that counting.md names."""

    team_of_representative: dict[str, str] = field(default_factory=dict)
    team_of_queue: dict[str, str] = field(default_factory=dict)
    blocked: frozenset[str] | set[str] = frozenset()  # besides the built-in ones
    wait_target: dict[str, int] = field(default_factory=_wait_targets)  # by channel
    hold_target: int = 60 * SECOND
    transfers_target: int = 1
    short: int = 10 * SECOND
    join: int = 10 * SECOND
    phase_limit: dict[str, dict[str, int]] = field(default_factory=_phase_limits)
    pending_limit: dict[str, int] = field(default_factory=_pending_limits)
    chain_gap: int = 24 * HOUR
    case_gap: int = 30 * DAY
    excessive: int = 3
    excessive_window: int = 24 * HOUR
    wrap_up_limit: int = 15 * MINUTE
    max_events: int = 1000
    max_links: int = 1000


DEFAULTS = Rules()


# ---------------------------------------------------------------------------------------------------- what an interaction is made of


@dataclass(eq=False)
class Entry:
    """One stay in one waiting line."""

    queue: str
    start: int  # max(at, appointment_at)
    stage: str
    accepts_before: int  # human accepts of the contact before it (none while it is open): equal ones are one joined wait
    called_at: int | None = None
    exit: str = ""  # empty: still open
    exit_at: int | None = None
    wait: int = 0
    left: bool = False  # ended as left, explicitly or implicitly: another entry makes it an overflow
    left_reason: str = ""  # of the left_queue event that ended it
    accepted_then: int = 0  # touches (human or bot) accepted by the contact when it ended
    ended_then: int = 0  # `ended` events of the contact when it ended
    known: bool = True  # its length was observed


@dataclass(eq=False)
class Touch:
    """One responder with the customer: a main touch, a conference guest or a bot."""

    representative: str
    team: str
    spans: list[list[int | None]]
    queue: str = ""  # that brought it: its entry's, else the event's
    timed: bool = True
    observed: bool = True
    holds: list[list[int | None]] = field(default_factory=list)
    waited: int = -1  # the human accepts before it: of the joined wait that led to it; -1: none
    handover: "Handover | None" = None  # that it accepted
    ended_by: str = ""  # release, transfer, presumed
    entries_then: int = 0  # entries of the contact when it ended
    accepted_then: int = 0
    wrapped_up_at: int | None = None

    @property
    def start(self) -> int:
        """The accept."""
        start = self.spans[0][0]
        assert start is not None
        return start

    @property
    def end(self) -> int | None:
        """The last release; None while open."""
        return self.spans[-1][1]

    @property
    def on_hold(self) -> bool:
        """A hold runs."""
        return bool(self.holds) and self.holds[-1][1] is None

    @property
    def hold(self) -> int:
        """All of its holds that have ended."""
        return total_length(self.holds)

    @property
    def talk(self) -> int:
        """Spans − holds."""
        return total_length(self.spans) - total_length(self.holds)


@dataclass(eq=False)
class Handover:
    """One passing on of the contact. Outcome is empty while it is pending."""

    kind: str
    sender: Touch | None
    from_team: str
    at: int
    to_team: str = ""
    to_representative: str = ""
    to_queue: str = ""
    queues_only: bool = False
    outcome: str = ""
    settled_at: int = 0
    accepts_then: int = 0  # human accepts of the contact when it was settled
    receiver: Touch | None = None
    entry: Entry | None = None  # the last queue entry that waited with it


@dataclass(eq=False)
class Work:
    """One piece of work without the customer."""

    representative: str
    team: str
    start: int
    end: int | None = None


@dataclass(eq=False)
class Callback:
    """One callback that the customer asked for."""

    queue: str
    in_target: bool
    outcome: str = ""  # at most one: connected or unreachable


@dataclass(eq=False)
class Interaction:
    """The fold of the events of one (source, interaction_id)."""

    key: str
    source: str
    interaction_id: str
    events: list[Event]
    resets: list[Key]  # of its source, in order
    rules: Rules
    channel: str = ""
    direction: str = ""
    segment: str = ""
    need: str = ""
    case_id: str = ""
    identifiers: dict[str, str] = field(default_factory=dict)
    present: bool = False
    start: int = 0
    sequence: int = 0

    entry: Entry | None = None
    entries: list[Entry] = field(default_factory=list)
    main: Touch | None = None
    mains: list[Touch] = field(default_factory=list)
    guests: list[Touch] = field(default_factory=list)  # present now
    joins: list[Touch] = field(default_factory=list)  # that did not become main
    bot: Touch | None = None
    bots: list[Touch] = field(default_factory=list)
    pending: Handover | None = None
    handovers: list[Handover] = field(default_factory=list)
    parked: Touch | None = None
    blocked_at: list[int] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    said_over: bool = False  # *over* of section 2: 'set where said below and stays set'
    last: Key | None = None  # of the last lifecycle event

    human_accepts: int = 0  # resumed ones too
    accepts: int = 0  # human and bot
    endings: int = 0  # `ended` events
    contact_wait: int | None = None
    attempt: tuple[str, str] | None = None  # (team, result) of an outbound attempt that failed
    expired_at: int = 0
    over: bool = False  # by now: said, and nothing is open
    presumed: str = ""  # the phase that was presumed ended
    active_until: int = 0
    booked: Counter[tuple] = field(default_factory=Counter)  # what is counted at once when it happens

    def book(self, name: str, *labels: str) -> None:
        """One more of this series."""
        self.booked[(name, *labels)] += 1


def total_length(spans: list[list[int | None]]) -> int:
    """The sum of the closed spans."""
    return sum(end - start for start, end in spans if start is not None and end is not None)


# ---------------------------------------------------------------------------------------------------- section 1: the event set


def content(event: Event) -> bytes:
    """'Content is everything but `sequence`, as JSON with sorted keys and without defaults'."""
    return msgspec.json.encode(msgspec.structs.replace(event, sequence=0), order="sorted")


def bounded(events: Iterable[Event], rules: Rules) -> list[Event]:
    """'At most 1,000 events of an interaction …: lifecycle events before others, of both the first in order, of equal ones the highest'."""
    groups: dict[tuple[str, str], dict[tuple[str, bytes], Event]] = {}
    for event in events:
        name = "" if isinstance(event, ev.Reset) else f"/{event.interaction_id}"
        group, place = groups.setdefault((event.source, name), {}), (event.id, content(event))
        if place not in group or event.sequence < group[place].sequence:
            group[place] = event
    kept: list[Event] = []
    for (_, name), group in groups.items():
        highest_first = sorted(group.values(), key=lambda e: (e.revision, e.updated_at, content(e)), reverse=True)
        in_order = sorted(highest_first, key=lambda e: (isinstance(e, NOT_LIFECYCLE), ordered(e)))
        kept += in_order[: rules.max_events] if name else in_order
    return kept


def selected(events: Iterable[Event]) -> list[Event]:
    """'Within an interaction, of one id the highest revision is folded'; of equal contents the smallest sequence."""
    by_id: dict[tuple[str, str, str], list[Event]] = {}
    for event in events:
        by_id.setdefault((event.source, event.interaction_id, event.id), []).append(event)
    return [same[0] if len(same) == 1 else highest(same) for same in by_id.values()]


def highest(same: list[Event]) -> Event:
    """'Ordered by (`revision`, `updated_at`, content)'; 'the same content again is a duplicate; it keeps the smallest `sequence`'."""
    best = max((e.revision, e.updated_at, content(e)) for e in same)
    equal = [e for e in same if (e.revision, e.updated_at, content(e)) == best]
    return min(equal, key=lambda e: e.sequence)


def interaction_key(source: str, interaction_id: str) -> str:
    """The name of an interaction, for ties."""
    return f"{source}\x1f{interaction_id}"


def is_blocked(value: str, rules: Rules) -> bool:
    """Blocked: empty, anonymous, … (any case, trimmed), and configured values."""
    plain = value.strip().lower()
    return plain in BLOCKED or plain in {b.strip().lower() for b in rules.blocked}


def is_presence(event: Event, direction: str) -> bool:
    """The customer is there: …; but for direction=outbound only answered by a human counts as presence."""
    if direction == "outbound":
        return isinstance(event, ev.Answered) and event.actor == "human"
    if isinstance(event, ev.MessageSent):
        return event.by == "customer"
    return isinstance(event, PRESENT)


def is_known(c: Interaction) -> bool:
    """'Identified': it has an identifier of kind customer, account, email, phone or device that is not blocked."""
    return any(kind in c.identifiers for kind in KNOWN_BY)


def first_of(values: Iterable[str], default: str) -> str:
    """The first that is not empty."""
    return next((v for v in values if v), default)


def set_common_fields(c: Interaction) -> None:
    """Section 1, common fields: 'channel and direction are the first non-empty in order …; segment, need, case_id the last'."""
    backwards = c.events[::-1]
    c.direction = first_of((e.direction for e in c.events), "inbound")
    c.present = any(is_presence(e, c.direction) for e in c.events)
    default = "call"
    if any(isinstance(e, ev.Called | ev.ServingStarted | ev.NoShow | ev.Recalled) for e in c.events):
        default = "visit"
    elif any(isinstance(e, ev.WorkStarted | ev.WorkCompleted) for e in c.events) and not c.present:
        default = "back_office"
    c.channel = first_of((e.channel for e in c.events), default)
    c.segment = first_of((e.segment for e in backwards), "none")
    c.need = first_of((e.need for e in backwards), "unknown")
    c.case_id = first_of((e.case_id for e in backwards), "")
    for event in c.events:
        c.identifiers.update({k: v for k, v in event.identifiers.items() if not is_blocked(v, c.rules)})
    first = next((e for e in c.events if not isinstance(e, NOT_LIFECYCLE)), c.events[0])
    c.start, c.sequence = first.at, first.sequence


# ---------------------------------------------------------------------------------------------------- section 4: teams


def queue_team(queue: str, rules: Rules) -> str:
    """'Queue's team: configured, else the queue's name.' Nothing for no queue."""
    return rules.team_of_queue.get(queue, queue)


def responder_team(event: Event, representative: str, queue: str, rules: Rules) -> str:
    """Published on the accepting event; else configured; else the team of the queue that brought it; else unknown."""
    return event.team or rules.team_of_representative.get(representative, "") or queue_team(queue, rules) or "unknown"


def asked_team(to_team: str, to_representative: str, to_queue: str, rules: Rules) -> str:
    """'`to_team`, configured team of `to_representative`, team of `to_queue`'; empty if none of them."""
    return to_team or rules.team_of_representative.get(to_representative, "") or queue_team(to_queue, rules)


def receiver_team(handover: Handover, rules: Rules) -> str:
    """'Accepted → the accepting touch's team; else …; else team of the queue entry waiting with it; else unknown'."""
    if handover.receiver is not None:
        return handover.receiver.team
    asked = asked_team(handover.to_team, handover.to_representative, handover.to_queue, rules)
    waiting = queue_team(handover.entry.queue, rules) if handover.entry is not None else ""
    return asked or waiting or "unknown"


# ---------------------------------------------------------------------------------------------------- section 2: steps of the fold


def no_series(c: Interaction) -> bool:
    """No queue series … for direction outbound or callback."""
    return c.direction != "inbound"


def end_hold(c: Interaction, at: int) -> None:
    """A hold that runs ends."""
    if c.main is not None and c.main.on_hold:
        c.main.holds[-1][1] = at


def end_main(c: Interaction, at: int, by: str) -> None:
    """Main is released (or transferred, or presumed ended) at `at`, its hold with it, and 'the guests leave with it'."""
    close_main(c, at, by)
    for guest in c.guests:
        guest.spans[-1][1] = at
    c.guests = []


def close_main(c: Interaction, at: int, by: str) -> None:
    """Main alone: as `end_main`, and with an introduction, where the guests stay."""
    if c.main is None:
        return
    end_hold(c, at)
    c.main.spans[-1][1] = at
    c.main.ended_by = by
    c.main.entries_then, c.main.accepted_then = len(c.entries), c.accepts
    c.main = None


def end_bot(c: Interaction, at: int) -> None:
    """The open bot touch ends."""
    if c.bot is not None:
        c.bot.spans[-1][1] = at
        c.bot = None


def exit_entry(c: Interaction, event: Event, reason: str, *, left: bool = False, left_reason: str = "") -> None:
    """The open entry gets its one exit; 'its wait ends at its first call if it was called, else at `at`'."""
    entry = c.entry
    if entry is None:
        return
    entry.exit = reason
    entry.exit_at = event.at
    entry.wait = wait_of(entry, event.at)
    entry.left, entry.left_reason = left, left_reason
    entry.accepted_then, entry.ended_then = c.accepts, c.endings
    c.entry = None


def wait_of(entry: Entry, at: int) -> int:
    """How long the entry has waited at `at`; never negative (an appointment not yet due)."""
    return max(0, (entry.called_at if entry.called_at is not None else at) - entry.start)


def settle(c: Interaction, handover: Handover, outcome: str, at: int, receiver: Touch | None = None) -> None:
    """A handover gets its outcome."""
    handover.outcome, handover.settled_at, handover.receiver = outcome, at, receiver
    handover.accepts_then = c.human_accepts
    if c.pending is handover:
        c.pending = None


def expire(c: Interaction, at: int) -> None:
    """'Expired with `queues_only`, sent by a representative, and no entry since the transfer: `external`, accepted.' *over*."""
    handover = c.pending
    if handover is None:
        return
    if handover.queues_only and handover.kind != "escalation" and handover.entry is None:
        handover.kind = "external"
        settle(c, handover, "accepted", handover.at)
    else:
        settle(c, handover, "expired", at)
    c.said_over = True
    c.expired_at = at


def own_limit(c: Interaction) -> int | None:
    """When the pending handover expires by itself: 'pending since + …', since 'the later of the transfer and the exit of the last entry'.

    None where none is pending, and while an entry or main is open.
    """
    handover = c.pending
    if handover is None or c.entry is not None or c.main is not None:
        return None
    since = handover.at
    if handover.entry is not None and handover.entry.exit_at is not None:
        since = max(since, handover.entry.exit_at)
    return since + c.rules.pending_limit[c.channel]


def expire_before(c: Interaction, event: Event) -> None:
    """'… or when a later lifecycle event comes at or after that instant (then it expired, and what comes finds no pending handover)'."""
    instant = own_limit(c)
    if instant is not None and event.at >= instant:
        expire(c, instant)


def new_handover(c: Interaction, event: Event, kind: str, sender: Touch | None, from_team: str) -> Handover:
    """A handover begins at the event; whom it asks is the event's if it is a transfer."""
    handover = Handover(kind=kind, sender=sender, from_team=from_team, at=event.at)
    if isinstance(event, ev.Transferred):
        handover.to_team, handover.to_representative, handover.to_queue = event.to_team, event.to_representative, event.to_queue
        handover.queues_only = event.queues_only
    c.handovers.append(handover)
    return handover


# ---------------------------------------------------------------------------------------------------- section 2: one function per event


def queued(c: Interaction, event: ev.Queued) -> None:
    """The customer entered a waiting line."""
    end_main(c, event.at, "release")
    if c.entry is not None:
        if c.entry.queue == event.queue:
            return  # 'An open entry of the same queue: ignored.'
        exit_entry(c, event, "withdrawn", left=True)  # implicitly left; becomes an overflow below
    last = c.entries[-1] if c.entries else None
    entry = Entry(
        queue=event.queue,
        start=max(event.at, event.appointment_at),
        stage="transfer" if c.mains else "queue",
        accepts_before=c.human_accepts,
    )
    # 'If the contact's last entry ended as left and since then neither a touch was accepted nor an `ended` happened: overflow.'
    if last is not None and last.left and last.accepted_then == c.accepts and last.ended_then == c.endings:
        last.exit = "overflow"
        overflow = new_handover(c, event, "overflow", None, queue_team(last.queue, c.rules))
        overflow.to_team = queue_team(event.queue, c.rules)
        settle(c, overflow, "accepted", event.at)
    c.entry = entry
    c.entries.append(entry)
    if c.pending is not None:
        c.pending.entry = entry  # 'A pending handover stays pending and waits with the entry.'


def left_queue(c: Interaction, event: ev.LeftQueue) -> None:
    """The customer left a waiting line or was turned away."""
    exits = {"timeout": "timeout", "key": "opt_out"}
    if c.entry is not None:
        if c.entry.queue != event.queue:
            return
        exit_entry(c, event, exits.get(event.reason, "withdrawn"), left=True, left_reason=event.reason)
        c.said_over = True
        return
    last = c.entries[-1] if c.entries else None
    if last is not None and last.queue == event.queue and last.left_reason == event.reason and last.accepts_before == c.human_accepts:
        return  # 'One fact, ignored': an `ended` or a bot in between does not matter
    c.book("contacts_blocked_total", c.channel, event.queue, event.reason)
    c.blocked_at.append(event.at)
    c.said_over = True


def missed(c: Interaction, event: ev.Missed) -> None:
    """'One missed offer; queue = the event's, else the open entry's'."""
    queue = event.queue or (c.entry.queue if c.entry is not None else "")
    team = responder_team(event, event.representative, queue, c.rules)
    c.book("missed_offers_total", c.channel, queue or "none", team)


def accept(c: Interaction, event: Event, representative: str) -> None:
    """The five steps of *accept*."""
    # 1.
    if any(g.representative == representative for g in c.guests):
        return
    if c.main is not None:
        if c.main.representative == representative:
            end_hold(c, event.at)
            return
        end_main(c, event.at, "release")
    # 2. and 3.
    entry = answered_entry(c, event)
    for callback in c.callbacks:
        callback.outcome = "connected"  # 'an earlier unreachable is no longer true'
    # 4.
    accepted_touch(c, event, representative, entry)
    # 5.
    end_bot(c, event.at)
    c.parked = None
    c.human_accepts += 1
    c.accepts += 1


def answered_entry(c: Interaction, event: Event) -> Entry | None:
    """The open entry is answered … 'the last entry ended as no_show …, nobody accepted since: answered with the wait it had'."""
    entry = c.entry
    if entry is not None:
        exit_entry(c, event, "answered")
        return entry
    last = c.entries[-1] if c.entries else None
    if last is not None and last.exit == "no_show" and last.accepts_before == c.human_accepts:
        last.exit = "answered"
        return last
    return None


def accepted_touch(c: Interaction, event: Event, representative: str, entry: Entry | None) -> None:
    """Accept, step 4: which touch this is, and which handover brought it."""
    pending = c.pending
    last = c.mains[-1] if c.mains else None
    if pending is not None and pending.kind != "escalation" and pending.sender is not None:
        if pending.sender.representative == representative:
            settle(c, pending, "returned", event.at)
            resume(c, pending.sender, event.at)
            return
        touch = new_touch(c, event, representative, entry)
        touch.handover = pending
        settle(c, pending, "accepted", event.at, touch)
        return
    # A bot's handover brings the contact to whoever accepts; the law's invariant (moments = contacts + handovers from person to
    # person) wants a handover between the persons as well when a person had it before.
    if last is not None and last.representative == representative:
        if c.parked is None and c.channel != "visit":
            settle(c, new_handover(c, event, "reroute", last, last.team), "returned", event.at, last)
        resume(c, last, event.at)
        touch = last
    else:
        touch = new_touch(c, event, representative, entry)
        if last is not None:
            kind = "next_service" if c.channel == "visit" else "reroute"
            touch.handover = new_handover(c, event, kind, last, last.team)
            settle(c, touch.handover, "accepted", event.at, touch)
    if pending is not None:
        settle(c, pending, "accepted", event.at, touch)
    elif last is None and c.bots:
        escalation = new_handover(c, event, "escalation", c.bots[-1], c.bots[-1].team)
        settle(c, escalation, "accepted", event.at, touch)


def resume(c: Interaction, touch: Touch, at: int) -> None:
    """A resumed touch is one touch with several spans."""
    touch.spans.append([at, None])
    touch.ended_by = ""
    touch.wrapped_up_at = None  # 'an earlier wrapped_up of it no longer counts'
    c.main = touch


def new_touch(c: Interaction, event: Event, representative: str, entry: Entry | None) -> Touch:
    """A new main touch; the first one notes 'the sum of the waits' before it."""
    queue = entry.queue if entry is not None else event.queue or (c.entries[-1].queue if c.entries else "")
    touch = Touch(
        representative=representative,
        team=responder_team(event, representative, queue, c.rules),
        spans=[[event.at, None]],
        queue=queue,
        timed=event.timed if isinstance(event, ev.Answered) else True,
        waited=c.human_accepts,
    )
    if not c.mains and c.entries:
        c.contact_wait = sum(e.wait for e in c.entries)
    c.mains.append(touch)
    c.main = touch
    return touch


def answered_by_bot(c: Interaction, event: ev.Answered) -> None:
    """Ignored while main is open. The same bot open: nothing. Otherwise … a new bot touch begins. It ends no entry, no handover."""
    if c.main is not None:
        return
    if c.bot is not None and c.bot.representative == event.representative:
        return
    end_bot(c, event.at)
    team = event.team or c.rules.team_of_representative.get(event.representative, "") or "unknown"
    c.bot = Touch(representative=event.representative, team=team, spans=[[event.at, None]], timed=event.timed)
    c.bots.append(c.bot)
    c.accepts += 1


def held(c: Interaction, event: ev.Held | ev.Retrieved) -> None:
    """'Begin / end a hold of main (if `representative` is given and is not main's: ignored)'."""
    if c.main is None:
        return
    if event.representative and event.representative != c.main.representative:
        return
    if isinstance(event, ev.Held):
        begin_hold(c, event.at)
    else:
        end_hold(c, event.at)


def begin_hold(c: Interaction, at: int) -> None:
    """A hold begins if none runs."""
    if c.main is not None and not c.main.on_hold:
        c.main.holds.append([at, None])


def consulted(c: Interaction, event: ev.Consulted) -> None:
    """'(Main open): one consult from main's team to the team asked; a hold begins if none runs'."""
    if c.main is None:
        return
    to_team = asked_team(event.to_team, event.to_representative, event.to_queue, c.rules) or "unknown"
    c.book("consults_total", c.main.team, to_team)
    begin_hold(c, event.at)


def transferred(c: Interaction, event: ev.Transferred) -> None:
    """The contact was passed on; who the sender is decides."""
    last = c.mains[-1] if c.mains else None
    if c.main is not None:
        transferred_by_main(c, event, c.main)
    elif c.bot is not None or (event.actor == "bot" and c.bots):
        end_bot(c, event.at)
        if c.pending is None:  # 'A second transfer by a bot while a handover is pending: the bot touch ends, nothing else.'
            begin_pending(c, event, "escalation", c.bots[-1])
    elif (
        c.pending is None
        and last is not None
        and last.ended_by == "release"
        and last.accepted_then == c.accepts
        and last.entries_then == len(c.entries)
    ):
        last.ended_by = "transfer"
        send(c, event, last)
    elif c.entry is not None:
        exit_entry(c, event, "withdrawn", left=True)
        c.said_over = True
    else:
        return  # ignored
    c.parked = None  # 'Parked ends.'


def transferred_by_main(c: Interaction, event: ev.Transferred, main: Touch) -> None:
    """Main ends at `at`. Kind introduced or consult with a guest present: like `left` of main. Other kinds: guests leave."""
    if event.kind in ("introduced", "consult") and c.guests:
        introduce(c, event)
        return
    end_main(c, event.at, "transfer")
    send(c, event, main)


def send(c: Interaction, event: ev.Transferred, sender: Touch) -> None:
    """`external`: accepted at once, *over*. Else pending."""
    if event.kind == "external":
        settle(c, new_handover(c, event, "external", sender, sender.team), "accepted", event.at)
        c.said_over = True
    else:
        begin_pending(c, event, event.kind, sender)


def begin_pending(c: Interaction, event: ev.Transferred, kind: str, sender: Touch) -> None:
    """A handover that nobody has accepted yet; 'the last queue entry that waited with it (since the transfer, or open at a bot's)'."""
    c.pending = new_handover(c, event, kind, sender, sender.team)
    c.pending.entry = c.entry


def introduce(c: Interaction, event: Event) -> None:
    """An `introduced` handover from main to the earliest joined present guest is accepted at `at`; … accepted when it joined."""
    sender = c.main
    assert sender is not None
    close_main(c, event.at, "transfer")
    guest = min(c.guests, key=lambda g: g.start)
    c.guests.remove(guest)
    c.joins.remove(guest)
    handover = new_handover(c, event, "introduced", sender, sender.team)
    handover.queues_only = False
    guest.handover = handover
    settle(c, handover, "accepted", event.at, guest)
    c.mains.append(guest)
    c.main = guest
    c.human_accepts += 1
    c.accepts += 1


def joined(c: Interaction, event: ev.Joined) -> None:
    """'Mode conference, main open, not main's representative, not present: a guest from `at`. Everything else: ignored'."""
    present = {g.representative for g in c.guests}
    if event.mode != "conference" or c.main is None or event.representative in present | {c.main.representative}:
        return
    queue = event.queue or c.main.queue  # 'A guest's queue is the event's, else main's.'
    team = responder_team(event, event.representative, queue, c.rules)
    guest = Touch(representative=event.representative, team=team, spans=[[event.at, None]], queue=queue)
    c.guests.append(guest)
    c.joins.append(guest)


def left(c: Interaction, event: ev.Left) -> None:
    """A guest leaves: its join ends. Main with guests: introduced. Main without: released; *over*. The open bot: ends."""
    guest = next((g for g in c.guests if g.representative == event.representative), None)
    if guest is not None:
        guest.spans[-1][1] = event.at
        c.guests.remove(guest)
    elif c.main is not None and c.main.representative == event.representative:
        if c.guests:
            introduce(c, event)
        else:
            end_main(c, event.at, "release")
            c.said_over = True
    elif c.bot is not None and c.bot.representative == event.representative:
        end_bot(c, event.at)
        c.said_over = True


def abandoned(c: Interaction, event: ev.Abandoned) -> None:
    """Main open → same as ended by the customer. Otherwise the open entry exits as abandoned."""
    if c.main is not None:
        end_contact(c, event, "")
        return
    exit_entry(c, event, "abandoned")
    if c.pending is not None:
        settle(c, c.pending, "abandoned", event.at)
    end_bot(c, event.at)
    c.parked = None
    c.said_over = True


def callback_requested(c: Interaction, event: ev.CallbackRequested) -> None:
    """'The open entry exits as callback. One callback requested (in target if that entry's wait ≤ target)'."""
    entry = c.entry
    exit_entry(c, event, "callback")
    queue = entry.queue if entry is not None else event.queue or "none"
    in_target = entry is not None and entry.wait <= c.rules.wait_target[c.channel]
    c.callbacks.append(Callback(queue=queue, in_target=in_target))
    c.said_over = True


def end_contact(c: Interaction, event: Event, reason: str) -> None:
    """The paragraph of `ended`."""
    c.endings += 1
    if c.main is not None:
        if reason == "lost":
            c.book("contacts_dropped_total", c.channel, c.main.team, "hold" if c.main.on_hold else "talk")
        end_main(c, event.at, "release")
    exit_entry(c, event, {"lost": "unknown", "closed": "withdrawn", "withdrawn": "withdrawn"}.get(reason, "abandoned"))
    if c.pending is not None:
        settle(c, c.pending, "abandoned", event.at)
    end_bot(c, event.at)
    c.parked = None
    for work in c.works:
        if work.end is None:
            work.end = event.at
    # 'Outbound without any human touch: an attempt that failed.' Once: the first.
    if c.direction == "outbound" and not c.mains and c.attempt is None:
        team = event.team or c.rules.team_of_representative.get(event.representative, "") or "unknown"
        c.attempt = (team, reason if reason in FAILED_ATTEMPTS else "no_answer")
    for callback in c.callbacks:
        if not callback.outcome and reason in UNREACHABLE:
            callback.outcome = "unreachable"
    c.said_over = True


def wrapped_up(c: Interaction, event: ev.WrappedUp) -> None:
    """Noted for the last ended main touch of that representative (of anyone if not given) that has none yet, if `at` ≥ its end."""
    for touch in reversed(c.mains):
        if touch.end is None or touch.wrapped_up_at is not None or event.representative not in ("", touch.representative):
            continue
        if event.at >= touch.end:
            touch.wrapped_up_at = event.at
        return


def called(c: Interaction, event: ev.Called) -> None:
    """'The open entry's first call'."""
    if c.entry is not None and c.entry.called_at is None:
        c.entry.called_at = event.at


def no_show(c: Interaction, event: ev.NoShow) -> None:
    """The open entry exits as no_show, an abandon. *over*."""
    exit_entry(c, event, "no_show")
    c.said_over = True


def parked(c: Interaction, event: ev.Parked) -> None:
    """Main is released and *parked*. No main: nothing."""
    if c.main is not None:
        c.parked = c.main
        end_main(c, event.at, "release")


def resumed(c: Interaction, event: ev.Resumed) -> None:
    """'Accept by that representative, or, where none is given, by the parked one. Nothing parked and no representative: nothing'."""
    representative = event.representative or (c.parked.representative if c.parked is not None else "")
    if representative:
        accept(c, event, representative)


def work_started(c: Interaction, event: ev.WorkStarted) -> None:
    """An open work by the same representative: nothing; otherwise begins a piece of work."""
    if not any(w.end is None and w.representative == event.representative for w in c.works):
        team = responder_team(event, event.representative, event.queue, c.rules)
        c.works.append(Work(representative=event.representative, team=team, start=event.at))


def work_completed(c: Interaction, event: ev.WorkCompleted) -> None:
    """Ends the open work of that representative (the last begun if not given)."""
    for work in reversed(c.works):
        if work.end is None and event.representative in ("", work.representative):
            work.end = event.at
            break
    c.said_over = True


def apply_event(c: Interaction, event: Event) -> None:  # noqa: C901, PLR0912 - one line per event type
    """One event."""
    if isinstance(event, ev.WrappedUp):
        wrapped_up(c, event)
    if isinstance(event, NOT_LIFECYCLE):
        return
    expire_before(c, event)
    c.last = ordered(event)
    match event:
        case ev.Queued():
            queued(c, event)
        case ev.LeftQueue():
            left_queue(c, event)
        case ev.Missed():
            missed(c, event)
        case ev.Answered(actor="bot"):
            answered_by_bot(c, event)
        case ev.Answered() | ev.ServingStarted():
            accept(c, event, event.representative)
        case ev.Held() | ev.Retrieved():
            held(c, event)
        case ev.Consulted():
            consulted(c, event)
        case ev.Transferred():
            transferred(c, event)
        case ev.Joined():
            joined(c, event)
        case ev.Left():
            left(c, event)
        case ev.Abandoned():
            abandoned(c, event)
        case ev.CallbackRequested():
            callback_requested(c, event)
        case ev.Ended():
            end_contact(c, event, event.reason)
        case ev.Called():
            called(c, event)
        case ev.NoShow():
            no_show(c, event)
        case ev.Parked():
            parked(c, event)
        case ev.Resumed():
            resumed(c, event)
        case ev.WorkStarted():
            work_started(c, event)
        case ev.WorkCompleted():
            work_completed(c, event)
        case _:
            pass  # offered, rang, recalled: phase only


# ---------------------------------------------------------------------------------------------------- section 3: what follows from now


def phase(c: Interaction) -> str:
    """'The first that applies'."""
    if (c.main is not None and c.main.on_hold) or c.parked is not None:
        return "hold"
    if c.main is not None:
        return "talk"
    if c.entry is not None:
        return "queue"
    if c.bot is not None or any(w.end is None for w in c.works):
        return "talk"
    if c.pending is not None:
        return "pending"
    return "over" if c.said_over else "ring"


def presume_end(c: Interaction, instant: int, now_phase: str) -> None:
    """The entry exits as unknown; main, guests, works and bot end, their length not observed; a pending handover expires."""
    c.presumed = now_phase
    if c.entry is not None:
        c.entry.exit, c.entry.known = "unknown", False
        c.entry.wait = wait_of(c.entry, instant)
        c.entry = None
    for touch in [c.main, c.bot, *c.guests]:
        if touch is not None:
            touch.observed = False
    end_main(c, instant, "presumed")
    end_bot(c, instant)
    for work in c.works:
        if work.end is None:
            work.end = instant
    c.parked = None
    expire(c, instant)


def apply_now(c: Interaction, now: int) -> None:
    """Expiry of a pending handover, presumed end, and 'active until'."""
    if c.last is None:  # 'over from its start, active until then'
        c.over, c.active_until = True, c.start
        return
    now_phase = phase(c)
    if now_phase == "over":
        c.over, c.active_until = True, max(c.last[0], c.expired_at)
        return
    expires = own_limit(c)
    later_resets = c.resets[bisect_right(c.resets, c.last) :][:1]
    limit = expires if now_phase == "pending" and expires is not None else c.last[0] + c.rules.phase_limit[c.channel][now_phase]
    instant = min([limit] + [at for at, _, _ in later_resets])
    c.active_until = instant
    if expires is not None and now >= min(expires, instant):
        expire(c, min(expires, instant))  # 'also while a bot touch or a work is open, and they go on'
    if now >= instant:
        if now_phase != "pending":  # 'Expiry is not a presumed end.'
            presume_end(c, instant, now_phase)
        c.over = True


# ---------------------------------------------------------------------------------------------------- the interactions of a set


def empty_interactions(events: Iterable[Event], rules: Rules) -> list[Interaction]:
    """The events that count, by interaction, in order; nothing folded yet."""
    chosen = selected(bounded(events, rules))
    resets: dict[str, list[Key]] = {}  # by source, in order
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in chosen:
        if isinstance(event, ev.Reset):
            resets.setdefault(event.source, []).append(ordered(event))
        else:
            groups.setdefault((event.source, event.interaction_id), []).append(event)
    for of_source in resets.values():
        of_source.sort()
    found = []
    for (source, interaction_id), group in groups.items():
        c = Interaction(
            key=interaction_key(source, interaction_id),
            source=source,
            interaction_id=interaction_id,
            events=sorted(group, key=ordered),
            resets=resets.get(source, []),
            rules=rules,
        )
        set_common_fields(c)
        found.append(c)
    return sorted(found, key=placement)


def placement(c: Interaction) -> tuple[int, int, str]:
    """By (start, sequence, interaction key)."""
    return c.start, c.sequence, c.key


def is_something(event: Event) -> bool:
    """Lifecycle, or a message by the customer: presence."""
    return not isinstance(event, NOT_LIFECYCLE) or (isinstance(event, ev.MessageSent) and event.by == "customer")


def interactions_of(events: Iterable[Event], now: int, rules: Rules) -> list[Interaction]:
    """Every interaction, folded and seen at `now`."""
    found = [c for c in empty_interactions(events, rules) if any(is_something(e) for e in c.events)]
    for c in found:
        for event in c.events:
            apply_event(c, event)
        apply_now(c, now)
    return found


def phase_before(events_of_one_interaction: Iterable[Event], index: int, rules: Rules = DEFAULTS) -> str:
    """The phase in which the event at `index`, in order, finds its interaction; `over` if it is over or has not begun."""
    found = empty_interactions(events_of_one_interaction, rules)
    if not found:
        return "over"
    c = found[0]
    for event in c.events[:index]:
        apply_event(c, event)
    if index < len(c.events) and not isinstance(c.events[index], NOT_LIFECYCLE):
        expire_before(c, c.events[index])
    return "over" if c.last is None else phase(c)


# ---------------------------------------------------------------------------------------------------- section 5: facts of one interaction


def counted_joins(c: Interaction, now: int) -> list[Touch]:
    """A join that did not become a touch that way is one moment … once joined_at + 10 s ≤ its end, or ≤ now."""
    return [j for j in c.joins if j.start + c.rules.join <= (now if j.end is None else j.end)]


def human_touches(c: Interaction, now: int) -> list[Touch]:
    """Human moments: every new main touch (not resumed), every counted join."""
    return c.mains + counted_joins(c, now)


def accepted_transfers(c: Interaction) -> list[Handover]:
    """The contact's accepted transfers by time."""
    found = [h for h in c.handovers if h.kind in TRANSFERS and h.outcome == "accepted"]
    return sorted(found, key=lambda h: h.settled_at)


def ordinal(c: Interaction, handover: Handover) -> int:
    """'Actual of a transfer = its ordinal among the contact's accepted transfers', from 1."""
    return 1 + [h is handover for h in accepted_transfers(c)].index(True)


def abandon_kind(c: Interaction, entry: Entry) -> str:
    """Wait < 10 s short; ≤ X in_target; else long."""
    if entry.wait < c.rules.short:
        return "short"
    return "in_target" if entry.wait <= c.rules.wait_target[c.channel] else "long"


def is_short(c: Interaction, entry: Entry) -> bool:
    """A short abandon or short no-show."""
    return entry.exit in ABANDON_EXITS and abandon_kind(c, entry) == "short"


def is_short_wait(c: Interaction, entries: list[Entry]) -> bool:
    """Given up after a joined wait < 10 s."""
    return entries[-1].exit in ABANDON_EXITS and sum(e.wait for e in entries) < c.rules.short


def wait_result(c: Interaction, entry: Entry, now: int) -> str:
    """'answered: met if wait ≤ X else missed; abandoned: missed unless short; other exits: missed if wait > X; still open: …'."""
    target = c.rules.wait_target[c.channel]
    wait = entry.wait if entry.exit else wait_of(entry, now)
    if entry.exit == "answered":
        return "met" if wait <= target else "missed"
    if entry.exit in ABANDON_EXITS:
        return "" if is_short(c, entry) else "missed"
    return "missed" if wait > target else ""


def queue_facts(c: Interaction, now: int) -> Counter[tuple]:
    """Offered, exits, waits and evaluations, by queue entry, with its own wait and its own queue's target."""
    found: Counter[tuple] = Counter()
    if no_series(c):
        return found
    for entry in c.entries:
        place = (c.channel, entry.queue)
        found["contacts_offered_total", *place] += 1
        if entry.exit:
            found["queue_exits_total", *place, "abandoned" if entry.exit == "no_show" else entry.exit] += 1
        if entry.exit == "answered":
            found["contacts_answered_total", *place] += 1
            found["wait_seconds", *place, entry.wait] += 1
            if entry.wait <= c.rules.wait_target[c.channel]:
                found["contacts_answered_in_target_total", *place] += 1
        if entry.exit in ABANDON_EXITS:
            found["contacts_abandoned_total", *place, entry.stage, abandon_kind(c, entry)] += 1
            found["abandon_wait_seconds", *place, entry.wait] += 1
        result = wait_result(c, entry, now)
        if result:
            found["target_evaluations_total", "wait", f"channel:{c.channel}", c.segment, result] += 1
        if entry is c.entry:
            found["customers_waiting", *place] += 1
    if c.contact_wait is not None:
        # A no-show served later and an overflow keep their waits, so what was summed at the accept still holds.
        found["contact_wait_seconds", c.channel, c.contact_wait] += 1
    return found


def contact_facts(c: Interaction) -> Counter[tuple]:
    """Contacts, outbound attempts, callbacks, presumed ends."""
    found: Counter[tuple] = Counter()
    if c.present and c.channel != "back_office":
        identified = "true" if is_known(c) else "false"
        found["contacts_total", c.channel, c.direction, identified, c.need] += 1
    if c.direction == "outbound" and c.channel != "back_office":
        attempt = (c.mains[0].team, "answered") if c.mains else c.attempt
        if attempt is not None:
            found["outbound_attempts_total", c.channel, *attempt] += 1
    for callback in c.callbacks:
        found["callbacks_total", c.channel, callback.queue, "requested"] += 1
        if callback.in_target:
            found["callbacks_total", c.channel, callback.queue, "requested_in_target"] += 1
        if callback.outcome:
            found["callbacks_total", c.channel, callback.queue, callback.outcome] += 1
    if c.presumed:
        found["presumed_ended_total", c.channel, c.presumed] += 1
    return found


def touch_facts(c: Interaction, now: int) -> Counter[tuple]:
    """Moments, talk, hold."""
    found: Counter[tuple] = Counter()
    for bot in c.bots:
        found["moments_of_truth_total", c.channel, bot.team, "bot"] += 1
    for touch in human_touches(c, now):
        place = (c.channel, touch.team)
        found["moments_of_truth_total", *place, "human"] += 1
        if touch.end is None:
            continue
        found["touches_ended_total", *place] += 1
        if touch.observed and touch.timed:
            found["talk_seconds", *place, touch.talk] += 1
        if touch.observed and touch.hold > 0:
            found["hold_seconds", *place, touch.hold] += 1
            met = touch.hold <= c.rules.hold_target
            found["target_evaluations_total", "hold", "all", c.segment, "met" if met else "missed"] += 1
        result = judged(c, touch)
        if result:
            found["moments_judged_total", *place, result] += 1
    if c.main is not None:
        found["on_hold" if c.main.on_hold else "in_conversation", c.channel, c.main.team] += 1
    return found


def judged(c: Interaction, touch: Touch) -> str:
    """Expectations = the joined wait that led to it (X), its holds, and its accepted transfer; none applies → not judged."""
    met: list[bool] = []
    led = next((w for w in joined_waits(c) if w[0].accepts_before == touch.waited), None)
    if led is not None and c.direction == "inbound" and led[-1].exit != "unknown" and not is_short_wait(c, led):
        met.append(sum(e.wait for e in led) <= c.rules.wait_target[c.channel])
    if touch.observed and touch.hold > 0:
        met.append(touch.hold <= c.rules.hold_target)
    if touch.handover is not None and touch.handover.kind in TRANSFERS:
        met.append(ordinal(c, touch.handover) <= c.rules.transfers_target)
    if not met:
        return ""
    return "won" if all(met) else "lost"


def handover_facts(c: Interaction) -> Counter[tuple]:
    """Handovers, transfers started, transfer evaluations, ping-pongs."""
    found: Counter[tuple] = Counter()
    for handover in c.handovers:
        to_team = receiver_team(handover, c.rules)
        if handover.outcome:
            found["handovers_total", handover.from_team, to_team, handover.kind, handover.outcome] += 1
        else:
            found["handovers_pending", handover.from_team, to_team] += 1
        if handover.kind in TRANSFERS and handover.sender is not None and handover.sender.end is not None:
            found["transfers_started_total", c.channel, handover.from_team, handover.kind] += 1
    for n, handover in enumerate(accepted_transfers(c), start=1):
        met = n <= c.rules.transfers_target
        found["target_evaluations_total", "transfers", "all", c.segment, "met" if met else "missed"] += 1
        receiver = handover.receiver
        if handover.kind != "external" and receiver is not None and receiver.team != handover.from_team:
            before = c.mains[: next(i for i, t in enumerate(c.mains) if t is receiver)]
            if receiver.team in {t.team for t in before}:
                found["ping_pongs_total", receiver.team] += 1
    return found


def interaction_facts(c: Interaction, now: int) -> Counter[tuple]:
    """Everything that one interaction counts by itself."""
    found = Counter(c.booked)
    for part in (contact_facts(c), queue_facts(c, now), touch_facts(c, now), handover_facts(c)):
        found.update(part)
    unserved = unserved_link(c)
    if unserved is not None:
        found["unserved_total", c.channel, unserved.queue] += 1
    return found


# ---------------------------------------------------------------------------------------------------- section 6: links and scores


@dataclass(eq=False)
class Link:
    """One scored link of a chain."""

    kind: str
    reason: str
    team: str
    score: Fraction
    overrun: int
    start: int
    key: str
    ordinal: int
    queue: str = "none"

    def rank(self) -> tuple:
        """Weakest = lowest score, then kind, larger overrun, earlier start, then link id."""
        kind = TIE_ORDER.index(self.kind)
        return self.score, kind, -self.overrun, self.start, self.key, kind, self.ordinal


def joined_waits(c: Interaction) -> list[list[Entry]]:
    """Consecutive entries with no human touch between are one."""
    found: list[list[Entry]] = []
    for entry in c.entries:
        if found and found[-1][-1].accepts_before == entry.accepts_before:
            found[-1].append(entry)
        else:
            found.append([entry])
    return found


def link_queue(c: Interaction, entries: list[Entry]) -> str:
    """The entry in which the running sum passes that target, or the last one if it never does."""
    running = 0
    for entry in entries:
        running += entry.wait
        if running > c.rules.wait_target[c.channel]:
            return entry.queue
    return entries[-1].queue


def time_score(target: int, actual: int) -> Fraction:
    """Time: min(1, target/actual), actual 0 → 1."""
    return Fraction(1) if actual == 0 else min(Fraction(1), Fraction(target, actual))


def count_score(target: int, actual: int) -> Fraction:
    """Counts: (target+1) / (max(actual, target)+1)."""
    return Fraction(target + 1, max(actual, target) + 1)


def last_wait(c: Interaction) -> list[Entry] | None:
    """The joined wait after the last human touch, if there is one."""
    found = joined_waits(c)
    return found[-1] if found and found[-1][0].accepts_before == c.human_accepts else None


def unserved_link(c: Interaction) -> Link | None:
    """'The contact is over and its last wait ended without a person', (a) in a queue or (b) in a handover."""
    if not c.over:
        return None
    wait = last_wait(c)
    after = c.mains[-1].team if c.mains else ""
    exited = wait[-1].exit if wait is not None else ""
    short = wait is not None and is_short_wait(c, wait)
    if wait is not None and c.direction == "inbound" and exited in ABANDON_EXITS + LEFT_EXITS and not short:
        queue = link_queue(c, wait)
        return Link(
            kind="unserved",
            reason=exited if exited in ABANDON_EXITS else "left",
            team=after or queue_team(queue, c.rules),
            score=Fraction(0),
            overrun=max(0, sum(e.wait for e in wait) - c.rules.wait_target[c.channel]),
            start=wait[0].start,
            key=c.key,
            ordinal=0,
            queue=queue,
        )
    failed = [
        h for h in c.handovers if h.outcome in ("abandoned", "expired") and h.kind != "overflow" and h.accepts_then == c.human_accepts
    ]
    if not failed or short or exited in ("callback", "unknown"):
        return None
    last = failed[-1]  # 'of several the last'
    if any(at >= last.at for at in c.blocked_at):
        return None
    return Link("unserved", "handover", after or last.from_team, Fraction(0), 0, last.at, c.key, 0)


def wait_links(c: Interaction) -> list[Link]:
    """A joined wait whose last entry is settled with a known length, not short-abandoned, not unknown … Direction inbound only."""
    target = c.rules.wait_target[c.channel]
    unserved = unserved_link(c)
    replaced = last_wait(c) if unserved is not None and unserved.reason != "handover" else None
    found = []
    for n, entries in enumerate(joined_waits(c)):
        last = entries[-1]
        replaces = replaced is not None and entries[0] is replaced[0]
        if c.direction != "inbound" or replaces or last.exit in ("", "unknown") or not last.known or is_short_wait(c, entries):
            continue
        length = sum(e.wait for e in entries)
        queue = link_queue(c, entries)
        team = queue_team(queue, c.rules)
        score = time_score(target, length)
        found.append(Link("wait", "wait", team, score, max(0, length - target), entries[0].start, c.key, n, queue))
    return found


def links(c: Interaction) -> list[Link]:
    """The scored links of one interaction."""
    found = wait_links(c)
    unserved = unserved_link(c)
    if unserved is not None:
        found.append(unserved)
    for n, touch in enumerate(c.mains):
        if touch.end is not None and touch.observed and touch.hold > 0:
            target = c.rules.hold_target
            score = time_score(target, touch.hold)
            found.append(Link("hold", "hold", touch.team, score, max(0, touch.hold - target), touch.start, c.key, n))
    for n, handover in enumerate(accepted_transfers(c), start=1):
        score = count_score(c.rules.transfers_target, n)
        found.append(Link("handover", "transfers", handover.from_team, score, 0, handover.at, c.key, n))
    return found


def thousandths(score: Fraction) -> int:
    """Published in thousandths rounded down."""
    return score.numerator * 1000 // score.denominator


# ---------------------------------------------------------------------------------------------------- section 7: chains


@dataclass(eq=False)
class Chain:
    """The interactions of one customer's need."""

    key: tuple[str, ...]
    members: list[Interaction]
    case_id: str = ""

    @property
    def id(self) -> str:
        """'Key of its first interaction by that order': members are kept in it."""
        return self.members[0].key

    @property
    def activity(self) -> int:
        """Max *active until* of its members."""
        return max(c.active_until for c in self.members)

    @property
    def links(self) -> int:
        """Those of its members together."""
        return sum(links_brought(c) for c in self.members)


def links_brought(c: Interaction) -> int:
    """'Its queue entries, main touches, handovers and works, at least 1'."""
    return max(1, len(c.entries) + len(c.mains) + len(c.handovers) + len(c.works))


def chain_key(c: Interaction) -> tuple[str, ...]:
    """The strongest non-blocked identifier …; else (source, case_id); else (source, ticket); else the interaction."""
    for kind in KNOWN_BY:
        if kind in c.identifiers:
            return kind, c.identifiers[kind]
    if c.case_id:
        return "case", c.source, c.case_id
    if "ticket" in c.identifiers:
        return "ticket", c.source, c.identifiers["ticket"]
    return "interaction", c.key


def place(same_key: list[Chain], c: Interaction, rules: Rules) -> None:
    """With a case id → the chain of that case. Without → … the one active last, ties by smaller chain id; none → a new chain.

    `same_key`: the chains so far of its key. 'With neither case nor known customer: always a chain of its own, and no other joins it
    by time': its key, a ticket or the interaction, is no other's but such ones. 'With 1,000 links or more a chain is full'.
    """
    open_ones = [chain for chain in same_key if chain.links < rules.max_links]
    if c.case_id:
        fitting = [chain for chain in open_ones if chain.case_id == c.case_id]
    elif is_known(c):
        fitting = [chain for chain in open_ones if chain.activity + rules.chain_gap >= c.start]
    else:
        fitting = []
    chosen = min(fitting, key=lambda chain: (-chain.activity, chain.id), default=None)
    if chosen is not None:
        chosen.members.append(c)
    else:
        same_key.append(Chain(key=chain_key(c), members=[c], case_id=c.case_id))


def join_linked(found: list[Chain], interactions: list[Interaction], rules: Rules) -> list[Chain]:
    """Then `linked`: the chains of both interactions of one key become one, unless both have a case, or too many links together."""
    chain_of = {c.key: chain for chain in found for c in chain.members}
    linked = [(placement(c), ordered(e), c.key, e) for c in interactions for e in c.events if isinstance(e, ev.Linked)]
    for _, _, key, event in sorted(linked, key=lambda one: one[:2]):
        here, there = chain_of[key], chain_of.get(interaction_key(event.to_source or event.source, event.to_interaction_id))
        if there is None or there is here or there.key != here.key or (here.case_id and there.case_id):
            continue
        if here.links + there.links > rules.max_links:
            continue
        here.members = sorted(here.members + there.members, key=placement)
        here.case_id = here.case_id or there.case_id
        chain_of |= {c.key: here for c in there.members}
        there.members = []
    return [chain for chain in found if chain.members]


def chains_of(interactions: list[Interaction], rules: Rules) -> list[Chain]:
    """All chains, by id."""
    by_key: dict[tuple[str, ...], list[Chain]] = {}
    for c in sorted(interactions, key=placement):
        place(by_key.setdefault(chain_key(c), []), c, rules)
    found = join_linked([chain for same_key in by_key.values() for chain in same_key], interactions, rules)
    return sorted(found, key=lambda chain: chain.id)


def is_closed(chain: Chain, now: int, rules: Rules) -> bool:
    """When every interaction is over (by now) and now ≥ activity + 24 h (a chain with a case: + 30 days)."""
    gap = rules.case_gap if chain.case_id else rules.chain_gap
    return all(c.over for c in chain.members) and now >= chain.activity + gap


def is_served(chain: Chain) -> bool:
    """A human touch in an inbound contact or callback."""
    return any(c.mains and c.direction in ("inbound", "callback") for c in chain.members)


def outcome(chain: Chain) -> str:
    """Outcome of a chain, the first that applies."""
    members = chain.members
    if is_served(chain):
        return "served"
    if any(c.mains for c in members):
        return "outbound"
    if any(unserved_link(c) is not None for c in members):
        return "abandoned"
    if any(c.presumed for c in members):
        return "unknown"
    if any(is_short_wait(c, w) for c in members for w in joined_waits(c)):
        return "short"
    return "back_office" if any(c.works for c in members) else "unknown"


def chain_links(chain: Chain) -> list[Link]:
    """The scored links, the weakest first."""
    return sorted((link for c in chain.members for link in links(c)), key=Link.rank)


def followups(chain: Chain) -> Counter[tuple]:
    """(Chain with a case): … last representative of one ≠ first representative of the next."""
    found: Counter[tuple] = Counter()
    if not chain.case_id:
        return found
    units = []
    for c in sorted(chain.members, key=placement):
        pieces: list[Touch | Work] = [*c.mains, *c.works]
        if pieces and c.case_id == chain.case_id:
            units.append(sorted(pieces, key=lambda p: p.start))
    for before, after in pairwise(units):
        if before[-1].representative != after[0].representative:
            found["handovers_total", before[-1].team, after[0].team, "followup", "accepted"] += 1
    return found


def excessive_transfers(chain: Chain, rules: Rules) -> Counter[tuple]:
    """'By (time accepted, interaction key, order in the contact); for each, the number of those up to and with it in (t − 24 h, t]'."""
    found: Counter[tuple] = Counter()
    crossed = sorted((h.settled_at, c.key, n, c.channel, h.from_team) for c in chain.members for n, h in enumerate(accepted_transfers(c)))
    for i, (at, _, _, channel, team) in enumerate(crossed):
        if sum(earlier[0] > at - rules.excessive_window for earlier in crossed[: i + 1]) == rules.excessive:
            found["excessive_transfers_total", channel, team] += 1
    return found


def wrap_ups(chain: Chain, now: int, rules: Rules) -> Counter[tuple]:
    """Every ended, observed, timed main touch … The earliest that is ≤ e + 15 min settles it at once; none: 0."""
    found: Counter[tuple] = Counter()
    pieces: list[Touch | Work] = []
    for c in chain.members:
        pieces += [*c.mains, *c.works]
    for c in chain.members:
        for touch in c.mains:
            if touch.end is None or not touch.observed or not touch.timed:
                continue
            candidates = [p.start for p in pieces if p is not touch and p.representative == touch.representative]
            if touch.wrapped_up_at is not None:
                candidates.append(touch.wrapped_up_at)
            in_time = [at for at in candidates if touch.end <= at <= touch.end + rules.wrap_up_limit]
            if in_time:
                found["wrap_up_seconds", c.channel, touch.team, min(in_time) - touch.end] += 1
            elif now >= touch.end + rules.wrap_up_limit:
                found["wrap_up_seconds", c.channel, touch.team, 0] += 1
    return found


def experience(chain: Chain, now: int) -> int:
    """'Union of waits of entries, spans of touches, counted joins and bot touches, each of known length … and timed'."""
    spans: list[tuple[int, int]] = []
    for c in chain.members:
        spans += [(e.start, e.start + e.wait) for e in c.entries if e.exit and e.known]
        for touch in human_touches(c, now) + c.bots:
            if touch.observed and touch.timed:
                spans += [(start, end) for start, end in touch.spans if start is not None and end is not None]
    length, covered = 0, 0
    for start, end in sorted(spans):
        length += max(0, end - max(start, covered))
        covered = max(covered, end)
    return length


def closing_facts(chain: Chain, now: int) -> Counter[tuple]:
    """What is booked when the chain closes."""
    found: Counter[tuple] = Counter()
    scored = chain_links(chain)
    found["chains_closed_total", outcome(chain)] += 1
    if not scored:
        found["chains_unscored_total",] += 1
    else:
        weakest = scored[0]
        found["chain_score_ratio", thousandths(weakest.score)] += 1
        labels = (weakest.team, weakest.kind, weakest.reason) if weakest.score < 1 else ("none", "none", "none")
        found["weakest_links_total", *labels] += 1
    for link in scored:
        found["link_score_ratio", link.kind, thousandths(link.score)] += 1
        found["link_shortfall_total", link.team, link.kind] += 1000 - thousandths(link.score)
    touches = [t for c in chain.members for t in human_touches(c, now)]
    works = [w for c in chain.members for w in c.works]
    representatives = {t.representative for t in touches} | {w.representative for w in works}
    found["chain_experience_seconds", experience(chain, now)] += 1
    found["chain_resolution_seconds", chain.activity - min(c.start for c in chain.members)] += 1
    found["moments_per_chain", len(touches)] += 1
    found["transfers_per_chain", sum(len(accepted_transfers(c)) for c in chain.members)] += 1
    found["representatives_per_chain", len(representatives)] += 1
    return found


def chain_facts(chain: Chain, now: int, rules: Rules) -> Counter[tuple]:
    """Everything that a chain counts beside its interactions."""
    found: Counter[tuple] = Counter()
    found["chains_opened_total",] += 1
    if is_served(chain):
        found["chains_served_total",] += 1
    for part in (followups(chain), excessive_transfers(chain, rules), wrap_ups(chain, now, rules)):
        found.update(part)
    if is_closed(chain, now, rules):
        found.update(closing_facts(chain, now))
        return found
    found["chains_open",] += 1
    scored = chain_links(chain)
    if scored:
        found["chains_open_weakest", scored[0].kind if scored[0].score < 1 else "none"] += 1
    return found


# ---------------------------------------------------------------------------------------------------- what the tests ask


def facts(events: Iterable[Event], now: int, rules: Rules = DEFAULTS) -> Counter[tuple]:
    """The net multiset of everything countable: (series, *labels[, observed value]) → amount. No zero entries."""
    interactions = interactions_of(events, now, rules)
    found: Counter[tuple] = Counter()
    for c in interactions:
        found.update(interaction_facts(c, now))
    for chain in chains_of(interactions, rules):
        found.update(chain_facts(chain, now, rules))
    return Counter({key: amount for key, amount in found.items() if amount})


def kind_of_moment(c: Interaction, touch: Touch) -> str:
    """How a touch came about: its handover's kind, where it accepted one; the four ways of a transfer are one."""
    if touch.handover is None:
        from_bot = any(h.kind == "escalation" and h.receiver is touch and h.accepts_then == 0 for h in c.handovers)
        return "escalation" if from_bot else "accept"
    return "transfer" if touch.handover.kind in TRANSFERS else touch.handover.kind


def moments(events: Iterable[Event], now: int, rules: Rules = DEFAULTS) -> Counter[tuple]:
    """The moments of truth one by one: (customer, interaction, at, channel, team, representative, actor, kind)."""
    found: Counter[tuple] = Counter()
    for c in interactions_of(events, now, rules):
        told = [(t, "human", kind_of_moment(c, t)) for t in c.mains]
        told += [(t, "human", "join") for t in counted_joins(c, now)] + [(t, "bot", "accept") for t in c.bots]
        for t, actor, kind in told:
            found[chain_key(c), c.key, t.start, c.channel, t.team, t.representative, actor, kind] += 1
    return found


def totals(facts: Counter[tuple]) -> Counter[tuple]:
    """The same with observations in buckets: (name, *labels, "bucket", i) → count and (name, *labels, "sum") → sum."""
    found: Counter[tuple] = Counter()
    for key, amount in facts.items():
        bounds = BOUNDS.get(key[0])
        if bounds is None:
            found[key] += amount
            continue
        *series, value = key
        index = next((i for i, bound in enumerate(bounds) if bound >= value), len(bounds))
        found[*series, "bucket", index] += amount
        found[*series, "sum"] += value * amount
    return Counter({key: amount for key, amount in found.items() if amount})


def chains(events: Iterable[Event], now: int, rules: Rules = DEFAULTS) -> list[dict[str, Any]]:
    """Every chain, for inspection."""
    described = []
    for chain in chains_of(interactions_of(events, now, rules), rules):
        scored = chain_links(chain)
        weakest = scored[0] if scored else None
        described.append(
            {
                "id": chain.id,
                "key": chain.key,
                "case_id": chain.case_id,
                "interactions": [c.key for c in sorted(chain.members, key=placement)],
                "closed": is_closed(chain, now, rules),
                "activity": chain.activity,
                "moments": sum(len(human_touches(c, now)) for c in chain.members),
                "outcome": outcome(chain),
                "weakest": None
                if weakest is None
                else {
                    "kind": weakest.kind if weakest.score < 1 else "none",
                    "reason": weakest.reason if weakest.score < 1 else "none",
                    "team": weakest.team if weakest.score < 1 else "none",
                    "score": weakest.score,
                },
                "links": [(link.kind, link.reason, link.team, link.score, link.overrun, link.start) for link in scored],
            }
        )
    return described
