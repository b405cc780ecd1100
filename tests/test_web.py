"""What a worker serves over HTTP: a simulated day behind the pages, and both sides of each rule."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from zlib import crc32

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from yarl import URL

from schemas.events import Event
from streams import exposition as exposition_module
from streams import web as web_module
from streams.chains import States
from streams.core.identity import Identity
from streams.core.series import joined
from streams.core.targets import Rules
from streams.doors import Runner
from streams.engine.ledger import Served
from streams.engine.pace import TURNS, Turns
from streams.exposition import Exposition, served_of
from streams.replay import Replay
from streams.simulate import simulate
from streams.web import ADDRESSES, Pages, attach
from tests.reference import reference
from tests.story import HOUR, MINUTE, call, instant, replayed, visit

pytestmark = pytest.mark.asyncio

RULES: Final = Rules()
IDENTITY: Final = Identity()
TOKEN: Final = "correct horse battery staple"  # noqa: S105 - nobody else's
OPENMETRICS: Final = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
NOT_KEPT: Final = (
    "no chain is kept under this identifier: a customer is found by the strongest one that is known"
    " (customer, account, email, phone, device)"
)
PUBLIC: Final = ("/metrics", "/healthz", "/readyz")
GUARDED: Final = ("/", "/chains", "/chains/1", "/table", "/nowhere")

Client = TestClient[Any, Any]


@dataclass
class Shard:
    """How far a shard is."""

    name: str
    state: str = "open"
    why: str = ""
    read: int = 10
    of: int = 10
    behind_seconds: float = 0.0
    position: Mapping[str, int] = field(default_factory=lambda: {"karar.interactions": 7})


@dataclass
class Worker:
    """A worker that holds some of the shards of a replay. ``leases`` are the answers to the first questions, then the last goes on."""

    replay: Replay
    held: Sequence[str] = ("stitch-0",)
    leases: list[bool] = field(default_factory=lambda: [True])
    shards: Sequence[Shard] = ()
    is_ready: bool = True
    kept: dict[str, Served] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    def lease(self) -> bool:
        """Whether this process surely holds its shards right now."""
        return self.leases.pop(0) if len(self.leases) > 1 else self.leases[0]

    def served(self) -> Mapping[str, Served]:
        """What is served of each shard held here."""
        for number, (shard, ledger) in enumerate(self.replay.ledgers.items()):
            if shard in self.held and shard not in self.kept:
                self.kept[shard] = served_of(ledger, self.replay.stitch[number].waiting())
        return self.kept

    def progress(self) -> Sequence[Shard]:
        """How far each shard is."""
        return self.shards

    def asked(self) -> AbstractContextManager[None]:
        """Somebody waits."""
        return self.turns.asked()

    def ready(self) -> bool:
        """Whether every one of them is open and caught up."""
        return self.is_ready

    def now(self) -> int:
        """The instant that everything is told for."""
        return self.replay.now

    def states(self) -> Mapping[str, States]:
        """The encoded states of the customers held here."""
        return {shard: self.replay.stitch[n].state for n, shard in enumerate(self.replay.ledgers) if shard in self.held}

    def partition_of(self, key: bytes) -> str:
        """The shard that a key belongs to."""
        return f"stitch-{crc32(key) % len(self.replay.stitch)}"


@cache
def day() -> Replay:
    """A simulated day in three shards."""
    replay = Replay(RULES, IDENTITY, 3)
    for part in replay.slices(simulate(seed=5, customers=500, days=1)):
        replay.take(part)
    return replay


def told(*stories: Sequence[Event] | Any, later: float = HOUR) -> Worker:
    """A worker after some stories."""
    replay = replayed(*stories)
    replay.finish(instant(later))
    return Worker(replay)


def registry() -> CollectorRegistry:
    """The worker's own series."""
    own = CollectorRegistry()
    Counter("karar_bookings", "Facts booked.", ["result"], registry=own).labels("added").inc(3)
    return own


@asynccontextmanager
async def asked(worker: Worker, *, token: str = "", remote: str = "") -> AsyncIterator[Client]:
    """A client of the worker's pages; ``remote`` is where it seems to be."""
    app = web.Application()

    async def table(_: web.Request) -> web.Response:
        return web.Response(text="a page of Faust's")

    app.router.add_get("/table", table)
    app.router.add_get("/", table)
    attach(app, worker, Pages(IDENTITY, RULES, registry(), token))
    if remote:

        @web.middleware
        async def elsewhere(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
            return await handler(request.clone(remote=remote))

        app.middlewares.insert(0, elsewhere)
    async with TestClient(TestServer(app)) as client:
        yield client


async def answer(client: Client, path: str, status: int = 200, **options: Any) -> Any:
    """The JSON of an answer, one line."""
    async with client.get(path, **options) as response:
        text = await response.text()
        assert (response.status, text.count("\n"), response.content_type) == (status, 1, "application/json"), text
        return json.loads(text)


# -- /metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        ("text/plain;version=0.0.4", TEXT_TYPE),
        (OPENMETRICS, OPENMETRICS_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ('application/openmetrics-text; version="1.0.0", text/plain', OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=many", TEXT_TYPE),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.6", TEXT_TYPE),
        ("application/openmetrics-text;version=0.0.1", TEXT_TYPE),
        ("application/openmetrics-text;version=2.0.0", TEXT_TYPE),
    ],
)
async def test_the_format_is_the_one_asked_for(accept: str, kind: str) -> None:
    """OpenMetrics 1.0 where it is asked for and not less than plain text; both are what the official parsers read."""
    worker = Worker(day(), held=("stitch-0", "stitch-1", "stitch-2"))
    async with asked(worker) as client, client.get("/metrics", headers={"Accept": accept}) as response:
        text = await response.text()
    openmetrics = kind == OPENMETRICS_TYPE
    ours = reference(worker.served(), RULES, worker.now(), openmetrics=openmetrics).decode().removesuffix("# EOF\n")
    families = list((openmetrics_families if openmetrics else text_families)(text))

    assert response.headers["Content-Type"] == kind
    assert text.startswith(ours)
    assert text.endswith("# EOF\n") == openmetrics
    assert text.count("# EOF\n") == openmetrics
    assert "karar_bookings" in {f.name for f in families}
    assert len({f.name for f in families}) == len(families)


async def test_single_families_can_be_asked_for() -> None:
    """`name[]`, once for each, of the ledgers or the worker's own."""
    names = ["karar_contacts_offered_total", "karar_bookings_total"]
    async with asked(Worker(day())) as client, client.get("/metrics", params=[("name[]", name) for name in names]) as response:
        text = await response.text()

    told = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert [name for name in told if name != "karar_bookings_created"] == names  # a worker has switched `_created` off
    assert 'karar_contacts_offered_total{channel="call"' in text


@pytest.mark.parametrize(("accept", "packed"), [("gzip", True), ("*", True), ("gzip;q=0, *", False), ("br, identity", False), ("", False)])
async def test_text_is_compressed_where_that_is_accepted(accept: str, *, packed: bool) -> None:
    """The same text, as gzip."""
    worker = Worker(day())
    async with asked(worker) as client, client.get("/metrics", headers={"Accept-Encoding": accept}, auto_decompress=False) as response:
        body = await response.read()
    plain = gzip.decompress(body) if packed else body

    assert (response.headers.get("Content-Encoding") == "gzip") == packed
    assert plain.startswith(reference(worker.served(), RULES, worker.now()))


@pytest.mark.parametrize(("leases", "status"), [([True, True], 200), ([False], 503), ([True, False], 503), ([False, True], 503)])
async def test_series_are_served_within_the_lease_only(leases: list[bool], status: int) -> None:
    """It is tested before and after rendering; where it does not hold, another worker may serve the same shard by now."""
    async with asked(Worker(day(), leases=leases)) as client:
        if status == 200:
            async with client.get("/metrics") as response:
                assert response.status == 200
        else:
            assert set(await answer(client, "/metrics", status)) == {"error"}


async def test_an_answer_is_broken_off_when_the_lease_ends_on_the_way() -> None:
    """What a client reads later than that would be older than what the next owner serves."""
    async with asked(Worker(day(), leases=[True, True, False])) as client:
        with pytest.raises(ClientError):
            await (await client.get("/metrics")).read()


async def test_a_worker_without_a_shard_serves_its_own_series() -> None:
    """Without a lease, too: nobody else serves them."""
    async with asked(Worker(day(), held=(), leases=[False])) as client, client.get("/metrics") as response:
        text = await response.text()

    assert {f.name for f in text_families(text)} == {"karar_bookings", "karar_bookings_created"}


async def test_a_scrape_waits_for_few_slices_of_a_worker_that_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one after a start has every series to write, in pieces: with one between two slices it took twenty seconds."""
    monkeypatch.setattr(exposition_module, "PIECE", 1)
    worker = Worker(day(), held=("stitch-0", "stitch-1", "stitch-2"))
    needed = sum(1 for _ in Exposition(RULES).catch_up(worker.served()))
    slices = 0

    async def catching_up() -> None:
        nonlocal slices
        while True:
            slices += 1
            await worker.turns.give()

    async with asked(worker) as client:
        busy = asyncio.create_task(catching_up())
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            text = await response.text()
        waited = slices
        busy.cancel()

    assert "karar_contacts_offered_total{" in text
    assert needed >= 20 * TURNS
    assert waited <= needed // TURNS + 3 * TURNS, "for its pieces, and for what client and server do besides"


async def test_every_scrape_sees_what_was_committed_meanwhile() -> None:
    """Text is kept between scrapes, numbers are not."""
    worker = told(call("c1").queued(0, "A"))
    (one,) = worker.served().values()
    series = next(name for name in one.series if name.startswith("contacts_offered_total"))
    async with asked(worker) as client:
        before = await (await client.get("/metrics")).text()
        one.series[series] = {"": (2, 0)}
        one.changed.add(series)
        after = await (await client.get("/metrics")).text()

    assert 'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 1.0\n' in before
    assert 'karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 2.0\n' in after


@pytest.mark.parametrize("path", ["/metrics", "/chains"])
async def test_who_goes_away_meanwhile_troubles_nobody(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A scraper that gave up is no error, and the next one is answered. The server is run as a worker runs it."""
    worker, app = told(*(call(f"c{n}", phone=str(n)).queued(0, "A") for n in range(200))), web.Application()
    (one,) = worker.served().values()
    one.series |= {joined(("talk_seconds", "call", f"team {n}")): {"0": (1, 0)} for n in range(3_000)}
    attach(app, worker, Pages(IDENTITY, RULES, registry()))
    runner = Runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    _, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = await reader.read()
    writer.close()
    await runner.cleanup()

    assert text.count(b"karar_talk_seconds_count") == 3_000
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("aiohttp", "streams"))] == []


# -- /healthz and /readyz ----------------------------------------------------------------------------------------------


async def test_who_may_not_hold_his_shards_any_more_is_not_ready() -> None:
    """All are open, and `/metrics` is refused: whoever looks whether this worker serves must hear the same of both."""
    async with asked(Worker(day(), leases=[False])) as client:
        said = await answer(client, "/readyz", 503)
        assert (said["ready"], said["why"]) == (False, (await answer(client, "/metrics", 503))["error"])
    async with asked(Worker(day(), held=(), leases=[False])) as client:
        assert (await answer(client, "/readyz"))["ready"], "without a shard there is nothing to be sure of"


async def test_a_process_that_answers_lives() -> None:
    """Whatever its shards do."""
    async with asked(Worker(day(), leases=[False], is_ready=False)) as client:
        assert await answer(client, "/healthz") == {"alive": True}


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_ready_says_how_far_each_shard_is(ready: bool, status: int) -> None:  # noqa: FBT001 - a parameter of the test
    """503 until every shard is open and caught up; a refused one says why."""
    shards = (Shard("stitch-0"), Shard("assemble-1", "refused", "position 12 lies before the log's beginning", 0, 0, 7.5, {}))
    async with asked(Worker(day(), shards=shards, is_ready=ready)) as client:
        said = await answer(client, "/readyz", status)

    assert said == {
        "ready": ready,
        "why": "",
        "shards": [
            {
                "name": "stitch-0", "state": "open", "why": "", "read": 10, "of": 10,
                "behind_seconds": 0.0, "position": {"karar.interactions": 7},
            },
            {
                "name": "assemble-1", "state": "refused", "why": "position 12 lies before the log's beginning", "read": 0, "of": 0,
                "behind_seconds": 7.5, "position": {},
            },
        ],
    }  # fmt: skip


async def test_searches_of_all_chains_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while another one is going on waits for it; who would have to wait for long is told to come again."""
    async with asked(Worker(day())) as client:
        found = await asyncio.gather(*[answer(client, "/chains?open=1") for _ in range(5)])
        monkeypatch.setattr(web_module, "TURN_SECONDS", 0)
        said = await asyncio.gather(*[client.get("/chains?open=1") for _ in range(5)])

    assert found[0]["chains"]
    assert all(one == found[0] for one in found)
    assert sorted(one.status for one in said) == [200, 429, 429, 429, 429]
    assert {one.headers["Retry-After"] for one in said if one.status == 429} == {"1"}


# -- /chains/{customer} ------------------------------------------------------------------------------------------------


CALL: Final = call("c1", phone="+90 5").queued(0, "A").answered(65, "ann", team="red").ended(100)
LATER: Final = (
    visit("v1", phone="+90 5").queued(3 * 24 * HOUR, "cash").serving_started(3 * 24 * HOUR + 10, "bob").ended(3 * 24 * HOUR + MINUTE)
)


async def test_a_chain_is_found_by_the_raw_identifier() -> None:
    """It is hashed here; the record has links, moments, scores, and why the weakest link is the weakest."""
    async with asked(told(CALL)) as client:
        found = await answer(client, "/chains/%2B90%205")
        same = await answer(client, "/chains/+90%205?kind=phone")

    assert found == same
    assert (found["id"], found["customer"], found["moments"], found["score"]) == ("pbx/c1", IDENTITY.pseudonym("phone", "+90 5"), 1, 0.307)
    assert found["weakest"] == {"kind": "wait", "team": "A", "reason": "wait", "score": 0.307, "overrun_seconds": 45.0, "at": instant(0)}
    assert found["why"] == (
        "The wait for A is the weakest link with a score of 0.307: it took 65 s where 20 s were expected; no other link was judged."
    )
    assert [c["interaction"] for c in found["contacts"]] == ["c1"]


async def test_a_chain_is_found_by_the_pseudonym_that_others_were_told() -> None:
    """What /chains lists can be asked for."""
    async with asked(told(CALL)) as client:
        (listed,) = (await answer(client, "/chains?open=1"))["chains"]
        found = await answer(client, f"/chains/{listed['customer']}")

    assert found == listed


async def test_a_chain_is_found_by_what_an_alert_calls_the_customer() -> None:
    """Also of somebody who has no identifier."""
    async with asked(told(call("c1").queued(0, "A").answered(65, "ann", team="red"))) as client:
        (listed,) = (await answer(client, "/chains?open=1"))["chains"]
        found = await answer(client, f"/chains/{listed['customer']}")

    assert listed["customer"] == "interaction:pbx/c1"
    assert found == listed


async def test_the_live_chain_is_told_or_all_of_them() -> None:
    """The open chain that was active last; of closed ones the last; with `all` every one that is kept."""
    async with asked(told(CALL, LATER, later=3 * 24 * HOUR + MINUTE)) as client:
        live, every = await answer(client, "/chains/+90%205"), await answer(client, "/chains/+90%205?all=1")
    async with asked(told(CALL, LATER, later=9 * 24 * HOUR)) as client:
        closed = await answer(client, "/chains/+90%205?all=0")

    assert (live["id"], live["closed"]) == ("pbx/v1", False)
    assert [(c["id"], c["closed"]) for c in every["chains"]] == [("pbx/c1", True), ("pbx/v1", False)]
    assert (closed["id"], closed["closed"]) == ("pbx/v1", True)


async def test_a_stronger_kind_is_tried_first() -> None:
    """One value may be a customer's number and somebody's phone."""
    other = call("c2", customer="+90 5").queued(0, "B")
    async with asked(told(CALL, other)) as client:
        guessed, phone = await answer(client, "/chains/+90%205"), await answer(client, "/chains/+90%205?kind=phone")

    assert (guessed["id"], phone["id"]) == ("pbx/c2", "pbx/c1")


async def test_a_customer_of_another_worker_is_said_to_be_there() -> None:
    """404 says which shard would hold it, and whether that one is here."""
    worker, key = Worker(day(), held=("stitch-0",)), IDENTITY.pseudonym("phone", "1")
    shard = worker.partition_of(key.encode())
    worker.held = tuple({"stitch-0", "stitch-1", "stitch-2"} - {shard})
    async with asked(worker) as client:
        said = await answer(client, "/chains/1?kind=phone", 404)

    assert said == {
        "error": f"no chain of this customer is here, and {shard} is with another worker: ask that one",
        "tried": [{"kind": "phone", "shard": shard, "here": False}],
    }


async def test_a_customer_of_a_shard_that_opens_here_is_said_to_be_coming() -> None:
    """It was assigned to this worker, so no other has it."""
    worker, shard = Worker(day(), held=()), Worker(day()).partition_of(IDENTITY.pseudonym("phone", "1").encode())
    worker.shards = (Shard(shard, "opening"),)
    async with asked(worker) as client:
        said = await answer(client, "/chains/1?kind=phone", 404)

    assert said["error"] == f"no chain of this customer is here, but {shard} is not open yet: see /readyz"


async def test_a_customer_whom_nobody_knows_is_not_found() -> None:
    """Every kind was tried, strongest first."""
    async with asked(told(CALL)) as client:
        said = await answer(client, "/chains/nobody", 404)

    assert said["error"] == NOT_KEPT
    assert [t["kind"] for t in said["tried"]] == ["customer", "account", "email", "phone", "device"]
    assert all(t["here"] for t in said["tried"])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/chains/anonymous", "this value identifies nobody"),
        ("/chains/%20", "this value identifies nobody"),
        ("/chains/1?kind=shoe", "kind must be one of customer, account, email, phone, device"),
        ("/chains/1?all=yes", "all must be one of 0, 1"),
        ("/chains/1?al=1", "unknown parameter; there are: kind, all"),
        ("/chains/" + "1" * 257, "an identifier is at most 256 characters long"),
        ("/chains?limit=0", "limit must be a whole number from 1 to 200"),
        ("/chains?limit=201", "limit must be a whole number from 1 to 200"),
        ("/chains?limit=ten", "limit must be a whole number from 1 to 200"),
        ("/chains?limit=²", "limit must be a whole number from 1 to 200"),
        ("/chains?sort=name", "sort must be one of transfers, moments, score, start"),
        ("/chains?open=2", "open must be one of 0, 1"),
    ],
)
async def test_what_cannot_be_answered_is_refused_in_one_line(path: str, line: str) -> None:
    """The line says what to do."""
    async with asked(told(CALL)) as client:
        assert await answer(client, path, 400) == {"error": line}


@pytest.mark.parametrize("length", [256, 255])
async def test_an_identifier_may_be_long(length: int) -> None:
    """Within and exactly the limit."""
    async with asked(told(CALL)) as client:
        assert (await answer(client, "/chains/" + "1" * length, 404))["error"] == NOT_KEPT


@pytest.mark.parametrize("path", ["/chains/+90%205", "/chains"])
async def test_chains_are_told_within_the_lease_only(path: str) -> None:
    """Another worker may have changed them by now."""
    worker = told(CALL)
    worker.leases = [False]
    async with asked(worker) as client:
        assert set(await answer(client, path, 503)) == {"error"}


# -- /chains -----------------------------------------------------------------------------------------------------------

ORDERS: Final[dict[str, Callable[[Any], Any]]] = {
    "transfers": lambda chain: (-chain["transfers"], chain["id"]),
    "moments": lambda chain: (-chain["moments"], chain["id"]),
    "score": lambda chain: 2 if chain["score"] is None else chain["score"],
    "start": lambda chain: (-chain["start"], chain["id"]),
}


@pytest.mark.parametrize("sort", ORDERS)
async def test_open_chains_are_ranked(sort: str) -> None:
    """The first 50 of all that are open; the states that are not are never decoded."""
    worker = Worker(day(), held=("stitch-0", "stitch-2"))
    async with asked(worker) as client:
        said = await answer(client, f"/chains?open=1&sort={sort}")
        every = await answer(client, f"/chains?open=1&sort={sort}&limit=200")
        first = await answer(client, f"/chains?open=1&sort={sort}&limit=1")

    assert said["shards"] == ["stitch-0", "stitch-2"]
    assert len(said["chains"]) == 50
    assert said["chains"] == every["chains"][:50] == sorted(said["chains"], key=ORDERS[sort])
    assert first["chains"] == every["chains"][:1]
    assert not any(chain["closed"] for chain in every["chains"])


async def test_closed_chains_are_told_where_they_are_asked_for() -> None:
    """`open=1` leaves them out unread."""
    async with asked(told(CALL, call("c2", phone="2").queued(9 * 24 * HOUR, "B"), later=9 * 24 * HOUR + 1)) as client:
        opened, every = await answer(client, "/chains?open=1"), await answer(client, "/chains?sort=start")

    assert ([c["id"] for c in opened["chains"]], opened["customers_read"]) == (["pbx/c2"], 1)
    assert ([c["id"] for c in every["chains"]], every["customers_read"]) == (["pbx/c2", "pbx/c1"], 2)


# -- Who may ask what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "nonsense"])
async def test_chains_answer_to_this_machine_only(remote: str) -> None:
    """Without a token; what Prometheus and a load balancer need is answered to all."""
    async with asked(told(CALL), remote=remote) as client:
        for path in GUARDED:
            assert "127.0.0.1 only" in (await answer(client, path, 403))["error"]
        for path in PUBLIC:
            assert (await client.get(path)).status == 200


@pytest.mark.parametrize("remote", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.2"])
async def test_this_machine_has_several_addresses(remote: str) -> None:
    """Version 4, version 6, and the one inside the other."""
    async with asked(told(CALL), remote=remote) as client:
        assert (await answer(client, "/chains"))["customers_read"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "127.0.0.1:6066"}, 200),
        ({"Host": "[::1]:6066"}, 200),
        ({"Host": "evil.example:6066"}, 403),
        ({"Host": "[::1"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"Forwarded": "for=127.0.0.1"}, 403),
        ({"X-Real-IP": "127.0.0.1"}, 403),
    ],
)
async def test_who_asks_on_this_machine_asks_for_itself(headers: dict[str, str], status: int) -> None:
    """Another site's page may lead a browser here under its own name, and a proxy asks for somebody else."""
    async with asked(told(CALL)) as client:
        await answer(client, "/chains", status, headers=headers)


@pytest.mark.parametrize("remote", ["", "10.0.0.7"])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401),
        ("Bearer gül", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("", 401),
    ],
)
async def test_with_a_token_set_it_is_needed_wherever_one_asks_from(given: str, status: int, remote: str) -> None:
    """`Authorization: Bearer`, and nothing else; public pages need none."""
    async with asked(told(CALL), token=TOKEN, remote=remote) as client:
        await answer(client, "/chains", status, headers={"Authorization": given})
        assert (await client.get("/metrics")).status == 200


async def test_a_token_in_an_address_is_worth_nothing() -> None:
    """Addresses are logged."""
    async with asked(told(CALL), token=TOKEN) as client, client.get("/chains", params={"token": TOKEN}) as response:
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert TOKEN not in await response.text()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/chains/1", "/"])
async def test_nothing_can_be_written(method: str, path: str) -> None:
    """Reading only."""
    async with asked(told(CALL)) as client, client.request(method, path) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert json.loads(await response.text()) == {"error": "this is for reading only: use GET"}


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/", "/chains", "/chains/+90%205"])
async def test_the_head_alone_can_be_asked_for(path: str) -> None:
    """It is that of the whole answer."""
    async with asked(told(CALL)) as client, client.head(path) as head, client.get(path) as whole:
        assert (head.status, head.content_type, await head.read()) == (200, whole.content_type, b"")


async def test_a_request_has_no_body() -> None:
    """Whatever is sent is not read."""
    async with asked(told(CALL)) as client:
        assert await answer(client, "/healthz", 413, data=b"x" * 1_000) == {"error": "a request has no body here"}


@pytest.mark.parametrize("path", ["/nowhere", "/chains/", "/metrics/", "/chains/../metrics/x", "/table", "/%2e%2e/etc/passwd"])
async def test_there_is_nothing_else(path: str) -> None:
    """What else the web application serves is out of reach: Faust has pages of its own."""
    async with asked(told(CALL)) as client:
        said = await answer(client, path, 400 if path == "/chains/" else 404)

    assert set(said) == {"error"}


@pytest.mark.parametrize(
    "path",
    ["/chains/%0d%0aX-Evil:%201", "/chains?sort=%0d%0aX-Evil:%201", "/metrics?name[]=%0d%0aX-Evil:%201", "/nowhere%0d%0aX-Evil:%201"],
)
async def test_nothing_of_a_question_gets_into_the_head_of_the_answer(path: str) -> None:
    """Line feeds that somebody has put into an address stay where they are, and what is wrong with it is said without it."""
    async with asked(told(CALL)) as client, client.get(URL(path, encoded=True)) as response:
        assert "X-Evil" not in response.headers
        assert "X-Evil" not in await response.text()


async def test_the_first_page_lists_the_addresses() -> None:
    """Each that is complete as a link that answers."""
    async with asked(told(CALL)) as client:
        async with client.get("/") as response:
            text = await response.text()
        for address, meaning in ADDRESSES:
            assert meaning in text
            if "{" not in address and "still to come" not in meaning:
                assert f'href="{address.replace("&", "&amp;")}"' in text
                assert (await client.get(address)).status == 200

    assert (response.status, response.content_type) == (200, "text/html")


async def test_what_fails_inside_is_one_line_and_logged_without_the_customer(caplog: pytest.LogCaptureFixture) -> None:
    """The address of a chain is a phone number."""
    worker = told(CALL)
    worker.replay.stitch[0].state[IDENTITY.pseudonym("phone", "905").encode()] = b"\0" * 9 + b"broken"
    async with asked(worker) as client:
        said = await answer(client, "/chains/905?kind=phone", 500)

    assert said == {"error": "this page could not be made: see the log"}
    assert "a page could not be made" in caplog.text
    assert "905" not in " ".join(record.getMessage() for record in caplog.records)


async def test_answers_are_not_kept_or_guessed_at() -> None:
    """They tell of customers, and of this moment."""
    async with asked(told(CALL)) as client:
        for path in ("/", "/chains", "/chains/1", "/metrics"):
            headers = (await client.get(path)).headers

            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
