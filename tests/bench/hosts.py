"""Processes that `tests.bench.live` measures: the counting stage in Karar's engine, and the same core in stock Faust agents.

Each prints one JSON line every tenth of a second: what it has done, and how much CPU it has used for it.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faust

from schemas.sources import open_source
from streams.agents import AssembleStage, StitchStage
from streams.app import ledger_of
from streams.commands.worker import collect_seldom, use_uvloop
from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.engine.engine import Engine
from streams.engine.host import build
from streams.engine.kafka import Kafka
from streams.engine.ledger import Ledger
from streams.engine.spec import Spec, wall
from streams.settings import Settings
from tests.bench.telling import telling
from tests.counting import Counting


@dataclass
class Message:
    """A record as a stage reads it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def counting(broker: str, run: str, partitions: int) -> None:
    """The counting stage in Karar's engine: one shard a partition."""
    spec = Spec(
        name="count", sources=(f"src-{run}",), changelog=f"state-{run}", partitions=partitions, make=lambda _: Counting(),
        ledger=lambda: Ledger(str), topics={"out": f"out-{run}", "dead": f"out-{run}"}, outputs={"out": partitions, "dead": partitions},
    )  # fmt: skip
    engine = Engine([spec], Kafka(broker, session=8.0), f"count-{run}")
    app = build(engine, name=f"count-{run}", web={"web_enabled": False})
    use_uvloop()

    async def main() -> None:
        await app.start()
        await telling(lambda: {"events": sum(sum(s.committed.values()) for s in engine.shards.values())})

    collect_seldom()
    asyncio.run(main())


def stock(broker: str, prefix: str, partitions: int) -> None:
    """The same core in stock Faust agents with tables, as Faust's guide has it: one event at a time, at least once."""
    app = faust.App(
        f"stock-{prefix}", broker=f"kafka://{broker}", store="memory://", topic_partitions=partitions, topic_replication_factor=1,
        topic_disable_leader=True, consumer_auto_offset_reset="earliest", key_serializer="raw", value_serializer="raw",
        table_standby_replicas=0, web_enabled=False, broker_session_timeout=30.0,
    )  # fmt: skip
    names = [f"{prefix}.{name}" for name in ("calls", "visits", "feedback")]
    sources = app.topic(*names, key_type=bytes, value_type=bytes)
    interactions = app.topic(f"{prefix}.interactions", key_type=bytes, value_type=bytes)
    assembled = app.Table("assembled", key_type=bytes, value_type=bytes, partitions=partitions)
    stitched = app.Table("stitched", key_type=bytes, value_type=bytes, partitions=partitions)
    adapters = {name: open_source("events") for name in names}
    assemble = AssembleStage(Identity(), adapters, partition=0, partitions=1)
    stitch, ledger, journal = StitchStage(Rules()), ledger_of(Settings(birth_seconds=0)), StitchStage(Rules()).journal()
    figures: dict[str, float] = {"events": 0, "sent": 0, "stitched": 0}
    now = 0

    def put(table: Any, key: bytes, value: bytes | None) -> None:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value

    @app.agent(sources)
    async def assembling(stream: Any) -> None:
        nonlocal now
        async for event in stream.events():
            batch = assemble.read([record_of(event.message)], wall())
            now = max(now, batch.newest)
            for key, events in batch.groups.items():
                change = assemble.step(key, assembled.get(key), events, now)
                put(assembled, key, change.value)
                for output in change.outputs:
                    if output.topic == "interactions":
                        await interactions.send(key=output.key, value=output.value)
                        figures["sent"] += 1
            figures["events"] += 1

    @app.agent(interactions)
    async def stitching(stream: Any) -> None:
        async for event in stream.events():
            for key, snapshots in stitch.read([record_of(event.message)], wall()).groups.items():
                change = stitch.step(key, stitched.get(key), snapshots, now)
                put(stitched, key, change.value)
                journal.take(change.bookings)
                ledger.book(journal.bookings())
            figures["stitched"] += 1

    async def main() -> None:
        await app.start()
        await telling(lambda: dict(figures))

    gc.collect()
    gc.freeze()
    asyncio.run(main())


def record_of(message: Any) -> Message:
    """Faust's message as a record."""
    headers = list(message.headers.items()) if isinstance(message.headers, dict) else list(message.headers or ())
    return Message(message.topic, message.partition, message.offset, int(message.timestamp * 1000), message.key, message.value, headers)


if __name__ == "__main__":
    {"counting": counting, "stock": stock}[sys.argv[1]](os.environ["KARAR_BROKER"], sys.argv[2], int(sys.argv[3]))
