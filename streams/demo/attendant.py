"""The demo's worker: a process of its own, started again whenever it asks for that, as whoever runs Karar does."""

import asyncio
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from streams.demo import WorkerError
from streams.engine.engine import START_AGAIN

WORKER: Final = (sys.executable, "-P", "-m", "streams", "worker")
STOP_SECONDS: Final = 20
MINUTE: Final = 60.0
MOST_STARTS: Final = 5
TOLD: Final = 200


class Attendant:
    """Keeps a worker running. ``restarts``: how often it was started again; ``sockets``: where it answers in each of its lives.

    They are ours: while a worker starts again nobody else can have its port, and whoever asks there waits.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, command: Sequence[str] = WORKER) -> None:
        self.environment, self.log, self.command = environment, log, command
        self.process: Process | None = None
        self.sockets: Sequence[socket.socket] = ()
        self.restarts = 0
        self.starts: list[float] = []

    async def run(self) -> None:
        """Starts the worker, and again when it leaves to start again or was killed. WorkerError: it cannot run."""
        while True:
            status = await self.once()
            self.starts = [at for at in self.starts if at > time.monotonic() - MINUTE]
            if status != START_AGAIN and status >= 0:
                raise WorkerError(f"the worker ended with status {status}: {self.last_line()}; its log is {self.log}")
            if len(self.starts) >= MOST_STARTS:
                raise WorkerError(f"the worker ended {MOST_STARTS} times within a minute: {self.last_line()}; its log is {self.log}")
            self.restarts += 1

    async def once(self) -> int:
        """One life of the worker; its status. It is out of reach of Ctrl-C: we say when it ends."""
        self.starts.append(time.monotonic())
        numbers = [each.fileno() for each in self.sockets]
        command = [*self.command, *(f"--socket={number}" for number in numbers)]
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, process_group=0, pass_fds=numbers
            )
        return await self.process.wait()

    @property
    def pid(self) -> int:
        """The worker's process id, 0 before there is one."""
        return self.process.pid if self.process is not None else 0

    def last_line(self) -> str:
        """The last thing that the worker said."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return next((line.strip().removeprefix("karar: ")[:TOLD] for line in reversed(lines) if line.strip()), "it said nothing")

    async def stop(self) -> None:
        """Ends the worker in order, and without it where that takes too long."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
