"""A contact center in step with the clock, some of whose teams pass their customers on far too often."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from random import Random
from typing import Any, Final

from schemas.events import EVENT_TYPES, Event
from streams.engine.spec import wall
from streams.publishing import Sender, home, parcel
from streams.settings import Settings

GOOD: Final = ("Sales", "Service", "Billing", "Returns", "Orders", "Repairs")
BAD: Final = "Claims"
SOURCE: Final = "ops"
CALL_SECONDS: Final = 0.12
STAYS_SECONDS: Final = 8
"""So long whoever was passed on too often is still there: what has ended is not told any more, and a machine may be slow."""


class Center:
    """Publishes calls; ``crossed``: when the limit of transfers was crossed, by chain; ``failures``: why calls could not be published."""

    def __init__(self, sender: Sender, settings: Settings, seed: int) -> None:
        self.sender, self.settings, self.random = sender, settings, Random(seed)
        self.calls = self.said = 0
        self.crossed: dict[str, int] = {}
        self.failures: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def say(self, what: str, call: str, /, **fields: Any) -> int:
        """One event that happens now; its instant (ms)."""
        at = wall()
        made: Mapping[str, type[Event]] = EVENT_TYPES
        self.said += 1
        event = made[what](
            id=f"{call}-{self.said}", source=SOURCE, interaction_id=call, at=at, sequence=self.said, channel="call", **fields,
        )  # fmt: skip
        await self.sender.put(parcel(event, self.settings.topic(home(event))))
        await self.sender.send_all()
        return at

    def begin(self, story: Callable[[str], Awaitable[None]]) -> None:
        """A call begins, and goes on by itself."""
        self.calls += 1
        task = asyncio.ensure_future(story(f"ops-{self.calls}"))
        self.tasks.add(task)
        task.add_done_callback(self.over)

    def over(self, task: asyncio.Task[None]) -> None:
        """A call has ended, or failed."""
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(f"{type(error).__name__}: {error}")

    async def go_on(self) -> None:
        """Calls in step with the clock, without an end: every other one is bad."""
        while True:
            self.begin(self.bad if self.calls % 2 else self.good)
            await asyncio.sleep(CALL_SECONDS)

    async def settled(self) -> None:
        """Returns when every call has ended."""
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def good(self, call: str) -> None:
        """Answered soon, and settled by the first representative."""
        team = self.random.choice(GOOD)
        await self.reach(call, team)
        await asyncio.sleep(self.random.uniform(0.5, 1.5))
        await self.say("ended", call, reason="customer")

    async def bad(self, call: str) -> None:
        """Answered by a team that passes most customers on."""
        await self.reach(call, BAD)
        await asyncio.sleep(0.3)
        if self.random.random() < 0.8:
            await self.passed(call, BAD, self.random.choice(GOOD))
        await self.say("ended", call, reason="customer")

    async def odyssey(self, call: str) -> None:
        """Passed on three times, while the customer is still there."""
        teams = self.random.sample(GOOD, 4)
        await self.reach(call, teams[0])
        crossed = [await self.passed(call, before, team) for before, team in pairwise(teams)]
        self.crossed[f"{SOURCE}/{call}"] = crossed[-1]
        await asyncio.sleep(STAYS_SECONDS)
        await self.say("ended", call, reason="customer")

    async def reach(self, call: str, team: str) -> None:
        """A customer waits a moment and is answered."""
        await self.say("queued", call, queue=team, identifiers={"phone": f"+4930{self.random.randrange(10**9):09d}"})
        await asyncio.sleep(0.1)
        await self.say("answered", call, queue=team, team=team, representative=f"{team}-1")

    async def passed(self, call: str, before: str, team: str) -> int:
        """A blind transfer that is accepted; when (ms)."""
        await self.say("transferred", call, kind="blind", to_queue=team, representative=f"{before}-1")
        await self.say("queued", call, queue=team)
        await asyncio.sleep(0.1)
        return await self.say("answered", call, queue=team, team=team, representative=f"{team}-1")
