"""What a worker serves over HTTP. Reading only.

One middleware answers everything, from one table: whatever else the web application has (Faust brings pages of its own) is out of
reach. All but /metrics, /healthz and /readyz tells of single customers, and answers only on this machine, or to whoever has the token.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote

import orjson
from aiohttp import hdrs, web
from msgspec import Struct
from prometheus_client import CollectorRegistry

from streams.asked import RefusalError, check_access, check_head, check_parameters, choice, number, takes_gzip, wants_openmetrics
from streams.chains import SORTS, Ranking, States, account_of, keys_of, liveliest, told
from streams.core.identity import STRONGEST_FIRST, Identity
from streams.core.targets import Rules
from streams.doors import Doors
from streams.engine.ledger import Served
from streams.exposition import END, OPENMETRICS, TEXT, Exposition, collected, compressed, pieces

LOG: Final = logging.getLogger(__name__)
CHAINS: Final = "/chains/"
LONGEST_IDENTIFIER: Final = 256
SHOWN: Final = 50
MOST_SHOWN: Final = 200
TURN_SECONDS: Final = 10
"""So long somebody waits for his turn to search all chains."""
HEADERS: Final[dict[str, str]] = {
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.X_CONTENT_TYPE_OPTIONS: "nosniff",
    hdrs.CONTENT_SECURITY_POLICY: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    hdrs.REFERRER_POLICY: "no-referrer",
}
JSON: Final = "application/json"
NAME: Final = "name[]"
"""As prometheus_client's own servers take it."""
UNSURE: Final = "this worker cannot be sure that it still holds its shards: ask again"

ADDRESSES: Final = (
    ("/metrics", "what Prometheus scrapes: text or OpenMetrics"),
    ("/healthz", "whether the process lives"),
    ("/readyz", "whether every shard is open, and how far each is"),
    ("/chains?open=1&sort=transfers&limit=50", f"open chains; sort: {', '.join(SORTS)}"),
    ("/chains/{customer}", f"the chain of one customer, by identifier; kind: {', '.join(STRONGEST_FIRST)}; all=1: every chain kept"),
)


class Progress(Protocol):
    """How far a shard is. ``state``: opening, open, refused (``why`` says it); ``position``: by topic the next record to read."""

    @property
    def name(self) -> str:
        """The shard."""

    @property
    def state(self) -> str:
        """Where it stands."""

    @property
    def why(self) -> str:
        """Why it is refused, empty where it is not."""

    @property
    def read(self) -> int:
        """Records of its state read while it opens."""

    @property
    def of(self) -> int:
        """How many there are to read."""

    @property
    def behind_seconds(self) -> float:
        """How old the newest applied record was; 0 when caught up."""

    @property
    def position(self) -> Mapping[str, int]:
        """The next record of each topic."""


class View(Protocol):
    """What the pages see of a worker."""

    def lease(self) -> bool:
        """Whether this process surely holds its shards right now."""

    def served(self) -> Mapping[str, Served]:
        """What is served of each shard held here, by name (`stitch-3`)."""

    def progress(self) -> Sequence[Progress]:
        """How far each shard is that was assigned to this process."""

    def ready(self) -> bool:
        """Whether every one of them is open."""

    def now(self) -> int:
        """The instant (ms) that everything is told for."""

    def asked(self) -> AbstractContextManager[None]:
        """Somebody waits for a scrape while the block runs, which needs turns of the loop."""

    def states(self) -> Mapping[str, States]:
        """The encoded states of the customers held here, by shard."""

    def partition_of(self, key: bytes) -> str:
        """The shard that a customer's key belongs to."""


class Pages(Struct, frozen=True):
    """What the pages need to know besides: how identifiers become keys, what is expected, the worker's own series, the token."""

    identity: Identity
    rules: Rules
    registry: CollectorRegistry
    token: str = ""


def attach(web_app: web.Application, view: View, pages: Pages) -> None:
    """Lets a web application answer with these pages, and with nothing else."""
    site, doors = Site(view, pages), Doors()

    @web.middleware
    async def answer(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        del handler
        return await doors.answer(request, site.answer, full)

    web_app.middlewares.insert(0, answer)


class Site:
    """The pages of one worker."""

    def __init__(self, view: View, pages: Pages) -> None:
        self.view, self.pages = view, pages
        self.exposition = Exposition(pages.rules)
        self.turn = asyncio.Lock()
        self.open_to_all = {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz}
        self.guarded = {"/": self.index, "/chains": self.chains}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request. An error is one line of JSON; what went wrong inside is logged without the address, which names a customer."""
        path = request.rel_url.raw_path
        try:
            if (handler := self.open_to_all.get(path)) is None:
                check_access(request, self.pages.token)
                handler = self.chain if path.startswith(CHAINS) else self.guarded.get(path, self.nothing)
            check_head(request)
            return await handler(request)
        except RefusalError as refusal:
            return json({"error": refusal.line} | refusal.more, refusal.status, refusal.headers)
        except ConnectionError:
            return web.Response()  # nobody listens any more
        except Exception:
            LOG.exception("a page could not be made")
            return json({"error": "this page could not be made: see the log"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The ledgers of the shards held here, within the lease, and the worker's own series; `name[]`: only what has such a name."""
        wanted = frozenset(request.query.getall(NAME, ()))
        openmetrics, gzip = wants_openmetrics(request), takes_gzip(request)
        headers = {hdrs.CONTENT_TYPE: OPENMETRICS if openmetrics else TEXT, hdrs.VARY: "Accept, Accept-Encoding"}
        if gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        self.check_lease()
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=HEADERS | headers)
        with self.view.asked():  # not while it is written: who reads slowly is not to slow down the worker
            for _ in self.exposition.catch_up(self.view.served(), wanted):
                await asyncio.sleep(0)
            served = self.view.served()
            chunks = self.exposition.chunks(served, self.view.now(), wanted, openmetrics=openmetrics) if served else []
            chunks.append(collected(self.pages.registry, wanted, openmetrics=openmetrics))
            if openmetrics:
                chunks.append(END)
            parts: Iterable[bytes] = await asyncio.to_thread(compressed, chunks) if gzip else pieces(chunks)
        self.check_lease()
        response = web.StreamResponse(headers=HEADERS | headers)
        await response.prepare(request)
        for part in parts:
            if not self.is_current(served) and request.transport is not None:
                request.transport.abort()  # half an answer is none: what follows would be old by the time it is read
                return response
            await response.write(part)
        await response.write_eof()
        return response

    def is_current(self, served: Mapping[str, Served]) -> bool:
        """Whether these shards are still, and surely, held here."""
        here = self.view.served()
        return not served or (self.view.lease() and all(here.get(name) is shard for name, shard in served.items()))

    def check_lease(self) -> None:
        """Refuses where shards are held that another worker might hold by now."""
        if not self.is_sure():
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, UNSURE)

    def is_sure(self) -> bool:
        """Whether nobody else can hold what is held here."""
        return self.view.lease() or not (self.view.served() or self.view.states())

    async def healthz(self, _: web.Request) -> web.Response:
        """The process lives, or it could not say so."""
        return json({"alive": True})

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether every shard is open and surely held here; how far each is, and why one is refused."""
        shards = [
            {
                "name": p.name, "state": p.state, "why": p.why, "read": p.read, "of": p.of,
                "behind_seconds": p.behind_seconds, "position": dict(p.position),
            }
            for p in self.view.progress()
        ]  # fmt: skip
        why = "" if self.is_sure() else UNSURE
        ready = self.view.ready() and not why
        return json({"ready": ready, "why": why, "shards": shards}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def chain(self, request: web.Request) -> web.Response:
        """The chain of one customer: the open one that was active last, else the closed one; with `all` every one."""
        check_parameters(request, "kind", "all")
        kind, every = choice(request, "kind", ("", *STRONGEST_FIRST)), choice(request, "all", ("0", "1")) == "1"
        identity, identifier = self.pages.identity, unquote(request.rel_url.raw_path.removeprefix(CHAINS)).strip()
        if len(identifier) > LONGEST_IDENTIFIER:
            raise RefusalError(HTTPStatus.BAD_REQUEST, f"an identifier is at most {LONGEST_IDENTIFIER} characters long")
        if identity.is_blocked(identifier):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "this value identifies nobody")
        self.check_lease()
        states, tried = self.view.states(), []
        for name, key in keys_of(identifier, kind, identity):
            shard = self.view.partition_of(key.encode())
            tried.append({"kind": name, "shard": shard, "here": shard in states})
            if (held := states.get(shard)) is None or (value := held.get(key.encode())) is None:
                continue
            account = account_of(value, self.view.now(), self.pages.rules)
            if every:
                return json({"customer": key, "chains": [told(key, chain, account.now) for chain in account.chains]})
            if (chain := liveliest(account)) is not None:
                return json(told(key, chain, account.now))
        raise RefusalError(HTTPStatus.NOT_FOUND, self.missing({str(t["shard"]) for t in tried if not t["here"]}), tried=tried)

    def missing(self, shards: set[str]) -> str:
        """Where a customer may be who is not found: in shards that are not open here."""
        if not shards:
            strongest = ", ".join(STRONGEST_FIRST)
            return f"no chain is kept under this identifier: a customer is found by the strongest one that is known ({strongest})"
        opening = sorted(shards & {p.name for p in self.view.progress()})
        if opening:
            return f"no chain of this customer is here, but {', '.join(opening)} is not open yet: see /readyz"
        return f"no chain of this customer is here, and {', '.join(sorted(shards))} is with another worker: ask that one"

    async def chains(self, request: web.Request) -> web.Response:
        """The first chains of all that are kept here, one such search after the other: it reads every customer that is asked about."""
        check_parameters(request, "open", "sort", "limit")
        only_open, sort = choice(request, "open", ("0", "1")) == "1", choice(request, "sort", tuple(SORTS))
        ranking = Ranking(sort, number(request, "limit", SHOWN, MOST_SHOWN), self.pages.rules, only_open=only_open)
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self.turn.acquire()
        except TimeoutError:
            line = "other such searches are going on: ask again"
            raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, line, {hdrs.RETRY_AFTER: "1"}) from None
        try:
            self.check_lease()
            held = dict(self.view.states())
            for states in held.values():
                for _ in ranking.look(states, self.view.now()):
                    await asyncio.sleep(0)
                    if request.transport is None:
                        raise ConnectionResetError
        finally:
            self.turn.release()
        self.check_lease()
        return json({"shards": sorted(held), "customers_read": ranking.read, "chains": ranking.told()})

    async def nothing(self, _: web.Request) -> web.Response:
        """Any other address."""
        raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such address: / lists all")

    async def index(self, _: web.Request) -> web.Response:
        """The list of addresses."""
        return web.Response(text=INDEX, content_type="text/html", headers=HEADERS)


def full() -> web.Response:
    """What is said while too many are being answered."""
    line = "too many are being answered at this moment: ask again"
    return json({"error": line}, HTTPStatus.SERVICE_UNAVAILABLE, {hdrs.RETRY_AFTER: "1"})


def json(content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """One line of JSON."""
    body = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type=JSON, headers=HEADERS | dict(headers or {}))


def linked(address: str) -> str:
    """An address, as a link where it is complete."""
    shown = address.replace("&", "&amp;")
    return f"<code>{shown}</code>" if "{" in address else f'<a href="{shown}">{shown}</a>'


INDEX: Final = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Karar</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 48rem; margin: 3rem auto; padding: 0 1rem }}
dt {{ font-family: ui-monospace, monospace; margin-top: 1rem }}
dd {{ margin: 0; opacity: .75 }}
</style>
<h1>Karar</h1>
<p>Service chains and moments of truth, of the shards that this worker holds.</p>
<dl>
{"".join(f"<dt>{linked(address)}</dt><dd>{text}</dd>" for address, text in ADDRESSES)}
</dl>
</html>
"""
