"""A real Prometheus over blocks that were written for it, asked by its API."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.debian import program_or_skip
from tests.worker import free_port, wait_for

STOP_SECONDS: Final = 20
FOREVER: Final = "100y"

Points = dict[str, list[float]]


@contextmanager
def prometheus(data: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes nothing and has those blocks; it is stopped afterwards."""
    config = data.with_suffix(".yml")
    config.write_text("global: {}\n", "utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [str(program_or_skip("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    command += [f"--storage.tsdb.retention.time={FOREVER}", f"--web.listen-address={address}"]
    with data.with_suffix(".log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: process.poll() is not None or answers(f"http://{address}/-/ready"))
            assert process.poll() is None, data.with_suffix(".log").read_text("utf-8")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def answers(address: str) -> bool:
    """Whether a page is there."""
    try:
        with urlopen(address, timeout=5):  # noqa: S310 - our own
            return True
    except (URLError, OSError):
        return False


def asked(address: str, path: str, **parameters: str | float) -> Any:
    """What the API says."""
    with urlopen(f"{address}/api/v1/{path}?{urlencode(parameters)}", timeout=120) as response:  # noqa: S310 - our own
        return json.load(response)["data"]["result"]


def points(address: str, label: str, query: str, start: float, end: float, step: float) -> Points:
    """The instants at which an expression has a value, by one of its labels."""
    found = asked(address, "query_range", query=query, start=start, end=end, step=step)
    return {series["metric"].get(label, ""): [at for at, _ in series["values"]] for series in found}
