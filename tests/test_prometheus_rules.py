"""What Prometheus and Alertmanager are given: they accept it, it does what it says, and every alert has a page to turn to."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from streams.alerts import MANY, NAME
from streams.core.series import TABLE
from streams.core.targets import Objective, Rules
from streams.engine.meters import Meters
from streams.metrics import PREFIX
from streams.metrics import expectations as gauges
from tests.debian import program_or_skip
from tests.rules import ALERTS, DEPLOY, PROMETHEUS, RECORDED, RULES, TESTS, expectations, groups, loaded, rules, series
from tests.shared import ROOT

RUNBOOK: Final = ROOT / "docs" / "runbook.md"
NAMES: Final = sorted({rule["alert"] for rule in rules(ALERTS)})
HISTOGRAM: Final = ("_bucket", "_count", "_sum")


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of Debian's, and what it said."""
    return subprocess.run([program_or_skip(name), *arguments], capture_output=True, text=True, check=False, timeout=120)


def promtool(*arguments: str | Path) -> str:
    """What promtool says, once it is content."""
    done = run("promtool", *arguments)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def existing() -> set[str]:
    """The names of every series that a worker serves."""
    ledger = {name for family in TABLE for name in (family.name, family.retracted)}
    histograms = {name + part for family in TABLE if family.bounds for name in (family.name, family.retracted) for part in HISTOGRAM}
    worker = {sample for metric in Meters().registry.collect() for sample in (metric.name, metric.name + "_total")}
    targets = {metric.name.removeprefix(PREFIX) for metric in gauges(Rules(objectives=(Objective(name="wait", ratio=0.8),)), 0)}
    return {PREFIX + name for name in ledger | histograms | targets} | worker


def test_prometheus_accepts_its_configuration_and_every_rule() -> None:
    """`promtool check config`, which reads the rule files that it names, and finds each of ours."""
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    found = {(Path(path).parent.name, Path(path).name): int(n) for path, n in re.findall(r"Checking (\S+)\n\s+SUCCESS: (\d+) rules", said)}

    assert {(path.parent.name, path.name): len(rules([path])) for path in (*RULES, *ALERTS)} == found


def test_alertmanager_accepts_its_configuration() -> None:
    """`amtool check-config`."""
    done = run("amtool", "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")

    assert not done.returncode, done.stdout + done.stderr


def test_alerts_of_one_team_are_one_notification() -> None:
    """However many chains they are about: no route groups by anything else."""
    route = loaded(DEPLOY / "alertmanager" / "alertmanager.yml")["route"]

    assert route["group_by"] == ["alertname", "team"]
    assert [inner for inner in route["routes"] if "group_by" in inner] == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_they_say(path: Path) -> None:
    """`promtool test rules`. A file without tests would pass as well: they are counted."""
    counted = len(list(expectations([path])))
    said = promtool("test", "rules", path)

    assert "SUCCESS" in said
    assert counted >= 5


def test_all_promtool_tests_are_there() -> None:
    """Whoever removes one says so here."""
    assert len(list(expectations(TESTS))) == 85


def test_ledger_series_lose_their_instance() -> None:
    """A series goes on wherever its shard is served."""
    (job,) = loaded(PROMETHEUS / "prometheus.yml")["scrape_configs"]

    assert job["metric_relabel_configs"] == [{"source_labels": ["shard"], "regex": ".+", "target_label": "instance", "replacement": ""}]


def test_rules_use_only_series_that_exist() -> None:
    """Those of the ledger's table, of the worker's meters, of the targets, and what other rules record."""
    recorded = {rule["record"] for rule in rules(RULES)}
    texts = [rule["expr"] + " ".join(rule.get("annotations", {}).values()) for rule in rules([*RULES, *ALERTS])]

    assert {name for text in texts for name in series(text)} - existing() == set()
    assert {name for text in texts for name in RECORDED.findall(text)} - recorded == set()


def test_tests_use_only_series_that_exist() -> None:
    """A misspelt series would keep an alert quiet, in a test too."""
    rows = [row for path in TESTS for test in loaded(path)["tests"] for row in test.get("input_series", [])]
    names = {name for row in rows for name in series(row["series"])}

    assert names - existing() == set()


def test_rules_are_named_level_metric_operation() -> None:
    """Each once."""
    names = [rule["record"] for rule in rules(RULES)]

    assert [name for name in names if not RECORDED.fullmatch(name)] == []
    assert len(names) == len(set(names))


def test_every_window_is_written_the_same_way() -> None:
    """An hour and a day differ in nothing but their length."""
    found = {group["name"]: group["rules"] for group in groups(RULES)}
    hours = [name for name in found if name.endswith("_1h")]

    assert hours
    for name in hours:
        assert str(found[name]).replace("1h", "1d") == str(found[name.replace("1h", "1d")])


def test_every_alert_has_a_team_a_severity_figures_and_a_page() -> None:
    """The labels that Alertmanager groups and routes by, and the section of the runbook that bears its name."""
    sections = re.findall(r"^## (.+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)

    for rule in rules(ALERTS):
        name, labels, annotations = rule["alert"], rule["labels"], rule["annotations"]
        assert "team" in labels or rule["expr"].startswith("team:"), name
        assert labels["severity"] in {"page", "ticket", "info"}, name
        assert "$value" in annotations["summary"] or name == "KararWatchdog", name
        assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}", name
        assert sections.count(name) == 1


def test_the_runbook_has_no_section_for_an_alert_that_is_gone() -> None:
    """Sections in one word are alerts."""
    sections = re.findall(r"^## (\S+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)

    assert sorted(sections) == sorted([*NAMES, NAME, MANY])


def test_the_runbook_asks_for_dead_letters_as_their_alert_does() -> None:
    """Over a day; a counter that begins with its first letter has not increased by any other words."""
    (rule,) = [rule for rule in rules(ALERTS) if rule["alert"] == "KararDeadLetters"]
    asked = re.findall(r"```promql\n(.+?)\n```", RUNBOOK.read_text("utf-8"), re.DOTALL)

    assert [re.sub(r"\s", "", text) for text in asked] == [re.sub(r"\s", "", rule["expr"]).replace("15m", "1d").removesuffix(">0")]


def test_every_alert_on_service_asks_for_the_trustworthy_window() -> None:
    """What is late or is still being corrected wakes nobody."""
    for rule in rules([PROMETHEUS / "alerts" / "service.yml"]):
        assert "and on () all:window:trustworthy30m == 1" in rule["expr"]


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_tried_on_both_sides(name: str) -> None:
    """Quiet and firing, by promtool; the watchdog is never quiet."""
    tried = {bool(row.get("exp_alerts")) for row in expectations(TESTS) if row.get("alertname") == name}

    assert tried == ({True} if name == "KararWatchdog" else {True, False})


SABOTAGES: Final = [
    ("rules/teams.yml", "- 3 * sqrt(", "- 2.8 * sqrt(", "excessive_transfers"),
    ("rules/teams.yml", "- 3 * sqrt(", "- 3.3 * sqrt(", "excessive_transfers"),
    ("rules/teams.yml", 'objective="transfer_rate"', 'objective=~"transfer.*"', "excessive_transfers"),
    ("rules/teams.yml", "karar_transfers_started_retracted_total", "karar_transfers_started_retracted", "excessive_transfers"),
    ("rules/teams.yml", 'kind!="external"', "", "formulas"),
    ("rules/teams.yml", "moments_won:increase1h or team:moments_judged:increase1h * 0", "moments_won:increase1h", "formulas"),
    ("rules/trust.yml", "< bool 120", "<= bool 120", "trust"),
    ("rules/trust.yml", "< bool 120", "< bool 119", "trust"),
    ("rules/trust.yml", "max_over_time(karar_behind_seconds[30m])", "karar_behind_seconds", "trust"),
    ("rules/trust.yml", "0.1 * all", "0.095 * all", "trust"),
    ("rules/trust.yml", "0.1 * all", "0.105 * all", "trust"),
    ("rules/trust.yml", "clamp_min(0.1 * all:bookings_added:increase30m, 0.1)", "(0.1 * all:bookings_added:increase30m)", "trust"),
    ("rules/trust.yml", "karar_shard_up[2m]", "karar_shard_up[1m30s]", "trust"),
    ("rules/trust.yml", "karar_shard_up[2m]", "karar_shard_up[2m30s]", "trust"),
    ("rules/trust.yml", "karar_shard_up[1d]", "karar_shard_up[23h59m]", "trust"),
    ("rules/trust.yml", "karar_shard_up[1d]", "karar_shard_up[1d1m]", "trust"),
    ("rules/trust.yml", "[2m])) == 1", "[2m]))", "trust"),
    ("rules/trust.yml", "[1d])) == 1", "[1d]))", "trust"),
    ("rules/trust.yml", "max by (topic, partition) ", "", "trust"),
    ("rules/trust.yml", "or vector(0)", "", "trust"),
    ("rules/queues.yml", 'kind="short"', 'kind="in_target"', "formulas"),
    ("rules/queues.yml", 'kind=~"short|in_target"', 'kind="in_target"', "formulas"),
    ("rules/queues.yml", "or queue:contacts_offered:increase1h * 0", "", "formulas"),
    ("rules/targets.yml", '"scope", "all"', '"scope", "everything"', "formulas"),
    ("alerts/service.yml", "touches_ended:increase30m >= 20", "touches_ended:increase30m >= 19", "excessive_transfers"),
    ("alerts/service.yml", "touches_ended:increase30m >= 20", "touches_ended:increase30m > 20", "excessive_transfers"),
    ("alerts/service.yml", "for: 5m", "for: 4m30s", "excessive_transfers"),
    ("alerts/service.yml", "for: 5m", "for: 5m30s", "excessive_transfers"),
    ("alerts/service.yml", "> 2 * team", "> 1.9 * team", "excessive_transfers"),
    ("alerts/service.yml", "> 2 * team", "> 2.1 * team", "excessive_transfers"),
    ("alerts/service.yml", "and team:transfer_rate:ratio2h > team:transfer_rate:permitted", "", "excessive_transfers"),
    ("alerts/service.yml", "and on () all:window:trustworthy30m == 1", "", "excessive_transfers"),
    ("alerts/karar.yml", ">= 120", "> 120", "karar"),
    ("alerts/karar.yml", ">= 120", ">= 119", "karar"),
    ("alerts/karar.yml", "for: 5m", "for: 4m30s", "karar"),
    ("alerts/karar.yml", "for: 5m", "for: 5m30s", "karar"),
    ("alerts/karar.yml", "for: 2m", "for: 1m30s", "karar"),
    ("alerts/karar.yml", "for: 2m", "for: 2m30s", "karar"),
    ("alerts/karar.yml", "[1d]", "[1m]", "karar"),
    ("alerts/karar.yml", "offset 15m", "offset 14m30s", "karar"),
    ("alerts/karar.yml", "offset 15m", "offset 15m30s", "karar"),
    ("alerts/karar.yml", "or karar_dead_letters_total", "", "karar"),
    ("alerts/karar.yml", 'or karar_alerts_total{result="failed"}', "", "karar"),
    ("alerts/karar.yml", 'karar_alerts_total{result="failed"}', "karar_alerts_total", "karar"),
    ("alerts/karar.yml", "sum(karar_ledger_differences) > 0", "sum(karar_ledger_differences) > 1", "karar"),
]
"""A file, what stands in it, what is put there instead, and the promtool tests that must notice."""


@pytest.mark.slow
@pytest.mark.computes
@pytest.mark.parametrize(("path", "old", "new", "tests"), SABOTAGES, ids=[f"{old} → {new}" for _, old, new, _ in SABOTAGES])
def test_every_threshold_is_held_by_a_promtool_test(tmp_path: Path, path: str, old: str, new: str, tests: str) -> None:
    """A threshold that is a little off, or a condition that is gone, fails."""
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    text = (folder / path).read_text("utf-8")
    assert old in text
    (folder / path).write_text(text.replace(old, new), "utf-8")
    done = run("promtool", "test", "rules", folder / "tests" / f"{tests}.yml")

    assert done.returncode == 1, done.stdout
    assert "FAILED" in done.stdout + done.stderr
