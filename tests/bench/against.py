"""`make bench`: Karar against other stream processors, all with the same events, on one real Kafka, on one machine.

Three workloads: its engine with small events, and its whole core, which is the same in every host, on a simulated week and on real logs.
Hosts take turns, round after round, each with fresh topics. Broker, host and, where latency is measured, the load share the cores: read
the ratios. `RESULTS.md`, `results.json` and pictures are written after each round, so that whoever stops it has what was measured; what
`results.json` has of other workloads stays.
"""

import os
import sqlite3
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console

from streams.broker import BrokerError
from streams.broker.kafka import Broker
from tests.bench import engine, headline
from tests.bench.contenders import KARAR, PARTITIONS, WHOLE_PARTITIONS, Contender, engine_hosts, name_of, whole_hosts
from tests.bench.processes import ROOT
from tests.bench.results import column, found_before, machine, written
from tests.bench.week import MADE
from tests.bench.whole import Whole
from tests.shared import SHARED

Turn = Callable[[Contender, Broker, str, Path, int], dict[str, Any]]
Paced = Callable[[Contender, Broker, str, Path, float, float], dict[str, float]]
STEADY = (10_000, 1_000)
"""Events a second at which Karar's latency is measured besides, where it can do more: a large installation's, and one that idles."""
console = Console(width=150, highlight=False)


class Workload(NamedTuple):
    """What hosts are given to do, and how a turn of one is measured."""

    name: str
    partitions: int
    hosts: list[Contender]
    left_out: dict[str, str]
    throughput: Turn
    latency: Paced


def workloads(asked: str) -> list[Workload]:
    """What was asked for."""
    found = []
    if asked in {"engine", "all"}:
        found.append(Workload("engine", PARTITIONS, *engine_hosts(), engine.throughput, engine.latency))
    for name in MADE:
        if asked in {name, "all"}:
            whole = Whole(name)
            if whole.once:
                found.append(Workload(name, WHOLE_PARTITIONS, *whole_hosts(), whole.throughput, whole.latency))
            else:
                console.print(f"{name}: left out, no real logs in {SHARED}; KARAR_SHARED names another folder")
    return found


def guarded(what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured, or why it could not be: one host that fails does not end the others' turns."""
    try:
        row = measure()
    except (RuntimeError, BrokerError, OSError, ValueError, sqlite3.Error) as error:
        row = {"failed": str(error)}
    console.print(what, {name: value for name, value in row.items() if name not in {"settings", "versions"}})
    return row


def turns(hosts: Sequence[Contender], number: int) -> list[Contender]:
    """The hosts of a round: each round begins with another one."""
    shift = number % len(hosts)
    return [*hosts[shift:], *hosts[:shift]]


def measured(of: Workload, given: Namespace, broker: Broker, every: dict[str, Any]) -> None:
    """Lets the hosts of a workload take turns, and writes what came of it after each round."""
    hosts = [one for one in of.hosts if any(word.lower() in name_of(one).lower() for word in given.only.split(","))]
    if not hosts:
        raise SystemExit(f"{of.name}: no host is left of {[name_of(one) for one in of.hosts]}; left out: {of.left_out or 'none'}")
    told = {"events": given.events, "rounds": given.rounds, "latency rounds": given.latency_rounds, "seconds": given.seconds}
    found = every[of.name] = {
        "machine": machine() | {"Kafka": broker.version}, "asked": told | {"partitions": of.partitions}, "left out": of.left_out,
        "steady": [],
        "hosts": {
            name_of(one): {
                "host": one.name, "guarantee": one.guarantee, "store": one.store, "settings": dict(one.settings),
                "versions": dict(one.versions), "throughput": [], "latency": [],
            }
            for one in hosts
        },
    }  # fmt: skip
    console.print(f"{of.name}: {len(hosts)} hosts, logs in {given.folder}; left out: {of.left_out or 'none'}")
    for number in range(given.rounds):
        for one in turns(hosts, number):
            run = f"{of.name[0]}r{os.getpid()}-{number}-{hosts.index(one)}x"
            row = guarded(name_of(one), lambda: of.throughput(one, broker, run, given.folder, given.events))  # noqa: B023 - called at once
            kept = found["hosts"][name_of(one)]
            kept |= {name: row.pop(name) for name in ("settings", "versions") if name in row}
            kept["throughput"].append(row)
        written(every, given.into)
    for number in range(given.latency_rounds):
        for one in turns([one for one in hosts if one.has_output], number):
            kept = found["hosts"][name_of(one)]
            rates = column(kept["throughput"], "rate")
            if rates:
                run, rate = f"{of.name[0]}l{os.getpid()}-{number}-{hosts.index(one)}x", median(rates) / 2
                row = guarded(name_of(one), lambda: of.latency(one, broker, run, given.folder, rate, given.seconds))  # noqa: B023
                kept["latency"].append(row)
        written(every, given.into)
    for one in (one for one in hosts if one.name == KARAR and given.latency_rounds):
        rates = column(found["hosts"][name_of(one)]["throughput"], "rate")
        for rate in [rate for rate in STEADY if rates and rate < median(rates)]:
            run = f"{of.name[0]}s{os.getpid()}-{rate}x"
            row = guarded(f"{KARAR}, {rate:,} a second", lambda: of.latency(one, broker, run, given.folder, rate, given.seconds))  # noqa: B023
            found["steady"].append({"asked": rate} | row)
        written(every, given.into)


def main() -> None:
    """Lets all hosts take turns, and writes what came of it."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=("engine", *MADE, "all"), default="all")
    parser.add_argument("--events", type=int, default=1_000_000, help="a slow host gets a part of them, Kafka Streams twice as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="of a round of latency, after twenty of warm-up")
    parser.add_argument("--only", default="", help="hosts whose names contain one of these words, by commas")
    parser.add_argument("--into", type=Path, default=ROOT)
    parser.add_argument("--folder", type=Path, default=Path("/tmp") / f"karar-peers-{os.getpid()}")  # noqa: S108 - told in the first line
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    every = found_before(given.into)
    for of in workloads(given.workload):
        with Broker(os.environ) as broker:
            measured(of, given, broker, every)
    console.print(f"written: RESULTS.md, results.json and docs/results-*.svg in {given.into}")
    if (given.into / "README.md").exists():
        headline.main(given.into)


if __name__ == "__main__":
    main()
