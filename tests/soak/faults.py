"""What goes wrong in a soak, drawn from a seed: SIGKILL, SIGSTOP, SIGTERM of workers, one SIGKILL of Kafka."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streams.broker.kafka import Broker
from tests.soak.scraper import Scraper
from tests.soak.workers import Worker, Workers

BAG: Final = ("SIGKILL", "SIGKILL", "SIGSTOP past the session", "SIGSTOP past the session", "SIGSTOP", "SIGTERM")
CALM_SECONDS: Final = (3.0, 12.0)
KAFKA_AWAY_SECONDS: Final = (3.0, 8.0)


@dataclass
class Faults:
    """Torments workers until an instant of the monotonic clock; every worker has a sequence of its own. ``done`` counts by kind."""

    workers: Workers
    scraper: Scraper
    session: float
    seed: int
    until: float
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, broker: Broker | None) -> None:
        """All of it, until the time is up and everything runs again."""
        jobs = [self.torment(worker) for worker in self.workers.all]
        await asyncio.gather(*jobs, *([self.kill_kafka(broker)] if broker is not None else []))

    async def torment(self, worker: Worker) -> None:
        """One fault after another, with some calm between."""
        chance = Random(f"{self.seed} worker {worker.number}")
        for kind in kinds(chance):
            await asyncio.sleep(chance.uniform(*CALM_SECONDS))
            if time.monotonic() >= self.until:
                return
            await self.strike(worker, kind, chance)

    async def strike(self, worker: Worker, kind: str, chance: Random) -> None:
        """One fault, and what follows."""
        match kind:
            case "SIGKILL":
                struck = self.workers.kill(worker)
                await asyncio.sleep(chance.uniform(0, 1))
                self.workers.start(worker)
            case "SIGTERM":
                struck = await self.workers.end(worker)
                await asyncio.sleep(chance.uniform(0, 3))
                self.workers.start(worker)
            case _:
                seconds = chance.uniform(1, 3) if kind == "SIGSTOP" else self.session + chance.uniform(1, 4)
                struck = self.workers.send(worker, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                if self.workers.send(worker, signal.SIGCONT):
                    self.scraper.woken(worker)
        self.done[kind] += struck

    async def kill_kafka(self, broker: Broker) -> None:
        """Somewhere in the middle, once."""
        chance = Random(f"{self.seed} kafka")
        rest = self.until - time.monotonic()
        await asyncio.sleep(rest * chance.uniform(0.3, 0.6))
        away = chance.uniform(*KAFKA_AWAY_SECONDS)
        self.workers.expect_no_kafka(3600)
        broker.kill()
        await asyncio.sleep(away)
        await asyncio.to_thread(broker.start)
        self.workers.expect_no_kafka(0)
        self.done["SIGKILL of Kafka"] += 1


def kinds(chance: Random) -> Iterator[str]:
    """Kinds of faults for ever: all of the bag in some order, again and again, so that even a short run has them all."""
    while True:
        yield from chance.sample(BAG, len(BAG))
