"""The headline of `tests.bench.against` in the README: each stream processor with the strongest guarantee that it has, beside Karar.

`python -m tests.bench.headline` writes it anew from results.json.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.processes import ROOT
from tests.bench.results import KARAR, column, table

BEGIN: Final = "<!-- from results.json: python -m tests.bench.headline -->\n"
END: Final = "<!-- end -->\n"
OURS: Final = KARAR.partition(" ·")[0]
TEN: Final = 10
STRONGEST_FIRST: Final = ("exactly once", "at least once")
WORKLOADS: Final = ("engine", "whole")
HEADS: Final = ("", "guarantee", "small state: events/s", "Karar is", "whole core: events/s", "Karar is")


def strongest(found: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Of each host its guarantee and events/s, the fastest way in which it keeps the strongest of them."""
    best: dict[str, tuple[int, float]] = {}
    for host in found["hosts"].values():
        rates, name = column(host["throughput"], "rate"), host["host"].partition(",")[0]
        if rates and host["guarantee"] in STRONGEST_FIRST:
            one = STRONGEST_FIRST.index(host["guarantee"]), -median(rates)
            best[name] = min(one, best.get(name, one))
    return {name: (STRONGEST_FIRST[guarantee], -rate) for name, (guarantee, rate) in best.items()}


def cells(found: Mapping[str, tuple[str, float]], name: str) -> Sequence[str]:
    """What a host does a second, and how many times as fast Karar is."""
    if name not in found:
        return "–", "–"
    ours, theirs = found[OURS][1], found[name][1]
    times = ours / theirs
    return f"{theirs:,.0f}", "" if name == OURS else f"{times:.1f} ×" if times < TEN else f"{times:.0f} ×"


def headline(every: Mapping[str, Any]) -> str:
    """The table."""
    found = {name: strongest(every[name]) for name in WORKLOADS if name in every}
    guarantees = {name: guarantee for hosts in reversed(found.values()) for name, (guarantee, _) in hosts.items()}
    order = sorted(guarantees, key=lambda name: [-found[work].get(name, ("", 0.0))[1] for work in found])

    def rows() -> Iterator[Sequence[str]]:
        for name in order:
            yield name, guarantees[name], *(cell for work in WORKLOADS for cell in cells(found.get(work, {}), name))

    return table(HEADS, rows())


def between(text: str, made: str) -> str:
    """A text with what is made between the two marks. ValueError: it has none."""
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"README.md: no place for the headline; put `{BEGIN.strip()}` and `{END.strip()}` where it belongs")
    return f"{before}{BEGIN}{made}{END}{after}"


def main(root: Path = ROOT) -> None:
    """Writes it."""
    path = root / "README.md"
    path.write_text(between(path.read_text("utf-8"), headline(json.loads((root / "results.json").read_text("utf-8")))), "utf-8")


if __name__ == "__main__":
    main()
