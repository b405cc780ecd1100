"""`karar worker`: one worker in the foreground, until a signal ends it in order."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NoReturn

from prometheus_client import disable_created_metrics

from streams.app import app_of
from streams.broker import BrokerError
from streams.connection import UnreachedError
from streams.core.targets import Rules
from streams.doors import Entrance, Runner, inherited, listening, port_of, site
from streams.engine.engine import LEAVE_SECONDS, START_AGAIN, Engine
from streams.engine.host import KararApp
from streams.engine.reach import listen
from streams.engine.watch import watch
from streams.given import identity_of, settled_rules
from streams.logs import configure, hushed
from streams.permissions import forbidden
from streams.settings import Settings, unknown
from streams.topics import check
from streams.view import EngineView
from streams.web import Pages, attach

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 7
START_SECONDS: Final = 2
END_SECONDS: Final = 9.5
"""From a signal to the end of the process: whoever runs workers may count on 10 s."""
PATIENCE_SECONDS: Final = 60
WAIT_SECONDS: Final = 5
GARBAGE_SECONDS: Final = 30
SELDOM_SECONDS: Final = 600
"""A step leaves nothing in circles, so the collector has little to find, and to look at what every step makes took a fourteenth of a
worker's time. What it finds is of connections and errors, some kilobytes a second, and it stops everything for 0.15 s of a core: so it
is seldom asked, but soon after partitions were paused or given to somebody else, when fetches and whole shards may be in circles."""


def worker(environment: Mapping[str, str], numbers: Sequence[int] = ()) -> int:
    """Runs until SIGTERM or SIGINT; the exit status: 0, or 70 for "start me again". ValueError, BrokerError: one line.

    ``numbers``: sockets that whoever starts it has opened for it, instead of those of the settings.
    """
    settings = Settings.read(environment)
    rules = settled_rules(settings)
    with inherited(numbers) if numbers else listening(settings.web_host, settings.web_port) as sockets:
        return work(settings, rules, sockets, unknown(environment))


def work(settings: Settings, rules: Rules, sockets: Sequence[socket.socket], warnings: Iterable[str]) -> int:
    """Runs a worker whose pages are at these sockets; the exit status. ``warnings`` are for its log. BrokerError: one line."""
    port = port_of(sockets)
    app = app_of(settings, web={"web_port": port, "web_bind": settings.web_host, "web_cors_options": None})
    engine = app.engine
    disable_created_metrics()  # type: ignore[no-untyped-call] # METRICS.md, Ledger habits: off by default
    configure(settings.log, settings.log_level, lambda kind: engine.meters.counters["kafka_retries_total"].labels(kind).inc())
    for line in warnings:
        log.warning("%s", line)
    pages = Pages(identity_of(settings), rules, engine.meters.registry, settings.web_token)
    engine.meters.build.labels(version("karar"), rules.version).set(1)
    web: Any = app.web
    attach(web.web_app, EngineView(engine, settings.partitions), pages)
    # Faust's own have no limits, and bind a port too late to say in one line that it is taken; held by tests/test_doors.py
    web._runner = runner = Runner(web.web_app)  # noqa: SLF001 - Faust gives no other way
    web._transport_handlers["tcp"] = lambda: Entrance(runner, sockets, site(settings.web_host, port))  # noqa: SLF001 - as above
    try:
        with hushed("aiokafka"):
            if problems := asyncio.run(checked(settings)):
                raise BrokerError(f"{problems[0]}; `karar topics` creates what is missing and says what else is wrong")
            if problems := asyncio.run(forbidden(settings, engine.specs.values())):
                raise BrokerError(problems[0])
    except UnreachedError as error:
        log.critical("leaving, to be started again: %s", error)
        return START_AGAIN
    collect_seldom()
    use_uvloop()
    return asyncio.run(ended(app, engine))


async def checked(settings: Settings) -> list[str]:
    """What is wrong with the topics. Waits for a Kafka that does not answer yet. UnreachedError: for too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await check(settings)
        except UnreachedError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting: %s", error)
            await asyncio.sleep(WAIT_SECONDS)


def collect_seldom() -> None:
    """Lets the garbage collector leave alone what is there, and do nothing by itself."""
    gc.collect()
    gc.freeze()
    gc.disable()


async def collect(engine: Engine) -> None:
    """Frees what is in circles, now and then."""
    upsets, since = engine.upsets, time.monotonic()
    while True:
        await asyncio.sleep(GARBAGE_SECONDS)
        if engine.upsets != upsets or time.monotonic() > since + SELDOM_SECONDS:
            upsets, since = engine.upsets, time.monotonic()
            gc.collect()


def use_uvloop() -> None:
    """A faster event loop, where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def ended(app: KararApp, engine: Engine) -> NoReturn:
    """Ends the process with the status of `run`, at once: a thread that goes on under an interpreter that clears up can crash it."""
    status = await run(app, engine)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


async def run(app: KararApp, engine: Engine) -> int:
    """Starts the app, waits for a signal or a crash, and stops it in order, within `END_SECONDS` of a signal whatever it is about."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    background = [asyncio.create_task(one(engine), name=one.__name__) for one in (watch, listen, collect)]
    for task in background:
        task.add_done_callback(partial(missed, engine))
    waiting = asyncio.create_task(asked.wait())
    starting = asyncio.create_task(app.start())
    try:
        await asyncio.wait([waiting, starting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            log.info("started")
            stopped = asyncio.create_task(app.wait_until_stopped())
            await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        crashed = not asked.is_set()
        waiting.cancel()
        log.info("stopping")
        deadline = time.monotonic() + END_SECONDS
        backstop = ending_within(END_SECONDS, START_AGAIN)
        async with asyncio.timeout(STOP_SECONDS) as limit:
            await stop(app, starting)
        if limit.expired():
            raise TimeoutError  # noqa: TRY301 - Faust goes on when its stop is cancelled, as if all had been done
    except TimeoutError:
        engine.leave(f"stopping took longer than {STOP_SECONDS} s")
        await asyncio.sleep(END_SECONDS)
        return START_AGAIN
    except Exception as error:  # noqa: BLE001 - whatever crashed, memory is no more to be trusted
        engine.leave(f"{type(error).__name__}: {error}")
        await asyncio.sleep(END_SECONDS)
        return START_AGAIN
    for task in background:
        task.cancel()
    status = START_AGAIN if crashed or engine.leaving else 0
    backstop.cancel()
    ending_within(max(0.0, min(LEAVE_SECONDS, deadline - time.monotonic())), status)
    return status


def missed(engine: Engine, task: asyncio.Task[None]) -> None:
    """Says that a task of the background has failed, and leaves where it is the watchdog: nobody else sees that a worker stands still."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    log.error("%s has failed: %r", task.get_name(), error)
    if task.get_name() == watch.__name__:
        engine.leave("nobody watches any more")


async def stop(app: KararApp, starting: asyncio.Task[Any]) -> None:
    """Commits what is folded, leaves the group and ends; who is still starting is given a moment, and then stopped as far as he is."""
    if not starting.done():
        await asyncio.wait([starting], timeout=START_SECONDS)
        starting.cancel()
    await app.stop()


def ending_within(seconds: float, status: int) -> threading.Timer:
    """Ends the process with a status if it has not ended by then, whatever holds up the loop.

    Faust waits for its consumer's thread without letting the loop go round, and that thread may wait for the loop, to tell of a
    rebalance. Where Kafka is away it goes on even when all else has ended, and the interpreter waits for it.
    """
    backstop = threading.Timer(seconds, end_now, (status,))
    backstop.daemon = True
    backstop.start()
    return backstop


def end_now(status: int) -> None:
    """Ends the process where threads would keep it."""
    going_on = ", ".join(sorted(thread.name for thread in threading.enumerate() if not thread.daemon))
    log.warning("ending with status %d while threads go on: %s", status, going_on)
    logging.shutdown()
    os._exit(status)
