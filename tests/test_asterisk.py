"""Asterisk's queue log: each trap of `formats/asterisk.md` as a test, real files where they are found, look-alikes always."""

import io
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Decoded, Ignored, Rejected
from schemas.events import Abandoned, Answered, Ended, Event, LeftQueue, Missed, Queued, Reset, Transferred
from schemas.sources import Source, open_source, read_mapping
from schemas.sources.asterisk import EVENTS, NOT_NEEDED, REMEMBERED_LINES
from tests.shared import LOOKALIKES, real_or_skip
from tests.wire import Endless, damaged, is_sound, kind, records

FORMAT: Final = "asterisk-queue-log"
LONGEST: Final = 1 << 20


def source() -> Source:
    """A fresh adapter."""
    return open_source(FORMAT, source_name="pbx")


def one(line: str, number: int = 1) -> Decoded:
    """What a line says."""
    (decoded,) = source().decode(line.encode(), number)
    return decoded


def event(line: str) -> Event:
    """The event that a line must be."""
    decoded = one(line)
    assert isinstance(decoded, Event), decoded
    return decoded


def call(name: str, *parameters: str, agent: str = "SIP/1", queue: str = "help", callid: str = "1700000000.1") -> str:
    """A line about a call."""
    return "|".join(["1700000001", callid, queue, agent, name, *parameters])


def census(path: Path) -> Counter[str]:
    """How often a file says what."""
    decoded = [x for read in records(source(), path.read_bytes()) for x in read.decoded]
    return Counter(kind(x) if isinstance(x, Event) else f"{type(x).__name__} {x.reason}" for x in decoded)


def test_the_real_log_of_2010_counts_as_it_should() -> None:
    """21 entered = 12 abandoned + 8 connected + 1 open; 8 connected = 7 completed + 1 open; 221 ring-no-answers."""
    path = real_or_skip("formats/samples/asterisk/queue_log_freepbx_2010.txt")

    assert census(path) == {"queued": 21, "abandoned": 12, "answered": 8, "ended": 7, "missed": 221, "reset": 2, "Ignored not_needed": 7}


def test_the_real_log_of_2020_ends_with_an_open_call_and_a_restart() -> None:
    """Calls without a last line are normal; the restart says that they are lost."""
    path = real_or_skip("formats/samples/asterisk/queue_log_sip_2020.txt")

    assert census(path) == {"queued": 2, "abandoned": 1, "reset": 6, "Ignored not_needed": 1}
    assert isinstance(records(source(), path.read_bytes())[-1].decoded[0], Reset)


def test_an_old_log_counts_as_it_should() -> None:
    """Asterisk before 12: no original position, no ring time, empty parameters, `TRANSFER`, blank lines at the end."""
    assert census(LOOKALIKES / "queue_log_old.txt") == {
        "queued": 4,
        "missed": 2,
        "answered": 2,
        "ended": 1,
        "abandoned": 1,
        "transferred": 1,
        "reset": 1,
        "Ignored not_needed": 1,
    }


def test_a_newer_log_counts_as_it_should() -> None:
    """Re-entries, transfers, every exit, dialplan events, a corrupt row, a call without an end, a restart."""
    assert census(LOOKALIKES / "queue_log_new.txt") == {
        "queued": 8,
        "left_queue": 8,
        "missed": 2,
        "answered": 3,
        "transferred": 2,
        "ended": 1,
        "reset": 2,
        "Ignored not_needed": 6,
    }


def test_the_caller_enters_the_queue() -> None:
    """ENTERQUEUE is `queued`: callid, queue, caller, whole seconds, the line as sequence."""
    decoded = one("1266833911|1266833905.2|9000|NONE|ENTERQUEUE||01770000000|1", number=5)

    assert isinstance(decoded, Queued)
    assert decoded == Queued(
        id=decoded.id,
        source="pbx",
        interaction_id="1266833905.2",
        at=1_266_833_911_000,
        sequence=5,
        channel="call",
        queue="9000",
        identifiers={"phone": "01770000000"},
    )


@pytest.mark.parametrize(
    ("parameters", "identifiers"),
    [
        (["", "5550100", "1", "Some_One"], {"phone": "5550100"}),
        (["", "5550100"], {"phone": "5550100"}),
        (["http://crm/5", "7000", "1"], {"phone": "7000"}),
        (["", "anonymous", "1"], {"phone": "anonymous"}),
        (["", "", "1"], {}),
        (["", " ", "1"], {}),
        ([""], {}),
        ([], {}),
    ],
)
def test_the_caller_is_the_second_parameter_if_there_is_one(parameters: list[str], identifiers: dict[str, str]) -> None:
    """Empty if its presentation is restricted; a blocked value stays, the core knows it; a name behind it is not read."""
    assert event(call("ENTERQUEUE", *parameters, agent="NONE")).identifiers == identifiers


@pytest.mark.parametrize("parameters", [["2", "1700000000.2", "1"], ["2", "1700000000.2"], ["2"], ["2", ""], []])
def test_old_lines_have_fewer_parameters(parameters: list[str]) -> None:
    """CONNECT has two before the ring time came, and none is needed."""
    answered = event(call("CONNECT", *parameters))

    assert isinstance(answered, Answered)
    assert (answered.representative, answered.queue, answered.timed) == ("SIP/1", "help", True)


def test_a_ringing_that_nobody_took_is_a_missed_offer() -> None:
    """RINGNOANSWER names the agent; its ring time in milliseconds is not read."""
    missed = event(call("RINGNOANSWER", "1000", agent="Local/2001@from-internal/n"))

    assert isinstance(missed, Missed)
    assert missed.representative == "Local/2001@from-internal/n"


@pytest.mark.parametrize(("name", "reason"), [("COMPLETEAGENT", "representative"), ("COMPLETECALLER", "customer")])
def test_who_hung_up_is_the_reason_of_the_end(name: str, reason: str) -> None:
    """Both end the call."""
    ended = event(call(name, "2", "8", "1"))

    assert isinstance(ended, Ended)
    assert (ended.reason, ended.representative) == (reason, "SIP/1")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("BLINDTRANSFER", ["600", "inside", "14", "54", "1"]),
        ("TRANSFER", ["600", "inside", "14", "54"]),
        ("TRANSFER", ["600", "inside", "14", "54", "1"]),
        ("TRANSFER", ["600"]),
    ],
)
def test_a_blind_transfer_goes_to_an_extension(name: str, parameters: list[str]) -> None:
    """No COMPLETE line is written then. The log shows only queues: where the call went, a later line tells or none."""
    transferred = event(call(name, *parameters))

    assert isinstance(transferred, Transferred)
    assert (transferred.kind, transferred.reason, transferred.to_queue, transferred.queues_only) == ("blind", "600", "", True)


@pytest.mark.parametrize(
    "parameters",
    [
        ["BRIDGE", "4f1c", "20", "80", "1"],
        ["APP", "voicemail", "20", "80", "1"],
        ["LINK", "SIP/1-1", "SIP/2-2", "20", "80", "1"],
        ["BRIDGE"],
        [],
    ],
)
def test_an_attended_transfer_has_any_number_of_fields(parameters: list[str]) -> None:
    """LINK has one more than BRIDGE and APP; nothing behind the event's name is needed."""
    transferred = event(call("ATTENDEDTRANSFER", *parameters))

    assert isinstance(transferred, Transferred)
    assert (transferred.kind, transferred.to_queue, transferred.reason, transferred.queues_only) == ("consult", "", "", True)


def test_a_blind_transfer_to_nowhere_is_still_one() -> None:
    """Parameters may be missing altogether."""
    assert event(call("BLINDTRANSFER")).reason == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EXITWITHTIMEOUT", "timeout"),
        ("EXITEMPTY", "empty"),
        ("LEAVEEMPTY", "empty"),
        ("JOINEMPTY", "empty"),
        ("EXITWITHKEY", "key"),
        ("WITHDRAW", "withdrawn"),
        ("FULL", "full"),
        ("CLOSED", "closed"),
    ],
)
def test_every_exit_without_an_answer_leaves_the_queue(name: str, reason: str) -> None:
    """None is the customer's abandonment; app_queue or a dialplan wrote it."""
    left = event(call(name, "1", "1", "12", agent="NONE"))

    assert isinstance(left, LeftQueue)
    assert (left.reason, left.queue, left.representative) == (reason, "help", "")


def test_a_caller_who_gives_up_abandons() -> None:
    """ABANDON, with or without positions."""
    assert isinstance(event(call("ABANDON", "1", "1", "68", agent="NONE")), Abandoned)
    assert isinstance(event(call("ABANDON", agent="NONE")), Abandoned)


def test_one_exit_may_be_written_twice() -> None:
    """EXITEMPTY and LEAVEEMPTY tell one fact: two events, alike in all that the core compares, so that it counts one."""
    first, second = (
        event(call(name, *parameters, agent="NONE")) for name, parameters in (("EXITEMPTY", ["1", "1", "12"]), ("LEAVEEMPTY", [""]))
    )
    assert isinstance(first, LeftQueue)
    assert isinstance(second, LeftQueue)

    assert first.id != second.id
    assert (first.at, first.queue, first.reason) == (second.at, second.queue, second.reason)


def test_a_corrupt_exit_with_its_first_parameter_only_does_no_harm() -> None:
    """A row that Wazo's acceptance tests insert."""
    assert isinstance(event(call("EXITWITHTIMEOUT", "1", agent="NONE")), LeftQueue)
    assert isinstance(event(call("EXITWITHTIMEOUT", agent="NONE")), LeftQueue)


@pytest.mark.parametrize("name", ["AGENTDUMP", "SYSCOMPAT"])
def test_a_failed_connect_is_a_missed_offer_of_its_agent(name: str) -> None:
    """Where the line names none, nobody missed anything."""
    assert isinstance(event(call(name)), Missed)
    assert one(call(name, agent="NONE")) == Ignored("not_needed")
    assert one(call(name, agent="")) == Ignored("not_needed")


@pytest.mark.parametrize("name", sorted(NOT_NEEDED))
def test_staff_and_system_events_are_ignored(name: str) -> None:
    """With a call or without."""
    assert one(call(name, "5000")) == Ignored("not_needed")
    assert one(f"1700000001|NONE|NONE|NONE|{name}|") == Ignored("not_needed")


def test_an_event_that_is_not_known_is_ignored() -> None:
    """Dialplans may write any name."""
    assert one(call("DANCED")) == Ignored("unknown_type")
    assert one(call("")) == Ignored("unknown_type")
    assert one(call("enterqueue")) == Ignored("unknown_type")


@pytest.mark.parametrize(
    "line", ["1700000001|NONE|NONE|NONE|QUEUESTART|", "1700000001|NONE|NONE|NONE|QUEUESTART", "1700000001||||QUEUESTART"]
)
def test_a_start_of_the_queues_loses_all_open_calls(line: str) -> None:
    """QUEUESTART is the whole source's `reset`, of no interaction."""
    reset = one(line, number=7)

    assert isinstance(reset, Reset)
    assert reset == Reset(id=reset.id, source="pbx", at=1_700_000_001_000, sequence=7)


def test_the_same_call_enters_queues_again() -> None:
    """Overflow, or a transfer into a queue: one interaction, four entries, two answers by two people."""
    decoded = [x for read in records(source(), (LOOKALIKES / "queue_log_new.txt").read_bytes()) for x in read.decoded]
    story = [x for x in decoded if isinstance(x, Event) and x.interaction_id == "1700000098.10"]

    assert [(kind(x), x.queue) for x in story] == [
        ("queued", "orders"),
        ("left_queue", "orders"),
        ("left_queue", "orders"),
        ("queued", "spare"),
        ("missed", "spare"),
        ("answered", "spare"),
        ("transferred", "spare"),
        ("queued", "orders"),
        ("answered", "orders"),
        ("ended", "orders"),
    ]
    assert [x.sequence for x in story] == sorted(x.sequence for x in story)


def test_a_masquerade_gives_the_later_lines_another_call() -> None:
    """The log alone cannot tell; they are an interaction of their own, without harm."""
    assert event(call("COMPLETECALLER", callid="1700000000.9")).interaction_id == "1700000000.9"


def test_a_clock_that_jumped_is_written_as_it_was() -> None:
    """A time before the epoch in the callid is no reason to refuse."""
    assert event("1167421685|1169421668.1|help|NONE|ENTERQUEUE||1").at == 1_167_421_685_000


@pytest.mark.parametrize(
    ("zone", "text", "at"),
    [
        ("UTC", "2010-02-22 10:18:31.250000", 1_266_833_911_250),
        ("Europe/Berlin", "2010-02-22 11:18:31.250000", 1_266_833_911_250),
        ("Europe/Berlin", "2010-02-22 11:18:31", 1_266_833_911_000),
        ("Europe/Berlin", "2010-10-31 02:30:00.0", 1_288_485_000_000),
        ("UTC", "1266833911.25", 1_266_833_911_250),
        ("UTC", "1266833911.", 1_266_833_911_000),
    ],
)
def test_in_realtime_mode_times_are_local(zone: str, text: str, at: int) -> None:
    """Microseconds, in the zone of the mapping; of an hour that comes twice, the first."""
    adapter = open_source(FORMAT, read_mapping(f'source = "pbx"\n[time]\nzone = "{zone}"'))
    (decoded,) = adapter.decode(f"{text}|1.1|help|NONE|ENTERQUEUE||5550100|||".encode(), 1)

    assert isinstance(decoded, Event)
    assert (decoded.at, decoded.source) == (at, "pbx")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1700000001|1.1|help|NONE", "malformed"),
        ("hello", "malformed"),
        ("|||", "malformed"),
        (call("CONNECT") + "\n" + call("ABANDON"), "malformed"),
        (call("CONNECT").replace("1700000001|", "soon|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "-5|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "17e8|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "\N{SUPERSCRIPT TWO}|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "9" * 70 + "|", 1), "malformed"),
        (call("CONNECT").replace("1700000001|", "9" * 20 + "|", 1), "impossible"),
        (call("CONNECT", callid="NONE"), "missing_field"),
        (call("CONNECT", callid=""), "missing_field"),
        (call("CONNECT", callid="CLI"), "missing_field"),
        (call("CONNECT", agent="NONE"), "missing_field"),
        (call("ENTERQUEUE", queue="NONE"), "missing_field"),
        (call("CONNECT", callid="9" * 300), "too_long"),
    ],
)
def test_a_line_that_cannot_be_is_refused(line: str, reason: str) -> None:
    """Too few fields, no time, a call event without a call, an answer by nobody."""
    decoded = one(line)

    assert isinstance(decoded, Rejected)
    assert decoded.reason == reason
    assert decoded.where


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    """A guess at the encoding would make another customer."""
    (decoded,) = source().decode(call("ENTERQUEUE", "", "M\xfcller").encode("latin-1"), 1)

    assert decoded == Rejected("encoding", "byte 48 is not UTF-8")


@pytest.mark.parametrize("at", [0, 2_085_978_496])
def test_any_time_since_1970_is_read(at: int) -> None:
    """Whether it is ancient or the future is judged with the wall clock, not here."""
    assert event(f"{at}|1.1|help|NONE|ENTERQUEUE||1").at == at * 1000


def test_a_line_that_occurs_again_is_another_event() -> None:
    """The log has no ids, and the same agent may ring and fail twice within a second."""
    twice = (call("RINGNOANSWER", "0") + "\n").encode() * 2

    first, second = (read.decoded[0] for read in records(source(), twice))

    assert isinstance(first, Missed)
    assert isinstance(second, Missed)
    assert second.id == f"{first.id}-2"
    assert len(first.id) == 16


def test_the_same_file_gives_the_same_events() -> None:
    """Ids come from lines, not from when or where they are read."""
    data = (LOOKALIKES / "queue_log_old.txt").read_bytes()

    assert records(source(), data) == records(source(), data)
    assert records(source(), data)[2].decoded == records(source(), data.replace(b"\n", b"\r\n"))[2].decoded


def test_a_line_read_again_at_its_place_is_the_same_event() -> None:
    """A partition may be read again from an earlier offset; what was counted must not become another occurrence."""
    adapter, line = source(), call("RINGNOANSWER", "0").encode()
    first, second = (adapter.decode(line, number) for number in (10, 11))

    assert [adapter.decode(line, number) for number in (10, 11)] == [first, second]
    assert first != second


def test_occurrences_are_remembered_when_the_clock_jumps() -> None:
    """A second that comes again, after others, goes on counting."""
    later = call("RINGNOANSWER", "0").replace("1700000001", "1700000002")
    reads = records(source(), "\n".join([call("RINGNOANSWER", "0"), later, call("RINGNOANSWER", "0")]).encode())

    assert len({x.id for read in reads for x in read.decoded if isinstance(x, Event)}) == 3


def test_what_is_remembered_is_bounded() -> None:
    """Beyond many thousand lines a repetition is forgotten, and so is what a stuck writer repeats."""
    adapter = source()
    (first,) = adapter.decode(b"1|1.1|help|SIP/1|RINGNOANSWER|0", 1)
    for number in range(2, REMEMBERED_LINES + 3):
        adapter.decode(b"2|%d.1|help|SIP/1|RINGNOANSWER|0" % number, number)
    assert isinstance(first, Missed)
    again = adapter.decode(b"1|1.1|help|SIP/1|RINGNOANSWER|0", REMEMBERED_LINES + 3)[0]
    assert isinstance(again, Missed)
    assert again.id == first.id

    stuck = source()
    events = [stuck.decode(b"1|1.1|help|SIP/1|RINGNOANSWER|0", number)[0] for number in range(REMEMBERED_LINES + 5)]
    assert len({x.id for x in events if isinstance(x, Event)}) == REMEMBERED_LINES


def test_blank_lines_and_tombstones_are_no_lines() -> None:
    """A blank line is nothing, a null value deletes."""
    assert source().decode(b"", 1) == source().decode(b" \r\n", 1) == []
    assert source().decode(None, 1) == [Ignored("tombstone")]


def test_lines_are_numbered_as_an_editor_does() -> None:
    """From 1, blank ones too, whatever ends them."""
    data = f"\n{call('CONNECT')}\r\n\r\n \n{call('ABANDON')}".encode()

    assert [(read.number, read.raw) for read in records(source(), data)] == [(2, call("CONNECT").encode()), (5, call("ABANDON").encode())]


@pytest.mark.parametrize(("length", "is_refused"), [(LONGEST - 1, False), (LONGEST, False), (LONGEST + 1, True), (3 * LONGEST, True)])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_over_the_limit_is_refused_and_the_next_one_read(length: int, end: bytes, is_refused: bool) -> None:  # noqa: FBT001 - a table
    """1 MiB is allowed, its line end not counted."""
    line = call("DANCED", "").encode()
    long = line + b"x" * (length - len(line))

    reads = records(source(), long + (end + call("CONNECT").encode() if end else b""))

    assert isinstance(reads[0].decoded[0], Rejected if is_refused else Ignored)
    assert not is_refused or reads[0].decoded[0] == Rejected("too_long", "a line of more than 1048576 bytes")
    assert reads[0].raw == (long[:4096] if is_refused else long)
    assert [read.number for read in reads] == ([1, 2] if end else [1])
    assert not end or isinstance(reads[1].decoded[0], Answered)


@pytest.mark.parametrize("format_name", ["events", FORMAT])
def test_a_line_of_ten_megabytes_takes_little_memory(format_name: str) -> None:
    """What is too long is thrown away while it is read."""
    import tracemalloc  # noqa: PLC0415 - only here

    stream = io.BufferedReader(Endless((b"x" * 1000, 10_000), (b"\n", 1), (b"{}", 1)))
    tracemalloc.start()
    reads = list(open_source(format_name).read(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [(read.number, x.reason) for read in reads for x in read.decoded if isinstance(x, Rejected)] in (
        [(1, "too_long"), (2, "missing_field")],
        [(1, "too_long"), (2, "malformed")],
    )
    assert peak < 8 * LONGEST


FIELD: Final = st.text(max_size=12) | st.sampled_from(["NONE", "", "1700000001", "1.1", "help", "SIP/1", *EVENTS, *NOT_NEEDED])


@given(st.lists(FIELD, max_size=12).map("|".join) | st.text())
def test_any_text_gives_one_answer(text: str) -> None:
    """Whatever stands between the bars: an event or a reason, and nothing for a blank line only."""
    decoded = source().decode(text.encode(), 1)

    assert len(decoded) == (0 if not text.encode().strip() else 1)
    assert all(map(is_sound, decoded))


@given(st.binary())
def test_any_bytes_never_raise(data: bytes) -> None:
    """Every line that is not blank yields something."""
    reads = records(source(), data)

    assert [read.number for read in reads] == [n for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    assert all(len(read.decoded) == 1 and is_sound(read.decoded[0]) for read in reads)


@given(st.data())
def test_a_damaged_log_never_raises(data: st.DataObject) -> None:
    """Cut, overwritten, in another encoding."""
    whole = (LOOKALIKES / data.draw(st.sampled_from(["queue_log_old.txt", "queue_log_new.txt"]))).read_bytes()
    reads = records(source(), data.draw(damaged(whole)))

    assert all(len(read.decoded) == 1 and is_sound(read.decoded[0]) for read in reads)
