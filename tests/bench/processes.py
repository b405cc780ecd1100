"""Processes that are measured: how they are started and ended, what they tell, and what of the machine they use."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable
PATH = os.environ.get("PYTHONPATH") or str(ROOT)
DEADLINE_SECONDS = 900


class Host:
    """One process that is measured."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log.open("ab")
        self.process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": PATH, **environment}, cwd=log.parent,  # where Faust may leave what it likes
            stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip

    def figures(self) -> Iterator[dict[str, float]]:
        """What the host tells of itself, line by line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        raise RuntimeError(f"the host ended by itself with status {self.process.wait()}; see {self.log.name}")

    def cpu(self) -> float:
        """CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


def paced(figures: Iterator[dict[str, float]], done: Callable[[dict[str, float]], bool]) -> tuple[float, float]:
    """Events per second of the wall clock, and per CPU second of the host, from its first committed event to its last."""
    first: dict[str, float] | None = None
    started = deadline = time.monotonic()
    for told in figures:
        if told["events"] and first is None:
            first, started = told, time.monotonic()
        if first is not None and done(told):
            events = told["events"] - first["events"]
            return events / (time.monotonic() - started), events / (told["cpu"] - first["cpu"])
        if time.monotonic() > deadline + DEADLINE_SECONDS:
            raise TimeoutError(f"not done after {DEADLINE_SECONDS} s: {told}")
    raise RuntimeError("the host said nothing")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
