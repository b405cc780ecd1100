"""What the whole core must have counted: by the oracle, from the events that were sent; and what workers say, in the same words."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from streams.core.series import SERIES, TABLE, Series
from streams.metrics import OPEN_LABELS, OTHER
from tests import oracle
from tests.soak.load import Centre

PREFIX: Final = "karar_"
OVERFLOW: Final = re.compile(r'^karar_label_overflow_total\{[^}]*metric="karar_([^"]+)"', re.MULTILINE)
Totals = Counter[tuple[object, ...]]


def expected(centre: Centre, number: int, now: int, rules: oracle.Rules = oracle.DEFAULTS) -> Totals:
    """What the oracle says of the events that were sent. Takes some time: to be called in a process of its own."""
    return oracle.totals(oracle.facts(list(centre.published(number)), now, rules))


def net(texts: Iterable[str]) -> Totals:
    """Net totals over the responses of all workers. A shard must be in one of them only."""
    found: Totals = Counter()
    kinds = samples()
    buckets: dict[tuple[tuple[object, ...], int, str], list[tuple[float, float]]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for name, labels, value, *_ in family.samples:
                if "shard" not in labels or (known := kinds.get(name)) is None:
                    continue
                series, slot, sign = known
                key: tuple[object, ...] = (series.name, *(labels[label] for label in series.labels))
                if slot == "bucket":
                    buckets.setdefault((key, sign, labels["shard"]), []).append((float(labels["le"]), value))
                else:
                    found[(*key, slot) if slot else key] += sign * round(value * series.scale)
    for (key, sign, _), steps in buckets.items():
        before = 0.0
        for index, (_, value) in enumerate(sorted(steps)):
            found[*key, "bucket", index] += sign * round(value - before)
            before = value
    return Counter({key: amount for key, amount in found.items() if amount})


def overflowed(texts: Iterable[str]) -> frozenset[str]:
    """The families of which some shard had more series than it may, and booked the others as `other`."""
    return frozenset(name for text in texts for name in OVERFLOW.findall(text))


def without_names(totals: Totals, families: Collection[str]) -> Totals:
    """The same, with all names in the open labels of some families put together: which of them a shard calls `other` is chance."""
    found: Totals = Counter()
    for key, amount in totals.items():
        name = str(key[0])
        if name in families:
            labels = SERIES[name].labels
            values = (OTHER if label in OPEN_LABELS else value for label, value in zip(labels, key[1:], strict=False))
            found[name, *values, *key[len(labels) + 1 :]] += amount
        else:
            found[key] += amount
    return Counter({key: amount for key, amount in found.items() if amount})


def samples() -> dict[str, tuple[Series, str, int]]:
    """By the name of a sample: its family, which slot, and whether it adds or takes away."""
    found: dict[str, tuple[Series, str, int]] = {}
    for series in TABLE:
        if not series.booked:
            continue
        for name, sign in ((series.name, 1), (series.retracted, -1)):
            if series.kind == "histogram":
                found |= {f"{PREFIX}{name}_{slot}": (series, slot, sign) for slot in ("bucket", "sum")}
            elif series.kind == "counter" or sign > 0:
                found[PREFIX + name] = series, "", sign
    return found


def differences(ours: Totals, theirs: Totals) -> list[str]:
    """Where workers say something else than the oracle, worst first."""
    keys = sorted((key for key in ours.keys() | theirs.keys() if ours[key] != theirs[key]), key=lambda key: -abs(ours[key] - theirs[key]))
    return [f"{key}: served {ours[key]:,}, oracle {theirs[key]:,}" for key in keys]
