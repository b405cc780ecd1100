"""Whether Kafka can be reached, in words of our own: the client tells each try of each of its connections, and never what that means."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from streams.engine.engine import Engine
from streams.engine.spec import wall

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1
SILENT_SECONDS: Final = 3
"""A heartbeat is confirmed about once a second. In a rebalance none is for a while, so Kafka is asked before it is blamed."""
AGAIN_SECONDS: Final = 10


class Reach:
    """What is to be told of a Kafka that may be out of reach. Instants are those of the lease's clock."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.away: float | None = None
        self.since, self.told = "", 0.0

    def line(self, heard: float, now: float, held: float) -> str:
        """What is to be told at ``now``, mostly nothing. ``heard``: when Kafka last answered; ``held``: for how long we surely serve."""
        if now < heard + SILENT_SECONDS:
            away, self.away = self.away, None
            return "" if away is None else f"Kafka answers again at {self.address}, after {now - away:.0f} s"
        if self.away is None:
            self.away, self.since = heard, f"{datetime.fromtimestamp(wall() / 1000 - (now - heard), UTC):%Y-%m-%dT%H:%M:%SZ}"
        elif now < self.told + AGAIN_SECONDS:
            return ""
        self.told = now
        return (
            f"Kafka cannot be reached at {self.address} since {self.since}, for {now - self.away:.0f} s: it is tried again all the time, "
            f"and nothing is lost; {served(held)}"
        )


def served(held: float) -> str:
    """What a worker goes on showing that hears nothing of its group."""
    if held > 0:
        return f"what has committed is served for {held:.0f} s more, as long as the lease lasts"
    return "nothing is served, for the lease has ended"


async def listen(engine: Engine) -> None:
    """Tells that Kafka cannot be reached, again and again as long as that lasts, and that it answers again."""
    lease, reach = engine.lease, Reach(engine.kafka.bootstrap)
    answered = lease.clock()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if lease.clock() >= lease.heard + SILENT_SECONDS and await engine.kafka.answers():
            answered = lease.clock()
        now = lease.clock()
        if line := reach.line(max(answered, lease.heard), now, lease.until - now if engine.holds() else 0.0):
            log.warning("%s", line)
