"""One engine on a cluster in memory, whose consumer, clock and end are the test's."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from streams.engine import engine as engine_module
from streams.engine import shard as shard_module
from streams.engine.engine import Engine, Slot
from streams.engine.spec import Clock, Spec
from tests.cluster import Cluster, MemoryKafka, in_memory
from tests.counting import Counting
from tests.shards import NOW, events, ledger, part

SESSION = 10.0


class Fetching:
    """What the engine asks of a consumer: where it was sought to, what is paused."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sought: list[tuple[str, int, int]] = []
        self.flowing: set[Slot] = set()
        self.mirrored: list[dict[Slot, int]] = []
        self.left = 0
        self.failing = False

    async def seek_to(self, topic: str, partition: int, position: int) -> None:
        """Notes."""
        if self.failing:
            raise ConnectionError("no seek")
        self.sought.append((topic, partition, position))

    async def first_offset(self, topic: str, partition: int) -> int:
        """The first that is there."""
        if self.failing:
            raise ConnectionError("no offset")
        return self.cluster.firsts[topic, partition]

    async def last_offset(self, topic: str, partition: int) -> int:
        """The end."""
        return len(self.cluster.logs[topic, partition])

    def pause(self, tps: Iterable[Slot]) -> None:
        """Notes."""
        self.flowing -= set(tps)

    def resume(self, tps: Iterable[Slot]) -> None:
        """Notes."""
        self.flowing |= set(tps)

    def end_of(self, topic: str, partition: int) -> int | None:
        """The end."""
        return len(self.cluster.logs.get((topic, partition), []))

    async def mirror(self, offsets: Mapping[Slot, int]) -> None:
        """Notes."""
        self.mirrored.append(dict(offsets))

    async def leave_group(self) -> None:
        """Notes."""
        self.left += 1


class Time:
    """A clock that a test moves."""

    at = 1_000.0

    def __call__(self) -> float:
        """The instant."""
        return self.at


class World:
    """One engine of one stage with two partitions, on a cluster in memory."""

    def __init__(self, kafka: MemoryKafka, *specs: Spec) -> None:
        self.kafka, self.cluster = kafka, kafka.cluster
        self.engine = Engine(specs or (spec(),), kafka, "group", Clock(fixed=NOW))
        self.time = self.engine.lease.clock = Time()
        self.fetching = Fetching(kafka.cluster)

    async def expelled(self) -> None:
        """What the client does when it is told that it is no member any more: everything is given up, and joined anew, as a new member."""
        self.engine.lease.lost()
        await self.engine.put_away()
        self.engine.lease.lost()
        self.join()

    def join(self) -> None:
        """A join that is asked for and answered at this moment."""
        self.engine.lease.asking(self.time.at)
        self.engine.lease.answered(self.time.at)

    def assign(self, *partitions: int) -> None:
        """These partitions of every source are ours."""
        self.engine.assigned(self.fetching, {(topic, n) for topic in self.engine.stage_of for n in partitions})

    async def opened(self, *partitions: int) -> None:
        """Joined, assigned, open, and past the grace of any former owner."""
        self.join()
        self.assign(*partitions)
        await until(self.engine.ready)
        self.time.at = max(self.time.at, self.engine.lease.settled())
        self.engine.lease.confirmed(self.time.at)

    async def give(self, *numbers: int, first: int = 0) -> None:
        """A slice of partition 0, which is committed."""
        self.cluster.publish("in", 0, *[(b"k", b"") for _ in numbers])
        await self.engine.apply(part(events(*numbers, first=first)))
        shard = self.engine.shards["count", 0]
        await until(lambda: shard.committed == shard.positions and not shard.has_work())

    def served(self) -> dict[str, int]:
        """What a scrape would show at this moment: events counted by shard."""
        if not self.engine.holds():
            return {}
        served = self.engine.served()
        return {name: of.series.get("events_counted", {}).get("", (0, 0))[0] for name, of in served.items()}


def spec(make: Callable[[], Counting] = Counting, **changes: Any) -> Spec:
    """A stage with two partitions."""
    made = Spec(
        name="count", sources=("in",), changelog="state", partitions=2, make=lambda _: make(), ledger=ledger,
        topics={"out": "out", "dead": "dead"}, outputs={"out": 1, "dead": 1},
    )  # fmt: skip
    return replace(made, **changes)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that is to come soon."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a condition of a test
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the process would have ended, and with which status."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(engine_module, "LEAVE_SECONDS", 60)
    return ended


@pytest_asyncio.fixture
async def world(exits: list[int], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """An engine whose shards are put away in the end, and which has had no reason to leave unless a test says so."""
    monkeypatch.setattr(shard_module, "IDLE_SECONDS", 0.01)
    made = World(in_memory(**{"in": 2, "state": 2, "out": 1, "dead": 1}))
    yield made
    made.cluster.gate = None
    await made.engine.put_away()
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer):
            timer.cancel()
    assert made.engine.leaving == bool(exits) == bool(made.fetching.left)
