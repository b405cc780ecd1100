"""What came of faults: a row for each, in one table, and the same with all details in a log."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

COLUMNS: Final = (
    "fault", "how often", "events", "expected", "served", "repeated", "missing", "largest fall", "served twice", "balance",
    "s to ready", "MB of a worker", "",
)  # fmt: skip
WIDTH: Final = 200


@dataclass
class Row:
    """One fault. ``details`` tell more in the log; ``problems`` is empty where everything held."""

    fault: str
    how_often: str = ""
    events: int = 0
    expected: int = 0
    served: int = 0
    repeated: int = 0
    missing: int = 0
    largest_fall: float = 0.0
    served_twice: int = 0
    balance: int | str = 0
    ready_seconds: float = 0.0
    memory: str = ""
    details: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """As they stand in the table."""
        counted = (self.events, self.expected, self.served, self.repeated, self.missing)
        seen = f"{self.largest_fall:g}", f"{self.served_twice:,}", str(self.balance), f"{self.ready_seconds:.1f}", self.memory
        return (self.fault, self.how_often, *(f"{n:,}" for n in counted), *seen, "wrong" if self.problems else "exact")


def table(rows: Iterable[Row]) -> Table:
    """All of them."""
    shown = Table(title="Faults on real Kafka")
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column in {"fault", "how often", ""} else "right", no_wrap=column != "how often")
    for row in rows:
        shown.add_row(*row.cells())
    return shown


def write(rows: list[Row], seed: int, path: Path) -> None:
    """The log: the table, then everything that is known of each fault."""
    with path.open("w", encoding="utf-8") as file:
        log = Console(file=file, width=WIDTH)
        log.print(f"SEED={seed}")
        log.print(table(rows))
        for row in rows:
            log.print(f"\n{row.fault}: {'wrong' if row.problems else 'exact'}", highlight=False)
            for what, value in row.details:
                log.print(f"  {what}: {value}", highlight=False)
            for problem in row.problems:
                log.print(f"  wrong: {problem}", highlight=False)
