"""`karar demo`: real Kafka, a worker, and a contact centre that is simulated in step with the clock."""

import asyncio
import shutil
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from streams.broker import BrokerError
from streams.broker.kafka import serving
from streams.commands.broker import interrupt
from streams.connection import administrator, kafka_of
from streams.demo import WorkerError
from streams.demo.attendant import Attendant
from streams.demo.centre import DAY, happenings
from streams.demo.program import called
from streams.demo.publisher import Publisher, wall
from streams.demo.reading import Figures, Ready, Window
from streams.demo.screen import State, line, shown
from streams.demo.today import Today
from streams.doors import TakenError, listening, port_of
from streams.logs import hushed
from streams.publishing import sending
from streams.security import NAMES as SECURITY
from streams.settings import Settings, value
from streams.topics import INPUTS, create, table

DAYS: Final = 2
DRAW_SECONDS: Final = 0.5
LINE_SECONDS: Final = 5.0
ASK_SECONDS: Final = 1.0
WORST_SECONDS: Final = 3.0
LOOKS: Final = 10
CATCH_UP_SECONDS: Final = 120
"""So long the worker may take to catch up with the past before its time counts all the same."""
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TELLING: Final = {"KARAR_LOG": "console", "KARAR_SERIES_BIRTH_SECONDS": "0", "KARAR_WEB_HOST": "127.0.0.1"}
"""How the demo's worker runs unless the environment says otherwise."""
DEFAULT_PORT: Final = 6066


def run(environment: Mapping[str, str], console: Console, seconds: float | None, seed: int) -> None:
    """Runs until Ctrl-C, or for some seconds once it is live. BrokerError, WorkerError, ValueError: one line."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, interrupt)
    given = worker_environment(environment)
    asked = port_asked(environment, Settings.read(given))
    with suppress(KeyboardInterrupt), hushed("aiokafka"), asked as sockets, serving(environment) as address, folder() as home:
        given["KARAR_BROKER"] = address
        settings = Settings.read(given)
        borrowed = bool(value(environment, "KARAR_BROKER"))
        tell(console, f"Kafka at {address}, {'yours' if borrowed else 'started for this'}; topics {settings.prefix}.…")
        asyncio.run(Demo(settings, given, home, console, seed, borrowed=borrowed).run(seconds, sockets))
    tell(console, "everything that was started has been stopped")


def publish(environment: Mapping[str, str], console: Console, seed: int) -> None:
    """Only the contact centre, for workers that run elsewhere, until somebody ends it. BrokerError, ValueError: one line."""
    signal.signal(signal.SIGTERM, interrupt)
    with suppress(KeyboardInterrupt), hushed("aiokafka"):
        asyncio.run(published(Settings.read(environment), console, seed))


async def published(settings: Settings, console: Console, seed: int) -> None:
    """The days that have been, then each event when its time comes; whoever starts it again starts another run."""
    async with sending(settings.broker, [settings.topic(name) for name in INPUTS], settings.security) as sender:
        now = wall()
        publisher = Publisher(sender, settings, happenings(now, seed, DAYS, f"-{now // 1000}"))
        await publisher.catch_up(now, lambda _: None, lambda: False)
        tell(console, f"{publisher.published:,} events of the last two days published to {settings.broker}; now live")
        await publisher.go_on()


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of the demo's worker, but for a Kafka of ours. On somebody's its topics have a name that nobody else has."""
    given = TELLING | dict(environment) | {"KARAR_CLOCK": "wall", "KARAR_ADAPTERS": ""}
    if not value(environment, "KARAR_BROKER"):
        given |= dict.fromkeys(SECURITY, "")  # ours has no passwords
    else:
        given["KARAR_PREFIX"] = f"{value(environment, 'KARAR_PREFIX')}-demo-{token_hex(3)}"
    return given


def port_asked(environment: Mapping[str, str], settings: Settings) -> AbstractContextManager[list[socket.socket]]:
    """Sockets at the port that the worker was told to have, had at once; none where any will do. ValueError: one line."""
    asked = environment.get("KARAR_WEB_PORT", "").strip() and settings.web_port
    return listening(settings.web_host, settings.web_port) if asked else nullcontext([])


@contextmanager
def port_found(host: str) -> Iterator[list[socket.socket]]:
    """Sockets at the port that workers have by themselves, at any that is free where somebody has that one. ValueError: one line."""
    with ExitStack() as stack:
        try:
            sockets = stack.enter_context(listening(host, DEFAULT_PORT))
        except TakenError:
            sockets = stack.enter_context(listening(host, 0))
        yield sockets


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the worker's log; it stays only where something went wrong, for its log says what."""
    home = Path(mkdtemp(prefix="karar-demo-"))
    keep = False
    try:
        yield home
    except WorkerError:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(home)


def tell(console: Console, text: str) -> None:
    """One line."""
    console.print(Text(text), soft_wrap=True)


class Demo:
    """One run of the demo, on a Kafka that is ours or ``borrowed``."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], home: Path, console: Console, seed: int, *, borrowed: bool
    ) -> None:
        self.settings, self.console, self.seed, self.borrowed = settings, console, seed, borrowed
        self.attendant = Attendant(environment, home / "worker.log")
        self.state = State()
        self.stopped = asyncio.Event()
        self.began = 0.0
        self.live_since: float | None = None

    async def run(self, seconds: float | None, sockets: list[socket.socket]) -> None:
        """The days that have been, then live until it is stopped, with the worker at these sockets. BrokerError, WorkerError: one line.

        Without sockets its port is found when it starts: until then somebody else may want the usual one.
        """
        loop = asyncio.get_running_loop()
        for ending in ENDING:
            loop.add_signal_handler(ending, self.stopped.set)
        async with AsyncExitStack() as stack:
            if self.borrowed:
                stack.push_async_callback(self.clear_up)
            await create(self.settings)
            topics = [self.settings.topic(name) for name in INPUTS]
            sender = await stack.enter_async_context(sending(self.settings.broker, topics, self.settings.security))
            publisher = Publisher(sender, self.settings, happenings(now := wall(), self.seed, DAYS))
            await self.publish_the_past(publisher, now)
            stack.push_async_callback(self.attendant.stop)
            if not self.stopped.is_set():
                self.attendant.sockets = sockets or stack.enter_context(port_found(self.settings.web_host))
                await self.go_live(publisher, now, seconds)
        tell(self.console, f"ended after {self.state.live:.0f} s live, {self.state.moments:,} moments of truth counted")

    async def publish_the_past(self, publisher: Publisher, now: int) -> None:
        """What happened until now, with a bar where somebody looks."""
        started = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task("", total=DAYS * DAY)

            def report(newest: int) -> None:
                bar.update(task, completed=newest - now + DAYS * DAY, description=f"{publisher.published:,} events of two days")

            await publisher.catch_up(now, report, self.stopped.is_set)
        took = time.monotonic() - started
        tell(self.console, f"{publisher.published:,} events of the last two days published in {took:.1f} s")

    async def go_live(self, publisher: Publisher, now: int, seconds: float | None) -> None:
        """Publishes, counts and shows, until it is stopped, the time is over, or something cannot go on."""
        today = Today(kafka_of(self.settings), self.settings.topic("moments"), self.settings.partitions, now)
        port = port_of(self.attendant.sockets)
        self.state.address = f"http://127.0.0.1:{port}"
        self.began = time.monotonic()
        tell(self.console, f"worker: {self.state.address}/ and {self.state.address}/metrics, its log: {self.attendant.log}")
        tell(self.console, f"the trial balance meanwhile: {self.audit()}")
        async with Window(port, self.settings.web_token) as window:
            works: list[Coroutine[Any, Any, None]] = [
                self.attendant.run(), publisher.go_on(), today.run(), self.look(window, publisher, today), self.look_at_chains(window),
            ]  # fmt: skip
            tasks = [asyncio.create_task(work) for work in works]
            try:
                with self.drawing() as draw:
                    while not self.over(seconds):
                        self.state.live = time.monotonic() - (self.live_since or self.began)
                        draw()
                        await self.pause(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if not self.console.is_terminal:
            self.console.print(shown(self.state))

    def over(self, seconds: float | None) -> bool:
        """Whether it is to end: the seconds count from when the worker had caught up, or should have."""
        since = self.live_since or self.began + CATCH_UP_SECONDS
        return self.stopped.is_set() or (seconds is not None and time.monotonic() - since >= seconds)

    async def pause(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until it is time to draw again; what cannot go on ends everything."""
        await asyncio.wait([*tasks, asyncio.create_task(asyncio.sleep(DRAW_SECONDS))], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()

    @contextmanager
    def drawing(self) -> Iterator[Callable[[], None]]:
        """What draws: a picture that changes, or where there is no terminal a line now and then."""
        if self.console.is_terminal:
            with Live(console=self.console, auto_refresh=False) as live:
                yield lambda: live.update(shown(self.state, self.console.size.height), refresh=True)
            return
        said = -LINE_SECONDS

        def say() -> None:
            nonlocal said
            if not said <= self.state.live < said + LINE_SECONDS:
                said = self.state.live
                tell(self.console, line(self.state))

        yield say

    async def look(self, window: Window, publisher: Publisher, today: Today) -> None:
        """Reads the figures again and again."""
        state, speeds = self.state, Speeds()
        while True:
            state.pid, state.restarts, state.today = self.attendant.pid, self.attendant.restarts, today.number
            state.ready, found = await window.ready() or Ready(), await window.figures() or Figures()
            state.whole = 0 < state.ready.shards == state.ready.caught_up and len(found.shards) == state.ready.counting
            if state.whole or state.before is None:
                state.figures = found
            if state.whole:
                if state.before is None:
                    state.before, self.live_since = state.moments, time.monotonic()
                speeds.note(state, publisher.published)
            else:
                state.published = state.counted = 0.0
                speeds = Speeds()
            await asyncio.sleep(ASK_SECONDS)

    async def look_at_chains(self, window: Window) -> None:
        """Looks for the worst open chain again and again."""
        while True:
            self.state.worst = await window.worst() or self.state.worst
            await asyncio.sleep(WORST_SECONDS)

    def audit(self) -> str:
        """What a second terminal may ask."""
        partitions = f" KARAR_PARTITIONS={self.settings.partitions}"
        return f"KARAR_BROKER={self.settings.broker} KARAR_PREFIX={self.settings.prefix}{partitions} {called(sys.argv[0])} audit"

    async def clear_up(self) -> None:
        """Nothing of the demo stays on somebody's Kafka."""
        with suppress(BrokerError):
            async with administrator(self.settings.broker, self.settings.security) as admin:
                await admin.delete_topics(list(table(self.settings)))


class Speeds:
    """Speeds over the last seconds."""

    def __init__(self) -> None:
        self.looks: deque[tuple[float, int, int, float, float]] = deque(maxlen=LOOKS)

    def note(self, state: State, published: int) -> None:
        """Published and counted records a second, and how long a record took from being published to being counted."""
        worker = state.figures.worker
        sums, counts = worker.get("karar_event_lag_seconds_sum", 0.0), worker.get("karar_event_lag_seconds_count", 0.0)
        self.looks.append((time.monotonic(), published, state.ready.applied, sums, counts))
        seconds, sent, applied, delay, number = (now - then for now, then in zip(self.looks[-1], self.looks[0], strict=True))
        if seconds > 0:
            state.published, state.counted = sent / seconds, max(0, applied) / seconds
        if number > 0:
            state.delay_ms = 1000 * delay / number
