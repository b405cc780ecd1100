"""How long a scrape holds up the loop: many shards, and some of their series changed since the last scrape.

`.venv/bin/python -m tests.bench.exposition`: all series rendered once, then scrapes. The loop is held up by the longest single piece:
what changed is rendered, and the text joined for the wire, in pieces between which it goes on.
"""

import platform
from argparse import ArgumentParser
from collections.abc import Iterable
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from streams.core.series import SUM, TABLE, Series, joined
from streams.core.targets import Rules
from streams.engine.ledger import Served
from streams.exposition import Exposition, compressed, pieces

NOW = 1_800_000_000_000


def bumped(family: Series, slots: dict[str, tuple[int, int]], rng: Random) -> None:
    """One more of a series: a count, or an observation in one bucket and the sum."""
    names = [str(rng.randrange(len(family.bounds) + 1)), SUM] if family.kind == "histogram" else [""]
    for name in names:
        total, retracted = slots.get(name, (0, 0))
        slots[name] = total + rng.randrange(1, 5_000), retracted + (rng.random() < 0.1)


def filled(shards: int, series: int, rng: Random) -> dict[str, Served]:
    """Shards with as many series all told, divided among the families by how many labels they have."""
    weights = [len(family.labels) ** 2 for family in TABLE]
    served = {f"stitch-{n}": Served() for n in range(shards)}
    for one in served.values():
        while len(one.series) < series // shards:
            (family,) = rng.choices(TABLE, weights)
            if not family.booked:
                continue
            name = joined((family.name, *(f"{label} {rng.randrange(40)}" for label in family.labels)))
            slots = one.series.setdefault(name, {})
            for _ in range(5):
                bumped(family, slots, rng)
    return served


def steps(pieces_: Iterable[Any]) -> list[float]:
    """How long each piece takes: between them the loop goes on."""
    found, started = [], perf_counter()
    for _ in pieces_:
        found.append(perf_counter() - started)
        started = perf_counter()
    return found


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--series", type=int, default=50_000)
    parser.add_argument("--changed", type=float, default=0.05)
    parser.add_argument("--scrapes", type=int, default=30)
    options = parser.parse_args()
    rng, families = Random(1), {family.name: family for family in TABLE}
    served, exposition = filled(options.shards, options.series, rng), Exposition(Rules())
    first = steps(exposition.catch_up(served))
    every = [(one, name) for one in served.values() for name in one.series]
    rendered, listed, joins, gzips = list[float](), list[float](), list[float](), list[float]()
    chunks: list[bytes] = []
    for _ in range(options.scrapes):
        for one, name in rng.sample(every, round(len(every) * options.changed)):
            bumped(families[name.partition("\x1f")[0]], one.series[name], rng)
            one.changed.add(name)
        rendered += steps(exposition.catch_up(served))
        started = perf_counter()
        chunks = exposition.chunks(served, NOW)
        listed.append(perf_counter() - started)
        joins += steps(pieces(chunks))
        started = perf_counter()
        compressed(chunks)
        gzips.append(perf_counter() - started)
    size = sum(map(len, chunks))
    lines = sum(chunk.count(b"\n") for chunk in chunks)
    console = Console()
    console.print(f"{len(every):,} series in {options.shards} shards, {options.changed:.0%} changed: {lines:,} lines, {size / 1e6:,.1f} MB")
    console.print(f"Python {platform.python_version()}, {platform.machine()}")
    table = Table("what", "a scrape, ms", "median ms", "longest ms", box=None, header_style="dim")
    for what, took in (
        ("changed series rendered, in pieces", rendered),
        ("chunks listed, at one go", listed),
        ("joined for the wire, in pieces", joins),
        ("compressed, in a thread", gzips),
    ):
        each = sum(took) / options.scrapes
        table.add_row(what, f"{each * 1e3:,.1f}", f"{median(took) * 1e3:,.2f}", f"{max(took) * 1e3:,.2f}")
    table.add_row(
        "all series rendered when shards open, in pieces",
        f"{sum(first) * 1e3:,.1f}",
        f"{median(first) * 1e3:,.2f}",
        f"{max(first) * 1e3:,.2f}",
    )
    console.print(table)


if __name__ == "__main__":
    main()
