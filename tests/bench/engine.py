"""The engine's workload: small events, small states, one output for each event; a turn of a host, and what is visible of it when."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.broker.kafka import Broker
from tests.bench.contenders import PARTITIONS, Contender
from tests.bench.judged import changelogs, judged, on_disk, removed
from tests.bench.processes import Host, paced, running
from tests.bench.small import counted_topics
from tests.bench.visible import small_events


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


def throughput(one: Contender, broker: Broker, run: str, folder: Path, asked: int) -> dict[str, Any]:
    """One turn of a host: its speed, thrift, memory and changelog, and what of it was wrong."""
    events = int(asked * one.share)
    row: dict[str, Any] = {"events": events}
    with started(one, broker, run, folder, events) as host:
        row["rate"], row["thrift"] = paced(host.figures(), lambda told: told["events"] >= events, host.cpu, events * one.warm)
        row |= {"peak MB": host.peak()} | host.about
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
        next(host.figures())  # whoever has told anything runs; what is slow to join is warm-up
        used, since = host.cpu(), time.monotonic()
        host.drain()
        found = small_events(broker.address, run, rate, seconds, folder / run)
        return found | {"cores used": (host.cpu() - used) / (time.monotonic() - since)}
