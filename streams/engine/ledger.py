"""The ledger of one shard: series → total, retracted, archived, shown. Amounts are integers; totals and retracted only rise.

A series is bounded: past the limit of its family new ones are booked under a substitute, and that decision is kept with the
amounts, so that it never changes.

What is booked is not served: `take` gives what changed to a transaction, and `publish` shows it when that has committed. A series
never shown before is served at 0 first, for `birth` seconds, so that who watches sees its first step; that it has been shown is
committed before its value is served, so that no later owner starts at 0 again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.engine.amounts import AMOUNTS, ENCODE, Amounts
from streams.engine.stage import Place, Posting

LIMIT: Final = 500
ALIAS: Final = b"\0alias\x1f"
SERIES: Final = b"\0series\x1f"
SEPARATOR: Final = "\x1f"


Taken = tuple[Place, int, int, bool]
"""One slot as it goes into a transaction: total, retracted, and whether its value is shown."""


@dataclass(slots=True)
class Served:
    """What of a shard has committed, and may be served: slots of series as (total, retracted).

    ``changed``: series touched since whoever renders them looked. ``waiting``: by series the instant (ms) since when somebody waits.
    """

    series: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    overflow: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)


class Ledger:
    """Series by name and labels, each with its slots. ``substitute`` maps a series past the limit to its `other`.

    ``named`` are there before anything is booked; ``free`` says how many places of its family a series leaves to others, at most half of
    them. ``birth`` in seconds; ``at_once`` says of which series the value is shown without one (what may fall needs none).
    """

    def __init__(
        self, substitute: Callable[[str], str], limit: int = LIMIT, named: Iterable[str] = (), *,
        free: Callable[[str], int] = lambda _: 0, birth: float = 0, at_once: Callable[[str], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        self.amounts: dict[Place, Amounts] = {}
        self.served = Served()
        self.shown: set[str] = set()
        self.born: dict[str, float] = {}
        self.birth, self.at_once, self.seen = birth, at_once, 0.0
        self.aliases: dict[str, str] = {}
        self.families: dict[str, set[str]] = {}
        self.overflow: dict[str, int] = {}
        self.changed: set[Place] = set()
        self.decided: list[str] = []
        self.substitute, self.limit, self.named, self.free = substitute, limit, tuple(named), free

    def introduce(self) -> None:
        """Lets what is named be there, at 0, unless it is already; to be called once all was taken back.

        A substitute that was taken back takes no place of its family, as it took none when it was booked.
        """
        for series, under in self.aliases.items():
            if series != under:
                self.families[under.partition(SEPARATOR)[0]].discard(under)
        for series in self.named:
            if series not in self.aliases:
                self.at((series, ""))

    def admit(self, series: str) -> str:
        """The series that an amount is booked under: itself, or its substitute where the family is full."""
        known = self.aliases.get(series)
        if known is not None:
            return known
        family = series.partition(SEPARATOR)[0]
        members = self.families.setdefault(family, set())
        if has_place(len(members), self.limit, self.free(series)):
            members.add(series)
            self.aliases[series] = series
            return series
        other = self.aliases[series] = self.substitute(series)
        self.overflow[family] = self.overflow.get(family, 0) + 1
        self.decided.append(series)
        return other

    def book(self, postings: Iterable[Posting]) -> None:
        """Adds what is new and what is no longer true; both sides only rise."""
        for place, added, retracted in postings:
            amounts = self.at(place)
            amounts.total += added
            amounts.retracted += retracted

    def archive(self, postings: Iterable[Posting]) -> None:
        """Moves amounts from live to archived: no total changes."""
        for place, added, retracted in postings:
            self.at(place).archived += added - retracted

    def at(self, place: Place) -> Amounts:
        """The amounts of one slot, noted as changed."""
        amounts = self.amounts.get(place)
        if amounts is None:
            place = self.admit(place[0]), place[1]
            amounts = self.amounts.get(place)
            if amounts is None:
                shown = place[0] in self.shown or not self.birth or self.at_once(place[0])
                amounts = self.amounts[place] = Amounts(shown=shown)
                if shown:
                    self.shown.add(place[0])
        self.changed.add(place)
        return amounts

    def ripe(self, clock: float) -> bool:
        """Whether a series has been served at 0 long enough."""
        return any(clock >= since + self.birth for since in self.born.values())

    def grow_up(self, clock: float) -> None:
        """Series that have been served at 0 long enough are shown from the next transaction on. Only before `take`."""
        for series in [series for series, since in self.born.items() if clock >= since + self.birth]:
            del self.born[series]
            self.shown.add(series)
            for slot in self.served.series[series]:
                self.amounts[series, slot].shown = True
                self.changed.add((series, slot))

    def take(self) -> tuple[list[tuple[bytes, bytes]], list[Taken]]:
        """What changed since the last call: as records for the changelog, and as what `publish` is to show."""
        records, taken = [], []
        for place in self.changed:
            amounts = self.amounts[place]
            amounts.shown = amounts.shown or place[0] in self.shown
            records.append((SERIES + SEPARATOR.join(place).encode(), ENCODE(amounts)))
            taken.append((place, amounts.total, amounts.retracted, amounts.shown))
        self.changed.clear()
        records += [(ALIAS + series.encode(), self.aliases[series].encode()) for series in self.decided]
        self.decided.clear()
        return records, taken

    def publish(self, taken: Iterable[Taken], clock: float) -> None:
        """Serves what has committed. ``clock`` (seconds) is when: births are counted from there."""
        series, changed = self.served.series, self.served.changed
        for place, total, retracted, shown in taken:
            name, slot = place
            slots = series.setdefault(name, {})
            if shown:
                slots[slot] = total, retracted
            else:
                slots.setdefault(slot, (0, 0))
                self.born.setdefault(name, max(clock, self.seen))
            changed.add(name)
        self.served.overflow.update(self.overflow)

    def publish_all(self, clock: float) -> None:
        """Serves what was loaded: all of it has committed."""
        self.publish([(place, a.total, a.retracted, a.shown) for place, a in self.amounts.items()], clock)

    def seen_from(self, clock: float) -> None:
        """Nobody can have been served anything before this instant: what is not shown yet is not born before."""
        self.seen = clock
        self.born = dict.fromkeys(self.born, clock)

    def load(self, key: bytes, value: bytes) -> None:
        """Takes one record back (recovery)."""
        if key.startswith(ALIAS):
            series = key.removeprefix(ALIAS).decode()
            self.aliases[series] = value.decode()
            family = series.partition(SEPARATOR)[0]
            self.overflow[family] = self.overflow.get(family, 0) + 1
            return
        series, _, slot = key.removeprefix(SERIES).decode().rpartition(SEPARATOR)
        amounts = self.amounts[series, slot] = AMOUNTS.decode(value)
        if amounts.shown:
            self.shown.add(series)
        self.aliases.setdefault(series, series)
        self.families.setdefault(series.partition(SEPARATOR)[0], set()).add(series)

    def net(self) -> dict[Place, int]:
        """What is true now, without zeros."""
        return {place: a.net for place, a in self.amounts.items() if a.net}

    def differences(self, live: Mapping[Place, int]) -> dict[Place, int]:
        """The trial balance: total − retracted − archived − Σ facts of the live chains, where that is not 0."""
        return self.compared(self.net_live_all(), live)

    def compared(self, expected: Mapping[Place, int], live: Mapping[Place, int]) -> dict[Place, int]:
        """The trial balance of what `net_live_all` said at the moment of which ``live`` is the sum."""
        rest = dict(expected)
        for (series, slot), amount in live.items():
            place = self.aliases.get(series, series), slot
            rest[place] = rest.get(place, 0) - amount
        return {place: amount for place, amount in rest.items() if amount}

    def rebase(self, live: Mapping[Place, int]) -> int:
        """Books what the live chains amount to by other rules; nothing falls. Returns how many amounts differed."""
        differences = self.differences(live)
        for place, amount in differences.items():
            amounts = self.at(place)
            amounts.retracted += max(0, amount)
            amounts.total += max(0, -amount)
        return len(differences)

    def net_live_all(self) -> dict[Place, int]:
        """What the live chains of every slot must add up to."""
        return {place: a.net - a.archived for place, a in self.amounts.items()}


def has_place(members: int, limit: int, free: int) -> bool:
    """Whether a family with so many members takes one more, who leaves so many places free."""
    return members < limit - min(free, limit // 2)
