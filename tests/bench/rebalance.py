"""`make bench-rebalance`: how long shards stand still that stay where they are, while a second worker joins the group and leaves it again.

Under a steady load every shard counts more whenever it commits: what is looked for is the longest time in which one does not, as it is
seen at /metrics twenty times a second. A shard that moves is served by nobody for a while, on purpose (docs/guarantees.md): it is left out.
"""

import asyncio
import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from rich.console import Console
from rich.table import Table

from streams.broker.kafka import free_port, serving
from streams.simulate import simulate
from tests.bench.live import WARM_SECONDS, loaded, steadily
from tests.bench.workers import HERTZ, OFFERED, Probe, create_topics, ready, scraped, settings_of, worker

COUNTED: Final = re.compile(rf'^{OFFERED}{{[^}}]*shard="([^"]+)"[^}}]*}} (\S+)$', re.MULTILINE)


def counted(text: str) -> Mapping[str, float]:
    """What each shard that is served has counted."""
    found: dict[str, float] = {}
    for shard, number in COUNTED.findall(text):
        found[shard] = found.get(shard, 0) + float(number)
    return found


class Standstill:
    """For each shard, the longest time without a change; ``here``: those that were served at the last look."""

    def __init__(self, first: Mapping[str, float], now: float) -> None:
        self.last = {shard: (number, now) for shard, number in first.items()}
        self.longest = dict.fromkeys(first, 0.0)
        self.here: frozenset[str] = frozenset(first)

    def look(self, numbers: Mapping[str, float], now: float) -> None:
        """Notes what is served now. A shard that is not served stands still."""
        self.here = frozenset(numbers)
        for shard, (number, since) in self.last.items():
            if numbers.get(shard, number) != number:
                self.last[shard] = numbers[shard], now
                self.longest[shard] = max(self.longest[shard], now - since)

    def stayed(self, now: float) -> list[float]:
        """The longest standstill of each that was here from the first look to the last; one that lasts counts as well."""
        return [max(seconds, now - self.last[shard][1]) for shard, seconds in self.longest.items() if shard in self.here]


async def watched(port: int, seconds: float) -> list[float]:
    """Looks for so long; the longest standstill of each shard that stays."""
    still = Standstill(counted(await asyncio.to_thread(scraped, port, OFFERED)), time.monotonic())
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        text = await asyncio.to_thread(scraped, port, OFFERED)
        still.look(counted(text), time.monotonic())
        await asyncio.sleep(1 / HERTZ)
    return still.stayed(time.monotonic())


def rebalance(broker: str, folder: Path, rate: int, seconds: float, partitions: int) -> list[dict[str, float | str]]:
    """One row each for a worker alone, a second one that joins, and the same that leaves."""
    port, other = free_port(), free_port()
    first, second = (settings_of(broker, f"r{os.getpid()}", one, KARAR_PARTITIONS=str(partitions)) for one in (port, other))
    asyncio.run(create_topics(first))
    load = loaded(first, simulate(seed=5, customers=50_000, days=10_000, disorder=False), int(rate * (WARM_SECONDS + 3 * seconds)))

    async def every() -> list[dict[str, float | str]]:
        loading = asyncio.create_task(steadily(first, load, rate, Probe([port])))
        await asyncio.sleep(WARM_SECONDS)
        rows = [row("alone", await watched(port, seconds))]
        with ExitStack() as stack:
            stack.enter_context(worker(second, folder))
            rows.append(row("a second one joins", await watched(port, seconds)))
            if not await asyncio.to_thread(ready, other):
                raise RuntimeError(f"the second worker is not ready after {seconds:g} s")
            looking = asyncio.create_task(watched(port, seconds))
            await asyncio.to_thread(stack.close)
        rows.append(row("it leaves", await looking))
        await loading
        return rows

    def row(what: str, found: list[float]) -> dict[str, float | str]:
        return {"": what, "events/s": rate, "shards that stay": len(found), "longest standstill s": max(found, default=float("nan"))}

    with worker(first, folder):
        while not ready(port):
            time.sleep(0.1)
        return asyncio.run(every())


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=30, help="of each row")
    parser.add_argument("--partitions", type=int, default=8)
    given = parser.parse_args()
    folder = Path(mkdtemp(prefix="karar-rebalance-"))
    console = Console()
    console.print(f"{os.cpu_count()} cores for all, {given.partitions} partitions, logs in {folder}", highlight=False)
    with serving(os.environ) as broker:
        rows = rebalance(broker, folder, given.rate, given.seconds, given.partitions)
    table = Table(*rows[0], title="Shards that stay where they are", title_justify="left")
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


if __name__ == "__main__":
    main()
