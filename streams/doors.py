"""Who may be at a worker's pages at the same time, and for how long: whoever only holds a connection costs the worker nothing it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

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
