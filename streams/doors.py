"""Where a worker's pages are, and who may be there for how long: whoever only holds a connection costs the worker nothing it needs."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from aiohttp import web

from streams.broker.kafka import free_port

log = logging.getLogger(__name__)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

IDLE_SECONDS: Final = 60
"""So long a connection may ask nothing, or take to say what it asks. Prometheus asks more often, or connects again."""
ANSWER_SECONDS: Final = 60
"""So long an answer may take, with the reading of it."""
STOP_SECONDS: Final = 1
"""So long answers under way may take once the worker stops, and again their connections: it commits meanwhile, and ends within 10 s."""
MOST_CONNECTIONS: Final = 256
"""Each is a file that is open, and a process has 1,024 where nobody has said otherwise; Kafka's are among them."""
MOST_ANSWERS: Final = 32
MOST_FIELDS: Final = 64
"""Lines of a request's head, of at most 8,190 bytes each, as is its first one."""
ALWAYS: Final = frozenset({"/healthz", "/readyz"})
"""Small, and a worker that does not say that it lives is killed."""
NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""One of a host's addresses that this machine does not have, or not now: of `localhost` that of IPv6."""
TRIES: Final = 10


class TakenError(ValueError):
    """Somebody else has the port: one line."""


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets at every address of a host, ours until the end of the block; port 0 is any that is free. ValueError: one line.

    They listen at once, because the port is nobody's before: until one listens, Linux lets several have it. Who asks
    before there is anybody to answer waits.
    """
    with ExitStack() as stack:
        sockets = opened(host, port) if port else opened_anywhere(host)
        for each in sockets:
            stack.enter_context(each)
        yield sockets


@contextmanager
def inherited(numbers: Sequence[int]) -> Iterator[list[socket.socket]]:
    """Sockets that whoever started this process has left open for it, ours until the end of the block. ValueError: one line."""
    with ExitStack() as stack:
        try:
            sockets = [stack.enter_context(socket.socket(fileno=number)) for number in numbers]
        except OSError as error:
            raise ValueError(f"--socket: {', '.join(map(str, numbers))}: {error.strerror}; leave it out") from None
        yield sockets


def port_of(sockets: Sequence[socket.socket]) -> int:
    """Their port."""
    return int(sockets[0].getsockname()[1])


def opened_anywhere(host: str) -> list[socket.socket]:
    """Sockets that listen at a port that is free: others look for one, too, so that it may be gone when we come."""
    for _ in range(TRIES):
        with suppress(TakenError):
            return opened(host, free_port())
    return opened(host, free_port())


def opened(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at a port of every address of a host. ValueError: one line, of the setting that cannot be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        found = []
    with ExitStack() as stack:
        sockets = []
        for family, _, _, _, address in found:
            try:
                sockets.append(stack.enter_context(socket.create_server(address, family=family)))
            except OSError as error:
                if error.errno in NOT_HERE:
                    continue
                more = "another port, or 0 for any that is free"
                if error.errno == errno.EADDRINUSE:
                    raise TakenError(f"KARAR_WEB_PORT: {port} is taken on {host}; {more}") from None
                raise ValueError(f"KARAR_WEB_PORT: {port} cannot be had on {host}: {os.strerror(error.errno or 0)}; {more}") from None
        if not sockets:
            raise ValueError(f"KARAR_WEB_HOST: {host!r} is no address of this machine; 0.0.0.0 is all that it has")
        stack.pop_all()
        return sockets


def site(host: str, port: int) -> str:
    """Where a browser finds what listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Entrance:
    """Lets people in at sockets that are ours already: what Faust starts as its web server's site."""

    def __init__(self, runner: web.BaseRunner, sockets: Sequence[socket.socket], address: str) -> None:
        self.runner, self.sockets, self.address = runner, sockets, address

    async def start(self) -> None:
        """Answers from now on, and says so."""
        for each in self.sockets:
            await web.SockSite(self.runner, each).start()
        log.info("answers at %s/", self.address)


class Runner(web.AppRunner):
    """Runs a web application for people and machines who may be slow, or many, or mean."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app, access_log=None, keepalive_timeout=IDLE_SECONDS, max_headers=MOST_FIELDS, shutdown_timeout=STOP_SECONDS
        )  # fmt: skip

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        made = server.connection_made

        def connection_made(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            if len(server.connections) < MOST_CONNECTIONS:
                made(handler, transport)
            else:
                asyncio.get_running_loop().call_soon(transport.abort)  # when aiohttp has begun with it: else it fails

        server.connection_made = connection_made  # type: ignore[method-assign] # nobody else is told of a connection this early
        return server


class Doors:
    """Lets some requests in at once, and none for ever."""

    def __init__(self) -> None:
        self.inside = 0

    async def answer(self, request: web.Request, make: Answer, full: Callable[[], web.Response]) -> web.StreamResponse:
        """The answer of ``make``, as its reader has it; that of ``full`` while too many are being answered."""
        if self.inside >= MOST_ANSWERS and request.path not in ALWAYS:
            return full()
        self.inside += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await make(request)
                await response.prepare(request)
                await response.write_eof()
                return response
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # nobody listens any more
        finally:
            self.inside -= 1
        return web.Response()
