"""The dashboard *Moments now*: what goes on in a contact center at this moment, for the people who run it.

``python -m deploy.grafana.dashboard`` writes the JSON that Grafana reads; with ``--check`` it fails when the file says something else.
"""

import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard, DashboardLink, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.text import Panel as Text
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, VariableOption, VariableRefresh, VariableSort
from grafana_foundation_sdk.models.text import TextMode

from deploy.grafana.content import ROWS
from deploy.grafana.panels import SOURCE
from deploy.grafana.queries import WINDOWS

FILE: Final = Path(__file__).parent / "dashboards" / "moments-now.json"
RUNBOOK: Final = "/public/karar/runbook.md"
"""Where Grafana serves docs/runbook.md, once that is mounted below its folder `public`."""
WELCOME: Final = (
    "Each time a person takes a customer on is a **moment of truth**: here is who waits, who is served and how these moments turn out, "
    "now and over the *window* chosen above, less what was corrected since. "
    "The *i* of a panel says what it means and what to do; for alerts there is the runbook (`docs/runbook.md`, linked above)."
)


def choice(name: str, series: str) -> QueryVariable:
    """What the reader may choose of a label, from a series that has it; at first all."""
    return (
        QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def window() -> CustomVariable:
    """Over how much time counts are summed."""
    first, *others = WINDOWS
    options = [VariableOption(selected=True, text=first, value=first), *(VariableOption(selected=False, text=w, value=w) for w in others)]
    return CustomVariable("window").label("window").values(",".join(WINDOWS)).options(options).current(options[0])


def dashboard() -> Dashboard:
    """All of it."""
    built = (
        Dashboard("Moments now")
        .uid("karar-moments-now")
        .description("Who waits, who is served, how moments of truth turn out, at this moment.")
        .tags(["karar"])
        .readonly()
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .link(DashboardLink("Runbook").type(DashboardLinkType.LINK).icon("doc").url(RUNBOOK).target_blank(target_blank=True))
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(choice("channel", "karar_contacts_total"))
        .with_variable(choice("queue", 'karar_contacts_offered_total{channel=~"$channel"}'))
        .with_variable(choice("team", '{__name__=~"karar_moments_of_truth_total|karar_link_shortfall_total"}'))
        .with_variable(window())
        .with_panel(Text().title("").mode(TextMode.MARKDOWN).content(WELCOME).transparent(transparent=True).span(24).height(2))
    )
    for title, panels in ROWS.items():
        built.with_row(Row(title))
        for panel in panels:
            built.with_panel(panel)
    for number, one in enumerate(built.build().panels or (), start=1):
        one.id_val = number
    return built


def text() -> str:
    """The dashboard as Grafana reads it, the same every time."""
    return JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(dashboard().build()) + "\n"


def main(arguments: list[str]) -> int:
    """Writes or checks the file."""
    match arguments:
        case []:
            FILE.write_text(text(), "utf-8")
        case ["--check"]:
            if not FILE.exists() or FILE.read_text("utf-8") != text():
                sys.stderr.write(f"{FILE}: not what deploy/grafana/dashboard.py says; run `make dashboards`\n")
                return 1
        case _:
            sys.stderr.write(f"deploy.grafana.dashboard: {' '.join(arguments)}: unknown; say nothing, or --check\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
