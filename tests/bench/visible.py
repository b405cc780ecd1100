"""From produce to visible: events at a steady rate, and when the output of each is there for who reads what has been committed.

Who reads is a process of its own (`python -m tests.bench.visible BROKER TOPIC events|customers`), so that neither holds up the other;
it writes a line for each fetch: the clock, and the numbers of some of the events, or of the probe's customers.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from streams.publishing import Parcel, sending
from tests.bench.judged import reading
from tests.bench.live import LINGER_SECONDS, steadily
from tests.bench.processes import PATH, PYTHON, ROOT, quantile
from tests.bench.small import PAD, key_of
from tests.bench.workers import Probe

EVERY = 10
WARM_SECONDS = 20.0
SETTLE_SECONDS = 12.0
BATCH = 500
PROBED = re.compile(rb"probe/probe-(\d+)")


def event_of(record: Any) -> int | None:
    """The number of an event by its output; of some of them."""
    number = int(record.value)
    return None if number % EVERY else number


def customer_of(record: Any) -> int | None:
    """The number of a probe's customer by the public record of their chain."""
    found = PROBED.fullmatch(record.key or b"")
    return int(found[1]) if found else None


KINDS: Final = {"events": event_of, "customers": customer_of}


async def watch(broker: str, topic: str, kind: str) -> None:
    """Writes what it sees, when it sees it."""
    number_of = KINDS[kind]
    async with reading(broker, [topic]) as consumer:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                now = time.monotonic()
                numbers = [str(number) for number in map(number_of, records) if number is not None]
                if numbers:
                    sys.stdout.write(f"{now} {' '.join(numbers)}\n")
                    sys.stdout.flush()


async def small_ones(broker: str, run: str, rate: float, seconds: float) -> dict[int, float]:
    """Publishes the engine's events at a rate; when some of them were sent."""
    sent: dict[int, float] = {}
    async with sending(broker, [f"src-{run}"]) as sender:
        started, i, due = time.monotonic(), 0, 0
        while (passed := time.monotonic() - started) < seconds:
            due = int(passed * rate)
            while i < due:
                now = time.monotonic()
                for number in range(i, min(due, i + BATCH)):
                    if number % EVERY == 0:
                        sent[number] = now
                    await sender.put(Parcel(f"src-{run}", key_of(number), orjson.dumps({"i": number, "pad": PAD})))
                i = min(due, i + BATCH)
            await sender.send_all()
            await asyncio.sleep(LINGER_SECONDS)
        await sender.flush()
    return sent


def waits(sent: Mapping[int, float], lines: Sequence[str]) -> dict[int, float]:
    """How long each event took, the first time that it was seen."""
    found: dict[int, float] = {}
    for line in lines:
        at, *numbers = line.split()
        for number in map(int, numbers):
            if number in sent:
                found.setdefault(number, float(at) - sent[number])
    return found


@contextmanager
def watched(broker: str, topic: str, kind: str, path: Path) -> Iterator[None]:
    """Somebody who watches a topic while the block runs, and writes to a file."""
    command = [PYTHON, "-m", "tests.bench.visible", broker, topic, kind]
    with path.open("wb") as lines, subprocess.Popen(command, stdout=lines, env={**os.environ, "PYTHONPATH": PATH}, cwd=ROOT) as watcher:
        try:
            while not path.stat().st_size:
                if watcher.poll() is not None:
                    raise RuntimeError(f"who watches {topic} ended by itself")
                time.sleep(0.05)
            yield
        finally:
            watcher.terminate()


def lines_of(path: Path) -> list[str]:
    """What was written after `ready`. The last line may have been cut short by the end."""
    return path.read_text("ascii").rpartition("\n")[0].split("\n")[1:]


def warm(sent: Mapping[int, float]) -> dict[int, float]:
    """What was sent after the warm-up."""
    begun = min(sent.values()) + WARM_SECONDS
    return {number: at for number, at in sent.items() if at >= begun}


def small_events(broker: str, run: str, rate: float, seconds: float, folder: Path) -> dict[str, float]:
    """From produce to visible at a rate, for a host of the engine's workload that is running on a run with no events yet."""
    path = folder / f"visible-{run}.txt"
    with watched(broker, f"out-{run}", "events", path):
        sent = uvloop.run(small_ones(broker, run, rate, WARM_SECONDS + seconds))
        time.sleep(SETTLE_SECONDS)
    counted = warm(sent)
    actual = len(counted) * EVERY / (max(counted.values()) - min(counted.values()))
    return {"rate": actual} | seen(counted, waits(counted, lines_of(path)).values())


def seen(counted: Sized, found: Iterable[float]) -> dict[str, float]:
    """How long it took until things were visible, and the share that was never seen."""
    ranked = sorted(found)
    return {"p50": quantile(ranked, 0.5), "p99": quantile(ranked, 0.99), "missing": 1 - len(ranked) / len(counted)}


def customers(
    settings: Mapping[str, str], load: Iterable[tuple[int, Parcel]], rate: float, folder: Path, port: int,
) -> dict[str, float]:  # fmt: skip
    """From produce to visible at a rate, for a host of the whole core: some customers more, each seen when their chain is told.

    A worker with a ``port`` is asked 20 times a second besides, how many of them are counted at /metrics.
    """
    prefix, path = settings["KARAR_PREFIX"], folder / "visible.txt"
    probe = Probe([port] if port else [])
    with watched(settings["KARAR_BROKER"], f"{prefix}.chains", "customers", path):
        actual = uvloop.run(steadily(settings, load, rate, probe, SETTLE_SECONDS))
    counted = warm(dict(enumerate(probe.sent)))
    row = {"rate": actual} | seen(counted, waits(counted, lines_of(path)).values())
    if port:
        served = seen(counted, [wait for number, wait in enumerate(probe.waits) if number in counted])
        row |= {"served p50": served["p50"], "served p99": served["p99"], "not served": served["missing"]}
    return row


if __name__ == "__main__":
    uvloop.run(watch(*sys.argv[1:4]))
