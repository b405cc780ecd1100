"""How a process that is measured tells what it has done: JSON lines on its standard output. Needs nothing but Python."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from resource import RUSAGE_SELF, getrusage
from threading import Thread
from typing import Any

TELL_SECONDS = 0.1


def tell(**figures: float) -> None:
    """One line of figures, with CPU seconds."""
    used = getrusage(RUSAGE_SELF)
    sys.stdout.write(json.dumps(figures | {"cpu": used.ru_utime + used.ru_stime}) + "\n")
    sys.stdout.flush()


def made_of(file: str) -> str:
    """Whether a module is compiled."""
    return "as it stands" if file.endswith(".py") else "compiled"


def tell_settings(settings: Mapping[str, Any], *packages: str) -> None:
    """The first line: what a host was set to, and the versions of what it is made of."""
    told = {"settings": dict(settings), "versions": {name: version(name) for name in packages} | {"python": sys.version.split()[0]}}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def telling(figures: Callable[[], dict[str, float]]) -> None:
    """Tells again and again."""
    while True:
        await asyncio.sleep(TELL_SECONDS)
        tell(**figures())


def telling_beside(figures: Callable[[], dict[str, float]]) -> None:
    """Tells again and again from a thread of its own, for a host that keeps the main one."""

    def tell_on() -> None:
        while True:
            time.sleep(TELL_SECONDS)
            tell(**figures())

    Thread(target=tell_on, daemon=True).start()
