"""The ledger of one shard: series → total, retracted, archived, shown. Amounts are integers; totals and retracted only rise.

A series is bounded: past the limit of its family new ones are booked under a substitute, and that decision is kept with the
amounts, so that it never changes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import Struct, msgpack

LIMIT: Final = 500
ALIAS: Final = b"\0alias\x1f"
SERIES: Final = b"\0series\x1f"
SEPARATOR: Final = "\x1f"


class Posting(Protocol):
    """What is booked: amounts for one slot of one series."""

    @property
    def place(self) -> tuple[str, str]:
        """The series with its labels, and which of its slots."""

    @property
    def added(self) -> int:
        """What is new, at least 0."""

    @property
    def retracted(self) -> int:
        """What is no longer true, at least 0."""


class Amounts(Struct, array_like=True):
    """One slot of one series. Net is total − retracted; ``archived`` is the part that no live chain carries any more."""

    total: int = 0
    retracted: int = 0
    archived: int = 0
    shown: bool = False

    @property
    def net(self) -> int:
        """What is true now."""
        return self.total - self.retracted


Place = tuple[str, str]
AMOUNTS: Final = msgpack.Decoder(Amounts)
ENCODE: Final = msgpack.Encoder().encode


class Ledger:
    """Series by name and labels, each with its slots. ``substitute`` maps a series past the limit to its `other`."""

    def __init__(self, substitute: Callable[[str], str], limit: int = LIMIT, named: Iterable[str] = ()) -> None:
        self.amounts: dict[Place, Amounts] = {}
        self.aliases: dict[str, str] = {}
        self.families: dict[str, set[str]] = {}
        self.overflow: dict[str, int] = {}
        self.changed: set[Place] = set()
        self.decided: list[str] = []
        self.substitute, self.limit = substitute, limit
        for series in named:
            self.admit(series)

    def admit(self, series: str) -> str:
        """The series that an amount is booked under: itself, or its substitute where the family is full."""
        known = self.aliases.get(series)
        if known is not None:
            return known
        family = series.partition(SEPARATOR)[0]
        members = self.families.setdefault(family, set())
        if len(members) < self.limit:
            members.add(series)
            self.aliases[series] = series
            return series
        other = self.aliases[series] = self.substitute(series)
        self.overflow[family] = self.overflow.get(family, 0) + 1
        self.decided.append(series)
        return other

    def book(self, postings: Iterable[Posting]) -> None:
        """Adds what is new and what is no longer true; both sides only rise."""
        for p in postings:
            amounts = self.at(p.place)
            amounts.total += p.added
            amounts.retracted += p.retracted

    def archive(self, postings: Iterable[Posting]) -> None:
        """Moves amounts from live to archived: no total changes."""
        for p in postings:
            self.at(p.place).archived += p.added - p.retracted

    def at(self, place: Place) -> Amounts:
        """The amounts of one slot, noted as changed."""
        amounts = self.amounts.get(place)
        if amounts is None:
            place = self.admit(place[0]), place[1]
            amounts = self.amounts.setdefault(place, Amounts())
        self.changed.add(place)
        return amounts

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """One record for each slot that changed since the last call, and for each substitution decided."""
        for place in sorted(self.changed):
            yield SERIES + SEPARATOR.join(place).encode(), ENCODE(self.amounts[place])
        self.changed.clear()
        for series in self.decided:
            yield ALIAS + series.encode(), self.aliases[series].encode()
        self.decided.clear()

    def load(self, key: bytes, value: bytes) -> None:
        """Takes one record back (recovery)."""
        if key.startswith(ALIAS):
            series = key.removeprefix(ALIAS).decode()
            self.aliases[series] = value.decode()
            family = series.partition(SEPARATOR)[0]
            self.overflow[family] = self.overflow.get(family, 0) + 1
            return
        series, _, slot = key.removeprefix(SERIES).decode().rpartition(SEPARATOR)
        self.amounts[series, slot] = AMOUNTS.decode(value)
        self.aliases.setdefault(series, series)
        self.families.setdefault(series.partition(SEPARATOR)[0], set()).add(series)

    def net(self) -> dict[Place, int]:
        """What is true now, without zeros."""
        return {place: a.net for place, a in self.amounts.items() if a.net}

    def differences(self, live: Mapping[Place, int]) -> dict[Place, int]:
        """The trial balance: total − retracted − archived − Σ facts of the live chains, where that is not 0."""
        expected: dict[Place, int] = {}
        for (series, slot), amount in live.items():
            place = self.aliases.get(series, series), slot
            expected[place] = expected.get(place, 0) + amount
        places = self.amounts.keys() | expected.keys()
        found = {place: self.net_live(place) - expected.get(place, 0) for place in places}
        return {place: amount for place, amount in found.items() if amount}

    def net_live(self, place: Place) -> int:
        """What the live chains of a slot must add up to."""
        amounts = self.amounts.get(place)
        return amounts.net - amounts.archived if amounts is not None else 0


@dataclass(slots=True)
class Served:
    """What is served of one shard: series → slot → (total, retracted) as committed. A shard that opens anew makes a new one.

    ``changed``: series touched since they were last rendered; who renders takes them out. ``overflow``: family → series booked as
    `other`. ``waiting``: series → the earliest instant (ms) since when somebody waits there.
    """

    series: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    overflow: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
