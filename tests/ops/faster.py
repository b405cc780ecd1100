"""The shipped configuration in a folder of the test's: other addresses, and every duration a sixtieth but for `for`: hours are minutes."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.shared import ROOT

DEPLOY: Final = ROOT / "deploy"
FASTER: Final = 60
SCRAPE: Final = "1s"
LASTING: Final = "1s"
"""What has to hold for minutes must hold twice: where other tests have most of the processors, a worker that catches up still takes up to
two seconds for a scrape, and each that comes too late starts it anew. How long it is, promtool's tests of the shipped rules say."""
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION: Final = re.compile(r"\b(\d+)([smhd])\b")
IN_EXPRESSIONS: Final = re.compile(r"\[[^\]]+\]|offset \w+")


def shorter(text: str) -> str:
    """Every duration in a text, a part of it and at least a second."""
    return DURATION.sub(lambda found: f"{max(1, int(found[1]) * SECONDS[found[2]] // FASTER)}s", text)


def rules(folder: Path) -> None:
    """The rules and alerts: ranges, offsets and intervals; `for` is two evaluations."""
    for path in sorted(DEPLOY.glob("prometheus/*/*.yml")):
        if path.parent.name == "tests":
            continue
        content = yaml.safe_load(path.read_text("utf-8"))
        for group in content["groups"]:
            if "interval" in group:
                group["interval"] = shorter(group["interval"])
            for rule in group["rules"]:
                rule["expr"] = IN_EXPRESSIONS.sub(lambda found: shorter(found[0]), rule["expr"])
                if "for" in rule:
                    rule["for"] = LASTING
        write(folder / path.parent.name / path.name, content)


def prometheus(folder: Path, workers: Iterable[int], alertmanager: int) -> Path:
    """The configuration of Prometheus: the shipped scrape job, two workers, one Alertmanager."""
    rules(folder)
    content = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    content["global"] = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
    (job,) = content["scrape_configs"]
    job.pop("dns_sd_configs", None)
    job["static_configs"] = targets(workers)
    content["alerting"] = {"alertmanagers": [{"static_configs": targets([alertmanager])}]}
    return write(folder / "prometheus.yml", content)


def alertmanager(folder: Path, webhook: int) -> Path:
    """The configuration of Alertmanager: the shipped routes, and the test's webhook."""
    content = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text("utf-8"))
    routes = [content["route"], *content["route"].get("routes", [])]
    for route in routes:
        for name in ("group_wait", "group_interval", "repeat_interval"):
            if name in route and route[name] != "0s":
                route[name] = shorter(route[name])
    for receiver in content["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://127.0.0.1:{webhook}/"
    return write(folder / "alertmanager.yml", content)


def targets(ports: Iterable[int]) -> list[Mapping[str, list[str]]]:
    """Processes of this machine."""
    return [{"targets": [f"127.0.0.1:{port}" for port in ports]}]


def write(path: Path, content: Any) -> Path:
    """A file of YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return path
