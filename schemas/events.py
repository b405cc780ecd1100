"""Canonical interaction events: what happened, one struct per type, in the words of customer service.

An event is the ``data`` of a CloudEvent, or a JSON line of its own. Its ``type`` selects the struct; `EVENT_TYPES` is the
one table of types. Unknown fields are ignored; a missing required field or an impossible value is refused by the codec.

Units: instants (``at``, ``promised_by``, …) are milliseconds since 1970-01-01 UTC. An empty string or zero means "not
published".
"""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Final, Literal, get_args, get_origin

from msgspec import Meta, Struct, structs

Text = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Instant = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="milliseconds since 1970-01-01 UTC")]
Order = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]

Channel = Literal["", "call", "visit", "chat", "email", "video", "back_office"]
Direction = Literal["", "inbound", "outbound", "callback"]
Actor = Literal["human", "bot"]
IdentifierKind = Literal["customer", "account", "email", "phone", "device", "ticket"]
LeftReason = Literal["timeout", "empty", "key", "full", "closed", "withdrawn"]
TransferKind = Literal["blind", "consult", "introduced", "requeue", "external"]
JoinMode = Literal["conference", "monitor", "whisper", "coach"]
Author = Literal["customer", "representative", "bot"]


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """What every event may carry. ``(source, id, revision)`` is its identity; ``(at, sequence, id)`` its place in time."""

    id: Name
    source: Name
    interaction_id: Name
    at: Instant
    sequence: Order = 0
    revision: Order = 0
    updated_at: Instant = 0
    leg_id: Text = ""
    channel: Channel = ""
    direction: Direction = ""
    queue: Text = ""
    team: Text = ""
    representative: Text = ""
    actor: Actor = "human"
    identifiers: dict[IdentifierKind, Text] = {}
    segment: Text = ""
    need: Text = ""
    service: Text = ""
    desk: Text = ""
    reason: Text = ""
    case_id: Text = ""
    promised_by: Instant = 0


class Offered(Event, frozen=True, kw_only=True, tag="offered"):
    """The contact began: the customer is there, nobody has accepted yet."""


class Queued(Event, frozen=True, kw_only=True, tag="queued"):
    """The customer entered a waiting line. An appointment waits from the later of arrival and ``appointment_at``."""

    queue: Name
    appointment_at: Instant = 0


class LeftQueue(Event, frozen=True, kw_only=True, tag="left_queue"):
    """The customer left a waiting line, or was turned away before it, without an answer and without hanging up."""

    queue: Name
    reason: LeftReason


class Rang(Event, frozen=True, kw_only=True, tag="rang"):
    """The contact was offered to a representative."""


class Missed(Event, frozen=True, kw_only=True, tag="missed"):
    """A representative did not take the offer: no answer, declined, failed connect."""

    representative: Name


class Answered(Event, frozen=True, kw_only=True, tag="answered"):
    """A responder accepted the contact; ``actor`` says person or bot. Outbound: the customer, a person, answered.

    ``timed`` is false where the publisher does not know the working time: a touch without talk time.
    """

    representative: Name
    timed: bool = True


class Held(Event, frozen=True, kw_only=True, tag="held"):
    """The customer was put on hold."""


class Retrieved(Event, frozen=True, kw_only=True, tag="retrieved"):
    """The customer was taken off hold, or back from a consult."""


class Consulted(Event, frozen=True, kw_only=True, tag="consulted"):
    """The representative asked a colleague with the customer off the line."""

    to_representative: Text = ""
    to_team: Text = ""
    to_queue: Text = ""


class Transferred(Event, frozen=True, kw_only=True, tag="transferred"):
    """The representative passed the contact on.

    ``queues_only``: the publisher shows only queues, so if nothing follows the contact left what Karar sees.
    """

    kind: TransferKind
    to_representative: Text = ""
    to_team: Text = ""
    to_queue: Text = ""
    queues_only: bool = False


class Joined(Event, frozen=True, kw_only=True, tag="joined"):
    """Another employee came onto the contact."""

    representative: Name
    mode: JoinMode


class Left(Event, frozen=True, kw_only=True, tag="left"):
    """An employee left the contact, the customer did not."""

    representative: Name


class Abandoned(Event, frozen=True, kw_only=True, tag="abandoned"):
    """The customer gave up before anyone accepted."""


class CallbackRequested(Event, frozen=True, kw_only=True, tag="callback_requested"):
    """The customer asked to be called back instead of waiting."""


class Ended(Event, frozen=True, kw_only=True, tag="ended"):
    """The contact is over. ``reason`` `lost` is a broken line; outbound: machine, busy, no_answer, dropped, unreachable."""


class WrappedUp(Event, frozen=True, kw_only=True, tag="wrapped_up"):
    """The representative finished the work after the touch."""


class Called(Event, frozen=True, kw_only=True, tag="called"):
    """The ticket was called to a desk."""


class ServingStarted(Event, frozen=True, kw_only=True, tag="serving_started"):
    """The customer sat down at the desk."""

    representative: Name


class NoShow(Event, frozen=True, kw_only=True, tag="no_show"):
    """The called customer did not come."""


class Recalled(Event, frozen=True, kw_only=True, tag="recalled"):
    """The ticket was called once more."""


class Parked(Event, frozen=True, kw_only=True, tag="parked"):
    """The visit was set aside, or a called ticket put back into the line."""


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """A parked visit goes on."""


class Reopened(Event, frozen=True, kw_only=True, tag="reopened"):
    """A closed thread or visit was opened again."""


class MessageSent(Event, frozen=True, kw_only=True, tag="message_sent"):
    """A message in a written channel."""

    by: Author


class Identified(Event, frozen=True, kw_only=True, tag="identified"):
    """The customer became known."""

    identifiers: Annotated[dict[IdentifierKind, Text], Meta(min_length=1)]


class Rated(Event, frozen=True, kw_only=True, tag="rated"):
    """The customer's answer to a survey of some ``kind`` (nps, csat, resolved, …)."""

    kind: Name
    value: float
    minimum: float | None = None
    maximum: float | None = None


class WorkStarted(Event, frozen=True, kw_only=True, tag="work_started"):
    """Work for the customer began, the customer not present."""

    representative: Name


class WorkCompleted(Event, frozen=True, kw_only=True, tag="work_completed"):
    """That work is done."""


class Linked(Event, frozen=True, kw_only=True, tag="linked"):
    """The publisher says that this interaction belongs with another one of the same customer, of its own source unless named."""

    to_interaction_id: Name
    to_source: Text = ""


class Reset(Event, frozen=True, kw_only=True, tag="reset"):
    """Publisher-wide: every interaction of this source that was open is lost (restart, end-of-day reset)."""

    interaction_id: Text = ""


AnyEvent = (
    Offered
    | Queued
    | LeftQueue
    | Rang
    | Missed
    | Answered
    | Held
    | Retrieved
    | Consulted
    | Transferred
    | Joined
    | Left
    | Abandoned
    | CallbackRequested
    | Ended
    | WrappedUp
    | Called
    | ServingStarted
    | NoShow
    | Recalled
    | Parked
    | Resumed
    | Reopened
    | MessageSent
    | Identified
    | Rated
    | WorkStarted
    | WorkCompleted
    | Linked
    | Reset
)

EVENT_TYPES: Final[dict[str, type[Event]]] = {t.__struct_config__.tag: t for t in AnyEvent.__args__}


@cache
def words_of(kind: type[Event], field: str) -> str:
    """The words that an event's field may be, as `; one of: call, visit`; of identifiers, their kinds; nothing where any text will do."""
    hint = next((each.type for each in structs.fields(kind) if each.name == field), None)
    words = ", ".join(filter(None, _words(hint)))
    return words and f"; one of: {words}"


def _words(hint: object) -> Iterator[str]:
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        yield from parts
    else:
        for part in parts:
            yield from _words(part)


def ordered(event: Event) -> tuple[int, int, str]:
    """The place of an event in its interaction: time, then sequence, then id (DESIGN.md, the idea, line 1)."""
    return event.at, event.sequence, event.id
