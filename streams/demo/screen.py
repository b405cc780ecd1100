"""What the demo's terminal shows: how things stand, twice a second; a line now and then where there is no terminal."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.demo.reading import Chain, Figures, Ready
from streams.summary import Totals, add, pick, ranked, table_of, with_bots

ROWS: Final = 8
LINKS: Final = 6
FRAME: Final = 22
"""Lines of all that is no row of a table, in a terminal of 80 columns: what is lower has fewer rows instead of losing its end."""
TALL: Final = FRAME + 2 * ROWS


@dataclass
class State:
    """All that is shown. ``live``: seconds since it went live; ``before``: moments counted when the worker had first caught up.

    ``whole``: every shard has caught up and is served; until then the figures are the last that were whole.
    """

    address: str = ""
    pid: int = 0
    restarts: int = 0
    live: float = 0.0
    published: float = 0.0
    counted: float = 0.0
    delay_ms: float = 0.0
    today: int = 0
    before: int | None = None
    ready: Ready = field(default_factory=Ready)
    figures: Figures = field(default_factory=Figures)
    whole: bool = False
    worst: Chain | None = None

    @property
    def totals(self) -> Totals:
        """Net amounts."""
        return self.figures.totals

    @property
    def moments(self) -> int:
        """Moments of truth with a person."""
        return pick(self.totals, "moments_of_truth_total", 2)["human",]

    @property
    def lag(self) -> int:
        """Records not applied yet."""
        return round(self.figures.worker.get("karar_consumer_lag", 0))


def clock(seconds: float) -> str:
    """A length as minutes and seconds, and hours where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"  # noqa: PLR2004 - an hour


def line(state: State) -> str:
    """How things stand, in one line."""
    if state.before is None or not state.whole:
        return f"{clock(state.live)}  {standing(state)}"
    waiting, talking, chains_open = (total(state, name) for name in ("customers_waiting", "in_conversation", "chains_open"))
    longest = max(waits(state.totals).values(), default=0)
    return (
        f"{clock(state.live)}  {state.moments:,} moments (+{state.moments - state.before:,}), "
        f"{waiting} waiting (longest {clock(longest)}), {talking} talking, {chains_open:,} chains open, {pace(state)}"
    )


def total(state: State, family: str) -> int:
    """One family over all its labels."""
    return sum(pick(state.totals, family).values())


def pace(state: State) -> str:
    """How fast it goes."""
    return f"{state.published:.1f} events/s published, {state.counted:.1f} counted, lag {state.lag:,}"


def standing(state: State) -> str:
    """How far the worker is."""
    if state.ready.why:
        return f"refused: {state.ready.why}"
    if not state.ready.shards:
        return "the worker starts"
    if not state.whole:
        return f"the worker catches up: {state.ready.caught_up} of {state.ready.shards} shards have, {state.moments:,} moments"
    return f"{plural(state.ready.shards, 'shard')}, {pace(state)}"


def shown(state: State, height: int = TALL) -> RenderableType:
    """Everything on one screen of so many lines."""
    if not state.totals:
        return Panel(Text(standing(state)), title="Karar", title_align="left", expand=False)
    most = max(1, (height - FRAME) // 2)
    tables = Table.grid(padding=(0, 4, 1, 0))
    tables.add_row(titled("Waiting", waiting(state.totals, most)), titled("In conversation", talking(state.totals, most)))
    tables.add_row(titled("Weakest links of closed chains", weakest(state.totals, most)), titled("Teams", teams(state.totals, most)))
    return Group(headline(state), tables, worst_chain(state.worst))


def headline(state: State) -> Panel:
    """Moments, chains, transfers, the worker, where it answers."""
    totals = state.totals
    judged = pick(totals, "moments_judged_total", 2)
    closed = pick(totals, "chains_closed_total", 0)
    handed = pick(totals, "handovers_total", 3)
    since = f", {state.moments - state.before:,} since it went live" if state.before is not None else ""
    today = f", {state.today:,} today" if state.today else ""
    lines = (
        Text.assemble(
            (f"{state.moments:,}", "bold"), f" moments of truth{today}{since}: ", (f"{judged['won',]:,} won", "green"), ", ",
            (f"{judged['lost',]:,} lost", "red"), with_bots(totals),
        ),
        Text(
            f"{total(state, 'chains_open'):,} chains open; closed: "
            + (", ".join(f"{n:,} {outcome}" for (outcome,), n in closed.most_common() if n) or "none yet")
        ),
        Text(
            f"{total(state, 'transfers_started_total'):,} transfers started; handovers: "
            + ", ".join(f"{n:,} {outcome}" for (outcome,), n in handed.most_common() if n)
        ),
        Text(f"{standing(state)}, published to counted {state.delay_ms:,.0f} ms"),
        Text(f"{state.address}/  {state.address}/metrics  worker {state.pid}, started again {plural(state.restarts, 'time')}", "dim"),
    )  # fmt: skip
    return Panel(Group(*lines), title=f"Karar, live for {clock(state.live)}", title_align="left", expand=False)


def plural(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def titled(title: str, table: Table) -> RenderableType:
    """A table under its title."""
    return Group(Text(title, style="bold"), table)


def rows(table: Table, found: Iterable[tuple[str, ...]], most: int) -> Table:
    """So many rows, always: what follows does not jump."""
    shown = list(found)[:most]
    for row in shown:
        add(table, *row)
    for _ in range(most - len(shown)):
        add(table, "")
    return table


def waits(totals: Totals) -> Totals:
    """The longest wait of each queue, in seconds."""
    longest: Totals = pick(totals, "longest_wait_seconds", 0, 1)
    return longest


def waiting(totals: Totals, most: int) -> Table:
    """Who waits where, longest wait first."""
    number, longest = pick(totals, "customers_waiting", 0, 1), waits(totals)
    found = sorted(((key, n) for key, n in number.items() if n), key=lambda row: (-longest[row[0]], row[0]))
    return rows(
        table_of("channel", "queue", "waiting", "longest", names=2), ((*k, f"{n}", clock(longest[k])) for k, n in found), min(most, ROWS)
    )


def talking(totals: Totals, most: int) -> Table:
    """Who talks with customers."""
    found = ((*key, f"{n}") for key, n in ranked(pick(totals, "in_conversation", 0, 1)) if n)
    return rows(table_of("channel", "team", "talking", names=2), found, min(most, ROWS))


def weakest(totals: Totals, most: int) -> Table:
    """Where closed chains are weakest."""
    found = ((*key, f"{n:,}") for key, n in ranked(pick(totals, "weakest_links_total", 0, 1, 2)) if key[1] != "none" and n)
    return rows(table_of("team", "link", "why", "chains", names=3), found, min(most, LINKS))


def teams(totals: Totals, most: int) -> Table:
    """Moments won and lost, and transfers started, by team."""
    judged, started = pick(totals, "moments_judged_total", 1, 2), pick(totals, "transfers_started_total", 1)
    human = ((team, n) for (team, actor), n in ranked(pick(totals, "moments_of_truth_total", 1, 2)) if actor == "human")
    found = ((team, f"{n:,}", f"{judged[team, 'won']:,}", f"{judged[team, 'lost']:,}", f"{started[team,]:,}") for team, n in human)
    return rows(table_of("team", "moments", "won", "lost", "transfers"), found, min(most, LINKS))


def worst_chain(chain: Chain | None) -> RenderableType:
    """The worst open chain, contact by contact, and why it is that weak."""
    if chain is None:
        return Text("")
    contacts = " → ".join(f"{contact['channel']} {' → '.join(contact['teams']) or '(nobody)'}" for contact in chain["contacts"])
    return Group(
        Text("Worst open chain", style="bold"),
        Text(f"{contacts}; {plural(chain['moments'], 'moment')}, {plural(chain['transfers'], 'transfer')}, score {chain['score']:g}"),
        Text(chain["why"], "red"),
    )
