"""Prometheus and Alertmanager as processes of the test, and the webhook that they call."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import ClientError, ClientSession, web

START_SECONDS: Final = 30
END_SECONDS: Final = 10
LOOK_SECONDS: Final = 0.1
TEMPLATES: Final = "/usr/share/prometheus/alertmanager"


def relocated(binary: Path, folder: Path) -> tuple[Path, Path]:
    """Debian's Alertmanager as it can run without having been installed, and the folder that it has to run in.

    It looks for its templates in one place that cannot be told otherwise: of a package that was only unpacked, a copy looks where it is.
    """
    share = binary.parents[1] / TEMPLATES.removeprefix("/usr/")
    if binary.is_relative_to("/usr") or not share.exists():
        return binary, folder
    copy = folder / binary.name
    copy.write_bytes(binary.read_bytes().replace(TEMPLATES.encode(), b"." + b"/" * (len(TEMPLATES) - 1)))
    copy.chmod(0o755)
    return copy, share


@contextmanager
def process(log: Path, folder: Path, *command: str | Path) -> Iterator[None]:
    """A process that ends with the block."""
    with log.open("wb") as out:
        started = subprocess.Popen([*map(str, command)], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield
    finally:
        started.terminate()
        try:
            started.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


async def answers(session: ClientSession, address: str) -> None:
    """Returns when a page answers. TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(ClientError):
            async with session.get(address) as answer:
                if answer.ok:
                    return
        await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{address} does not answer within {START_SECONDS} s")


class Arrival(NamedTuple):
    """One alert of one notification, when it arrived (s)."""

    at: float
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Webhook:
    """Whom Alertmanager tells."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
        self.notifications = 0

    async def take(self, request: web.Request) -> web.Response:
        """One notification."""
        now, told = time.time(), await request.json()
        self.notifications += 1
        self.arrived += [Arrival(now, alert["status"], alert["labels"], alert["annotations"]) for alert in told["alerts"]]
        return web.Response()

    def first(self, status: str = "firing", since: float = 0.0, **labels: str) -> Arrival | None:
        """The first alert with these labels that arrived since an instant (s)."""
        return next((a for a in self.arrived if a.status == status and a.at >= since and labels.items() <= a.labels.items()), None)

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        """Listens while the block runs."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield
        finally:
            await runner.cleanup()


class Prometheus:
    """A running Prometheus, asked."""

    def __init__(self, session: ClientSession, port: int) -> None:
        self.session, self.address = session, f"http://127.0.0.1:{port}"

    async def get(self, path: str, **parameters: str) -> Any:
        """What its API says. AssertionError where that is an error."""
        async with self.session.get(f"{self.address}/api/v1/{path}", params=parameters) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def query(self, expression: str) -> list[Any]:
        """An instant query's rows."""
        data = await self.get("query", query=expression)
        return [data["result"]] if data["resultType"] == "scalar" else list(data["result"])
