"""From produce to visible: events at a steady rate, and when the output of each is there for who reads what has been committed.

Who reads is a process of its own (`python -m tests.bench.visible BROKER TOPIC`), so that neither holds up the other; it writes a line
for each fetch: the clock, and the numbers of some of the events.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import uvloop

from streams.publishing import Parcel, sending
from tests.bench.judged import reading
from tests.bench.live import LINGER_SECONDS
from tests.bench.processes import PATH, PYTHON, ROOT, quantile
from tests.bench.small import PAD, key_of

EVERY = 10
WARM_SECONDS = 20.0
SETTLE_SECONDS = 12.0
BATCH = 500


class Seen(NamedTuple):
    """How long outputs took to be visible, in seconds; ``rate`` as it was sent, ``missing``: the share that was never seen."""

    rate: float
    p50: float
    p99: float
    missing: float


async def watch(broker: str, topic: str) -> None:
    """Writes what it sees, when it sees it."""
    async with reading(broker, [topic]) as consumer:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                now = time.monotonic()
                numbers = [record.value.decode() for record in records if int(record.value) % EVERY == 0]
                if numbers:
                    sys.stdout.write(f"{now} {' '.join(numbers)}\n")
                    sys.stdout.flush()


async def steadily(broker: str, run: str, rate: float, seconds: float) -> dict[int, float]:
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


def visible(broker: str, run: str, rate: float, seconds: float, folder: Path) -> Seen:
    """From produce to visible at a rate, for a host that is running on a run with no events yet."""
    path = folder / f"visible-{run}.txt"
    command = [PYTHON, "-m", "tests.bench.visible", broker, f"out-{run}"]
    with path.open("wb") as lines, subprocess.Popen(command, stdout=lines, env={**os.environ, "PYTHONPATH": PATH}, cwd=ROOT) as watcher:
        try:
            while not path.stat().st_size:
                if watcher.poll() is not None:
                    raise RuntimeError(f"who watches out-{run} ended by itself")
                time.sleep(0.05)
            sent = uvloop.run(steadily(broker, run, rate, WARM_SECONDS + seconds))
            time.sleep(SETTLE_SECONDS)
        finally:
            watcher.terminate()
    begun = min(sent.values()) + WARM_SECONDS
    counted = {number: at for number, at in sent.items() if at >= begun}
    # The last line may have been cut short by the end.
    found = waits(counted, path.read_text("ascii").rpartition("\n")[0].split("\n")[1:])
    ranked = list(found.values())
    actual = len(counted) * EVERY / (max(counted.values()) - begun)
    return Seen(actual, quantile(ranked, 0.5), quantile(ranked, 0.99), 1 - len(found) / len(counted))


if __name__ == "__main__":
    uvloop.run(watch(sys.argv[1], sys.argv[2]))
