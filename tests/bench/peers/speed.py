"""`python -m tests.bench.peers.speed`: how fast Kafka Streams does the workload of the engine alone, and whether it does it right.

Broker and host share the cores of this machine: compare with what `make bench` measures here for Karar.
"""

import asyncio
import json
import os
import platform
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from streams.broker.jars import cache_folder
from streams.broker.kafka import serving
from streams.settings import value
from tests.bench.live import KEYS, Host, counted_topics, running
from tests.bench.peers.checked import check
from tests.bench.peers.kafka_streams import GUARANTEES, STORES, Prepared, changelog, prepare

DEADLINE_SECONDS = 600
COLUMNS = (
    "guarantee",
    "store",
    "events/s",
    "per CPU-second",
    "warm events/s",
    "warm per CPU-second",
    "outputs",
    "states",
    "counted",
    "wrong",
)
console = Console(width=170)


def followed(host: Host, events: int) -> list[tuple[float, float, float]]:
    """What a host tells until it has done all events: (seconds, events, CPU seconds), from its first event on."""
    told: list[tuple[float, float, float]] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    for figures in host.figures():
        now = time.monotonic()
        if figures["events"]:
            told.append((now, figures["events"], figures["cpu"]))
        if figures["events"] >= events:
            return told
        if now > deadline:
            break
    raise TimeoutError(f"not done after {DEADLINE_SECONDS} s; see {host.log.name}")


def paces(told: Sequence[tuple[float, float, float]], above: float) -> tuple[float, float]:
    """Events per second and per CPU second, from the first line with more than so many events to the last."""
    first = next(line for line in told if line[1] > above)
    seconds, events, cpu = (last - early for last, early in zip(told[-1], first, strict=True))
    return events / seconds, events / cpu


def measured(prepared: Prepared, broker: str, folder: Path, events: int, guarantee: str, store: str, *more: str) -> list[str]:
    """One run: its speed over all, its speed over the second half, and what was wrong."""
    run = f"ks{os.getpid()}-{guarantee[0]}{store[0]}{time.time_ns() % 1_000_000}"
    asyncio.run(counted_topics(broker, run, 4, events))
    command = prepared.command(broker, run, guarantee, store, more=more)
    with running(command, {}, folder / f"kafka-streams-{guarantee}-{store}.log") as host:
        told = followed(host, events)
    speeds = [f"{pace:,.0f}" for above in (0, events / 2) for pace in paces(told, above)]
    found = asyncio.run(check(broker, run, changelog(run), events, KEYS))
    return [*speeds, f"{found.outputs:,}", f"{found.states:,}", f"{found.counted:,}", "; ".join(found.wrong) or "nothing"]


def main() -> None:
    """Runs what is asked for, and prints the table."""
    parser = ArgumentParser()
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--guarantees", default=",".join(GUARANTEES))
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--jvm", default="", help="options of the host's JVM, such as -XX:+UseParallelGC")
    given = parser.parse_args()
    prepared = prepare(cache_folder(os.environ), value(os.environ, "KARAR_MAVEN_REPOSITORY"))
    console.print(f"{platform.platform()}, {os.cpu_count()} cores for all; {json.dumps(vars(given))}")
    table = Table(*COLUMNS, title=f"Kafka Streams, {given.events:,} events", title_justify="left")
    with TemporaryDirectory(prefix="karar-peers-") as folder, serving(os.environ) as broker:
        for guarantee in given.guarantees.split(","):
            for store in given.stores.split(","):
                row = measured(prepared, broker, Path(folder), given.events, guarantee, store, *given.jvm.split())
                console.print(guarantee, store, *row)
                table.add_row(guarantee, store, *row)
    console.print(table)


if __name__ == "__main__":
    main()
