"""Opening a shard: fence the former owner, read what he committed, and judge whether it may be gone on from."""

import asyncio
import logging
import time
from collections import Counter

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.books import Books
from streams.engine.shard import Shard
from streams.engine.stage import Place
from streams.engine.takeover import check_position, is_shared, succeed
from streams.engine.topics import describe

log = logging.getLogger(__name__)

PIECE = 200


async def open_shard(shard: Shard) -> None:
    """Makes a new shard ready to apply slices. Raises Refused where its log cannot be gone on from, and whatever Kafka raises."""
    started = time.monotonic()
    shard.identity = await shard.writer.start()
    consumer = shard.kafka.consumer()
    await consumer.start()
    try:
        await load(shard, consumer)
    finally:
        await consumer.stop()
    shard.opened_in = time.monotonic() - started
    log.info("%s: open with %d keys after %.2f s", shard.name, len(shard.store.values), shard.opened_in)


async def reopen_shard(shard: Shard) -> bool:
    """Takes a shard up again that this process had before; False if somebody else has had it meanwhile, so that it must be read anew."""
    pid, epoch = shard.identity
    shard.identity = await shard.writer.start()
    return shard.identity == (pid, epoch + 1)


async def load(shard: Shard, consumer: AIOKafkaConsumer) -> None:
    """Reads the changelog, finds the positions, counts anew where the rules have changed."""
    spec = shard.spec
    changelog = TopicPartition(spec.changelog, shard.partition)
    sources = [TopicPartition(topic, shard.partition) for topic in spec.sources]
    consumer.assign([changelog, *sources])
    consumer.pause(*sources)
    for source in sources:
        consumer.seek(source, 0)
    await consumer.seek_to_beginning(changelog)
    books = await read_state(shard, consumer, changelog)
    shard.topics = await describe(consumer._client, list(spec.sources))  # noqa: SLF001 - held by tests/test_private_names.py
    first, last = await consumer.beginning_offsets(sources), await consumer.end_offsets(sources)
    for source in sources:
        position = books.positions.get(source.topic)
        if position is None:
            shard.positions[source.topic] = first[source]
        else:
            check_position(shard.name, source.topic, position, shard.topics[source.topic], first[source], last[source])
            shard.positions[source.topic] = position.offset
        shard.ends[source.topic] = last[source]
        await prime(shard, consumer, source, first[source])
    shard.committed = dict(shard.positions)
    shard.ledger.publish_all(time.monotonic())
    shard.rules, anew = succeed(books.rules, shard.stage, shard.name)
    shard.pending.rules = books.rules is None or anew
    if anew:
        await recount(shard)
    elif shard.rules.recount:
        due_now(shard)
    shard.show_waiting(shard.store.values)


async def read_state(shard: Shard, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> Books:
    """Takes back all that has committed."""

    def progress(position: int) -> None:
        shard.read = position

    shard.total = (await consumer.end_offsets([changelog]))[changelog]
    books = Books(shard.ledger, shard.store.values)
    await books.fill(consumer, changelog, shard.total, progress)
    shard.newest = books.newest
    for key, value in books.values.items():
        if is_shared(key):
            shard.stage.share(key, value)
    shard.store.index()
    return books


async def prime(shard: Shard, consumer: AIOKafkaConsumer, source: TopicPartition, first: int) -> None:
    """Shows the stage the records before the position that the reading of the topic depends on."""
    position, count = shard.positions[source.topic], shard.stage.remembers(source.topic)
    start = max(first, position - count)
    if start >= position:
        return
    consumer.seek(source, start)
    consumer.resume(source)
    while await consumer.position(source) < position:
        for records in (await consumer.getmany(source, timeout_ms=1_000)).values():
            shard.stage.prime([record for record in records if record.offset < position])
    consumer.pause(source)


async def recount(shard: Shard) -> None:
    """Counts all live state by the rules of today; what differs is booked, so that nothing that was shown falls.

    The trial balance under the old rules says what they made of the same state: net − archived. The keys are stepped again as soon
    as the shard is open, because their due times may be others now.
    """
    live: Counter[Place] = Counter()
    for number, (key, value) in enumerate(shard.store.values.items()):
        if not is_shared(key):
            live.update(shard.stage.live(value))
        if number % PIECE == 0:
            await asyncio.sleep(0)
    booked = shard.ledger.rebase(live)
    due_now(shard)
    shard.meters.rebased.set(time.time())
    log.info("%s: counted anew by rules %s, %d amounts differ", shard.name, shard.rules.version, booked)


def due_now(shard: Shard) -> None:
    """Lets every key be stepped again."""
    shard.store.step_all(key for key in shard.store.values if not is_shared(key))
