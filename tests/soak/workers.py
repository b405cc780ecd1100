"""Worker processes of a soak: started, killed, frozen, ended in order; and started again when they leave with status 70."""

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from streams.broker.kafka import free_port
from streams.engine.engine import START_AGAIN

ROOT: Final = Path(__file__).parent.parent.parent
LOOK_SECONDS: Final = 0.05
AGAIN_SECONDS: Final = 0.5
END_SECONDS: Final = 25
AWAY_SECONDS: Final = 5


def plain() -> dict[str, str]:
    """The environment without any settings of Karar."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KARAR_")}


class Command(NamedTuple):
    """What a worker is: its arguments, and what its environment has besides."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class Worker:
    """One place for a worker, in which one process follows another. ``wanted``: whether a process is to be there."""

    number: int
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    frozen: bool = False

    @property
    def address(self) -> str:
        """Where its metrics are."""
        return f"http://127.0.0.1:{self.port}/metrics"


@dataclass
class Workers:
    """All workers. ``command``: of a worker by its port. ``exits`` counts them by reason, ``failures`` says which were wrong.

    ``accepted``: with which status a worker may end by itself besides 70.
    """

    command: Callable[[int], Command]
    folder: Path
    number: int = 2
    accepted: frozenset[int] = frozenset()
    all: list[Worker] = field(default_factory=list)
    exits: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    kafka_away: float = 0.0

    def __post_init__(self) -> None:
        self.all = [Worker(n, free_port(), self.folder / f"worker-{n}.log") for n in range(self.number)]

    def start(self, worker: Worker) -> None:
        """A new process in a place."""
        arguments, environment = self.command(worker.port)
        with worker.log.open("ab") as log:
            log.write(f"--- started at {time.strftime('%H:%M:%S')}\n".encode())
            worker.process = subprocess.Popen(
                arguments, cwd=ROOT, env={**plain(), **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        worker.wanted, worker.frozen = True, False

    def send(self, worker: Worker, number: signal.Signals) -> bool:
        """A signal to the process of a place; False where it has just gone."""
        if worker.process is None or worker.process.poll() is not None:
            return False
        worker.process.send_signal(number)
        worker.frozen = number == signal.SIGSTOP
        return True

    def kill(self, worker: Worker) -> bool:
        """As a power cut would; nobody is started in its place yet."""
        worker.wanted = False
        told = self.send(worker, signal.SIGKILL)
        if worker.process is not None:
            worker.process.wait()
        return told

    async def end(self, worker: Worker) -> bool:
        """SIGTERM, and what must come of it: status 0, or 70 where it could not end in order."""
        worker.wanted = False
        if not self.send(worker, signal.SIGTERM) or (process := worker.process) is None:
            return False
        try:
            status = await asyncio.to_thread(process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            self.failures.append(f"worker {worker.number} did not end within {END_SECONDS} s of SIGTERM")
            self.kill(worker)
            return True
        self.exits[f"SIGTERM: {status}"] += 1
        # A process that has not come as far as to listen to signals ends at once.
        if status not in {0, START_AGAIN, -signal.SIGTERM}:
            self.failures.append(f"worker {worker.number} ended with status {status} after SIGTERM")
        return True

    async def supervise(self) -> None:
        """Starts a worker again that has left; any status but 70 is a failure, unless Kafka is away when it starts."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for worker in self.all:
                if worker.wanted and worker.process is not None and (status := worker.process.poll()) is not None:
                    await self.start_again(worker, status)

    async def start_again(self, worker: Worker, status: int) -> None:
        """What follows from a worker that left by itself."""
        away = time.monotonic() < self.kafka_away
        self.exits[f"by itself: {status}{' without Kafka' if away and status != START_AGAIN else ''}"] += 1
        if status != START_AGAIN and status not in self.accepted and not away:
            self.failures.append(f"worker {worker.number} ended by itself with status {status}")
        if status != START_AGAIN:
            await asyncio.sleep(AGAIN_SECONDS)
        if worker.wanted:
            self.start(worker)

    def expect_no_kafka(self, seconds: float) -> None:
        """From now on Kafka may be away so long, and a worker that starts meanwhile may say so and end."""
        self.kafka_away = time.monotonic() + seconds + AWAY_SECONDS

    async def end_all(self) -> None:
        """Ends every process in order."""
        await asyncio.gather(*(self.end(worker) for worker in self.all))

    def forget(self) -> None:
        """Ends every process that is left."""
        for worker in self.all:
            if worker.process is not None:
                with suppress(ProcessLookupError):
                    worker.process.kill()
                worker.process.wait()
                worker.wanted = False
