"""The same path without Kafka: both stages over in-memory partitions, state encoded, step by step as the engine does it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Any, Final, Protocol
from zlib import crc32

from schemas.events import Event, Reset
from streams.core.assemble import INTERACTIONS, RESETS, Assemble, key_of
from streams.core.identity import Identity
from streams.core.journal import Journal, amounts
from streams.core.reading import Facts
from streams.core.sealed import due_of, open_of, waiting_of
from streams.core.series import HELD, REFUSED, SENT, is_private
from streams.core.step import NEVER, Change, Output
from streams.core.stitch import Stitch, decode
from streams.core.targets import KEPT, Rules
from streams.engine.ledger import LIMIT, Ledger
from streams.engine.stage import Place
from streams.exposition import exposition
from streams.metrics import Configured, other

SLICE: Final = 500


class Step(Protocol):
    """What a shard runs for one key."""

    def __call__(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """Returns all that follows."""


class Shard:
    """One partition of one stage: encoded state by key, due times, and its books."""

    def __init__(self, step: Step, ledger: Ledger) -> None:
        self.step, self.ledger = step, ledger
        self.state: dict[bytes, bytes] = {}
        self.due: list[tuple[int, bytes]] = []
        self.journal, self.archive = Journal(), Journal()
        ledger.introduce()

    def run(self, key: bytes, records: Sequence[Any], now: int, *, ripe: bool = False) -> Change:
        """One step, and its state stored. A key that was found `ripe` has no entry among the due ones any more."""
        old = self.state.get(key)
        change = self.step(key, old, records, now)
        if change.bookings:
            self.journal.take(change.bookings)
        if change.archived:
            self.archive.take(change.archived)
        if change.value is None:
            self.state.pop(key, None)
            return change
        self.state[key] = change.value
        if change.due != NEVER and (old is None or ripe or change.due < due_of(old)):
            heappush(self.due, (change.due, key))
        return change

    def ripe(self, now: int) -> Iterator[bytes]:
        """The keys whose due time has come, in its order. One whose due time has moved on waits again."""
        while self.due and self.due[0][0] <= now:
            due, key = heappop(self.due)
            value = self.state.get(key)
            if value is None:
                continue
            if due_of(value) <= due:
                yield key
            elif due_of(value) != NEVER:
                heappush(self.due, (due_of(value), key))

    def waiting(self) -> dict[str, int]:
        """For each series of waits, the earliest instant since when somebody waits."""
        earliest: dict[str, int] = {}
        for value in self.state.values():
            for series, since in waiting_of(value):
                earliest[series] = min(since, earliest.get(series, since))
        return earliest

    def open(self) -> list[bytes]:
        """The keys that say that they are open."""
        return [key for key, value in self.state.items() if open_of(value)]

    def post(self) -> None:
        """What was noted since the last call goes to the ledger."""
        self.ledger.book(self.journal.bookings())
        self.ledger.archive(self.archive.bookings())

    def differences(self, facts: Callable[[bytes], Facts]) -> dict[Place, int]:
        """The trial balance, from the encoded state alone."""
        live: Counter[Place] = Counter()
        for value in self.state.values():
            live.update(amounts(facts(value)))
        return self.ledger.differences(live)


class Replay:
    """Both stages over ``partitions`` in-memory partitions.

    ``now`` is the newest event time so far, and what `finish` is told, unless ``clock`` fixes it; ``kept``: how long the state of a
    closed chain is kept (ms). ``tell`` is given what would go to public topics; where nobody asks for it, nothing is told.
    ``limit``: how many series a family may have in each partition.
    """

    def __init__(
        self, rules: Rules, identity: Identity, partitions: int = 1, kept: int = KEPT, clock: int | None = None,
        tell: Callable[[Output], None] | None = None, limit: int = LIMIT,
    ) -> None:  # fmt: skip
        self.tell = tell
        self.rules = rules
        self.assembles = [Assemble(identity, kept) for _ in range(partitions)]
        self.stitches = [Stitch(rules, kept, tells=tell is not None) for _ in range(partitions)]
        names = Configured(rules)
        self.assemble = [Shard(stage.step, Ledger(other)) for stage in self.assembles]
        self.stitch = [Shard(stage.step, Ledger(other, limit, names.zeros(), free=names.free)) for stage in self.stitches]
        self.ledgers = {f"stitch-{n}": shard.ledger for n, shard in enumerate(self.stitch)}
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.clock = clock
        self.now = 0 if clock is None else clock

    def slices(self, events: Iterable[Event]) -> Iterator[list[Event]]:
        """Events cut as a consumer would get them: at most `SLICE` for each partition at a time."""
        source = iter(events)
        while part := list(islice(source, SLICE * len(self.assemble))):
            yield part

    def take(self, events: Sequence[Event], now: int = 0) -> None:
        """One slice of each partition: events by key, their interactions by customer, then what time has brought."""
        parts = len(self.assemble)
        grouped: dict[tuple[str, str], list[Event]] = {}
        resets = [x for x in events if type(x) is Reset]
        for x in events:
            if type(x) is not Reset:
                grouped.setdefault((x.source, x.interaction_id), []).append(x)
        if self.clock is None:
            self.now = max([self.now, now, *(x.at for x in events)])
        elif ahead := sum(x.at > self.clock for x in events):
            self.counts["after_now_total",] += ahead
        sent = self.reset(resets) if resets else []
        for group in grouped.values():
            key = key_of(group[0])
            sent += self.count(self.assemble[crc32(key) % parts].run(key, group, self.now))
        self.forward(sent)
        self.sweep()
        self.post()

    def reset(self, resets: Sequence[Event]) -> list[Output]:
        """A publisher-wide reset reaches every partition; every open interaction is looked at again."""
        sent: list[Output] = []
        for shard in self.assemble:
            if shard.run(RESETS, resets, self.now).revisit:
                for key in shard.open():
                    sent += self.count(shard.run(key, (), self.now))
        return sent

    def forward(self, sent: Iterable[Output]) -> None:
        """Snapshots to their customers."""
        parts = len(self.stitch)
        grouped: dict[bytes, list[Any]] = {}
        for output in sent:
            if output.topic == INTERACTIONS and output.key is not None and output.value is not None:
                grouped.setdefault(output.key, []).append(decode(output.value))
        for key, records in grouped.items():
            self.book(crc32(key) % parts, key, records)

    def sweep(self) -> None:
        """What time alone changes, found inside each shard."""
        for number, shard in enumerate(self.stitch):
            for key in shard.ripe(self.now):
                self.book(number, key, (), ripe=True)
        for shard in self.assemble:
            for key in shard.ripe(self.now):
                self.count(shard.run(key, (), self.now, ripe=True))

    def book(self, number: int, key: bytes, records: Sequence[Any], *, ripe: bool = False) -> None:
        """One step of stitch, and its bookings."""
        self.count(self.stitch[number].run(key, records, self.now, ripe=ripe))

    def post(self) -> None:
        """What the slice changed goes to the ledgers."""
        for shard in (*self.assemble, *self.stitch):
            shard.post()

    def count(self, change: Change) -> tuple[Output, ...]:
        """The worker counters of a change; its outputs go on, or are told."""
        self.counts.update(change.counts)
        if self.tell is not None:
            for output in change.outputs:
                if output.topic != INTERACTIONS:
                    self.tell(output)
        return change.outputs

    def finish(self, now: int | None = None) -> None:
        """Time goes on to ``now`` (the last event unless given)."""
        if self.clock is None:
            self.now = max(self.now, now or 0)
        self.sweep()
        self.post()

    def net(self) -> Counter[Place]:
        """Net amounts over all shards of what is served, without zeros."""
        total: Counter[Place] = Counter()
        for ledger in self.ledgers.values():
            total.update(ledger.net())
        return Counter({place: amount for place, amount in total.items() if amount and not is_private(place[0])})

    def differences(self) -> dict[Place, int]:
        """The trial balance of every shard, from the encoded state alone, and conservation; empty when all is well."""
        found: dict[Place, int] = {}
        for assemble, stage in zip(self.assemble, self.assembles, strict=True):
            found |= assemble.differences(stage.facts)
        for stitch, books in zip(self.stitch, self.stitches, strict=True):
            found |= stitch.differences(books.facts)
        return found | self.lost()

    def lost(self) -> dict[Place, int]:
        """Conservation: interactions sent that are neither held nor refused, when nothing is under way; empty when all is well."""
        net: Counter[Place] = Counter()
        for shard in (*self.assemble, *self.stitch):
            net.update(shard.ledger.net())
        lost = net[SENT, ""] - net[HELD, ""] - net[REFUSED, ""]
        return {("conservation", ""): lost} if lost else {}

    def metrics(self) -> bytes:
        """The ledgers as a worker would serve them."""
        waiting = {shard: self.stitch[number].waiting() for number, shard in enumerate(self.ledgers)}
        return exposition(self.ledgers, self.rules, self.now, waiting)
