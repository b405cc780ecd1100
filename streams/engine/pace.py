"""How long a shard waits from one of its transactions to the next (docs/decisions/010): what arrives meanwhile goes into that one.

One that is half full waits no longer (`Shard.rest`, docs/decisions/019).
"""

import time
from typing import Final

LEAST_SECONDS: Final = 0.01
TRANSACTION_SECONDS: Final = 1 / 400
"""What a transaction costs, broker and worker together. Shards leave each other so much: more of them would only wait for one another."""
BUSY_SECONDS: Final = 0.11
BUSY_TRANSACTION_SECONDS: Final = 1 / 145
"""So long they wait where the process uses a whole core, and so much for each shard: as many transactions a second, however many there are.
Less, as far as it has time to spare."""
LOOK_SECONDS: Final = 0.5


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
