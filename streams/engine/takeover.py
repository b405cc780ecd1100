"""Taking a shard over: what its changelog says, read to the end, and whether it may be gone on from."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct, msgpack

from streams.engine.ledger import ALIAS, SERIES
from streams.engine.stage import RESERVED, SHARED, Record, Stage
from streams.engine.topics import Topic

POSITION: Final = b"\0position\x1f"
CLOCK: Final = b"\0clock"
RULES: Final = b"\0rules"
SILENCE_SECONDS: Final = 30
READ_RECORDS: Final = 5_000


class Refused(Exception):  # noqa: N818 - an outcome that is told, not a failure: the shard stays closed and the process goes on
    """This shard cannot be gone on from: what, where, and what to do, in one line."""


class Position(Struct, array_like=True, frozen=True):
    """Up to where a source topic has been applied, and which topic that was."""

    offset: int
    topic_id: str
    partitions: int


class Rules(Struct, array_like=True, frozen=True):
    """By which rules the totals were counted; ``history`` names the versions before, oldest first. ``recount``: keys still to step."""

    version: str
    counting: int
    history: tuple[str, ...] = ()
    recount: bool = False


ENCODE: Final = msgpack.Encoder().encode
READ_POSITION: Final = msgpack.Decoder(Position)
READ_RULES: Final = msgpack.Decoder(Rules)


def succeed(stored: Rules | None, stage: Stage, name: str) -> tuple[Rules, bool]:
    """The rules to go on by, and whether the totals must be counted anew for them. Raises Refused where the stored ones are newer."""
    if stored is None:
        return Rules(stage.rules, stage.counting), False
    if stored.counting > stage.counting:
        raise Refused(f"{name}: was counted by newer code (counting rules {stored.counting}, here {stage.counting}); upgrade this worker")
    if stored.version == stage.rules and stored.counting == stage.counting:
        return stored, False
    if stage.rules in stored.history and stored.counting == stage.counting:
        raise Refused(
            f"{name}: is counted by targets ({stored.version}) that came after those given here ({stage.rules}); give this worker the "
            "newer file (KARAR_TARGETS), or, to go back to the older one, add a line to its [queues]: see docs/runbook.md, "
            "Going back to older targets"
        )
    return Rules(stage.rules, stage.counting, (*stored.history, stored.version), recount=True), True


def check_position(name: str, topic: str, position: Position, known: Topic, first: int, last: int) -> None:
    """Raises Refused where the log is not the one, or does not reach to where the position stands."""
    if position.topic_id != known.id:
        raise Refused(
            f"{name}: {topic} was deleted and made anew since it was read up to offset {position.offset}; the totals do not belong to it: "
            "start over under another KARAR_PREFIX"
        )
    if position.partitions != known.partitions:
        raise Refused(
            f"{name}: {topic} has {known.partitions} partitions, and had {position.partitions} when it was counted; keys have moved: "
            "publish to a new topic under another KARAR_PREFIX"
        )
    if not first <= position.offset <= last:
        raise Refused(
            f"{name}: position {position.offset} lies outside of what {topic} still has ({first} to {last}); retention has taken "
            "records that were not counted, or the log was cut: restore it, or start over under another KARAR_PREFIX"
        )


async def read(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int, take: Callable[[Sequence[Record]], None],
               progress: Callable[[int], None]) -> None:  # fmt: skip
    """Reads a partition up to ``end``, judged by position: transactions end in a marker that is no record.

    A fetch that brings nothing returns all the same, so that silence is counted from the last that did. TimeoutError: too long.
    """
    async with asyncio.timeout(SILENCE_SECONDS) as patience:
        at = -1
        while (position := await consumer.position(tp)) < end:
            if position > at:
                at = position
                patience.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
                progress(position)
            records = await consumer.getmany(tp, timeout_ms=1_000, max_records=READ_RECORDS)
            for batch in records.values():
                take(batch)
            await asyncio.sleep(0)
    progress(end)


def is_state(key: bytes) -> bool:
    """Whether a key of the changelog is a stage's, not the engine's own."""
    return not key.startswith(RESERVED)


def is_total(key: bytes) -> bool:
    """Whether a key of the changelog belongs to the ledger."""
    return key.startswith((SERIES, ALIAS))


def is_shared(key: bytes) -> bool:
    """Whether a key holds what the whole shard shares."""
    return key.startswith(SHARED)
