"""`make ops-test`: CHAINS (100), MOVES (10), SEED. Exit status 1 where anything is wrong."""

import asyncio
import logging
import os
import random
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Final

from rich.console import Console
from rich.markup import escape

from streams.broker.kafka import serving
from tests.ops.run import Ops, Plan
from tests.topics import fresh

PARTITIONS: Final = 4


def main() -> int:
    """Runs it, and prints what comes of it. What it leaves behind is kept where something was wrong."""
    given = os.environ.get
    seed = int(given("SEED") or random.SystemRandom().randrange(1 << 32))
    plan = Plan(chains=int(given("CHAINS") or Plan().chains), moves=int(given("MOVES") or Plan().moves))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder, console = Path(mkdtemp(prefix="karar-ops-")), Console(width=160, highlight=False)

    def shown(what: str, value: str, wrong: bool) -> None:  # noqa: FBT001 - as Ops says it
        console.print(f"{what:<40} {value}", style="bold red" if wrong else "", markup=False)

    console.print(f"SEED={seed}; logs: {folder}")
    with serving(os.environ) as address:
        ops = Ops(fresh(address, PARTITIONS), folder, plan, seed, shown)
        try:
            asyncio.run(ops.run())
        except (TimeoutError, AssertionError) as error:
            ops.tell("given up", error, wrong=True)
    if not ops.problems:
        rmtree(folder)
        console.print("[bold green]as it must be[/]; the logs are removed")
        return 0
    for problem in ops.problems:
        console.print(f"[bold red]wrong:[/] {escape(problem)}")
    console.print(f"[bold red]not as it must be[/]; logs: {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
