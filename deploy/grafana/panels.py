"""How panels look: a number, bars, lines, a table. Each has a unit, says in plain words what it means, and asks something."""

from collections.abc import Mapping
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, TableSortByFieldState, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = TypeVar("Panel", stat.Panel, bargauge.Panel, timeseries.Panel, table.Panel)
Steps = dict[float | None, str]

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
COUNT: Final = "locale"
WAIT: Final = "dthms"
SECONDS: Final = "s"
RATIO: Final = "percentunit"
EVENTS: Final = "eps"
DECIMALS: Final = {COUNT: 0, RATIO: 1}
OBJECTIVE: Final = "objective"
NO_DATA: Final = "no data"

PLAIN: Final[Steps] = {None: "blue"}
NONE_WANTED: Final[Steps] = {None: "green", 1: "red"}
FEW_WANTED: Final[Steps] = {None: "green", 1: "orange"}
HIGH_WANTED: Final[Steps] = {None: "red", 0.7: "orange", 0.8: "green"}
LOW_WANTED: Final[Steps] = {None: "green", 0.05: "orange", 0.1: "red"}


def dressed(panel: Panel, title: str, says: str, unit: str, steps: Steps) -> Panel:
    """What every panel has."""
    if unit in DECIMALS:
        panel.decimals(DECIMALS[unit])
    return (
        panel.title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(value, color) for value, color in steps.items()]))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .no_value("none")
    )


def query(expr: str, legend: str = "", ref: str = "A") -> Dataquery:
    """One question to Prometheus."""
    return Dataquery().expr(expr).legend_format(legend).ref_id(ref).datasource(SOURCE)


def last() -> ReduceDataOptions:
    """The newest value of each series."""
    return ReduceDataOptions().calcs(["lastNotNull"])


def number(title: str, says: str, expr: str, *, unit: str = COUNT, steps: Steps = PLAIN) -> stat.Panel:
    """One number and, behind it, how it went."""
    return (
        dressed(stat.Panel(), title, says, unit, steps)
        .reduce_options(last())
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .with_target(query(expr).range())
        .span(4)
        .height(4)
    )


def today(title: str, says: str, expr: str, *, unit: str = COUNT, steps: Steps = PLAIN) -> stat.Panel:
    """One number since midnight."""
    panel = number(title, says, expr, unit=unit, steps=steps)
    return panel.graph_mode(common.BigValueGraphMode.NONE).time_from("now/d").targets([query(expr).instant()])


def itself(title: str, says: str, expr: str, *, unit: str = COUNT, steps: Steps = PLAIN) -> stat.Panel:
    """One number about Karar at this moment: where nobody answers it says so, and not what was known last."""
    panel = number(title, says, expr, unit=unit, steps=steps)
    return panel.graph_mode(common.BigValueGraphMode.NONE).targets([query(expr).instant()]).no_value(NO_DATA).span(3)


def yes_or_no(title: str, says: str, expr: str) -> stat.Panel:
    """1 is good and yes, 0 bad and no."""
    words = {"1": ValueMappingResult(text="yes"), "0": ValueMappingResult(text="no")}
    return itself(title, says, expr, steps={None: "red", 1: "green"}).mappings([ValueMap(words)])


def bars(title: str, says: str, expr: str, legend: str, *, unit: str = COUNT, steps: Steps = PLAIN) -> bargauge.Panel:
    """One bar for each series, the longest first."""
    panel = (
        dressed(bargauge.Panel(), title, says, unit, steps)
        .reduce_options(last())
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .min(0)
        .with_target(query(f"sort_desc({expr})", legend).instant())
        .span(8)
        .height(8)
    )
    return panel.max(1) if unit == RATIO else panel


def lines(title: str, says: str, expr: str, legend: str, *, unit: str = COUNT, objective: str = "") -> timeseries.Panel:
    """How series went; an objective is a dashed line."""
    legends = VizLegendOptions().show_legend(show_legend=True).display_mode(common.LegendDisplayMode.TABLE)
    panel = (
        dressed(timeseries.Panel(), title, says, unit, PLAIN)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .min(0)
        .fill_opacity(5)
        .show_points(common.VisibilityMode.NEVER)
        .legend(legends.placement(common.LegendPlacement.RIGHT).calcs(["lastNotNull"]))
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .with_target(query(expr, legend).range())
        .span(8)
        .height(8)
    )
    if objective:
        dashed = DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})
        panel.with_target(query(objective, f"{OBJECTIVE} {legend}", "B").range()).override_by_query("B", [dashed])
    return panel


def rows(title: str, says: str, columns: Mapping[str, tuple[str, str]], *labels: str) -> table.Panel:
    """A line for each combination of labels, ``columns``: heading → (expression, unit); the highest of the first column on top."""
    refs = dict(zip(columns, "ABCD", strict=False))
    names = {f"Value #{ref}" if len(columns) > 1 else "Value": heading for heading, ref in refs.items()}
    order = {name: place for place, name in enumerate((*labels, *names))}
    panel = dressed(table.Panel(), title, says, COUNT, PLAIN)
    for heading, (expr, unit) in columns.items():
        panel.with_target(query(expr, ref=refs[heading]).instant().format(PromQueryFormat.TABLE))
        panel.override_by_name(heading, [DynamicConfigValue("unit", unit)])
    if len(columns) > 1:
        panel.with_transformation(DataTransformerConfig("merge", options={}))
    shown = {
        "excludeByName": {"Time": True},
        "indexByName": order,
        "renameByName": {label: label.replace("_", " ") for label in labels} | names,
    }
    return (
        panel.with_transformation(DataTransformerConfig("organize", options=shown))
        .sort_by([TableSortByFieldState().display_name(next(iter(columns))).desc(desc=True)])
        .span(8)
        .height(8)
    )


def matrix(title: str, says: str, expr: str, row: str, column: str) -> table.Panel:
    """A cell for each pair of two labels, the deeper the more."""
    pairs = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"}
    return (
        dressed(table.Panel(), title, says, COUNT, PLAIN)
        .color_scheme(FieldColor().mode(FieldColorModeId.CONTINUOUS_BLUES))
        .cell_options(common.TableColoredBackgroundCellOptions(common.TableCellBackgroundDisplayMode.BASIC))
        .with_target(query(expr).instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig("groupingToMatrix", options=pairs))
        .override_by_name(f"{row}\\{column}", [DynamicConfigValue("custom.cellOptions", {"type": "auto"})])
        .span(12)
        .height(9)
    )
