"""Faust's aiokafka driver, one message per stage and fetch. Registered as `karar://`, Faust's entry point for transports.

What is different from the driver: records travel in slices that carry the consumer's own positions; a message holds the slices of a
stage that one fetch brought, numbered as they are delivered; a shard's partitions are resumed when the shard is open, not before;
positions are the shards', not the group's; nothing is committed from here. Every heartbeat and join that is confirmed extends the
lease.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from typing import Any, Final, cast

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    MemberIdRequired,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)  # fmt: skip
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.engine.engine import Engine
from streams.engine.fetched import FETCH_WAIT_MS, pace
from streams.engine.lease import Lease
from streams.engine.slices import LONGEST, Slice

log = logging.getLogger(__name__)

FETCH_SECONDS: Final = 0.2
"""Records that were fetched before their partition was resumed wake nobody."""
LOOK_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 1

Fetched = dict[TP, tuple[int, int, list[Any]]]


class Thread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread: heartbeats go on whatever the main loop does."""

    @property
    def engine(self) -> Engine:
        """The engine that this consumer works for."""
        return engine_of(self.app)

    @property
    def delivery(self) -> "Consumer":
        """The consumer that this thread fetches for."""
        return cast("Consumer", self.consumer)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._auto_offset_reset = "none"
        self._assignor = self.app.assignor
        consumer._partition_assignment_strategy = [self._assignor]
        return consumer

    async def on_start(self) -> None:
        """Starts, and listens to what the coordinator confirms."""
        await super().on_start()
        coordinator: Any = self._ensure_consumer()._coordinator
        coordinator._send_req = confirming(coordinator, self.engine.lease)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.starts: dict[TP, int] = {}
        self.failure = ""

    async def _fetch_records(self, consumer: Any, active: Any, timeout: float | None = None, max_records: int | None = None) -> Any:  # noqa: ASYNC109 - the driver's
        """Records with the positions before and behind them; a position that moved without a record moves on as well.

        ``active`` changes while this waits, as shards open; a seek in the meantime is a new start. Between the moment at which
        aiokafka hands records out, and moves its positions, and this one nothing else runs.
        """
        self.starts = positions(consumer)
        try:
            records = await super()._fetch_records(consumer, active, timeout=timeout, max_records=max_records)
        except OffsetOutOfRangeError as error:
            self.delivery.gone = self.delivery.gone | {TP(tp.topic, tp.partition) for tp in error.args[0]}  # never changed while it is read
            return {}
        except (KeyError, KafkaError) as error:
            # aiokafka: a partition left while its records were handed out, or it cannot be read: positions are in doubt.
            self.delivery.in_doubt = True
            await self.cut_short(error)
            return {}
        except BaseException:
            self.delivery.in_doubt = True
            raise
        behind = positions(consumer)
        self.delivery.ends = ends(consumer)
        if not records.keys() <= self.starts.keys() & behind.keys():
            self.delivery.in_doubt = True
        fetched = {
            tp: (start, behind[tp], records.get(tp, []))
            for tp, start in self.starts.items()
            if tp in behind and (behind[tp] != start or tp in records)
        }
        self.starts |= {tp: behind[tp] for tp in fetched}
        if fetched:
            self.failure = ""
        pace(consumer._fetcher, len(behind), busy=bool(fetched))
        return fetched

    async def cut_short(self, error: Exception) -> None:
        """What comes again before anything was read does not pass by itself: it is told as an error, and no longer tried at once."""
        last, self.failure = self.failure, repr(error)
        if last != self.failure:
            log.info("a fetch was cut short: %r", error)
            return
        log.error("Kafka cannot be read: %r; tried again every %d s", error, RETRY_SECONDS)
        await asyncio.sleep(RETRY_SECONDS)

    async def seek_to(self, tp: TP, position: int) -> None:
        """Reads on from there."""
        await self.call_thread(self._seek_to, tp, position)

    async def _seek_to(self, tp: TP, position: int) -> None:
        if tp in self.assignment():
            self.seek(tp, position)
            self.starts[tp] = position

    async def mirror(self, offsets: Mapping[TP, int]) -> None:
        """Shows how far the shards are in the group's offsets, for lag tools; nothing depends on it."""
        await self.call_thread(self._mirror, offsets)

    async def _mirror(self, offsets: Mapping[TP, int]) -> None:
        ours = self.assignment()
        known = {TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "") for tp, offset in offsets.items() if tp in ours}
        if not known:
            return
        try:
            await self._ensure_consumer().commit(known)
        except KafkaError as error:
            log.debug("offsets are not mirrored: %r", error)

    def close(self) -> None:
        """Leaves its consumer to the thread, which closes it as it stops.

        Faust has it closed by the main loop when the group rebalances meanwhile: a connection that one thread reads from and another
        closes ends the process with a segmentation fault.
        """

    async def leave_group(self) -> None:
        """Tells the group that this member goes, so that nobody waits for its session to end."""
        coordinator: Any = self._ensure_consumer()._coordinator
        await self.call_thread(coordinator._maybe_leave_group)


class Consumer(driver.Consumer):
    """Delivers slices to the shards that are open."""

    in_doubt = False
    delivered = 0
    under_way: asyncio.Task[tuple[int, Fetched]] | None = None
    gone: AbstractSet[TP] = frozenset()
    ends: Mapping[TP, int] = {}

    @property
    def engine(self) -> Engine:
        """The engine that this consumer works for."""
        return engine_of(self.app)

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resumes what is open: Faust would resume everything after a rebalance."""
        super().resume_partitions([tp for tp in tps if self.engine.wants(tp.topic, tp.partition)])

    async def perform_seek(self) -> None:
        """Positions are the shards'."""
        for tp, position in self.engine.positions().items():
            await self.seek_to(*tp, position)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - the driver's
        """What one fetch brought: a message for each stage, of slices of every partition in turn."""
        if self.gone:
            gone, self.gone = self.gone, frozenset()
            for tp in gone:
                await self.engine.gone(*tp)
        if self.in_doubt and self.flow_active:
            self.in_doubt = False
            await self.perform_seek()
        generation, fetched = await self.next_fetched(timeout)
        for bundle in self.engine.bundled(interleaved(fetched)):
            if not self.is_flowing(generation):
                self.in_doubt = True
                return
            tp = TP(bundle[0].topic, bundle[0].partition)
            self.delivered += 1
            message: Any = ConsumerMessage
            yield tp, message(tp.topic, tp.partition, self.delivered, 0.0, 0, (), None, bundle, None, 0, 0, tp, generation_id=generation)

    async def next_fetched(self, timeout: float) -> tuple[int, Fetched]:  # noqa: ASYNC109 - the driver's
        """What was fetched meanwhile, and in which generation of the group.

        The next fetch goes on while this is folded: aiokafka asks the broker for more only when what it has was taken.
        """
        under_way, self.under_way = self.under_way, None
        generation, fetched = await (under_way or self.fetch(timeout))
        if self.flow_active and not self.should_stop:
            self.under_way = asyncio.create_task(self.fetch(timeout))
        return generation, fetched

    async def fetch(self, timeout: float) -> tuple[int, Fetched]:  # noqa: ASYNC109 - the driver's
        """One fetch, with the generation in which it began."""
        generation = self.app.consumer_generation_id
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(LOOK_SECONDS)
            return generation, {}
        fetched, _ = await self._wait_next_records(min(timeout, FETCH_SECONDS))
        return generation, cast("Fetched", fetched or {})

    def is_flowing(self, generation: int) -> bool:
        """Whether what was fetched in a generation of the group may still be delivered."""
        return bool(self.flow_active and self.app.consumer_generation_id == generation)

    def on_buffer_full(self, tp: TP) -> None:
        """A full queue holds up the fetch, which is enough: partitions are paused by their shards."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See on_buffer_full."""

    async def _add_gap(self, *_: Any) -> None:
        """Nothing is committed by offsets, so gaps between them are nobody's concern."""

    def ack(self, message: Any) -> bool:
        """Faust only needs to know that nothing is under way."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(self, *_: Any, **__: Any) -> bool:
        """Positions travel in the shards' transactions."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """The engine has a watchdog of its own, which judges by position."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commits what is folded, and puts the shards away until it is known whose they are."""
        await self.engine.put_away()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Pauses and returns; shards open in the background, because aiokafka sends no heartbeat before this has returned.

        A worker that stops opens nothing any more: a round of the group that was under way ends before it is left.
        """
        await super().on_partitions_assigned(assigned, generation_id)
        if not self.app.should_stop:
            self.engine.assigned(self, {(tp.topic, tp.partition) for tp in assigned})

    async def on_stop(self) -> None:
        """Commits what is folded before the group is left."""
        self.stop_flow()
        await self.engine.put_away()
        if self.under_way is not None:
            self.under_way.cancel()
            await asyncio.wait([self.under_way])
        await super().on_stop()

    async def mirror(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """See Thread.mirror."""
        await cast("Thread", self._thread).mirror({TP(*tp): offset for tp, offset in offsets.items()})

    async def seek_to(self, topic: str, partition: int, position: int) -> None:
        """Reads on from there."""
        await cast("Thread", self._thread).seek_to(TP(topic, partition), position)

    async def first_offset(self, topic: str, partition: int) -> int:
        """The first offset that the log still has."""
        tp = TP(topic, partition)
        return (await self.earliest_offsets(tp))[tp]

    async def last_offset(self, topic: str, partition: int) -> int:
        """The end of the log."""
        tp = TP(topic, partition)
        return (await self.highwaters(tp))[tp]

    def pause(self, tps: Iterable[tuple[str, int]]) -> None:
        """Stops delivering these."""
        self.pause_partitions([TP(*tp) for tp in tps])

    def resume(self, tps: Iterable[tuple[str, int]]) -> None:
        """Delivers these."""
        self.resume_partitions([TP(*tp) for tp in tps])

    def end_of(self, topic: str, partition: int) -> int | None:
        """The end of the log as the last fetch knew it."""
        return self.ends.get(TP(topic, partition))

    async def leave_group(self) -> None:
        """See Thread.leave_group."""
        await cast("Thread", self._thread).leave_group()


class Transport(driver.Transport):
    """`karar://host:port`."""

    Consumer = Consumer


def engine_of(app: Any) -> Engine:
    """The engine of a Faust app; whoever makes the app puts it there."""
    engine: Engine = app.engine
    return engine


def confirming(coordinator: Any, lease: Lease) -> Any:
    """A coordinator's way to send, which tells the lease what was sent when, and what was confirmed.

    Who leaves, or joins without being a member any more, has lost what he had, whatever told him so.
    """
    send = coordinator._send_req

    async def sending(request: Any) -> Any:
        sent = lease.clock()
        joins = isinstance(request, JoinGroupRequest)
        if isinstance(request, LeaveGroupRequest) or (joins and not coordinator.member_id):
            lease.lost()
        if joins:
            lease.asking(sent)
        response = await send(request)
        if joins or isinstance(request, HeartbeatRequest):
            error = for_code(response.error_code)
            if response.error_code == 0:
                (lease.answered if joins else lease.confirmed)(sent)
            elif issubclass(error, (UnknownMemberIdError, IllegalGenerationError)):
                lease.lost()
            elif not issubclass(error, (RebalanceInProgressError, MemberIdRequired)):
                log.info("the group's coordinator says %s", error.__name__)
        return response

    return sending


def assignment_of(consumer: Any) -> Any:
    """What an aiokafka consumer has been given, None where it has nothing yet."""
    subscription = consumer._subscription.subscription
    return subscription.assignment if subscription is not None else None


def positions(consumer: Any) -> dict[TP, int]:
    """The consumer's own positions, of those partitions that have one."""
    assignment = assignment_of(consumer)
    if assignment is None:
        return {}
    states = ((tp, assignment.state_value(tp)._position) for tp in assignment.tps)
    return {TP(tp.topic, tp.partition): position for tp, position in states if position is not None}


def ends(consumer: Any) -> dict[TP, int]:
    """How far each assigned log reaches for those who read what has committed."""
    assignment = assignment_of(consumer)
    if assignment is None:
        return {}
    return {TP(tp.topic, tp.partition): lso for tp in assignment.tps if (lso := assignment.state_value(tp).lso) is not None}


def interleaved(fetched: Fetched) -> Iterable[Slice]:
    """Slices of every partition, one of each in turn, so that none waits for all of another."""
    for turn in zip_longest(*(sliced(tp, *rest) for tp, rest in fetched.items())):
        yield from (part for part in turn if part is not None)


def sliced(tp: TP, start: int, end: int, records: list[Any]) -> Iterable[Slice]:
    """The records of one partition in slices that follow one another without a gap; the last reaches to the position behind."""
    for at in range(0, max(len(records), 1), LONGEST):
        part = records[at : at + LONGEST]
        behind = end if at + LONGEST >= len(records) else part[-1].offset + 1
        yield Slice(tp.topic, tp.partition, start, behind, part)
        start = behind
