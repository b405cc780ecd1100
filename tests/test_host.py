"""The Faust app: what it does not wait for."""

import asyncio
import inspect

import pytest
from faust.tables.manager import TableManager

from streams.app import app_of
from streams.engine.host import Tables
from streams.settings import Settings

pytestmark = pytest.mark.asyncio


async def test_nobody_waits_for_tables_at_a_start() -> None:
    """Faust sleeps once, to give others time to declare some: there are none. Where it sleeps more than once, look again."""
    app = app_of(Settings.read({}), web={"web_enabled": False})

    assert isinstance(app.tables, Tables)
    assert inspect.getsource(TableManager).count(".sleep(1.0)") == inspect.getsource(TableManager).count("self.sleep(") == 1
    async with asyncio.timeout(10):
        await app.tables.sleep(3_600)
