"""First operations, for as long as CI has patience: what goes wrong is told, the dashboard shows it, shards move and nothing falls.

`make ops-test` goes on for longer.
"""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from streams.settings import Settings
from tests.debian import program_or_skip
from tests.ops.run import Ops, Plan
from tests.ops.service import Center
from tests.topics import fresh

PARTITIONS: Final = 2
"""Half of the series of `make ops-test`, which are read every second; a worker still takes over what the other had beside its own."""
SHORT: Final = Plan(chains=20, seconds=10, moves=3, backlog=100_000, latest=6)
"""A machine of CI's may be slow: an alert only has to arrive while its customer is there, and beside other tests two workers may fold as
few as 2,500 events/s of what has waited; where they fold ten times as many, they are behind for four seconds."""


@pytest.mark.slow
@pytest.mark.no_cover  # the product runs in processes of its own: to trace this one would only slow it
@pytest.mark.timeout(600)
def test_what_is_shipped_tells_and_shows_what_goes_wrong(tmp_path: Path, kafka: str, seed: int) -> None:
    """Real Prometheus and Alertmanager, two workers, a load that goes wrong on purpose."""
    for name in ("prometheus", "promtool", "prometheus-alertmanager"):
        program_or_skip(name)
    ops = Ops(fresh(kafka, PARTITIONS), tmp_path, SHORT, seed, print)
    asyncio.run(ops.run())

    assert ops.problems == [], ops.rows


class Gone:
    """A sender whose Kafka is gone."""

    async def put(self, _: object) -> None:
        """Takes nothing."""
        raise OSError("gone")


@pytest.mark.asyncio
async def test_a_call_that_cannot_be_published_is_told(tmp_path: Path, seed: int) -> None:
    """As a wrong row, and its reason once."""
    ops = Ops(Settings(), tmp_path, Plan(chains=0), seed, print)
    center = Center(Gone(), Settings(), seed)  # type: ignore[arg-type] # as much of a sender as a call needs
    for story in (center.good, center.bad, center.odyssey):
        center.begin(story)
    await ops.settled(center)

    assert ops.rows == [("calls", "3, 3 of them failed")]
    assert ops.problems == ["calls: 3, 3 of them failed", "OSError: gone"]


@pytest.mark.asyncio
async def test_what_should_go_on_and_does_not_is_told(tmp_path: Path, seed: int) -> None:
    """As a wrong row too; what is ended with the block is none."""
    shown: list[tuple[str, str, bool]] = []
    ops = Ops(Settings(), tmp_path, Plan(), seed, lambda *row: shown.append(row))

    async def fail() -> None:
        raise OSError("gone")

    async with ops.meanwhile("one", fail()), ops.meanwhile("other", asyncio.sleep(60)):
        await asyncio.sleep(0)

    assert shown == [("one", "ended by OSError('gone')", True)]
