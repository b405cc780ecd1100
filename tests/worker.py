"""A worker in a process of its own, as whoever runs Karar starts it."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from streams.settings import Settings
from tests.command import BIN, PLAIN

START_SECONDS = 60


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What tells a command of these settings."""
    given = {"KARAR_BROKER": settings.broker, "KARAR_PREFIX": settings.prefix, "KARAR_PARTITIONS": str(settings.partitions)}
    return PLAIN | given | {"KARAR_SERIES_BIRTH_SECONDS": "0"} | more


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page(port: int, address: str) -> str:
    """A page of a worker; nothing while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{address}", timeout=10) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return str(error.read().decode())
    except (URLError, OSError):
        return ""


def wait_for(happened: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Returns when it has happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def at_the_end(port: int) -> bool:
    """Whether every shard of a worker is open and has caught up."""
    told = json.loads(page(port, "/readyz") or "{}")
    return bool(told.get("ready")) and all(s["state"] == "open" and not s["behind_seconds"] for s in told["shards"])


@contextmanager
def working(folder: Path, settings: Settings, **more: str) -> Iterator[int]:
    """The port of a worker that has caught up; it is ended in order after the block."""
    port = free_port()
    log = folder / "worker.log"
    with log.open("ab") as out, subprocess.Popen(
        [BIN, "worker"], env=environment(settings, KARAR_WEB_PORT=str(port), **more), stdout=out, stderr=out, cwd=folder
    ) as process:  # fmt: skip
        try:
            wait_for(lambda: at_the_end(port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield port
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
