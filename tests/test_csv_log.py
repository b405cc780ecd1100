"""Event logs with a header, read by a mapping; and what every format has in common."""

import io
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Ignored, Rejected, encode, to_cloudevent
from schemas.events import Answered, Ended, Event, Rated, WorkStarted
from schemas.sources import COMING, FORMATS, Source, open_source, read_mapping
from schemas.sources.mapping import COLUMN_FIELDS
from tests.shared import LOOKALIKES, ROOT, real_or_skip
from tests.wire import Endless, damaged, events, is_sound, kind, records

EXAMPLE: Final = (ROOT / "docs" / "examples" / "callcenter.toml").read_text("utf-8")
ACTIVITIES: Final = (LOOKALIKES / "activities.csv").read_bytes()
HEADER: Final = ACTIVITIES.splitlines()[0]
ROW: Final = "Case 1,Inbound Call,9.3.10 8:05,9.3.10 8:10,FL,Customer 1,MacBook Pro,Repair,Helen"

TICKETS: Final = """
source = "helpdesk"
delimiter = ";"

[time]
format = "iso"
zone = "Europe/Berlin"

[columns]
Nr = "id"
Ticket = "interaction_id"
Who = "representative"
Queue = "queue"
Mail = "identifiers.email"
Due = "promised_by"
Stars = "value"

[blocked]
"identifiers.email" = ["n/a"]
promised_by = ["never"]

[events]
column = "What"

[events.values]
taken = [{ type = "answered", at = "When", channel = "email" }]
rated = [{ type = "rated", at = "When", kind = "csat", minimum = 1, maximum = 5 }]
"*" = [{ type = "wrapped_up", at = "When" }]
"""
TICKET_HEADER: Final = "Nr;Ticket;What;When;Who;Queue;Mail;Due;Stars"


def example(text: str = EXAMPLE) -> Source:
    """The adapter of the shipped mapping."""
    return open_source("csv", read_mapping(text))


def row(*changes: tuple[str, str], text: str = EXAMPLE) -> list[Any]:
    """What a row says, after changes."""
    changed = ROW
    for old, new in changes:
        changed = changed.replace(old, new)
    (read,) = records(example(text), HEADER + b"\n" + changed.encode())
    return list(read.decoded)


def tickets(*rows: str) -> list[Any]:
    """What rows of the ticket log say."""
    reads = records(open_source("csv", read_mapping(TICKETS)), "\n".join([TICKET_HEADER, *rows]).encode())
    return [x for read in reads for x in read.decoded]


def ms(*when: int) -> int:
    """A moment in UTC as an instant."""
    year, month, day, hour, minute = (*when, 0, 0)[:5]
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def test_the_real_event_log_counts_as_it_should() -> None:
    """Every row of the vendor's log is an activity: 7,548 starts, 7,548 ends, nothing refused."""
    decoded = [x for read in records(example(), real_or_skip("data/fluxicon_callcenter/callcenter.csv").read_bytes()) for x in read.decoded]
    found = [x for x in decoded if isinstance(x, Event)]

    assert len(found) == len(decoded) == 2 * 7_548
    assert Counter((kind(x), x.channel, x.direction) for x in found) == {
        ("answered", "call", "inbound"): 4_361,
        ("ended", "call", "inbound"): 4_361,
        ("answered", "call", "outbound"): 661,
        ("ended", "call", "outbound"): 661,
        ("answered", "email", "inbound"): 487,
        ("ended", "email", "inbound"): 487,
        ("answered", "email", "outbound"): 544,
        ("ended", "email", "outbound"): 544,
        ("work_started", "back_office", ""): 931 + 564,
        ("work_completed", "back_office", ""): 931 + 564,
    }
    assert Counter(x.team for x in found) == {"FL": 2 * 7_103, "BL": 2 * 445}
    assert len({x.case_id for x in found}) == 3_885
    assert len({x.identifiers.get("customer", "") for x in found}) == 3_232
    assert len({x.case_id for x in found if not x.identifiers}) == 571
    assert len({x.representative for x in found}) == 48
    assert len({x.interaction_id for x in found}) == 7_548
    assert len({x.id for x in found}) == 2 * 7_548


def test_every_row_is_an_activity_with_a_start_and_an_end() -> None:
    """Answered and ended, or work started and completed; a row that stands three times is three activities."""
    reads = records(example(), ACTIVITIES)

    assert [read.number for read in reads] == list(range(2, 10))
    assert all(len(read.decoded) == 2 for read in reads)
    assert Counter(kind(x) for read in reads for x in read.decoded if isinstance(x, Event)) == {
        "answered": 6,
        "ended": 6,
        "work_started": 2,
        "work_completed": 2,
    }
    assert len({x.id for read in reads for x in read.decoded if isinstance(x, Event)}) == 16


def test_a_row_becomes_what_the_mapping_says() -> None:
    """Columns are fields, the value of the event column chooses the events, ids come from the line."""
    shared_fields: dict[str, Any] = {
        "source": "callcenter",
        "interaction_id": "callcenter-2",
        "sequence": 2,
        "channel": "call",
        "direction": "inbound",
        "team": "FL",
        "representative": "Helen",
        "identifiers": {"customer": "Customer 1"},
        "need": "Repair",
        "service": "MacBook Pro",
        "case_id": "Case 1",
    }

    assert row() == [
        Answered(id="2-1", at=ms(2010, 3, 9, 8, 5), **shared_fields),
        Ended(id="2-2", at=ms(2010, 3, 9, 8, 10), **shared_fields),
    ]


def test_a_mail_has_no_talk_time() -> None:
    """Its touch is one without length."""
    answered, _ = row(("Inbound Call", "Inbound Email"))

    assert (answered.channel, answered.timed) == ("email", False)


def test_back_office_work_is_no_contact() -> None:
    """`Handle Case` happens without the customer."""
    started, _ = row(("Inbound Call", "Handle Case"))

    assert isinstance(started, WorkStarted)
    assert started.channel == "back_office"


@pytest.mark.parametrize("customer", ["Customer 3", " customer 3 ", ""])
def test_a_blocked_value_identifies_nobody(customer: str) -> None:
    """The anonymous bucket is no customer; `Customer 33` is one."""
    assert [x.identifiers for x in row(("Customer 1", customer))] == [{}, {}]
    assert [x.identifiers for x in row(("Customer 1", "Customer 33"))] == [{"customer": "Customer 33"}] * 2


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("9.3.10 8:05", ms(2010, 3, 9, 8, 5)),
        ("09.03.10 08:05", ms(2010, 3, 9, 8, 5)),
        (" 31.12.09 0:00", ms(2009, 12, 31)),
    ],
)
def test_days_and_hours_need_no_leading_zero(text: str, at: int) -> None:
    """As `d.m.yy H:MM` writes them."""
    assert row(("9.3.10 8:05", text))[0].at == at


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("31.10.10 2:30", "31.10.10 2:40", 600),
        ("31.10.10 2:50", "31.10.10 2:10", 1_200),
        ("31.10.10 1:30", "31.10.10 3:30", 3 * 3_600),
        ("28.3.10 1:30", "28.3.10 3:30", 3_600),
        ("28.3.10 2:30", "28.3.10 3:30", 0),
    ],
)
def test_hours_that_come_twice_or_never_are_read_the_same_each_time(start: str, end: str, seconds: int) -> None:
    """Of an hour that comes twice the first, unless the end would lie before the start; one that never was by the offset before."""
    berlin = EXAMPLE.replace('zone = "UTC"', 'zone = "Europe/Berlin"')
    first, second = row(("9.3.10 8:05", start), ("9.3.10 8:10", end), text=berlin)

    assert second.at - first.at == seconds * 1_000


def test_a_start_and_an_end_in_the_same_minute_keep_their_order() -> None:
    """Equal in time and line, they are ordered by id."""
    first, second = row(("9.3.10 8:10", "9.3.10 8:05"))

    assert (first.at, first.sequence) == (second.at, second.sequence)
    assert first.id < second.id


def test_an_activity_that_goes_on_has_no_end_yet() -> None:
    """An empty end is not an error; an empty start is."""
    assert [type(x) for x in row(("9.3.10 8:10", ""))] == [Answered]
    assert row(("9.3.10 8:05", "")) == [
        Rejected("missing_field", "line 2, column \"Start Date\": a time as %d.%m.%y %H:%M is expected, not ''")
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason", "where"),
    [
        ("9.3.10 8:10", "9.3.10 8:04", "impossible", 'line 2, column "End Date": 9.3.10 8:04 is before the row\'s former time'),
        (
            "9.3.10 8:05",
            "9.13.10 8:05",
            "wrong_type",
            "line 2, column \"Start Date\": a time as %d.%m.%y %H:%M is expected, not '9.13.10 8:05'",
        ),
        ("9.3.10 8:05", "x" * 65, "wrong_type", 'line 2, column "Start Date": a time'),
        (",Helen", ",", "missing_field", 'line 2, column "Agent": required'),
        (",Helen", ",Helen,surplus", "malformed", "line 2, 9 columns are expected, 10 found"),
        (",Helen", "", "malformed", "line 2, 9 columns are expected, 8 found"),
        ("Helen", "H" * 257, "too_long", 'line 2, column "Agent": Expected str of length <= 256'),
        ("Customer 1", "C" * 257, "too_long", "line 2, $.identifiers[...]: Expected str of length <= 256"),
        ("Helen", "H" * 140_000, "too_long", "line 2, field larger than field limit (131072)"),
        ("Helen", '"Helen" Smith', "malformed", "line 2, ',' expected after '\"'"),
        ("Helen", '"Helen', "malformed", "line 2, unexpected end of data"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason(old: str, new: str, reason: str, where: str) -> None:
    """As a whole: no start without an end that was to be."""
    (decoded,) = row((old, new))

    assert isinstance(decoded, Rejected)
    assert (decoded.reason, decoded.where[: len(where)]) == (reason, where)


def test_surplus_cells_that_are_empty_do_no_harm() -> None:
    """Spreadsheets end rows with delimiters."""
    assert len(row((",Helen", ",Helen,,"))) == 2


def test_a_value_that_is_not_named_is_ignored() -> None:
    """An operation that the mapping does not speak of."""
    assert row(("Inbound Call", "Coffee")) == [Ignored("unknown_type")]


def test_bytes_in_another_encoding_are_refused() -> None:
    """Or read, where the mapping names it."""
    value = HEADER + b"\n" + ROW.replace("Helen", "J\xf6rg").encode("latin-1")
    (refused,) = records(example(), value)
    (read,) = records(example(EXAMPLE.replace('"utf-8"', '"latin-1"')), value)

    assert refused.decoded == [Rejected("encoding", "line 2, not utf-8")]
    assert [x.representative for x in read.decoded if isinstance(x, Event)] == ["Jörg", "Jörg"]


def test_a_row_may_be_one_event() -> None:
    """Ids of the log are kept, local times have a zone, a time with an offset needs none, instants and numbers are read."""
    answered, rated, other = tickets(
        "1;T-1;taken;2024-07-01 10:00:00;Ada;desk;ada@example.org;2024-07-02T10:00:00Z;",
        "2;T-1;rated;2024-07-01T12:00:00+02:00;;;N/A;never;4",
        "3;T-1;something else;2024-01-01 10:00;;;;;",
    )

    assert answered == Answered(
        id="1",
        source="helpdesk",
        interaction_id="T-1",
        at=ms(2024, 7, 1, 8),
        sequence=2,
        channel="email",
        queue="desk",
        representative="Ada",
        identifiers={"email": "ada@example.org"},
        promised_by=ms(2024, 7, 2, 10),
    )
    assert isinstance(rated, Rated)
    assert (rated.value, rated.minimum, rated.maximum, rated.at, rated.identifiers, rated.promised_by) == (
        4,
        1,
        5,
        ms(2024, 7, 1, 10),
        {},
        0,
    )
    assert (kind(other), other.at) == ("wrapped_up", ms(2024, 1, 1, 9))


@pytest.mark.parametrize(
    ("cells", "decoded"),
    [
        ("2;T-1;rated;2024-07-01 12:00;;;;;6", Rejected("impossible", 'line 2, column "Stars": minimum <= value <= maximum is expected')),
        ("2;T-1;rated;2024-07-01 12:00;;;;;nan", Rejected("impossible", 'line 2, column "Stars": a finite number is expected')),
        ("2;T-1;rated;2024-07-01 12:00;;;;;many", Rejected("wrong_type", 'line 2, column "Stars": Expected float, got str')),
        (
            "2;T-1;taken;2024-07-01 12:00;Ada;;;soon;",
            Rejected("wrong_type", "line 2, column \"Due\": a time as iso is expected, not 'soon'"),
        ),
        ("2;T-1;taken;1969-07-01 12:00;Ada;;;;", Rejected("impossible", 'line 2, column "When": 1969-07-01 12:00 is before 1970')),
        (
            "2;T-1;taken;0001-01-01 00:00;Ada;;;;",
            Rejected("wrong_type", "line 2, column \"When\": a time as iso is expected, not '0001-01-01 00:00'"),
        ),
    ],
)
def test_a_cell_that_cannot_be_is_refused(cells: str, decoded: Rejected) -> None:
    """With the column that it stands in."""
    assert tickets(cells) == [decoded]


@pytest.mark.parametrize(
    ("form", "text", "at"),
    [
        ("epoch", "1266833911", 1_266_833_911_000),
        ("epoch", "1266833911.5", 1_266_833_911_500),
        ("epoch_ms", "1266833911123", 1_266_833_911_123),
        ("epoch", "-1", None),
        ("epoch_ms", "1_0", None),
        ("%Y%m%d%H%M%S%z", "20240701120000+0200", ms(2024, 7, 1, 10)),
        ("%d/%m/%Y %I:%M %p", "1/7/2024 3:05 PM", ms(2024, 7, 1, 15, 5)),
    ],
)
def test_times_may_be_numbers_or_have_their_own_offset(form: str, text: str, at: int | None) -> None:
    """Any pattern of strptime, seconds, milliseconds."""
    decoded = row(("9.3.10 8:05", text), ("9.3.10 8:10", text), text=EXAMPLE.replace("%d.%m.%y %H:%M", form))

    assert [getattr(x, "at", None) for x in decoded] == ([at, at] if at else [None])


def test_a_quoted_cell_may_hold_delimiters_quotes_and_lines() -> None:
    """RFC 4180; the record's number is that of its first line, the next record goes on behind its last."""
    data = HEADER + b"\r\n" + ROW.replace("Repair", '"Repair, ""urgent""\r\n\r\nplease"').encode() + b"\r\n" + ROW.encode()
    first, second = records(example(), data)

    assert (first.number, second.number) == (2, 5)
    assert [x.need for x in first.decoded if isinstance(x, Event)] == ['Repair, "urgent"\n\nplease'] * 2
    assert len(second.decoded) == 2


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    """However far the next quote is; what was looked at in vain is read again."""
    stray = ROW.replace("Helen", '"Helen')
    data = "\n".join([HEADER.decode(), stray, *[ROW] * 150, stray, *[ROW] * 3, stray, ROW, ROW.replace("Helen", '"Hel"')]).encode()
    reads = records(example(), data)

    assert [read.number for read in reads] == list(range(2, 160))
    assert [read.number for read in reads if isinstance(read.decoded[0], Rejected)] == [2, 153, 157]


def test_a_long_line_within_an_open_quote_is_not_swallowed() -> None:
    """It is refused for itself."""
    stray = ROW.replace("Helen", '"Helen').encode()
    data = b"\n".join([HEADER, stray, b'"' + b"x" * (1 << 20), ROW.encode()])

    assert [(read.number, [getattr(x, "reason", "") for x in read.decoded]) for read in records(example(), data)] == [
        (2, ["malformed"]),
        (3, ["too_long"]),
        (4, ["", ""]),
    ]


def test_a_line_of_ten_megabytes_takes_little_memory() -> None:
    """It is refused, and the next row is read."""
    import tracemalloc  # noqa: PLC0415 - only here

    stream = io.BufferedReader(Endless((HEADER + b"\n", 1), (b"x" * 1000, 10_000), (b"\n", 1), (ROW.encode(), 1)))
    adapter = example()
    tracemalloc.start()
    reads = list(adapter.read(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [(read.number, len(read.decoded)) for read in reads] == [(2, 1), (3, 2)]
    assert reads[0].decoded == [Rejected("too_long", "line 2, a line of more than 1048576 bytes")]
    assert peak < 8 << 20


def test_a_file_may_begin_with_a_byte_order_mark_and_blank_lines() -> None:
    """Spreadsheets write the one, people the others."""
    (read,) = records(example(), b"\n\xef\xbb\xbf" + HEADER.replace(b"Service ID", b'"Service ID"') + b"\n\n" + ROW.encode())

    assert (read.number, len(read.decoded)) == (4, 2)


def test_records_may_come_one_by_one() -> None:
    """The first is the header; a blank one is nothing, a null value deletes; reading a stream begins anew."""
    adapter = example()

    assert adapter.decode(b" ", 1) == []
    assert adapter.decode(HEADER, 1) == []
    assert len(adapter.decode(ROW.encode(), 2)) == 2
    assert adapter.decode(None, 3) == [Ignored("tombstone")]
    assert len(records(adapter, HEADER + b"\n" + ROW.encode())) == 1
    assert records(adapter, b"") == records(adapter, HEADER) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('source = "callcenter"', "source = callcenter", "no valid TOML: Invalid value (at line 6, column 10)"),
        ("[blocked]", "[bloked]", "Object contains unknown field `bloked`; see docs/examples/callcenter.toml for what a mapping holds"),
        ('source = "callcenter"', "source = 7", "Expected `str`, got `int` - at `$.source`; see docs/examples/callcenter.toml"),
        ('source = "callcenter"', f'source = "{"x" * 257}"', "source: the name has 257 characters; write at most 256"),
        ('delimiter = ","', 'delimiter = ", "', "delimiter: ', ' cannot separate columns; write one character, such as , or ;"),
        ('delimiter = ","', "delimiter = '\"'", "delimiter: '\"' cannot separate columns"),
        ('"utf-8"', '"utf-9"', 'encoding: "utf-9" is unknown, or not a superset of ASCII; write utf-8, latin-1, cp1252, …'),
        ('"utf-8"', '"utf-16"', 'encoding: "utf-16" is unknown, or not a superset of ASCII'),
        ('"utf-8"', '"rot13"', 'encoding: "rot13" is unknown'),
        ('"utf-8"', '"raw_unicode_escape"', 'encoding: "raw_unicode_escape" is unknown, or not a superset of ASCII'),
        ('"UTC"', '"Berlin"', 'time: unknown zone "Berlin"; write a name of the IANA time zone database, such as UTC or Europe/Berlin'),
        ('"UTC"', '"../../etc/passwd"', 'time: unknown zone "../../etc/passwd"'),
        ('"UTC"', '"Europe"', 'time: unknown zone "Europe"'),
        (
            "%d.%m.%y %H:%M",
            "d.m.yy H:MM",
            'time: time format "d.m.yy H:MM" does not read day, month and year; write a pattern such as %d.%m.%y',
        ),
        ("%d.%m.%y %H:%M", "%H:%M", 'time: time format "%H:%M" does not read day, month and year'),
        ("%d.%m.%y %H:%M", "%d.%m.%y %d", 'time: time format "%d.%m.%y %d" does not read day, month and year'),
        (
            '"representative"',
            '"agent"',
            'columns: unknown field "agent" for column "Agent"; write one of: actor, appointment_at, by, case_id',
        ),
        ('"representative"', '"at"', 'columns: unknown field "at" for column "Agent"'),
        ('"identifiers.customer"\n', '"identifiers.shoe"\n', 'columns: unknown field "identifiers.shoe" for column "Customer ID"'),
        ('"team"', '"representative"', "columns: two columns are the same field; leave one of them out"),
        ('"identifiers.customer" = [', '"desk" = [', 'blocked: no column is the field "desk"; write one of: case_id, identifiers.customer'),
        ('"answered"', '"answerd"', 'events: "Inbound Call": unknown event type "answerd"; write one of: offered, queued'),
        ('type = "ended"', "type = 7", 'events: "Inbound Call": unknown event type "7"'),
        (', at = "End Date"', "", 'events: "Inbound Call", ended: no time; write at = "…" with the name of the column that holds it'),
        ('at = "End Date"', "at = 7", 'events: "Inbound Call", ended: no time'),
        ("timed = false", "time = false", 'events: "Inbound Email", answered: unknown field "time"; write one of: '),
        ("timed = false", 'timed = "no"', 'events: "Inbound Email", answered, timed: Expected `bool`, got `str`'),
        (
            'channel = "call"',
            'channel = "phone"',
            "events: \"Inbound Call\", answered, channel: Invalid enum value 'phone'; one of: call, visit, chat, email, video, back_office",
        ),
        ('channel = "call"', 'id = "x"', 'events: "Inbound Call", answered: unknown field "id"'),
        (
            '"representative"',
            '"desk"',
            'events: "Inbound Call", answered: it needs "representative"; make a column that field, or write representative',
        ),
        ('"Agent"', '"Agnt"', 'columns: the file has no column "Agnt"; its columns are: Service ID, Operation, Start Date'),
        ('column = "Operation"', 'column = "Op"', 'events: the file has no column "Op"'),
        ('"End Date"', '"End"', 'events: "Inbound Call": the file has no column "End"'),
        ('column = "Operation"', "", "events: no column to find the values in; write column = "),
        ('delimiter = ","', 'delimiter = ";"', 'columns: the file has no column "Service ID"; its columns are: Service ID,Operation,'),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_in_one_line(old: str, new: str, problem: str) -> None:
    """What, where, what to do; before a row is read."""
    with pytest.raises(ValueError, match="^" + re.escape(problem)) as raised:
        records(example(EXAMPLE.replace(old, new)), ACTIVITIES)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "events: no value has an event; write [events.values]"),
        ('[events]\ncolumn = "x"\n[events.values]\nx = []', 'events: "x" has 0 events; write 1 to 9, or leave the value out to ignore it'),
        ('[events.values]\n"*" = [{type = "identified", at = "x"}]', 'events: "*", identified: it needs an identifier; make a column'),
    ],
)
def test_a_mapping_without_events_is_refused(text: str, problem: str) -> None:
    """It would read nothing."""
    with pytest.raises(ValueError, match="^" + re.escape(problem)):
        example(text)


def test_every_row_may_be_the_same_event() -> None:
    """Without an event column, `*` is every row."""
    adapter = example('[columns]\nwho = "identifiers.email"\n[events.values]\n"*" = [{type = "identified", at = "t"}]')

    (read,) = records(adapter, b"t,who\n2024-01-01,ada@example.org")

    assert [kind(x) for x in read.decoded if isinstance(x, Event)] == ["identified"]
    assert [x.source for x in read.decoded if isinstance(x, Event)] == ["csv"]


NAMED_TWICE = '[columns]\na = "need"\n[events.values]\n"*" = [{type = "offered", at = "t"}]'


@pytest.mark.parametrize(("header", "reason"), [(b'"a,t', "malformed"), (b"a\xff,t", "encoding"), (b"x" * ((1 << 20) + 1), "too_long")])
def test_a_header_that_cannot_be_read_is_refused_and_nothing_else_is_read(header: bytes, reason: str) -> None:
    """There is nothing to read rows by."""
    (read,) = records(example(NAMED_TWICE), header + b"\n1,2,3")
    (refused,) = read.decoded

    assert isinstance(refused, Rejected)
    assert refused.reason == reason
    assert "the header" in refused.where


def test_a_header_with_a_column_twice_does_not_fit_the_mapping() -> None:
    """Nobody can say which of them is meant."""
    with pytest.raises(ValueError, match="more than one column"):
        records(example(NAMED_TWICE), b"a,a,t\n1,2,3")


def test_the_name_of_the_source_may_be_given() -> None:
    """It goes before that of the mapping, and that before the format's."""
    (read,) = records(open_source("csv", read_mapping(EXAMPLE), "theirs"), HEADER + b"\n" + ROW.encode())

    assert [(x.source, x.interaction_id) for x in read.decoded if isinstance(x, Event)] == [("theirs", "theirs-2")] * 2


def test_no_column_gives_what_the_row_gives() -> None:
    """Source, time and sequence are not a column's to say."""
    assert {"source", "at", "sequence", "type", "identifiers"} & set(COLUMN_FIELDS) == set()
    assert {"id", "interaction_id", "identifiers.phone", "promised_by", "value"} <= set(COLUMN_FIELDS)


@pytest.mark.parametrize("name", COMING)
def test_a_format_still_to_come_says_so(name: str) -> None:
    """In one line that says what there is."""
    with pytest.raises(ValueError, match=rf"^format {name} is still to come; there are: events, asterisk-queue-log, csv$"):
        open_source(name)


def test_an_unknown_format_says_what_there_is() -> None:
    """And `csv` says what it lacks."""
    with pytest.raises(ValueError, match=r'^unknown format "cvs"; there are: events, asterisk-queue-log, csv$'):
        open_source("cvs")
    with pytest.raises(ValueError, match=r"^format csv needs a mapping of columns to fields; docs/examples/callcenter.toml is one$"):
        open_source("csv")


def test_every_format_says_its_name() -> None:
    """As it is asked for."""
    assert [open_source(name, read_mapping(EXAMPLE)).name for name in FORMATS] == list(FORMATS)


@given(st.lists(events()))
def test_lines_of_canonical_events_are_read_as_they_are(given_events: list[Event]) -> None:
    """Flat and as CloudEvents, numbered by line, blank lines skipped; source and sequence are the publisher's."""
    written = [line for event in given_events for line in (encode(event), b"", to_cloudevent(event))]
    reads = records(open_source("events", source_name="other"), b"\n".join(written))

    assert [x for read in reads for x in read.decoded] == [event for event in given_events for _ in range(2)]
    assert [read.number for read in reads] == [n for n, line in enumerate(written, start=1) if line]


def test_a_canonical_record_may_be_in_binary_mode() -> None:
    """Headers are passed on; blank is nothing; a null value deletes."""
    adapter = open_source("events")
    event = Ended(id="e", source="s", interaction_id="i", at=1)

    assert adapter.decode(b'{"interaction_id":"i","at":1}', 1, [("ce_id", b"e"), ("ce_source", b"s"), ("ce_type", b"ended")]) == [event]
    assert adapter.decode(b"", 1) == adapter.decode(b" \n", 1) == []
    assert adapter.decode(None, 1) == [Ignored("tombstone")]


@given(st.binary())
def test_any_bytes_as_canonical_events_never_raise(data: bytes) -> None:
    """Every line that is not blank yields something."""
    reads = records(open_source("events"), data)

    assert [read.number for read in reads] == [n for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    assert all(len(read.decoded) == 1 and is_sound(read.decoded[0]) for read in reads)


CELL: Final = st.text(max_size=8) | st.sampled_from(
    ["Inbound Call", "Handle Case", "9.3.10 8:05", "9.3.36 8:05", "1.1.70 0:00", "FL", '"', ""]
)


@given(st.lists(st.lists(CELL, min_size=8, max_size=10).map(",".join)).map("\n".join).map(str.encode) | st.binary())
def test_any_rows_never_raise(rows: bytes) -> None:
    """Every record yields something, and every line belongs to one."""
    reads = records(example(), HEADER + b"\n" + rows)

    assert all(read.decoded and all(map(is_sound, read.decoded)) for read in reads)
    assert all(isinstance(x, Event) or len(read.decoded) == 1 for read in reads for x in read.decoded)
    numbers = [read.number for read in reads]
    assert numbers == sorted(set(numbers))
    assert sum(len(read.raw.split(b"\n")) for read in reads) >= sum(1 for line in rows.split(b"\n") if line.strip())


@given(st.data())
def test_damaged_rows_never_raise(data: st.DataObject) -> None:
    """Cut, overwritten, in another encoding."""
    rows = data.draw(damaged(ACTIVITIES[len(HEADER) + 1 :]))
    reads = records(example(), HEADER + b"\n" + rows)

    assert all(read.decoded and all(map(is_sound, read.decoded)) for read in reads)
