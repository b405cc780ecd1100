"""How long a shard waits from one of its transactions to the next (docs/decisions/010): what arrives meanwhile goes into that one.

One that is half full waits no longer (`Shard.rest`, docs/decisions/019). `Turns` says how often others have theirs between slices.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LEAST_SECONDS: Final = 0.01
TRANSACTION_SECONDS: Final = 1 / 400
"""What a transaction costs, broker and worker together. Shards leave each other so much: more of them would only wait for one another."""
BUSY_SECONDS: Final = 0.11
BUSY_TRANSACTION_SECONDS: Final = 1 / 145
"""So long they wait where the process uses a whole core, and so much for each shard: as many transactions a second, however many there are.
Less, as far as it has time to spare."""
LOOK_SECONDS: Final = 0.5
BREATH_SECONDS: Final = 0.0004
"""How long slices are applied before the loop goes round: a transaction needs some nine turns of it, and each waits for what is folded."""
TURNS: Final = 16
"""A scrape needs some ten turns of the loop, and with one after each slice it would wait for ten slices (docs/decisions/023)."""


class Pace:
    """Asked before each transaction. ``busy``: the share of a core that the process has used lately."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.since, self.used = time.monotonic(), time.process_time()

    def seconds(self, shards: int) -> float:
        """Seconds from the end of a shard's transaction to its next one, where there are so many shards."""
        now = time.monotonic()
        if now > self.since + LOOK_SECONDS:
            used = time.process_time()
            self.busy = (used - self.used) / (now - self.since)
            self.since, self.used = now, used
        return max(LEAST_SECONDS, shards * TRANSACTION_SECONDS, self.busy * max(BUSY_SECONDS, shards * BUSY_TRANSACTION_SECONDS))


class Turns:
    """How often the loop goes round between slices: once, and more often while somebody waits for a scrape (``askers`` says how many)."""

    def __init__(self) -> None:
        self.askers = 0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Somebody waits while the block runs."""
        self.askers += 1
        try:
            yield
        finally:
            self.askers -= 1

    async def give(self) -> None:
        """Lets others have their turns."""
        await asyncio.sleep(0)
        for _ in range(TURNS - 1):
            if not self.askers:
                return
            await asyncio.sleep(0)
