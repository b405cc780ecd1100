"""`make ops-test`: CHAINS (100), MOVES (10), SEED. Exit status 1 where anything is wrong."""

import asyncio
import logging
import os
import random
import sys
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console
from rich.table import Table

from streams.broker.kafka import serving
from tests.ops.run import PARTITIONS, Ops
from tests.topics import fresh


def main() -> int:
    """Runs it, and prints what came of it."""
    given = os.environ.get
    seed = int(given("SEED") or random.SystemRandom().randrange(1 << 32))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder, console = Path(mkdtemp(prefix="karar-ops-")), Console(width=160)
    console.print(f"SEED={seed}; logs: {folder}")
    with serving(os.environ) as address:
        ops = Ops(fresh(address, PARTITIONS), folder, int(given("CHAINS") or 100), int(given("MOVES") or 10), seed)
        try:
            asyncio.run(ops.run())
        except (TimeoutError, AssertionError) as error:
            ops.tell("given up", error, wrong=True)
    shown = Table("", "", show_header=False)
    for row in ops.rows:
        shown.add_row(*row)
    console.print(shown)
    for problem in ops.problems:
        console.print(f"[bold red]wrong:[/] {problem}", highlight=False)
    console.print("[bold red]not as it must be[/]" if ops.problems else "[bold green]as it must be[/]")
    return int(bool(ops.problems))


if __name__ == "__main__":
    sys.exit(main())
