"""Both stages as a host runs them, without Kafka: topics with partitions and offsets, slices of one partition, outputs routed."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.sources import Source
from streams.agents import AssembleStage, StitchStage
from streams.core.identity import Identity
from streams.core.series import HELD, REFUSED, SENT, is_private
from streams.core.step import Change, Output
from streams.core.targets import Rules
from streams.engine.ledger import Ledger
from streams.engine.murmur import partition_of
from streams.engine.stage import SHARED, Batch, Origin, Place, Stage
from streams.metrics import other
from streams.replay import Shard

WALL: Final = 4_102_444_800_000  # 2100: no event of a test lies in the future


@dataclass
class Arrived:
    """A record as it was consumed."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0
    timestamp: int = 0


def origin(records: Sequence[Arrived]) -> Origin:
    """Where records came from."""
    return next(((one.topic, one.partition) for one in records), ("", 0))


class Hosted:
    """One shard of one stage: its states, its books, its now."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.shard = Shard(stage.step, Ledger(other))  # type: ignore[arg-type]  # a host knows the contract only
        self.now = 0
        self.outputs: list[Output] = []
        self.counts: Counter[tuple[str, ...]] = Counter()

    def take(self, records: Sequence[Arrived]) -> list[Output]:
        """One slice of one topic, and what it sends."""
        return self.apply(self.stage.read(origin(records), records, WALL))

    def apply(self, batch: Batch) -> list[Output]:
        """What was read: step by step, with what steps ask to be looked at again."""
        self.now = max(self.now, batch.newest)
        self.outputs += batch.outputs  # type: ignore[arg-type]  # likewise
        self.counts.update(batch.counts)
        for key, group in batch.groups.items():
            if self.run(key, group).revisit:
                for open_key in self.shard.open():
                    self.run(open_key, ())
        return self.sweep(self.now)

    def sweep(self, now: int) -> list[Output]:
        """What time alone brings; everything that is to be sent since the last call."""
        self.now = max(self.now, now)
        for key in self.shard.ripe(self.now):
            self.run(key, (), ripe=True)
        self.shard.post()
        sent, self.outputs = self.outputs, []
        return sent

    def run(self, key: bytes, records: Sequence[Any], *, ripe: bool = False) -> Change:
        """One step, noted."""
        change = self.shard.run(key, records, self.now, ripe=ripe)
        told = (("now", self.now.to_bytes(8, "big")),)
        self.outputs += [x._replace(headers=told) if x.topic == "interactions" else x for x in change.outputs]
        self.counts.update(change.counts)
        return change

    def differences(self) -> dict[Place, int]:
        """The trial balance, from the encoded states alone."""
        live: Counter[Place] = Counter()
        for value in self.shard.state.values():
            live.update(self.stage.live(value))
        return self.shard.ledger.differences(live)

    def reopened(self, stage: Stage) -> None:
        """The same states under a new owner, who is told what is shared."""
        self.stage, self.shard.step = stage, stage.step  # type: ignore[assignment]  # likewise
        for key, value in self.shard.state.items():
            if key.startswith(SHARED):
                stage.share(key, value)


class Host:
    """All shards of both stages, and the topics between them and out of them."""

    def __init__(self, adapters: Mapping[str, type[Source]], partitions: int, rules: Rules | None = None) -> None:
        self.partitions = partitions
        self.adapters = adapters
        self.rules = rules or Rules()
        self.assemble = [Hosted(self.assembling(p)) for p in range(partitions)]
        self.stitch = [Hosted(StitchStage(self.rules)) for _ in range(partitions)]
        self.topics: dict[str, list[Output]] = {}
        self.offsets: Counter[tuple[str, int]] = Counter()

    def assembling(self, partition: int) -> AssembleStage:
        """Stage 1 of a partition, as it is when it opens: with adapters of its own."""
        adapters = {topic: adapter() for topic, adapter in self.adapters.items()}
        return AssembleStage(Identity(), adapters, partition=partition, partitions=self.partitions)

    def take(self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """One slice of one partition of a publisher's topic, and all that follows from it."""
        arrived = [self.arrived(Output(topic, key, value), partition) for key, value in records]
        self.route(self.assemble[partition].take(arrived))

    def arrived(self, output: Output, partition: int) -> Arrived:
        """A record at the end of its partition."""
        offset = self.offsets[output.topic, partition]
        self.offsets[output.topic, partition] += 1
        return Arrived(output.topic, offset, output.key, output.value, output.headers, partition)

    def route(self, outputs: Iterable[Output]) -> None:
        """Outputs to whom they belong, until nothing is under way; what leaves Karar stays in `topics`."""
        way = deque(outputs)
        while way:
            output = way.popleft()
            shards = {"interactions": self.stitch, "forward": self.assemble}.get(output.topic)
            if shards is None:
                self.topics.setdefault(output.topic, []).append(output)
                continue
            partition = partition_of(output.key or b"", self.partitions) if output.partition is None else output.partition
            way += shards[partition].take([self.arrived(output, partition)])

    def finish(self, now: int) -> None:
        """Time goes on everywhere."""
        for shard in (*self.assemble, *self.stitch):
            self.route(shard.sweep(now))

    def net(self) -> Counter[Place]:
        """What is true now, over all shards of stage 2."""
        total: Counter[Place] = Counter()
        for shard in self.stitch:
            total.update(shard.shard.ledger.net())
        return Counter({place: amount for place, amount in total.items() if amount and not is_private(place[0])})

    def lost(self) -> int:
        """Conservation: interactions sent that are neither held nor refused."""
        net = Counter[Place]()
        for shard in (*self.assemble, *self.stitch):
            net.update(shard.shard.ledger.net())
        return net[SENT, ""] - net[HELD, ""] - net[REFUSED, ""]

    def counts(self) -> Counter[tuple[str, ...]]:
        """Worker counters of all shards."""
        return sum((shard.counts for shard in (*self.assemble, *self.stitch)), Counter[tuple[str, ...]]())
