"""Engines of a counting stage on a real Kafka, in this process: each with its Faust app, as a worker has it, but for the pages."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.connection import administrator
from streams.engine.engine import Engine, Progress
from streams.engine.host import KararApp, build
from streams.engine.kafka import Kafka
from streams.engine.ledger import Ledger
from streams.engine.opening import let_go
from streams.engine.shard import Shard
from streams.engine.spec import Spec
from streams.settings import Settings
from tests.cluster import Stored
from tests.counting import Counting
from tests.topics import fresh, records

SESSION: Final = 6.0
PATIENCE: Final = 40
LOOK: Final = 0.02
SERIES: Final = "events_counted"


@dataclass
class Place:
    """Topics of one stage, with a prefix of their own."""

    settings: Settings

    def spec(self, make: Callable[[], Counting] = Counting) -> Spec:
        """The stage."""
        topic, n = self.settings.topic, self.settings.partitions
        return Spec(
            name="count", sources=(topic("in"),), changelog=topic("state"), partitions=n, make=lambda _: make(),
            ledger=lambda: Ledger(lambda series: series), topics={"out": topic("out"), "dead": topic("dead")},
            outputs=dict.fromkeys(("out", "dead"), n),
        )  # fmt: skip

    async def publish(self, *numbers: int, partition: int = 0, keys: int = 1, compression: str | None = None) -> None:
        """Events, each of one of so many keys."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker, compression_type=compression)
        await producer.start()
        try:
            rows = [(b"k%d" % (n % keys), b'{"i":%d}' % n) for n in numbers]
            await asyncio.gather(*[await producer.send(self.settings.topic("in"), value, key, partition) for key, value in rows])
        finally:
            await producer.stop()

    async def records(self, topic: str) -> list[Stored]:
        """What has been committed to a topic."""
        return await asyncio.to_thread(records, self.settings, topic)

    async def check(self, expected: Counter[int]) -> None:
        """The events that outputs tell of are these. Kafka says that it has committed a little before readers see it."""
        found: Counter[int] = Counter()
        async with asyncio.timeout(PATIENCE):
            while found.total() < expected.total():
                found = Counter(json.loads(record.value or b"-1") for record in await self.records("out"))
        assert found == expected

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Whom one asks to change topics."""
        async with administrator(self.settings.broker) as admin:
            yield admin


async def place(kafka: str, partitions: int = 2, **configs: str) -> Place:
    """Fresh topics; ``configs`` are the changelog's."""
    made = Place(fresh(kafka, partitions))
    state = {"cleanup.policy": "compact"} | {name.replace("_", "."): text for name, text in configs.items()}
    topics = {"in": {}, "out": {}, "dead": {}, "state": state}
    async with made.admin() as admin:
        await admin.create_topics(
            [NewTopic(made.settings.topic(name), partitions, 1, topic_configs=given) for name, given in topics.items()]
        )
    return made


@dataclass
class Live:
    """One running engine."""

    app: KararApp
    engine: Engine

    @property
    def delivery(self) -> Any:
        """Its consumer."""
        return self.app.consumer

    @property
    def client(self) -> Any:
        """The consumer of aiokafka within."""
        return self.delivery._thread._consumer  # noqa: SLF001 - the driver's names

    def shard(self, n: int = 0) -> Shard:
        """One of its shards."""
        return self.engine.shards["count", n]

    def total(self) -> int:
        """What is in the books here of what has committed."""
        return sum(s.ledger.served.series.get(SERIES, {}).get("", (0, 0))[0] for s in self.engine.shards.values())

    def served(self) -> Mapping[str, int]:
        """What a scrape would show at this moment."""
        if not self.engine.holds():
            return {}
        return {name: of.series.get(SERIES, {}).get("", (0, 0))[0] for name, of in self.engine.served().items()}

    async def counted(self, number: int) -> None:
        """Returns when so many have been counted here."""
        await until(lambda: self.total() >= number)
        assert self.total() == number

    async def refused(self) -> list[Progress]:
        """What is refused here, as soon as every shard is refused or open."""
        await until(lambda: bool(self.engine.progress()) and all(p.state != "opening" for p in self.engine.progress()))
        return [p for p in self.engine.progress() if p.state == "refused"]


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits for something that is to come."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a condition of a test
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def running(at: Place, make: Callable[[], Counting] = Counting, *, ready: bool = True, **changes: Any) -> AsyncIterator[Live]:
    """An engine whose shards are open, unless it is not to be waited for; stopped in order in the end. ``changes`` of its stage."""
    engine = Engine([replace(at.spec(make), **changes)], Kafka(at.settings.broker, session=SESSION), at.settings.prefix)
    app = build(engine, name=at.settings.prefix, web={"web_enabled": False})
    starting = asyncio.create_task(app.start())
    try:
        if ready:
            await until(engine.ready)
        yield Live(app, engine)
    finally:
        async with asyncio.timeout(PATIENCE):
            await app.stop()
            await asyncio.gather(*(let_go(shard) for shard in (*engine.away.values(), *engine.shards.values())))
        starting.cancel()
        await asyncio.wait([starting])
