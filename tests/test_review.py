"""What a review found, so that it stays found."""

import subprocess
from pathlib import Path

import pytest

from schemas.codec import encode
from streams.core.assemble import MAX_EVENTS
from streams.core.targets import parse
from tests.command import BIN, PLAIN, karar
from tests.core import facts
from tests.story import DAY, booked, call, chat, email, instant, replayed
from tests.test_replay import run


def test_an_event_for_an_archived_contact_brings_no_second_one_under_another_key() -> None:
    """What arrives for a marker is too late, never a new chain: also a new queue entry that makes the customer known."""
    story = email("e1", phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)
    replay = run([list(story)])
    replay.finish(instant(100 * DAY))
    for second in (0, 1):
        replay.take(list(story.queued(100 * DAY + second, "A", customer="7").events[-1:]))
    replay.finish(instant(300 * DAY))

    assert booked("moments_of_truth_total", replay) == {("email", "red", "human"): 1}
    assert booked("chains_opened_total", replay) == {(): 1}
    assert replay.differences() == {}
    assert replay.counts["events_total", story.events[0].source, "too_late"] == 2


def test_a_rating_whose_contact_never_came_is_no_chain() -> None:
    """Only what is lifecycle, or a message by the customer, makes an interaction."""
    assert facts(list(call("c1", phone="1").rated(0, "nps", 9)), instant(10 * DAY)) == {}


def test_a_thread_with_too_many_messages_keeps_its_end() -> None:
    """Truncation is deterministic and counted, and drops what means least first."""
    story = chat("m1").answered(0, "ann")
    for second in range(MAX_EVENTS + 5):
        story = story.message_sent(second + 1, "representative")
    replay = replayed(story.ended(MAX_EVENTS + 10))

    assert booked("touches_ended_total", replay) == {("chat", "unknown"): 1}
    assert booked("presumed_ended_total", replay) == {}
    assert sum(n for key, n in replay.counts.items() if key[0] == "truncated_total") > 0


def test_a_target_for_everything_goes_before_the_defaults_from_its_day_on() -> None:
    """A row of the file outweighs a default, also where the default names a channel and the row has a date."""
    rules = parse('[[target]]\nkind = "wait"\nseconds = 30\nfrom = 2020-01-01')
    before, after = (rules.expected("wait", "call", "A", "A", "", at) for at in (0, instant(0)))

    assert (before, after) == ((20_000, "channel:call"), (30_000, "all"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[target]\nkind = "wait"', "target must be written as [[target]]"),
        ("target = 5", "target must be written as [[target]]"),
        ('objective = ["a"]', "objective must be written as [[objective]]"),
        ('[[target]]\nkind = "wait"\nseconds = inf', "seconds must be a number above 0"),
        ('[[target]]\nkind = "transfers"\ncount = 1.9', "count must be a whole number from 0"),
        ('[[target]]\nkind = "wait"\nseconds = 30\nchannel = "cal"', "there is no channel 'cal'"),
        ('[[objective]]\nname = "a"\nratio = 0.5\nteam = 5', "team must be a name, not 5"),
    ],
)
def test_a_targets_file_that_means_nothing_is_refused_in_one_line(text: str, problem: str) -> None:
    """One line that says what, where and what to do."""
    with pytest.raises(ValueError, match=r"\Atargets: [^\n]+\Z") as refusal:
        parse(text)

    assert problem in str(refusal.value)


def test_a_pipe_is_a_file_like_any_other(tmp_path: Path) -> None:
    """`replay <(zcat log.gz)`: nothing can be sought in a pipe."""
    command = (
        f"{BIN} simulate --customers 200 | {{ {BIN} replay /dev/stdin --format events; }}; {BIN} replay <({BIN} simulate) --format events"
    )
    said = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=PLAIN, capture_output=True, text=True, check=False)  # noqa: S607 - our own

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.count("moments of truth") == 2


def test_rows_of_two_files_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """Rows without an id of their own are numbered by line: each file is a source of its own."""
    (tmp_path / "m.toml").write_text(
        'source = "log"\n[time]\nformat = "iso"\n[columns]\nwho = "representative"\n'
        '[events.values]\n"*" = [{type = "answered", at = "t"}]\n',
        encoding="utf-8",
    )
    for month in ("jan", "feb"):
        (tmp_path / f"{month}.csv").write_text("t,who\n2024-01-01T00:00:00Z,ann\n", encoding="utf-8")
    said = karar(tmp_path, "replay", "jan.csv", "feb.csv", "--format", "csv", "--mapping", "m.toml")

    assert (said.status, said.err) == (0, [])
    assert "2 moments of truth" in said.out


def test_an_older_file_after_a_newer_one_counts_as_much_as_before_it(tmp_path: Path) -> None:
    """A replay keeps everything: what it counts does not depend on the order of its files."""
    for name, second in (("new", 0), ("old", -400 * DAY)):
        lines = call(name, source=name).queued(second, "A").answered(second + 5, "ann").ended(second + 60)
        (tmp_path / name).write_bytes(b"".join(encode(x) + b"\n" for x in lines))
    one, two = (karar(tmp_path, "replay", *files, "--format", "events", "--metrics", "m") for files in (("new", "old"), ("old", "new")))

    assert one.status == two.status == 0
    assert "2 moments of truth" in one.out
    assert one.out.splitlines()[5:] == two.out.splitlines()[5:]


def test_an_instant_fixes_the_clock(tmp_path: Path) -> None:
    """`--now`: as the log stood then, and no later."""
    story = call("c1").queued(0, "A").answered(25, "ann").ended(60)
    (tmp_path / "log").write_bytes(b"".join(encode(x) + b"\n" for x in story))
    for now, is_open in (("2026-03-03T08:00:59Z", True), ("2026-03-03T08:01:00Z", False)):
        said = karar(tmp_path, "replay", "log", "--format", "events", "--now", now, "--metrics", "m")

        assert said.status == 0
        served = (tmp_path / "m").read_text(encoding="utf-8")
        assert ('karar_chains_open{shard="stitch-0"} 1.0' in served) == is_open
        assert ("karar_chains_closed_total" in served) == (not is_open)


def test_a_call_over_midnight_is_one_call_in_two_files(tmp_path: Path) -> None:
    """Rows are numbered by file; what names its interaction belongs together all the same."""
    (tmp_path / "m.toml").write_text(
        'source = "log"\n[time]\nformat = "iso"\n[columns]\nwho = "representative"\ncall = "interaction_id"\nline = "queue"\n'
        '[events]\ncolumn = "what"\n[events.values]\nin = [{type = "queued", at = "t"}]\nup = [{type = "answered", at = "t"}]\n',
        encoding="utf-8",
    )
    for day, row in (("d1", "2024-01-01T23:59:50Z,in,M1,,A"), ("d2", "2024-01-02T00:00:05Z,up,M1,ann,A")):
        (tmp_path / f"{day}.csv").write_text(f"t,what,call,who,line\n{row}\n", encoding="utf-8")
    said = karar(tmp_path, "replay", "d1.csv", "d2.csv", "--format", "csv", "--mapping", "m.toml")

    assert ["call", "A", "1", "1", "1", "0", "15.0", "s"] in [line.split() for line in said.out.splitlines()]


def test_no_input_is_written_over(tmp_path: Path) -> None:
    """Nothing is lost: an output that is an input, or the other output, is refused before anything is read."""
    line = encode(call("c1").queued(0, "A").events[0])
    (tmp_path / "log").write_bytes(line)
    for options in (("--metrics", "log"), ("--chains", "./log"), ("--metrics", "new", "--chains", "new")):
        said = karar(tmp_path, "replay", "log", "--format", "events", *options)

        assert said.status == 2
        assert "would be written over" in said.lines[0]
    assert (tmp_path / "log").read_bytes() == line
    assert not (tmp_path / "new").exists()


def test_line_100_is_told_as_it_is(tmp_path: Path) -> None:
    """A refusal names file, line and reason, and nothing of it is taken for a picture."""
    (tmp_path / "bad").write_bytes(b"x\n" * 100)

    assert karar(tmp_path, "convert", "bad", "--format", "events").lines[-1].startswith("bad:100: malformed: ")


def test_what_is_ignored_is_said_with_its_reason(tmp_path: Path) -> None:
    """Unknown types are counted and kept out."""
    unknown = b'{"type":"sneezed","id":"1","source":"s","interaction_id":"i","at":1767600000000}\n'
    (tmp_path / "log").write_bytes(unknown + encode(call("c1").queued(0, "A").events[0]))

    assert "1 events read, 0 refused, 1 ignored (1 unknown type)" in karar(tmp_path, "replay", "log", "--format", "events").out
