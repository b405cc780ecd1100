"""`make bench-core`: the whole core on one core of this machine: decode, both folds, facts, encode, over a simulated week.

Prints events per CPU-second (median of some runs), how the time divides, and the profile's top ten.
"""

import gc
import platform
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
from cProfile import Profile
from pathlib import Path
from pstats import Stats
from statistics import median
from time import process_time
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.codec import decode, encode
from schemas.events import Event
from streams.core import stitch
from streams.core.facts import Account
from streams.core.identity import Identity
from streams.core.step import Output
from streams.core.targets import Rules
from streams.replay import SLICE, Replay
from streams.simulate import simulate
from tests.core import interactions

PARTITIONS = 8


def replayed(lines: Sequence[bytes], tell: Callable[[Output], None] | None = None) -> Replay:
    """The whole path: bytes in, ledgers out, slice by slice."""
    replay = Replay(Rules(), Identity(), PARTITIONS, tell=tell)
    size = SLICE * PARTITIONS
    for start in range(0, len(lines), size):
        replay.take([x for line in lines[start : start + size] for x in decode(line) if isinstance(x, Event)])
    replay.finish()
    return replay


def form() -> str:
    """What the core is here."""
    return "in plain Python" if Path(stitch.__file__).suffix == ".py" else "compiled"


def cpu(call: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    gc.freeze()
    started = process_time()
    call()
    return process_time() - started


def profile(lines: Sequence[bytes]) -> None:
    """Where the time goes, function by function."""
    profiler = Profile()
    profiler.enable()
    replayed(lines)
    profiler.disable()
    Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(10)


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    gc.set_threshold(100_000, 50, 50)
    console = Console()
    generated = process_time()
    lines = [encode(x) for x in simulate(seed=1, customers=options.customers, days=options.days)]
    generated = process_time() - generated
    runs = sorted(len(lines) / cpu(lambda: replayed(lines)) for _ in range(options.runs))
    table = Table("what", "events per CPU-second", box=None, header_style="dim")
    table.add_row("simulate and encode", f"{len(lines) / generated:,.0f}")
    table.add_row(f"whole core, median of {options.runs} (min, max)", f"{median(runs):,.0f} ({runs[0]:,.0f}, {runs[-1]:,.0f})")
    told: Counter[str] = Counter()
    runs = sorted(len(lines) / cpu(lambda: replayed(lines, lambda output: told.update((output.topic,)))) for _ in range(options.runs))
    table.add_row("the same, moments and chains told", f"{median(runs):,.0f} ({runs[0]:,.0f}, {runs[-1]:,.0f})")
    events = [x for line in lines for x in decode(line) if isinstance(x, Event)]
    table.add_row("of it, decode alone", f"{len(lines) / cpu(lambda: [decode(line) for line in lines]):,.0f}")
    table.add_row("every interaction folded once", f"{len(lines) / cpu(lambda: interactions(events)):,.0f}")
    customers, now = interactions(events), max(x.at for x in events)
    read = cpu(lambda: [Account(records, now, Rules()).total() for records in customers.values()])
    table.add_row("every customer's facts once", f"{len(lines) / read:,.0f}")
    console.print(f"{len(lines):,} events of {options.days:g} simulated days, {options.customers:,} customers, {PARTITIONS} partitions")
    console.print(f"Python {platform.python_version()}, {platform.machine()}, the core {form()}")
    console.print(table)
    console.print("told:", ", ".join(f"{number // options.runs:,} {topic}" for topic, number in told.items()))
    if options.profile:
        profile(lines)


if __name__ == "__main__":
    main()
