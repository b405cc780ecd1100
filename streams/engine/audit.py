"""What has committed of a shard, judged from outside: without its producer and without the group, so that nobody is disturbed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.balance import live
from streams.engine.books import Books
from streams.engine.spec import Spec
from streams.engine.stage import Place
from streams.engine.store import Store
from streams.engine.takeover import Rules, check_position
from streams.engine.topics import Topic, describe

COUNTED: Final = 10_000
"""So many records behind are counted one by one; of more, the offsets are told, with the markers of transactions among them."""
QUIET_MS: Final = 200

Progress = Callable[[str, int, int], None]
"""Told a shard's name, and how many records of its changelog have been read of how many."""


class Examined(NamedTuple):
    """One shard as it has committed: its keys and series, what its trial balance differs by, what is true, and what it has not applied."""

    name: str
    keys: int
    series: int
    differences: Mapping[Place, int]
    net: Mapping[Place, int]
    behind: int
    end: int


async def examine(spec: Spec, partition: int, consumer: AIOKafkaConsumer, progress: Progress) -> Examined:
    """Reads a shard's changelog to its end and draws its trial balance.

    ValueError: it was counted by other rules. Refused: its topics are not those that were counted. One line each.
    """
    name, changelog = f"{spec.name}-{partition}", TopicPartition(spec.changelog, partition)
    consumer.assign([changelog])
    await consumer.seek_to_beginning(changelog)
    end = (await consumer.end_offsets([changelog]))[changelog]
    stage = spec.make(partition)
    books = Books(spec.ledger(), Store(stage.due))
    values = books.store.values
    await books.fill(consumer, changelog, end, lambda position: progress(name, position, end))
    check_rules(name, books.rules, stage.rules, stage.counting)
    for key, value in books.shared.items():
        stage.share(key, value)
    differences = books.ledger.differences(await live(stage, values))
    topics = await describe(consumer._client, list(spec.sources))  # noqa: SLF001 - held by tests/test_private_names.py
    behind = sum([await records_behind(name, consumer, TopicPartition(t, partition), books, topics[t]) for t in spec.sources])
    keys = len(values) - len(books.shared)
    return Examined(name, keys, len({series for series, _ in books.ledger.amounts}), differences, books.ledger.net(), behind, end)


def check_rules(name: str, stored: Rules | None, version: str, counting: int) -> None:
    """Refuses a shard that was counted by other rules: a state stands for something else by them."""
    if stored is not None and (stored.version, stored.counting) != (version, counting):
        raise ValueError(
            f"{name}: was counted by rules {stored.version} (counting {stored.counting}), here they are {version} (counting {counting}); "
            "give the audit the workers' targets (KARAR_TARGETS) and their version of Karar"
        )


async def records_behind(name: str, consumer: AIOKafkaConsumer, source: TopicPartition, books: Books, topic: Topic) -> int:
    """How many records of a topic have not been applied. What is left up to its end may be markers alone: a consumer's position says."""
    consumer.assign([source])
    first: int = (await consumer.beginning_offsets([source]))[source]
    last: int = (await consumer.end_offsets([source]))[source]
    position = books.positions.get(source.topic)
    if position is not None:
        check_position(name, source.topic, position, topic, first, last)
    start = first if position is None else position.offset
    if last - start > COUNTED:
        return last - start
    consumer.seek(source, start)
    number = 0
    while await consumer.position(source) < last:
        for records in (await consumer.getmany(source, timeout_ms=QUIET_MS)).values():
            number += sum(record.offset < last for record in records)
    return number


async def unmoved(spec: Spec, examined: Iterable[Examined], consumer: AIOKafkaConsumer) -> bool:
    """Whether nothing has committed since the shards of a stage were read, partition after partition."""
    ends = {TopicPartition(spec.changelog, partition): shard.end for partition, shard in enumerate(examined)}
    return dict(await consumer.end_offsets(list(ends))) == ends
