"""What is served beside the table of series: names, the substitute past the label limit, units, what is expected."""

from collections.abc import Iterable
from math import prod
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from streams.core.series import SERIES, TABLE, joined, parted
from streams.core.targets import KINDS, Rules

PREFIX: Final = "karar_"
OTHER: Final = "other"
NOBODY: Final = frozenset({"", "none", "unknown"})
OPEN_LABELS: Final = frozenset({"queue", "team", "from_team", "to_team", "need", "segment", "scope"})


def other(series: str) -> str:
    """The substitute past the label limit: every open label says `other`, closed vocabularies stay."""
    name, *values = parted(series)
    labels = SERIES[name].labels
    return joined((name, *(OTHER if label in OPEN_LABELS else v for label, v in zip(labels, values, strict=True))))


class Configured:
    """The queues, teams and segments that a targets file names: their series come first (METRICS.md, Ledger habits)."""

    def __init__(self, rules: Rules) -> None:
        rows = [(row.queue, row.team) for row in rules.targets] + [(row.queue, row.team) for row in rules.objectives]
        queues = {*rules.queues, *(queue for queue, _ in rows)} - {""}
        teams = {*rules.representatives.values(), *map(rules.queue_team, queues), *(team for _, team in rows)} - {""}
        self.known = {
            "queue": frozenset(queues), "team": frozenset(teams), "from_team": frozenset(teams), "to_team": frozenset(teams),
            "segment": frozenset(row.segment for row in rules.targets) - {""},
        }  # fmt: skip

    def free(self, series: str) -> int:
        """How many places of its family a series leaves to others: none if all its names are known, else some for each that is.

        A name has as many series as its other labels have values: a place is kept for two channels, and four values of any other.
        """
        name, *values = parted(series)
        if name not in SERIES:
            return 0
        labels = SERIES[name].labels
        theirs = [(self.known.get(label, frozenset()), value) for label, value in zip(labels, values, strict=True)
                  if label in OPEN_LABELS - {"scope"}]  # fmt: skip
        if all(value in names | NOBODY for names, value in theirs):
            return 0
        series_of_a_name = prod(2 if label == "channel" else 4 for label in labels if label not in OPEN_LABELS)
        return series_of_a_name * max(len(names) for names, _ in theirs)

    def zeros(self) -> list[str]:
        """The series that are served before anything happened: counters with no label but a name (`ping_pongs_total`), for each of them."""
        counters = [(each.name, self.known.get(each.labels[0], ())) for each in TABLE if each.kind == "counter" and len(each.labels) == 1]
        return [joined((name, value)) for name, values in counters for value in sorted(values)]


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
