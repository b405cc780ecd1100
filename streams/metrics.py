"""What is served beside the table of series: names, the substitute past the label limit, units, what is expected."""

from collections.abc import Iterable
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


class Names:
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
        """How many places of its family a series leaves to others: none if all its names are known, else one for each that is."""
        name, *values = parted(series)
        if name not in SERIES:
            return 0
        theirs = [(self.known.get(label, frozenset()), value) for label, value in zip(SERIES[name].labels, values, strict=True)
                  if label in OPEN_LABELS - {"scope"}]  # fmt: skip
        return max((len(names) for names, _ in theirs), default=0) if any(value not in names | NOBODY for names, value in theirs) else 0

    def zeros(self) -> list[str]:
        """The series that are served before anything happened: counters with one label, for each of its names."""
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
