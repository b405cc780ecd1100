"""How many series some events would make, before a worker makes them: by family and label, and what is beyond the limit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from streams.core.series import LONGEST_WAIT, TABLE, Series, parted
from streams.engine.ledger import LIMIT, Ledger, has_place
from streams.metrics import PREFIX, Configured, other
from streams.replay import Replay

UNLIMITED: Final = 1 << 60
SERIES_BYTES: Final = 4 << 10
"""What Prometheus holds in memory of a series that is scraped, about: labels, index, the chunk that is written to. A rule of thumb."""
EXAMPLES: Final = 3
WAITING: Final = "customers_waiting"


class Family(Struct, frozen=True, kw_only=True):
    """One family over all shards.

    ``series`` as the ledger has them, ``largest`` of one shard; ``beyond``: how many are past the limit of their shard, of which some
    are named. ``values``: by label, how many there are. ``served``: time series that Prometheus would see, ``bytes`` what they cost it;
    ``unlimited``: time series without a limit.
    """

    name: str
    series: int
    largest: int
    beyond: int
    shards_beyond: int
    examples: list[dict[str, str]]
    values: dict[str, int]
    served: int
    unlimited: int
    bytes: int


class Growth(Struct, frozen=True, kw_only=True):
    """All families that there would be, those that cost most first."""

    events: int
    shards: int
    limit: int
    bytes_per_series: int
    families: list[Family]
    served: int
    unlimited: int
    beyond: int
    bytes: int


def growth(replay: Replay, events: int, limit: int = LIMIT) -> Growth:
    """What a replay without a limit has come to, as it would be served with one."""
    ledgers = list(replay.ledgers.values())
    families = sorted(grown(ledgers, limit, Configured(replay.rules)), key=lambda family: (-family.served, family.name))
    served = sum(family.served for family in families)
    return Growth(
        events=events, shards=len(ledgers), limit=limit, bytes_per_series=SERIES_BYTES, families=families, served=served,
        unlimited=sum(family.unlimited for family in families), beyond=sum(family.beyond for family in families),
        bytes=served * SERIES_BYTES,
    )  # fmt: skip


def grown(ledgers: Sequence[Ledger], limit: int, names: Configured) -> Iterator[Family]:
    """The families that have any series."""
    found: dict[str, list[list[str]]] = {}
    for place, ledger in enumerate(ledgers):
        for series in ledger.aliases:
            found.setdefault(parted(series)[0], [[] for _ in ledgers])[place].append(series)
    for family in TABLE:
        each = found.get(WAITING if family.name == LONGEST_WAIT else family.name)
        if each is not None:
            yield one(family, [parting(series, limit, names) for series in each])


def parting(found: Iterable[str], limit: int, names: Configured) -> tuple[list[str], list[str]]:
    """The series of a shard in the order in which they came, and those of them that are past the limit."""
    kept, late = list[str](), list[str]()
    for series in found:
        (kept if has_place(len(kept), limit, names.free(series)) else late).append(series)
    return kept, late


def one(family: Series, each: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Family:
    """A family, of which every shard keeps some series, and others not."""
    late = [series for _, beyond in each for series in beyond]
    kept = sum(len(own) + len({other(series) for series in beyond} - set(own)) for own, beyond in each)
    labels = [parted(series)[1:] for found in each for part in found for series in part]
    return Family(
        name=PREFIX + family.name,
        series=len(labels),
        largest=max(len(own) + len(beyond) for own, beyond in each),
        beyond=len(late),
        shards_beyond=sum(bool(beyond) for _, beyond in each),
        examples=[dict(zip(family.labels, parted(series)[1:], strict=True)) for series in dict.fromkeys(late)][:EXAMPLES],
        values={label: len({values[place] for values in labels}) for place, label in enumerate(family.labels)},
        served=kept * lines_of(family),
        unlimited=len(labels) * lines_of(family),
        bytes=kept * lines_of(family) * SERIES_BYTES,
    )


def lines_of(family: Series) -> int:
    """The time series of one series of the ledger: a twin for what is no longer true; buckets, sum and count of a histogram."""
    match family.kind:
        case "gauge":
            return 1
        case "counter":
            return 2
        case "histogram":
            return 2 * (len(family.bounds) + 3)
