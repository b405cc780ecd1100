"""Logs that have gaps: transactions that were aborted, and what compaction has taken, in the source and in the changelogs."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.connection import administrator
from streams.engine.murmur import partition_of
from tests.soak import counting
from tests.soak.catalogue.scene import Fault, Scene

AT_ONCE: Final = {"cleanup.policy": "compact", "segment.ms": "300", "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": "0"}
ROLL_SECONDS: Final = 0.4
CLEANED_SECONDS: Final = 60
CALM_SECONDS: Final = 3
OF_A_TRANSACTION: Final = 40
FEW_KEYS: Final = 200
ABORTED: Final = 0.3
TWICE: Final = 0.2
ARCHIVED_AT: Final = 5

Row = tuple[bytes, bytes | None]


@asynccontextmanager
async def publisher(scene: Scene, name: str = "publisher") -> AsyncIterator[AIOKafkaProducer]:
    """A publisher whose records come in transactions."""
    transactional_id = f"{scene.subject.settings.prefix}-{name}"
    producer = AIOKafkaProducer(bootstrap_servers=scene.kafka.address, transactional_id=transactional_id)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def transaction(producer: AIOKafkaProducer, topic: str, rows: Iterable[Row], partitions: int, *, aborts: bool) -> None:
    """Rows in one transaction, which may be taken back."""
    await producer.begin_transaction()
    futures = [await producer.send(topic, value, key, partition_of(key, partitions)) for key, value in rows]
    await asyncio.gather(*futures)
    await (producer.abort_transaction() if aborts else producer.commit_transaction())


async def transactions(scene: Scene, number: int, chance: Random) -> tuple[int, int]:
    """Transactions of numbers, some of them sent twice, some taken back, the last one in any case; how many records stay, and not."""
    stay = gone = 0
    async with publisher(scene) as producer:
        for n in range(number):
            rows: list[Row] = [(b"key-%d" % chance.randrange(FEW_KEYS), b'{"i":%d}' % scene.more()) for _ in range(OF_A_TRANSACTION)]
            rows += [row for row in rows if chance.random() < TWICE]
            aborts = chance.random() < ABORTED or n == number - 1
            await transaction(producer, scene.source, rows, scene.fault.partitions, aborts=aborts)
            gone += aborts * len(rows)
            stay += (not aborts) * len(rows)
            await asyncio.sleep(ROLL_SECONDS if n % 5 == 0 else 0)
    return stay, gone


async def records_of(scene: Scene, topic: str, isolation: str = "read_committed") -> tuple[int, int, int]:
    """Of a topic: how many records can be read, how many of them are tombstones, and how many offsets it has."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.kafka.address, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level=isolation
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for n in range(scene.fault.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found = tombstones = 0
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += len(batch)
                tombstones += sum(record.value is None for record in batch)
        return found, tombstones, sum(ends.values())
    finally:
        await consumer.stop()


async def compacted(scene: Scene, topic: str, sent: int) -> int:
    """Returns when the log cleaner has been at a topic and does nothing more; how many records it has taken."""
    deadline, before = time.monotonic() + CLEANED_SECONDS, sent
    while time.monotonic() < deadline:
        await asyncio.sleep(2)
        found, _, _ = await records_of(scene, topic)
        if found == before < sent:
            return sent - found
        before = found
    raise TimeoutError(f"{topic} was not compacted within {CLEANED_SECONDS} s")


async def configure(scene: Scene, topic: str, configs: dict[str, str]) -> None:
    """Changes the configuration of a topic."""
    async with administrator(scene.kafka.address) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


async def publish_with_gaps(scene: Scene) -> None:
    """Before any worker is there: transactions, aborted ones among them, then compaction, which stops before anybody reads."""
    chance = Random(f"{scene.soak.plan.seed} gaps")
    stay, gone = await transactions(scene, scene.times, chance)
    async with publisher(scene) as producer:  # what was written last is never compacted
        for _ in range(2):
            await asyncio.sleep(ROLL_SECONDS)
            rows: list[Row] = [(b"key-%d" % n, b'{"i":%d}' % scene.more()) for n in range(FEW_KEYS)]
            await transaction(producer, scene.source, rows, scene.fault.partitions, aborts=False)
            stay += len(rows)
    taken = await compacted(scene, scene.source, stay)
    await configure(scene, scene.source, {"cleanup.policy": "delete"})
    scene.published += stay - taken
    scene.soak.tell("records in transactions that were aborted, before any worker", gone)
    scene.soak.tell("records that compaction took, before any worker", taken, wrong=not taken)


async def source_with_gaps(scene: Scene) -> None:
    """The same while workers read, with the load between them."""
    await scene.recovered()
    async with scene.load():
        stay, gone = await transactions(scene, scene.times, Random(f"{scene.soak.plan.seed} more gaps"))
        scene.published += stay
        await scene.recovered()
    scene.soak.tell("records in transactions that were aborted, while workers read", gone)
    scene.how_often = f"{2 * scene.times} transactions"


async def end_in_tombstones(scene: Scene, topic: str) -> tuple[int, int]:
    """Nothing that can be read is at the end of a changelog: tombstones, then what was aborted; how much compaction has taken."""
    partitions = scene.fault.partitions
    gone: list[Row] = [(b"gone-%d" % n, None) for n in range(FEW_KEYS)]
    async with publisher(scene, f"tombstones of {topic}") as producer:
        for aborts in (False, False, True):
            await asyncio.sleep(ROLL_SECONDS)
            await transaction(producer, topic, gone, partitions, aborts=aborts)
    before, tombstones, offsets = await records_of(scene, topic)
    deadline = time.monotonic() + CLEANED_SECONDS
    while tombstones > FEW_KEYS and time.monotonic() < deadline:
        await asyncio.sleep(1)
        before, tombstones, offsets = await records_of(scene, topic)
    return offsets - before, tombstones


async def changelog_with_tombstones(scene: Scene) -> None:
    """Workers read changelogs that were compacted while they were away, and that end in tombstones and what nobody may read."""
    for _ in range(scene.times):
        async with scene.load():
            await asyncio.sleep(CALM_SECONDS)
        await scene.recovered()
        await scene.workers.end_all()
        for name in counting.STATES.values():
            gaps, tombstones = await end_in_tombstones(scene, scene.subject.settings.topic(name))
            scene.soak.tell(f"offsets without a record in {name}", gaps, wrong=not gaps)
            scene.soak.tell(f"tombstones left in {name}", tombstones, wrong=tombstones > FEW_KEYS)
        for worker in scene.all:
            scene.workers.start(worker)
        await scene.recovered()
    scene.how_often = str(scene.times)


FAULTS: Final = (
    Fault(name="source_with_gaps", script=source_with_gaps, first=publish_with_gaps, long=100, short=12, configs={counting.IN: AT_ONCE}),
    Fault(
        name="changelog_with_tombstones", script=changelog_with_tombstones, long=5, short=1, archived_at=ARCHIVED_AT,
        configs=dict.fromkeys(counting.STATES.values(), AT_ONCE),
    ),
)  # fmt: skip
