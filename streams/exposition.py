"""What is served at /metrics: each series as text, encoded when it changes and kept until it changes again.

Families come in the order of the table and are contiguous, in them shard after shard, in those series by name. Prometheus text 0.0.4
and OpenMetrics 1.0 differ in headers and ending alone, so both are made of the same lines. Integer amounts are divided here only.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from streams.core.identity import UNIT
from streams.core.series import SERIES, SUM, TABLE, Series, counter, parted
from streams.core.targets import Rules
from streams.engine.ledger import Ledger, Served
from streams.metrics import PREFIX, expectations, scaled

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END: Final = b"# EOF\n"
BUCKET: Final = "le"
PIECE: Final = 100
WIRE: Final = 1 << 17
PLAIN: Final = 1_000_000
"""From here on numbers are written with an exponent, as Go does."""

Slots = Mapping[str, tuple[int, int]]
Names = AbstractSet[str]
"""Names of families or samples that somebody asked for; none at all means every one."""
ALL: Final[Names] = frozenset()
OVERFLOW: Final = counter("label_overflow_total", "Series booked as `other`.", "metric")


class Family:
    """One family of the table: its names (a gauge has one, everything else a retracted twin), and how its series are written."""

    def __init__(self, series: Series) -> None:
        self.series = series
        twins = series.kind != "gauge"
        self.names = (PREFIX + series.name, PREFIX + series.retracted) if twins else (PREFIX + series.name,)
        helps = (series.help, f"No longer true: {series.help}")
        self.headers = [
            (header(name, text, series.kind, openmetrics=False), header(name, text, series.kind, openmetrics=True))
            for name, text in zip(self.names, helps, strict=False)
        ]
        suffixes = ("", "_bucket", "_count", "_sum") if series.kind == "histogram" else ("",)
        self.samples = [frozenset(name + suffix for suffix in suffixes) for name in self.names]
        self.buckets = [(str(n), f'{bound / series.scale}"') for n, bound in enumerate(series.bounds)]
        self.buckets.append((str(len(series.bounds)), '+Inf"'))

    def sides(self, wanted: Names) -> list[int]:
        """Which of the family's names are asked for."""
        return [side for side, samples in enumerate(self.samples) if not wanted or not wanted.isdisjoint(samples)]

    def render(self, name: str, shard: str, slots: Slots) -> list[bytes]:
        """The lines of one series, a text for each of the family's names."""
        labels = sorted(zip((*self.series.labels, "shard"), (*parted(name)[1:], shard), strict=True))
        match self.series.kind:
            case "histogram":
                return [self.histogram(side, labels, slots).encode() for side in (0, 1)]
            case "counter":
                amounts, shown = slots.get("", (0, 0)), braced(labels)
                return [f"{name}{shown} {self.number(amounts[side])}\n".encode() for side, name in enumerate(self.names)]
            case "gauge":
                total, retracted = slots.get("", (0, 0))
                return [f"{self.names[0]}{braced(labels)} {self.number(total - retracted)}\n".encode()]

    def histogram(self, side: int, labels: list[tuple[str, str]], slots: Slots) -> str:
        """One side of a histogram series: cumulative buckets, count, sum."""
        name, shown = self.names[side], braced(labels)
        head = f"{name}_bucket{{" + "".join(f"{pair(label)}," for label in labels if label[0] < BUCKET) + f'{BUCKET}="'
        tail = "".join(f",{pair(label)}" for label in labels if label[0] > BUCKET) + "} "
        running, lines = 0, []
        for slot, bound in self.buckets:
            if (amounts := slots.get(slot)) is not None:
                running += amounts[side]
            lines.append(f"{head}{bound}{tail}{number(running)}\n")
        lines.append(f"{name}_count{shown} {number(running)}\n")
        lines.append(f"{name}_sum{shown} {self.number(slots.get(SUM, (0, 0))[side])}\n")
        return "".join(lines)

    def number(self, amount: int) -> str:
        """An amount in the unit of the exposition."""
        return number(scaled(amount, self.series.scale))


def number(value: float) -> str:
    """A number as Prometheus' own client writes it; small integers, which most are, the short way."""
    if type(value) is int and 0 <= value < PLAIN:
        return f"{value}.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # prometheus_client has not typed it


def pair(label: tuple[str, str]) -> str:
    """A label with its value, which is the publisher's: quotes, backslashes and line ends are escaped."""
    name, value = label
    if '"' in value or "\\" in value or "\n" in value:
        value = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{value}"'


def braced(labels: Iterable[tuple[str, str]]) -> str:
    """Labels as they stand after a name."""
    return "{" + ",".join(map(pair, labels)) + "}"


def header(name: str, text: str, kind: str, *, openmetrics: bool) -> bytes:
    """HELP and TYPE; OpenMetrics names a counter without `_total`."""
    if openmetrics and kind == "counter":
        name = name.removesuffix("_total")
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


FAMILIES: Final = {series.name: Family(series) for series in TABLE}
OVERFLOWN: Final = Family(OVERFLOW)


class Texts:
    """One shard as it is served: every series of it as text."""

    def __init__(self, shard: str, served: Served) -> None:
        self.shard, self.served = shard, served
        self.lines: dict[str, list[dict[str, bytes]]] = {}
        self.unsorted: set[str] = set()
        self.due: dict[str, set[str]] = {}
        served.changed.update(served.series)

    def catch_up(self, families: Sequence[str]) -> Iterator[int]:
        """Renders what has changed in some families, some series at a time, and says how many: the caller may do something else between."""
        while names := self.next_due(families):
            for name in names:
                if (slots := self.served.series.get(name)) is not None:
                    self.render(name, slots)
            yield len(names)

    def next_due(self, families: Iterable[str]) -> list[str]:
        """Some of the series of these families that have changed since they were rendered."""
        changed = self.served.changed
        while changed:
            name = changed.pop()
            if (family := name.partition(UNIT)[0]) in FAMILIES:
                self.due.setdefault(family, set()).add(name)
        for family in families:
            if due := self.due.get(family):
                return [due.pop() for _ in range(min(PIECE, len(due)))]
        return []

    def render(self, name: str, slots: Slots) -> None:
        """One series anew. What is not in the table (names that begin with `_` are private) is never shown."""
        family = FAMILIES.get(name.partition(UNIT)[0])
        if family is None or not family.series.booked:
            return
        sides = self.lines.get(family.series.name)
        if sides is None:
            sides = self.lines[family.series.name] = [{} for _ in family.names]
        if name not in sides[0]:
            self.unsorted.add(family.series.name)
        for side, text in zip(sides, family.render(name, self.shard, slots), strict=True):
            side[name] = text

    def of(self, family: Family, side: int, now: int) -> Iterable[bytes]:
        """The lines that a family has in this shard, in order."""
        name = family.series.name
        if not family.series.booked:
            waits = sorted(self.served.waiting.items())
            return [
                family.render(series, self.shard, {"": (max(0, now - since), 0)})[0]
                for series, since in waits
                if series.partition(UNIT)[0] == name
            ]
        if name in self.unsorted:
            self.lines[name] = [dict(sorted(lines.items())) for lines in self.lines[name]]
            self.unsorted.discard(name)
        return self.lines[name][side].values() if name in self.lines else ()


class Expectations(Collector):
    """What is expected now: families without `shard`."""

    def __init__(self, rules: Rules, now: int) -> None:
        self.rules, self.now = rules, now

    def collect(self) -> Iterable[Metric]:
        """Targets, objectives, their version."""
        return expectations(self.rules, self.now)


class Exposition:
    """The text of the shards that this process serves. A shard that was opened anew is another `Served`, and is rendered anew."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.texts: dict[str, Texts] = {}

    def catch_up(self, served: Mapping[str, Served], wanted: Names = ALL) -> Iterator[None]:
        """Renders what has changed in any shard, `PIECE` series and more at a time; what is not held any more is forgotten."""
        rendered = 0
        families = [name for name, family in FAMILIES.items() if family.sides(wanted)]
        for shard in self.texts.keys() - served.keys():
            del self.texts[shard]
        for shard, one in list(served.items()):
            known = self.texts.get(shard)
            if known is None or known.served is not one:
                known = self.texts[shard] = Texts(shard, one)
            for number in known.catch_up(families):
                rendered += number
                if rendered >= PIECE:
                    rendered = 0
                    yield

    def chunks(self, served: Mapping[str, Served], now: int, wanted: Names = ALL, *, openmetrics: bool = False) -> list[bytes]:
        """What is wanted of it as one instant sees it, without the ending: what has not changed since is not touched."""
        for _ in self.catch_up(served, wanted):
            pass
        shards = [self.texts[shard] for shard in sorted(served)]
        found: list[bytes] = []
        for family in FAMILIES.values():
            for side in family.sides(wanted):
                lines = len(found)
                found.append(family.headers[side][openmetrics])
                for texts in shards:
                    found.extend(texts.of(family, side, now))
                if len(found) == lines + 1:
                    found.pop()
        if OVERFLOWN.sides(wanted):
            found += overflown({shard: served[shard].overflow for shard in sorted(served)}, openmetrics=openmetrics)
        found.append(collected(Expectations(self.rules, now), wanted, openmetrics=openmetrics))
        return found


def overflown(shards: Mapping[str, Mapping[str, int]], *, openmetrics: bool) -> list[bytes]:
    """How many series of each family were booked as `other`."""
    lines = [
        f"{OVERFLOWN.names[0]}{braced([('metric', PREFIX + name), ('shard', shard)])} {number(amount)}\n".encode()
        for shard, overflow in shards.items()
        for name, amount in sorted(overflow.items())
        if name in SERIES
    ]
    return [OVERFLOWN.headers[0][openmetrics], *lines] if lines else []


class Chosen(Collector):
    """What of another collector is asked for."""

    def __init__(self, source: Collector, wanted: Names) -> None:
        self.source, self.wanted = source, wanted

    def collect(self) -> Iterable[Metric]:
        """The families that are asked for, by their own name or by that of a sample."""
        for metric in self.source.collect():
            if not self.wanted or not self.wanted.isdisjoint((metric.name, *(sample.name for sample in metric.samples))):
                yield metric


def collected(source: Collector, wanted: Names = ALL, *, openmetrics: bool) -> bytes:
    """Families of prometheus_client as text, without the ending."""
    registry: Any = Chosen(source, wanted)
    if not openmetrics:
        return generate_latest(registry)
    text: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # prometheus_client has not typed it
    return text.removesuffix(END)


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks joined to what is sent at a time: the whole text is never joined at one go."""
    part: list[bytes] = []
    length = 0
    for chunk in chunks:
        part.append(chunk)
        length += len(chunk)
        if length >= WIRE:
            yield b"".join(part)
            part, length = [], 0
    yield b"".join(part)


def compressed(chunks: Iterable[bytes]) -> list[bytes]:
    """Chunks as gzip, fast rather than small."""
    gzip = zlib.compressobj(1, wbits=31)
    return [*(gzip.compress(part) for part in pieces(chunks)), gzip.flush()]


def exposition(ledgers: Mapping[str, Ledger], rules: Rules, now: int, waiting: Mapping[str, Mapping[str, int]] | None = None) -> bytes:
    """Ledgers as text, as a worker would serve them; ``waiting``: for each shard, who waits since when."""
    waits = waiting or {}
    return b"".join(Exposition(rules).chunks({shard: served_of(ledger, waits.get(shard, {})) for shard, ledger in ledgers.items()}, now))


def served_of(ledger: Ledger, waiting: Mapping[str, int]) -> Served:
    """A ledger as it would be served: births shown at once."""
    served = Served(overflow=dict(ledger.overflow), waiting=dict(waiting))
    for (series, slot), amounts in ledger.amounts.items():
        served.series.setdefault(series, {})[slot] = amounts.total, amounts.retracted
    return served
