"""What came of counting: every number once in each topic that numbers go through, and in every state as many as were sent."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.amounts import AMOUNTS, Amounts
from streams.engine.ledger import SERIES as TOTAL
from streams.engine.takeover import is_state
from streams.settings import Settings
from tests.cluster import Stored
from tests.counting import HEADER, READ_STATE
from tests.soak.counting import DEAD, IN, MIDDLE, OUT, SECOND, STATES
from tests.topics import stored

READ_BYTES: Final = 4 << 20
NUMBER: Final = re.compile(rb"-?\d+")
LONGEST_FRONT: Final = 40


@dataclass
class Log(ABC):
    """A topic, read on from where it was read before. ``values`` and ``keys`` count; ``newest`` has the last value of each key."""

    name: str
    partitions: int
    positions: dict[int, int] = field(default_factory=dict)

    async def read(self, consumer: AIOKafkaConsumer) -> int:
        """What has been committed since; how many records that were."""
        places = [TopicPartition(self.name, n) for n in range(self.partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, self.positions.get(place.partition, 0))
        ends = await consumer.end_offsets(places)
        number = 0
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                number += len(records)
                for record in records:
                    self.take(stored(place, record))
        for place in places:
            self.positions[place.partition] = await consumer.position(place)
        return number

    @abstractmethod
    def take(self, record: Stored) -> None:
        """Takes notice of one record."""


@dataclass
class Numbers(Log):
    """A topic of numbers: how often each is there, and how many of each key. Those below 0 are counted apart: nobody can count them."""

    values: Counter[int] = field(default_factory=Counter)
    poison: Counter[int] = field(default_factory=Counter)
    keys: Counter[bytes] = field(default_factory=Counter)

    def take(self, record: Stored) -> None:
        """Counts a number, whether alone or as an event."""
        assert record.value is not None
        assert record.key is not None
        digits = NUMBER.search(record.value, 0, LONGEST_FRONT)
        assert digits is not None
        number = int(digits[0])
        if number < 0:
            self.poison[number] += 1
        else:
            self.values[number] += 1
            self.keys[record.key] += 1


@dataclass
class States(Log):
    """A changelog: how many events the state of each key has counted, and the amounts of the ledger of each partition."""

    keys: Counter[bytes] = field(default_factory=Counter)
    places: dict[bytes, int] = field(default_factory=dict)
    totals: dict[tuple[int, bytes], Amounts] = field(default_factory=dict)

    def take(self, record: Stored) -> None:
        """Keeps what is newest. A state that was archived is none."""
        assert record.key is not None
        if is_state(record.key):
            self.keys[record.key] = READ_STATE.decode(record.value[HEADER:]).n if record.value is not None else 0
            self.places[record.key] = record.partition
        elif record.key.startswith(TOTAL) and record.value is not None:
            self.totals[record.partition, record.key] = AMOUNTS.decode(record.value)

    def net(self) -> int:
        """What the ledgers of all partitions say."""
        return sum(amounts.net for amounts in self.totals.values())

    def balance(self) -> int:
        """The trial balance: by how much net − archived and the states of a partition differ, over all partitions."""
        rest: Counter[int] = Counter()
        for (partition, _), amounts in self.totals.items():
            rest[partition] += amounts.net - amounts.archived
        for key, n in self.keys.items():
            rest[self.places[key]] -= n
        return sum(map(abs, rest.values()))


@dataclass
class Verdict:
    """How what is there differs from what was sent."""

    missing: int
    repeated: int

    def __bool__(self) -> bool:
        """Whether it differs."""
        return bool(self.missing or self.repeated)

    def __str__(self) -> str:
        return f"{self.missing:,} missing, {self.repeated:,} repeated" if self else "exact"


def compared(expected: Counter[int] | Counter[bytes], actual: Counter[int] | Counter[bytes]) -> Verdict:
    """What is missing, and what is there too often or was never sent."""
    keys = expected.keys() | actual.keys()
    differences = [actual[key] - expected[key] for key in keys]  # type: ignore[index]  # both of one kind
    return Verdict(-sum(n for n in differences if n < 0), sum(n for n in differences if n > 0))


class Counted:
    """All topics of a counting soak. ``archived_at``: how many events of a key are archived together, its state with them; 0: never."""

    def __init__(self, settings: Settings, archived_at: int = 0) -> None:
        self.settings, self.archived_at = settings, archived_at
        self.numbers = {name: Numbers(settings.topic(name), settings.partitions) for name in (IN, MIDDLE, OUT, DEAD)}
        self.states = {stage: States(settings.topic(name), settings.partitions) for stage, name in STATES.items()}

    async def read(self) -> int:
        """Reads on everywhere; how many records that were.

        What follows from something is read before it: what is counted meanwhile may seem to be missing, and never to be there twice.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.broker, auto_offset_reset="earliest", enable_auto_commit=False,
            isolation_level="read_committed", max_partition_fetch_bytes=READ_BYTES,
        )  # fmt: skip
        await consumer.start()
        try:
            return sum([await log.read(consumer) for log in reversed((*self.numbers.values(), *self.states.values()))])
        finally:
            await consumer.stop()

    def verdicts(self) -> dict[str, Verdict]:
        """By what was compared with what was sent."""
        sent = self.numbers[IN]
        found = {
            f"outputs of {stage}": compared(sent.values, self.numbers[name].values)
            for stage, name in zip(STATES, (MIDDLE, OUT), strict=True)
        }
        for (stage, states), source in zip(self.states.items(), (IN, MIDDLE), strict=True):
            found[f"states of {stage}"] = compared(self.living(self.numbers[source].keys), states.keys)
            found[f"ledger of {stage}"] = compared(Counter({0: sent.values.total()}), Counter({0: states.net()}))
        found["dead letters"] = compared(sent.poison, self.numbers[DEAD].poison)
        return found

    def living(self, keys: Counter[bytes]) -> Counter[bytes]:
        """How many events the states should have, of so many that came."""
        return Counter({key: n % self.archived_at for key, n in keys.items()}) if self.archived_at else keys

    def balance(self) -> int:
        """Trial balance and conservation: what the first stage sent is what the second one has counted."""
        held = self.states[SECOND].net()
        return sum(states.balance() for states in self.states.values()) + abs(self.numbers[MIDDLE].values.total() - held)

    def is_exact(self) -> bool:
        """Whether everything sent was counted once."""
        return not any(self.verdicts().values())

    def is_repeated(self) -> bool:
        """Whether anything was counted twice."""
        return any(verdict.repeated for verdict in self.verdicts().values())
