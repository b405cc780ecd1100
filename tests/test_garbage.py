"""The garbage collector stops everything while it looks: it is seldom asked, but soon after something may be in circles."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from streams.commands import worker

pytestmark = pytest.mark.asyncio


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How often the collector was asked; it looks around the clock."""
    found: list[None] = []
    monkeypatch.setattr(gc, "collect", lambda: found.append(None))
    monkeypatch.setattr(worker, "GARBAGE_SECONDS", 0)
    return found


async def turns(number: int = 20) -> None:
    """Lets the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_it_is_asked_after_partitions_were_paused_or_assigned(asked: list[None]) -> None:
    """Once for whatever has happened since it looked."""
    engine: Any = SimpleNamespace(upsets=3)
    task = asyncio.create_task(worker.collect(engine))
    await turns()
    before = len(asked)
    for _ in range(2):
        engine.upsets += 2
        await turns()
    task.cancel()

    assert (before, len(asked)) == (0, 2)


async def test_it_is_asked_now_and_then(asked: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing has happened."""
    monkeypatch.setattr(worker, "SELDOM_SECONDS", 0)
    engine: Any = SimpleNamespace(upsets=0)
    task = asyncio.create_task(worker.collect(engine))
    await turns()
    task.cancel()

    assert asked
