"""`karar labels`: which series files, or the topics as they stand, would make; nothing is written, and nobody is disturbed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.events import Event
from schemas.sources import open_source
from streams.agents import AssembleStage
from streams.broker import BrokerError
from streams.connection import consuming
from streams.core.identity import Identity
from streams.engine.spec import wall
from streams.engine.stage import Record
from streams.engine.topics import describe
from streams.growth import Family, Growth
from streams.logs import hushed
from streams.replay import Replay
from streams.settings import Settings
from streams.topics import inputs

QUIET_MS: Final = 200
MIB: Final = 1 << 20

Records = AsyncIterator[tuple[TopicPartition, Sequence[Record]]]


def read_topics(settings: Settings, identity: Identity, replay: Replay) -> tuple[int, int]:
    """Everything in the topics that are counted goes through a replay; how many events that were, and how many records were refused.

    BrokerError: one line.
    """
    with hushed("aiokafka"):
        return asyncio.run(reading(settings, identity, replay))


async def reading(settings: Settings, identity: Identity, replay: Replay) -> tuple[int, int]:
    """The same, outside of any group. BrokerError: one line."""
    formats = inputs(settings)
    events = refused = 0
    async with consuming(settings) as consumer:
        there = await places(consumer, formats)
        if not there:
            raise BrokerError(f"{settings.broker}: none of {', '.join(formats)} is there; name files, or see KARAR_PREFIX")
        stages = {tp: AssembleStage(identity, {tp.topic: open_source(formats[tp.topic])}, partition=0, partitions=1) for tp in there}
        async for tp, records in everything(consumer, there):
            batch = stages[tp].read((tp.topic, tp.partition), records, wall())
            found: list[Event] = [x for group in batch.groups.values() for x in group]
            refused += len(batch.outputs)
            events += len(found)
            replay.take(found)
    return events, refused


async def places(consumer: AIOKafkaConsumer, topics: Mapping[str, str]) -> list[TopicPartition]:
    """The partitions of those topics that exist."""
    existing = await consumer.topics()
    known = await describe(consumer._client, [topic for topic in topics if topic in existing])  # noqa: SLF001 - held by tests/test_private_names.py
    return [TopicPartition(name, n) for name, topic in known.items() for n in range(topic.partitions)]


async def everything(consumer: AIOKafkaConsumer, there: Sequence[TopicPartition]) -> Records:
    """All records of some partitions, up to where they end now."""
    consumer.assign(list(there))
    await consumer.seek_to_beginning(*there)
    ends = await consumer.end_offsets(list(there))
    while any([await consumer.position(tp) < ends[tp] for tp in there]):
        for tp, records in (await consumer.getmany(timeout_ms=QUIET_MS)).items():
            yield tp, records


def show(console: Console, grown: Growth) -> None:
    """A line for each family, and what it comes to."""
    console.print(table(grown))
    for line in verdict(grown):
        console.print(line, soft_wrap=True)


def table(grown: Growth) -> Table:
    """One line a family, the dearest first."""
    names = ("family", "series", "largest shard", "beyond", "time series", "memory", "values of labels")
    shown = Table(*names, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in shown.columns[1:-1]:
        column.justify = "right"
    for family in grown.families:
        shown.add_row(
            family.name, f"{family.series:,}", f"{family.largest:,}", Text(f"{family.beyond:,}", "red" if family.beyond else ""),
            f"{family.served:,}", memory(family.bytes), Text(", ".join(f"{label} {n:,}" for label, n in family.values.items())),
        )  # fmt: skip
    return shown


def verdict(grown: Growth) -> Iterator[Text]:
    """What all families come to, and which of them pass the limit."""
    yield Text(
        f"\n{grown.served:,} time series from {grown.events:,} events in {grown.shards} shards: about {memory(grown.bytes)} of "
        f"Prometheus' memory, at {grown.bytes_per_series // 1024} KiB a series"
    )
    if not grown.beyond:
        yield Text(f"no family has more than {grown.limit:,} series in a shard: nothing is booked as other")
        return
    for family in grown.families:
        if family.beyond:
            yield Text(beyond(family, grown), "red")
    yield Text(f"without the limit there would be {grown.unlimited:,} time series, {memory(grown.unlimited * grown.bytes_per_series)}")


def beyond(family: Family, grown: Growth) -> str:
    """Which series of a family would be booked as `other`, some of them by name."""
    named = "; ".join(", ".join(f"{label}={value}" for label, value in labels.items()) for labels in family.examples)
    return f"{family.name}: {family.beyond:,} series beyond {grown.limit:,} in {family.shards_beyond} shards become other, such as {named}"


def memory(number: int) -> str:
    """Bytes as people read them."""
    return f"{number / MIB:,.1f} MiB"
