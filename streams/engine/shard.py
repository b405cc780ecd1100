"""A shard: partition *n* of one stage. Its state, totals, positions and outputs commit together, or not at all.

Slices are folded as they come, in memory; what is folded is committed again and again, so that whatever arrives during one
transaction goes into the next. Nothing that has not committed is served.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec.structs import replace

from streams.engine.folding import Rows, Stepped, TooLargeError, Way, route, rows_of, size_of, step_all, store_all
from streams.engine.kafka import Kafka, Writer
from streams.engine.lease import Lease
from streams.engine.ledger import Taken
from streams.engine.meters import Meters
from streams.engine.slices import Slice
from streams.engine.spec import Clock, Spec, wall
from streams.engine.stage import Batch, Origin, Outgoing, Record
from streams.engine.store import NEVER, Store
from streams.engine.takeover import CLOCK, ENCODE, POSITION, RULES, Position, Rules
from streams.engine.topics import Topic
from streams.engine.waits import Waiting

log = logging.getLogger(__name__)

SWEPT_AT_ONCE: Final = 50
SWEEPS_A_TURN: Final = 10
ENOUGH: Final = 50_000
"""Records applied and not committed at which a shard's partitions pause, and as many outputs; or so many bytes of both, and of the states
that have changed."""
ENOUGH_BYTES: Final = 16 << 20
MUCH: Final = 0.5
"""At this share of it the next transaction waits no longer: a partition that has paused costs a whole fetch more than a transaction."""
COMMIT_SECONDS: Final = 30
DEFECTS_IN_A_ROW: Final = 20
"""More than these are not the records' fault: the worker ends rather than make dead letters of everything."""
IDLE_SECONDS: Final = 0.5
LAZY_SECONDS: Final = 1.0
"""Positions that move over markers, and series that have been at 0 long enough, are in no hurry."""


@dataclass(slots=True)
class Folded:
    """What all steps of a slice have returned, before any of it is stored."""

    batch: Batch
    stepped: Stepped
    newest: int


@dataclass(slots=True)
class Pending:
    """What has been folded since the last transaction began."""

    dirty: dict[bytes, bytes | None] = field(default_factory=dict)
    outputs: Rows = field(default_factory=dict)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    arrivals: list[Sequence[Record]] = field(default_factory=list)
    records: int = 0
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    rules: bool = False


class Shard:
    """One partition of one stage, from its opening until it is closed for good. ``trusted``: memory is not behind what has committed."""

    def __init__(self, spec: Spec, partition: int, kafka: Kafka, group: str, meters: Meters, clock: Clock) -> None:
        self.spec, self.partition, self.kafka, self.meters, self.clock = spec, partition, kafka, meters, clock
        self.name = f"{spec.name}-{partition}"
        self.stage = spec.make(partition)
        self.store = Store(self.stage.due)
        self.ledger = spec.ledger()
        self.journal, self.archive = self.stage.journal(), self.stage.journal()
        self.waiting = Waiting()
        self.ways = {
            name: Way(topic, spec.outputs[name], partition if name in spec.aligned else -1, feeds=name in spec.feeds)
            for name, topic in spec.topics.items()
        }
        self.topics: dict[str, Topic] = {}
        self.positions: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.committed_at = 0.0
        self.ends: dict[str, int] = {}
        self.newest = 0
        self.rules = Rules("", 0)
        self.caught_up, self.fed = False, False
        self.trusted = True
        self.pending = Pending()
        self.writer = Writer(kafka, f"{group}-{self.name}")
        self.wake, self.filling = asyncio.Event(), asyncio.Event()
        self.closing, self.paused = False, False
        self.sought: dict[str, float] = {}
        self.last_record = wall()
        self.defects = 0
        self.untimely: set[bytes] = set()
        self.served_from, self.losses = 0.0, 0
        self.read, self.total = 0, 0
        self.opened_in = 0.0

    # Fold

    def now(self) -> int:
        """What this shard takes for now (ms)."""
        return self.clock.now(self.newest, caught_up=self.caught_up)

    @property
    def has_room(self) -> bool:
        """Whether more may be applied before something commits."""
        return self.filled <= 1

    @property
    def filled(self) -> float:
        """How much has been applied since the last transaction began, as a share of what may be."""
        return max((self.pending.records + self.pending.rows) / ENOUGH, self.pending.bytes / ENOUGH_BYTES)

    def apply(self, part: Slice) -> bool:
        """Folds a slice; False if something before it was lost on the way, and must be read again."""
        position = self.positions[part.topic]
        if part.start > position:
            return False
        if part.end <= position:
            return True
        records = part.records if not part.records or part.records[0].offset >= position else beyond(part.records, position)
        if records:
            if not self.pending.records:
                self.pending.since = time.monotonic()
            try:
                folded = self.fold((part.topic, self.partition), records)
            except Exception:
                log.exception("%s: a step failed in %s, offsets %d to %d", self.name, part.topic, records[0].offset, records[-1].offset)
                self.fold_singly(part.topic, records)
            else:
                self.settle(folded, records[0].timestamp)
                self.defects = 0
            self.pending.arrivals.append(records)
            self.pending.records += len(records)
            self.pending.bytes += size_of(records)
            self.last_record = records[-1].timestamp
        self.positions[part.topic] = part.end
        self.sought.pop(part.topic, None)
        self.wake.set()
        if self.filled > MUCH:
            self.filling.set()
        return True

    def fold(self, origin: Origin, records: Sequence[Record]) -> Folded:
        """Steps every key that records belong to. Nothing is changed by it."""
        batch = self.stage.read(origin, records, wall())
        newest = max(self.newest, batch.newest)
        now = self.clock.now(newest, caught_up=self.caught_up)
        return Folded(batch, self.step(batch.groups, now, records[0].timestamp), newest)

    def step(self, groups: Mapping[bytes, Sequence[Any]], now: int, timestamp: int) -> Stepped:
        """Steps these keys. Nothing is changed by it."""
        return step_all(groups, self.store.values, self.stage.step, now, self.ways, timestamp)

    def settle(self, folded: Folded, timestamp: int) -> None:
        """Stores what all steps have returned. Whatever fails in here leaves memory half changed: the worker ends."""
        self.newest = folded.newest
        self.tell(folded.batch, timestamp)
        self.take(folded.stepped, self.untimely)
        if folded.stepped.revisit:
            self.revisit(timestamp)

    def fold_singly(self, topic: str, records: Iterable[Record]) -> None:
        """The same one by one, each with its position; a record that a step cannot take becomes a dead letter."""
        origin = topic, self.partition
        for record in records:
            if record.offset < self.positions[topic]:
                continue
            try:
                folded = self.fold(origin, [record])
            except Exception as error:
                self.defects += not isinstance(error, TooLargeError)
                if self.defects > DEFECTS_IN_A_ROW:
                    raise
                log.error("%s: %s offset %d becomes a dead letter: %r", self.name, topic, record.offset, error)  # noqa: TRY400 - told above
                self.tell(self.stage.defect(origin, record, repr(error)), record.timestamp)
                self.count({("defects_total", self.spec.name): 1})
            else:
                self.settle(folded, record.timestamp)
                self.defects = 0
            self.positions[topic] = record.offset + 1

    def tell(self, batch: Batch, timestamp: int) -> None:
        """What follows from reading alone."""
        self.send(batch.outputs, timestamp)
        self.count(batch.counts)

    def take(self, stepped: Stepped, ripe: AbstractSet[bytes]) -> None:
        """Stores what steps have returned, in memory, for the next transaction."""
        pending = self.pending
        pending.bytes += store_all(stepped.stored, self.store, pending.dirty, ripe) + stepped.sent
        pending.rows += stepped.outputs
        for place, rows in stepped.rows.items():
            pending.outputs.setdefault(place, []).extend(rows)
        if self.untimely:
            self.untimely.difference_update(key for key, *_ in stepped.stored)
        self.journal.take(stepped.bookings)
        self.archive.take(stepped.archived)
        for counts in stepped.counts:
            self.count(counts)

    def send(self, outputs: Collection[Outgoing], timestamp: int) -> None:
        """Puts outputs to the partition of their key; each carries the time of the record that it came of."""
        if outputs:
            number, size = route(outputs, self.ways, self.pending.outputs, timestamp, self.now().to_bytes(8, "big"))
            self.pending.rows += number
            self.pending.bytes += size

    def count(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Adds to the worker's counters, shown when the transaction has committed."""
        pending = self.pending.counts
        for name, number in counts.items():
            pending[name] = pending.get(name, 0) + number

    def revisit(self, timestamp: int) -> None:
        """Steps every key that says that it is open."""
        is_open, values, now = self.stage.is_open, self.store.values, self.now()
        for key in [key for key, value in values.items() if is_open(value)]:
            self.step_in_time(key, now, timestamp)

    def step_in_time(self, key: bytes, now: int, timestamp: int, *, ripe: bool = False) -> None:
        """Steps a key without records. What has been applied stays as it is if that fails."""
        try:
            stepped = self.step({key: ()}, now, timestamp)
        except Exception:
            log.exception("%s: a key cannot be stepped in time; it waits for its next record", self.name)
            self.count({("defects_total", self.spec.name): 1})
            if ripe:
                self.untimely.add(key)
            return
        self.take(stepped, {key} if ripe else self.untimely)

    async def keep_time(self) -> None:
        """Steps keys whose time has come, and lets the loop go round now and then; what is left then is for the next turn."""
        for _ in range(SWEEPS_A_TURN):
            if self.closing or not self.sweep():
                return
            await asyncio.sleep(0)
        self.wake.set()

    def sweep(self) -> bool:
        """Steps keys whose time has come, a bounded number; tells whether there are more."""
        now, timestamp = self.now(), wall()
        # A key may stand there more than once; one that time could not step waits for its next record, which enters it again.
        found = list(islice((key for key in self.store.ripe(now) if key not in self.untimely), SWEPT_AT_ONCE))
        ripe: dict[bytes, tuple[()]] = dict.fromkeys(found, ())
        if ripe:
            self.pending.since = self.pending.since or time.monotonic()
            try:
                stepped = self.step(ripe, now, timestamp)
            except Exception:  # noqa: BLE001 - whichever key it is, it is told of below
                for key in ripe:
                    self.step_in_time(key, now, timestamp, ripe=True)
            else:
                self.take(stepped, ripe.keys())
        if len(found) == SWEPT_AT_ONCE:
            return True
        if self.rules.recount:
            self.rules, self.pending.rules = replace(self.rules, recount=False), True
        return False

    def look_at_ends(self) -> None:
        """Notes once that everything has been applied that was there when this shard opened."""
        if all(self.positions[topic] >= end for topic, end in self.ends.items()):
            self.caught_up = True

    def has_committed_all(self) -> bool:
        """Whether everything has been committed that was there when this shard opened."""
        return self.caught_up and all(self.committed[topic] >= end for topic, end in self.ends.items())

    def serve(self, lease: Lease, losses: int) -> None:
        """Lets it be served as soon as any former owner is silent. ``losses``: those of the lease that were known when it opened."""
        self.losses, self.served_from = losses, lease.settled()
        self.ledger.seen_from(time.monotonic() + max(0.0, self.served_from - lease.clock()))

    # Commit

    def has_work(self) -> bool:
        """Whether there is something to commit."""
        p = self.pending
        if p.dirty or p.outputs or p.rules or p.records or p.counts:
            return True
        moved = self.positions != self.committed or self.ledger.changed or self.ledger.ripe(time.monotonic())
        return bool(moved) and time.monotonic() > self.committed_at + LAZY_SECONDS

    async def rest(self, seconds: float) -> None:
        """Returns so long after the last transaction, or as soon as there is much to commit."""
        if self.filled > MUCH:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.committed_at + seconds - time.monotonic())):
                await self.filling.wait()

    async def commit(self) -> None:
        """One transaction: changed state, totals, positions, outputs. Raises if its outcome is not known to be good."""
        started = time.monotonic()
        self.book()
        done, self.pending = self.pending, Pending()
        self.filling.clear()
        positions = dict(self.positions)
        batches, taken = self.build(done)
        waiting = self.waiting.take(done.dirty, self.store.values, self.stage.waiting)
        async with asyncio.timeout(COMMIT_SECONDS):
            await self.writer.commit(batches)
        self.committed, self.committed_at = positions, time.monotonic()
        self.publish(done, taken)
        self.ledger.served.waiting = waiting
        self.meters.commit.observe(time.monotonic() - started)

    def build(self, done: Pending) -> tuple[list[tuple[str, int, BatchBuilder]], list[Taken]]:
        """Everything that goes into one transaction, as it is at this moment."""
        self.ledger.grow_up(time.monotonic())
        records, taken = self.ledger.take()
        rows = rows_of(done.dirty)
        rows += [(key, value, None, ()) for key, value in records]
        rows += [(POSITION + topic.encode(), self.position(topic), None, ()) for topic in self.positions]
        rows.append((CLOCK, self.newest.to_bytes(8, "big"), None, ()))
        if done.rules:
            rows.append((RULES, ENCODE(self.rules), None, ()))
        return self.writer.batches({(self.spec.changelog, self.partition): rows, **done.outputs}), taken

    def book(self) -> None:
        """What was noted goes to the ledger, so that it says what the states say."""
        postings = list(self.journal.bookings())
        self.ledger.book(postings)
        if postings:
            added, retracted = sum(new > 0 for _, new, _ in postings), sum(gone > 0 for _, _, gone in postings)
            self.count({("bookings_total", "added"): added, ("bookings_total", "retracted"): retracted})
        self.ledger.archive(self.archive.bookings())

    def position(self, topic: str) -> bytes:
        """The position in a topic as the changelog keeps it."""
        known = self.topics[topic]
        return ENCODE(Position(self.positions[topic], known.id, known.partitions))

    def publish(self, done: Pending, taken: list[Taken]) -> None:
        """Shows what has committed."""
        self.ledger.publish(taken, time.monotonic())
        self.meters.count(done.counts)
        self.meters.counters["transactions_total"].labels("committed").inc()
        now = wall()
        for name, hear in self.spec.heard.items():
            if rows := done.outputs.get((self.spec.topics[name], self.partition)):
                try:
                    hear(rows)
                except Exception:
                    log.exception("%s: what has committed to %s could not be told", self.name, name)
        for records in done.arrivals:
            self.meters.lag.observe(self.spec.name, now, records)

    async def idle(self) -> None:
        """Waits until there may be something to do: a slice, a due time, a birth that is over."""
        wait = IDLE_SECONDS
        due = self.store.next_due()
        if due != NEVER:
            wait = min(wait, max(0.01, (due - self.now()) / 1000))
        try:
            async with asyncio.timeout(wait):
                await self.wake.wait()
        except TimeoutError:
            return


def beyond(records: Sequence[Record], position: int) -> Sequence[Record]:
    """The records from a position on."""
    return [record for record in records if record.offset >= position]
