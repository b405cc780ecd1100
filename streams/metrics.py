"""Ledgers to Prometheus: families in METRICS.md's names, a retracted twin for each, integer amounts divided here only."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from streams.core.series import SERIES, SUM, TABLE, Series, joined, parted
from streams.core.targets import KINDS, Rules
from streams.engine.ledger import Amounts, Ledger

PREFIX: Final = "karar_"
OTHER: Final = "other"
OPEN_LABELS: Final = frozenset({"queue", "team", "from_team", "to_team", "need", "segment", "scope"})

Slots = Mapping[str, Amounts]
Side = Callable[[Amounts], int]


def other(series: str) -> str:
    """The substitute past the label limit: every open label says `other`, closed vocabularies stay."""
    name, *values = parted(series)
    labels = SERIES[name].labels
    return joined((name, *(OTHER if label in OPEN_LABELS else v for label, v in zip(labels, values, strict=True))))


class LedgerCollector(Collector):
    """Reads the ledgers of the shards that this process serves, at the scrape."""

    def __init__(self, ledgers: Mapping[str, Ledger], rules: Rules, now: Callable[[], int]) -> None:
        self.ledgers, self.rules, self.now = ledgers, rules, now

    def collect(self) -> Iterable[Metric]:
        """Every family of the table that has been seen, and the targets."""
        slots: dict[str, dict[tuple[str, ...], dict[str, Amounts]]] = {}
        for shard, ledger in sorted(self.ledgers.items()):
            for (series, slot), amounts in ledger.amounts.items():
                name, *values = parted(series)
                slots.setdefault(name, {}).setdefault((*values, shard), {})[slot] = amounts
        for family in TABLE:
            if seen := slots.get(family.name):
                yield from exposed(family, dict(sorted(seen.items())))
        overflow = CounterMetricFamily(PREFIX + "label_overflow_total", "Series booked as `other`.", labels=("metric", "shard"))
        for shard, ledger in sorted(self.ledgers.items()):
            for name, number in sorted(ledger.overflow.items()):
                overflow.add_metric((PREFIX + name, shard), number)
        if overflow.samples:
            yield overflow
        yield from expectations(self.rules, self.now())


def exposed(family: Series, seen: Mapping[tuple[str, ...], Slots]) -> Iterable[Metric]:
    """One family: a gauge as its net, everything else as two that only rise."""
    labels = (*family.labels, "shard")
    if family.kind == "gauge":
        metric = GaugeMetricFamily(PREFIX + family.name, family.help, labels=labels)
        for values, slots in seen.items():
            metric.add_metric(values, slots[""].net)
        yield metric
        return
    sides: tuple[tuple[str, str, Side], ...] = (
        (family.name, family.help, lambda a: a.total),
        (family.retracted, f"No longer true: {family.help}", lambda a: a.retracted),
    )
    for name, text, side in sides:
        if family.kind == "counter":
            counter = CounterMetricFamily(PREFIX + name, text, labels=labels)
            for values, slots in seen.items():
                counter.add_metric(values, scaled(side(slots[""]), family.scale))
            yield counter
        else:
            histogram = HistogramMetricFamily(PREFIX + name, text, labels=labels)
            for values, slots in seen.items():
                buckets, total = cumulated(family, slots, side)
                histogram.add_metric(values, buckets, total)
            yield histogram


def scaled(amount: int, scale: int) -> float:
    """An integer amount in the unit of the exposition."""
    return amount if scale == 1 else amount / scale


def cumulated(family: Series, slots: Slots, side: Side) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets and the sum of one histogram series."""
    running, buckets = 0, []
    for index, bound in enumerate((*family.bounds, None)):
        amounts = slots.get(str(index))
        running += side(amounts) if amounts is not None else 0
        buckets.append(("+Inf" if bound is None else str(float(bound / family.scale)), float(running)))
    return buckets, scaled(side(slots[SUM]), family.scale) if SUM in slots else 0.0


def expectations(rules: Rules, now: int) -> Iterable[Metric]:
    """What is expected at ``now``, without `shard`: targets, objectives, their version."""
    seconds = GaugeMetricFamily(PREFIX + "target_seconds", "What a customer may expect.", labels=("target", "scope"))
    transfers = GaugeMetricFamily(PREFIX + "target_transfers", "Transfers that a contact may have.", labels=("scope",))
    rows = {(t.kind, t.scope): t.amount for t in sorted(rules.targets, key=lambda t: (t.since, -t.weight)) if t.since <= now}
    for (kind, scope), amount in rows.items():
        if KINDS[kind] == "seconds":
            seconds.add_metric((kind, scope), amount / 1000)
        elif kind == "transfers":
            transfers.add_metric((scope,), amount)
    yield from (seconds, transfers)
    objectives = GaugeMetricFamily(PREFIX + "objective_ratio", "How often a target must be met.", labels=("objective", "scope"))
    for (name, scope), ratio in {(o.name, o.scope): o.ratio for o in rules.objectives}.items():
        objectives.add_metric((name, scope), ratio)
    if rules.objectives:
        yield objectives
    version = GaugeMetricFamily(PREFIX + "targets_info", "The rules that counted.", labels=("version",))
    version.add_metric((rules.version,), 1)
    yield version


def exposition(ledgers: Mapping[str, Ledger], rules: Rules, now: int) -> bytes:
    """The ledgers as text, as a worker would serve them."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledgers, rules, lambda: now))
    return generate_latest(registry)
