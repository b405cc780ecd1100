"""The whole core under a simulated contact centre: what is served at the end must be what the oracle says of the same events."""

import asyncio
import time
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Final

from schemas import records
from streams.cli import COMING
from streams.publishing import Parcel
from streams.settings import Settings
from streams.topics import INPUTS, create
from tests import oracle
from tests.command import BIN
from tests.soak import moments
from tests.soak.expected import Totals, differences, expected, net, overflowed, without_names
from tests.soak.load import Centre
from tests.soak.run import LOOK_SECONDS, Plan, Soak
from tests.soak.subjects import environment
from tests.soak.workers import Command, plain

SHOWN: Final = 5


class WholeCore:
    """`karar worker`. ``clock`` is event or wall while there is load; then all of them are started with the same instant.

    ``rules`` are those by which the oracle judges; ``teams_changed``: queues are other teams' by them than before. ``farthest`` is the
    latest instant (ms) that the clock of any worker has shown.
    """

    name = "whole core"

    def __init__(self, settings: Settings, plan: Plan, start: int, clock: str = "event") -> None:
        self.settings, self.plan, self.clock = settings, plan, clock
        self.centre = Centre(plan.seed, start, plan.seconds * plan.rate)
        self.rules = oracle.DEFAULTS
        self.teams_changed = False
        self.farthest = 0
        self.expected: Totals = Counter()
        self.found: Totals = Counter()
        self.repeated = 0
        self.unbalanced = ""
        self.overflowed: frozenset[str] = frozenset()

    async def prepare(self) -> None:
        """Makes the topics."""
        await create(self.settings)

    def environment(self, port: int) -> dict[str, str]:
        """The settings of a worker."""
        return environment(self.settings, port, self.plan.session, KARAR_CLOCK=self.clock)

    def command(self, port: int) -> Command:
        """A worker."""
        return Command((str(BIN), "worker"), self.environment(port))

    def topics(self) -> list[str]:
        """Where the load goes."""
        return [self.settings.topic(name) for name in INPUTS]

    def parcels(self) -> Iterator[Parcel]:
        """The load."""
        return self.centre.parcels(self.settings)

    async def settle(self, soak: Soak) -> None:
        """Every worker starts again with one instant, which all sweeps come to; then until all is as the oracle says, or nothing moves."""
        await soak.workers.end_all()
        now = await self.stop_the_clock(soak.sent)
        for worker in soak.workers.all:
            soak.workers.start(worker)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            self.expected = await asyncio.get_running_loop().run_in_executor(pool, expected, self.centre, soak.sent, now, self.rules)
        moved, before = time.monotonic(), None
        while time.monotonic() - moved < soak.plan.stalled:
            texts = await soak.scraper.scrape_all(soak.workers.all)
            self.overflowed = overflowed(texts)
            self.found = without_names(await asyncio.to_thread(net, texts), self.overflowed)
            if self.found == without_names(self.expected, self.overflowed):
                return
            if self.found != before:
                moved, before = time.monotonic(), self.found
            await asyncio.sleep(LOOK_SECONDS)

    async def stop_the_clock(self, sent: int) -> int:
        """The instant (ms) from now on: no worker has ever had a later one."""
        now = await asyncio.to_thread(self.centre.newest, sent)
        if self.clock == "wall":
            now = max(now, self.farthest, time.time_ns() // 1_000_000 + 1000)
        self.clock = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
        return now

    async def judge(self, soak: Soak) -> None:
        """Net totals, moments, dead letters, the books."""
        wrong = differences(self.found, without_names(self.expected, self.overflowed))
        soak.tell("series and buckets by the oracle", len(self.expected))
        soak.tell("moments by the oracle", moments_of(self.expected))
        soak.tell("moments served", moments_of(self.found), wrong=moments_of(self.found) != moments_of(self.expected))
        soak.tell("families past the label limit", ", ".join(sorted(self.overflowed)) or "none")
        soak.tell("differences from the oracle", len(wrong), wrong=bool(wrong))
        for line in wrong[:SHOWN]:
            soak.tell("difference", line, wrong=True)
        await self.judge_moments(soak)
        await self.audit(soak)

    async def judge_moments(self, soak: Soak) -> None:
        """Every (id, revision) once; booked − retracted, and what is true by the last revision of each id, are the oracle's."""
        if not hasattr(records, "MomentOfTruth"):
            soak.tell("moments told", "still to come")
            return
        told = await moments.told(self.settings)
        self.repeated = told.repeated
        soak.tell("moments told", told.revisions.total())
        soak.tell("moments told twice", told.repeated, wrong=bool(told.repeated))
        theirs = Counter({key: amount for key, amount in self.expected.items() if key[0] == moments.SERIES})
        for what, ours in (("booked − retracted", told.net), ("true by the last revision", told.true)):
            wrong = differences(self.by_team(ours), self.by_team(theirs))
            soak.tell(f"moments {what}: differences", len(wrong), wrong=bool(wrong))

    def by_team(self, found: Totals) -> Totals:
        """Moments by channel, team and actor; without the team where rules gave queues to others: what was told is not told anew."""
        if not self.teams_changed:
            return found
        summed: Totals = Counter()
        for (series, channel, _, actor), amount in found.items():
            summed[series, channel, actor] += amount
        return summed

    async def audit(self, soak: Soak) -> None:
        """`karar audit` balances."""
        if "audit" in COMING:
            soak.tell("karar audit", "still to come")
            return
        given = {**plain(), **self.environment(0)}
        audit = await asyncio.create_subprocess_exec(BIN, "audit", env=given, stdout=PIPE, stderr=STDOUT)
        said, _ = await audit.communicate()
        last = said.decode().strip().rpartition("\n")[2]
        soak.tell("karar audit", f"exit {audit.returncode}: {last}", wrong=audit.returncode != 0)
        self.unbalanced = last if audit.returncode else ""


def moments_of(totals: Totals) -> int:
    """How many moments of truth there are."""
    return sum(amount for key, amount in totals.items() if key[0] == moments.SERIES)
