"""Stage 1: a key's events join its set; the interaction that they tell of goes on to its customer, when it has changed.

Key: (source, interaction id). The state is the event set itself, all revisions, with the version, digest and customer key last
sent; it stays for as long as it was once promised to, so that no interaction is sent twice as new. Publisher-wide resets are
kept once per shard under `RESETS`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import json, msgpack
from msgspec.structs import replace

from schemas import events as e
from schemas.codec import encode
from schemas.records import Interaction, Moved
from streams.core.identity import Identity, interaction_key
from streams.core.interaction import NOT_LIFECYCLE, Place, fold, is_nothing_yet
from streams.core.reading import Facts
from streams.core.sealed import body_of, due_of, seal
from streams.core.series import SENT
from streams.core.states import ASSEMBLED, BEGINNING, ENCODE, Assembled
from streams.core.step import DEAD_LETTERS, NEVER, TOO_LATE, Change, Difference, Output
from streams.core.targets import CASE_GAP, CHAIN_GAP, KEPT

INTERACTIONS: Final = "interactions"
RESETS: Final = b"\1resets"
ASSEMBLING: Final = 1
"""The number of this code: a state that a higher one has written is not to be touched."""

MAX_EVENTS: Final = 1_000
LATE: Final = 120_000


AN_ARRAY: Final = 0x90 + len(Assembled.__struct_fields__)
ONE_SENT: Final[Difference] = ((SENT,), 1)
SHARED: Final = msgpack.Decoder(dict[str, list[Place]])


def key_of(event: e.Event) -> bytes:
    """The key that an event belongs to: its interaction, or the shard's resets."""
    return RESETS if type(event) is e.Reset else interaction_key(event.source, event.interaction_id).encode()


class Assemble:
    """The step of stage 1 for one shard. `resets` by source is shared state of the shard, kept under `RESETS`."""

    def __init__(self, identity: Identity, kept: int = KEPT) -> None:
        self.identity, self.kept = identity, kept
        self.resets: dict[str, list[Place]] = {}

    def share(self, value: bytes) -> None:
        """Takes the shard's resets from their encoded value (recovery)."""
        self.resets = SHARED.decode(body_of(value))

    def step(self, key: bytes, old: bytes | None, records: Sequence[e.Event], now: int) -> Change:
        """Events for one key. Returns the new event set and, if the interaction changed, its snapshot for the customer."""
        if key == RESETS:
            return self.reset(old, records)
        before = due_of(old) if old is not None else 0
        if old is not None and not records and now >= before:
            return Change(value=None, archived=tuple(self.facts(old).items()))
        state = ASSEMBLED.decode(body_of(old)) if old is not None else Assembled(0, "", b"", NEVER, [])
        if now >= state.until:
            return Change(value=old, due=before, outputs=late_letters(records), counts=too_late(records))
        counts: dict[tuple[str, ...], int] = {}
        events = unite(state.events, records, now, counts)
        source = events[0].source
        live = current(events)
        folded, customer = fold(key.decode(), live, self.resets.get(source, ()), self.identity)
        state.until, state.events = archived_from(folded, self.kept), events
        due = max(before, state.until + self.kept)
        if old is None and now >= due:
            return Change(value=None, outputs=late_letters(records), counts=too_late(records))
        if is_nothing_yet(live):
            return nothing(key.decode(), state, due, counts)
        digest = blake2b(ENCODE(folded) + customer.encode(), digest_size=8).digest()
        outputs: tuple[Output, ...] = ()
        bookings = () if state.sent_to else (ONE_SENT,)
        if digest != state.digest:
            folded.version = state.version = state.version + 1
            outputs = (Output(INTERACTIONS, customer.encode(), ENCODE(folded)),)
            if state.sent_to and state.sent_to != customer:
                moved = ENCODE(Moved(folded.key, folded.version, customer))
                outputs = (Output(INTERACTIONS, state.sent_to.encode(), moved), *outputs)
            if state.version == 1:
                counts["interactions_sent_total",] = 1
            if folded.orphan and state.version == 1:
                counts["orphans_total", source] = 1
            state.sent_to, state.digest = customer, digest
        value = seal(due, ENCODE(state), is_open=not folded.over)
        return Change(value=value, due=due, bookings=bookings, outputs=outputs, counts=counts)

    def facts(self, value: bytes) -> Facts:
        """The facts that an encoded state stands for: that its interaction was sent."""
        body = body_of(value)
        return {(SENT,): 1} if body[0] == AN_ARRAY and BEGINNING.decode(body).sent_to else {}

    def reset(self, old: bytes | None, records: Iterable[e.Event]) -> Change:
        """Publisher-wide resets: remembered for every interaction of the source, and every open one is looked at again.

        What is stored counts, not what an earlier step has made of it: that may have been dropped, with all that follows from it.
        """
        self.resets = SHARED.decode(body_of(old)) if old is not None else {}
        added = False
        for x in records:
            places = self.resets.setdefault(x.source, [])
            if all(place[2] != x.id for place in places):
                places.append(e.ordered(x))
                places.sort()
                added = True
        return Change(value=seal(NEVER, ENCODE(self.resets), is_open=False), revisit=added)


def nothing(key: str, state: Assembled, due: int, counts: dict[tuple[str, ...], int]) -> Change:
    """Nothing that counts is known, or is left after a revision: then what was sent is taken back."""
    outputs: tuple[Output, ...] = ()
    bookings: tuple[Difference, ...] = ()
    if state.sent_to:
        state.version += 1
        bookings = (((SENT,), -1),)
        outputs = (Output(INTERACTIONS, state.sent_to.encode(), ENCODE(Moved(key, state.version, ""))),)
        state.sent_to, state.digest = "", b""
    value = seal(due, ENCODE(state), is_open=False)
    return Change(value=value, due=due, bookings=bookings, outputs=outputs, counts=counts)


def archived_from(folded: Interaction, kept: int) -> int:
    """The earliest instant at which its chain may have been archived: what comes for it from then on is too late.

    What is known here stays as long again, as the marker of that chain does.
    """
    return folded.active_until + (CASE_GAP if folded.case_id else CHAIN_GAP) + kept


def too_late(records: Iterable[e.Event]) -> dict[tuple[str, ...], int]:
    """Events of an interaction that nothing is remembered of any more: counted, and kept out."""
    labels = (("events_total", "too_late"), ("dead_letters_total", "too_late"))
    return dict(Counter((name, x.source, result) for x in records for name, result in labels))


def late_letters(records: Iterable[e.Event]) -> tuple[Output, ...]:
    """The same as dead letters: the canonical events, for what they were read from is not known any more."""
    return tuple(Output(DEAD_LETTERS, x.interaction_id.encode(), encode(x), None, TOO_LATE) for x in records)


def unite(known: Sequence[e.Event], records: Iterable[e.Event], now: int, counts: dict[tuple[str, ...], int]) -> list[Any]:
    """The union of a set of events and more of them, in order, counted by what became of each.

    Bounded: the first ones stay, lifecycle events before all others; of revisions at the same place the highest.
    """
    events = list(known)
    ids = {x.id for x in known}
    for x in records:
        if x.id in ids:
            result = revise(events, x)
        else:
            ids.add(x.id)
            events.append(x)
            result = "late" if x.at < now - LATE else "applied"
        label = ("events_total", x.source, result)
        counts[label] = counts.get(label, 0) + 1
    events.sort(key=e.ordered)
    if len(events) > MAX_EVENTS:
        counts["truncated_total", "events"] = len(events) - MAX_EVENTS
        if len({x.id for x in events}) < len(events):
            events.sort(key=rank, reverse=True)
            events.sort(key=e.ordered)
        events = sorted(events, key=lambda x: type(x) in NOT_LIFECYCLE)[:MAX_EVENTS]
        events.sort(key=e.ordered)
    return events


def revise(events: list[e.Event], x: e.Event) -> str:
    """An event under an id that is known: a duplicate keeps the smallest sequence, other content is a revision."""
    for place, other in enumerate(events):
        if other.id == x.id and replace(other, sequence=0) == replace(x, sequence=0):
            if x.sequence < other.sequence:
                events[place] = x
            return "duplicate"
    events.append(x)
    return "applied"


def current(events: list[e.Event]) -> list[e.Event]:
    """Of each event its highest revision: by number, then the publisher's update time, then content."""
    if len({x.id for x in events}) == len(events):
        return events
    best: dict[str, e.Event] = {}
    for x in events:
        other = best.get(x.id)
        if other is None or rank(x) > rank(other):
            best[x.id] = x
    return [x for x in events if best[x.id] is x]


def rank(x: e.Event) -> tuple[int, int, bytes]:
    """The order of revisions of one event."""
    return x.revision, x.updated_at, json.encode(replace(x, sequence=0), order="sorted")
