"""What `tests.bench.against` found, for people: RESULTS.md with its tables, results.json with every number, and a picture."""

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.small import KEYS

BASES: Final = {"Karar": "Karar · exactly once · memory", "Kafka Streams": "Kafka Streams · exactly once · memory"}
COLOURS: Final = {"exactly once": "#2f6fb3", "at least once": "#d08a2e", "none": "#9a9a9a"}
WIDTH: Final = 1000
LABELS: Final = 310
PANEL: Final = 250
ROW: Final = 26
TOP: Final = 66

HEAD: Final = """\
# Karar's engine against other stream processors

{date}, written by `make bench-peers`; every number is in `results.json`. {cores} cores of {cpu}, {memory:.0f} GB,
{system}, Apache Kafka {kafka} on the same machine: broker and host share the cores, so read the ratios.

**The work.** {events:,} JSON events of 276 bytes, {keys:,} keys, {partitions} partitions; kept for each key: how many, and the last
six; one output for each event; one process, one worker. All the same for each host, {rounds} rounds by turns, each with fresh
topics. *Right* is who had each event's output exactly once, at its key, in order, read committed, and at the end the right state
for each key in its changelog.

![Events per second, and per CPU second]({picture})

## Throughput

Median (min–max). From the first event that is done to the last; for a host that commits every few seconds, done is before its last
commit, which is in its favour. CPU is that of the host and its children, not the broker's; a JVM starts cold. Memory is the most
that was resident. A changelog's size is that of its log on the broker's disk.
"""
LATENCY_HEAD: Final = """
## From produce to visible

At half of each host's own median throughput, after 20 s of warm-up: from the event's hand-over to the producer until its output is
there for who reads what has been committed. Load and reader share the cores, too. Median of {rounds} rounds (min–max).
"""


def cpu_name() -> str:
    """What the machine calls its processor."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text("ascii", "replace"), re.MULTILINE) if path.exists() else None
    return found[1] if found else platform.machine()


def machine() -> dict[str, Any]:
    """Where it was measured, and when."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "cpu": cpu_name(), "memory GB": memory,
        "system": f"{platform.system()} {platform.release()}",
    }  # fmt: skip


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """What each round that was measured has under a name."""
    return [row[name] for row in rows if name in row and row[name] is not None]


def spread(values: Sequence[float], *, scale: float = 1, digits: int = 0) -> str:
    """Median (min–max)."""
    if not values:
        return "–"
    middle, least, most = (f"{number * scale:,.{digits}f}" for number in (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least}–{most})"


def ratio(host: Mapping[str, Any], base: Mapping[str, Any] | None, name: str) -> str:
    """Median over the median of another host."""
    mine, theirs = (column(one["throughput"], name) if one else [] for one in (host, base))
    return f"{median(mine) / median(theirs):.2f}" if mine and theirs else "–"


def right(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was checked, or what was wrong."""
    wrong = [*dict.fromkeys(what for row in rows for what in (*row.get("wrong", ()), *([row["failed"]] if "failed" in row else [])))]
    if wrong:
        return "**wrong**: " + "; ".join(wrong).replace("\n", " ")
    return next((row["checked"] for row in rows if "checked" in row), "nothing to check")


def table(heads: Sequence[str], rows: Iterator[Sequence[str]], rest: str = "---:") -> str:
    """A table: names to the left, the rest to the right unless it is words."""
    rule = [rest if number else "---" for number, _ in enumerate(heads)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)) + "\n"


def fastest_first(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The hosts by their median throughput."""
    return sorted(found["hosts"].items(), key=lambda item: -median(column(item[1]["throughput"], "rate") or [0.0]))


def throughput_rows(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """A row for each host."""
    for name, host in fastest_first(found):
        rows = host["throughput"]
        events = {row["events"] for row in rows if "events" in row} - {found["asked"]["events"]}
        yield (
            name + "".join(f" ({number:,} events)" for number in events), spread(column(rows, "rate")),
            *(ratio(host, found["hosts"].get(base), "rate") for base in BASES.values()), spread(column(rows, "thrift")),
            *(ratio(host, found["hosts"].get(base), "thrift") for base in BASES.values()), spread(column(rows, "peak MB")),
            spread(column(rows, "changelog bytes per event"), digits=1), right(rows),
        )  # fmt: skip


def latency_rows(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """A row for each host with an output."""
    for name, host in fastest_first(found):
        rows = host["latency"]
        if rows:
            yield (
                name, spread(column(rows, "rate")), spread(column(rows, "p50"), scale=1e3), spread(column(rows, "p99"), scale=1e3),
                spread(column(rows, "cores used"), digits=2), spread(column(rows, "missing"), scale=100, digits=1),
            )  # fmt: skip


def settings_rows(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """How each host was set."""
    for name, host in found["hosts"].items():
        yield name, *(", ".join(f"{key} {value}" for key, value in host[kind].items()) or "–" for kind in ("settings", "versions"))


def page(found: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    at, asked = found["machine"], found["asked"]
    text = HEAD.format(
        date=at["date"], cores=at["cores"], cpu=at["cpu"], memory=at["memory GB"], system=at["system"], kafka=at["Kafka"], keys=KEYS,
        events=asked["events"], partitions=asked["partitions"], picture="docs/results.svg",
        rounds=max(len(host["throughput"]) for host in found["hosts"].values()),
    )  # fmt: skip
    shares = [f"× {name}" for name in BASES]
    heads = ["host", "events/s", *shares, "per CPU-second", *shares, "peak MB", "changelog B/event", "right"]
    text += "\n" + table(heads, throughput_rows(found))
    rounds = max(len(host["latency"]) for host in found["hosts"].values())
    if rounds:
        text += LATENCY_HEAD.format(rounds=rounds)
        text += "\n" + table(["host", "events/s sent", "p50 ms", "p99 ms", "cores used", "never seen, %"], latency_rows(found))
    text += "\n## Settings and versions\n\n" + table(["host", "settings", "versions"], settings_rows(found), "---")
    for name, why in found["left out"].items():
        text += f"\nLeft out: {name}: {why}\n"
    return text


def bars(found: Mapping[str, Any]) -> Iterator[str]:
    """The bars of both panels, and a whisker from the least to the most on each."""
    hosts = [(name, host) for name, host in fastest_first(found) if column(host["throughput"], "rate")]
    for panel, figure in enumerate(("rate", "thrift")):
        left = LABELS + panel * (PANEL + 90)
        most = max(max(column(host["throughput"], figure)) for _, host in hosts)
        for number, (name, host) in enumerate(hosts):
            values, y = column(host["throughput"], figure), TOP + number * ROW
            middle, least, top = (PANEL * value / most for value in (median(values), min(values), max(values)))
            if not panel:
                label = f"{host['host']}, {host['store']}"
                weight = "bold" if name == BASES["Karar"] else "normal"
                yield f'<text x="{LABELS - 10}" y="{y + 15}" text-anchor="end" font-weight="{weight}">{escape(label)}</text>'
            yield f'<rect x="{left}" y="{y + 3}" width="{middle:.1f}" height="{ROW - 8}" fill="{COLOURS[host["guarantee"]]}"/>'
            yield f'<path d="M{left + least:.1f} {y + 12}H{left + top:.1f}" stroke="#222" stroke-width="1.5"/>'
            yield f'<text x="{left + top + 6:.1f}" y="{y + 15}">{median(values):,.0f}</text>'


def picture(found: Mapping[str, Any]) -> str:
    """docs/results.svg: a bar for each host, in the colour of its guarantee."""
    drawn = list(bars(found))
    height = TOP + ROW * (1 + sum(line.startswith("<rect") for line in drawn) // 2)
    legend = "".join(
        f'<rect x="{LABELS + 150 * number}" y="14" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LABELS + 150 * number + 18}" y="25">{"no guarantee" if name == "none" else name}</text>'
        for number, (name, colour) in enumerate(COLOURS.items())
    )
    heads = "".join(
        f'<text x="{LABELS + number * (PANEL + 90)}" y="52" font-weight="bold">{head}</text>'
        for number, head in enumerate(("events per second", "events per CPU second of the host"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#222">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n{legend}\n{heads}\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def written(found: Mapping[str, Any], into: Path) -> None:
    """Writes all three."""
    (into / "docs").mkdir(exist_ok=True)
    (into / "results.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (into / "RESULTS.md").write_text(page(found), "utf-8")
    if any(column(host["throughput"], "rate") for host in found["hosts"].values()):
        (into / "docs/results.svg").write_text(picture(found), "utf-8")
