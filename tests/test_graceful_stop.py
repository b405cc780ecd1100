"""A worker that is told to end under load, on real Kafka: in 10 s, with everything committed that was folded."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import aiohttp
import pytest

from streams.broker.kafka import Broker, free_port
from streams.engine.takeover import POSITION, READ_POSITION
from tests.shared import ROOT
from tests.soak.counting import STATES
from tests.soak.load import Load
from tests.soak.run import Plan
from tests.soak.subjects import CountingStages, environment
from tests.soak.workers import plain
from tests.topics import fresh, records

pytestmark = [pytest.mark.slow, pytest.mark.no_cover, pytest.mark.asyncio, pytest.mark.timeout(180)]

RATE: Final = 4_000
LOAD_SECONDS: Final = 120
ENOUGH: Final = 6_000
AT_MOST: Final = 10
PATIENCE: Final = 60


class Ended:
    """How a worker ended: status, seconds from the signal on, and where it stood."""

    def __init__(self, status: int, seconds: float, said: bytes) -> None:
        self.status, self.seconds = status, seconds
        self.folded: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        for shard, (folded, committed) in json.loads(said or b"{}").items():
            self.folded[shard], self.committed[shard] = folded, committed


class Worker:
    """A counting worker in a process of its own."""

    def __init__(self, subject: CountingStages, folder: Path) -> None:
        self.port = free_port()
        given = {**plain(), **environment(subject.settings, self.port, subject.plan.session)}
        with (folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.stopped"], cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=log, process_group=0
            )

    async def served(self) -> list[int]:
        """How many each of its shards shows as counted."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
                lines = (await answer.text()).splitlines()
        except aiohttp.ClientError:
            return []
        return [int(line.rpartition(" ")[2]) for line in lines if line.startswith("karar_")]

    async def counts(self, number: int, shards: int) -> None:
        """Returns when it has counted so many, in as many shards."""
        deadline = time.monotonic() + PATIENCE
        while len(served := await self.served()) < shards or sum(served) < number:
            assert time.monotonic() < deadline, "it does not count"
            await asyncio.sleep(0.1)

    async def end(self) -> Ended:
        """SIGTERM, and what comes of it."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.to_thread(self.process.communicate, timeout=PATIENCE)
        return Ended(self.process.returncode, time.monotonic() - started, said)


@contextmanager
def working(subject: CountingStages, folder: Path) -> Iterator[Worker]:
    """A worker that is gone after the block."""
    worker = Worker(subject, folder)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


def subject_at(address: str, seed: int) -> tuple[CountingStages, Plan]:
    """Two stages that are not idempotent, on topics of their own."""
    plan = Plan(LOAD_SECONDS, seed, rate=RATE)
    return CountingStages(fresh(address, plan.partitions), plan), plan


def load_of(subject: CountingStages) -> Load:
    """A load that goes on until it is told when to end."""
    return Load(subject.settings.broker, subject.topics(), subject.parcels(), RATE, time.monotonic() + LOAD_SECONDS)


def changelogs(subject: CountingStages) -> dict[str, int]:
    """Where whoever starts next goes on: the positions that have been committed, by shard and topic."""
    found = {}
    for stage, name in STATES.items():
        for record in records(subject.settings, name):
            if record.key is not None and record.key.startswith(POSITION) and record.value is not None:
                topic = record.key.removeprefix(POSITION).decode()
                found[f"{stage}-{record.partition} {topic}"] = READ_POSITION.decode(record.value).offset
    return found


async def settled(subject: CountingStages) -> None:
    """Everything that was sent is counted once, in both stages, or it is too late: what is read later may say more for a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await subject.counted.read()
        if subject.counted.is_exact():
            break
        await asyncio.sleep(0.5)
    assert {what: str(verdict) for what, verdict in subject.counted.verdicts().items() if verdict} == {}


@pytest.mark.parametrize("number", range(2))
async def test_sigterm_under_load_ends_within_10_s_and_everything_folded_is_committed(
    kafka: str, tmp_path: Path, seed: int, number: int
) -> None:
    """At a restart the positions are where the stop left them: nothing is folded again, and nothing is missing."""
    subject, plan = subject_at(kafka, seed + number)
    await subject.prepare()
    load = load_of(subject)
    with working(subject, tmp_path) as worker:
        sending = asyncio.create_task(load.run())
        await worker.counts(ENOUGH, 2 * plan.partitions)
        await asyncio.sleep(Random(f"{seed} {number}").random())
        ended = await worker.end()
        under_load, load.until = not sending.done(), 0.0
    deadline = time.monotonic() + PATIENCE
    # Kafka says that it has committed before readers see it, and then tells nobody.
    while (there := await asyncio.to_thread(changelogs, subject)) != ended.committed and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.2)

    assert (ended.status, under_load) == (0, True)
    assert ended.seconds < AT_MOST
    assert len(ended.folded) == 2 * plan.partitions
    assert sum(ended.folded.values()) >= ENOUGH
    assert ended.folded == ended.committed == there
    await sending
    with working(subject, tmp_path) as worker:
        await settled(subject)
        again = await worker.end()
    assert again.status == 0
    assert again.seconds < AT_MOST


async def test_a_worker_whose_kafka_takes_nothing_more_ends_within_10_s_all_the_same(tmp_path: Path, seed: int) -> None:
    """What could not be committed is folded again by whoever starts next: the status says that, and nothing is lost or counted twice."""
    with Broker(os.environ) as broker:
        subject, plan = subject_at(broker.address, seed)
        await subject.prepare()
        load = load_of(subject)
        with working(subject, tmp_path) as worker:
            sending = asyncio.create_task(load.run())
            await worker.counts(ENOUGH, 2 * plan.partitions)
            assert broker.process is not None
            broker.process.send_signal(signal.SIGSTOP)
            try:
                ended, load.until = await worker.end(), 0.0
            finally:
                broker.process.send_signal(signal.SIGCONT)
        assert ended.status == 70
        assert ended.seconds < AT_MOST
        await sending
        with working(subject, tmp_path) as worker:
            await settled(subject)
            assert (await worker.end()).status == 0
