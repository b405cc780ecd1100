"""`make bench`, with real Kafka: throughput against stock Faust and the prototype, latency, memory and recovery.

Everything runs on this machine: broker, load and host share its cores, so read the ratios; hosts take turns within one run.
"""

import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from schemas.events import Event, Queued
from streams.broker.kafka import free_port, serving
from streams.publishing import Parcel, home, parcel, sending
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import create
from tests.bench.core import form
from tests.shared import shared
from tests.topics import records

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable
PATH = os.environ.get("PYTHONPATH") or str(ROOT)
KEYS = 20_000
PAD = "x" * 220
DEADLINE_SECONDS = 900
HERTZ = 20
LINGER_SECONDS = 0.01
WARM_SECONDS = 30
LAG = "karar_event_lag_seconds"
OFFERED = "karar_contacts_offered_total"
console = Console(width=150)


class Host:
    """One process that is measured."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log.open("ab")
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": PATH, **environment}, cwd=log.parent,  # where Faust may leave what it likes
            stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip

    def figures(self) -> Iterator[dict[str, float]]:
        """What the host tells of itself, line by line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        raise RuntimeError(f"the host ended by itself with status {self.process.wait()}; see {self.log.name}")

    def cpu(self) -> float:
        """CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident memory now, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def end(self) -> None:
        """Ends the process."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Host]:
    """A host that ends with the block."""
    host = Host(command, environment, log)
    try:
        yield host
    finally:
        host.end()


def paced(figures: Iterator[dict[str, float]], done: Callable[[dict[str, float]], bool]) -> tuple[float, float]:
    """Events per second of the wall clock, and per CPU second of the host, from its first committed event to its last."""
    first: dict[str, float] | None = None
    started = deadline = time.monotonic()
    for told in figures:
        if told["events"] and first is None:
            first, started = told, time.monotonic()
        if first is not None and done(told):
            events = told["events"] - first["events"]
            return events / (time.monotonic() - started), events / (told["cpu"] - first["cpu"])
        if time.monotonic() > deadline + DEADLINE_SECONDS:
            raise TimeoutError(f"not done after {DEADLINE_SECONDS} s: {told}")
    raise RuntimeError("the host said nothing")


# Engine alone


def key_of(i: int) -> bytes:
    """The key of a small event."""
    return b"c%d" % (i * 7919 % KEYS)


async def counted_topics(broker: str, run: str, partitions: int, events: int) -> None:
    """Fresh topics with small events for the counting stage, 276 bytes each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    compacted = {"cleanup.policy": "compact"}
    await admin.create_topics(
        [
            *(NewTopic(f"{name}-{run}", partitions, 1) for name in ("src", "out")),
            NewTopic(f"state-{run}", partitions, 1, topic_configs=compacted),
        ]
    )
    await admin.close()
    await asyncio.sleep(1)
    async with sending(broker, [f"src-{run}"]) as sender:
        for i in range(events):
            await sender.put(Parcel(f"src-{run}", key_of(i), orjson.dumps({"i": i, "pad": PAD})))
        await sender.flush()


def engine_alone(broker: str, folder: Path, events: int, rounds: int, partitions: int = 4) -> dict[str, list[tuple[float, float]]]:
    """The counting stage in Karar, and in the prototype where it is at hand: small state, one output per event."""
    found: dict[str, list[tuple[float, float]]] = {}
    prototype = shared("design/prototypes/shards.py")
    for number in range(rounds):
        hosts: dict[str, tuple[list[str], dict[str, str]]] = {}
        run = f"{os.getpid()}-{number}"
        hosts["karar"] = [PYTHON, "-m", "tests.bench.hosts", "counting", f"k{run}", str(partitions)], {"KARAR_BROKER": broker}
        if prototype is not None:
            path = f"{prototype.parent}{os.pathsep}{PATH}"
            hosts["prototype"] = (
                [PYTHON, "-m", "tests.bench.prototype"],
                {"BROKER": broker, "RUN": f"p{run}", "PYTHONPATH": path},
            )
        for name, (command, environment) in hosts.items():
            asyncio.run(counted_topics(broker, f"{name[0]}{run}", partitions, events))
            with running(command, environment, folder / f"engine-{name}.log") as host:
                found.setdefault(name, []).append(paced(host.figures(), lambda told: told["events"] >= events))
    return found


# The whole core


def worker(settings: dict[str, str], folder: Path) -> Any:
    """`karar worker`."""
    return running([PYTHON, "-m", "streams", "worker"], settings, folder / "worker.log")


def settings_of(broker: str, prefix: str, port: int, **more: str) -> dict[str, str]:
    """What a worker is told."""
    told = {"KARAR_BROKER": broker, "KARAR_PREFIX": prefix, "KARAR_WEB_PORT": str(port), "KARAR_WEB_HOST": "127.0.0.1"}
    return told | {"KARAR_SERIES_BIRTH_SECONDS": "0", "KARAR_LOG": "json", "KARAR_CLOCK": "event", "KARAR_BALANCE_SECONDS": "0"} | more


async def published(settings: Mapping[str, str], events: Sequence[Event]) -> None:
    """Creates the topics and publishes events as fast as it goes."""
    told = Settings.read(settings)
    await create(told)
    topics = {name: told.topic(name) for name in ("calls", "visits", "feedback")}
    async with sending(told.broker, topics.values()) as sender:
        for event in events:
            await sender.put(parcel(event, topics[home(event)]))
        await sender.flush()


def scraped(port: int, name: str = "") -> str:
    """What a worker serves, or one family of it; nothing while it does not."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics{name and f'?name[]={name}'}", timeout=10) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return ""


def served(ports: Iterable[int], name: str) -> str:
    """One family of several workers."""
    return "\n".join(scraped(port, name) for port in ports)


def total(text: str, name: str) -> float:
    """The sum of a family."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def seen(host: Host, port: int) -> Iterator[dict[str, float]]:
    """What a worker has done, from outside: all is done when nothing is behind and nothing uncommitted."""
    while True:
        text = scraped(port)
        left = total(text, "karar_consumer_lag") + total(text, "karar_uncommitted_events")
        yield {"events": total(text, "karar_events_total"), "left": left, "cpu": host.cpu()}
        time.sleep(0.1)


def is_through(events: int, told: dict[str, float]) -> bool:
    """Whether the stock host has done everything."""
    return told["events"] >= events and told["stitched"] >= told["sent"]


def whole(broker: str, folder: Path, events: Sequence[Event], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """The same core in Karar and in stock Faust agents with tables."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        port = free_port()
        settings = settings_of(broker, f"w{os.getpid()}-{number}", port)
        asyncio.run(published(settings, events))
        with worker(settings, folder) as host:
            done = paced(seen(host, port), lambda told: told["events"] >= len(events) and told["left"] == 0)
            found.setdefault("karar", []).append(done)
        prefix = f"s{os.getpid()}-{number}"
        few = events[: len(events) // 5]  # stock is slow: a fifth tells as much
        asyncio.run(published(settings_of(broker, prefix, port), few))
        with running([PYTHON, "-m", "tests.bench.hosts", "stock", prefix, "8"], {"KARAR_BROKER": broker}, folder / "stock.log") as host:
            done = paced(host.figures(), partial(is_through, len(few)))
            found.setdefault("stock Faust", []).append(done)
    return found


# Latency


class Probe:
    """Customers of a queue that nobody else has, one every 50 ms, and when each was seen at /metrics; ``before``: how many came earlier."""

    def __init__(self, ports: Sequence[int], before: int = 0) -> None:
        self.ports, self.before = ports, before
        self.sent: list[float] = []
        self.waits: list[float] = []

    def event(self, at: int) -> Event:
        """The next customer who enters the probe's queue."""
        name = f"probe-{self.before + len(self.sent)}"
        self.sent.append(time.monotonic())
        return Queued(id=name, source="probe", interaction_id=name, at=at, channel="call", queue="probe")

    async def look(self) -> None:
        """Scrapes 20 times a second; the n-th customer has been seen when at least n are counted."""
        while True:
            text = await asyncio.to_thread(served, self.ports, OFFERED)
            now = time.monotonic()
            counted = re.findall(r'^karar_contacts_offered_total{[^}]*queue="probe"[^}]*} (\S+)$', text, re.MULTILINE)
            here = int(sum(map(float, counted))) - self.before
            self.waits += [now - sent for sent in self.sent[len(self.waits) : max(here, 0)]]
            await asyncio.sleep(1 / HERTZ)


def loaded(settings: Mapping[str, str], events: Iterator[Event], number: int) -> list[tuple[int, Parcel]]:
    """The next events as they are sent, each with its instant (ms); made before, so that it takes nothing from what is measured."""
    told = Settings.read(settings)
    topics = {name: told.topic(name) for name in ("calls", "visits", "feedback")}
    return [(event.at, parcel(event, topics[home(event)])) for event in islice(events, number)]


async def steadily(settings: Mapping[str, str], load: Sequence[tuple[int, Parcel]], rate: int, probe: Probe) -> None:
    """Publishes a load at a rate, with a probe's customer every 50 ms."""
    told = Settings.read(settings)
    topics = {name: told.topic(name) for name in ("calls", "visits", "feedback")}
    looking = asyncio.create_task(probe.look())
    async with sending(told.broker, topics.values()) as sender:
        started, sent = time.monotonic(), 0
        while sent < len(load):
            passed, newest = time.monotonic() - started, 0
            for at, made in load[sent : int(passed * rate) + 1]:
                newest = max(newest, at)
                await sender.put(made)
                sent += 1
            if newest and len(probe.sent) < passed * HERTZ:
                await sender.put(parcel(probe.event(newest), topics["calls"]))
            await sender.send_all()
            await asyncio.sleep(LINGER_SECONDS)
        await sender.flush()
        await asyncio.sleep(3)
    looking.cancel()


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


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


def latency(broker: str, folder: Path, rate: int, workers: int, seconds: float, rounds: int) -> list[dict[str, float]]:
    """From produce to served at a steady rate, round after round of workers that have warmed up, and the median of them."""
    ports = [free_port() for _ in range(workers)]
    told = [settings_of(broker, f"l{os.getpid()}-{rate}-{workers}", port) for port in ports]
    settings = told[0]
    asyncio.run(create_topics(settings))
    events = simulate(seed=5, customers=50_000, days=10_000, disorder=False)
    rows, probed = [], 0
    with ExitStack() as stack:
        hosts = [stack.enter_context(worker(one, folder)) for one in told]
        for seconds_now in (WARM_SECONDS, *[seconds] * rounds):
            load = loaded(settings, events, int(rate * seconds_now))
            before, cpu, probe = served(ports, LAG), sum(host.cpu() for host in hosts), Probe(ports, probed)
            asyncio.run(steadily(settings, load, rate, probe))
            after, used = served(ports, LAG), (sum(host.cpu() for host in hosts) - cpu) / seconds_now
            probed += len(probe.sent)
            lag = [bound(buckets(before, "stitch"), buckets(after, "stitch"), share) for share in (0.5, 0.99)]
            outside = [quantile(probe.waits, share) for share in (0.5, 0.99)]
            rows.append(
                {
                    "events/s": rate, "workers": workers, "lag p50 ≤": lag[0], "lag p99 ≤": lag[1],
                    "probe p50": outside[0], "probe p99": outside[1], "probes": len(probe.waits), "cores used": used,
                }
            )  # fmt: skip
    return [*rows[1:], {name: median(row[name] for row in rows[1:]) for name in rows[0]}]


async def create_topics(settings: Mapping[str, str]) -> None:
    """The topics of a worker."""
    await create(Settings.read(settings))


# Memory and recovery


def memory(broker: str, folder: Path, chains: int) -> dict[str, float]:
    """Resident memory over the encoded size of so many open chains, and how long a new worker takes to open them."""
    port = free_port()
    settings = settings_of(broker, f"m{os.getpid()}-{chains}", port)
    at = 1_767_600_000_000
    events = [
        Queued(
            id=f"q{n}", source="memory", interaction_id=f"i{n}", at=at + n // 100, channel="call", queue=f"q{n % 40}",
            identifiers={"phone": f"+49{n:09d}"},
        )
        for n in range(chains)
    ]  # fmt: skip
    asyncio.run(published(settings, events))
    with worker(settings, folder) as host:
        for told in seen(host, port):
            if told["events"] >= chains and told["left"] == 0:
                break
    started = time.monotonic()
    with worker(settings, folder) as host:
        while not ready(port):
            time.sleep(0.05)
        seconds = time.monotonic() - started
        time.sleep(2)
        rss = host.memory()
    size = encoded(settings)
    return {
        "chains": chains,
        "seconds to ready": seconds,
        "encoded MB": size / 1e6,
        "RSS MB": rss,
        "RSS / encoded": rss * 1.048576 / (size / 1e6),
    }


def ready(port: int) -> bytes:
    """What /readyz says once it is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bytes(answer.read())
    except (URLError, OSError):
        return b""


def encoded(settings: Mapping[str, str]) -> int:
    """Bytes of keys and values of both stages' states."""
    latest: dict[tuple[str, bytes | None], int] = {}
    for record in records(Settings.read(settings), "assemble.state", "stitch.state"):
        latest[record.topic, record.key] = len(record.key or b"") + len(record.value or b"")
    return sum(latest.values())


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
    parser.add_argument("--parts", default="whole,engine,latency,memory")
    parser.add_argument("--customers", type=int, default=20_000, help="of the simulated week of the whole core")
    parser.add_argument("--engine-events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", default="5000,500")
    parser.add_argument("--workers", default="1,2", help="of the latency")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--chains", default="100000,1000000")
    parser.add_argument("--folder", type=Path, default=Path("/tmp") / f"karar-bench-{os.getpid()}")  # noqa: S108 - told in the first line
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores for all, logs in {given.folder}")
    console.print(
        "Karar: 8 partitions, exactly once, uvloop; stock Faust: 8 partitions, tables in memory, at least once, one event at a time"
    )
    console.print(f"The core in Karar and in stock Faust: {form()}")
    parts = given.parts.split(",")
    with serving(os.environ) as broker:
        if "whole" in parts:
            events = list(simulate(seed=1, customers=given.customers, days=7))
            rates(f"The whole core, {len(events):,} events", whole(broker, given.folder, events, given.rounds), "stock Faust")
        if "engine" in parts:
            found = engine_alone(broker, given.folder, given.engine_events, given.rounds)
            base = "prototype" if "prototype" in found else "karar"
            rates(f"The engine alone, {given.engine_events:,} events", found, base)
        measures: dict[str, tuple[str, Callable[[int], list[dict[str, float]]], str]] = {
            "latency": (
                "From produce to served (s); the last row of each rate is the median",
                lambda rate: [
                    row
                    for workers in map(int, given.workers.split(","))
                    for row in latency(broker, given.folder, rate, workers, given.seconds, given.rounds)
                ],
                given.rates,
            ),
            "memory": ("Open chains: memory and recovery", lambda chains: [memory(broker, given.folder, chains)], given.chains),
        }
        for part, (title, measure, values) in measures.items():
            if part in parts:
                rows = [row for value in values.split(",") for row in measure(int(value))]
                table = Table(*rows[0], title=title, title_justify="left")
                for row in rows:
                    table.add_row(*(f"{value:,.3f}" if value % 1 else f"{value:,.0f}" for value in row.values()))
                console.print(table)


if __name__ == "__main__":
    main()
