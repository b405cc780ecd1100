"""The wire: bytes to canonical events and back, and every way in which bytes can be wrong."""

import json
import math
from base64 import b64encode
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Ignored, Rejected, RejectedReason, build, check_time, decode, encode, instant_of, rfc3339, to_cloudevent
from schemas.events import EVENT_TYPES, Answered, Ended, Event, Held, Rated, Reset
from tests.wire import damaged, events, is_sound

ANSWERED: Final = Answered(id="e-1", source="pbx", interaction_id="call-1", at=1_700_000_000_123, representative="Ada")
FIELDS: Final = {
    "type": "answered",
    "id": "e-1",
    "source": "pbx",
    "interaction_id": "call-1",
    "at": 1_700_000_000_123,
    "representative": "Ada",
}
LEAN: Final = {"interaction_id": "call-1", "representative": "Ada"}
ENVELOPE: Final = {"specversion": "1.0", "id": "e-1", "source": "pbx", "type": "karar.answered", "time": "2023-11-14T22:13:20.123Z"}
BINARY: Final = [
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-1"),
    ("ce_source", b"pbx"),
    ("ce_type", b"karar.answered"),
    ("ce_time", b"2023-11-14T22:13:20.123Z"),
]
RATED: Final = {"type": "rated", "id": "r", "source": "survey", "interaction_id": "call-1", "at": 1, "kind": "nps", "value": 7}


def line(*without: str, **fields: Any) -> bytes:
    """An answered event as a JSON line, with other fields or without some."""
    return json.dumps({name: value for name, value in (FIELDS | fields).items() if name not in without}).encode()


def structured(data: Any = LEAN, *without: str, **attributes: Any) -> bytes:
    """A CloudEvent in structured mode."""
    envelope = {name: value for name, value in (ENVELOPE | attributes).items() if name not in without}
    return json.dumps(envelope | ({} if data is None else {"data": data})).encode()


def refusal(value: bytes, headers: Any = ()) -> tuple[str, str]:
    """The reason and the place of what must be one refusal."""
    (decoded,) = decode(value, headers)
    assert isinstance(decoded, Rejected)
    return decoded.reason, decoded.where


def test_a_flat_line_is_an_event() -> None:
    """A JSON object with a type is that event."""
    assert decode(line()) == [ANSWERED]


@given(events())
def test_every_event_comes_back_as_it_went(event: Event) -> None:
    """Encoding loses nothing, flat or as a CloudEvent, bare or behind a Confluent frame."""
    assert decode(encode(event)) == [event]
    assert decode(to_cloudevent(event)) == [event]
    assert decode(b"\0\0\0\0\7" + encode(event)) == [event]


@given(events())
def test_the_envelope_says_what_the_data_leaves_out(event: Event) -> None:
    """Id, source, type and time may stand in the envelope alone, in structured and in binary mode."""
    data = json.loads(encode(event))
    lean = {name: value for name, value in data.items() if name not in {"id", "source", "type", "at"}}
    attributes = {"specversion": "1.0", "id": event.id, "source": event.source, "type": f"karar.{data['type']}", "time": rfc3339(event.at)}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]

    assert decode(json.dumps(attributes | {"data": lean}).encode()) == [event]
    assert decode(json.dumps(lean).encode(), headers) == [event]


@given(events(), st.sampled_from(["", "type", "id", "source", "at"]), st.booleans())
def test_the_fast_and_the_slow_way_agree(event: Event, missing: str, in_envelope: bool) -> None:  # noqa: FBT001 - drawn
    """What one typed pass takes and what is put together member by member is the same."""
    whole = json.loads(to_cloudevent(event))
    whole["data"].pop(missing, None)
    value = json.dumps(whole if in_envelope else whole["data"]).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("schemas.codec._typed", lambda _: None)
        slowly = decode(value)

    assert decode(value) == slowly


def test_a_whole_event_needs_nothing_of_its_headers() -> None:
    """Whatever they say."""
    assert decode(line(), [("ce_specversion", b"0.3"), ("ce_id", b"\xff")]) == [ANSWERED]


@given(events())
def test_an_instant_may_be_a_time_with_an_offset(event: Event) -> None:
    """RFC 3339 text is read as its milliseconds, in every field that is an instant."""
    fields = json.loads(encode(event))
    texts = {name: rfc3339(fields[name]) for name in ("at", "updated_at", "promised_by", "appointment_at") if name in fields}

    assert decode(json.dumps(fields | texts).encode()) == [event]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        ("2023-11-14t23:13:20.1239999+01:00", 1_700_000_000_123),
        ("2023-11-14T14:13:20-08:00", 1_700_000_000_000),
        ("2036-02-07T06:28:16Z", 2_085_978_496_000),
        ("2023-11-14T22:13:20", None),
        ("2023-11-14", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_only_a_time_with_an_offset_is_an_instant(text: str, instant: int | None) -> None:
    """What zone a naive time is in would be a guess; fractions of a millisecond are dropped."""
    assert instant_of(text) == instant


def test_a_naive_time_is_refused() -> None:
    """The refusal says what is expected."""
    assert refusal(line(at="2023-11-14T22:13:20")) == ("wrong_type", "$.at: milliseconds, or RFC 3339 with an offset, are expected")


def test_a_whole_number_with_a_decimal_point_is_a_whole_number() -> None:
    """JSON does not tell 1.0 from 1; half a millisecond is refused."""
    assert decode(line(at=1_700_000_000_123.0)) == [ANSWERED]
    assert refusal(line(at=1.5)) == ("wrong_type", "$.at: Expected int, got float")


@pytest.mark.parametrize("name", ["representative", "id", "source", "interaction_id", "at", "type"])
@pytest.mark.parametrize("change", ["absent", "null", "empty"])
def test_a_required_field_that_is_not_there_is_refused(name: str, change: str) -> None:
    """Absent, null and empty are the same: not published."""
    value = line(name) if change == "absent" else line(**{name: None if change == "null" else ""})
    if change == "empty" and name == "at":
        assert refusal(value)[0] == "wrong_type"
    elif change == "empty" and name == "type":
        assert decode(value) == [Ignored("unknown_type")]
    else:
        reason, where = refusal(value)
        assert (reason, where.split(":")[0]) == ("missing_field", f"$.{name}")


def test_a_null_where_nothing_is_required_is_nothing() -> None:
    """Publishers write null for what they do not know."""
    assert decode(line(queue=None, identifiers=None)) == [ANSWERED]


def test_unknown_fields_are_ignored() -> None:
    """A newer publisher may say more."""
    assert decode(line(mood="fine", specversions={"a": [1]})) == [ANSWERED]


@pytest.mark.parametrize("kind", ["karar.danced", "danced", "com.example.answered"])
def test_an_unknown_type_is_ignored(kind: str) -> None:
    """A newer publisher may tell of more; so may somebody else on the topic."""
    assert decode(line(type=kind)) == [Ignored("unknown_type")]
    assert decode(structured(type=kind)) == [Ignored("unknown_type")]


def test_the_type_may_have_its_prefix_in_the_data_too() -> None:
    """`karar.answered` and `answered` are one type."""
    assert decode(line(type="karar.answered")) == [ANSWERED]


def test_what_the_data_says_goes_before_the_envelope() -> None:
    """The envelope only fills what is missing."""
    assert decode(structured(LEAN | {"id": "own", "at": 5, "type": "answered"}, source="other")) == [
        Answered(id="own", source="other", interaction_id="call-1", at=5, representative="Ada")
    ]
    assert decode(structured(LEAN | {"id": "", "type": "held"}, time="2023-11-14T22:13:20.123Z")) == [
        Held(id="e-1", source="pbx", interaction_id="call-1", at=1_700_000_000_123, representative="Ada")
    ]


def test_data_may_be_packed_in_base64() -> None:
    """CloudEvents allow it for any data."""
    packed = b64encode(json.dumps(LEAN).encode()).decode()

    assert decode(structured(None, data_base64=packed)) == [ANSWERED]
    assert decode(structured(None, data_base64=b64encode(encode(ANSWERED)).decode())) == [ANSWERED]


@pytest.mark.parametrize(
    ("packed", "reason"),
    [("%", "malformed"), ("é", "malformed"), ("e30", "malformed"), (b64encode(b"{").decode(), "malformed"), (7, "missing_field")],
)
def test_what_is_packed_wrongly_is_refused(packed: Any, reason: str) -> None:
    """Base64 that is none, and JSON that is none inside of it."""
    assert refusal(structured(None, data_base64=packed))[0] == reason


def test_a_tombstone_is_ignored() -> None:
    """A null value deletes in a compacted topic: an event without data."""
    assert decode(None) == [Ignored("tombstone")]
    assert decode(None, BINARY) == [Ignored("tombstone")]


@pytest.mark.parametrize("data", [None, [], 7, "text"])
def test_an_envelope_without_an_event_in_it_is_refused(data: Any) -> None:
    """Data is an object."""
    reason, where = refusal(structured(data))
    assert reason == ("missing_field" if data is None else "wrong_type")
    assert where.startswith("$.data")


@pytest.mark.parametrize("version", ["0.3", "2.0", 1.0, None, ["1.0"]])
def test_another_version_of_the_envelope_is_unsupported(version: Any) -> None:
    """What its attributes mean is not known."""
    assert refusal(structured(specversion=version))[0] == "unsupported"
    assert refusal(json.dumps(LEAN).encode(), [*BINARY, ("ce_specversion", b"0.3")])[0] == "unsupported"


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=UTF-8", b"application/cloudevents"]
)
def test_the_content_type_makes_it_structured(content_type: bytes) -> None:
    """The prefix counts, in any case."""
    assert decode(structured(), [("Content-Type", content_type)]) == [ANSWERED]
    assert refusal(json.dumps(LEAN).encode(), [("content-type", content_type)]) == ("missing_field", "$.data")


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+avro", b"application/cloudevents-batch+json", b"application/cloudevents+" + b"x" * 500]
)
def test_another_format_of_the_envelope_is_unsupported(content_type: bytes) -> None:
    """Kafka has no batches, and what is not JSON is not read."""
    assert refusal(b"[]", [("content-type", content_type)])[0] == "unsupported"


def test_headers_that_are_null_or_not_text_do_no_harm() -> None:
    """A null header is absent; one that is not UTF-8 is refused when it is needed."""
    assert decode(json.dumps(LEAN).encode(), [*BINARY, ("ce_subject", None)]) == [ANSWERED]
    assert refusal(json.dumps(LEAN).encode(), [*BINARY, ("ce_subject", b"\xff")])[0] == "encoding"


def test_a_text_that_speaks_of_specversion_is_no_envelope() -> None:
    """Only the member makes it one."""
    (event,) = decode(line(reason='said "specversion" twice'))
    assert isinstance(event, Answered)


def test_a_byte_order_mark_is_skipped() -> None:
    """Some editors begin a file with it."""
    assert decode(b"\xef\xbb\xbf" + line()) == [ANSWERED]


def test_only_one_frame_is_stripped() -> None:
    """A Confluent frame is five bytes, once; what is still no JSON is refused."""
    assert refusal(b"\0" * 10 + line())[0] == "malformed"
    assert refusal(b"\0\0\0\0\1")[0] == "malformed"


@pytest.mark.parametrize(
    ("value", "reason", "where"),
    [
        (b"", "malformed", "Input data was truncated"),
        (b"{", "malformed", "Input data was truncated"),
        (b"not json", "malformed", "JSON is malformed: invalid character"),
        (line() + b"}", "malformed", "JSON is malformed: trailing characters"),
        (b'{"a":' + b"[" * 100_000, "malformed", "nested too deeply"),
        (line().decode().encode("utf-16"), "malformed", "JSON is malformed: invalid character"),
        (line().replace(b"Ada", b"\xc4da"), "encoding", "'utf-8' codec can't decode byte 0xc4 in position 0: invalid continuation byte"),
        (b"[]", "wrong_type", "$: an object is expected"),
        (b"7", "wrong_type", "$: an object is expected"),
        (line(type=7), "wrong_type", "$.type: a text is expected"),
        (line(type=[]), "wrong_type", "$.type: a text is expected"),
        (line(at=True), "wrong_type", "$.at: Expected int, got bool"),
        (line(representative=7), "wrong_type", "$.representative: Expected str, got int"),
        (line(identifiers=["x"]), "wrong_type", "$.identifiers: Expected object, got array"),
        (line(channel="smoke"), "unknown_value", "$.channel: Invalid enum value 'smoke'"),
        (line(identifiers={"shoe": "42"}), "unknown_value", "key in $.identifiers: Invalid enum value 'shoe'"),
        (line(need="x" * 257), "too_long", "$.need: Expected str of length <= 256"),
        (line(at=-1), "impossible", "$.at: Expected int >= 0"),
        (line(at=253_402_300_800_000), "impossible", "$.at: Expected int <= 253402300799999"),
        (line(sequence=1 << 64), "impossible", "$.sequence: Expected int <= 9223372036854775807"),
        (
            json.dumps({**RATED, "type": "identified", "identifiers": {}}).encode(),
            "missing_field",
            "$.identifiers: Expected object of length >= 1",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason_and_place(value: bytes, reason: str, where: str) -> None:
    """Reasons are bounded, places are short."""
    found, place = refusal(value)
    assert (found, place[: len(where)]) == (reason, where)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (line(channel="smoke"), "$.channel: Invalid enum value 'smoke'; one of: call, visit, chat, email, video, back_office"),
        (
            line(identifiers={"shoe": "42"}),
            "key in $.identifiers: Invalid enum value 'shoe'; one of: customer, account, email, phone, device, ticket",
        ),
        (line(channel=7), "$.channel: Expected str, got int"),
    ],
)
def test_a_word_that_does_not_exist_is_refused_with_those_that_do(value: bytes, where: str) -> None:
    """What, where, and what to do."""
    assert refusal(value)[1] == where


def test_a_place_is_never_longer_than_200_characters() -> None:
    """A refusal goes into logs and labels."""
    assert len(refusal(line(channel="x" * 5_000))[1]) == 200
    assert len(refusal(structured(specversion="x" * 5_000))[1]) == 200


@pytest.mark.parametrize(
    ("scale", "is_possible"),
    [
        ({"value": 7, "minimum": 0, "maximum": 10}, True),
        ({"value": 0, "minimum": 0, "maximum": 10}, True),
        ({"value": 10, "minimum": 0, "maximum": 10}, True),
        ({"value": 10.5, "minimum": 0, "maximum": 10}, False),
        ({"value": -1, "minimum": 0}, False),
        ({"value": 11, "maximum": 10}, False),
        ({"value": 5, "minimum": 10, "maximum": 0}, False),
    ],
)
def test_a_rating_lies_on_its_scale(scale: dict[str, float], is_possible: bool) -> None:  # noqa: FBT001 - a table
    """A value beyond its own scale cannot have been given."""
    (decoded,) = decode(json.dumps(RATED | scale).encode())

    assert isinstance(decoded, Rated if is_possible else Rejected)
    assert is_possible or decoded == Rejected("impossible", "$.value: minimum <= value <= maximum is expected")


def test_a_rating_is_a_finite_number() -> None:
    """Too large for a number, or none at all."""
    assert refusal(json.dumps(RATED).encode().replace(b": 7", b": 1e999"))[0] == "impossible"
    assert refusal(json.dumps(RATED | {"value": math.nan}).encode())[0] == "malformed"
    assert build(RATED | {"value": "nan"}, strict=False) == Rejected("impossible", "$.value: a finite number is expected")


def test_numbers_may_be_texts_where_everything_is_text() -> None:
    """A table has only texts; canonical JSON has numbers."""
    assert isinstance(build(RATED | {"value": "7"}, strict=False), Rated)
    assert isinstance(build(RATED | {"value": "7"}), Rejected)


@pytest.mark.parametrize(
    ("ahead_ms", "reason"),
    [(-1, ""), (299_999, ""), (300_000, ""), (300_001, "future")],
)
def test_more_than_five_minutes_ahead_is_the_future(ahead_ms: int, reason: str) -> None:
    """Exactly five minutes are clock skew."""
    wall = 1_700_000_000_000
    event = Ended(id="e", source="s", interaction_id="i", at=wall + ahead_ms)

    checked = check_time(event, wall)

    assert (checked.reason if isinstance(checked, Rejected) else "") == reason
    assert bool(reason) or checked is event


@pytest.mark.parametrize(
    ("at", "reason"), [(946_684_799_999, "ancient"), (946_684_800_000, ""), (0, "ancient"), (1_700_000_000, "ancient")]
)
def test_before_2000_is_ancient(at: int, reason: str) -> None:
    """Seconds taken for milliseconds end there too."""
    checked = check_time(Ended(id="e", source="s", interaction_id="i", at=at), 1_700_000_000_000)

    assert (checked.reason if isinstance(checked, Rejected) else "") == reason


def test_only_the_time_of_the_event_is_checked() -> None:
    """A promise lies in the future."""
    event = Ended(id="e", source="s", interaction_id="i", at=1_700_000_000_000, promised_by=4_000_000_000_000, updated_at=1)

    assert check_time(event, 1_700_000_000_000) is event


def test_a_cloudevent_has_the_attributes_that_its_specification_requires() -> None:
    """Structured mode; consumers may take equal source and id for a duplicate, so a revision has an id of its own there."""
    assert json.loads(to_cloudevent(ANSWERED)) == ENVELOPE | {"datacontenttype": "application/json", "data": FIELDS}
    revised = Ended(id="e", source="s", interaction_id="i", at=1, revision=3)
    assert json.loads(to_cloudevent(revised))["id"] == "e/3"
    assert decode(to_cloudevent(revised)) == [revised]


def test_nothing_that_is_not_published_is_written() -> None:
    """Empty texts and zeros stay out; a reset needs no interaction."""
    reset = Reset(id="e", source="s", at=1)

    assert json.loads(encode(reset)) == {"type": "reset", "id": "e", "source": "s", "at": 1}
    assert decode(encode(reset)) == [reset]


def test_the_vocabulary_of_reasons_is_what_dead_letters_and_metrics_are_labelled_with() -> None:
    """A new reason is a decision."""
    assert get_args(RejectedReason) == (
        *("malformed", "encoding", "too_long", "missing_field", "wrong_type", "unknown_value"),
        *("impossible", "unsupported", "future", "ancient"),
    )
    assert len(EVENT_TYPES) == 30


HEADERS: Final = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_id", "ce_time", "ce_type", "ce_source", "ce_specversion"]) | st.text(max_size=5),
        st.none() | st.binary(max_size=8) | st.sampled_from([b"application/cloudevents", b"karar.ended", b"1.0"]),
    )
)


@given(st.binary() | st.text().map(str.encode), HEADERS)
def test_arbitrary_bytes_never_raise(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever comes is one event or one reason."""
    decoded = decode(value, headers)

    assert len(decoded) == 1
    assert is_sound(decoded[0])


@given(st.data(), events(), HEADERS)
def test_damaged_events_never_raise(data: st.DataObject, event: Event, headers: list[tuple[str, bytes | None]]) -> None:
    """Cut, overwritten, in another encoding: one event or one reason."""
    whole = data.draw(st.sampled_from([encode(event), to_cloudevent(event), b"\0\0\0\0\1" + encode(event)]))
    decoded = decode(data.draw(damaged(whole)), headers)

    assert len(decoded) == 1
    assert is_sound(decoded[0])


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["1.0"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["data", "at", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(events(), st.dictionaries(st.sampled_from([*FIELDS, "identifiers", "queue", "value", "specversion", "data", "data_base64"]), JSON))
def test_members_of_any_type_never_raise(event: Event, members: dict[str, Any]) -> None:
    """Well-formed JSON that is not what is expected: one event or one reason."""
    for value in (json.loads(encode(event)) | members, json.loads(to_cloudevent(event)) | members):
        decoded = decode(json.dumps(value).encode())

        assert len(decoded) == 1
        assert is_sound(decoded[0])
