"""`make bench-peers`: Karar's engine against other stream processors, all with the same events, on one real Kafka, on one machine.

Hosts take turns, round after round, each with fresh topics. Broker, host and, where latency is measured, the load share the cores: read the
ratios. `RESULTS.md`, `results.json` and `docs/results.svg` are written after each round, so that whoever stops it has what was measured.
"""

import asyncio
import json
import os
import time
from argparse import ArgumentParser
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

from rich.console import Console

from streams.broker import BrokerError
from streams.broker.kafka import Broker
from tests.bench.contenders import PARTITIONS, Contender, contenders, name_of
from tests.bench.judged import changelogs, judged, on_disk, removed
from tests.bench.processes import DEADLINE_SECONDS, ROOT, Host, running
from tests.bench.results import machine, written
from tests.bench.small import counted_topics
from tests.bench.visible import visible

HERTZ = os.sysconf("SC_CLK_TCK")
console = Console(width=150, highlight=False)


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text("ascii").split():
            found += family(int(child))
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a process and its children, of those that have ended, too."""
    used = 0
    for one in family(pid):
        with suppress(FileNotFoundError):
            fields = Path(f"/proc/{one}/stat").read_text("ascii").rsplit(")", 1)[1].split()
            used += sum(map(int, fields[11:15]))
    return used / HERTZ


def peak(pid: int) -> float:
    """The most memory that a process and its children have had resident, in MB."""
    kilobytes = 0
    for one in family(pid):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{one}/status").read_text("ascii").splitlines():
                if line.startswith("VmHWM:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def told(host: Host, row: dict[str, Any]) -> Iterator[float]:
    """How many events a host has done, each time that it tells; what it says of its settings goes into the row."""
    assert host.process.stdout is not None
    for line in host.process.stdout:
        if line.startswith("#"):
            name, _, value = line[1:].strip().partition(" = ")
            if value:
                row.setdefault("settings", {})[name] = value
            else:
                row["versions"] = dict(part.strip().rsplit(" ", 1) for part in name.split(","))
        elif line.startswith("{"):
            figures = json.loads(line)
            row |= {name: figures[name] for name in ("settings", "versions") if name in figures}
            if "events" in figures:
                yield figures["events"]
    raise RuntimeError(f"the host ended by itself with status {host.process.wait()}; see {host.log.name}")


def drained(host: Host) -> None:
    """Reads what a host goes on to tell: it would stop when the pipe is full."""
    with suppress(ValueError):  # closed while it was read
        deque(host.process.stdout or (), 0)


def paced(host: Host, row: dict[str, Any], events: int) -> tuple[float, float]:
    """Events per second of the wall clock, and per CPU second of the host and its children, from its first event to its last."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    first: tuple[float, float, float] | None = None
    for done in told(host, row):
        now, used = time.monotonic(), cpu(host.process.pid)
        if first is None and done:
            first = now, done, used
        if first is not None and done >= events:
            gone = done - first[1]
            if not gone or used == first[2]:
                raise RuntimeError(f"{events:,} events are too few to measure: they were done between two lines")
            return gone / (now - first[0]), gone / (used - first[2])
        if now > deadline:
            raise TimeoutError(f"{done:,.0f} of {events:,} events after {DEADLINE_SECONDS} s")
    raise RuntimeError("the host said nothing")


@contextmanager
def started(one: Contender, broker: Broker, run: str, folder: Path, events: int) -> Iterator[Host]:
    """A host on fresh topics with so many events; both go with the block."""
    asyncio.run(counted_topics(broker.address, run, PARTITIONS, events))
    command, environment = one.start(broker.address, run)
    scratch = folder / run
    scratch.mkdir()
    try:
        with running(command, environment, scratch / "host.log") as host:
            yield host
    finally:
        asyncio.run(removed(broker.address, run))


def throughput(one: Contender, broker: Broker, run: str, folder: Path, events: int) -> dict[str, Any]:
    """One turn of a host: its speed, thrift, memory and changelog, and what of it was wrong."""
    row: dict[str, Any] = {"events": events}
    with started(one, broker, run, folder, events) as host:
        row["rate"], row["thrift"] = paced(host, row, events)
        row["peak MB"] = peak(host.process.pid)
        host.end()  # whoever commits seldom has written his states by then
        if one.has_output:
            verdict = asyncio.run(judged(broker.address, run, events, has_state=one.has_changelog))
            row |= {"outputs": verdict.outputs, "wrong": list(verdict.wrong), "checked": verdict.checked}
        if one.has_changelog:
            topics = asyncio.run(changelogs(broker.address, run))
            row["changelog bytes per event"] = on_disk(broker.home / "data", topics) / events
    return row


def latency(one: Contender, broker: Broker, run: str, folder: Path, rate: float, seconds: float) -> dict[str, float]:
    """From produce to visible at a rate."""
    with started(one, broker, run, folder, 0) as host:
        # Whoever has told anything runs; what is slow to join is warm-up.
        next(told(host, {}))
        used, since = cpu(host.process.pid), time.monotonic()
        Thread(target=drained, args=(host,), daemon=True).start()
        seen = visible(broker.address, run, rate, seconds, folder / run)
        return seen._asdict() | {"cores used": (cpu(host.process.pid) - used) / (time.monotonic() - since)}


def guarded(what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured, or why it could not be: one host that fails does not end the others' turns."""
    try:
        row = measure()
    except (RuntimeError, BrokerError, OSError) as error:
        row = {"failed": str(error)}
    console.print(what, {name: value for name, value in row.items() if name not in {"settings", "versions"}})
    return row


def turns(hosts: Sequence[Contender], number: int) -> list[Contender]:
    """The hosts of a round: each round begins with another one."""
    shift = number % len(hosts)
    return [*hosts[shift:], *hosts[:shift]]


def main() -> None:
    """Lets all hosts take turns, and writes what came of it."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of a round of latency, after twenty of warm-up")
    parser.add_argument("--only", default="", help="hosts whose names contain one of these words, by commas")
    parser.add_argument("--into", type=Path, default=ROOT)
    parser.add_argument("--folder", type=Path, default=Path("/tmp") / f"karar-peers-{os.getpid()}")  # noqa: S108 - told in the first line
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    hosts, left_out = contenders()
    hosts = [one for one in hosts if any(word in name_of(one) for word in given.only.split(","))]
    told_first = {"events": given.events, "rounds": given.rounds, "latency rounds": given.latency_rounds, "seconds": given.seconds}
    found: dict[str, Any] = {
        "machine": machine(), "asked": told_first | {"partitions": PARTITIONS}, "left out": left_out,
        "hosts": {
            name_of(one): {
                "host": one.name, "guarantee": one.guarantee, "store": one.store, "settings": dict(one.settings),
                "versions": dict(one.versions), "throughput": [], "latency": [],
            }
            for one in hosts
        },
    }  # fmt: skip
    console.print(f"{len(hosts)} hosts, logs in {given.folder}; left out: {left_out or 'none'}")
    with Broker(os.environ) as broker:
        found["machine"]["Kafka"] = broker.version
        for number in range(given.rounds):
            for one in turns(hosts, number):
                run, events = f"r{os.getpid()}-{number}-{hosts.index(one)}x", int(given.events * one.share)
                row = guarded(name_of(one), lambda: throughput(one, broker, run, given.folder, events))  # noqa: B023 - called at once
                kept = found["hosts"][name_of(one)]
                kept |= {name: row.pop(name) for name in ("settings", "versions") if name in row}
                kept["throughput"].append(row)
            written(found, given.into)
        for number in range(given.latency_rounds):
            for one in turns([one for one in hosts if one.has_output], number):
                kept = found["hosts"][name_of(one)]
                rates = [row["rate"] for row in kept["throughput"] if "rate" in row]
                if rates:
                    run, rate = f"l{os.getpid()}-{number}-{hosts.index(one)}x", median(rates) / 2
                    row = guarded(name_of(one), lambda: latency(one, broker, run, given.folder, rate, given.seconds))  # noqa: B023
                    kept["latency"].append(row)
            written(found, given.into)
    console.print(f"written: RESULTS.md, results.json and docs/results.svg in {given.into}")


if __name__ == "__main__":
    main()
