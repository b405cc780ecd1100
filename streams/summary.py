"""What `replay` tells people: chains, moments won and lost, handover paths, weakest links."""

from collections import Counter
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.core.series import SUM, parted
from streams.replay import Replay

MOST = 12

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


def print_summary(console: Console, replay: Replay, events: int, rejected: int, seconds: float) -> None:
    """Everything that a service manager asks first, on one screen."""
    totals = totals_of(replay)
    console.print(headline(replay, totals, events, rejected, seconds))
    for title, table in (
        ("Queues", queues(totals)),
        ("Teams", teams(totals)),
        ("Handovers", handovers(totals)),
        ("Weakest links of closed chains", weakest_links(totals)),
    ):
        if table.row_count:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(table)


def headline(replay: Replay, totals: Totals, events: int, rejected: int, seconds: float) -> Panel:
    """Chains and moments in four lines."""
    human = pick(totals, "moments_of_truth_total", 2)["human",]
    judged = pick(totals, "moments_judged_total", 2)
    outcomes = ", ".join(f"{n:,} {o}" for (o,), n in pick(totals, "chains_closed_total", 0).most_common())
    opened, open_ = totals["chains_opened_total",], totals["chains_open",]
    now = datetime.fromtimestamp(replay.now / 1000, UTC) if replay.now else None
    lines = [
        Text.assemble((f"{opened:,}", "bold"), f" chains: {open_:,} open", f"; closed: {outcomes}" if outcomes else ""),
        Text.assemble(
            (f"{human:,}", "bold"), " moments of truth: ", (f"{judged['won',]:,} won", "green"), ", ",
            (f"{judged['lost',]:,} lost", "red"), f", {max(0, human - sum(judged.values())):,} not judged",
        ),
        Text(f"{events:,} events read, {rejected:,} refused, in {seconds:.1f} s"),
    ]  # fmt: skip
    balance = "trial balance 0" if not replay.differences() else "TRIAL BALANCE NOT 0"
    if lost := losses(replay):
        lines.append(Text(lost, style="red"))
    lines.append(Text(f"now {now:%Y-%m-%d %H:%M:%S} UTC; {balance}" if now else "no events"))
    return Panel(Group(*lines), title="Karar", title_align="left", expand=False)


def table_of(*columns: str, names: int = 1) -> Table:
    """A table whose first columns are names and the others numbers."""
    table = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < names else "right")
    return table


def losses(replay: Replay) -> str:
    """What was read and could not be counted, by reason."""
    late = sum(n for key, n in replay.counts.items() if key[0] == "too_late_total" or key[-1] == "too_late")
    truncated = sum(n for key, n in replay.counts.items() if key[0] == "truncated_total")
    told = (f"{late:,} too late" if late else "", f"{truncated:,} beyond what one interaction may have" if truncated else "")
    return "not counted: " + ", ".join(filter(None, told)) if late or truncated else ""


def add(table: Table, *cells: str) -> None:
    """One row of plain text: names are data, never markup."""
    table.add_row(*map(Text, cells))


def queues(totals: Totals) -> Table:
    """Each queue: offered, answered, in target, abandoned, mean wait of the answered."""
    table = table_of("channel", "queue", "offered", "answered", "in target", "abandoned", "mean wait", names=2)
    answered = pick(totals, "contacts_answered_total", 0, 1)
    in_target = pick(totals, "contacts_answered_in_target_total", 0, 1)
    abandoned = pick(totals, "contacts_abandoned_total", 0, 1)
    for (channel, queue), offered in pick(totals, "contacts_offered_total", 0, 1).most_common(MOST):
        key = channel, queue
        waited = totals["wait_seconds", channel, queue, SUM] / 1000
        mean = f"{waited / answered[key]:,.1f} s" if answered[key] else "–"
        add(table, channel, queue, f"{offered:,}", f"{answered[key]:,}", f"{in_target[key]:,}", f"{abandoned[key]:,}", mean)
    return table


def teams(totals: Totals) -> Table:
    """Each team: moments, won and lost, transfers it started."""
    table = table_of("team", "moments", "won", "lost", "transfers started", "ping-pongs")
    judged = pick(totals, "moments_judged_total", 1, 2)
    started = pick(totals, "transfers_started_total", 1)
    back = pick(totals, "ping_pongs_total", 0)
    for (team, actor), moments in pick(totals, "moments_of_truth_total", 1, 2).most_common():
        if actor != "human" or table.row_count >= MOST:
            continue
        won, lost = judged[team, "won"], judged[team, "lost"]
        add(table, team, f"{moments:,}", f"{won:,}", f"{lost:,}", f"{started[team,]:,}", f"{back[team,]:,}")
    return table


def handovers(totals: Totals) -> Table:
    """The paths that customers are sent along."""
    table = table_of("path", "kind", "handovers", "accepted", "returned", "failed", names=2)
    outcomes = pick(totals, "handovers_total", 0, 1, 2, 3)
    for (sender, receiver, kind), number in pick(totals, "handovers_total", 0, 1, 2).most_common(MOST):
        accepted, returned = (outcomes[sender, receiver, kind, o] for o in ("accepted", "returned"))
        failed = number - accepted - returned
        add(table, f"{sender} → {receiver}", kind, f"{number:,}", f"{accepted:,}", f"{returned:,}", f"{failed:,}")
    return table


def weakest_links(totals: Totals) -> Table:
    """Where closed chains are weakest."""
    table = table_of("team", "link", "why", "chains", names=3)
    for (team, link, reason), number in pick(totals, "weakest_links_total", 0, 1, 2).most_common(MOST):
        if link != "none":
            add(table, team, link, reason, f"{number:,}")
    return table


def difference_table(one: Replay, two: Replay) -> Table:
    """What differs between two sets of targets."""
    table = table_of("series", "labels", "first targets", "second targets", names=2)
    a, b = totals_of(one), totals_of(two)
    for key in sorted(a.keys() | b.keys()):
        if a[key] != b[key]:
            add(table, key[0], ", ".join(key[1:]), f"{a[key]:,}", f"{b[key]:,}")
    return table
