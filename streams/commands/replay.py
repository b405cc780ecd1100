"""`karar replay`: files through the same path as a worker's, without Kafka."""

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import orjson
from msgspec import to_builtins
from rich.console import Console
from rich.text import Text

from schemas.events import Event
from schemas.sources import Source
from streams.commands.files import Intake, opened, progress, reading, telling, writing
from streams.core.facts import Account
from streams.core.past import everything
from streams.core.public import service_chains
from streams.core.sealed import body_of
from streams.core.states import CUSTOMER
from streams.replay import Replay
from streams.summary import difference_table, print_summary, reading_line

GARBAGE: Final = 100_000


class Run:
    """One or more replays of the same files, one for each set of rules."""

    def __init__(self, sources: Iterable[tuple[str, Source]], replays: Iterable[Replay]) -> None:
        self.sources = list(sources)
        self.replays = list(replays)
        self.intakes: list[Intake] = []
        self.seconds = 0.0

    def read(self, wall: int, console: Console) -> None:
        """Reads every file once, telling what is refused, with a bar on standard error."""
        started = time.perf_counter()
        gc.freeze()
        gc.set_threshold(GARBAGE, 50, 50)
        with telling(console) as refusals:
            for path, source in self.sources:
                intake = Intake(source, wall, partial(refusals.tell, path))
                self.intakes.append(intake)
                with opened(path) as stream, progress(path, Path(path).name) as report:
                    for _ in self.feed(reading(path, intake.read(stream))):
                        report(stream.tell() if stream.seekable() else 0, intake.events)
        self.seconds = time.perf_counter() - started

    def feed(self, events: Iterator[Event]) -> Iterator[int]:
        """The events through every replay, slice by slice."""
        first, *others = self.replays
        for part in first.slices(events):
            for replay in (first, *others):
                replay.take(part)
            yield len(part)

    def finish(self) -> None:
        """Time goes on to the last event, where it is not fixed."""
        for replay in self.replays:
            replay.finish()

    @property
    def events(self) -> int:
        """How many events were taken."""
        return sum(i.events for i in self.intakes)

    @property
    def rejected(self) -> int:
        """How many records were refused."""
        return sum(i.rejected for i in self.intakes)

    def report(self, console: Console) -> None:
        """The summary; with two sets of rules, what differs between them."""
        ignored = sum((i.ignored for i in self.intakes), Counter[str]())
        print_summary(console, self.replays[0], reading_line(self.events, self.rejected, ignored, self.seconds))
        if len(self.replays) > 1:
            table = difference_table(*self.replays[:2])
            console.print(Text("\nWhat the second targets change", style="bold"))
            console.print(table if table.row_count else "Nothing.")


def write_chains(path: Path, replay: Replay) -> None:
    """Every chain's public record as a JSON line."""
    with writing(path) as out:
        for shard in replay.stitch:
            for key, encoded in sorted(shard.state.items()):
                customer = CUSTOMER.decode(body_of(encoded))
                for chain in service_chains(key.decode(), Account(everything(customer), replay.now, replay.rules)):
                    out.write(orjson.dumps(to_builtins(chain), option=orjson.OPT_APPEND_NEWLINE))
