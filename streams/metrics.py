"""What is served beside the table of series: names, the substitute past the label limit, units, what is expected."""

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from streams.core.series import SERIES, joined, parted
from streams.core.targets import KINDS, Rules

PREFIX: Final = "karar_"
OTHER: Final = "other"
OPEN_LABELS: Final = frozenset({"queue", "team", "from_team", "to_team", "need", "segment", "scope"})


def other(series: str) -> str:
    """The substitute past the label limit: every open label says `other`, closed vocabularies stay."""
    name, *values = parted(series)
    labels = SERIES[name].labels
    return joined((name, *(OTHER if label in OPEN_LABELS else v for label, v in zip(labels, values, strict=True))))


def scaled(amount: int, scale: int) -> float:
    """An integer amount in the unit of the exposition."""
    return amount if scale == 1 else amount / scale


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
