"""`karar worker` as a process that is measured: how it is set, what it is given, and what it serves."""

import asyncio
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from schemas.events import Event, Queued
from streams.publishing import home, parcel, sending
from streams.settings import Settings
from streams.topics import create
from tests.bench.processes import PYTHON, running

HERTZ = 20
OFFERED = "karar_contacts_offered_total"
DONE = ("karar_events_total", "karar_consumer_lag", "karar_uncommitted_events")
LOOK_SECONDS = 0.2


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


def scraped(port: int, *names: str) -> str:
    """What a worker serves, or some families of it; nothing while it does not."""
    asked = "&".join(f"name[]={name}" for name in names)
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics?{asked}", timeout=10) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return ""


def served(ports: Iterable[int], *names: str) -> str:
    """Some families of several workers."""
    return "\n".join(scraped(port, *names) for port in ports)


def total(text: str, name: str) -> float:
    """The sum of a family."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def seen(port: int) -> Iterator[dict[str, float]]:
    """What a worker has done, from outside: all is done when every shard has caught up, nothing is behind and nothing uncommitted."""
    caught_up = False
    while True:
        caught_up = caught_up or has_caught_up(port)
        text = scraped(port, *DONE)
        events, *left = (total(text, name) for name in DONE)
        yield {"events": events, "left": sum(left) + (not caught_up)}
        time.sleep(LOOK_SECONDS)


async def create_topics(settings: Mapping[str, str]) -> None:
    """The topics of a worker."""
    await create(Settings.read(settings))


def has_caught_up(port: int) -> bool:
    """Whether each shard of a worker has done what was there when it opened. What one that has just opened lacks is in no gauge yet."""
    told = ready(port)
    return bool(told) and all(shard["state"] == "open" for shard in json.loads(told)["shards"])


def ready(port: int) -> bytes:
    """What /readyz says once it is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bytes(answer.read())
    except (URLError, OSError):
        return b""


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
