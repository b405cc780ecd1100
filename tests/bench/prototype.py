"""The design's prototype (`design/prototypes/shards.py` of the shared folder), run as it is, which tells what it has committed."""

import asyncio

from shard_app import app, engine  # type: ignore[import-not-found] # from the shared folder, on the path

from tests.bench.telling import telling


async def main() -> None:
    """Runs it."""
    await app.start()
    await telling(lambda: {"events": sum(shard.committed for shard in engine.shards.values())})


if __name__ == "__main__":
    asyncio.run(main())
