"""What the changelog of a shard says, read to its end: states, totals, positions, and by which rules it was counted."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.ledger import Ledger
from streams.engine.store import Store
from streams.engine.takeover import CLOCK, POSITION, READ_POSITION, READ_RULES, RULES, Position, Rules, is_total, read


@dataclass
class Books:
    """All that has committed of one shard. ``newest`` is its newest event time (ms), ``shared`` what all of it shares."""

    ledger: Ledger
    store: Store
    shared: dict[bytes, bytes] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    rules: Rules | None = None
    newest: int = 0

    async def fill(self, consumer: AIOKafkaConsumer, changelog: TopicPartition, end: int, progress: Callable[[int], None]) -> None:
        """Reads the changelog from where the consumer stands up to ``end``."""
        own, shared = dict[bytes, bytes](), set[bytes]()
        await read(consumer, changelog, end, lambda records: self.store.load(records, own, shared), progress)
        self.store.loaded()
        for key, value in own.items():
            self.recall(key, value)
        self.shared = {key: found for key in shared if (found := self.store.values.get(key)) is not None}

    def recall(self, key: bytes, value: bytes) -> None:
        """Takes one of the engine's own records back."""
        if is_total(key):
            self.ledger.load(key, value)
        elif key.startswith(POSITION):
            self.positions[key.removeprefix(POSITION).decode()] = READ_POSITION.decode(value)
        elif key == CLOCK:
            self.newest = int.from_bytes(value, "big")
        elif key == RULES:
            self.rules = READ_RULES.decode(value)
