"""A stock Faust agent with a table, as its guide has it: one event at a time, at least once."""

import asyncio
import gc
import sys
from typing import Any

import faust
import orjson
import uvloop

from tests.bench.telling import tell_settings, telling

SETTINGS: dict[str, Any] = {
    "store": "memory://", "processing_guarantee": "at_least_once", "broker_commit_every": 10_000, "broker_commit_interval": 2.8,
    "stream_buffer_maxsize": 4096, "producer_linger": 0.0, "table_standby_replicas": 0, "broker_session_timeout": 60.0,
}  # fmt: skip


def main(broker: str, run: str, partitions: int) -> None:
    """Counts events by key, one output per event."""
    tell_settings(SETTINGS | {"loop": "uvloop"}, "faust-streaming", "mode-streaming", "aiokafka", "orjson", "uvloop")
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    app = faust.App(
        f"stock-{run}", broker=f"kafka://{broker}", topic_partitions=partitions, topic_replication_factor=1, topic_disable_leader=True,
        consumer_auto_offset_reset="earliest", key_serializer="raw", value_serializer="json", web_enabled=False, **SETTINGS,
    )  # fmt: skip
    source = app.topic(f"src-{run}", key_type=bytes, value_type=bytes, value_serializer="raw")
    counted = app.topic(f"out-{run}", key_type=bytes, value_type=bytes, value_serializer="raw")
    table = app.Table("counts", key_type=bytes, partitions=partitions)
    events = 0

    @app.agent(source)
    async def counting(stream: Any) -> None:
        nonlocal events
        async for key, value in stream.items():
            i = orjson.loads(value)["i"]
            state = table.get(key) or {"n": 0, "last": []}
            table[key] = {"n": state["n"] + 1, "last": [*state["last"], i][-6:]}
            await counted.send(key=key, value=b"%d" % i)
            events += 1

    async def run_it() -> None:
        await app.start()
        await telling(lambda: {"events": events})

    gc.collect()
    gc.freeze()
    asyncio.run(run_it())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
