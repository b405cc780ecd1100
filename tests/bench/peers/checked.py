"""Whether a peer did all of the workload, and nothing twice: its output, and the state in its changelog, both as committed."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord

STRIDE = 7919
LAST = 6
FETCH_BYTES = 1 << 22


class Found(NamedTuple):
    """What is in the topics of a run."""

    outputs: int
    states: int
    counted: int
    wrong: list[str]


def key_of(i: int, keys: int) -> bytes:
    """The key of an event, as `tests.bench.live.counted_topics` has it."""
    return b"c%d" % (i * STRIDE % keys)


async def check(broker: str, run: str, changelog: str, events: int, keys: int) -> Found:
    """Compares every record with what it must be; ``wrong`` has a sentence for each kind of thing that is not."""
    wrong: Counter[str] = Counter()
    outputs = 0
    seen = bytearray(events)
    newest: dict[bytes, int] = {}
    async for record in committed(broker, f"out-{run}"):
        outputs += 1
        i, key = int(record.value or b"-1"), record.key or b""
        if not 0 <= i < events or key != key_of(i, keys):
            wrong["outputs that no event has"] += 1
            continue
        wrong["outputs that came twice"] += seen[i]
        wrong["outputs out of order"] += newest.get(key, -1) > i
        seen[i], newest[key] = 1, i
    wrong["outputs that are missing"] += events - sum(seen)

    states: dict[bytes, bytes] = {}
    async for record in committed(broker, changelog):
        states[record.key or b""] = record.value or b"{}"
    expected: dict[bytes, list[int]] = {}
    for i in range(events):
        expected.setdefault(key_of(i, keys), []).append(i)
    for key, numbers in expected.items():
        state = orjson.loads(states[key]) if key in states else {}
        wrong["states with another count"] += state.get("n") != len(numbers)
        wrong["states with another last six"] += state.get("last") != numbers[-LAST:]
    wrong["states that no key has"] += len(states.keys() - expected.keys())
    counted = sum(orjson.loads(state).get("n", 0) for state in states.values())
    return Found(outputs, len(states), counted, [f"{number} {kind}" for kind, number in wrong.items() if number])


async def committed(broker: str, topic: str) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Everything that has been committed to a topic, each partition in order."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        places = sorted(consumer.assignment())
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for part in (await consumer.getmany(timeout_ms=100)).values():
                for record in part:
                    yield record
    finally:
        await consumer.stop()
