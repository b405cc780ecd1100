"""What the pages see of an engine."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from streams.app import STITCH
from streams.chains import States
from streams.engine.engine import Engine, Progress
from streams.engine.ledger import Served
from streams.engine.murmur import partition_of
from streams.engine.spec import wall


class EngineView:
    """The engine of this process, read only."""

    def __init__(self, engine: Engine, partitions: int) -> None:
        self.engine, self.partitions = engine, partitions

    def lease(self) -> bool:
        """Whether this process surely holds its shards right now."""
        return self.engine.holds()

    def served(self) -> Mapping[str, Served]:
        """What may be served of each shard held here."""
        return self.engine.served()

    def progress(self) -> Sequence[Progress]:
        """How far each shard is."""
        return self.engine.progress()

    def ready(self) -> bool:
        """Whether every shard of ours is open."""
        return self.engine.ready()

    def now(self) -> int:
        """The newest now of the shards that count; the wall clock where there is none."""
        return max((s.now() for s in self.engine.shards.values() if s.spec.name == STITCH), default=wall())

    def asked(self) -> AbstractContextManager[None]:
        """Somebody waits for a scrape while the block runs: slices leave more turns of the loop to others."""
        return self.engine.turns.asked()

    def states(self) -> Mapping[str, States]:
        """The encoded states of the customers held here, by shard."""
        return {s.name: s.store.values for s in self.engine.shards.values() if s.spec.name == STITCH}

    def partition_of(self, key: bytes) -> str:
        """The shard that a customer's key belongs to."""
        return f"{STITCH}-{partition_of(key, self.partitions)}"
