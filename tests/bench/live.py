"""`make bench-core`, with real Kafka: throughput of the engine beside its prototype, latency, memory and recovery.

Everything runs on this machine: broker, load and host share its cores, so read the ratios; hosts take turns within one run.
"""

import asyncio
import gc
import os
import platform
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from schemas.events import Event
from streams.broker.kafka import free_port, serving
from streams.publishing import Parcel, home, parcel, sending
from streams.settings import Settings
from streams.simulate import simulate
from tests.bench.core import form
from tests.bench.processes import PATH, PYTHON, paced, quantile, running
from tests.bench.recovery import recovery, shown
from tests.bench.small import counted_topics
from tests.bench.workers import HERTZ, Probe, create_topics, served, settings_of, total, worker
from tests.shared import shared

LINGER_SECONDS = 0.01
WARM_SECONDS = 30
LAG = "karar_event_lag_seconds"
COMMITS = "karar_transactions_total"
console = Console(width=150)


# Engine alone


def engine_alone(broker: str, folder: Path, events: int, rounds: int, partitions: int = 4) -> dict[str, list[tuple[float, float]]]:
    """The counting stage in Karar, and in the prototype where it is at hand: small state, one output per event."""
    found: dict[str, list[tuple[float, float]]] = {}
    prototype = shared("design/prototypes/shards.py")
    for number in range(rounds):
        hosts: dict[str, tuple[list[str], dict[str, str]]] = {}
        run = f"{os.getpid()}-{number}"
        hosts["karar"] = [PYTHON, "-m", "tests.bench.hosts", f"k{run}", str(partitions)], {"KARAR_BROKER": broker}
        if prototype is not None:
            path = f"{prototype.parent}{os.pathsep}{PATH}"
            hosts["prototype"] = (
                [PYTHON, "-m", "tests.bench.prototype"],
                {"BROKER": broker, "RUN": f"p{run}", "PYTHONPATH": path},
            )
        for name, (command, environment) in hosts.items():
            asyncio.run(counted_topics(broker, f"{name[0]}{run}", partitions, events))
            with running(command, environment, folder / f"engine-{name}.log") as host:
                found.setdefault(name, []).append(paced(host.figures(), lambda told: told["events"] >= events, host.cpu))
    return found


# Latency


def loaded(settings: Mapping[str, str], events: Iterator[Event], number: int) -> list[tuple[int, Parcel]]:
    """The next events as they are sent, each with its instant (ms); made before, so that it takes nothing from what is measured.

    Nor does the collector look at them then: some hundred thousand objects, for which the load would stand still for as long as the
    latencies that are looked for.
    """
    told = Settings.read(settings)
    topics = {name: told.topic(name) for name in ("calls", "visits", "feedback")}
    made = [(event.at, parcel(event, topics[home(event)])) for event in islice(events, number)]
    gc.collect()
    gc.freeze()
    return made


async def steadily(settings: Mapping[str, str], load: Iterable[tuple[int, Parcel]], rate: float, probe: Probe, settle: float = 3) -> float:
    """Publishes a load at a rate, with a probe's customer every 50 ms, and looks for them a while longer; the rate as it came to be."""
    told, every = Settings.read(settings), iter(load)
    topics = {name: told.topic(name) for name in ("calls", "visits", "feedback")}
    looking = asyncio.create_task(probe.look())
    async with sending(told.broker, topics.values()) as sender:
        started, sent, through = time.monotonic(), 0, False
        while not through:
            passed, newest = time.monotonic() - started, 0
            due = int(passed * rate) + 1 - sent
            part = list(islice(every, due))
            for at, made in part:
                newest = max(newest, at)
                await sender.put(made)
            sent, through = sent + len(part), len(part) < due
            if newest and len(probe.sent) < passed * HERTZ:
                await sender.put(parcel(probe.event(newest), topics["calls"]))
            await sender.send_all()
            await asyncio.sleep(LINGER_SECONDS)
        actual = sent / (time.monotonic() - started)
        await sender.flush()
        await asyncio.sleep(settle)
    looking.cancel()
    return actual


def buckets(text: str, stage: str) -> dict[float, float]:
    """The lag histogram of a stage."""
    rows = re.findall(r"^karar_event_lag_seconds_bucket{([^}]*)} (\S+)$", text, re.MULTILINE)
    found: dict[float, float] = {}
    for labels, number in rows:
        row = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if row["stage"] == stage:
            found[float(row["le"])] = found.get(float(row["le"]), 0) + float(number)
    return found


def bound(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """The upper bound of the bucket in which a share of what came in between lies."""
    counted = {le: number - before.get(le, 0) for le, number in after.items()}
    most = counted.get(float("inf"), 0)
    return min((le for le, number in counted.items() if most and number >= share * most), default=float("nan"))


def latency(
    broker: str, folder: Path, rate: int, workers: int, seconds: float, rounds: int, partitions: int,
) -> list[dict[str, float]]:  # fmt: skip
    """From produce to served at a steady rate, round after round of workers that have warmed up, and the median of them."""
    ports = [free_port() for _ in range(workers)]
    name, spread = f"l{os.getpid()}-{rate}-{workers}", {"KARAR_PARTITIONS": str(partitions)}
    told = [settings_of(broker, name, port, **spread) for port in ports]
    settings = told[0]
    asyncio.run(create_topics(settings))
    events = simulate(seed=5, customers=50_000, days=10_000, disorder=False)
    rows, probed = [], 0
    with ExitStack() as stack:
        hosts = [stack.enter_context(worker(one, folder)) for one in told]
        for seconds_now in (WARM_SECONDS, *[seconds] * rounds):
            load = loaded(settings, events, int(rate * seconds_now))
            before, cpu, probe = served(ports, LAG, COMMITS), sum(host.cpu() for host in hosts), Probe(ports, probed)
            began = time.monotonic()
            asyncio.run(steadily(settings, load, rate, probe))
            after, used = served(ports, LAG, COMMITS), (sum(host.cpu() for host in hosts) - cpu) / seconds_now
            commits = (total(after, COMMITS) - total(before, COMMITS)) / (time.monotonic() - began)
            probed += len(probe.sent)
            lag = [bound(buckets(before, "stitch"), buckets(after, "stitch"), share) for share in (0.5, 0.99)]
            outside = [quantile(probe.waits, share) for share in (0.5, 0.99)]
            rows.append(
                {
                    "events/s": rate, "workers": workers, "lag p50 ≤": lag[0], "lag p99 ≤": lag[1],
                    "probe p50": outside[0], "probe p99": outside[1], "probes": len(probe.waits), "cores used": used,
                    "transactions/s": commits,
                }
            )  # fmt: skip
    return [*rows[1:], {name: median(row[name] for row in rows[1:]) for name in rows[0]}]


def rates(title: str, found: Mapping[str, list[tuple[float, float]]], base: str) -> None:
    """A table of medians, and ratios to one of the hosts."""
    table = Table("host", "events/s", "events per CPU-second", f"× {base}", "× per CPU-second", "rounds", title=title, title_justify="left")
    middle = {name: tuple(median(column) for column in zip(*rows, strict=True)) for name, rows in found.items()}
    for name, (speed, thrift) in middle.items():
        ratios = (speed / middle[base][0], thrift / middle[base][1])
        table.add_row(name, f"{speed:,.0f}", f"{thrift:,.0f}", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", str(len(found[name])))
    console.print(table)


def main() -> None:
    """Runs what is asked for, and prints the tables."""
    parser = ArgumentParser()
    parser.add_argument("--parts", default="engine,latency,memory")
    parser.add_argument("--engine-events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", default="10000,1000")
    parser.add_argument("--workers", default="1,2", help="of the latency")
    parser.add_argument("--partitions", type=int, default=8, help="of the latency")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--chains", default="100000,1000000")
    parser.add_argument("--folder", type=Path, default=Path("/tmp") / f"karar-bench-{os.getpid()}")  # noqa: S108 - told in the first line
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores for all, logs in {given.folder}")
    console.print(f"Karar: {given.partitions} partitions, exactly once, uvloop")
    console.print(f"The core: {form()}")
    parts = given.parts.split(",")
    with serving(os.environ) as broker:
        if "engine" in parts:
            found = engine_alone(broker, given.folder, given.engine_events, given.rounds)
            base = "prototype" if "prototype" in found else "karar"
            rates(f"The engine alone, {given.engine_events:,} events", found, base)
        if "latency" in parts:
            rows = [
                row
                for rate in map(int, given.rates.split(","))
                for workers in map(int, given.workers.split(","))
                for row in latency(broker, given.folder, rate, workers, given.seconds, given.rounds, given.partitions)
            ]
            console.print(shown("From produce to served (s); the last row of each rate is the median", rows))
        if "memory" in parts:
            found_open = [row for chains in map(int, given.chains.split(",")) for row in recovery(broker, given.folder, chains)]
            console.print(shown("Open chains: memory and recovery", found_open))


if __name__ == "__main__":
    main()
