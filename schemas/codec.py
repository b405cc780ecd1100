"""Bytes to canonical events and back: flat JSON lines and CloudEvents 1.0, structured or binary mode.

What arrives is never trusted and never raises: it is an event, or a reason why it is none. Sources: CloudEvents 1.0 and its Kafka
protocol binding (a message is structured if its content type begins with `application/cloudevents`, else binary with `ce_` headers).
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

from msgspec import Raw, Struct, ValidationError, convert
from msgspec.json import Decoder, Encoder

from schemas.events import EVENT_TYPES, AnyEvent, Event, Rated, words_of

IgnoredReason = Literal["tombstone", "unknown_type", "not_needed"]
RejectedReason = Literal[
    "malformed",  # not JSON, not a line of that format
    "encoding",  # the bytes are not text in the encoding that was agreed
    "too_long",  # a line, or a text in it
    "missing_field",  # absent, null, or empty where something is required
    "wrong_type",  # a text where a number is required, a time without offset, …
    "unknown_value",  # a channel, kind or reason that does not exist
    "impossible",  # right in form, and it cannot have happened
    "unsupported",  # another version or format of an envelope
    "future",
    "ancient",
]

SPECVERSION: Final = "1.0"
TYPE_PREFIX: Final = "karar."
LONGEST_WHERE: Final = 200
FUTURE_MS: Final = 5 * 60 * 1000
ANCIENT: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
CONFLUENT_FRAME: Final = 5  # a zero byte and the schema's id in four
_MILLISECOND: Final = timedelta(milliseconds=1)


class Ignored(Struct, frozen=True):
    """Well-formed input that is no event of ours, with a `reason` from a bounded list."""

    reason: IgnoredReason


class Rejected(Struct, frozen=True):
    """Input that is no event, with a `reason` from a bounded list and, in at most 200 characters, `where` and what was expected."""

    reason: RejectedReason
    where: str = ""


Decoded: TypeAlias = Event | Ignored | Rejected


class _Whole(Struct):
    """A structured CloudEvent whose data lacks nothing: read in one typed pass."""

    specversion: Literal["1.0"]
    data: AnyEvent


class _Lean(Struct):
    """A structured CloudEvent whose data leaves to the envelope what the envelope says."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    data: Raw
    time: str = ""


class _Head(Struct):
    type: str
    id: str
    source: str
    at: int | None


class _CloudEvent(Struct, frozen=True, kw_only=True):
    specversion: str = SPECVERSION
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str = "application/json"
    data: Event


_FLAT: Final[Decoder[Event]] = Decoder(AnyEvent)
_WHOLE: Final = Decoder(_Whole)
_LEAN: Final = Decoder(_Lean)
_ANYTHING: Final = Decoder()
_ENCODER: Final = Encoder()
_STRUCTURED_MARK: Final = b'"specversion"'
_INSTANTS: Final = ("at", "updated_at", "promised_by", "appointment_at")
_FROM_ENVELOPE: Final = (("type", "type"), ("id", "id"), ("source", "source"), ("at", "time"))
_DATA_ERRORS: Final = (ValueError, RecursionError)  # msgspec's errors and UnicodeDecodeError are ValueErrors
_PATH: Final = re.compile(r" - at (.*)$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(\w+)`$")


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()) -> list[Decoded]:
    """One record's value and headers as canonical events.

    A flat line, or a CloudEvent: `id`, `source`, `time` and `type` of its envelope fill what its data lacks. A Confluent frame and a
    byte order mark are stripped, null members count as absent, instants may be RFC 3339 texts with an offset. Unknown fields are
    skipped; an unknown type and a null value (a tombstone) are `Ignored`; everything else that does not fit is `Rejected`.
    """
    if value is None:
        return [Ignored("tombstone")]
    event = _typed(value)
    if event is None and value[:1] == b"\0":
        value = value[CONFLUENT_FRAME:]
        event = _typed(value)
    return [_patiently(value, headers) if event is None else event]


def _typed(value: bytes) -> Event | None:
    try:
        event = _structured(value) if _STRUCTURED_MARK in value else _FLAT.decode(value)
    except _DATA_ERRORS:
        return None
    return None if type(event) is Rated and _off_scale(event) else event


def _structured(value: bytes) -> Event:
    try:
        return _WHOLE.decode(value).data
    except ValidationError:
        lean = _LEAN.decode(value)
    head = _ENCODER.encode(_Head(lean.type.removeprefix(TYPE_PREFIX), lean.id, lean.source, instant_of(lean.time)))
    return _FLAT.decode(b"%b,%b" % (head[:-1], bytes(lean.data)[1:]))  # of two equal names the last counts: that of the data


def build(fields: Mapping[str, Any], *, strict: bool = True) -> Decoded:
    """The event that canonical `fields` (with `type`) describe, checked as if it had come as JSON; not strict: numbers may be texts."""
    try:
        kind = EVENT_TYPES.get(fields["type"])
    except (KeyError, TypeError):
        return Rejected("wrong_type" if "type" in fields else "missing_field", "$.type: a text is expected")
    if kind is None:
        return Ignored("unknown_type") if isinstance(fields["type"], str) else Rejected("wrong_type", "$.type: a text is expected")
    try:
        event = convert(fields, kind, strict=strict)  # not the union: msgspec would prepare that anew for each call
    except ValidationError as error:
        return _refused(error, kind)
    if type(event) is Rated and (problem := _off_scale(event)):
        return Rejected("impossible", problem)
    return event


def check_time(event: Event, wall: int) -> Event | Rejected:
    """The event itself, unless it lies more than 5 min ahead of `wall` (ms) or before 2000 (DESIGN.md, time). Only `at` is judged."""
    if event.at > wall + FUTURE_MS:
        return Rejected("future", f"at {rfc3339(event.at)}, more than 5 min ahead of {rfc3339(wall)}")
    if event.at < ANCIENT:
        return Rejected("ancient", f"at {rfc3339(event.at)}, before 2000; milliseconds are expected")
    return event


def encode(event: Event) -> bytes:
    """The event as one flat JSON line, without its end of line; what is not published is left out."""
    return _ENCODER.encode(event)


def to_cloudevent(event: Event) -> bytes:
    """The event as a CloudEvent in structured mode, type `karar.<type>`.

    Consumers may take the same source and id for a duplicate, so a later revision has it in its envelope's id.
    """
    envelope = _CloudEvent(
        id=event.id if event.revision == 0 else f"{event.id}/{event.revision}",
        source=event.source,
        type=f"{TYPE_PREFIX}{event.__struct_config__.tag}",
        time=rfc3339(event.at),
        data=event,
    )
    return _ENCODER.encode(envelope)


def rfc3339(instant: int) -> str:
    """An instant (ms) as RFC 3339 text in UTC, with milliseconds; refuses what lies beyond the year 9999 (OverflowError)."""
    return (EPOCH + instant * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_of(text: str) -> int | None:
    """RFC 3339 text with an offset as an instant (ms, rounded down); None for anything else, a time without offset included."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - EPOCH) // _MILLISECOND


def _patiently(value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> Decoded:
    """The slow way: everything that one typed pass does not take, and the reason why something is refused."""
    try:
        named = ((name.lower(), text) for name, text in headers if text is not None)
        attributes = {name: text.decode() for name, text in named if name == "content-type" or name.startswith("ce_")}
        members = _ANYTHING.decode(value.removeprefix(BYTE_ORDER_MARK))
    except _DATA_ERRORS as error:
        return _refused(error)
    content_type = attributes.get("content-type", "").split(";")[0].strip().lower()
    structured = content_type.startswith("application/cloudevents")
    if structured and content_type.removeprefix("application/cloudevents") not in {"", "+json"}:
        return Rejected("unsupported", f"content type {content_type}"[:LONGEST_WHERE])
    if not isinstance(members, dict):
        return Rejected("wrong_type", "$: an object is expected")
    if structured or "specversion" in members:
        return _opened(members)
    return _filled(members, {name.removeprefix("ce_"): text for name, text in attributes.items() if name.startswith("ce_")})


def _opened(envelope: dict[str, Any]) -> Decoded:
    data = envelope.get("data")
    if data is None and isinstance(packed := envelope.get("data_base64"), str):
        try:
            data = _ANYTHING.decode(b64decode(packed, validate=True))
        except _DATA_ERRORS as error:
            refused = _refused(error)
            return Rejected(refused.reason, f"$.data_base64: {refused.where}"[:LONGEST_WHERE])
    if data is None:
        return Rejected("missing_field", "$.data")
    if not isinstance(data, dict):
        return Rejected("wrong_type", "$.data: an object is expected")
    return _filled(data, envelope)


def _filled(data: dict[str, Any], envelope: Mapping[str, Any]) -> Decoded:
    version = envelope.get("specversion", SPECVERSION)
    if version != SPECVERSION:
        return Rejected("unsupported", f"specversion {version!r}"[:LONGEST_WHERE])
    fields = {name: member for name, member in data.items() if member is not None}
    for ours, theirs in _FROM_ENVELOPE:
        if fields.get(ours, "") == "" and theirs in envelope:
            fields[ours] = envelope[theirs]
    if isinstance(fields.get("type"), str):
        fields["type"] = fields["type"].removeprefix(TYPE_PREFIX)
    for name in _INSTANTS:
        given = fields.get(name)
        if isinstance(given, str):
            instant = instant_of(given)
            if instant is None:
                return Rejected("wrong_type", f"$.{name}: milliseconds, or RFC 3339 with an offset, are expected")
            fields[name] = instant
        elif isinstance(given, float) and given.is_integer():
            fields[name] = int(given)
    return build(fields)


def _off_scale(rating: Rated) -> str:
    """Why a rating cannot be, or nothing."""
    numbers = [number for number in (rating.minimum, rating.value, rating.maximum) if number is not None]
    if not all(map(isfinite, numbers)):
        return "$.value: a finite number is expected"
    return "" if numbers == sorted(numbers) else "$.value: minimum <= value <= maximum is expected"


def _refused(error: Exception, kind: type[Event] = Event) -> Rejected:
    """The reason for one of `_DATA_ERRORS`, read from what msgspec says; for an event of a ``kind``, with the words that there are."""
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Rejected("encoding", text[:LONGEST_WHERE])
    if not isinstance(error, ValidationError):
        return Rejected("malformed", "nested too deeply" if isinstance(error, RecursionError) else text[:LONGEST_WHERE])
    found = _PATH.search(text)
    path = found[1].strip("`").replace("`", "") if found else "$"
    problem = _PATH.sub("", text)
    if absent := _MISSING.search(problem):
        return Rejected("missing_field", f"{path}.{absent[1]}: required")
    reason = _reason(problem)
    words = words_of(kind, path.rpartition(".")[2]) if reason == "unknown_value" else ""
    return Rejected(reason, f"{path}: {problem}{words}".replace("`", "")[:LONGEST_WHERE])


def _reason(problem: str) -> RejectedReason:
    if "of length >= 1" in problem:
        return "missing_field"
    if "of length <=" in problem:
        return "too_long"
    if problem.startswith("Invalid enum value"):
        return "unknown_value"
    if " >= " in problem or " <= " in problem or problem == "Number out of range":
        return "impossible"
    return "wrong_type"
