"""`make soak`: SECONDS, SEED, RATE, SUBJECT (core or counting), CLOCK (event or wall). Exit status 1 where anything is wrong."""

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
from tests.soak.core import WholeCore
from tests.soak.load import monday
from tests.soak.run import Plan, Soak, Subject, soak
from tests.soak.subjects import CountingStages
from tests.topics import fresh


def main() -> int:
    """Runs one soak, and prints what came of it."""
    given = os.environ.get
    plan = Plan(
        seconds=float(given("SECONDS") or 900),
        seed=int(given("SEED") or random.SystemRandom().randrange(1 << 32)),
        rate=float(given("RATE") or 2000),
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(mkdtemp(prefix="karar-soak-"))
    console = Console()
    console.print(f"SEED={plan.seed} SECONDS={plan.seconds:g} RATE={plan.rate:g}; logs: {folder}")
    with Broker(os.environ) as broker:
        settings = fresh(broker.address, plan.partitions)
        start = int(given("START") or monday(time.time()))
        core = (given("SUBJECT") or "core") == "core"
        subject: Subject = WholeCore(settings, plan, start, given("CLOCK") or "event") if core else CountingStages(settings, plan)
        done = asyncio.run(soak(plan, subject, broker, folder))
    console.print(table(done))
    for problem in done.problems:
        console.print(f"[bold red]wrong:[/] {problem}")
    console.print("[bold red]not exact[/]" if done.problems else "[bold green]exact[/]")
    return int(bool(done.problems))


def table(done: Soak) -> Table:
    """What happened."""
    shown = Table(title=f"{done.subject.name}, {done.plan.seconds:g} s, seed {done.plan.seed}", show_header=False)
    for what, value in done.rows:
        shown.add_row(what, value)
    return shown


if __name__ == "__main__":
    sys.exit(main())
