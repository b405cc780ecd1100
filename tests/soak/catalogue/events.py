"""Records that are out of the ordinary: poison in every position of a slice, messages of 10 MB, one customer with most of the events."""

import asyncio
from collections.abc import Iterator
from typing import Final

from streams.engine.slices import LONGEST
from tests.soak import counting
from tests.soak.catalogue.scene import Fault, Scene

ONE_KEY: Final = b"poisoned"
EDGES: Final = (0, LONGEST - 1, LONGEST, 2 * LONGEST - 1, 2 * LONGEST, 3 * LONGEST - 1)
MB: Final = 1_000_000
LARGE: Final = 10 * MB
LARGEST: Final = {"max.message.bytes": str(12 * MB)}
CALM_SECONDS: Final = 1
AT_ONCE: Final = 5_000


def event(number: int, filler: int = 0) -> bytes:
    """A number as an event, with so many bytes that say nothing."""
    return b'{"i":%d,"filler":"%s"}' % (number, b"x" * filler) if filler else b'{"i":%d}' % number


async def publish_poisoned(scene: Scene, length: int, positions: tuple[int, ...]) -> None:
    """Records of one key at once, of which some cannot be counted; returns when the others are."""
    numbers = (-scene.more() if n in positions else scene.more() for n in range(length))
    await scene.publish((ONE_KEY, event(number)) for number in numbers)
    scene.published -= len(positions)
    await scene.recovered()


async def poison(scene: Scene) -> None:
    """A message that no step can take, in every position of a slice; then at every edge of long ones."""
    for position in range(scene.times):
        await publish_poisoned(scene, scene.times, (position,))
    await publish_poisoned(scene, 3 * LONGEST, EDGES)
    scene.how_often = f"{scene.times + len(EDGES)} positions"


async def large(scene: Scene) -> None:
    """Messages of 10 MB between small ones; every third is one that no step can take."""
    async with scene.load():
        for n in range(scene.times):
            await asyncio.sleep(CALM_SECONDS)
            dead = n % 3 == 2
            await scene.publish([(b"large-%d" % n, event(-scene.more() if dead else scene.more(), LARGE))])
            scene.published -= dead
            await scene.recovered()
    scene.how_often = f"{scene.times} × {LARGE // MB} MB"


async def hot_key(scene: Scene) -> None:
    """One key has a hundred times as many events as all others together, as fast as they can be sent."""

    def events(number: int) -> Iterator[tuple[bytes, bytes]]:
        for _ in range(number):
            yield b"hot", event(scene.more())

    async with scene.load():
        for _ in range(0, scene.times, AT_ONCE):
            await scene.publish(events(min(AT_ONCE, scene.times)))
        await scene.recovered()
    scene.how_often = f"{scene.times:,} of one key"


FAULTS: Final = (
    Fault(name="poison", script=poison, long=100, short=8),
    Fault(name="large", script=large, long=30, short=3, configs={counting.IN: LARGEST, counting.DEAD: LARGEST}, grows_mb=250),
    Fault(name="hot_key", script=hot_key, long=100_000, short=20_000, in_ci=False),
)
