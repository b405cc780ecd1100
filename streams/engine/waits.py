"""Who waits since when, by series and key: what a shard serves of it is the earliest instant of each series."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

MOST_ALIKE: Final = 10_000

Waits = Sequence[tuple[str, int]]
"""Series, and the instant (ms) since when somebody waits there."""


class Waiting:
    """``names``: by key the series in which it waits, of keys that wait alike the same object; ``since``: by series and key the instant."""

    def __init__(self) -> None:
        self.names: dict[bytes, tuple[str, ...]] = {}
        self.since: dict[str, dict[bytes, int]] = {}
        self.alike: dict[tuple[str, ...], tuple[str, ...]] = {}

    def find(self, keys: Iterable[bytes], values: Mapping[bytes, bytes], read: Callable[[bytes], Waits]) -> dict[bytes, Waits]:
        """What encoded values say, of those keys that wait or have waited before."""
        found: dict[bytes, Waits] = {}
        for key in keys:
            value = values.get(key)
            waits: Waits = read(value) if value is not None else ()
            if waits or key in self.names:
                found[key] = waits
        return found

    def take(self, rows: Mapping[bytes, Waits], earliest: dict[str, int]) -> None:
        """Notes what was found, and brings ``earliest`` up to it: anew only where the one who waited longest has gone."""
        stale: set[str] = set()
        for key, waits in rows.items():
            for series in self.names.pop(key, ()):
                if self.since[series].pop(key) <= earliest[series]:
                    stale.add(series)
            if not waits:
                continue
            names = self.shared(tuple([series for series, _ in waits]))
            self.names[key] = names
            for series, since in waits:
                keys = self.since.get(series)
                if keys is None:
                    keys = self.since[series] = {}
                keys[key] = since
                if series not in earliest or since < earliest[series]:
                    earliest[series] = since
        for series in stale:
            keys = self.since[series]
            if keys:
                earliest[series] = min(keys.values())
            else:
                del self.since[series], earliest[series]

    def shared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names of all who wait alike as one object."""
        if len(self.alike) >= MOST_ALIKE:
            self.alike.clear()
        return self.alike.setdefault(names, names)
