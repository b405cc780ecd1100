"""Who waits since when, by series and key: what a shard serves of it is the earliest instant of each series."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from streams.engine.values import Values

FEW: Final = 256
"""Of each series so many are known by name, those who have waited longest: the others are looked for when these have gone."""
MOST_ALIKE: Final = 10_000
NEVER: Final = 1 << 62

Waits = Sequence[tuple[str, int]]
"""Series, and the instant (ms) since when somebody waits there."""
Read = Callable[[bytes], Waits]


class Waiting:
    """``since``: by series and key the instant; ``beyond``: the instant from which on those of a series wait who are not in there.

    ``names``: by key the series in which it is known, of keys that wait alike the same object; ``earliest``: what is served.
    """

    def __init__(self, few: int = FEW) -> None:
        self.few = few
        self.since: dict[str, dict[bytes, int]] = {}
        self.beyond: dict[str, int] = {}
        self.names: dict[bytes, tuple[str, ...]] = {}
        self.alike: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.earliest: dict[str, int] = {}

    def take(self, rows: Mapping[bytes, bytes | None], values: Values, read: Read) -> dict[str, int]:
        """Notes what keys say now, and returns the earliest instant of each series. ``values``: all there are, these among them."""
        changed: set[str] = set()
        for key, value in rows.items():
            for series in self.names.pop(key, ()):
                if self.since[series].pop(key) <= self.earliest[series]:
                    changed.add(series)
            if value is None:
                continue
            for series, since in read(value):
                self.add(key, series, since)
                if since < self.earliest.get(series, NEVER):
                    changed.add(series)
        sought = {series for series in changed if not self.since[series] and series in self.beyond}
        if sought:
            self.seek(sought, values, read)
        for series in changed:
            self.settle(series)
        return dict(self.earliest)

    def note(self, rows: Iterable[tuple[bytes, bytes]], read: Read) -> None:
        """Notes what the values of keys say that nothing is known of; `settle_all` follows."""
        for key, value in rows:
            for series, since in read(value):
                self.add(key, series, since)

    def settle_all(self) -> dict[str, int]:
        """The earliest instant of each series."""
        for series in list(self.since):
            self.settle(series)
        return dict(self.earliest)

    def seek(self, sought: set[str], values: Values, read: Read) -> None:
        """Finds again who has waited longest in series of which nobody is known any more."""
        for series in sought:
            del self.beyond[series]
        for key, value in values.items():
            for series, since in read(value):
                if series in sought:
                    self.add(key, series, since)

    def add(self, key: bytes, series: str, since: int) -> None:
        """Somebody waits."""
        held = self.since.get(series)
        if held is None:
            held = self.since[series] = {}
        if since >= self.beyond.get(series, NEVER):
            return
        held[key] = since
        names = *self.names.get(key, ()), series
        if len(self.alike) >= MOST_ALIKE:
            self.alike.clear()
        self.names[key] = self.alike.setdefault(names, names)
        if len(held) >= 2 * self.few:
            self.shorten(series, held)

    def shorten(self, series: str, held: dict[bytes, int]) -> None:
        """Forgets who has not waited for long."""
        rows = sorted([(since, key) for key, since in held.items()])
        self.beyond[series] = rows[self.few][0]
        for _, key in rows[self.few :]:
            del held[key]
            names = tuple([name for name in self.names.pop(key) if name != series])
            if names:
                self.names[key] = self.alike.setdefault(names, names)

    def settle(self, series: str) -> None:
        """Brings the earliest instant of a series up to who is known."""
        held = self.since[series]
        if held:
            self.earliest[series] = min(held.values())
        else:
            del self.since[series]
            self.earliest.pop(series, None)
