"""Kafka goes away under a worker: the worker says so in words of its own, and the client does not fill the log meanwhile."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import SaslAuthenticationFailed

from streams.broker.kafka import Broker
from streams.engine import kafka as kafka_module
from streams.engine import reach as reach_module
from streams.engine.kafka import Kafka
from streams.engine.lease import MARGIN
from streams.engine.reach import AGAIN_SECONDS, SILENT_SECONDS, Reach, listen
from streams.settings import Settings
from tests.command import BIN, PLAIN, karar
from tests.worker import at_the_end, environment, free_port, wait_for
from tests.world import SESSION, World, until

AWAY: Final = re.compile(
    r"Kafka cannot be reached at (\S+) since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, for (\d+) s: it is tried again all the time, and nothing is "
    r"lost; (what has committed is served for \d+ s more, as long as the lease lasts|nothing is served, for the lease has ended)"
)
LEAST: Final = 0.001


# -- What is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "told"), [(0, False), (SILENT_SECONDS - LEAST, False), (SILENT_SECONDS, True), (60, True)])
def test_silence_is_told_when_it_has_lasted(after: float, told: bool) -> None:  # noqa: FBT001 - parametrized
    """Within, exactly, outside."""
    assert bool(Reach("one:9092").line(100, 100 + after, 0)) == told


def test_it_says_where_since_when_and_what_becomes_of_what_is_served() -> None:
    """Whoever reads one line knows what to look at, and what not to fear."""
    reach = Reach("one:9092,two:9092")
    first, later = reach.line(100, 104, 5.2), reach.line(100, 120, 0)

    assert [match and match.groups() for match in map(AWAY.fullmatch, (first, later))] == [
        ("one:9092,two:9092", "4", "what has committed is served for 5 s more, as long as the lease lasts"),
        ("one:9092,two:9092", "20", "nothing is served, for the lease has ended"),
    ]
    assert first.split(", for ")[0] == later.split(", for ")[0]


def test_it_is_told_again_every_ten_seconds_and_the_end_once() -> None:
    """Within, exactly, outside; then all is as at the beginning."""
    reach = Reach("one:9092")
    told = [now for now in range(100, 140) if reach.line(100, now, 0)]

    assert told == [103, 103 + AGAIN_SECONDS, 103 + 2 * AGAIN_SECONDS, 103 + 3 * AGAIN_SECONDS]
    assert reach.line(139, 140, 9) == "Kafka answers again at one:9092, after 40 s"
    assert reach.line(140, 141, 9) == ""
    assert AWAY.fullmatch(reach.line(140, 145, 4))


# -- Who is asked ------------------------------------------------------------------------------------------------------


class Listening:
    """A worker that listens, and whose Kafka answers or not. ``asked``: when it was asked; ``looks``: how often it looked."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.up = world, False
        self.asked: list[float] = []
        self.looks = 0
        line = Reach.line

        def looking(*given: Any) -> str:
            self.looks += 1
            return line(*given)

        monkeypatch.setattr(reach_module, "LOOK_SECONDS", 0.001)
        monkeypatch.setattr(Reach, "line", looking)
        monkeypatch.setattr(Kafka, "answers", self.answers)

    async def answers(self) -> bool:
        """Notes."""
        self.asked.append(self.world.time.at)
        return self.up

    async def after(self, seconds: float) -> None:
        """Returns when so much time has passed, and it has looked at how it is then, from beginning to end."""
        self.world.time.at += seconds
        enough = self.looks + 2
        await until(lambda: self.looks >= enough)


@pytest_asyncio.fixture
async def listening(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listening]:
    """One that has just heard of its group, until the test ends."""
    await world.opened(0)
    made = Listening(world, monkeypatch)
    task = asyncio.create_task(listen(world.engine))
    yield made
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.asyncio
async def test_who_hears_of_his_group_asks_nobody(listening: Listening, caplog: pytest.LogCaptureFixture) -> None:
    """Heartbeats are enough; without them, as in a rebalance, Kafka is asked, and all is well if it answers."""
    await listening.after(SILENT_SECONDS - LEAST)
    assert listening.asked == []

    listening.up = True
    await listening.after(20)
    assert listening.asked
    assert caplog.messages == []


@pytest.mark.asyncio
async def test_a_kafka_that_does_not_answer_either_is_told_of(listening: Listening, caplog: pytest.LogCaptureFixture) -> None:
    """What is served lasts as long as the lease, and not a moment longer; any heartbeat ends it."""
    await listening.after(4)
    await listening.after(AGAIN_SECONDS)
    listening.world.engine.lease.confirmed(listening.world.time.at)
    await listening.after(1)
    *told, again = caplog.messages

    assert [match and match[3] for match in map(AWAY.fullmatch, told)] == [
        f"what has committed is served for {SESSION - MARGIN - 4:.0f} s more, as long as the lease lasts",
        "nothing is served, for the lease has ended",
    ]
    assert again == f"Kafka answers again at 127.0.0.1:1, after {4 + AGAIN_SECONDS + 1} s"


@pytest.mark.asyncio
async def test_only_who_answers_as_kafka_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there; somebody takes connections and is silent, as a Kafka that is frozen; somebody hangs up."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    monkeypatch.setattr(kafka_module, "ANSWER_SECONDS", 0.05)
    assert not await Kafka(f"127.0.0.1:{free_port()}").answers()
    for somebody in (silent, hangs_up):
        async with await asyncio.start_server(somebody, "127.0.0.1", 0) as server:
            assert not await Kafka(f"127.0.0.1:{server.sockets[0].getsockname()[1]}").answers()


@pytest.mark.asyncio
async def test_one_address_that_answers_is_enough_and_so_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused has reached it; the client's own line says why."""

    async def connect(connection: Any) -> None:
        raise ConnectionRefusedError if connection.host == "one" else SaslAuthenticationFailed

    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    closed.set_result(None)
    monkeypatch.setattr(AIOKafkaConnection, "connect", connect)
    monkeypatch.setattr(AIOKafkaConnection, "close", lambda _: closed)
    assert await Kafka("one:9092,two:9092").answers()
    assert not await Kafka("one:9092,one:9093").answers()


# -- Real Kafka --------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Kafka of our own, to be killed."""
    with Broker({name: value for name, value in os.environ.items() if name != "KARAR_BROKER"}, data=tmp_path / "kafka") as running:
        yield running


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.timeout(180)
def test_a_worker_whose_kafka_goes_away_says_so_and_little_else(broker: Broker, tmp_path: Path) -> None:
    """Killed, told of twice, started again: the client's lines of a kind are there once, some ten of them; they were seventy a second."""
    settings, port, log = Settings(broker=broker.address, prefix="away", partitions=2), free_port(), tmp_path / "worker.log"
    given = environment(settings, KARAR_WEB_PORT=str(port), KARAR_LOG="console")
    assert karar(tmp_path, "topics", stdin=b"", **{name: given[name] for name in given.keys() - PLAIN.keys()}).status == 0
    with log.open("ab") as out, subprocess.Popen([BIN, "worker"], env=given, stdout=out, stderr=out, cwd=tmp_path) as process:
        try:
            wait_for(lambda: at_the_end(port))
            before = len(log.read_text().splitlines())
            broker.kill()
            wait_for(lambda: len(AWAY.findall(log.read_text())) == 2)
            broker.start()
            wait_for(lambda: "Kafka answers again at" in log.read_text())
            wait_for(lambda: at_the_end(port))
            assert process.poll() is None
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
    lines = log.read_text().splitlines()[before:]
    clients = [line for line in lines if " aiokafka" in line]

    assert len(clients) < 30, lines
    assert len([line for line in clients if "Unable connect to node" in line]) <= 2
