"""The whole workload in stock Faust: two agents with a table each and a topic between, as its guide has it, one event at a time."""

import asyncio
import gc
import sys
from typing import Any

import faust
import uvloop

from tests.bench.peers import whole
from tests.bench.peers.stock import SETTINGS
from tests.bench.telling import tell_settings, telling


def put(table: Any, key: bytes, value: bytes | None) -> None:
    """A state, or that there is none any more."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def headers_of(message: Any) -> list[tuple[str, bytes]]:
    """Headers as a stage reads them."""
    return list(message.headers.items()) if isinstance(message.headers, dict) else list(message.headers or ())


def main(broker: str, run: str, partitions: int) -> None:
    """Both agents in one worker."""
    tell_settings(
        SETTINGS | {"loop": "uvloop"} | whole.SETTINGS, "faust-streaming", "mode-streaming", "aiokafka", "orjson", "uvloop", "msgspec"
    )
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    app = faust.App(
        f"stock-{run}", broker=f"kafka://{broker}", topic_partitions=partitions, topic_replication_factor=1, topic_disable_leader=True,
        consumer_auto_offset_reset="earliest", key_serializer="raw", value_serializer="raw", web_enabled=False, **SETTINGS,
    )  # fmt: skip

    def topic(name: str) -> Any:
        return app.topic(f"{run}.{name}", key_type=bytes, value_type=bytes)

    calls, interactions, told_to = topic("calls"), topic("interactions"), {name: topic(name) for name in whole.TOLD}
    assembled = app.Table("assembled", key_type=bytes, value_type=bytes, partitions=partitions)
    stitched = app.Table("stitched", key_type=bytes, value_type=bytes, partitions=partitions)
    core = whole.Core()

    @app.agent(calls)
    async def assembling(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            for key, events in core.read(message.key, message.value, headers_of(message)).items():
                state, sent = core.assemble(key, assembled.get(key), events)
                put(assembled, key, state)
                for customer, snapshot in sent:
                    await interactions.send(key=customer, value=snapshot)

    @app.agent(interactions)
    async def stitching(stream: Any) -> None:
        async for event in stream.events():
            key = event.message.key
            state, told = core.stitch(key, stitched.get(key), event.message.value)
            put(stitched, key, state)
            for output in told:
                await told_to[output.topic].send(key=output.key, value=output.value)

    async def run_it() -> None:
        await app.start()
        await telling(core.figures)

    gc.collect()
    gc.freeze()
    asyncio.run(run_it())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
