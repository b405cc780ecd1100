"""The benchmark against peers judges what a host has put out, and writes what it found."""

import json
import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench import headline
from tests.bench.judged import STATE, differences, expected
from tests.bench.processes import ROOT, paced
from tests.bench.results import KARAR, SECTIONS, column, found_before, written
from tests.bench.small import KEYS, key_of

EVENTS = 50


def right() -> list[tuple[bytes, int]]:
    """One output for each event."""
    return [(key_of(i), i) for i in range(EVENTS)]


def test_one_output_an_event_is_right() -> None:
    """Each event once, at its key, in order."""
    assert list(differences(right(), EVENTS)) == []


@pytest.mark.parametrize(
    ("outputs", "wrong"),
    [
        (right()[1:], ["49 outputs for 50 events", "49 different outputs for 50 events"]),
        ([*right(), right()[-1]], ["51 outputs for 50 events"]),
        ([*right()[:-1], right()[0]], ["49 different outputs for 50 events"]),
        ([(b"c0", i) for _, i in right()], ["outputs at another key than their event's"]),
    ],
)
def test_what_is_missing_or_twice_is_wrong(outputs: list[tuple[bytes, int]], wrong: list[str]) -> None:
    """Nothing missing, nothing twice, nothing elsewhere."""
    assert wrong == list(differences(outputs, EVENTS))[: len(wrong)]


def test_outputs_of_a_key_out_of_order_are_wrong() -> None:
    """The second event of a key comes after its first."""
    events = KEYS + 1
    outputs = [(key_of(i), i) for i in range(events)]
    assert list(differences(outputs, events)) == []
    outputs[0], outputs[-1] = outputs[-1], outputs[0]
    assert list(differences(outputs, events)) == ["outputs of a key not in the order of its events"]


def test_a_state_is_the_count_and_the_last_six() -> None:
    """However a host writes its JSON."""
    events = KEYS * 7 + 1
    assert expected(events)[b"c0"] == (8, [KEYS * n for n in range(2, 8)])
    assert expected(events)[key_of(1)] == (7, [KEYS * n + 1 for n in range(1, 7)])
    found = STATE.search(b'\0\0{"n": 8, "last": [1, 2,3]}')
    assert found is not None
    assert found.groups() == (b"8", b"1, 2,3")


def host(name: str, guarantee: str, *rounds: dict[str, Any], latency: dict[str, float] | None = None) -> dict[str, Any]:
    """A host as it is kept."""
    return {
        "host": name, "guarantee": guarantee, "store": "memory", "settings": {"linger": 5}, "versions": {"it": "1"},
        "throughput": list(rounds), "latency": [latency] if latency else [],
    }  # fmt: skip


def test_results_have_medians_ratios_and_who_is_wrong(tmp_path: Path) -> None:
    """Median (min–max), times Karar, and a host that is wrong or failed says so."""

    def row(rate: float, **more: Any) -> dict[str, Any]:
        return {"events": 100, "rate": rate, "thrift": rate * 2, "peak MB": 50.0, "checked": "outputs"} | more

    engine = {
        "machine": {"date": "2026-01-01", "code": "4e1d", "cores": 2, "cpu": "X", "memory GB": 4.0, "system": "Linux", "Kafka": "4"},
        "asked": {"events": 100, "partitions": 4},
        "left out": {"Kafka Streams": "no Java"},
        "hosts": {
            "Other · none · memory": host("Other", "none", row(50.0, wrong=["99 outputs for 100 events"]), {"failed": "ended by itself"}),
            "Karar · exactly once · memory": host(
                "Karar", "exactly once", row(90.0), row(100.0), row(130.0),
                latency={"rate": 50.0, "p50": 0.012, "p99": 0.1, "missing": 0.0, "cores used": 1.0},
            ),
        },
    }  # fmt: skip
    found = {"engine": engine}
    written(found, tmp_path)
    assert found_before(tmp_path) == found
    lines = (tmp_path / "RESULTS.md").read_text("utf-8").splitlines()
    assert "| Karar · exactly once · memory | 100 (90–130) | 1.00 | – | 200 (180–260) | 1.00 | – | 50 | – | outputs |" in lines, lines
    assert (
        "| Other · none · memory | 50 | 0.50 | – | 100 | 0.50 | – | 50 | – | **wrong**: 99 outputs for 100 events; ended by itself |"
        in lines
    )
    assert "| Karar · exactly once · memory | 50 | 12 | 100 | 1.00 | 0.0 |" in lines
    assert "Left out: Kafka Streams: no Java" in lines
    assert any(line.startswith("2026-01-01, commit 4e1d: 2 cores of X, 4 GB") for line in lines)
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == found
    bars = ET.fromstring((tmp_path / "docs/results-engine.svg").read_text("utf-8")).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314 - ours
    widths = [float(bar.attrib["width"]) for bar in bars if bar.attrib.get("height") == "18"]
    assert widths == [192.3, 96.2, 192.3, 96.2]


def test_the_whole_core_stands_beside_the_engine_with_what_karar_serves(tmp_path: Path) -> None:
    """A run of one workload leaves what was found of the other; /metrics has columns of its own, empty for who serves nothing."""
    at = {"date": "2026-01-01", "cores": 2, "cpu": "X", "memory GB": 4.0, "system": "Linux", "Kafka": "4"}
    row = {"events": 100, "rate": 100.0, "thrift": 200.0, "peak MB": 50.0, "checked": "9 customers", "wrong": []}
    seen = {"rate": 50.0, "p50": 0.1, "p99": 0.2, "missing": 0.0, "cores used": 1.0}
    karar = host("Karar", "exactly once", row, latency=seen | {"served p50": 0.15, "served p99": 0.25})
    other = host("Other", "none", row | {"events": 10, "rate": 50.0}, latency=seen)
    parts = {"machine": at, "asked": {"events": 100, "partitions": 8}, "left out": {}}
    steady = [{"asked": 10_000} | seen | {"rate": 9_999.0, "served p50": 0.15, "served p99": 0.25}]
    engine = parts | {"hosts": {"Karar · exactly once · memory": host("Karar", "exactly once", row)}}
    written({"engine": engine}, tmp_path)
    found = found_before(tmp_path) | {
        "whole": parts | {"steady": steady, "hosts": {"Karar · exactly once · memory": karar, "Other · none · memory": other}}
    }
    written(found, tmp_path)
    lines = (tmp_path / "RESULTS.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("## ")] == [f"## {SECTIONS[name].title}" for name in ("engine", "whole")]
    assert "| Karar · exactly once · memory | 50 | 100 | 200 | 1.00 | 0.0 | 150 | 250 |" in lines, lines
    assert "| Other · none · memory | 50 | 100 | 200 | 1.00 | 0.0 | – | – |" in lines
    assert "| 10,000 | 9,999 | 100 | 200 | 1.00 | 0.0 | 150 | 250 |" in lines
    assert "| Other · none · memory (10 events) | 50 | 0.50 | – | 200 | 1.00 | – | 50 | – | 9 customers |" in lines
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"results-engine.svg", "results-whole.svg"}


def test_the_headline_has_each_host_with_its_strongest_guarantee() -> None:
    """The fastest of those; limits, which guarantee nothing, are left out, and so is who has not been measured."""
    rates: dict[tuple[str, str], float | None] = {
        ("Karar", "exactly once"): 100.0, ("Other", "at least once"): 90.0, ("Other, often", "exactly once"): 20.0,
        ("Other", "exactly once"): 40.0, ("Third", "at least once"): 10.0, ("Limit", "none"): 300.0, ("Broken", "exactly once"): None,
    }  # fmt: skip
    hosts = {f"{n}": host(*of, *([{"rate": rate}] if rate else [])) for n, (of, rate) in enumerate(rates.items())}

    assert headline.headline({"engine": {"hosts": hosts}}).splitlines()[2:] == [
        "| Karar | exactly once | 100 |  | – | – |", "| Other | exactly once | 40 | 2.5 × | – | – |",
        "| Third | at least once | 10 | 10 × | – | – |",
    ]  # fmt: skip


def test_the_readme_has_the_headline_of_the_results() -> None:
    """Whoever measures anew writes it anew."""
    text = (ROOT / "README.md").read_text("utf-8")

    assert headline.between(text, headline.headline(json.loads((ROOT / "results.json").read_text("utf-8")))) == text
    with pytest.raises(ValueError, match=r"^README\.md: no place for the headline"):
        headline.between("nothing", "")


@pytest.mark.parametrize(
    ("asked", "work", "beside", "figure", "shown"),
    [
        ("engine ≥ 1.5 × Kafka Streams, exactly once", "engine", "Kafka Streams · exactly once · memory", "rate", "{:.2f}"),
        ("… per CPU-second ≥ 2 ×", "engine", "Kafka Streams · exactly once · memory", "thrift", "{:.2f}"),
        ("engine ≥ 2 × Quix Streams, exactly once", "engine", "Quix Streams · exactly once · RocksDB", "rate", "{:.1f}"),
        ("engine ≥ 5 × Bytewax with recovery", "engine", "Bytewax, recovery · at least once · memory, SQLite", "rate", "{:.1f}"),
        ("engine ≥ 30 × stock Faust", "engine", "Faust, as it comes · at least once · memory", "rate", "{:.0f}"),
        ("engine ≥ 30 % of aiokafka and decoding alone", "engine", "aiokafka + orjson only · none · none", "rate", "{:.0%}"),
        ("whole core ≥ 10 × stock Faust", "whole", "Faust, as it comes · at least once · memory", "rate", "{:.1f}"),
        ("whole core ≥ 2.5 × Quix Streams", "whole", "Quix Streams, commits every second · exactly once · RocksDB", "rate", "{:.1f}"),
        ("whole core ≥ 3 × Bytewax with recovery", "whole", "Bytewax, recovery · at least once · memory, SQLite", "rate", "{:.1f}"),
        (
            "whole core ≥ 60 % of the loop without Kafka, per CPU-second",
            "whole",
            "The core alone, one loop · none · memory",
            "thrift",
            "{:.0%}",
        ),
    ],
)
def test_what_was_asked_stands_beside_what_the_results_say(asked: str, work: str, beside: str, figure: str, shown: str) -> None:
    """docs/reach.md is written by hand."""
    hosts = json.loads((ROOT / "results.json").read_text("utf-8"))[work]["hosts"]
    ours, theirs = (median(column(hosts[name]["throughput"], figure)) for name in (KARAR, beside))
    rows = [line.split("|") for line in (ROOT / "docs/reach.md").read_text("utf-8").splitlines() if line.startswith(f"| {asked} |")]

    assert [re.sub(r"[*]|\(.*\)", "", row[2]).strip().replace(" %", "%") for row in rows] == [shown.format(ours / theirs)]


def test_what_is_warm_up_is_not_measured() -> None:
    """Events are counted, and CPU, from the first line with so many of them; who is done between two lines is not measured at all."""

    def lines(*events: int) -> Iterator[dict[str, float]]:
        for number in events:
            time.sleep(0.02)
            yield {"events": number}

    def done(told: dict[str, float]) -> bool:
        return told["events"] >= 100

    assert paced(lines(0, 10, 20, 60, 100), done, count().__next__)[1] == 30
    assert paced(lines(0, 10, 20, 60, 100), done, count().__next__, 50)[1] == 40
    with pytest.raises(RuntimeError, match="too few"):
        paced(lines(0, 100), done, count().__next__)
