"""The limit of the platform: aiokafka's consumer, and orjson for each value. Nothing is kept, nothing is sent."""

import asyncio
import sys

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.telling import tell_settings, telling

SETTINGS = {"max_partition_fetch_bytes": 1 << 20, "fetch_max_bytes": 50 << 20}


async def main(broker: str, run: str, partitions: int) -> None:
    """Reads on and on."""
    tell_settings(SETTINGS | {"loop": "uvloop"}, "aiokafka", "orjson", "uvloop")
    read, newest, loads = 0, 0, orjson.loads
    asked = asyncio.create_task(telling(lambda: {"events": read, "newest": newest}))
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False, **SETTINGS)
    consumer.assign([TopicPartition(f"src-{run}", n) for n in range(partitions)])
    await consumer.start()
    while not asked.done():
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                newest = loads(record.value or b"")["i"]
            read += len(records)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
