"""`make soak`: SECONDS, SEED, RATE, SUBJECT (core or counting), CLOCK (event or wall). Exit status 1 where anything is wrong.

FAULT=lost_answer (or several with commas, or all) provokes faults of the catalogue instead; SHORT=1 as often as CI does.
"""

import asyncio
import logging
import os
import random
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console
from rich.table import Table

from streams.broker.kafka import Broker
from tests.soak.catalogue import catalog, report
from tests.soak.core import WholeCore
from tests.soak.load import monday
from tests.soak.run import Plan, Soak, Subject, soak
from tests.soak.subjects import CountingStages
from tests.topics import fresh


def main() -> int:
    """Runs one soak, and prints what came of it."""
    given = os.environ.get
    drawn = random.SystemRandom().randrange(1 << 32)
    plan = Plan(seconds=number("SECONDS", 900.0), seed=int(number("SEED", drawn)), rate=number("RATE", 2000.0))
    start = int(number("START", monday(time.time())))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(mkdtemp(prefix="karar-soak-"))
    console = Console() if sys.stdout.isatty() else Console(width=report.WIDTH)
    if names := given("FAULT"):
        return catalogue(names, folder, plan.seed, console, short=bool(given("SHORT")))
    console.print(f"SEED={plan.seed} SECONDS={plan.seconds:g} RATE={plan.rate:g}; logs: {folder}")
    with Broker(os.environ) as broker:
        settings = fresh(broker.address, plan.partitions)
        core = (given("SUBJECT") or "core") == "core"
        subject: Subject = WholeCore(settings, plan, start, given("CLOCK") or "event") if core else CountingStages(settings, plan)
        done = asyncio.run(soak(plan, subject, broker, folder))
    console.print(table(done))
    for problem in done.problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    console.print("[bold red]not exact[/]" if done.problems else "[bold green]exact[/]")
    return int(bool(done.problems))


def number(name: str, default: float) -> float:
    """A setting that is a number, a whole one where its default is. Ends with one line where it is something else."""
    text = os.environ.get(name)
    try:
        return type(default)(text) if text else default
    except ValueError:
        sys.exit(f"{name}: {text!r} is not a number such as {default}; give one, or leave it out")


def catalogue(names: str, folder: Path, seed: int, console: Console, *, short: bool) -> int:
    """Runs faults by name; the table, and where the log is."""
    try:
        faults = catalog.named(names)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    console.print(f"SEED={seed}; logs: {folder}", highlight=False)

    def say(row: report.Row) -> None:
        console.print(f"{row.fault}: {', '.join(row.problems) or 'exact'}", highlight=False)

    rows = catalog.run(faults, folder, seed, short=short, done=say)
    report.write(rows, seed, log := folder / "faults.log")
    console.print(report.table(rows))
    console.print(f"log: {log}", highlight=False, soft_wrap=True)
    return int(any(row.problems for row in rows))


def table(done: Soak) -> Table:
    """What happened."""
    shown = Table(title=f"{done.subject.name}, {done.plan.seconds:g} s, seed {done.plan.seed}", show_header=False)
    for what, value in done.rows:
        shown.add_row(what, value)
    return shown


if __name__ == "__main__":
    sys.exit(main())
