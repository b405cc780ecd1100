"""Whether an event costs the same however many chains are open, and however many partitions they are spread over.

`.venv/bin/python -m tests.bench.flat`, on real Kafka. The same calls are taken to their end each time, spread evenly over the chains
that are open; the others wait. What one event more costs is the CPU time of the worker from the first of them to the last, less what it
uses when nothing comes. Time hardly moves meanwhile: what it brings by itself is not in the figure.
"""

import asyncio
import os
import platform
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from schemas.events import Answered, Ended, Event, Queued, WrappedUp
from streams.broker.kafka import free_port, serving
from tests.bench.core import form
from tests.bench.processes import DEADLINE_SECONDS, Host
from tests.bench.workers import published, seen, settings_of, worker

AT = 1_767_600_000_000
ENDS = 3
"""Events of a call that is taken to its end."""
SETTLE_SECONDS = 3
"""After so long nothing is left to do that hangs on what came before: positions that moved are committed within a second."""
LOOKS = 10
console = Console(width=150)


def waiting(chains: int) -> Iterator[Event]:
    """So many customers, each in a queue."""
    for n in range(chains):
        yield Queued(
            id=f"q{n}", source="flat", interaction_id=f"i{n}", at=AT + n // 100, channel="call", queue=f"q{n % 40}",
            identifiers={"phone": f"+49{n:09d}"},
        )  # fmt: skip


def ending(chains: int, number: int, rounds: int, ended: int) -> Iterator[list[Event]]:
    """So many of their calls, others in each round: an event of all of them, then the next of all of them."""
    stride = chains // (ended * rounds)
    calls = [(n * rounds + number) * stride for n in range(ended)]
    at = AT + chains // 100
    yield [Answered(id=f"a{n}", source="flat", interaction_id=f"i{n}", at=at, representative=f"r{n % 50}") for n in calls]
    yield [Ended(id=f"e{n}", source="flat", interaction_id=f"i{n}", at=at + 1) for n in calls]
    yield [WrappedUp(id=f"w{n}", source="flat", interaction_id=f"i{n}", at=at + 2) for n in calls]


def until(port: int, events: int) -> None:
    """Returns when so many events are done, in both stages."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    for told in seen(port):
        if told["events"] >= events and told["left"] == 0:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done after {DEADLINE_SECONDS} s: {told}")


def cost(broker: str, folder: Path, chains: int, partitions: int, rounds: int, ended: int) -> dict[str, float]:
    """Microseconds of the worker's CPU for an event; the median of some rounds, the least and the most."""
    port, found = free_port(), list[float]()
    settings = settings_of(broker, f"f{os.getpid()}-{chains}-{partitions}", port, KARAR_PARTITIONS=str(partitions))
    asyncio.run(published(settings, list(waiting(chains))))
    with worker(settings, folder) as host:
        until(port, chains)
        for number in range(rounds):
            idle, done = resting(host, port), chains + number * ended * ENDS
            used, since = host.cpu(), time.monotonic()
            for part in ending(chains, number, rounds, ended):
                asyncio.run(published(settings, part))
                done += ended
                until(port, done)
            used, since = host.cpu() - used, time.monotonic() - since
            found.append((used - idle * since) / (ended * ENDS) * 1e6)
    return {"chains": chains, "partitions": partitions, "µs an event": median(found), "least": min(found), "most": max(found)}


def resting(host: Host, port: int) -> float:
    """The share of a core that the worker uses while nothing comes, and is asked how far it is."""
    time.sleep(SETTLE_SECONDS)
    used, since = host.cpu(), time.monotonic()
    for _ in zip(seen(port), range(LOOKS), strict=False):
        pass
    return (host.cpu() - used) / (time.monotonic() - since)


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--chains", default="30000,300000,1000000", help="at 8 partitions")
    parser.add_argument("--partitions", default="4,16,64", help="at the fewest chains")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3_000, help="that are taken to their end in a round")
    parser.add_argument("--folder", type=Path, default=Path("/tmp") / f"karar-flat-{os.getpid()}")  # noqa: S108 - told in the first line
    given = parser.parse_args()
    chains = [int(number) for number in given.chains.split(",") if number]
    if min(chains) < 2 * given.calls * given.rounds:
        parser.error(f"--chains: at least {2 * given.calls * given.rounds:,}, so that most of them go on waiting")
    given.folder.mkdir(parents=True, exist_ok=True)
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores for all, logs in {given.folder}")
    console.print(f"The core: {form()}; {given.calls:,} calls of {ENDS} events, {given.rounds} rounds")
    places = [(number, 8) for number in chains] + [(chains[0], int(number)) for number in given.partitions.split(",") if number]
    rows = []
    with serving(os.environ) as broker:
        for one in places:
            rows.append(cost(broker, given.folder, *one, given.rounds, given.calls))
            console.print({name: round(value, 1) for name, value in rows[-1].items()})
    table = Table(*rows[0], "× the first", title="What an event costs the worker", title_justify="left")
    for row in rows:
        table.add_row(*(f"{value:,.0f}" for value in row.values()), f"{row['µs an event'] / rows[0]['µs an event']:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
