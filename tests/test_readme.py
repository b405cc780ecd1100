"""The README is executed: what its ``console`` blocks show is what the commands print. CONTRIBUTING.md has the rules."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from streams.broker.kafka import Broker
from tests.command import PLAIN

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
ELLIPSIS: Final = "…"
SECONDS_PER_COMMAND: Final = 120

CONSOLE_BLOCK: Final = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})console *\n(?P<body>.*?)^ *(?P=fence) *$", re.MULTILINE | re.DOTALL)
NEEDS_KAFKA: Final = re.compile(r"\bkarar (?:demo|topics|publish|worker|audit)\b")
MEANT_TO_FAIL: Final = re.compile(r"# exit (?P<status>\d+)\s*\Z")


class Command(NamedTuple):
    """One command of the README, where it stands, and what it is said to print."""

    line: int
    text: str
    expected: list[str]


def commands(markdown: str) -> Iterator[Command]:
    """Yield the commands of all ``console`` blocks in order. A command goes on while its line ends in a backslash."""
    for block in CONSOLE_BLOCK.finditer(markdown):
        first_line = markdown.count("\n", 0, block.start("body")) + 1
        lines = textwrap.dedent(block["body"]).splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        if not starts or starts[0] != 0:
            message = f"README line {first_line}: a console block starts with a command, `$ …`"
            raise ValueError(message)
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            output = start + 1
            while lines[output - 1].endswith("\\"):
                output += 1
            text = "\n".join(lines[start:output]).removeprefix("$ ")
            yield Command(first_line + start, text, lines[output:end])


def matches(expected: Sequence[str], actual: Sequence[str]) -> bool:
    """Tell whether the lines are equal, where a line that is just ``…`` stands for any number of lines."""
    pattern = "".join("(?:.*\n)*" if line == ELLIPSIS else re.escape(line) + "\n" for line in expected)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in actual)) is not None


def make_workplace(folder: Path) -> dict[str, str]:
    """Prepare a directory with a copy of docs/examples, and return an environment that has nothing of the machine's but its programs."""
    examples = ROOT / "docs" / "examples"
    if examples.is_dir():
        shutil.copytree(examples, folder / "docs" / "examples")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": programs, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "120"}


def complaint(command: Command, folder: Path, environment: dict[str, str], kafka: str = "") -> str:
    """Run a command and say how it differs from the README; nothing if it does not. A Kafka is told to those commands that need one."""
    if NEEDS_KAFKA.search(command.text):
        environment = environment | {"KARAR_BROKER": kafka, "KARAR_WEB_PORT": "0"}
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.text],  # noqa: S607 - whichever bash the reader has
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_PER_COMMAND,
        check=False,
    )
    said = MEANT_TO_FAIL.search(command.text)
    status = int(said["status"]) if said else 0
    actual = run.stdout.splitlines()
    if run.returncode == status and matches(command.expected, actual):
        return ""
    shown = ["README:", *command.expected, f"printed, with exit status {run.returncode} instead of {status}:", *actual]
    return "\n    ".join([f"line {command.line}: $ {command.text}", *shown])


def complaints(markdown: str, folder: Path, kafka: str = "") -> list[str]:
    """Run every command, each after the other in one directory, and list what differs."""
    environment = make_workplace(folder)
    found = [complaint(command, folder, environment, kafka) for command in commands(markdown)]
    return [text for text in found if text]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_in_the_readme_prints_what_it_shows(tmp_path: Path) -> None:
    """A reader who types what the README shows sees what the README shows, on a Kafka that has nothing in it yet."""
    assert README.is_file(), "there is no README.md"
    markdown = README.read_text("utf-8")
    assert list(commands(markdown)) != [], "README.md has no ```console block"

    with Broker(PLAIN) as broker:
        found = complaints(markdown, tmp_path, broker.address)

    assert not found, "\n\n".join(["README.md differs from what the commands print", *found])


def in_block(*lines: str) -> str:
    """Write a README of one console block."""
    return "\n".join(["# Title", "", "```console", *lines, "```", ""])


@pytest.mark.parametrize(
    "lines",
    [
        ("$ echo one", "one"),
        ("$ echo one", "one", "$ echo two", "two"),
        ("$ printf '1\\n2\\n3\\n4\\n'", "1", "…", "4"),
        ("$ printf '1\\n2\\n'", "1", "…", "2", "…"),
        ("$ echo one \\", "    two", "one two"),
        ("$ echo kept > file", "$ cat file", "kept"),
        ("$ echo error >&2", "error"),
        ("$ exit 2  # exit 2",),
        ("$ printf 'a\\n\\nb\\n'", "a", "", "b"),
        ("$ true",),
    ],
)
def test_a_readme_that_shows_what_happens_is_accepted(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """Output and errors are compared line by line; ``…`` is any lines; files stay from command to command."""
    assert complaints(in_block(*lines), tmp_path) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("$ echo one", "two"),
        ("$ echo one",),
        ("$ true", "one"),
        ("$ echo 'one '", "one"),
        ("$ echo one", "o.e"),
        ("$ printf '1\\n2\\n'", "1", "…", "3"),
        ("$ false",),
        ("$ false | true",),
        ("$ true  # exit 2",),
        ("$ no-such-program-of-karar",),
    ],
)
def test_a_readme_that_shows_something_else_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """A line too many, too few, different, or another exit status is a difference."""
    assert len(complaints(in_block(*lines), tmp_path)) == 1


def test_only_console_blocks_are_run() -> None:
    """What a reader is not meant to compare stands in ``sh`` blocks; a block may stand in a list."""
    markdown = "```sh\n$ rm -rf x\n```\n\n1. First:\n\n   ```console\n   $ true\n   ```\n"

    assert list(commands(markdown)) == [Command(8, "true", [])]


def test_a_block_that_does_not_start_with_a_command_is_refused() -> None:
    """Output without a command is an accident."""
    with pytest.raises(ValueError, match="README line 4: a console block starts with a command"):
        list(commands(in_block("one", "$ true")))


def test_examples_are_copied_so_that_no_command_can_change_them(tmp_path: Path) -> None:
    """The directory is the reader's clone as far as docs/examples goes, and it is thrown away."""
    make_workplace(tmp_path)
    examples = ROOT / "docs" / "examples"

    assert {path.name for path in tmp_path.glob("docs/examples/*")} == {path.name for path in examples.glob("*")}
