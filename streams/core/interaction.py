"""Events to interaction: the fold of one interaction's set of events, in their order (docs/counting.md, 1 and 3).

`fold` never raises for data. What depends on the clock is left open here, with the instant at which it will be presumed; `settle`
decides it for a given now.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec.structs import replace

from schemas import events as e
from schemas.records import Interaction, Touch
from streams.core.contact import expired
from streams.core.fold import ON, Fold
from streams.core.identity import Identity, interaction_key, is_known
from streams.core.phases import LIMITS, OVER, PENDING


def types(*names: str) -> frozenset[type[e.Event]]:
    """Event types by name."""
    return frozenset(e.EVENT_TYPES[name] for name in names)


NOT_LIFECYCLE: Final = types("rated", "linked", "identified", "message_sent", "reopened", "wrapped_up")
AT_A_COUNTER: Final = types("called", "serving_started", "no_show", "recalled")
BEGINNINGS: Final = types("offered", "queued", "left_queue", "work_started")
WORK: Final = types("work_started", "work_completed")
PRESENCE: Final = AT_A_COUNTER | types(
    "offered", "queued", "left_queue", "answered", "abandoned", "callback_requested", "parked", "resumed"
)

Place = tuple[int, int, str]


def fold(key: str, events: Sequence[e.Event], resets: Sequence[Place], identity: Identity) -> tuple[Interaction, str]:
    """The interaction that a set of events tells of, and the key of the customer whose chain it joins.

    ``events``: the current revision of each, in order, at least one. ``resets``: the source's publisher-wide resets, sorted.
    """
    record, customer = common(key, events, identity)
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
    close(state, events[0], last, resets)
    return record, customer


def close(state: Fold, first: e.Event, last: e.Event | None, resets: Sequence[Place]) -> None:
    """Notes until when the interaction is active: its end, or the instant at which it will be presumed over."""
    record, phase = state.record, state.phase if last is not None else OVER
    record.phase, record.over, record.accepts = phase, phase == OVER, state.accepts
    if last is None:
        record.active_until = first.at
    elif phase == OVER:
        record.active_until = max([last.at, *(h.settled_at for h in record.handovers)])
    else:
        record.pending_until = state.pending_until
        record.active_until = record.pending_until if phase == PENDING else last.at + LIMITS[record.channel][phase]
        place = bisect_right(resets, (last.at, last.sequence, last.id))
        if place < len(resets):
            record.active_until = min(record.active_until, resets[place][0])


def common(key: str, events: Sequence[e.Event], identity: Identity) -> tuple[Interaction, str]:
    """What the events say of the whole interaction: channel, direction, customer, case, start, presence."""
    channel = direction = segment = need = case_id = ""
    identifiers: dict[str, str] = {}
    linked: list[str] = []
    first: e.Event | None = None
    kinds: set[type[e.Event]] = set()
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
            identifiers |= {name: value for name, value in x.identifiers.items() if not identity.is_blocked(value)}
        if kind is e.Linked and isinstance(x, e.Linked):
            linked.append(interaction_key(x.to_source or x.source, x.to_interaction_id))
    first = first or events[0]
    direction = direction or "inbound"
    present = is_present(kinds, events, direction)
    if not channel:
        unpublished = "call" if kinds.isdisjoint(WORK) or present else "back_office"
        channel = unpublished if kinds.isdisjoint(AT_A_COUNTER) else "visit"
    record = Interaction(
        key, 0, first.at, first.sequence, channel, direction, over=False, active_until=0,
        present=present and channel != "back_office", identified=is_known(identifiers), case_id=case_id,
        segment=segment, need=need, linked=linked,
        orphan=kinds.isdisjoint(BEGINNINGS) and any(x.queue for x in events),
    )  # fmt: skip
    return record, identity.customer_key(identifiers, case_id, key)


def is_nothing_yet(events: Iterable[e.Event]) -> bool:
    """Whether all that is known is beside the point: a rating, a link or an identity whose contact has not come."""
    return all(type(x) in NOT_LIFECYCLE and not (isinstance(x, e.MessageSent) and x.by == "customer") for x in events)


def is_present(kinds: AbstractSet[type[e.Event]], events: Sequence[e.Event], direction: str) -> bool:
    """Whether the customer was there: what makes an interaction a contact."""
    if direction == "outbound":
        return any(isinstance(x, e.Answered) and x.actor == "human" for x in events)
    return not kinds.isdisjoint(PRESENCE) or any(isinstance(x, e.MessageSent) and x.by == "customer" for x in events)


def settle(record: Interaction, now: int) -> Interaction:
    """The interaction as it stands at ``now``: over by presumption, or by the expiry of a pending handover, where that is due.

    Returns the record itself where nothing is due; never changes it.
    """
    if record.over:
        return record
    if now < record.active_until:
        return expire(record, record.pending_until) if 0 < record.pending_until <= now else record
    at = record.active_until
    settled = expire(record, min(at, record.pending_until or at))
    settled.over = True
    settled.presumed = "" if record.phase == PENDING else record.phase
    settled.entries = [x if x.end else replace(x, end=at, exit="unknown", observed=False) for x in record.entries]
    settled.touches = [t if t.end else unobserved(t, at) for t in record.touches]
    settled.guests = [g if g.end else replace(g, end=at, observed=False) for g in record.guests]
    settled.bots = [b if b.end else replace(b, end=at, observed=False) for b in record.bots]
    return settled


def expire(record: Interaction, at: int) -> Interaction:
    """The interaction with its pending handover expired."""
    settled = replace(record, handovers=[replace(h) for h in record.handovers])
    for handover in settled.handovers:
        if not handover.outcome:
            expired(handover, at)
    return settled


def unobserved(touch: Touch, at: int) -> Touch:
    """A touch whose end nobody saw: nothing of its length is counted."""
    return replace(touch, spans=[*touch.spans[:-1], at], observed=False)
