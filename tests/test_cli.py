"""The command line: what each command does, and every wrong use of it in one line with status 2."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

import schemas
from schemas.codec import encode
from schemas.sources import COMING as FORMATS_TO_COME
from streams.settings import SETTINGS
from tests.command import BIN, PLAIN, file, karar, started
from tests.story import call

PROMPT: Final = [encode(x) for x in call("c1", phone="+49 30 1").queued(0, "A").answered(10, "ann", team="red").ended(60)]
LATE: Final = [encode(x) for x in call("c2", phone="+49 30 2").queued(600, "A").answered(700, "bob", team="blue").ended(760)]
DRIFTED: Final = "does not match the code; run `karar schemas` and commit what it writes"


@pytest.fixture
def calls(tmp_path: Path) -> str:
    """A file with one answered call."""
    return file(tmp_path, "calls.jsonl", *PROMPT)


def target(seconds: int, condition: str) -> str:
    """One row of a targets file."""
    return f'[[target]]\nkind = "wait"\nseconds = {seconds}\n{condition}\n'


# -- The installed command ---------------------------------------------------------------------------------------------


def test_the_version_is_one_line(tmp_path: Path) -> None:
    """`--version` prints the version and stops."""
    assert started(tmp_path, "--version") == (0, f"karar {version('karar')}\n", [])


def test_python_runs_the_package_as_the_command() -> None:
    """`karar …` (installed by pip), also `python -m streams …`."""
    done = subprocess.run([sys.executable, "-m", "streams", "--version"], capture_output=True, check=False, timeout=30)

    assert (done.returncode, done.stdout.decode()) == (0, f"karar {version('karar')}\n")


def test_replay_reads_a_file_and_prints_a_summary(tmp_path: Path, calls: str) -> None:
    """Replay prints a summary: chains, moments, handovers, weakest links."""
    said = started(tmp_path, "replay", calls, "--format", "events")

    assert said.status == 0
    assert "1 chains: 1 open" in said.out
    assert "1 moments of truth: 1 won, 0 lost, 0 not judged" in said.out
    assert "trial balance 0" in said.out


def test_what_goes_right_says_nothing_on_standard_error(tmp_path: Path, calls: str) -> None:
    """A bar is drawn only where somebody looks at it."""
    assert started(tmp_path, "replay", calls, "--format", "events").err == []


def test_an_error_is_one_line(tmp_path: Path) -> None:
    """Every error is one line that says what, where and what to do; no traceback."""
    name = file(tmp_path, "empty")

    assert started(tmp_path, "replay", name, "--format", "events") == (
        1, "", ["karar: empty: no event in 0 records; is --format right?"],
    )  # fmt: skip


def test_standard_input_is_read_for_a_hyphen(tmp_path: Path) -> None:
    """`-` is standard input."""
    text = b"\n".join(PROMPT)

    assert started(tmp_path, "convert", "-", "--format", "events", stdin=text).out.encode().splitlines() == PROMPT
    assert "1 chains: 1 open" in started(tmp_path, "replay", "-", "--format", "events", stdin=text).out


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """No traceback unless `--debug`, wherever it stands."""
    for arguments in (("--debug", "replay", "x", "--format", "events"), ("replay", "x", "--format", "events", "--debug")):
        said = started(tmp_path, *arguments)

        assert (said.status, said.err[0]) == (1, "Traceback (most recent call last):")
        assert said.err[-1] == "ValueError: x: cannot be read: No such file or directory"


@pytest.mark.parametrize("arguments", [("simulate",), ("convert", "many.jsonl", "--format", "events")])
def test_whoever_stops_reading_hears_no_complaint(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """`karar simulate | head -1` is quiet, and no failure."""
    file(tmp_path, "many.jsonl", *PROMPT * 3000)
    with subprocess.Popen([BIN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(8) == b'{"type":'
        process.stdout.close()
        said = process.stderr.read()

    assert said == b""
    assert process.returncode == 0


@pytest.mark.parametrize("command", ["convert", "replay"])
def test_a_full_disk_is_one_line_and_no_defect(tmp_path: Path, calls: str, command: str) -> None:
    """What cannot be written is said in one line."""
    arguments = (command, calls, "--format", "events")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([BIN, *arguments], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env=PLAIN, check=False, timeout=30)
    (line,) = (line for line in done.stderr.decode().splitlines() if line)

    assert done.returncode in {1, 2}
    assert line.startswith("karar: ")
    assert "No space left on device" in line


# -- Wrong usage -------------------------------------------------------------------------------------------------------

REPLAY: Final = ("replay", "calls.jsonl", "--format", "events")
WRONG: Final = {
    ("dance",): "No such command 'dance'.",
    ("--bogus",): "No such option: --bogus",
    (*REPLAY, "--bogus"): "No such option: --bogus",
    ("replay", "calls.jsonl"): "Missing option '--format'.",
    ("replay", "--format", "events"): "Missing argument 'FILE...'.",
    ("convert", "calls.jsonl", "more", "--format", "events"): "Got unexpected extra argument(s) (more)",
    ("replay", "calls.jsonl", "--format", "morse"): 'unknown format "morse"; there are: events, asterisk-queue-log, csv',
    ("replay", "none", "--format", "events"): "none: cannot be read: No such file or directory",
    ("convert", "none", "--format", "events"): "none: cannot be read: No such file or directory",
    ("convert", ".", "--format", "events"): ".: cannot be read: Is a directory",
    ("convert", "calls.jsonl", "--format", "csv"): (
        "format csv needs a mapping of columns to fields; docs/examples/callcenter.toml is one"
    ),
    ("convert", "calls.jsonl", "--format", "csv", "--mapping", "no"): "no: cannot be read: No such file or directory",
    (*REPLAY, "--now", "noon"): "--now: 'noon' is not an instant such as 2026-01-31T09:00:00Z",
    (*REPLAY, "--targets", "no"): "no: cannot be read: No such file or directory",
    (*REPLAY, "--metrics", "no/m"): "no/m: cannot be written: No such file or directory",
    (*REPLAY, "--chains", "no/c"): "no/c: cannot be written: No such file or directory",
    (*REPLAY, *("--targets", "empty") * 3): "--targets: at most two files can be compared, not 3",
    ("simulate", "--days", "nan"): "Invalid value for '--days': Input should be greater than or equal to 0.01",
} | {("replay", "x", "--format", f): f"format {f} is still to come; there are: events, asterisk-queue-log, csv" for f in FORMATS_TO_COME}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_one_line_and_status_2(tmp_path: Path, calls: str, arguments: tuple[str, ...]) -> None:
    """Every error is one line that says what, where and what to do; exit 2 for wrong usage."""
    assert calls == file(tmp_path, "calls.jsonl", *PROMPT)
    file(tmp_path, "empty")
    said = karar(tmp_path, *arguments)

    assert (said.status, said.out) == (2, "")
    assert said.lines == [f"karar: {WRONG[arguments]}"]


def test_no_command_shows_the_help_and_nothing_else(tmp_path: Path) -> None:
    """Without a command: what there is, status 2, and no empty complaint."""
    said = karar(tmp_path)

    assert (said.status, said.err) == (2, [])
    assert "replay" in said.out


@pytest.mark.parametrize("command", ["forget"])
def test_a_command_still_to_come_says_so(tmp_path: Path, command: str) -> None:
    """Commands still to come say so in one line, exit 2, whatever they are given."""
    for arguments in ((command,), (command, "FILE", "--format", "csv", "--for", "3")):
        said = karar(tmp_path, *arguments)

        assert (said.status, said.out, len(said.err)) == (2, "", 1)
        assert said.err[0].startswith(f"karar: {command} (")
        assert "is still to come" in said.err[0]


def test_targets_that_tie_are_refused_by_name(tmp_path: Path, calls: str) -> None:
    """Rows that tie for the same contact are refused in one line that names the file and both."""
    (tmp_path / "t.toml").write_text(target(30, 'segment = "gold"') + target(40, 'queue = "A"'), "utf-8")

    said = karar(tmp_path, "replay", calls, "--format", "events", "--targets", "t.toml")
    expected = (
        "karar: t.toml: targets: two rows tie: wait for segment=gold from 1970-01-01, and wait for queue=A from 1970-01-01; "
        "remove one or add a row with the conditions of both"
    )

    assert (2, "", [expected]) == said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (target(30, "queue = 7"), "targets: target 1 (wait): queue must be a name, not 7"),
        (
            target(30, 'colour = "red"'),
            "targets: target 1 (wait): unknown key 'colour'; a wait row has seconds, from, channel, team, queue, segment",
        ),
        (target(9, ""), "targets: target 1 (wait): 9 s is not above the short abandon limit of 10 s; raise it"),
        (target(30, 'from = "soon"'), "targets: target 1: from must be a TOML date such as 2026-01-31, not 'soon'"),
        (
            '[[objective]]\nname = "x"\nratio = 0.8\ncolour = "red"',
            "targets: objective 1: unknown key 'colour'; known are name, ratio, team, channel, queue",
        ),
        ("[teams]", "targets: unknown table 'teams'; known are objective, queues, representatives, target"),
    ],
)
def test_targets_that_cannot_work_are_refused_with_their_row(tmp_path: Path, calls: str, text: str, problem: str) -> None:
    """One line: which file, which row, what is wrong with it, what would be right."""
    (tmp_path / "t.toml").write_text(text, "utf-8")
    said = karar(tmp_path, "replay", calls, "--format", "events", "--targets", "t.toml")

    assert (2, "", [f"karar: t.toml: {problem}"]) == said


# -- What replay prints and writes -------------------------------------------------------------------------------------


def test_metrics_and_chains_are_written(tmp_path: Path) -> None:
    """`--metrics` writes the ledger as a worker would serve it, `--chains` one JSON object per chain."""
    name = file(tmp_path, "two.jsonl", *PROMPT, *LATE)
    said = karar(tmp_path, "replay", name, "--format", "events", "--metrics", "m.prom", "--chains", "c.jsonl")
    chains = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text("utf-8").splitlines()]

    assert said.status == 0
    assert 'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 2.0\n' in (tmp_path / "m.prom").read_text("utf-8")
    assert sorted(chain["path"] for chain in chains) == [["blue"], ["red"]]


def test_every_chain_is_written_also_those_of_long_ago(tmp_path: Path) -> None:
    """`--chains`: every chain; that a worker keeps one for 90 days only bounds its memory."""
    name = file(tmp_path, "two.jsonl", *PROMPT, *LATE)
    karar(tmp_path, "replay", name, "--format", "events", "--now", "2026-09-01T00:00:00Z", "--chains", "c.jsonl")

    assert len((tmp_path / "c.jsonl").read_text("utf-8").splitlines()) == 2


def test_now_is_the_last_event_unless_given(tmp_path: Path, calls: str) -> None:
    """`--now`: default the last event; a chain closes 24 h after its last."""
    replay = ("replay", calls, "--format", "events", "--now")

    assert "1 chains: 1 open" in karar(tmp_path, *replay, "2026-03-03T08:00:59Z").out
    assert "1 chains: 0 open; closed: 1 served" in karar(tmp_path, *replay, "2026-03-03T08:01:00Z").out
    assert "1 chains: 0 open; closed: 1 served" in karar(tmp_path, *replay, "2026-03-03 09:01+01:00").out
    assert "now 1999-01-01 00:00:00 UTC" in karar(tmp_path, *replay, "1999-01-01T00:00:00Z").out


def test_two_targets_print_the_difference(tmp_path: Path) -> None:
    """Two `--targets` print what differs, series by series."""
    (tmp_path / "patient.toml").write_text(target(100, 'channel = "call"'), "utf-8")
    both = ("--targets", file(tmp_path, "default.toml"), "--targets", "patient.toml")
    said = karar(tmp_path, "replay", file(tmp_path, "late.jsonl", *LATE), "--format", "events", *both)
    told = [line.split() for line in said.out.splitlines()]

    assert said.status == 0
    assert ["contacts_answered_in_target_total", "channel=call,", "queue=A", "0", "1"] in told
    assert ["moments_judged_total", "channel=call,", "team=blue,", "result=lost", "1", "0"] in told
    same = karar(tmp_path, "replay", "late.jsonl", "--format", "events", *both[:2], *both[:2])
    assert same.out.splitlines()[-2:] == ["What the second targets change", "Nothing."]


def test_the_difference_names_its_series_in_full_in_a_pipe(tmp_path: Path) -> None:
    """A name that is cut off names nothing: what is piped has no width."""
    (tmp_path / "patient.toml").write_text(target(100, 'channel = "call"'), "utf-8")
    both = ("--targets", file(tmp_path, "default.toml"), "--targets", "patient.toml")
    said = started(tmp_path, "replay", file(tmp_path, "late.jsonl", *LATE), "--format", "events", *both)

    assert "contacts_answered_in_target_total" in said.out


@pytest.mark.parametrize("name", ["[/x]", "[bold]A[/bold]", "[1]", "日本", 'say "A" \\'])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    """What a publisher calls a queue is text, never an instruction to the terminal."""
    told = [encode(x) for x in call("c1").queued(0, name).answered(10, "ann", team=name).ended(60)]
    said = karar(tmp_path, "replay", file(tmp_path, "calls.jsonl", *told), "--format", "events")

    assert (said.status, said.lines) == (0, [])
    assert name in said.out


@pytest.mark.parametrize("partitions", ["3", "8"])
def test_partitions_change_no_sum(tmp_path: Path, partitions: str) -> None:
    """How many partitions there are changes nothing but where it is counted."""
    replay = ("replay", file(tmp_path, "two.jsonl", *PROMPT, *LATE), "--format", "events", "--partitions")
    one, many = ([x for x in karar(tmp_path, *replay, n).out.splitlines() if "events read" not in x] for n in ("1", partitions))

    assert one == many


# -- The other commands ------------------------------------------------------------------------------------------------


def test_the_same_seed_simulates_the_same_events(tmp_path: Path) -> None:
    """`simulate` is deterministic by seed."""
    small = ("--customers", "100", "--days", "0.5")
    one, again, other = (karar(tmp_path, "simulate", "--seed", seed, *small) for seed in ("7", "7", "8"))

    assert (one.status, one.err) == (0, [])
    assert one.out == again.out != other.out
    assert len(one.out.splitlines()) > 20


def test_schemas_are_written_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`schemas --check`: status 0 when the documents are what the code says, 1 with the name of one that is not."""
    monkeypatch.setattr(schemas, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "published").mkdir()

    assert karar(tmp_path, "schemas") == (0, "5 documents, 5 of them changed\n", [])
    assert karar(tmp_path, "schemas", "--check") == (0, "5 documents match the code\n", [])
    for name in ("asyncapi.json", "chains.schema.json", "events.schema.json", "moments.schema.json"):
        (tmp_path / "published" / name).write_bytes(b"{}")
        assert karar(tmp_path, "schemas", "--check") == (1, "", [f"karar: published/{name} {DRIFTED}"])
        (tmp_path / "published" / name).unlink()
        assert karar(tmp_path, "schemas", "--check") == (1, "", [f"karar: published/{name} {DRIFTED}"])
        assert karar(tmp_path, "schemas") == (0, "5 documents, 1 of them changed\n", [])


def test_settings_are_told_and_secrets_masked(tmp_path: Path) -> None:
    """`settings` prints all with values, meaning and source; a secret is never printed."""
    (tmp_path / "mine.toml").write_text("", "utf-8")
    said = karar(tmp_path, "settings", KARAR_PEPPER="hush", KARAR_TARGETS="mine.toml")
    told = {words[0]: words[1:3] for line in said.out.splitlines()[1:] if (words := line.split())}

    assert said.status == 0
    assert "hush" not in said.out
    assert list(told) == [setting.name for setting in SETTINGS]
    assert told["KARAR_PEPPER"] == ["********", "environment"]
    assert told["KARAR_TARGETS"] == ["mine.toml", "environment"]
    assert told["KARAR_BLOCKED"][0] == "default"
    assert told["KARAR_PARTITIONS"] == ["8", "default"]


def test_targets_that_cannot_be_read_are_said_with_the_settings(tmp_path: Path) -> None:
    """As a worker would say it, before one is started."""
    said = karar(tmp_path, "settings", KARAR_TARGETS="none.toml")

    assert (said.status, said.err) == (2, ["karar: none.toml: cannot be read: No such file or directory"])
    assert "KARAR_TARGETS" in said.out


def test_settings_are_shown_also_where_one_cannot_be(tmp_path: Path) -> None:
    """Whoever looks for what is wrong sees all of them, and then what is wrong."""
    said = karar(tmp_path, "settings", KARAR_PARTITIONS="many")

    assert said.status == 2
    assert "KARAR_PARTITIONS            many" in said.out
    assert said.lines == ["karar: KARAR_PARTITIONS: 'many' is no whole number from 1 to 1024, such as 8"]


def test_targets_come_from_the_environment_where_none_are_given(tmp_path: Path, calls: str) -> None:
    """KARAR_TARGETS: the targets file where a command is given none."""
    said = karar(tmp_path, "replay", calls, "--format", "events", KARAR_TARGETS="none.toml")

    assert said == (2, "", ["karar: none.toml: cannot be read: No such file or directory"])
