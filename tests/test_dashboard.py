"""The dashboard is what its code says, asks only for what exists, in PromQL that Prometheus reads, and explains itself."""

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.grafana import dashboard
from deploy.grafana.queries import WINDOWS
from streams.core.series import TABLE
from streams.engine.meters import Meters
from streams.exposition import FAMILIES, OVERFLOWN
from tests.debian import program_or_skip
from tests.test_metrics import FROM_TARGETS

DEPLOY: Final = Path(dashboard.__file__).parent.parent
BUILT: Final[dict[str, Any]] = json.loads(dashboard.text())
PANELS: Final[list[dict[str, Any]]] = [panel for panel in BUILT["panels"] if panel["type"] not in {"row", "text"}]
QUERIES: Final = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
VARIABLES: Final = {variable["name"]: variable for variable in BUILT["templating"]["list"]}
CHOICES: Final = [v["query"] for v in VARIABLES.values() if v["type"] == "query"]

METRIC: Final = re.compile(r"\bkarar_\w+")
RECORDED: Final = re.compile(r"\b\w+:\w+:[\w$]+")
GROUPED: Final = re.compile(r"\bby \(([\w, ]+)\)")
INTERVALS: Final = {"$__rate_interval": "1m", "$__range": "9h"}


def names(pattern: str, folder: str) -> set[str]:
    """What the files of Prometheus define."""
    found = {name for path in (DEPLOY / "prometheus" / folder).glob("*.yml") for name in re.findall(pattern, path.read_text("utf-8"))}
    assert found, f"deploy/prometheus/{folder} defines nothing"
    return found


def as_asked(expression: str, window: str) -> str:
    """An expression as Grafana sends it: with everything chosen, over a window."""
    for name, value in {**INTERVALS, "$window": window}.items():
        expression = expression.replace(name, value)
    return re.sub(r"\$(?:channel|queue|team)\b", ".*", expression)


def served() -> set[str]:
    """The name of every sample that a worker may serve."""
    ledger = {sample for family in (*FAMILIES.values(), OVERFLOWN) for samples in family.samples for sample in samples}
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    own = {m.name + suffix for m in Meters().registry.collect() for suffix in suffixes.get(m.type, ("",))}
    return ledger | own | FROM_TARGETS


def test_the_file_is_what_the_code_says() -> None:
    """After a change of deploy/grafana: `make dashboards`."""
    assert dashboard.FILE.read_text("utf-8") == dashboard.text(), "run `make dashboards`"


def test_a_file_that_says_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` is quiet right after writing; after an edit, or without the file, it ends with 1 and says what to do."""
    monkeypatch.setattr(dashboard, "FILE", tmp_path / "moments-now.json")
    assert dashboard.main(["--check"]) == 1
    assert dashboard.main([]) == 0
    assert dashboard.main(["--check"]) == 0
    dashboard.FILE.write_text(dashboard.text().replace("Moments now", "Moments then"), "utf-8")
    capsys.readouterr()

    assert dashboard.main(["--check"]) == 1
    assert capsys.readouterr().err == f"{dashboard.FILE}: not what deploy/grafana/dashboard.py says; run `make dashboards`\n"
    assert dashboard.main(["--cheque"]) == 2


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """It has a title, a unit, a text of at least two sentences, queries with names of their own, and Grafana's data source of choice."""
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len(re.findall(r"[.?!](?: |$)", panel["description"])) >= 2, panel["description"]
    references = [target["refId"] for target in panel["targets"]]
    assert references == sorted(set(references)) != []
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]} == {"${datasource}"}


def test_where_no_worker_answers_the_row_about_karar_says_that_there_is_no_data() -> None:
    """*None* would be good news. Its figures are those of this moment, not what was known last, and only Prometheus' own may be 0."""
    titles = [panel["title"] for panel in BUILT["panels"]]
    row = BUILT["panels"][titles.index("Karar itself") + 1 :]

    assert len(row) == 11
    assert {panel["fieldConfig"]["defaults"]["noValue"] for panel in row} == {"no data"}
    assert {target["instant"] for panel in row if panel["type"] == "stat" for target in panel["targets"]} == {True}
    assert [panel["title"] for panel in row if "vector(0)" in panel["targets"][0]["expr"]] == ["Alerts firing"]


def test_lines_of_tables_have_the_labels_that_are_shown() -> None:
    """Grafana merges the answers to a table's queries by all their labels, and a series' own name is one."""
    tables = [panel for panel in PANELS if panel["type"] == "table"]

    assert len(tables) > 2
    for panel in tables:
        assert len({tuple(GROUPED.findall(target["expr"])[:1]) for target in panel["targets"]} - {()}) == 1, panel["title"]


def test_panels_have_places_and_numbers_of_their_own() -> None:
    """Nothing lies over anything else, nothing sticks out on the right; numbers and titles occur once."""
    assert len({panel["id"] for panel in BUILT["panels"]}) == len(BUILT["panels"])
    assert len({panel["title"] for panel in BUILT["panels"]}) == len(BUILT["panels"])
    boxes = [(p["title"], p["gridPos"]) for p in BUILT["panels"]]
    assert [title for title, box in boxes if box["x"] + box["w"] > 24] == []
    assert [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    ] == []


@pytest.mark.parametrize("expression", [expression for _, expression in QUERIES] + CHOICES)
def test_only_what_exists_is_asked_for(expression: str) -> None:
    """Series that a worker serves, with the labels that they have, and recorded ones in every window that may be chosen."""
    rules = names(r"- record: (\S+)", "rules")

    assert set(METRIC.findall(expression)) - served() == set()
    assert {name.replace("$window", window) for name in RECORDED.findall(expression) for window in WINDOWS} - rules == set()
    for series in TABLE:
        if re.search(rf"\bkarar_{series.name}\b", expression):
            assert {label.strip() for found in GROUPED.findall(expression) for label in found.split(",")} <= {*series.labels, "shard"}


def test_prometheus_reads_every_expression(tmp_path: Path) -> None:
    """As rules, which is how promtool takes expressions."""
    asked = [as_asked(expression, window) for _, expression in QUERIES for window in WINDOWS]
    assert [expression for expression in asked if "$" in expression.replace('"$1"', "")] == []
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    run = subprocess.run(
        [program_or_skip("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"SUCCESS: {len(asked)} rules found" in run.stdout


def strings(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_alerts_that_are_named_exist() -> None:
    """A text that sends to the runbook names an alert that has a section there."""
    named = {name for text in strings(BUILT) for name in re.findall(r"\b(?:Karar[A-Z]|Excessive[A-Z])\w+", text)}

    assert named >= {"KararBehind", "ExcessiveTransfers"}
    assert named - names(r"- alert: (\S+)", "alerts") == set()


def test_a_reader_chooses_source_channel_queue_team_and_window() -> None:
    """Whatever is chosen in a query can be chosen above, and the runbook is one click away."""
    used = set(re.findall(r"\$(?!__|1\")\{?(\w+)", " ".join(strings(BUILT["panels"]))))

    assert used == set(VARIABLES) == {"datasource", "channel", "queue", "team", "window"}
    assert [link["url"] for link in BUILT["links"]] == [dashboard.RUNBOOK]


def test_grafana_finds_source_and_dashboard() -> None:
    """What is provisioned: one Prometheus, asked at the interval of its scrapes, and the folder of dashboards."""
    source = (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    scraped = re.search(r"^  scrape_interval: (\w+)$", (DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"), flags=re.MULTILINE)

    assert VARIABLES["datasource"]["query"] == "prometheus"
    assert "type: prometheus\n" in source
    assert scraped is not None
    assert f"timeInterval: {scraped[1]} " in source
    assert "path: /etc/grafana/dashboards\n" in (DEPLOY / "grafana/provisioning/dashboards/karar.yml").read_text("utf-8")
