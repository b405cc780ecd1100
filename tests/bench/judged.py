"""What came of the events of `tests.bench.live.counted_topics`, read back from Kafka: outputs, states, and the size of changelogs."""

import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.bench.small import key_of

STATE = re.compile(rb'\{"n":\s*(\d+),\s*"last":\s*\[([\d,\s]*)\]\}')
KEY = re.compile(rb"c\d+")
IDLE_SECONDS = 3.0
FULL_SECONDS = 60.0
Counts = dict[bytes, tuple[int, list[int]]]


class Verdict(NamedTuple):
    """What a host got right."""

    outputs: int
    wrong: tuple[str, ...]
    checked: str


def expected(events: int) -> Counts:
    """How many events each key has had, and the last six."""
    counts: Counts = {}
    for i in range(events):
        key = key_of(i)
        n, last = counts.get(key, (0, []))
        counts[key] = n + 1, [*last, i][-6:]
    return counts


@asynccontextmanager
async def reading(broker: str, topics: Iterable[str]) -> AsyncIterator[Any]:
    """A consumer at the beginning of some topics, which sees what has been committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for topic in topics for n in sorted(await partitions_of(consumer, topic))]
        consumer.assign(places)
        yield consumer
    finally:
        await consumer.stop()


async def partitions_of(consumer: Any, topic: str) -> set[int]:
    """The partitions of a topic."""
    there = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - its public names know only topics that are subscribed
    return set(there.partitions_for_topic(topic) or ())


async def through(consumer: Any) -> AsyncIterator[tuple[str, Any]]:
    """All records with their topics, up to where these ended when it was asked."""
    ends = await consumer.end_offsets(consumer.assignment())
    while any([await consumer.position(place) < end for place, end in ends.items()]):
        for place, records in (await consumer.getmany(timeout_ms=200)).items():
            for record in records:
                yield place.topic, record


async def outputs(broker: str, topic: str, events: int) -> list[tuple[bytes, int]]:
    """What a host has put out, in the order of each partition: it has a minute to commit what is missing, and a while to repeat itself."""
    found: list[tuple[bytes, int]] = []
    async with reading(broker, [topic]) as consumer:
        started = newest = time.monotonic()
        while time.monotonic() < (started + FULL_SECONDS if len(found) < events else newest + IDLE_SECONDS):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [(record.key, int(record.value)) for record in records]
                newest = time.monotonic()
    return found


async def states(broker: str, topics: Iterable[str]) -> Counts:
    """The last state of each key in changelogs, however a host writes its keys around ours."""
    found: Counts = {}
    async with reading(broker, topics) as consumer:
        async for _, record in through(consumer):
            key, state = KEY.search(record.key or b""), STATE.search(record.value or b"")
            if key and state:
                found[key[0]] = int(state[1]), [int(i) for i in state[2].split(b",") if i.strip()]
    return found


async def changelogs(broker: str, run: str) -> list[str]:
    """The topics of a run that are neither its source nor its output."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        return [topic for topic in await admin.list_topics() if run in topic and topic not in {f"src-{run}", f"out-{run}"}]
    finally:
        await admin.close()


async def removed(broker: str, run: str) -> None:
    """Deletes the topics of a run."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_topics([topic for topic in await admin.list_topics() if run in topic])
    finally:
        await admin.close()


def on_disk(data: Path, topics: Iterable[str]) -> int:
    """Bytes of the logs of some topics, as the broker keeps them."""
    return sum(log.stat().st_size for topic in topics for folder in data.glob(f"{topic}-*") for log in folder.glob("*.log"))


def differences(found: list[tuple[bytes, int]], events: int) -> Iterator[str]:
    """What is wrong with outputs: each event once, at its key, in order."""
    if len(found) != events:
        yield f"{len(found):,} outputs for {events:,} events"
    if len({i for _, i in found}) != events:
        yield f"{len({i for _, i in found}):,} different outputs for {events:,} events"
    if any(key != key_of(i) for key, i in found):
        yield "outputs at another key than their event's"
    newest: dict[bytes, int] = {}
    for key, i in found:
        if newest.get(key, -1) > i:
            yield "outputs of a key not in the order of its events"
            return
        newest[key] = i


async def judged(broker: str, run: str, events: int, *, has_state: bool) -> Verdict:
    """Whether each event has its one output, and each key its count and its last six events."""
    found = await outputs(broker, f"out-{run}", events)
    wrong = list(differences(found, events))
    if not has_state:
        return Verdict(len(found), tuple(wrong), "outputs")
    kept, ought = await states(broker, await changelogs(broker, run)), expected(events)
    bad = sum(kept.get(key) != state for key, state in ought.items()) + len(kept.keys() - ought.keys())
    if bad:
        wrong.append(f"{bad:,} of {len(ought):,} keys with a wrong state")
    return Verdict(len(found), tuple(wrong), "outputs, states")
