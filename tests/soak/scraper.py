"""A scraper of all workers: every second, and at once when one has been woken up."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final, Self

import aiohttp

from tests.soak.watch import Watch
from tests.soak.workers import Worker

EVERY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 2.0
"""Less than a session: who waits longer for an answer might be told by a frozen worker what was true before."""
WOKEN: Final = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)


class Scraper:
    """Asks workers for their metrics, and shows the answers to a watch in the order in which they came."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.session: aiohttp.ClientSession | None = None
        self.bursts: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        patience = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        self.session = aiohttp.ClientSession(timeout=patience, connector=aiohttp.TCPConnector(force_close=True, limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for burst in self.bursts:
            burst.cancel()
        await asyncio.gather(*self.bursts, return_exceptions=True)
        if self.session is not None:
            await self.session.close()

    async def scrape(self, worker: Worker) -> str:
        """One response; empty where there was none."""
        assert self.session is not None
        sent = time.monotonic()
        try:
            async with self.session.get(worker.address) as response:
                text = await response.text("utf-8")
                received = time.monotonic()
        except TimeoutError:
            self.watch.failed("no answer in time")
        except aiohttp.ClientError:
            self.watch.failed("no connection")
        else:
            if response.status == 200:
                self.watch.take(worker.number, sent, received, text)
                return text
            self.watch.failed(f"status {response.status}")
        return ""

    async def scrape_all(self, workers: Iterable[Worker]) -> list[str]:
        """One response of each."""
        return list(await asyncio.gather(*map(self.scrape, workers)))

    async def go_on(self, worker: Worker) -> None:
        """Scrapes one worker every second, whether it answers or not."""
        while True:
            await asyncio.gather(asyncio.sleep(EVERY_SECONDS), self.scrape(worker))

    def woken(self, worker: Worker) -> None:
        """Asks a worker that has just been woken up, six times within 50 ms."""

        async def after(seconds: float) -> None:
            await asyncio.sleep(seconds)
            await self.scrape(worker)

        for seconds in WOKEN:
            burst = asyncio.create_task(after(seconds))
            self.bursts.add(burst)
            burst.add_done_callback(self.bursts.discard)
