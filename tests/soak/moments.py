"""The moments topic, read committed: every (id, revision) once, and booked − retracted what the oracle says."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer

from streams.settings import Settings
from tests.cluster import Stored
from tests.soak.counted import Log
from tests.soak.expected import Totals

SERIES: Final = "moments_of_truth_total"
TOPIC: Final = "moments"


class Told(msgspec.Struct):
    """As much of a moment as is judged."""

    id: str
    revision: int
    state: str
    channel: str
    team: str
    actor: str


READ: Final = msgspec.json.Decoder(Told)


@dataclass
class Moments(Log):
    """Every record of the topic. ``net`` by channel, team and actor; ``newest`` the highest revision of each id."""

    revisions: Counter[tuple[str, int]] = field(default_factory=Counter)
    newest: dict[str, tuple[int, str, tuple[str, str, str, str]]] = field(default_factory=dict)
    net: Totals = field(default_factory=Counter)

    def take(self, record: Stored) -> None:
        """Reads one."""
        assert record.value is not None
        self.see(READ.decode(record.value))

    def see(self, told: Told) -> None:
        """Counts one."""
        labels = SERIES, told.channel, told.team, told.actor
        self.revisions[told.id, told.revision] += 1
        self.net[labels] += 1 if told.state == "booked" else -1
        if told.revision > self.newest.get(told.id, (-1,))[0]:
            self.newest[told.id] = told.revision, told.state, labels

    @property
    def repeated(self) -> int:
        """How many records have been there before."""
        return sum(number - 1 for number in self.revisions.values() if number > 1)

    @property
    def true(self) -> Totals:
        """What is true by the highest revision of each id."""
        return Counter(labels for _, state, labels in self.newest.values() if state == "booked")


async def told(settings: Settings) -> Moments:
    """All that has been told."""
    moments = Moments(settings.topic(TOPIC), settings.partitions)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker, auto_offset_reset="earliest", enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        await moments.read(consumer)
    finally:
        await consumer.stop()
    return moments
