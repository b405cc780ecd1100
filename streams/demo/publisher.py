"""The demo's publishers: the days that have been at full speed, then every event when its time has come."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

from schemas.events import Event
from streams.publishing import Sender, home, parcel
from streams.settings import Settings

PIECE: Final = 500
LOOK_SECONDS: Final = 0.2


def wall() -> int:
    """The wall clock (ms)."""
    return time.time_ns() // 1_000_000


class Publisher:
    """Sends what happens, in order. ``published`` counts it, ``newest`` is the time (ms) of the newest event sent."""

    def __init__(self, sender: Sender, settings: Settings, events: Iterator[Event]) -> None:
        self.sender, self.settings, self.events = sender, settings, events
        self.following: Event | None = None
        self.published = 0
        self.newest = 0

    async def catch_up(self, now: int, report: Callable[[int], object], stopped: Callable[[], bool]) -> None:
        """Everything up to ``now`` (ms); ``report`` is told the newest time sent so far. BrokerError: one line."""
        while not stopped() and await self.send(now, PIECE):
            report(self.newest)
        await self.sender.flush()

    async def go_on(self) -> None:
        """What happens from now on, in step with the clock. BrokerError: one line."""
        while True:
            while await self.send(wall(), PIECE):
                pass
            await self.sender.send_all()
            await asyncio.sleep(LOOK_SECONDS)

    async def send(self, until: int, most: int) -> bool:
        """So many events whose time has come; whether there may be more."""
        for _ in range(most):
            event = self.following or next(self.events)
            if event.at > until:
                self.following = event
                return False
            self.following = None
            self.newest = max(self.newest, event.at)
            self.published += 1
            await self.sender.put(parcel(event, self.settings.topic(home(event))))
        return True
