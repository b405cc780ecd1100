"""`karar audit`: the trial balance of every shard from its changelog, and conservation over both stages."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from streams.app import specs
from streams.broker import BrokerError
from streams.connection import consuming
from streams.core.series import HELD, REFUSED, SENT, SERIES, parted
from streams.engine.audit import Examined, examine, unmoved
from streams.engine.audit import Progress as Report
from streams.engine.stage import Place
from streams.engine.takeover import Refused
from streams.logs import hushed
from streams.settings import Settings
from streams.topics import check

NAMED: Final = 10


class Audit(NamedTuple):
    """Every shard as it has committed; ``still``: nothing has committed while they were read, so that they belong to one moment."""

    shards: Sequence[Examined]
    still: bool

    @property
    def at_rest(self) -> bool:
        """Whether all has been counted, and the shards belong to one moment: only then can be judged what was lost."""
        return self.still and not self.behind

    @property
    def behind(self) -> int:
        """Records that have not been applied."""
        return sum(shard.behind for shard in self.shards)

    @property
    def net(self) -> Counter[Place]:
        """What is true over all shards."""
        total: Counter[Place] = Counter()
        for shard in self.shards:
            total.update(shard.net)
        return total

    @property
    def lost(self) -> int:
        """Interactions sent that are neither held nor refused."""
        net = self.net
        return net[SENT, ""] - net[HELD, ""] - net[REFUSED, ""]


def run(settings: Settings, console: Console, errors: Console, *, strict: bool = False) -> bool:
    """Prints what every shard comes to; whether nothing differs and, if ``strict``, all could be judged.

    BrokerError, ValueError: one line.
    """
    with hushed("aiokafka"), reporting(errors) as report:
        try:
            audit = asyncio.run(audited(settings, report))
        except Refused as why:
            raise BrokerError(str(why)) from None
    console.print(shown(audit.shards))
    for line in differing(audit.shards):
        console.print(Text(line, "red"), soft_wrap=True)
    line, balanced = verdict(audit)
    console.print(Text(line, "" if balanced else "red"), soft_wrap=True)
    return balanced and (audit.at_rest or not strict)


async def audited(settings: Settings, report: Report) -> Audit:
    """Reads every shard of both stages, one after the other. Refused, BrokerError, ValueError: one line."""
    if problems := await check(settings):
        raise BrokerError(f"{problems[0]}; `karar topics` says what else is wrong")
    stages = specs(settings)
    async with consuming(settings) as consumer:
        shards = {spec.name: [await examine(spec, n, consumer, report) for n in range(spec.partitions)] for spec in stages}
        still = all([await unmoved(spec, shards[spec.name], consumer) for spec in stages])
    return Audit([shard for found in shards.values() for shard in found], still)


@contextmanager
def reporting(console: Console) -> Iterator[Report]:
    """How far the reading is, on standard error; nothing where nobody looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("records"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda name, read, of: bar.update(task, description=name, completed=read, total=of)


def shown(shards: Iterable[Examined]) -> Table:
    """One line a shard."""
    table = Table("shard", "keys", "series", "difference", "behind", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for shard in shards:
        differing = len(shard.differences)
        table.add_row(
            shard.name, f"{shard.keys:,}", f"{shard.series:,}", Text(f"{differing:,}", "red" if differing else ""), f"{shard.behind:,}"
        )
    return table


def differing(shards: Iterable[Examined]) -> Iterator[str]:
    """What differs, one line a series, the first of each shard."""
    for shard in shards:
        found = sorted(shard.differences.items())
        yield from (f"{shard.name}: {named(place)} {amount:+,} against what its states stand for" for place, amount in found[:NAMED])
        if len(found) > NAMED:
            yield f"{shard.name}: and {len(found) - NAMED} more"


def named(place: Place) -> str:
    """A slot of a series, as people read it."""
    name, *values = parted(place[0])
    labels = SERIES[name].labels if name in SERIES else ()
    told: Mapping[str, str] = dict(zip(labels, values, strict=False)) | ({"slot": place[1]} if place[1] else {})
    return name + ("{" + ",".join(f"{label}={value}" for label, value in told.items()) + "}" if told else "")


def verdict(audit: Audit) -> tuple[str, bool]:
    """What it comes to in one line, and whether nothing differs."""
    differing = sum(len(shard.differences) for shard in audit.shards)
    if not audit.at_rest:
        where = f"{audit.behind:,} records behind" if audit.behind else "workers are committing"
        conserved, lost = f"not at the end: {where}, so conservation cannot be judged", False
    else:
        net = audit.net
        told = f"{net[SENT, '']:,} interactions sent, {net[HELD, '']:,} held, {net[REFUSED, '']:,} refused"
        lost = audit.lost != 0
        conserved = f"conservation is off by {audit.lost:+,}: {told}" if lost else f"conservation 0: {told}"
    balance = f"trial balance 0 in {len(audit.shards)} shards" if not differing else f"TRIAL BALANCE NOT 0: {differing:,} series differ"
    return f"{balance}; {conserved}", not differing and not lost
