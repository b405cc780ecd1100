"""What is done on purpose to the workers of a soak, from outside: the product has no switch for any of it.

*Provocations* are what may happen to a right worker. *Sabotages* each take away one thing that the guarantee rests on. A worker
applies those that SOAK_CHANGES names, before it starts.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.connection import administrator
from streams.engine import opening
from streams.engine.books import Books
from streams.engine.engine import Engine
from streams.engine.kafka import Writer
from streams.engine.requests import Batches
from streams.engine.shard import Shard
from streams.engine.slices import Slice
from streams.engine.takeover import Position
from streams.engine.topics import describe
from streams.engine.transport import Thread

ONCE: Final = "SOAK_ONCE"
"""A file that does not exist yet: who creates it may be killed, or stopped, in the middle of a commit."""
DEADLY_COMMIT: Final = 60
SWALLOWED: Final = (4, 8, 12)
GOODBYE_SECONDS: Final = 1.0
CHANGELOGS: Final = ".state"


def change(names: Iterable[str]) -> None:
    """Applies what is named."""
    for name in names:
        KNOWN[name]()


# Provocations


def swallow_fetches() -> None:
    """Some early fetches are lost after the consumer has moved its positions, and nobody says so.

    Not the last ones: until another record comes, only the watchdog would see that something is missing, after a minute.
    """
    fetched, number = Thread._fetch_records, count(1)

    async def fetch(self: Thread, *given: Any, **named: Any) -> Any:
        records = await fetched(self, *given, **named)
        return {} if records and next(number) in SWALLOWED else records

    Thread._fetch_records = fetch  # type: ignore[method-assign]


def leave_slowly() -> None:
    """Between the decision to leave and the end, what has been folded can commit."""
    goodbye = Engine.say_goodbye

    async def say_goodbye(self: Engine) -> None:
        await asyncio.sleep(GOODBYE_SECONDS)
        await goodbye(self)

    Engine.say_goodbye = say_goodbye  # type: ignore[method-assign]


def die_in_a_commit() -> None:
    """One process is killed between having sent everything and the end of the transaction."""
    delivered, die = Writer.delivered, struck_by(signal.SIGKILL)

    async def deliver(self: Writer, sent: list[Any]) -> None:
        await delivered(self, sent)
        die()

    Writer.delivered = deliver  # type: ignore[method-assign]


def freeze_before_a_commit() -> None:
    """One process is stopped between having built a transaction and beginning it; what it then commits, others have counted meanwhile."""
    commit, stop = Writer.commit, struck_by(signal.SIGSTOP)

    async def committing(self: Writer, batches: Batches) -> None:
        stop()
        await commit(self, batches)

    Writer.commit = committing  # type: ignore[method-assign]


def struck_by(number: signal.Signals) -> Callable[[], None]:
    """Sends this process a signal at its sixtieth call, if no other has been struck before."""
    calls = count(1)

    def strike() -> None:
        if next(calls) == DEADLY_COMMIT:
            try:
                Path(os.environ[ONCE]).touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), number)

    return strike


# Sabotages


def do_not_fence() -> None:
    """Every process has transactional ids of its own, so that starting one does not stop whoever had the shard before."""
    start = Writer.start

    async def begin(self: Writer) -> None:
        self.transactional_id = f"{self.transactional_id}-{uuid4().hex}"
        await start(self)

    Writer.start = begin  # type: ignore[method-assign]


def do_not_look_at_batches() -> None:
    """Nobody asks whether the broker took what a transaction consists of."""

    async def delivered(self: Writer, sent: list[Any]) -> None:
        del self
        for future in sent:
            future.add_done_callback(lambda done: done.exception())

    Writer.delivered = delivered  # type: ignore[method-assign]


def forge_starts() -> None:
    """Every slice says that it begins where its shard stands."""
    apply = Engine.apply

    async def forged(self: Engine, part: Slice) -> None:
        shard = self.shards.get((self.stage_of[part.topic], part.partition))
        await apply(self, replace(part, start=min(part.start, shard.positions[part.topic])) if shard else part)

    Engine.apply = forged  # type: ignore[method-assign]


def move_after_the_slice() -> None:
    """The position moves behind a whole slice only; where a step fails, the slice is read again, as after an agent's restart."""
    fold, apply = Shard.fold_singly, Shard.apply
    stumbled: set[str] = set()

    def fold_singly(self: Shard, topic: str, records: Sequence[Any]) -> None:
        if self.name in stumbled:
            fold(self, topic, records)
            return
        stumbled.add(self.name)
        for record in records:
            self.settle(self.fold((topic, self.partition), [record]), record.timestamp)

    def apply_or_read_again(self: Shard, part: Slice) -> bool:
        try:
            return apply(self, part)
        except ValueError:
            return False

    Shard.fold_singly = fold_singly  # type: ignore[method-assign,assignment]
    Shard.apply = apply_or_read_again  # type: ignore[method-assign]


def start_from_the_earliest() -> None:
    """The positions in the changelog are not looked at."""
    read = opening.read_state

    async def read_state(shard: Shard, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> Books:
        books = await read(shard, consumer, changelog)
        books.positions.clear()
        return books

    opening.read_state = read_state


def start_from_the_group() -> None:
    """Positions are the offsets of the consumer group, as everywhere."""
    read = opening.read_state

    async def read_state(shard: Shard, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> Books:
        books = await read(shard, consumer, changelog)
        books.positions.clear()
        sources = await describe(consumer._client, list(shard.spec.sources))
        async with administrator(shard.kafka.bootstrap) as admin:
            group = shard.writer.transactional_id.removesuffix(f"-{shard.name}")
            offsets: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(group)
        for topic, found in sources.items():
            at = offsets.get(TopicPartition(topic, shard.partition))
            if at is not None and at.offset >= 0:
                books.positions[topic] = Position(at.offset, found.id, found.partitions)
        return books

    opening.read_state = read_state


def do_not_seek() -> None:
    """A shard that has opened is delivered to from wherever the consumer happens to be.

    Positions are not mirrored either: what is there for lag tools alone would heal it by chance.
    """

    async def nothing(*_: Any) -> None:
        """Nothing at all."""

    Thread._seek_to = nothing  # type: ignore[method-assign,assignment]
    Thread._mirror = nothing  # type: ignore[method-assign,assignment]


def commit_twice() -> None:
    """Outputs are one transaction, state and position another; one process is killed between them."""
    commit, die = Writer.commit, struck_by(signal.SIGKILL)

    async def commit_apart(self: Writer, batches: Iterable[Any]) -> None:
        all_of_them = list(batches)
        await commit(self, [batch for batch in all_of_them if not batch[0].endswith(CHANGELOGS)])
        die()
        await commit(self, [batch for batch in all_of_them if batch[0].endswith(CHANGELOGS)])

    Writer.commit = commit_apart  # type: ignore[method-assign]


PROVOCATIONS: Final = (swallow_fetches, leave_slowly, die_in_a_commit)
SABOTAGES: Final = (
    do_not_fence,
    do_not_look_at_batches,
    forge_starts,
    move_after_the_slice,
    start_from_the_earliest,
    start_from_the_group,
    do_not_seek,
    commit_twice,
)
KNOWN: Final = {done.__name__: done for done in (*PROVOCATIONS, freeze_before_a_commit, *SABOTAGES)}
