"""A worker that stands still past its session, and wakes up while somebody asks: it never tells of what another counts by then."""

import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from streams.connection import administrator
from streams.engine.engine import START_AGAIN
from streams.settings import Settings
from tests.soak import counting
from tests.soak.subjects import environment
from tests.soak.workers import Command, Worker, Workers
from tests.topics import fresh
from tests.worker import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

SESSION: Final = 6
SERIES: Final = f'karar_{counting.SERIES}_total{{shard="first-0"}}'
UNSURE: Final = -1
SILENT: Final = -2


def told(worker: Worker) -> int:
    """What a worker tells of the shard; below 0 where it is not sure of its shards, or does not have this one."""
    try:
        with urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
    except HTTPError:
        return UNSURE
    except OSError:
        return SILENT
    return next((int(line.removeprefix(SERIES)) for line in lines if line.startswith(SERIES)), SILENT)


async def publish(settings: Settings, *numbers: int) -> None:
    """Events of one key in one partition."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    try:
        for n in numbers:
            await producer.send_and_wait(settings.topic(counting.IN), b'{"i":%d}' % n, b"k", 0)
    finally:
        await producer.stop()


@contextmanager
def workers(settings: Settings, folder: Path) -> Iterator[Workers]:
    """Places for two workers."""
    made = Workers(lambda port: Command((sys.executable, "-m", "tests.soak.counting"), environment(settings, port, SESSION)), folder)
    with ExitStack() as stack:
        stack.callback(made.forget)
        yield made


def alive(all_of_them: Workers, worker: Worker) -> bool:
    """Whether a worker runs; one that has left to start again is started again."""
    if worker.process is not None and worker.process.poll() is not None:
        assert worker.process.returncode == START_AGAIN
        all_of_them.start(worker)
    return True


async def test_a_frozen_owner_that_wakes_up_never_tells_of_the_past(kafka: str, tmp_path: Path) -> None:
    """It is idle, so no commit tells it that another has its shard; a scrape has waited for it all the time, others follow.

    503, or no such shard, or what the other tells: from the moment at which the new owner has told more, nobody tells less.
    """
    settings = fresh(kafka, 1)
    async with administrator(kafka) as admin:
        await admin.create_topics([NewTopic(settings.topic(name), 1, 1) for name in counting.TOPICS])
    await publish(settings, *range(10))
    with workers(settings, tmp_path) as both, ThreadPoolExecutor(2) as pool:
        former, other = both.all
        both.start(former)
        wait_for(lambda: told(former) == 10)
        both.send(former, signal.SIGSTOP)
        waiting = pool.submit(told, former)
        both.start(other)
        wait_for(lambda: told(other) == 10)
        await publish(settings, *range(10, 15))
        wait_for(lambda: told(other) == 15)
        both.send(former, signal.SIGCONT)
        woken = time.monotonic()
        found = [waiting.result()]
        while time.monotonic() < woken + SESSION:
            found += [told(former), told(other)]
        both.kill(other)
        wait_for(lambda: alive(both, former) and told(former) == 15)

    assert {n for n in found if n >= 0} <= {15}
    assert found[0] < 0
