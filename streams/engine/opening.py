"""Opening a shard: fence the former owner, read what he committed, and judge whether it may be gone on from."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient

from streams.engine.books import Books
from streams.engine.shard import Shard
from streams.engine.stage import Place
from streams.engine.takeover import Position, Refused, check_position, is_shared, succeed
from streams.engine.topics import Topic, describe

log = logging.getLogger(__name__)

PIECE: Final = 200
LOOK: Final = 2_000
"""Values that are looked at, or counted anew (`PIECE`), before somebody else has his turn."""
START_SECONDS: Final = 60
GOODBYE_SECONDS: Final = 5


async def open_shard(shard: Shard) -> None:
    """Makes a new shard ready to apply slices. Raises Refused where its log cannot be gone on from, and whatever Kafka raises."""
    started = time.monotonic()
    consumer = shard.kafka.consumer()
    try:
        async with asyncio.timeout(START_SECONDS):
            await shard.writer.start()
            await consumer.start()
        await load(shard, consumer)
    finally:
        await consumer.stop()
    shard.opened_in = time.monotonic() - started
    log.info("%s: open with %d keys after %.2f s", shard.name, len(shard.store.values), shard.opened_in)


async def reopen_shard(shard: Shard) -> bool:
    """Takes a shard up again that this process had before; False if somebody else has had it meanwhile, so that it must be read anew.

    Refused where a topic that is written to has too few partitions by now. Whoever is cut short here has moved the epoch and compared
    nothing: he is not asked again.
    """
    if not shard.trusted:
        return False
    (pid, epoch), shard.trusted = shard.writer.identity, False
    async with asyncio.timeout(START_SECONDS):
        await shard.writer.start()
        topics = await described(shard, shard.writer.producer.client)
    shard.trusted = shard.writer.identity == (pid, epoch + 1) and topics == shard.topics
    return shard.trusted


async def let_go(shard: Shard) -> None:
    """Closes what is somebody else's now."""
    with suppress(Exception):
        async with asyncio.timeout(GOODBYE_SECONDS):
            await shard.writer.stop()


async def described(shard: Shard, client: AIOKafkaClient) -> dict[str, Topic]:
    """The sources as the broker knows them.

    Raises Refused where a topic that is written to has fewer partitions than keys go to, or, where partitions are counted, another number.
    """
    spec = shard.spec
    written = {topic: spec.outputs[name] for name, topic in spec.topics.items()}
    known = await describe(client, [*spec.sources, *written])
    counted = {*spec.sources, *(spec.topics[name] for name in spec.feeds | spec.aligned)}
    for topic, expected in written.items():
        number = known[topic].partitions
        if number < expected or (number > expected and topic in counted):
            raise Refused(f"{shard.name}: {topic} has {number} partitions, not {expected}; `karar topics --check` says more")
    return {topic: known[topic] for topic in spec.sources}


async def recheck(shard: Shard, topic: str, first: int, last: int) -> None:
    """Judges a log anew that does not have what a shard wants to read on with. Raises Refused."""
    known = await described(shard, shard.writer.producer.client)
    was = shard.topics[topic]
    check_position(shard.name, topic, Position(shard.positions[topic], was.id, was.partitions), known[topic], first, last)


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
    shard.topics = await described(shard, consumer._client)  # noqa: SLF001 - held by tests/test_private_names.py
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
    shard.ledger.introduce()
    shard.rules, anew = succeed(books.rules, shard.stage, shard.name)
    shard.pending.rules = books.rules is None or anew
    if anew:
        await recount(shard)
    elif shard.rules.recount:
        due_now(shard)


async def read_state(shard: Shard, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> Books:
    """Takes back all that has committed, and looks once at each value: when keys are due, who waits."""

    def progress(position: int) -> None:
        shard.read = position

    shard.total = (await consumer.end_offsets([changelog]))[changelog]
    books = Books(shard.ledger, shard.store)
    await books.fill(consumer, changelog, shard.total, progress)
    shard.newest = books.newest
    shard.store.begin(shard.now())
    for key, value in books.shared.items():
        shard.stage.share(key, value)
    rows = shard.store.values.items()
    while piece := list(islice(rows, LOOK)):
        shard.store.note(piece)
        shard.waiting.note(piece, shard.stage.waiting)
        await asyncio.sleep(0)
    shard.ledger.served.waiting = shard.waiting.settle_all()
    return books


async def prime(shard: Shard, consumer: AIOKafkaConsumer, source: TopicPartition, first: int) -> None:
    """Shows the stage the records before the position that the reading of the topic depends on."""
    position, count = shard.positions[source.topic], shard.stage.remembers(source.topic)
    start = max(first, position - count)
    if start >= position:
        return
    consumer.seek(source, start)
    consumer.resume(source)
    async with asyncio.timeout(START_SECONDS):
        while await consumer.position(source) < position:
            for records in (await consumer.getmany(source, timeout_ms=1_000)).values():
                shard.stage.prime((source.topic, source.partition), [record for record in records if record.offset < position])
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
