"""Files as the commands read them: an adapter over a stream, progress on standard error, what was refused."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EACCES, EISDIR, ENOENT
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from schemas.codec import Ignored, Rejected, check_time
from schemas.events import Event
from schemas.sources import Read, Source, open_source, read_mapping

STDIN: Final = "-"
TOLD_AT_FIRST: Final = 10
TELL_SECONDS: Final = 60
Record = TypeVar("Record")


class BadDataError(Exception):
    """Data that cannot be used at all: exit 1."""


class Intake:
    """Everything that a file said: its events go on, refusals are told and counted, what is ignored is counted by reason."""

    def __init__(self, source: Source, wall: int, refused: Callable[[int, Rejected], None]) -> None:
        self.source, self.wall, self.refused = source, wall, refused
        self.events = self.rejected = 0
        self.ignored: Counter[str] = Counter()

    def read(self, stream: BinaryIO) -> Iterator[Event]:
        """The events of a stream; what is rejected is told with its line and reason."""
        for read in self.source.read(stream):
            yield from self.judged(read)

    def judged(self, read: Read) -> list[Event]:
        """The events of one record; what is rejected of it is told."""
        events = []
        for x in read.decoded:
            checked = check_time(x, self.wall) if isinstance(x, Event) else x
            match checked:
                case Rejected():
                    self.rejected += 1
                    self.refused(read.number, checked)
                case Ignored():
                    self.ignored[checked.reason] += 1
                case _:
                    self.events += 1
                    events.append(checked)
        return events


def open_format(name: str, mapping: Path | None, part: str = "", source_name: str = "") -> Source:
    """The adapter for a format. ValueError: one line that says what, where, what to do.

    ``source_name`` names the events' source instead of the mapping. ``part`` names one of several files whose rows have no id of their
    own: line 2 of one is not line 2 of the other.
    """
    if mapping is None:
        return open_source(name, source_name=source_name)
    text = text_of(mapping)
    try:
        return open_source(name, read_mapping(text), source_name, part)
    except ValueError as error:
        message = f"{mapping}: {error}"
        raise ValueError(message) from None


class Refusals:
    """What is told of refused records: the first ten, each with its place, and of all others how many there are, by reason.

    Where reading lasts, as of a log that grows, one of the others a minute is told as well. ``every``: all are told.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic, *, every: bool = False) -> None:
        self.console, self.clock, self.every = console, clock, every
        self.told, self.last = 0, 0.0
        self.others: Counter[str] = Counter()

    def tell(self, path: str, number: int, x: Rejected) -> None:
        """One refused record, in one line at most."""
        if not self.every and self.told >= TOLD_AT_FIRST and self.clock() < self.last + TELL_SECONDS:
            if not self.others:
                self.say(f"karar: {self.told} refused records are told; the others are counted, and one a minute told")
            self.others[x.reason] += 1
            return
        self.told, self.last = self.told + 1, self.clock()
        self.say(f"{path}:{number}: {x.reason}: {x.where}")

    def sum_up(self) -> None:
        """How many were not told, where there are any."""
        if self.others:
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in self.others.most_common())
            self.say(f"karar: {self.others.total():,} more records refused: {reasons}")

    def say(self, line: str) -> None:
        """One line, as it is."""
        self.console.print(Text(line), soft_wrap=True)


@contextmanager
def telling(console: Console, *, every: bool = False) -> Iterator[Refusals]:
    """Tells refused records, and sums up at the end, whatever that is."""
    refusals = Refusals(console, every=every)
    try:
        yield refusals
    finally:
        refusals.sum_up()


def text_of(path: Path) -> str:
    """A small text file's content. ValueError: one line."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {reason_of(error)}"
        raise ValueError(message) from None


def reason_of(error: Exception) -> str:
    """An error in a few words."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file, or standard input for ``-``."""
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        message = f"{path}: cannot be read: {reason_of(error)}"
        raise ValueError(message) from None
    with stream:
        yield stream


def check_outputs(inputs: Iterable[str], outputs: Iterable[Path]) -> None:
    """Refuses what cannot be written, or what would be written over, before a long read. ValueError: one line."""
    taken = [Path(path).resolve() for path in inputs]
    for path in outputs:
        if path.resolve() in taken:
            message = f"{path}: would be written over; name another file for it"
            raise ValueError(message)
        taken.append(path.resolve())
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK) or path.is_dir():
            message = f"{path}: cannot be written: {os.strerror(EISDIR if path.is_dir() else EACCES if path.parent.exists() else ENOENT)}"
            raise ValueError(message)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write. ValueError: one line."""
    try:
        with path.open("wb") as stream:
            yield stream
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise ValueError(message) from None


def reading(path: str, records: Iterator[Record]) -> Iterator[Record]:
    """What a file says; what is wrong with the whole file is said with its name. ValueError: one line."""
    try:
        yield from records
    except ValueError as error:
        message = f"{path}: {error}"
        raise ValueError(message) from None


@contextmanager
def standard_output() -> Iterator[Callable[[bytes], object]]:
    """Lines to standard output; whoever stops reading them is not an error."""
    try:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress(path: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error: bytes read of the file, and how many events that made. Nothing where nobody looks."""
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("bytes"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=size or None)
        yield lambda position, events: bar.update(task, completed=position, description=f"{what} {events:,} events")
