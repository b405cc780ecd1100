"""`karar publish`: a file to Kafka as its publisher would send it, while it is read in a thread of its own."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from threading import Event as Flag
from typing import BinaryIO, Final, NamedTuple

from schemas.sources import Read
from streams.broker import BrokerError
from streams.commands.files import Intake, opened, progress, reading, reason_of
from streams.commands.patience import patient
from streams.logs import hushed
from streams.publishing import Parcel, Sender, home, parcel, sending
from streams.settings import Settings
from streams.topics import INPUTS

SLICE: Final = 500
AHEAD: Final = 8
LOOK_SECONDS: Final = 0.1
ENDING: Final = (signal.SIGINT, signal.SIGTERM)
RAW: Final = "asterisk-queue-log"
"""The format whose lines go as they are: their publisher knows nothing of events."""


class Timed(NamedTuple):
    """A record, when it happened (ms; None: no matter when), and the line it comes from."""

    parcel: Parcel
    at: int | None
    line: int


class Slice(NamedTuple):
    """Records that were read one after the other, how far that is in the file, and whether nothing follows for now."""

    records: list[Timed]
    position: int
    waiting: bool


Route = Callable[[Intake, Read], Iterator[Timed]]


class Outcome(NamedTuple):
    """What became of a file: what Kafka has of it by topic, its last line that was sent, and whether it was stopped before its end."""

    acknowledged: Counter[str]
    line: int
    stopped: bool
    seconds: float


class Reader:
    """Reads a file into slices, no further ahead than Kafka takes them; with a ``speed``, no faster than its events happened."""

    def __init__(self, path: str, intake: Intake, route: Route, speed: float | None) -> None:
        self.path, self.intake, self.route, self.speed = path, intake, route, speed
        self.loop = asyncio.get_running_loop()
        self.slices: asyncio.Queue[Slice | None] = asyncio.Queue()
        self.room = BoundedSemaphore(AHEAD)
        self.stopped, self.abandoned = Flag(), Flag()
        self.records: list[Timed] = []
        self.stream: BinaryIO | None = None
        self.began: tuple[float, int] | None = None

    def read(self) -> None:
        """Reads to the end, or until stopped. ValueError: one line that names the file."""
        try:
            with opened(self.path) as given:
                self.stream = patient(given, self.hand_over, self.stopped)
                for record in reading(self.path, self.timed(self.stream)):
                    self.records.append(record)
                    if len(self.records) == SLICE:
                        self.hand_over(waiting=False)
                self.hand_over()
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be read: {reason_of(error)}") from None
        finally:
            self.loop.call_soon_threadsafe(self.slices.put_nowait, None)

    def timed(self, stream: BinaryIO) -> Iterator[Timed]:
        """The records of a stream, each when it is its turn; all that a line says, or nothing of it."""
        for read in self.intake.source.read(stream):
            if self.stopped.is_set():
                return
            self.intake.wall = time.time_ns() // 1_000_000
            for record in self.route(self.intake, read):
                if self.speed is not None and record.at is not None:
                    self.wait_until(record.at, self.speed)
                yield record

    def wait_until(self, at: int, speed: float) -> None:
        """Waits for an event's turn: the first comes at once, and what is late does, too."""
        now = time.monotonic()
        if self.began is None:
            self.began = now, at
        since, first = self.began
        due = since + (at - first) / 1000 / speed
        if due > now:
            self.hand_over()
            self.stopped.wait(due - now)

    def hand_over(self, *, waiting: bool = True) -> None:
        """Hands over what was read, as soon as there is room for it."""
        position = self.stream.tell() if self.stream is not None and self.stream.seekable() else 0
        part, self.records = Slice(self.records, position, waiting), []
        while part.records and not self.abandoned.is_set():
            if self.room.acquire(timeout=LOOK_SECONDS):
                self.loop.call_soon_threadsafe(self.slices.put_nowait, part)
                return

    async def handed_over(self) -> AsyncIterator[Slice]:
        """Slice by slice, each of which makes room for another one when it was dealt with."""
        while (part := await self.slices.get()) is not None:
            yield part
            self.room.release()

    def abandon(self) -> None:
        """Nobody takes what is read any more."""
        self.stopped.set()
        self.abandoned.set()


def raw(intake: Intake, read: Read, topic: str) -> Iterator[Timed]:
    """A queue log's line as it is, by its callid; also one that is no event of ours, which a worker counts as such."""
    refused = intake.rejected
    events = intake.judged(read)
    if intake.rejected == refused:
        key = read.raw.decode().split("|", 2)[1].strip().encode()
        yield Timed(Parcel(topic, key, read.raw), events[0].at if events else None, read.number)


def canonical(intake: Intake, read: Read, topics: dict[str, str]) -> Iterator[Timed]:
    """The events of a record, each to its topic."""
    for event in intake.judged(read):
        yield Timed(parcel(event, topics[home(event)]), event.at, read.number)


def check(format_: str, mapping: Path | None, source_name: str) -> None:
    """Refuses options that would change nothing. ValueError: one line."""
    if format_ == RAW and mapping is not None:
        raise ValueError(
            "--mapping: lines of a queue log are sent as they are, and read in UTC; where they are not, "
            "`karar convert` with the mapping and publish its events"
        )
    if format_ != "csv" and source_name:
        raise ValueError("--source-name: only csv needs one; events have theirs, and lines of a queue log get theirs where they are read")


def destinations(settings: Settings, format_: str, topic: str) -> dict[str, str]:
    """The topic of calls, of visits and of feedback. Raw lines have one: what is mapped to their format, or that of calls."""
    if format_ == RAW and not topic:
        topic = next((name for name, adapter in settings.adapters.items() if adapter == RAW), settings.topic("calls"))
    return {name: topic or settings.topic(name) for name in INPUTS}


def misread(settings: Settings, format_: str, topics: dict[str, str]) -> Iterator[str]:
    """One line for each topic that a worker with the same settings would take for something else."""
    sent = RAW if format_ == RAW else "events"
    for topic in dict.fromkeys(topics.values()):
        if (read := settings.format_of(topic)) != sent:
            yield f"{topic} is sent {sent}, and a worker with these settings reads it as {read}; it needs KARAR_ADAPTERS={topic}={sent}"


def run(settings: Settings, path: str, intake: Intake, topics: dict[str, str], speed: float | None) -> Outcome:
    """Publishes a file. BrokerError, ValueError: one line. KeyboardInterrupt: stopped twice, so it is not known what was sent."""
    route = partial(raw, topic=topics["calls"]) if intake.source.name == RAW else partial(canonical, topics=topics)
    with hushed("aiokafka"):
        try:
            return asyncio.run(published(settings, topics.values(), partial(Reader, path, intake, route, speed)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def published(settings: Settings, topics: Iterable[str], reader_of: Callable[[], Reader]) -> Outcome:
    """Reads and sends, until the end or until stopped; returns when Kafka has everything. BrokerError, ValueError: one line."""
    started = time.perf_counter()
    reader = reader_of()
    async with sending(settings.broker, topics, settings.security) as sender, stopping(reader):
        thread = asyncio.create_task(asyncio.to_thread(reader.read))
        try:
            line = await sent(reader, sender)
            await sender.flush()
            await thread
            stopped = reader.stopped.is_set()
        except BrokerError as error:
            count = sender.acknowledged.total()
            raise BrokerError(f"{error}; {count:,} records were acknowledged before" if count else str(error)) from None
        finally:
            reader.abandon()
            await asyncio.gather(thread, return_exceptions=True)
    return Outcome(sender.acknowledged, line, stopped, time.perf_counter() - started)


async def sent(reader: Reader, sender: Sender) -> int:
    """Sends what is read; the last line."""
    line = count = 0
    with progress(reader.path, Path(reader.path).name) as report:
        async for part in reader.handed_over():
            for record in part.records:
                await sender.put(record.parcel)
            if part.waiting:
                await sender.send_all()
            line = part.records[-1].line
            count += len(part.records)
            report(part.position, count)
    return line


@asynccontextmanager
async def stopping(reader: Reader) -> AsyncIterator[None]:
    """Ctrl-C ends the reading, and what was read is sent; once more ends everything."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if reader.stopped.is_set() and task is not None:
            task.cancel()
        reader.stopped.set()

    for ending in ENDING:
        loop.add_signal_handler(ending, stop)
    try:
        yield
    finally:
        for ending in ENDING:
            loop.remove_signal_handler(ending)


def summary(outcome: Outcome, intake: Intake) -> str:
    """What became of a file, in one line."""
    count = outcome.acknowledged.total()
    topics = ", ".join(f"{topic} {number:,}" for topic, number in sorted(outcome.acknowledged.items()))
    told = f"{count:,} records acknowledged ({topics})" if topics else "nothing to send"
    speed = f"{outcome.seconds:,.1f} s, {count / max(outcome.seconds, 0.001):,.0f}/s"
    stopped = f"stopped after line {outcome.line:,}: " if outcome.stopped else ""
    return f"{stopped}{told}; {intake.rejected:,} rejected, {intake.ignored.total():,} ignored; {speed}"
