"""The two stages as the engine runs them: receive, call what is pure, send. One object for each shard, made anew when it opens."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.codec import Ignored, Rejected, check_time, encode
from schemas.events import Event, Reset
from schemas.records import Interaction, Moved
from schemas.sources import Source
from schemas.sources.canonical import CanonicalEvents
from streams.core.assemble import ASSEMBLING, MAX_EVENTS, RESETS, Assemble, key_of
from streams.core.identity import Identity
from streams.core.journal import Journal, amounts
from streams.core.sealed import Waiting, due_of, open_of, waiting_of
from streams.core.step import DEAD_LETTERS, NOW, Change, Output
from streams.core.stitch import Stitch, decode
from streams.core.targets import COUNTING_RULES, KEPT, Rules
from streams.engine.murmur import partition_of
from streams.engine.stage import Batch, Origin, Place, Record
from streams.logs import masked

log = logging.getLogger(__name__)

FORWARD: Final = "forward"
LONGEST: Final = 1 << 20
LONGEST_LETTER: Final = 8 << 20
LONGEST_WHERE: Final = 200
REMEMBERED: Final = 10_000
"""So many keys of which something was cut are remembered as told; then they may be told again."""


class Shared:
    """What both stages have in common: states with a header in front, facts that become amounts, and what was said of limits."""

    rules: str
    counting: int

    def __init__(self) -> None:
        self.cut: set[bytes] = set()

    def tell_cut(self, key: bytes, told: str, limit: int) -> None:
        """Says once of a key that a limit cuts something there; every further cut is counted alone."""
        if key in self.cut:
            return
        if len(self.cut) >= REMEMBERED:
            self.cut.clear()
        self.cut.add(key)
        log.warning(told, masked(key), limit)

    def journal(self) -> Journal:
        """A journal for bookings, and one for what is archived."""
        return Journal()

    def due(self, value: bytes) -> int:
        """The instant (ms) at which an encoded state wants to be stepped without records."""
        return due_of(value)

    def is_open(self, value: bytes) -> bool:
        """Whether an encoded state wants to be looked at when its shard says `revisit`."""
        return open_of(value)

    def waiting(self, value: bytes) -> Sequence[Waiting]:
        """Series and the instant (ms) since when somebody waits there."""
        return waiting_of(value)


class AssembleStage(Shared):
    """Stage 1: records of publishers become canonical events, events one interaction.

    ``adapters``: by topic, each used by this shard alone, for they may remember; that of ``forward``, the topic of what other
    shards were sent by mistake, reads canonical events. ``longest``: bytes that a record may have.
    """

    def __init__(
        self, identity: Identity, adapters: Mapping[str, Source], *, partition: int, partitions: int,
        forward: str = FORWARD, kept: int = KEPT, longest: int = LONGEST,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rules, self.counting = f"assemble-{ASSEMBLING}", ASSEMBLING
        self.assemble = Assemble(identity, kept)
        self.adapters, self.forward = {forward: CanonicalEvents(), **adapters}, forward
        self.partition, self.partitions, self.longest = partition, partitions, longest

    def remembers(self, topic: str) -> int:
        """How many records before its position the reading of a topic depends on."""
        return self.adapters[topic].remembers

    def prime(self, origin: Origin, records: Sequence[Record]) -> None:
        """Lets the adapter see records that were applied before; nothing follows from them."""
        source = self.adapters[origin[0]]
        for record in records:
            if not self.is_too_long(record):
                source.decode(record.value, record.offset, record.headers)

    def read(self, origin: Origin, records: Sequence[Record], wall: int) -> Batch:
        """Decodes records of one partition: events by key, what belongs to other partitions, and dead letters."""
        batch = Batch()
        source, first = self.adapters[origin[0]], origin[0] != self.forward
        for record in records:
            if self.is_too_long(record):
                self.refuse(batch, origin, record, Rejected("too_long", f"more than {self.longest} bytes"))
                continue
            refused: Rejected | None = None
            for decoded in source.decode(record.value, record.offset, record.headers):
                x = checked(decoded, wall) if isinstance(decoded, Event) else decoded
                match x:
                    case Event():
                        self.take(batch, x, first=first)
                    case Ignored():
                        count(batch, "events_total", source.name, "ignored")
                    case Rejected():
                        refused = refused or x
            if refused is not None:
                self.refuse(batch, origin, record, refused)
        return batch

    def take(self, batch: Batch, x: Event, *, first: bool) -> None:
        """An event goes to its key here, or to the partition that its interaction belongs to; a reset goes to all.

        What was forwarded stays where it is, so that nothing is sent in circles.
        """
        batch.newest = max(batch.newest, x.at)
        if type(x) is Reset:
            if first:
                value = encode(x)
                others = (p for p in range(self.partitions) if p != self.partition)
                batch.outputs += [Output(FORWARD, None, value, partition) for partition in others]
        elif first and partition_of(x.interaction_id, self.partitions) != self.partition:
            batch.outputs.append(Output(FORWARD, x.interaction_id.encode(), encode(x)))
            count(batch, "forwarded_total", x.source)
            return
        batch.groups.setdefault(key_of(x), []).append(x)

    def refuse(self, batch: Batch, origin: Origin, record: Record, refused: Rejected) -> None:
        """A record that is no event becomes a dead letter, counted by the format's name."""
        name = self.adapters[origin[0]].name
        count(batch, "events_total", name, "rejected")
        bury(batch, origin, record, name, refused.reason, refused.where)

    def is_too_long(self, record: Record) -> bool:
        """Whether a record is longer than anybody may send."""
        return record.value is not None and len(record.value) > self.longest

    def defect(self, origin: Origin, record: Record, error: str) -> Batch:
        """What becomes of a record that a step could not take: a dead letter."""
        batch = Batch()
        bury(batch, origin, record, self.adapters[origin[0]].name, "defect", error)
        return batch

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """All that follows from events for one interaction, or for the shard's resets."""
        change = self.assemble.step(key, old, records, now)
        if change.counts and ("truncated_total", "events") in change.counts:
            self.tell_cut(key, "interaction %s has more than %d events: the others are not folded", MAX_EVENTS)
        return change

    def share(self, key: bytes, value: bytes) -> None:
        """Takes the shard's resets."""
        if key == RESETS:
            self.assemble.share(value)

    def live(self, value: bytes) -> Mapping[Place, int]:
        """Whether the interaction stands sent, as an amount."""
        return amounts(self.assemble.facts(value))


class StitchStage(Shared):
    """Stage 2: interactions join their customer's chains, and what is countable is booked."""

    def __init__(self, rules: Rules, kept: int = KEPT) -> None:
        super().__init__()
        self.rules, self.counting = rules.version, int(COUNTING_RULES)
        self.stitch, self.wall = Stitch(rules, kept), 0

    def remembers(self, topic: str) -> int:
        """Every record stands for itself."""
        del topic
        return 0

    def prime(self, origin: Origin, records: Sequence[Record]) -> None:
        """Nothing is remembered."""

    def read(self, origin: Origin, records: Sequence[Record], wall: int) -> Batch:
        """Decodes snapshots and moves, by customer; the newest now of those who sent them."""
        batch, self.wall = Batch(), wall
        for record in records:
            read = interaction(record)
            if isinstance(read, Rejected):
                bury(batch, origin, record, "interactions", read.reason, read.where)
                continue
            batch.newest = max(batch.newest, sent_at(record))
            batch.groups.setdefault(record.key or b"", []).append(read)
        return batch

    def defect(self, origin: Origin, record: Record, error: str) -> Batch:
        """What becomes of a record that a step could not take: a dead letter."""
        batch = Batch()
        bury(batch, origin, record, "interactions", "defect", error)
        return batch

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """All that follows from interactions for one customer."""
        change = self.stitch.step(key, old, records, now, max(self.wall, now))
        if change.counts and ("truncated_total", "links") in change.counts:
            self.tell_cut(key, "customer %s has more than %d links in one matter: another chain goes on", self.stitch.rules.max_links)
        return change

    def share(self, key: bytes, value: bytes) -> None:
        """Nothing is shared."""

    def live(self, value: bytes) -> Mapping[Place, int]:
        """The facts that a customer's state stands for, as amounts."""
        return amounts(self.stitch.facts(value))


def checked(x: Event, wall: int) -> Event | Rejected:
    """An event that may be: neither ahead nor ancient, nor of a source whose name would make a key of the engine's."""
    if x.source < " ":
        return Rejected("impossible", "source: a name begins with a character that can be seen")
    return check_time(x, wall)


def interaction(record: Record) -> Interaction | Moved | Rejected:
    """What a record of the interactions topic says."""
    if not record.key or record.key < b" ":
        return Rejected("impossible", "a customer's key is expected")
    if not record.value:
        return Rejected("malformed", "no value")
    try:
        return decode(record.value)
    except ValueError as error:
        return Rejected("malformed", str(error))


def sent_at(record: Record) -> int:
    """The sender's now, 0 where it is not told."""
    return next((int.from_bytes(value, "big") for name, value in record.headers if name == NOW and value), 0)


def count(batch: Batch, *labels: str) -> None:
    """One more of a worker counter."""
    batch.counts[labels] = batch.counts.get(labels, 0) + 1


def bury(batch: Batch, origin: Origin, record: Record, source: str, reason: str, where: str) -> None:
    """A record as a dead letter: its bytes as they came, and in headers why, where, and where from."""
    value = record.value
    told = {
        "reason": reason,
        "where": where[:LONGEST_WHERE],
        "topic": origin[0],
        "partition": str(origin[1]),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
    }
    if value is not None and len(value) > LONGEST_LETTER:
        told["truncated"] = str(len(value))
        value = value[:LONGEST]
    headers = [(name, text.encode(errors="replace")) for name, text in told.items()]
    headers += [(f"original.{name}", content or b"") for name, content in record.headers]
    batch.outputs.append(Output(DEAD_LETTERS, record.key, value, None, tuple(headers)))
    count(batch, "dead_letters_total", source, reason)
