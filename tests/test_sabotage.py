"""The soak would notice: take away one thing that exactly once rests on, and what was counted is wrong within seconds."""

import asyncio
from collections.abc import Iterable
from typing import Final

import pytest

from tests.soak.provoked import Case, calm, everything, poison, provoked, refuse, restart, wake
from tests.soak.run import Soak
from tests.soak.sabotage import PROVOCATIONS, SABOTAGES
from tests.soak.subjects import CountingStages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AT_ONCE: Final = 3
STALLED: Final = 10
MISSING: Final = "missing"
REPEATED: Final = "repeated"
NONE: Final = "none"
CASES: Final = {
    NONE: Case(22, everything, tuple(provocation.__name__ for provocation in PROVOCATIONS), workers=2),
    "do_not_fence": Case(14, wake, ("freeze_before_a_commit", "do_not_fence"), workers=2, shows=REPEATED),
    "do_not_look_at_batches": Case(6, refuse, ("do_not_look_at_batches",), shows=MISSING, stalled=STALLED),
    "forge_starts": Case(4, calm, ("swallow_fetches", "forge_starts"), shows=MISSING, stalled=STALLED),
    "move_after_the_slice": Case(3, poison, ("move_after_the_slice",), shows=REPEATED),
    "start_from_the_earliest": Case(4, restart, ("start_from_the_earliest",), shows=REPEATED),
    "start_from_the_group": Case(9, restart, ("start_from_the_group",), shows=REPEATED),
    "do_not_seek": Case(3, calm, ("do_not_seek",), shows=MISSING, stalled=STALLED),
    "commit_twice": Case(6, calm, ("commit_twice",), shows=REPEATED),
}


@pytest.fixture(scope="module")
def reports(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Soak]:
    """What became of every case; a few at a time, for they mostly wait."""
    folder = tmp_path_factory.mktemp("sabotage")

    async def one(name: str, permits: asyncio.Semaphore) -> Soak:
        (folder / name).mkdir()
        async with permits:
            return await provoked(kafka, CASES[name], folder / name)

    async def every(names: Iterable[str]) -> list[Soak]:
        permits = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(one(name, permits) for name in names))

    return dict(zip(CASES, asyncio.run(every(CASES)), strict=True))


def test_every_sabotage_is_tried() -> None:
    """None is left out."""
    assert CASES.keys() - {NONE} == {sabotage.__name__ for sabotage in SABOTAGES}


def test_whatever_is_provoked_everything_is_counted_once(reports: dict[str, Soak]) -> None:
    """Fetches are lost, steps fail, batches are refused, workers freeze, are killed in a commit, restarted: exact, without sabotage."""
    soak = reports[NONE]

    assert soak.problems == []
    assert soak.workers.failures == []
    assert soak.workers.exits["by itself: -9"] == 1
    assert soak.workers.exits["by itself: 70"] >= 2


@pytest.mark.parametrize("sabotage", sorted(CASES.keys() - {NONE}))
def test_a_sabotage_shows(reports: dict[str, Soak], sabotage: str) -> None:
    """The check is not empty: it says that something is missing, or there twice, as it must be."""
    soak = reports[sabotage]
    assert isinstance(soak.subject, CountingStages)
    wrong = soak.subject.counted.verdicts().values()

    assert soak.workers.failures == []
    assert sum(getattr(verdict, CASES[sabotage].shows) for verdict in wrong) > 0, soak.rows
