"""What `tests.bench.against` found, for people: RESULTS.md with its tables, every number in results.json, and pictures."""

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from shutil import which
from statistics import median
from subprocess import run
from typing import Any, Final, NamedTuple

from tests.bench.processes import ROOT
from tests.bench.small import KEYS

COLOURS: Final = {"exactly once": "#2f6fb3", "at least once": "#d08a2e", "none": "#9a9a9a"}
WIDTH: Final = 1000
LABELS: Final = 310
PANEL: Final = 250
ROW: Final = 26
TOP: Final = 66
SERVED: Final = ("served p50", "served p99")

KARAR: Final = "Karar · exactly once · memory"


class Section(NamedTuple):
    """What is written of one workload: ``bases`` are the hosts that ratios are given to."""

    title: str
    work: str
    bases: Mapping[str, str]
    latency: str


CORE_BASES: Final = {"Karar": KARAR, "the loop": "The core alone, one loop · none · memory"}
CORE_LATENCY: Final = """\
A customer more, every 50 ms, in a queue of their own: from the event's hand-over to the producer until the record of their chain is
there for who reads what has been committed. *Served*: until they are counted at Karar's `/metrics`, asked 20 times a second."""
SECTIONS: Final = {
    "engine": Section(
        "Karar's engine against other stream processors",
        """\
**The work.** {events:,} JSON events of 276 bytes, {keys:,} keys, {partitions} partitions; kept for each key: how many, and the last
six; one output for each event; one process, one worker. All the same for each host, {rounds} rounds by turns, each with fresh
topics. *Right* is who had each event's output exactly once, at its key, in order, read committed, and at the end the right state
for each key in its changelog. Kafka Streams gets twice as many events, and the second half is measured, when its JVM is warm.""",
        {"Karar": KARAR, "Kafka Streams": "Kafka Streams · exactly once · memory"},
        """\
From the event's hand-over to the producer until its output is there for who reads what has been committed.""",
    ),
    "whole": Section(
        "The whole core in Karar and in other stream processors",
        """\
**The work.** {events:,} events of a simulated week, repeated for other customers (late ones and duplicates among them, no
publisher-wide resets), {partitions} partitions, through *the same core*: events become interactions, keyed by interaction; snapshots
of these join their customer's chains, keyed by customer; moments, chains and alerts are told. Each host does that in the way of its
own documentation: Faust with two agents, a table each and a topic between, Quix Streams with `group_by`, Bytewax keyed twice, in the
process. One process, one worker, {rounds} rounds by turns, each with fresh topics; slow hosts get fewer events, and so have fewer
states. *Right* is who has at the end, of each interaction and customer, what the loop without Kafka has of the same events, and has
told the same chains; those named after an interaction that changed customers are not compared: what is told of them last depends on
which of the two was stitched last.

What the others are spared: timers (their clock is the newest event), the ledger in a changelog (theirs is in memory, booked every 500
steps, and gone with the process), serving it, three source topics (they read one), events that belong to another partition, dead
letters, alerts to anybody. The loop without Kafka has all timers, keeps its states and ledgers in memory, and makes the events that
it reads on the way.""",
        CORE_BASES,
        CORE_LATENCY,
    ),
    "logs": Section(
        "The same core on real logs",
        """\
**The work.** {events:,} events of two real logs, repeated for other customers: two months of a call centre's activities in 2010, and
lines of an Asterisk queue log of the same year, 15 thousand events in order of time. Partitions: {partitions}; rounds by turns: {rounds};
all else is as above. Most of these customers come back to a case within days, few wait, and nobody is transferred.""",
        CORE_BASES,
        CORE_LATENCY,
    ),
}
MACHINE: Final = """\
{date}{code}: {cores} cores of {cpu}, {memory:.0f} GB, {system}, Apache Kafka {kafka} on the same machine: broker and host share the
cores, so read the ratios.
"""
THROUGHPUT: Final = """
### Throughput

Median (min–max). From the first event that is done to the last; for a host that commits every few seconds, done is before its last
commit, which is in its favour. CPU is that of the host and its children, not the broker's. Memory is the most that was resident. A
changelog's size is that of its log on the broker's disk, compacted where the broker already has.
"""
LATENCY: Final = """
### From produce to visible

{what} At half of each host's own median throughput, after 20 s of warm-up. Load and reader share the cores, too.
Rounds: {rounds}; median (min–max).
"""
STEADY: Final = """
Karar at steady rates, the same way:
"""


def cpu_name() -> str:
    """What the machine calls its processor."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text("ascii", "replace"), re.MULTILINE) if path.exists() else None
    return found[1] if found else platform.machine()


def code() -> str:
    """The commit that is measured, and whether what runs has changed since; nothing outside of a clone."""
    if (git := which("git")) is None:
        return ""
    commit, changed = (
        run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "schemas", "streams", "tests"))
    )
    return f"{commit} and changes" if commit and changed else commit


def machine() -> dict[str, Any]:
    """Where it was measured, when, and what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(), "code": code(), "cores": os.cpu_count(), "cpu": cpu_name(), "memory GB": memory,
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


def throughput_rows(found: Mapping[str, Any], bases: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """A row for each host."""
    for name, host in fastest_first(found):
        rows = host["throughput"]
        events = {row["events"] for row in rows if "events" in row} - {found["asked"]["events"]}
        yield (
            name + "".join(f" ({number:,} events)" for number in events), spread(column(rows, "rate")),
            *(ratio(host, found["hosts"].get(base), "rate") for base in bases.values()), spread(column(rows, "thrift")),
            *(ratio(host, found["hosts"].get(base), "thrift") for base in bases.values()), spread(column(rows, "peak MB")),
            spread(column(rows, "changelog bytes per event"), digits=1), right(rows),
        )  # fmt: skip


def has_served(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether somebody was asked what it serves."""
    return any(SERVED[0] in row for row in rows)


def latency_heads(first: str, *, served: bool) -> list[str]:
    """The heads of a table of latencies."""
    return [first, "events/s sent", "p50 ms", "p99 ms", "cores used", "never seen, %", *(f"{head} ms" for head in SERVED if served)]


def latency_cells(rows: Sequence[Mapping[str, Any]], *, served: bool) -> Iterator[str]:
    """Medians of some rounds."""
    yield spread(column(rows, "rate"))
    yield from (spread(column(rows, name), scale=1e3) for name in ("p50", "p99"))
    yield spread(column(rows, "cores used"), digits=2)
    yield spread(column(rows, "missing"), scale=100, digits=1)
    yield from (spread(column(rows, name), scale=1e3) for name in SERVED if served)


def latency_tables(found: Mapping[str, Any], what: str) -> Iterator[str]:
    """What is visible when: at half of what each host with an output can do, and of Karar at what was asked."""
    timed = [(name, host["latency"]) for name, host in fastest_first(found) if host["latency"]]
    served = has_served(row for _, rows in timed for row in rows)
    if timed:
        rounds = max(len(rows) for _, rows in timed)
        cells = ((name, *latency_cells(rows, served=served)) for name, rows in timed)
        yield LATENCY.format(what=what, rounds=rounds) + "\n" + table(latency_heads("host", served=served), cells)
    if steady := found.get("steady"):
        cells = ((f"{row['asked']:,}", *latency_cells([row], served=served)) for row in steady)
        yield STEADY + "\n" + table(latency_heads("asked, events/s", served=served), cells)


def settings_rows(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """How each host was set."""
    for name, host in found["hosts"].items():
        yield name, *(", ".join(f"{key} {value}" for key, value in host[kind].items()) or "–" for kind in ("settings", "versions"))


def section(name: str, found: Mapping[str, Any]) -> str:
    """What RESULTS.md says of one workload."""
    at, asked, about = found["machine"], found["asked"], SECTIONS[name]
    rounds = max(len(host["throughput"]) for host in found["hosts"].values())
    text = f"## {about.title}\n\n" + MACHINE.format(
        date=at["date"],
        code=f", commit {at['code']}" if at.get("code") else "",
        cores=at["cores"],
        cpu=at["cpu"],
        memory=at["memory GB"],
        system=at["system"],
        kafka=at["Kafka"],
    )
    text += "\n" + about.work.format(events=asked["events"], keys=KEYS, partitions=asked["partitions"], rounds=rounds) + "\n"
    text += f"\n![Events per second, and per CPU second]({picture_of(name)})\n" + THROUGHPUT
    shares = [f"× {base}" for base in about.bases]
    heads = ["host", "events/s", *shares, "per CPU-second", *shares, "peak MB", "changelog B/event", "right"]
    text += "\n" + table(heads, throughput_rows(found, about.bases))
    text += "".join(latency_tables(found, about.latency))
    text += "\n### Settings and versions\n\n" + table(["host", "settings", "versions"], settings_rows(found), "---")
    return text + "".join(f"\nLeft out: {who}: {why}\n" for who, why in found["left out"].items())


def page(every: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    head = (
        "# Karar against other stream processors\n\nWritten by `make bench`; every number is in `results.json`. What was asked of these\n"
        "figures, and what stands in the way where it is not reached: [docs/reach.md](docs/reach.md).\n"
    )
    return "\n".join([head, *(section(name, every[name]) for name in SECTIONS if name in every)])


def picture_of(name: str) -> str:
    """Where the picture of a workload is."""
    return f"docs/results-{name}.svg"


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
                weight = "bold" if name == KARAR else "normal"
                yield f'<text x="{LABELS - 10}" y="{y + 15}" text-anchor="end" font-weight="{weight}">{escape(label)}</text>'
            yield f'<rect x="{left}" y="{y + 3}" width="{middle:.1f}" height="{ROW - 8}" fill="{COLOURS[host["guarantee"]]}"/>'
            yield f'<path d="M{left + least:.1f} {y + 12}H{left + top:.1f}" stroke="#222" stroke-width="1.5"/>'
            yield f'<text x="{left + top + 6:.1f}" y="{y + 15}">{median(values):,.0f}</text>'


def picture(found: Mapping[str, Any]) -> str:
    """The picture of a workload: a bar for each host, in the colour of its guarantee."""
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


def found_before(into: Path) -> dict[str, Any]:
    """What an earlier run has found of each workload."""
    path = into / "results.json"
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return {name: found[name] for name in SECTIONS if name in found}


def written(every: Mapping[str, Any], into: Path) -> None:
    """Writes all of it."""
    (into / "docs").mkdir(parents=True, exist_ok=True)
    (into / "results.json").write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (into / "RESULTS.md").write_text(page(every), "utf-8")
    for name, found in every.items():
        if any(column(host["throughput"], "rate") for host in found["hosts"].values()):
            (into / picture_of(name)).write_text(picture(found), "utf-8")
