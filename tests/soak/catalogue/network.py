"""Between a worker and Kafka: answers are lost, connections torn, everything held up."""

import asyncio
from random import Random
from typing import Final

from tests.soak.catalogue.proxy import END_TRANSACTION, PRODUCE
from tests.soak.catalogue.scene import READY_SECONDS, SESSION, Fault, Scene

CALM_SECONDS: Final = 0.5
LOST: Final = 0.15


async def lose_answers(scene: Scene, kind: int, number: int, *, closes: bool) -> int:
    """Answers to a kind of request are lost, now and then one, and now and then that of whoever asks again; how many were."""
    proxy, chance = scene.proxy, Random(f"{scene.soak.plan.seed} {kind}")
    before = proxy.lost[kind]
    proxy.closes = closes
    proxy.loses = lambda asked: asked == kind and proxy.lost[kind] < before + number and chance.random() < LOST
    async with asyncio.timeout(READY_SECONDS):
        while proxy.lost[kind] < before + number:  # noqa: ASYNC110 - what the proxy counts
            await asyncio.sleep(CALM_SECONDS)
    proxy.loses = lambda _: False
    return proxy.lost[kind] - before


async def lost_answer(scene: Scene) -> None:
    """Kafka has committed, and whoever asked for it never hears so: with the connection gone, and in silence."""
    async with scene.load():
        torn = await lose_answers(scene, END_TRANSACTION, scene.times, closes=True)
        await scene.recovered()
        silent = await lose_answers(scene, END_TRANSACTION, max(1, scene.times // 5), closes=False)
        await scene.recovered()
    scene.how_often = f"{torn} torn, {silent} silent"


async def lost_batch(scene: Scene) -> None:
    """Kafka has taken a batch, and whoever sent it never hears so."""
    async with scene.load():
        torn = await lose_answers(scene, PRODUCE, scene.times, closes=True)
        await scene.recovered()
        silent = await lose_answers(scene, PRODUCE, max(1, scene.times // 5), closes=False)
        await scene.recovered()
    scene.how_often = f"{torn} torn, {silent} silent"


async def cut_off(scene: Scene) -> None:
    """One worker cannot reach Kafka for longer than a session, and whoever scrapes it can: in silence, and with its connections torn."""
    async with scene.load():
        for number in range(scene.times):
            await asyncio.sleep(2)
            if number % 2:
                await scene.proxy.tear()
            else:
                scene.proxy.cut()
            await asyncio.sleep(SESSION * 1.5)
            await scene.recovered()
            await asyncio.sleep(SESSION)
            serving = set((await scene.shards()).values())
            scene.soak.tell("who serves while worker 0 is cut off", sorted(serving), wrong=0 in serving)
            scene.proxy.heal()
            scene.soak.scraper.woken(scene.all[0])
            await scene.recovered()
    scene.how_often = f"{scene.times} × {2.5 * SESSION:g} s"


FAULTS: Final = (
    Fault(name="lost_answer", script=lost_answer, long=50, short=6, proxied=2),
    Fault(name="lost_batch", script=lost_batch, long=50, short=6, in_ci=False, proxied=2),
    Fault(name="cut_off", script=cut_off, long=6, short=1, proxied=1),
)
