"""Processes that are measured: how they are started and ended, what they tell, and what of the machine they use."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable
PATH = os.environ.get("PYTHONPATH") or str(ROOT)
DEADLINE_SECONDS = 900
TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):
            for child in task.read_text("ascii").split():
                found += family(int(child))
    return found


class Host:
    """One process that is measured."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log.open("ab")
        self.about: dict[str, Any] = {}
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": PATH, **environment}, cwd=log.parent,  # where Faust may leave what it likes
            stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip

    def figures(self) -> Iterator[dict[str, float]]:
        """What the host tells of itself, line by line; what it says of its settings and versions is kept."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("#"):
                name, _, value = line[1:].strip().partition(" = ")
                if value:
                    self.about.setdefault("settings", {})[name] = value
                else:
                    self.about["versions"] = dict(part.strip().rsplit(" ", 1) for part in name.split(","))
            elif line.startswith("{"):
                figures = json.loads(line)
                self.about |= {name: figures[name] for name in ("settings", "versions") if name in figures}
                if "events" in figures:
                    yield figures
        raise RuntimeError(f"the host ended by itself with status {self.process.wait()}; see {self.log.name}")

    def drain(self) -> None:
        """Reads what it goes on to tell: it would stop when the pipe is full."""

        def read() -> None:
            with suppress(ValueError):  # closed while it was read
                deque(self.process.stdout or (), 0)

        Thread(target=read, daemon=True).start()

    def cpu(self) -> float:
        """CPU seconds used so far by it and its children, by those that have ended, too."""
        used = 0
        for one in family(self.process.pid):
            with suppress(FileNotFoundError):
                fields = Path(f"/proc/{one}/stat").read_text("ascii").rsplit(")", 1)[1].split()
                used += sum(map(int, fields[11:15]))
        return used / TICKS

    def peak(self) -> float:
        """The most memory that it and its children have had resident, in MB."""
        kilobytes = 0
        for one in family(self.process.pid):
            with suppress(FileNotFoundError):
                for line in Path(f"/proc/{one}/status").read_text("ascii").splitlines():
                    if line.startswith("VmHWM:"):
                        kilobytes += int(line.split()[1])
        return kilobytes / 1024

    def memory(self) -> float:
        """Resident memory now, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def end(self) -> None:
        """Ends the process."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Host]:
    """A host that ends with the block."""
    host = Host(command, environment, log)
    try:
        yield host
    finally:
        host.end()


def paced(
    figures: Iterator[dict[str, float]], done: Callable[[dict[str, float]], bool], used: Callable[[], float], warm: float = 0,
) -> tuple[float, float]:  # fmt: skip
    """Events per second of the wall clock, and per CPU second, from the first event after ``warm`` ones to the last."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    first: tuple[float, float, float] | None = None
    for told in figures:
        now, seconds, events = time.monotonic(), used(), told["events"]
        if first is None and events and events >= warm:
            first = now, seconds, events
        if first is not None and done(told):
            gone = events - first[2]
            if not gone or seconds == first[1]:
                raise RuntimeError(f"{events:,.0f} events are too few to measure: they were done between two lines")
            return gone / (now - first[0]), gone / (seconds - first[1])
        if now > deadline:
            raise TimeoutError(f"not done after {DEADLINE_SECONDS} s: {told}")
    raise RuntimeError("the host said nothing")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
