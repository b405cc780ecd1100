"""What the tests of the wire share: any event, any bytes, and what must hold for whatever is decoded."""

import io
from typing import Any, Literal, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from schemas.codec import Decoded, Ignored, IgnoredReason, Rejected, RejectedReason, decode, encode
from schemas.events import EVENT_TYPES, Actor, Channel, Direction, Event, IdentifierKind
from schemas.sources import Read, Source

TEXTS = st.text(max_size=20)
NAMES = st.text(min_size=1, max_size=20)
INSTANTS = st.integers(0, 253_402_300_799_999) | st.sampled_from([0, 2_085_978_495_000, 4_102_444_800_000])
OF_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "at": INSTANTS,
    "updated_at": INSTANTS,
    "promised_by": INSTANTS,
    "appointment_at": INSTANTS,
    "sequence": st.integers(0, (1 << 63) - 1),
    "revision": st.integers(0, 5),
    "channel": st.sampled_from(get_args(Channel)),
    "direction": st.sampled_from(get_args(Direction)),
    "actor": st.sampled_from(get_args(Actor)),
    "identifiers": st.dictionaries(st.sampled_from(get_args(IdentifierKind)), TEXTS, min_size=1),
    "value": st.floats(0, 10, allow_nan=False),
    "minimum": st.sampled_from([None, 0.0]),
    "maximum": st.sampled_from([None, 10.0]),
    "timed": st.booleans(),
    "queues_only": st.booleans(),
}


def of_field(field: msgspec.structs.FieldInfo) -> st.SearchStrategy[Any]:
    """Any value that a field may have."""
    if field.name in OF_FIELD:
        return OF_FIELD[field.name]
    return st.sampled_from(get_args(field.type)) if get_origin(field.type) is Literal else NAMES


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that may be."""
    kind = draw(st.sampled_from(list(EVENT_TYPES.values())))
    given_fields = {}
    for field in msgspec.structs.fields(kind):
        if field.required or draw(st.integers(0, 3)) == 0:
            given_fields[field.name] = draw(of_field(field))
    return kind(**given_fields)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes that were right once: cut, overwritten, doubled, or in another encoding."""
    value = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(value)))
        end = draw(st.integers(start, min(len(value), start + 12)))
        value[start:end] = draw(st.binary(max_size=6) | st.sampled_from([b"", b"|", b'"', b",", b"\n", b"\xff", b"null", b"-1", b"1e999"]))
    return draw(
        st.sampled_from([bytes(value), bytes(value)[: draw(st.integers(0, len(value)))], bytes(value).decode("latin-1").encode("utf-16")])
    )


def kind(event: Event) -> str:
    """The event's type, as it is written."""
    return str(event.__struct_config__.tag)


def is_sound(decoded: Decoded) -> bool:
    """An event that its own codec takes back unchanged, or a reason from the bounded list with a short text."""
    if isinstance(decoded, Ignored):
        return decoded.reason in get_args(IgnoredReason)
    if isinstance(decoded, Rejected):
        return decoded.reason in get_args(RejectedReason) and len(decoded.where) <= 200
    return decode(encode(decoded)) == [decoded]


def records(source: Source, data: bytes) -> list[Read]:
    """Everything that a source reads in some bytes."""
    return list(source.read(io.BytesIO(data)))


class Endless(io.RawIOBase):
    """A stream that is made while it is read: a long line costs whoever keeps it, not the test."""

    def __init__(self, *parts: tuple[bytes, int]) -> None:
        """Every part is (bytes, how often)."""
        self.parts = list(parts)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the next repetition."""
        if not self.parts:
            return 0
        chunk, times = self.parts.pop(0)
        assert len(chunk) <= len(buffer)
        buffer[: len(chunk)] = chunk
        if times > 1:
            self.parts.insert(0, (chunk, times - 1))
        return len(chunk)
