"""What is served, written a second time with the means of prometheus_client: slow, and judged by its own format code."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from streams.core.series import SUM, TABLE, Series, parted
from streams.core.targets import Rules
from streams.engine.ledger import Served
from streams.metrics import expectations

PREFIX: Final = "karar_"

Slots = Mapping[str, tuple[int, int]]


class ServedCollector(Collector):
    """Reads what is served of each shard: shard after shard, in those series by name."""

    def __init__(self, shards: Mapping[str, Served], rules: Rules, now: int) -> None:
        self.shards, self.rules, self.now = shards, rules, now

    def collect(self) -> Iterable[Metric]:
        """Every family of the table that has been seen, and the targets."""
        seen: dict[str, list[tuple[tuple[str, ...], Slots]]] = {}
        for shard, served in sorted(self.shards.items()):
            waits = {series: {"": (max(0, self.now - since), 0)} for series, since in served.waiting.items()}
            for series, slots in sorted((served.series | waits).items()):
                name, *values = parted(series)
                seen.setdefault(name, []).append(((*values, shard), slots))
        for family in TABLE:
            if series_of := seen.get(family.name):
                yield from exposed(family, series_of)
        overflow = CounterMetricFamily(PREFIX + "label_overflow_total", "Series booked as `other`.", labels=("metric", "shard"))
        for shard, served in sorted(self.shards.items()):
            for name, number in sorted(served.overflow.items()):
                overflow.add_metric((PREFIX + name, shard), number)
        if overflow.samples:
            yield overflow
        yield from expectations(self.rules, self.now)


def exposed(family: Series, seen: Iterable[tuple[tuple[str, ...], Slots]]) -> Iterable[Metric]:
    """One family: a gauge as its net, everything else as two that only rise."""
    labels = (*family.labels, "shard")
    if family.kind == "gauge":
        gauge = GaugeMetricFamily(PREFIX + family.name, family.help, labels=labels)
        for values, slots in seen:
            total, retracted = slots[""]
            gauge.add_metric(values, (total - retracted) / family.scale)
        yield gauge
        return
    for side, (name, text) in enumerate(((family.name, family.help), (family.retracted, f"No longer true: {family.help}"))):
        if family.kind == "counter":
            counter = CounterMetricFamily(PREFIX + name, text, labels=labels)
            for values, slots in seen:
                counter.add_metric(values, slots[""][side] / family.scale)
            yield counter
        else:
            histogram = HistogramMetricFamily(PREFIX + name, text, labels=labels)
            for values, slots in seen:
                histogram.add_metric(values, cumulated(family, slots, side), slots.get(SUM, (0, 0))[side] / family.scale)
            yield histogram


def cumulated(family: Series, slots: Slots, side: int) -> list[tuple[str, float]]:
    """Cumulative buckets of one side of a histogram series."""
    running, buckets = 0, []
    for index, bound in enumerate((*family.bounds, None)):
        running += slots.get(str(index), (0, 0))[side]
        buckets.append(("+Inf" if bound is None else str(float(bound / family.scale)), float(running)))
    return buckets


def reference(shards: Mapping[str, Served], rules: Rules, now: int, *, openmetrics: bool = False) -> bytes:
    """The whole text, ending included."""
    registry = CollectorRegistry()
    registry.register(ServedCollector(shards, rules, now))
    generate: Callable[[CollectorRegistry], bytes] = generate_openmetrics if openmetrics else generate_latest
    return generate(registry)
