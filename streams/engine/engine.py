"""All shards of this process: opened, run, put away through a rebalance, taken up again; and when to leave instead.

A worker whose memory can no longer be trusted, or in which nothing moves, leaves with status 70 and starts again from what has
committed; whoever runs it restarts it. A shard that is *refused* stays closed and says why; the process goes on.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from streams.engine.kafka import Kafka
from streams.engine.lease import Lease
from streams.engine.ledger import Served
from streams.engine.meters import Meters
from streams.engine.opening import let_go, open_shard, recheck, reopen_shard
from streams.engine.pace import BREATH_SECONDS, Pace, Turns
from streams.engine.shard import Shard
from streams.engine.slices import Slice
from streams.engine.spec import Clock, Spec, wall
from streams.engine.takeover import Refused

log = logging.getLogger(__name__)

START_AGAIN: Final = 70
LEAVE_SECONDS: Final = 1.5
CLOSE_SECONDS: Final = 20
COMMITS_AT_ONCE: Final = 6
OPENINGS_AT_ONCE: Final = 4
SEEK_SECONDS: Final = 5.0

Slot = tuple[str, int]


class Delivery(Protocol):
    """What the engine asks of the consumer."""

    async def seek_to(self, topic: str, partition: int, position: int) -> None:
        """Reads on from there."""

    async def first_offset(self, topic: str, partition: int) -> int:
        """The first offset that the log still has."""

    async def last_offset(self, topic: str, partition: int) -> int:
        """The end of the log."""

    def pause(self, tps: Iterable[Slot]) -> None:
        """Stops delivering these."""

    def resume(self, tps: Iterable[Slot]) -> None:
        """Delivers these."""

    def end_of(self, topic: str, partition: int) -> int | None:
        """The end of the log as far as it is known."""

    async def mirror(self, offsets: Mapping[Slot, int]) -> None:
        """Shows positions in the group's offsets."""

    async def leave_group(self) -> None:
        """Tells the group that this member goes."""


class Progress(NamedTuple):
    """How far one shard is. ``state``: opening (``read`` ``of`` so many records of its changelog), catching up, open, or refused."""

    name: str
    state: str
    why: str
    read: int
    of: int
    behind_seconds: float
    position: Mapping[str, int]


class Engine:
    """The shards of this process, by topic and partition. ``upsets``: how often any was paused, assigned or opened."""

    def __init__(self, specs: Sequence[Spec], kafka: Kafka, group: str, clock: Clock | None = None) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.stage_of = {topic: spec.name for spec in specs for topic in spec.sources}
        self.kafka, self.group, self.clock = kafka, group, clock or Clock()
        self.meters, self.lease = Meters(), Lease(kafka.session)
        self.shards: dict[Slot, Shard] = {}
        self.away: dict[Slot, Shard] = {}
        self.opening: dict[Slot, Shard] = {}
        self.refused: dict[Slot, str] = {}
        self.mine: set[Slot] | None = None
        self.tasks: dict[Slot, asyncio.Task[None]] = {}
        self.ends: set[asyncio.Task[None]] = set()
        self.consumer: Delivery | None = None
        self.permits, self.pace, self.turns = asyncio.Semaphore(COMMITS_AT_ONCE), Pace(), Turns()
        self.openings = asyncio.Semaphore(OPENINGS_AT_ONCE)
        self.leaving = False
        self.upsets = 0

    # Which shards are here

    @property
    def delivery(self) -> Delivery:
        """The consumer, which there is as soon as shards have been assigned."""
        if self.consumer is None:
            raise RuntimeError("no partition has been assigned yet")
        return self.consumer

    def takes(self, topic: str, partition: int) -> bool:
        """Whether a slice of this partition may be delivered."""
        return (self.stage_of.get(topic, ""), partition) in self.shards

    def wants(self, topic: str, partition: int) -> bool:
        """Whether more of this partition should be fetched."""
        shard = self.shards.get((self.stage_of.get(topic, ""), partition))
        return shard is not None and not shard.paused

    def positions(self) -> dict[Slot, int]:
        """Up to where every open shard has applied its sources."""
        return {(topic, shard.partition): at for shard in self.shards.values() for topic, at in shard.positions.items()}

    def assigned(self, consumer: Delivery, tps: set[Slot]) -> None:
        """These partitions are ours now. Shards open in the background."""
        self.consumer = consumer
        self.upsets += 1
        sources = {(spec.name, n): [(topic, n) for topic in spec.sources] for spec in self.specs.values() for n in range(spec.partitions)}
        self.mine = {slot for slot, needed in sources.items() if not tps.isdisjoint(needed)}
        for slot in [slot for slot in self.away if slot not in self.mine]:
            self.forget(slot)
        self.lease.assigned()
        self.refused = {}
        log.info("assigned: %s", ", ".join(f"{name}-{n}" for name, n in sorted(self.mine)) or "nothing")
        for slot in sorted(self.mine, key=lambda slot: (slot not in self.away, slot)):  # what was here does not wait for what is read
            if missing := [topic for topic, n in sources[slot] if (topic, n) not in tps]:
                self.forget(slot)
                self.refuse(slot, f"{slot[0]}-{slot[1]}: partition {slot[1]} of {', '.join(missing)} is not assigned here; do all workers "
                            "have the same KARAR_ADAPTERS, and all topics as many partitions?")  # fmt: skip
            else:
                self.tasks[slot] = asyncio.create_task(self.open(slot), name=f"{slot[0]}-{slot[1]}")

    def forget(self, slot: Slot) -> None:
        """Lets a shard go that was put away, if one was."""
        if (shard := self.away.pop(slot, None)) is not None:
            self.ends.add(task := asyncio.create_task(let_go(shard)))
            task.add_done_callback(self.ends.discard)

    def refuse(self, slot: Slot, why: str) -> None:
        """Keeps a shard closed, and says why. The process goes on."""
        log.error("refused: %s", why)
        self.refused[slot] = why

    async def open(self, slot: Slot) -> None:
        """Opens a shard, or takes it up again, and runs it until it is put away."""
        try:
            async with self.openings:
                shard = await self.taken_up(slot)
        except asyncio.CancelledError:
            raise
        except Refused as why:
            self.opening.pop(slot, None)
            self.refuse(slot, str(why))
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, the shard cannot be served
            self.leave(f"{slot[0]}-{slot[1]} does not open: {error!r}")
            return
        if self.tasks.get(slot) is not asyncio.current_task():
            await let_go(shard)  # it was put away as it opened, and is somebody else's, or opened anew
            return
        self.shards[slot] = shard
        self.upsets += 1
        try:
            await self.read_on(shard)
            while await self.turn(shard):
                pass
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - fenced, refused, or an unknown outcome: memory is ahead of the log
            self.meters.counters["transactions_total"].labels("failed").inc()
            self.leave(f"{shard.name} cannot commit: {error!r}")
        if slot in self.refused:
            await let_go(shard)

    async def taken_up(self, slot: Slot) -> Shard:
        """The shard that was put away if nobody has had it meanwhile; else a new one, read from its changelog."""
        losses = self.lease.known
        if slot in self.away:
            shard = self.away[slot]
            try:
                ours = await reopen_shard(shard)
            except Refused:
                self.forget(slot)
                raise
            self.away.pop(slot, None)
            if ours:
                shard.closing = shard.paused = False
                if losses != shard.losses:
                    shard.serve(self.lease, losses)
                return shard
            await let_go(shard)
        spec = self.specs[slot[0]]
        shard = self.opening[slot] = Shard(spec, slot[1], self.kafka, self.group, self.meters, self.clock)
        try:
            await open_shard(shard)
        except BaseException:
            await let_go(shard)
            raise
        self.meters.recovery.labels(*map(str, slot)).set(shard.opened_in)
        shard.serve(self.lease, losses)
        self.opening.pop(slot, None)
        return shard

    async def put_away(self) -> None:
        """Commits what is folded and puts every shard away; a shard that cannot is a reason to leave."""
        for slot, shard in self.shards.items():
            shard.closing = True
            shard.wake.set()
            self.away[slot] = shard
        for slot, task in self.tasks.items():
            if slot not in self.shards and slot not in self.refused:
                task.cancel()
        self.shards = {}
        self.opening.clear()
        running, self.tasks = list(self.tasks.values()), {}
        if running:
            _, late = await asyncio.wait(running, timeout=CLOSE_SECONDS)
            if late:
                self.leave(f"{len(late)} shards cannot finish their commit")

    # Slices

    def bundled(self, parts: Iterable[Slice]) -> Iterable[list[Slice]]:
        """Slices by stage, in their order."""
        bundles: dict[str, list[Slice]] = {}
        for part in parts:
            bundles.setdefault(self.stage_of[part.topic], []).append(part)
        return bundles.values()

    async def apply_all(self, bundle: Iterable[Slice]) -> None:
        """Gives slices to their shards, and lets the loop go round now and then."""
        since = time.monotonic()
        for part in bundle:
            await self.apply(part)
            if time.monotonic() > since + BREATH_SECONDS:
                await self.turns.give()
                since = time.monotonic()

    async def apply(self, part: Slice) -> None:
        """Gives a slice to its shard; what was lost before it is read again."""
        shard = self.shards.get((self.stage_of[part.topic], part.partition))
        if shard is None or self.leaving:
            return  # it opens at its own position, and whoever has it then reads from there
        try:
            if not shard.apply(part):
                await self.read_again(shard, part.topic, f"a slice began at {part.start}")
            elif not shard.has_room and not shard.paused:
                shard.paused = True
                self.upsets += 1
                self.delivery.pause([(topic, shard.partition) for topic in shard.spec.sources])
        except Exception as error:  # noqa: BLE001 - never Faust's agent restart: what is applied would be applied again
            self.leave(f"{shard.name} cannot apply what it gets: {error!r}")

    async def read_again(self, shard: Shard, topic: str, why: str) -> None:
        """Seeks back to where the shard stands, once: slices that were under way meanwhile begin too late as well."""
        now, position = time.monotonic(), shard.positions[topic]
        if now < shard.sought.get(topic, 0.0) + SEEK_SECONDS:
            return
        shard.sought[topic] = now
        log.warning("%s: read %s again from %d: %s", shard.name, topic, position, why)
        self.meters.counters["seeks_total"].labels(topic).inc()
        await self.delivery.seek_to(topic, shard.partition, position)

    async def gone(self, topic: str, partition: int) -> None:
        """The broker has no record where a shard wants to read on: the log is judged anew, and the shard refused."""
        slot = self.stage_of[topic], partition
        shard = self.shards.get(slot)
        if shard is None or self.leaving:
            return
        try:
            first, last = await self.delivery.first_offset(topic, partition), await self.delivery.last_offset(topic, partition)
            await recheck(shard, topic, first, last)
            await self.delivery.seek_to(topic, partition, shard.positions[topic])
        except Refused as why:
            self.shards.pop(slot, None)
            shard.closing = True
            shard.wake.set()
            self.delivery.pause([(source, partition) for source in shard.spec.sources])
            self.refuse(slot, str(why))
        except Exception as error:  # noqa: BLE001 - it is not known what may be read
            self.leave(f"{shard.name} cannot read {topic}: {error!r}")

    async def read_on(self, shard: Shard) -> None:
        """Lets a shard that has just opened be delivered to."""
        for topic, position in shard.positions.items():
            await self.delivery.seek_to(topic, shard.partition, position)
        self.delivery.resume([(topic, shard.partition) for topic in shard.positions])

    # Running

    async def turn(self, shard: Shard) -> bool:
        """One round: commits what there is; False when the shard is put away and nothing is left, or the process ends."""
        await shard.idle()
        shard.wake.clear()
        await self.look(shard)
        await shard.keep_time()
        if self.is_ending() or not shard.has_work():
            return not (shard.closing or self.is_ending())
        await shard.rest(self.pace.seconds(len(self.shards)))
        async with self.permits:
            if self.is_ending():
                return False
            await shard.commit()
        if shard.paused and shard.has_room and not shard.closing:
            shard.paused = False
            self.delivery.resume([(topic, shard.partition) for topic in shard.spec.sources])
        if shard.pending.records or shard.closing:
            shard.wake.set()
        return True

    async def look(self, shard: Shard) -> None:
        """Notes once that a shard has caught up: with what was there when it opened, and with what the stage before made of it."""
        if shard.caught_up or not self.fed(shard.spec):
            return
        if shard.spec.after and not shard.fed:
            shard.ends = {topic: await self.kafka.written(topic, shard.partition) for topic in shard.ends}
            shard.fed = True
        shard.look_at_ends()

    def fed(self, spec: Spec) -> bool:
        """Whether the stage before this one, as far as it is here, has committed all that was there when it opened."""
        before = [slot for slot in self.mine or () if slot[0] == spec.after and slot not in self.refused]
        return all(slot in self.shards and self.shards[slot].has_committed_all() for slot in before)

    def is_ending(self) -> bool:
        """Whether the process is on its way out, which may change while one waits: nothing may be applied or committed any more."""
        return self.leaving

    def leave(self, why: str) -> None:
        """Ends the process: it starts again from what has committed. The group is told, if that takes no time."""
        if self.leaving:
            return
        self.leaving = True
        self.lease.lost()
        log.critical("leaving, to start again from what has committed: %s", why)
        backstop = threading.Timer(LEAVE_SECONDS, os._exit, (START_AGAIN,))
        backstop.daemon = True
        backstop.start()
        asyncio.get_running_loop().create_task(self.say_goodbye())

    async def say_goodbye(self) -> None:
        """Leaves the group and the process."""
        with suppress(Exception):
            if self.consumer is not None:
                await self.consumer.leave_group()
        logging.shutdown()
        os._exit(START_AGAIN)

    # For whoever serves

    def lag_of(self, shard: Shard) -> int:
        """Records of its sources that a shard has not applied."""
        ends = {topic: self.delivery.end_of(topic, shard.partition) for topic in shard.positions}
        return sum(max(0, end - shard.positions[topic]) for topic, end in ends.items() if end is not None)

    def behind(self, shard: Shard) -> float:
        """Seconds that a shard is behind; 0 when it has caught up."""
        return 0.0 if shard.caught_up and not self.lag_of(shard) else max(0.0, (wall() - shard.last_record) / 1000)

    def holds(self) -> bool:
        """Whether shards may be served at this moment."""
        return not self.leaving and self.lease.holds()

    def served(self) -> dict[str, Served]:
        """What of the shards here may be served, by name. Only while `holds`."""
        now, losses = self.lease.clock(), self.lease.losses
        held = (*self.away.values(), *self.shards.values())
        return {shard.name: shard.ledger.served for shard in held if shard.losses == losses and now >= shard.served_from}

    def ready(self) -> bool:
        """Whether every shard that is ours is open."""
        return self.mine is not None and all(slot in self.shards for slot in self.mine)

    def progress(self) -> list[Progress]:
        """How far each shard is."""
        return [self.progress_of(slot) for slot in sorted(self.mine or ())]

    def progress_of(self, slot: Slot) -> Progress:
        """How far one shard is."""
        name = f"{slot[0]}-{slot[1]}"
        if shard := self.shards.get(slot):
            state = "open" if shard.caught_up else "catching up"
            return Progress(name, state, "", shard.read, shard.total, self.behind(shard), dict(shard.positions))
        if why := self.refused.get(slot):
            return Progress(name, "refused", why, 0, 0, 0.0, {})
        opening = self.opening.get(slot)
        read, total = (opening.read, opening.total) if opening is not None else (0, 0)
        return Progress(name, "opening", "", read, total, 0.0, {})
