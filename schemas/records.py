"""What Karar writes: the interaction between the stages, chains, moments, alerts, dead letters.

Private records (`Interaction` and its parts) are MessagePack arrays: compact, and read only by Karar. They are built by one
fold and never changed after it has returned; they are not frozen because the fold fills them in as events come. None can be
part of a cycle, so the garbage collector need not look at them.

Units: instants and lengths in ms; 0 as an end means "still open".
"""

from typing import Literal

from msgspec import Struct

from schemas.events import Actor

MomentState = Literal["booked", "retracted"]
AlertState = Literal["firing", "ended"]
MomentKind = Literal["accept", "transfer", "reroute", "next_service", "escalation", "join"]


class Entry(Struct, array_like=True, gc=False):
    """One stay in a waiting line. ``group`` is the number of acceptances before it: same group, same joined wait."""

    queue: str
    start: int
    group: int
    end: int = 0
    exit: str = ""
    reason: str = ""
    called_at: int = 0
    observed: bool = True

    @property
    def waited(self) -> int:
        """Length of an ended wait: to the first call at a counter, else to the exit; an appointment may come early."""
        end = self.called_at or self.end
        return end - self.start if end > self.start else 0


class Touch(Struct, array_like=True, gc=False):
    """One customer, one representative, from accept to release; resumed, it has several spans.

    ``spans`` and ``holds`` are flat: from, to, from, to. ``group`` names the joined wait that led here (-1: none),
    ``handover`` the accepted handover (-1: none).
    """

    representative: str
    team: str
    queue: str
    spans: list[int]
    group: int = -1
    handover: int = -1
    holds: list[int] = []
    timed: bool = True
    observed: bool = True
    wrapped_up_at: int = 0

    @property
    def start(self) -> int:
        """When it was accepted."""
        return self.spans[0]

    @property
    def end(self) -> int:
        """When it was released, 0 while it goes on."""
        return self.spans[-1]


class Guest(Struct, array_like=True, gc=False):
    """A conference guest; counted once the join has lasted long enough."""

    representative: str
    team: str
    queue: str
    start: int
    end: int = 0
    observed: bool = True


class BotTouch(Struct, array_like=True, gc=False):
    """A touch by a bot, an IVR, a voicemail: never a human moment."""

    representative: str
    team: str
    start: int
    end: int = 0
    observed: bool = True


class Work(Struct, array_like=True, gc=False):
    """A piece of work for the customer, who is not present."""

    representative: str
    team: str
    queue: str
    start: int
    end: int = 0


class Handover(Struct, array_like=True, gc=False):
    """One passing-on. ``sender`` and ``touch`` index touches (-1: a bot, a queue; nobody took it)."""

    kind: str
    at: int
    sender: int = -1
    from_team: str = ""
    from_queue: str = ""
    from_bot: str = ""
    to_team: str = ""
    to_queue: str = ""
    to_representative: str = ""
    queues_only: bool = False
    outcome: str = ""
    settled_at: int = 0
    touch: int = -1
    since: int = 0
    entry_queue: str = ""
    group: int = 0


class Missed(Struct, array_like=True, gc=False):
    """An offer that a representative did not take."""

    representative: str
    team: str
    queue: str


class Consult(Struct, array_like=True, gc=False):
    """A colleague asked with the customer off the line; ``touch`` is the asking one."""

    touch: int
    to_team: str
    to_queue: str
    to_representative: str


class Blocked(Struct, array_like=True, gc=False):
    """A customer turned away before a queue."""

    queue: str
    reason: str
    at: int


class Callback(Struct, array_like=True, gc=False):
    """A callback asked for; ``entry`` indexes the queue entry that it ended, -1 for none."""

    queue: str
    entry: int
    state: str = ""


class Drop(Struct, array_like=True, gc=False):
    """The line was lost while talking or on hold, in that touch."""

    touch: int
    stage: str


class Attempt(Struct, array_like=True, gc=False):
    """An outbound attempt that reached nobody."""

    result: str
    team: str
    representative: str


class Interaction(Struct, array_like=True, gc=False):
    """The fold of one interaction's events: what *assemble* sends to *stitch*. A larger version replaces a smaller one.

    ``active_until`` is the last instant of an interaction that is over; of one that goes on, the instant at which it will be
    presumed ended (or its pending handover expires) if nothing more comes; ``phase`` says which. ``pending_until``: when a handover
    that is pending expires, 0 where none does.
    """

    key: str
    version: int
    start: int
    sequence: int
    channel: str
    direction: str
    over: bool
    active_until: int
    pending_until: int = 0
    phase: str = ""
    accepts: int = 0
    present: bool = False
    identified: bool = False
    case_id: str = ""
    segment: str = ""
    need: str = ""
    linked: list[str] = []
    entries: list[Entry] = []
    touches: list[Touch] = []
    handovers: list[Handover] = []
    guests: list[Guest] = []
    bots: list[BotTouch] = []
    works: list[Work] = []
    missed: list[Missed] = []
    consults: list[Consult] = []
    blocked: list[Blocked] = []
    callbacks: list[Callback] = []
    drops: list[Drop] = []
    attempt: Attempt | None = None
    orphan: bool = False
    presumed: str = ""


class Moved(Struct, frozen=True, array_like=True, gc=False):
    """To the key that held an interaction: it belongs to another customer now, or to nobody (``to`` empty)."""

    interaction: str
    version: int
    to: str


class MomentOfTruth(Struct, frozen=True, kw_only=True, gc=False):
    """A moment of truth, by id: a representative or a bot accepted the customer. ``(id, revision)`` occurs once in the topic.

    Of one ``id`` the highest ``revision`` says what is true: ``booked``, or ``retracted`` because of what became known later. For each
    channel, team and actor the number booked less the number retracted is what the metrics say. ``kind`` is how it came about.
    """

    id: str
    revision: int
    state: MomentState
    at: int
    customer: str
    interaction: str
    channel: str
    team: str
    representative: str
    actor: Actor
    kind: MomentKind


class ScoredLink(Struct, frozen=True, kw_only=True, gc=False):
    """A link that an expectation applied to. ``score`` 0..1 (thousandths, rounded down); ``overrun_seconds`` beyond the target."""

    kind: str
    team: str
    reason: str
    score: float
    overrun_seconds: float
    at: int


class ChainContact(Struct, frozen=True, kw_only=True, gc=False):
    """One interaction of a chain: who had the customer, in order."""

    interaction: str
    channel: str
    direction: str
    start: int
    active_until: int
    over: bool
    teams: list[str]
    representatives: list[str]


class ServiceChain(Struct, frozen=True, kw_only=True, gc=False):
    """The public record of one chain, as JSON by chain id: what happened, how strong it is, and why the weakest link is it."""

    id: str
    customer: str
    case_id: str
    start: int
    activity: int
    closed: bool
    outcome: str
    moments: int
    transfers: int
    score: float | None
    weakest: ScoredLink | None
    links: list[ScoredLink]
    path: list[str]
    contacts: list[ChainContact]


class Alert(Struct, frozen=True, kw_only=True, gc=False):
    """A chain has crossed the limit of transfers within a day, in a contact that goes on: somebody can step in.

    Told once as `firing`, at the crossing, and once as `ended`, with the contact or because it turned out not to be true; ``id`` says
    what belongs together. ``transfers``: how many within the day, the limit. ``stale``: it was told more than a minute late, and nobody
    was woken. ``moved``: ended here, because the contact turned out to be another customer's, under whose name it is told of on. ``until``
    is when the contact is presumed ended if nothing more comes. ``why``: one sentence why the weakest link is the weakest.
    """

    id: str
    state: AlertState
    stale: bool
    moved: bool = False
    at: int
    until: int
    customer: str
    chain: str
    interaction: str
    channel: str
    team: str
    transfers: int
    path: list[str]
    weakest: ScoredLink | None
    why: str


class Late(Struct, frozen=True, kw_only=True, gc=False):
    """What a dead letter says of an interaction that came for a chain that is archived."""

    interaction: str
    version: int
    customer: str
    start: int
    active_until: int
