"""Shards of counting stages on a cluster in memory: what is folded, what commits, what the next owner finds."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from streams.engine.ledger import Ledger
from streams.engine.meters import Meters
from streams.engine.opening import open_shard
from streams.engine.shard import Shard
from streams.engine.slices import Slice
from streams.engine.spec import Clock, Spec
from streams.engine.stage import Stage
from tests.cluster import Cluster, MemoryKafka, Stored, in_memory
from tests.counting import HEADER, READ_STATE, Counting

NOW: Final = 1_000_000


def ledger() -> Ledger:
    """A ledger whose series are shown at once."""
    return Ledger(lambda series: series)


def spec(make: Callable[[], Stage] = Counting, *sources: str, **changes: Any) -> Spec:
    """One stage with one partition."""
    made = Spec(
        name="count", sources=sources or ("in",), changelog="state", partitions=1, make=lambda _: make(), ledger=ledger,
        topics={"out": "out", "dead": "dead"}, outputs={"out": 1, "dead": 1},
    )  # fmt: skip
    return replace(made, **changes)


def memory(*sources: str, there: int = 0) -> MemoryKafka:
    """A cluster with all topics of one stage; ``there``: how many offsets its sources have already had."""
    kafka = in_memory(**dict.fromkeys((*(sources or ("in",)), "state", "out", "dead"), 1))
    for topic in sources or ("in",):
        for _ in range(there):
            kafka.cluster.marker(topic, 0)
    return kafka


def closed(kafka: MemoryKafka, of: Spec | None = None, meters: Meters | None = None) -> Shard:
    """A shard that has not been opened yet."""
    return Shard(of or spec(), 0, kafka, "group", meters or Meters(), Clock(fixed=NOW))


async def opened(kafka: MemoryKafka | None = None, of: Spec | None = None) -> Shard:
    """A shard that is ready to apply."""
    shard = closed(kafka or memory(), of)
    await open_shard(shard)
    return shard


def events(*numbers: int, key: bytes = b"k", first: int = 0, topic: str = "in") -> list[Stored]:
    """Records of one key, one event each, from an offset on."""
    return [Stored(topic, 0, first + n, 1, key, b'{"i":%d}' % number) for n, number in enumerate(numbers)]


def part(records: Sequence[Any], start: int | None = None, end: int | None = None, topic: str = "in") -> Slice:
    """Records as a slice that begins and ends with them, unless said otherwise."""
    first = records[0].offset if records else 0
    last = records[-1].offset + 1 if records else 0
    return Slice(topic, 0, first if start is None else start, last if end is None else end, records)


def counted(shard: Shard) -> dict[bytes, int]:
    """How many events each key has had, as it is in memory."""
    return {key: READ_STATE.decode(value[HEADER:]).n for key, value in shard.store.values.items()}


def seen(shard: Shard, key: bytes = b"k") -> list[int]:
    """The last six events of a key."""
    return READ_STATE.decode(shard.store.values[key][HEADER:]).last


def total(shard: Shard, series: str = "events_counted") -> int:
    """What is served of a series."""
    return shard.ledger.served.series.get(series, {}).get("", (0, 0))[0]


def sent(cluster: Cluster, topic: str = "out") -> Counter[int]:
    """The events that outputs tell of."""
    return Counter(json.loads(record.value or b"-1") for record in cluster.records(topic))


def buried(cluster: Cluster) -> list[int]:
    """The events that became dead letters."""
    return [json.loads(record.value or b"{}")["i"] for record in cluster.records("dead")]
