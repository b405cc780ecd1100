"""What `replay` tells people: chains, moments won and lost, handover paths, weakest links."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.core.series import SERIES, SUM, parted
from streams.metrics import scaled
from streams.replay import Replay

MOST = 12
HINT = " (a chain closes a day after its last contact, one of a case 30 days after; --now moves the clock on)"

Totals = Counter[tuple[str, ...]]


def totals_of(replay: Replay) -> Totals:
    """Net amounts by series and labels; a histogram's sum under its name and ``sum``."""
    totals: Totals = Counter()
    for (series, slot), amount in replay.net().items():
        key = parted(series)
        if not slot or slot == SUM:
            totals[(*key, SUM) if slot else key] += amount
    return totals


def pick(totals: Totals, name: str, *places: int) -> Totals:
    """One family summed over all labels but those at the given places."""
    picked: Totals = Counter()
    for key, amount in totals.items():
        if key[0] == name:
            picked[tuple(key[1 + p] for p in places)] += amount
    return picked


def reading_line(events: int, rejected: int, ignored: Counter[str], seconds: float) -> str:
    """What was read, and what was not taken, by reason."""
    reasons = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in ignored.most_common())
    left_out = f", {ignored.total():,} ignored ({reasons})" if ignored else ""
    return f"{events:,} events read, {rejected:,} refused{left_out}, in {seconds:.1f} s"


def print_summary(console: Console, replay: Replay, read: str) -> None:
    """Everything that a service manager asks first, on one screen."""
    totals = totals_of(replay)
    console.print(headline(replay, totals, read))
    for title, table in (
        ("Queues", queues(totals)),
        ("Teams", teams(totals)),
        ("Handovers", handovers(totals)),
        ("Weakest links of closed chains", weakest_links(totals)),
    ):
        if table.row_count:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(table)


def headline(replay: Replay, totals: Totals, read: str) -> Panel:
    """Chains and moments in four lines."""
    human = pick(totals, "moments_of_truth_total", 2)["human",]
    judged = pick(totals, "moments_judged_total", 2)
    outcomes = ", ".join(f"{n:,} {o}" for (o,), n in pick(totals, "chains_closed_total", 0).most_common())
    opened, open_ = totals["chains_opened_total",], totals["chains_open",]
    now = datetime.fromtimestamp(replay.now / 1000, UTC) if replay.now else None
    lines = [
        Text.assemble((f"{opened:,}", "bold"), f" chains: {open_:,} open", f"; closed: {outcomes}" if outcomes else HINT if open_ else ""),
        Text.assemble(
            (f"{human:,}", "bold"), " moments of truth: ", (f"{judged['won',]:,} won", "green"), ", ",
            (f"{judged['lost',]:,} lost", "red"), f", {max(0, human - sum(judged.values())):,} not judged{with_bots(totals)}",
        ),
        Text(read),
    ]  # fmt: skip
    balance = "trial balance 0" if not replay.differences() else "TRIAL BALANCE NOT 0"
    lines.append(Text(f"now {now:%Y-%m-%d %H:%M:%S} UTC; {balance}" if now else "no events"))
    if lost := losses(replay):
        lines.append(Text(lost, style="red"))
    return Panel(Group(*lines), title="Karar", title_align="left", expand=False)


def with_bots(totals: Totals) -> str:
    """How many moments were with bots, where there were any: who adds up the series finds these, too."""
    bots = pick(totals, "moments_of_truth_total", 2)["bot",]
    return f"; {bots:,} more with bots" if bots else ""


def table_of(*columns: str, names: int = 1) -> Table:
    """A table whose first columns are names and the others numbers."""
    table = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < names else "right")
    return table


def losses(replay: Replay) -> str:
    """What was read and could not be counted, by reason."""
    ahead = replay.counts["after_now_total",]
    late = sum(n for key, n in replay.counts.items() if key[0] == "too_late_total" or key[-1] == "too_late")
    truncated, cut = replay.counts["truncated_total", "events"], replay.counts["truncated_total", "links"]
    told = (
        f"{late:,} events came too late and are not counted" if late else "",
        f"{truncated:,} events are beyond what one interaction may have and are not counted" if truncated else "",
        f"{cut:,} times a chain had as many links as one may have, and another goes on" if cut else "",
        f"{ahead:,} events are after that instant and are counted all the same" if ahead else "",
    )
    return "; ".join(filter(None, told))


def add(table: Table, *cells: str) -> None:
    """One row of plain text: names are data, never markup."""
    table.add_row(*map(Text, cells))


def most(table: Table, rows: Iterable[tuple[str, ...]]) -> Table:
    """The first rows, and how many more there are."""
    shown = list(rows)
    for row in shown[:MOST]:
        add(table, *row)
    if len(shown) > MOST:
        table.caption, table.caption_justify = Text(f"and {len(shown) - MOST} more", style="dim"), "left"
    return table


def ranked(counts: Totals) -> list[tuple[tuple[str, ...], int]]:
    """Largest first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def queues(totals: Totals) -> Table:
    """Each queue: offered, answered, in target, abandoned, mean wait of the answered."""
    answered = pick(totals, "contacts_answered_total", 0, 1)
    in_target = pick(totals, "contacts_answered_in_target_total", 0, 1)
    abandoned = pick(totals, "contacts_abandoned_total", 0, 1)

    def row(key: tuple[str, ...], offered: int) -> tuple[str, ...]:
        waited = totals["wait_seconds", *key, SUM] / 1000
        mean = f"{waited / answered[key]:,.1f} s" if answered[key] else "–"
        return *key, f"{offered:,}", f"{answered[key]:,}", f"{in_target[key]:,}", f"{abandoned[key]:,}", mean

    table = table_of("channel", "queue", "offered", "answered", "in target", "abandoned", "mean wait", names=2)
    return most(table, (row(key, n) for key, n in ranked(pick(totals, "contacts_offered_total", 0, 1))))


def teams(totals: Totals) -> Table:
    """Each team: moments, won and lost, transfers it started."""
    judged = pick(totals, "moments_judged_total", 1, 2)
    started = pick(totals, "transfers_started_total", 1)
    back = pick(totals, "ping_pongs_total", 0)
    human = ((team, n) for (team, actor), n in ranked(pick(totals, "moments_of_truth_total", 1, 2)) if actor == "human")
    table = table_of("team", "moments", "won", "lost", "transfers started", "ping-pongs")
    return most(
        table,
        (
            (team, f"{n:,}", f"{judged[team, 'won']:,}", f"{judged[team, 'lost']:,}", f"{started[team,]:,}", f"{back[team,]:,}")
            for team, n in human
        ),
    )


def handovers(totals: Totals) -> Table:
    """The paths that customers are sent along."""
    outcomes = pick(totals, "handovers_total", 0, 1, 2, 3)

    def row(key: tuple[str, ...], number: int) -> tuple[str, ...]:
        sender, receiver, kind = key
        accepted, returned = (outcomes[*key, o] for o in ("accepted", "returned"))
        failed = number - accepted - returned
        return f"{sender} → {receiver}", kind, f"{number:,}", f"{accepted:,}", f"{returned:,}", f"{failed:,}"

    table = table_of("path", "kind", "handovers", "accepted", "returned", "failed", names=2)
    return most(table, (row(key, n) for key, n in ranked(pick(totals, "handovers_total", 0, 1, 2))))


def weakest_links(totals: Totals) -> Table:
    """Where closed chains are weakest."""
    table = table_of("team", "link", "why", "chains", names=3)
    rows = ranked(pick(totals, "weakest_links_total", 0, 1, 2))
    return most(table, ((*key, f"{n:,}") for key, n in rows if key[1] != "none"))


def difference_table(one: Replay, two: Replay) -> Table:
    """What differs between two sets of targets, in the units of the metrics."""
    table = table_of("series", "labels", "first targets", "second targets", names=2)
    a, b = totals_of(one), totals_of(two)
    for key in sorted(a.keys() | b.keys()):
        if a[key] != b[key]:
            family = SERIES[key[0]]
            labels = ", ".join(f"{n}={v}" for n, v in zip(family.labels, key[1:], strict=False))
            name = f"{family.name}_sum" if key[-1] == SUM else family.name
            add(table, name, labels, *(f"{scaled(totals[key], family.scale):,}" for totals in (a, b)))
    return table
