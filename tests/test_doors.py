"""Who is slow, many or mean at a worker's pages: each limit from both sides, on a server that runs as a worker's does."""

import asyncio
import inspect
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from faust.web.drivers.aiohttp import Web

from streams import doors
from streams import web as pages
from streams.doors import Doors, Runner
from streams.logs import configure

pytestmark = pytest.mark.asyncio

Address = tuple[str, int]
HEAD = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def serving(make: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Address]:
    """Where these answers are given."""
    app, at_the_door = web.Application(), Doors()

    @web.middleware
    async def answer(request: web.Request, handler: object) -> web.StreamResponse:
        del handler
        return await at_the_door.answer(request, make, pages.full)

    app.middlewares.append(answer)
    runner = Runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield host, port
    finally:
        await runner.cleanup()


async def brief(_: web.Request) -> web.Response:
    """An answer of one word."""
    return web.Response(text="brief")


async def said(address: Address, sent: bytes) -> bytes:
    """What somebody is told who sends this and waits for the end."""
    sent = sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def asked(address: Address, path: bytes = b"", head: bytes = b"") -> bytes:
    """The answer to one question."""
    return await said(address, (HEAD % path).replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n"))


async def test_who_says_nothing_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither silence nor half a question keeps a connection; who asks in time is answered, and may ask again."""
    monkeypatch.setattr(doors, "IDLE_SECONDS", 0.5)
    async with serving(brief) as address:
        silence, half = await asyncio.gather(said(address, b""), said(address, (HEAD % b"")[:-2]))
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(2):
            await asyncio.sleep(0.2)
            writer.write(HEAD % b"")
            assert await reader.readuntil(b"brief")
        assert await reader.read() == b""  # it has been silent for long enough since
        writer.close()

    assert (silence, half) == (b"", b"")


@pytest.mark.parametrize(("others", "answered"), [(2, True), (3, False)])
async def test_there_is_room_for_so_many_connections(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, others: int, *, answered: bool
) -> None:
    """One more is closed at once, without a word in the log, and one that has gone makes room again."""
    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 3)
    async with serving(brief) as address:
        held = [await asyncio.open_connection(*address) for _ in range(others)]
        await asyncio.sleep(0.1)
        assert (b"brief" in await asked(address)) == answered
        held[0][1].close()
        await asyncio.sleep(0.1)
        assert b"brief" in await asked(address)
        for _, writer in held:
            writer.close()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("others", "path", "status"), [(1, b"metrics", b"200"), (2, b"metrics", b"503"), (2, b"healthz", b"200"), (2, b"readyz", b"200")]
)
async def test_so_many_are_answered_at_once(monkeypatch: pytest.MonkeyPatch, others: int, path: bytes, status: bytes) -> None:
    """Who comes then is told to come again; a worker always says whether it lives and is ready."""
    monkeypatch.setattr(doors, "MOST_ANSWERS", 2)
    go_on = asyncio.Event()

    async def make(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await go_on.wait()
        return web.Response(text="done")

    async with serving(make) as address:
        slow = [asyncio.create_task(asked(address, b"slow")) for _ in range(others)]
        await asyncio.sleep(0.1)
        found = await asked(address, path)
        go_on.set()
        done = await asyncio.gather(*slow)
        again = await asked(address, path)

    assert found.startswith(b"HTTP/1.1 " + status)
    assert (b"Retry-After: 1" in found and b'{"error":"too many are being answered at this moment: ask again"}\n' in found) == (
        status == b"503"
    )
    assert all(answer.endswith(b"done") for answer in (*done, again))


@pytest.mark.parametrize("whole", [True, False])
async def test_who_does_not_read_is_shown_out(monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> None:
    """The answer is dropped, and with it what was kept for it: as one piece, or piece by piece as metrics are."""
    monkeypatch.setattr(doors, "ANSWER_SECONDS", 0.5)
    left = asyncio.Event()
    much = b"x" * (1 << 25)

    async def make(request: web.Request) -> web.StreamResponse:
        if whole:
            request.task.add_done_callback(lambda _: left.set())
            return web.Response(body=much)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1_000):
                await response.write(much)
        finally:
            left.set()
        return response

    async with serving(make) as address, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address, limit=1)
        writer.write(HEAD % b"")
        await left.wait()
        got = 0
        with suppress(ConnectionError):
            while part := await reader.read(1 << 20):
                got += len(part)
        writer.close()

    assert got < len(much)


@pytest.mark.parametrize("sent", [HEAD % b"", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"])
async def test_nobody_holds_up_the_end_of_a_worker(sent: bytes) -> None:
    """Who does not read, or leaves a question half asked, is shown out: what is folded must commit within 7 s of a signal."""

    async def make(request: web.Request) -> web.Response:
        return web.Response(body=await request.read() or b"x" * (1 << 25))

    async with asyncio.timeout(5):
        async with serving(make) as address:
            _, writer = await asyncio.open_connection(*address, limit=1)
            writer.write(sent)
            await asyncio.sleep(0.1)
    writer.close()


@pytest.mark.parametrize(
    ("path", "head", "status"),
    [
        (b"x" * 8_000, b"", b"200"),
        (b"x" * 8_200, b"", b"400"),
        (b"", b"X-Long: " + b"x" * 8_000 + b"\r\n", b"200"),
        (b"", b"X-Long: " + b"x" * 8_200 + b"\r\n", b"400"),
        (b"", b"X-Many: x\r\n" * 60, b"200"),
        (b"", b"X-Many: x\r\n" * 70, b"400"),
    ],
)
async def test_a_question_has_a_size(path: bytes, head: bytes, status: bytes) -> None:
    """Its first line, each further one, and how many there are."""
    async with serving(brief) as address:
        assert (await asked(address, path, head)).split()[1] == status


async def test_a_question_that_cannot_be_read_is_not_logged() -> None:
    """The client of a proxy may put a phone number where it belongs, and spoil the rest; and whoever likes could fill a disk."""
    stream, root = io.StringIO(), logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        configure("json", "debug", lambda _: None, stream)
        async with serving(brief) as address:
            long = HEAD % (b"chains/905" + b"x" * 9_000)
            for sent in (b"GET /chains/905 HTTP/9.9.9\r\n\r\n", long, b"GET /chains/905\x01 HTTP/1.1\r\n\r\n"):
                assert (await said(address, sent)).split()[1] == b"400"
        logging.getLogger("aiohttp.server").error("told")
    finally:
        root.handlers[:] = before[1]
        root.setLevel(before[0])

    assert "905" not in stream.getvalue()
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines() if "aiohttp" in line] == ["told"]


async def test_faust_runs_the_runner_that_it_has() -> None:
    """A worker replaces it (streams/commands/worker.py) before Faust starts it: in these methods, by this name."""
    assert "self._runner: AppRunner = AppRunner(self.web_app, access_log=None)" in inspect.getsource(Web)
    assert "self._runner," in inspect.getsource(Web._new_transport_tcp)  # noqa: SLF001 - that is what is held
    assert "await self._runner.setup()" in inspect.getsource(Web.start_server)


async def test_faust_starts_the_site_that_it_is_given() -> None:
    """A worker has its sockets before Faust starts: Faust's own site, at `web_bind` and `web_port`, is never made."""
    assert '"tcp": self._new_transport_tcp' in inspect.getsource(Web.__init__)
    assert "self._new_transport(self.app.conf.web_transport.scheme)" in inspect.getsource(Web._create_site)  # noqa: SLF001 - as above
    assert "return self._transport_handlers[type_]()" in inspect.getsource(Web._new_transport)  # noqa: SLF001
    assert "site = self._create_site()\n        await site.start()" in inspect.getsource(Web.start_server)
