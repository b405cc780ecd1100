"""PromQL of the dashboard. Names, twins and labels of ledger series come from their one table, so that all of them exist."""

from typing import Final

from streams.core.series import SERIES
from streams.metrics import PREFIX

WINDOW: Final = "$window"
WINDOWS: Final = ("1h", "1d")
"""What the reader may choose: the windows that deploy/prometheus/rules records."""
TODAY: Final = "$__range"
CHOSEN: Final = {"channel": "$channel", "queue": "$queue", "team": "$team", "from_team": "$team"}
"""What the reader has chosen, by label."""


def selector(*labels: str, where: str = "") -> str:
    """Matchers: what was chosen for each label that can be chosen, and ``where``."""
    matchers = [f'{label}=~"{CHOSEN[label]}"' for label in labels if label in CHOSEN] + [where] * bool(where)
    return "{" + ", ".join(matchers) + "}" if matchers else ""


def over_shards(by: tuple[str, ...], operation: str = "sum") -> str:
    """An aggregation over all shards, and over every label that is not asked for."""
    return f"{operation} by ({', '.join(by)}) " if by else operation


def recorded(rule: str, *labels: str) -> str:
    """What a recording rule has worked out, with its labels alone: lines of a table are merged by them."""
    return f"max by ({', '.join(labels)}) ({rule}{selector(*labels)})"


def gauge(series: str, *by: str, operation: str = "sum") -> str:
    """A state."""
    return f"{over_shards(by, operation)}({PREFIX}{series}{selector(*SERIES[series].labels)})"


def net(series: str, *by: str, where: str = "", window: str = WINDOW) -> str:
    """What became true in a window, less what turned out untrue."""
    one, group = SERIES[series], over_shards(by)
    added, retracted = (f"increase({PREFIX}{name}{selector(*one.labels, where=where)}[{window}])" for name in (one.name, one.retracted))
    return f"clamp_min({group}({added}) - {group}({retracted}), 0)"


def some(series: str, *by: str, where: str = "") -> str:
    """What became true in the window, where more did than sums of fractions leave over."""
    return f"{net(series, *by, where=where)} > 0.001"
