"""The small events of the engine's workload: 276 bytes each, of so many keys."""

import asyncio

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.publishing import Parcel, sending

KEYS = 20_000
PAD = "x" * 220


def key_of(i: int) -> bytes:
    """The key of a small event."""
    return b"c%d" % (i * 7919 % KEYS)


async def counted_topics(broker: str, run: str, partitions: int, events: int) -> None:
    """Fresh topics with small events for the counting stage, 276 bytes each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    compacted = {"cleanup.policy": "compact"}
    await admin.create_topics(
        [
            *(NewTopic(f"{name}-{run}", partitions, 1) for name in ("src", "out")),
            NewTopic(f"state-{run}", partitions, 1, topic_configs=compacted),
        ]
    )
    await admin.close()
    await asyncio.sleep(1)
    async with sending(broker, [f"src-{run}"]) as sender:
        for i in range(events):
            await sender.put(Parcel(f"src-{run}", key_of(i), orjson.dumps({"i": i, "pad": PAD})))
        await sender.flush()
