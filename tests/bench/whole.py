"""The whole core in every host, on a week or on real logs repeated; a turn of a host, and what is visible of it when."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.broker.kafka import Broker
from streams.settings import Settings
from tests.bench.contenders import KARAR, Contender
from tests.bench.judged import changelogs, on_disk, removed
from tests.bench.judged_whole import Truth, judged, truth
from tests.bench.processes import Host, paced, running
from tests.bench.visible import WARM_SECONDS, customers
from tests.bench.week import MADE, Sent, parcels, publish, repeated, topics_of
from tests.bench.workers import ready, seen, settings_of

FEWEST = 30_000
READY_SECONDS = 60


@contextmanager
def started(
    one: Contender, broker: Broker, run: str, folder: Path, sent: Iterable[Sent], **more: str,
) -> Iterator[tuple[Host, int]]:  # fmt: skip
    """A host on fresh topics with these events, and the port of its web server, if it is Karar's; both go with the block.

    ``more`` is what the bare loop is told of the events, which it makes itself.
    """
    settings = Settings.read(settings_of(broker.address, run, 0))
    command, environment = one.start(broker.address, run)
    scratch = folder / run
    scratch.mkdir()
    try:
        if one.has_output:
            asyncio.run(publish(settings, sent, as_one=one.name != KARAR))
        with running(command, environment | more, scratch / "host.log") as host:
            yield host, int(environment.get("KARAR_WEB_PORT", 0))
    finally:
        asyncio.run(removed(broker.address, run))


def is_changelog(topic: str) -> bool:
    """Whether a topic holds states: Karar's own names, and those of the peers."""
    return topic.endswith(".state") or "changelog" in topic


def wait_until_ready(port: int) -> None:
    """Returns when a worker has opened its shards."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the worker is not ready after {READY_SECONDS} s")
        time.sleep(0.1)


class Whole:
    """The events of a workload, and what the bare loop makes of them."""

    def __init__(self, name: str) -> None:
        self.name, self.once = name, MADE[name]()
        self.truths: dict[int, Truth] = {}

    def truth(self, events: int) -> Truth:
        """What must come of so many events."""
        if events not in self.truths:
            self.truths[events] = truth(self.once, events)
        return self.truths[events]

    def throughput(self, one: Contender, broker: Broker, run: str, folder: Path, asked: int) -> dict[str, Any]:
        """One turn of a host: its speed, thrift, memory and changelog, and what of it was wrong."""
        events = max(int(asked * one.share), min(asked, FEWEST))
        row: dict[str, Any] = {"events": events}
        ought = self.truth(events)
        with started(one, broker, run, folder, repeated(self.once, events), EVENTS=str(events), OF=self.name) as (host, port):
            figures = seen(port) if port else host.figures()
            row["rate"], row["thrift"] = paced(figures, lambda told: told["events"] >= events and not told["left"], host.cpu)
            row |= {"peak MB": host.peak()} | host.about
            host.drain()
            time.sleep(one.settle)
            host.end()
            kept = [topic for topic in asyncio.run(changelogs(broker.address, run)) if is_changelog(topic)]
            verdict = judged(broker.address, run, folder / run, kept, ought)
            row |= {"outputs": verdict.outputs, "wrong": list(verdict.wrong), "checked": verdict.checked}
            if one.has_changelog:
                row["changelog bytes per event"] = on_disk(broker.home / "data", kept) / events
        return row

    def latency(self, one: Contender, broker: Broker, run: str, folder: Path, rate: float, seconds: float) -> dict[str, float]:
        """From produce to visible at a rate."""
        with started(one, broker, run, folder, ()) as (host, port):
            if port:
                wait_until_ready(port)
            else:
                next(host.figures())  # whoever has told anything runs; what is slow to join is warm-up
            host.drain()
            load = list(repeated(self.once, int(rate * (WARM_SECONDS + seconds))))
            topics = topics_of(run, as_one=one.name != KARAR)
            timed = zip((one.at for one in load), parcels(load, topics), strict=True)
            used, since = host.cpu(), time.monotonic()
            found = customers(settings_of(broker.address, run, port), timed, rate, folder / run, port)
            return found | {"cores used": (host.cpu() - used) / (time.monotonic() - since)}
