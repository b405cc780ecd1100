"""Bad input to replay and convert: one clear line each, status 1, and nothing else lost."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from rich.console import Console

from schemas.codec import Rejected, encode
from streams.commands.files import TELL_SECONDS, TOLD_AT_FIRST, Refusals
from tests.command import Said, file, karar
from tests.shared import LOOKALIKES, ROOT
from tests.story import call

MAPPING: Final = ROOT / "docs" / "examples" / "callcenter.toml"
LONG: Final = b"x" * 10_000_000
UTF_16: Final = "Case 1,été".encode("utf-16")


class Format(NamedTuple):
    """A format: its options, some good lines, and lines that each are refused, with the reason."""

    options: tuple[str, ...]
    good: list[bytes]
    bad: dict[bytes, str]


EVENT: Final = b'{"type":"%b","id":"%b","source":"pbx","interaction_id":"c9","at":%b}'
ROW: Final = b"Case 9009,Handle Case,%b,%b,FL,Customer 70,Kettle,Repair,%b"
FORMATS: Final = {
    "events": Format(
        ("--format", "events"),
        [encode(x) for x in call("c1", phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)],
        {
            b"\x00\x9f\x92 noise": "malformed",
            b'{"type":"ended","id":"1","sour': "malformed",
            UTF_16: "malformed",
            b'{"type":"ended","id":"\xe9t\xe9","source":"pbx","interaction_id":"c9","at":1}': "encoding",
            LONG: "too_long",
            EVENT % (b"ended", b"1", b"2085978495000"): "future",
            EVENT % (b"ended", b"1", b"0"): "ancient",
            EVENT % (b"ended", b"1", b'"soon"'): "wrong_type",
            EVENT % (b"queued", b"1", b"1772438400000"): "missing_field",
            EVENT % (b"ended", b"", b"1772438400000"): "missing_field",
            EVENT % (b"ended", b"1", b"-1"): "impossible",
            EVENT % (b"ended", b"1", b'1,"channel":"fax"'): "unknown_value",
            b"null": "wrong_type",
            b"[" * 5000: "malformed",
        },
    ),
    "asterisk-queue-log": Format(
        ("--format", "asterisk-queue-log"),
        (LOOKALIKES / "queue_log_old.txt").read_bytes().splitlines(),
        {
            b"\x00\x9f\x92 noise": "encoding",
            b"1104537660|110453": "malformed",
            UTF_16: "encoding",
            b"1104537660|1|h\xe9lp|NONE|ABANDON|1|1|1": "encoding",
            LONG: "too_long",
            b"2085978495|1|help|NONE|ABANDON|1|1|1": "future",
            b"1|1|help|NONE|ABANDON|1|1|1": "ancient",
            b"soon|1|help|NONE|ABANDON|1|1|1": "malformed",
        },
    ),
    "csv": Format(
        ("--format", "csv", "--mapping", str(MAPPING)),
        (LOOKALIKES / "activities.csv").read_bytes().splitlines(),
        {
            b"\x00\x9f\x92 noise": "encoding",
            b"Case 9001,Inbou": "malformed",
            UTF_16: "encoding",
            ROW % (b"1.2.11 9:05", b"1.2.11 9:11", b"Zo\xeb"): "encoding",
            LONG: "too_long",
            ROW % (b"1.2.36 9:05", b"1.2.36 9:11", b"Ada"): "future",
            ROW % (b"1.2.70 9:05", b"1.2.70 9:11", b"Ada"): "ancient",
            ROW % (b"soon", b"1.2.11 9:11", b"Ada"): "wrong_type",
        },
    ),
}
EVERY: Final = pytest.mark.parametrize("name", FORMATS)
REFUSED: Final = [(name, raw) for name, format_ in FORMATS.items() for raw in format_.bad]


def without_time(said: Said) -> list[str]:
    """The summary without how long it took and how much was refused."""
    return [line for line in said.out.splitlines() if "events read" not in line]


def told(said: Said) -> list[tuple[str, str]]:
    """The lines of standard error as (where, reason), each of them whole and short."""
    found = [re.fullmatch(r"(\S+:\d+): (\w+): (\S.{0,200})", line) for line in said.lines]
    assert all(found), said.lines
    return [(match[1], match[2]) for match in found if match]


def written(folder: Path, name: str, lines: Iterable[bytes]) -> tuple[str, ...]:
    """A file of that format, and the options that read it."""
    return file(folder, "input", *lines), *FORMATS[name].options


@pytest.mark.parametrize(("name", "raw"), REFUSED, ids=[f"{n}-{FORMATS[n].bad[raw]}-{raw[:12]!r}" for n, raw in REFUSED])
def test_one_bad_line_is_told_once_and_nothing_else_is_lost(tmp_path: Path, name: str, raw: bytes) -> None:
    """Bad data: one clear line with place and reason, exit 1, and everything else is counted as if it had not been there."""
    good = FORMATS[name].good
    clean = karar(tmp_path, "replay", *written(tmp_path, name, good))
    said = karar(tmp_path, "replay", *written(tmp_path, name, [*good[:2], raw, *good[2:]]))

    assert clean.status == 0
    assert said.status == 1
    assert set(told(said)) == {("input:3", FORMATS[name].bad[raw])}
    assert without_time(said) == without_time(clean)


@EVERY
def test_convert_rejects_on_standard_error_and_goes_on(tmp_path: Path, name: str) -> None:
    """What is rejected goes to standard error with line and reason, exit 1; standard output has all the rest, unchanged."""
    good, bad = FORMATS[name].good, dict(list(FORMATS[name].bad.items())[:TOLD_AT_FIRST])
    clean = karar(tmp_path, "convert", *written(tmp_path, name, good))
    said = karar(tmp_path, "convert", *written(tmp_path, name, [*good, *bad]))
    places = {f"input:{number}": reason for number, reason in enumerate(bad.values(), len(good) + 1)}

    assert (clean.status, clean.err) == (0, [])
    assert (said.status, said.out) == (1, clean.out)
    assert dict(told(said)) == places


def refused(path: str, number: int) -> str:
    """How a line is told that is no line of a queue log."""
    return f"{path}:{number}: malformed: 5 fields separated by | are expected, 1 found"


COUNTED: Final = "karar: 10 refused records are told; the others are counted, and one a minute told"


@pytest.mark.parametrize(
    ("command", "last"),
    [
        (("replay", "one"), ("karar: one: no event in {:,} records; is --format right?",)),
        (("labels", "one"), ("karar: one: no event, {:,} records refused",)),
    ],
)
@pytest.mark.parametrize("lines", [9, 10, 11, 1_500])
def test_the_first_ten_refused_records_are_told_and_the_others_counted(
    tmp_path: Path, command: tuple[str, ...], last: tuple[str, ...], lines: int
) -> None:
    """Within, exactly, outside: with a wrong --format thousands of lines hid the one that asked about it."""
    (tmp_path / "one").write_bytes(content := b"{}\n" * lines)
    said = karar(tmp_path, *command, "--format", "asterisk-queue-log", stdin=content)
    more = [COUNTED, f"karar: {lines - 10:,} more records refused: malformed {lines - 10:,}"] if lines > 10 else []

    assert said.status == 1
    assert said.lines == [
        *(refused(command[1], number) for number in range(1, min(lines, 10) + 1)), *more, *(line.format(lines) for line in last)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["one", "-"])
def test_convert_tells_every_refused_record(tmp_path: Path, name: str) -> None:
    """Whoever converts a log wants to know what is missing in it (INTERFACE.md)."""
    (tmp_path / "one").write_bytes(content := b"{}\n" * 1_500)
    said = karar(tmp_path, "convert", name, "--format", "asterisk-queue-log", stdin=content)

    assert (said.status, said.lines) == (1, [refused(name, number) for number in range(1, 1_501)])


def test_ten_are_ten_in_all_files_and_the_others_are_counted_by_reason(tmp_path: Path) -> None:
    """The most frequent reason first; what is good is counted all the same."""
    bad = [b"soon|1|help|NONE|ABANDON|1|1|1"] * 4
    one = file(tmp_path, "one", *FORMATS["asterisk-queue-log"].good, *bad)
    two = file(tmp_path, "two", *bad * 2, *[b"\xff", b"1|1|help|NONE|ABANDON|1|1|1", b"\xff", *bad])
    said = karar(tmp_path, "replay", one, two, "--format", "asterisk-queue-log")
    first = len(FORMATS["asterisk-queue-log"].good)

    assert said.status == 1
    assert [line.rsplit(": ", 2)[0].partition(": ")[0] for line in said.lines[:10]] == [
        *(f"one:{first + n}" for n in range(1, 5)), *(f"two:{n}" for n in range(1, 7))
    ]  # fmt: skip
    assert said.lines[10:] == [COUNTED, "karar: 9 more records refused: malformed 6, encoding 2, ancient 1"]
    assert ", 19 refused" in said.out


def test_that_the_others_are_counted_is_said_at_once_and_one_a_minute_is_told() -> None:
    """Of a log that grows nobody sees an end. Within, exactly, outside."""
    now = 1_000.0
    console = Console(file=io.StringIO(), width=200)
    refusals = Refusals(console, lambda: now)

    def told(number: int) -> list[str]:
        stream = console.file = io.StringIO()
        refusals.tell("log", number, Rejected("malformed", "5 fields"))
        return stream.getvalue().splitlines()

    assert [told(number) for number in range(1, 11)] == [[f"log:{number}: malformed: 5 fields"] for number in range(1, 11)]
    assert told(11) == [COUNTED]
    now += TELL_SECONDS - 0.001
    assert told(12) == []
    now += 0.001
    assert told(13) == ["log:13: malformed: 5 fields"]
    assert told(14) == []
    stream = console.file = io.StringIO()
    refusals.sum_up()
    assert stream.getvalue() == "karar: 3 more records refused: malformed 3\n"


@EVERY
def test_a_last_line_that_was_cut_off_loses_only_itself(tmp_path: Path, name: str) -> None:
    """A truncated file: one line, exit 1."""
    good = [line for line in FORMATS[name].good if line.strip()]
    arguments = written(tmp_path, name, good)
    content = (tmp_path / "input").read_bytes()
    (tmp_path / "input").write_bytes(content[: 8 - len(good[-1])])
    said = karar(tmp_path, "convert", *arguments)

    assert said.status == 1
    assert [place for place, _ in told(said)] == [f"input:{len(good)}"]
    assert said.out


@EVERY
def test_blank_lines_and_what_is_no_event_of_ours_are_no_rejects(tmp_path: Path, name: str) -> None:
    """Blank lines and ignorable events are not rejects."""
    ignorable = {
        "events": b'{"type":"paused","id":"1"}',
        "asterisk-queue-log": b"1104537660|NONE|NONE|ada|PAUSE|",
        "csv": b"Case 9009,Coffee,1.2.11 9:05,1.2.11 9:11,FL,Customer 70,Kettle,Repair,Ada",
    }
    good = FORMATS[name].good
    clean = karar(tmp_path, "convert", *written(tmp_path, name, good))
    said = karar(tmp_path, "convert", *written(tmp_path, name, [*good, b"", b"  ", ignorable[name], b"\r"]))

    assert said == clean


@EVERY
def test_a_file_without_an_event_is_one_line_and_status_1(tmp_path: Path, name: str) -> None:
    """Nothing to count: said in one line, exit 1; nothing to convert is nothing wrong."""
    for lines in ([], [b"", b""], FORMATS[name].good[:1] if name == "csv" else []):
        arguments = written(tmp_path, name, lines)

        assert karar(tmp_path, "convert", *arguments) == (0, "", [])
        said = karar(tmp_path, "replay", *arguments)
        assert (said.status, said.out) == (1, "")
        assert said.lines == ["karar: input: no event in 0 records; is --format right?"]


@EVERY
def test_nothing_but_noise_is_status_1(tmp_path: Path, name: str) -> None:
    """Noise is bad data, not wrong usage: exit 1, every line with its place."""
    (tmp_path / "input").write_bytes(bytes(range(255, -1, -1)) * 8)
    for command in ("convert", "replay"):
        said = karar(tmp_path, command, "input", *FORMATS[name].options)

        assert (said.status, said.out) == (1, "")
        assert said.lines
        assert all("input" in line and len(line) < 300 for line in said.lines)


@EVERY
def test_converted_events_are_counted_like_the_original(tmp_path: Path, name: str) -> None:
    """`convert` writes canonical lines that `replay` reads to the same metrics."""
    arguments = written(tmp_path, name, FORMATS[name].good)
    (tmp_path / "converted").write_text(karar(tmp_path, "convert", *arguments).out, "utf-8")
    karar(tmp_path, "replay", *arguments, "--metrics", "direct.prom", "--chains", "direct.jsonl")
    karar(tmp_path, "replay", "converted", "--format", "events", "--metrics", "by.prom", "--chains", "by.jsonl")

    assert (tmp_path / "direct.prom").read_text("utf-8") == (tmp_path / "by.prom").read_text("utf-8")
    assert (tmp_path / "direct.jsonl").read_text("utf-8") == (tmp_path / "by.jsonl").read_text("utf-8")


@pytest.mark.parametrize("command", ["convert", "replay"])
def test_a_mapping_that_names_a_missing_column_is_one_line(tmp_path: Path, command: str) -> None:
    """A mapping that names a missing column: one line with the column, those there are, and the file; exit 2."""
    (tmp_path / "m.toml").write_text(MAPPING.read_text("utf-8").replace('"Operation"', '"Oper"'), "utf-8")
    name = file(tmp_path, "input", *FORMATS["csv"].good)
    said = karar(tmp_path, command, name, "--format", "csv", "--mapping", "m.toml")
    (line,) = said.lines

    assert (said.status, said.out) == (2, "")
    assert 'the file has no column "Oper"; its columns are: Service ID, Operation, ' in line
    assert "m.toml" in line or "input" in line


@pytest.mark.parametrize("text", ["x", "source = 3", "", '[events]\ncolumn = "*"'])
def test_a_mapping_that_cannot_work_is_named(tmp_path: Path, text: str) -> None:
    """Every error says what and where: the mapping's file, so that one of several can be found."""
    (tmp_path / "m.toml").write_text(text, "utf-8")
    said = karar(tmp_path, "convert", "input", "--format", "csv", "--mapping", "m.toml")

    assert (said.status, said.out, len(said.lines)) == (2, "", 1)
    assert said.lines[0].startswith("karar: m.toml: ")


def test_a_file_that_cannot_be_read_is_named_among_several(tmp_path: Path) -> None:
    """Every error says where: which of the files."""
    good = file(tmp_path, "good.csv", *FORMATS["csv"].good)
    said = karar(tmp_path, "replay", good, file(tmp_path, "bad.csv", UTF_16, UTF_16), *FORMATS["csv"].options)

    assert said.status in {1, 2}
    assert len(said.lines) == 1
    assert "bad.csv" in said.lines[0]


@pytest.mark.parametrize("unit", ["\\u001f", "\\u0000", "\\n"])
def test_a_control_character_in_a_name_is_part_of_the_name(tmp_path: Path, unit: str) -> None:
    """What separates our own keys inside cannot be sent from outside: no label moves, no series is lost."""
    lines = [line.replace(b'"A"', f'"A{unit}B"'.encode()).replace(b'"red"', f'"red{unit}"'.encode()) for line in FORMATS["events"].good]
    said = karar(tmp_path, "replay", *written(tmp_path, "events", lines), "--metrics", "m.prom")
    offered = re.findall(r"^karar_contacts_offered_total\{(.*)\} (.*)$", (tmp_path / "m.prom").read_bytes().decode(), re.MULTILINE)

    assert said.status == 0
    assert "1 moments of truth: 1 won, 0 lost" in said.out
    assert len(offered) == 1
    assert 'shard="stitch-0"' in offered[0][0]


def test_a_control_character_in_an_id_joins_no_strangers(tmp_path: Path) -> None:
    """An interaction is (source, id): two different pairs are two interactions, whatever characters they hold."""
    one = [line.replace(b'"pbx"', b'"p\\u001fbx"') for line in FORMATS["events"].good]
    two = [line.replace(b'"pbx"', b'"p"').replace(b'"c1"', b'"bx\\u001fc1"') for line in FORMATS["events"].good]
    said = karar(tmp_path, "replay", *written(tmp_path, "events", [*one, *two]))

    assert said.status == 0
    assert "2 moments of truth" in said.out
