"""Every panel shows something when there is something: a real Prometheus scrapes a simulated center and is asked what Grafana would ask."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest

from streams.core.identity import Identity
from streams.core.targets import parse
from streams.engine.meters import Meters
from streams.replay import Replay
from streams.simulate import simulate
from tests.debian import program_or_skip
from tests.test_dashboard import DEPLOY, QUERIES, as_asked

pytestmark = pytest.mark.slow

SECONDS: Final = 60
PAUSE: Final = 0.2
OBJECTIVES: Final = """
[[objective]]
name = "wait"
channel = "call"
ratio = 0.8

[[objective]]
name = "transfer_rate"
team = "front"
ratio = 0.15
"""
CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: karar
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
    metric_relabel_configs: [{{source_labels: [shard], regex: .+, target_label: instance, replacement: ""}}]
"""


class Center:
    """A worker as it is scraped: first a day and a half of a simulated center, then a day more, up to where a handover is pending."""

    def __init__(self) -> None:
        replay = Replay(parse(OBJECTIVES), Identity(), 2)
        slices = list(replay.slices(simulate(seed=1, customers=2500, days=2.6)))
        for events in slices[: len(slices) // 2]:
            replay.take(events)
        before = after = replay.metrics()
        for events in slices[len(slices) // 2 :]:
            replay.take(events)
            if any(place[0].startswith("handovers_pending") for place, amount in replay.net().items() if amount):
                after = replay.metrics()
        # As a worker does, a new series stands at 0 before it rises: else Prometheus would not see its first step.
        known = {sample(line) for line in before.splitlines()}
        births = [sample(line) + b" 0\n" for line in after.splitlines() if line[:1] != b"#" and sample(line) not in known]
        self.texts = [before + b"".join(births) + self.own(1), after + self.own(2)]

    def own(self, times: int) -> bytes:
        """What the worker says of itself, after having done so much."""
        meters = Meters()
        for topic in ("karar.calls", "karar.interactions"):
            meters.up.labels(topic, "0").set(1)
        meters.count({("events_total", "calls", "applied"): times, ("bookings_total", "added"): times})
        meters.lag.counts["stitch"], meters.lag.sums["stitch"] = [times] * 23, times
        return generate_latest(meters.registry)


def sample(line: bytes) -> bytes:
    """Name and labels of a sample."""
    return line.rpartition(b" ")[0]


@contextmanager
def served(center: Center) -> Iterator[int]:
    """The port at which a center's metrics are."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(center.texts[0])

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[str]:
    """The address of a Prometheus that scrapes a port and works out the recorded series, all of them each second."""
    (folder / "rules").mkdir()
    for rules in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
        (folder / "rules" / rules.name).write_text(re.sub(r"(?m)^ +interval: .*\n", "", rules.read_text("utf-8")), "utf-8")
    (folder / "prometheus.yml").write_text(CONFIG.format(port=port))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program_or_skip("prometheus"), *options], stdout=log, stderr=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(30)


def answer(address: str, expression: str) -> list[Any]:
    """What Prometheus says to an instant query; nothing while it cannot be reached."""
    try:
        with urlopen(f"{address}/api/v1/query?{urlencode({'query': expression})}") as response:  # noqa: S310 - http, ours
            found: list[Any] = json.load(response)["data"]["result"]
            return found
    except OSError:
        return []


def test_every_panel_shows_something(tmp_path: Path) -> None:
    """In a center where everything happens no query is left without an answer."""
    center = Center()
    deadline = time.monotonic() + SECONDS
    with served(center) as port, prometheus(tmp_path, port) as address:
        while not answer(address, "count_over_time(karar_behind_seconds[1m]) > 1"):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text("utf-8")
            time.sleep(PAUSE)
        del center.texts[0]
        empty = {(title, as_asked(expression, "1h")) for title, expression in QUERIES}
        while empty := {(title, expression) for title, expression in empty if not answer(address, expression)}:
            assert time.monotonic() < deadline, empty
            time.sleep(PAUSE)
