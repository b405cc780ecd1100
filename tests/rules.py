"""The rules of deploy/prometheus as data: what is recorded, what alerts, what is tested, which series they are made of."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.shared import ROOT

DEPLOY: Final = ROOT / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus"
RULES: Final = sorted((PROMETHEUS / "rules").glob("*.yml"))
ALERTS: Final = sorted((PROMETHEUS / "alerts").glob("*.yml"))
TESTS: Final = sorted((PROMETHEUS / "tests").glob("*.yml"))

RECORDED: Final = re.compile(r"\b[a-z_]+:[a-z_0-9]+:[a-z_0-9]+\b")
RAW: Final = re.compile(r"\bkarar_(?:\((?P<any>[a-z_|]+)\))?(?P<rest>[a-z_]*)\b")


def loaded(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text("utf-8"))


def groups(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rule groups of files, in order."""
    for path in paths:
        yield from loaded(path)["groups"]


def rules(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The rules of files, in order."""
    return [rule for group in groups(paths) for rule in group["rules"]]


def series(text: str) -> set[str]:
    """Karar's series that a text names, alternatives of a pattern one by one."""
    return {f"karar_{name}{found['rest']}" for found in RAW.finditer(text) for name in (found["any"] or "").split("|")}


def expectations(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """What promtool tests expect, one by one."""
    for path in paths:
        for test in loaded(path)["tests"]:
            yield from test.get("alert_rule_test", [])
            yield from test.get("promql_expr_test", [])
