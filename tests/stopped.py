"""A counting worker that says, when it has stopped, how far it had folded and how far it had committed: `python -m tests.stopped`."""

import asyncio
import json
import os
import sys
from typing import Any

from streams.commands.worker import run, use_uvloop
from streams.engine.engine import Engine
from streams.logs import configure
from streams.settings import Settings
from tests.soak.counting import app_of, attach


def positions(engine: Engine) -> dict[str, list[int]]:
    """By shard and topic: folded up to, committed up to."""
    shards = (*engine.away.values(), *engine.shards.values())
    return {f"{s.name} {topic}": [at, s.committed[topic]] for s in shards for topic, at in s.positions.items()}


async def work(settings: Settings) -> int:
    """Runs until a signal."""
    app = app_of(settings)
    pages: Any = app.web
    attach(pages.web_app, app.engine)
    status = await run(app, app.engine)
    sys.stdout.write(json.dumps(positions(app.engine)))
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    given = Settings.read(os.environ)
    configure(given.log, given.log_level, lambda _: None)
    use_uvloop()
    sys.exit(asyncio.run(work(given)))
