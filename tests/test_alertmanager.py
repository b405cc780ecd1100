"""Alerts to Alertmanager: what is posted, what is not, how many at once, and what becomes of what cannot be posted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from errno import ECONNREFUSED
from http import HTTPStatus
from socket import gaierror
from typing import Any, Final, cast

import pytest
from aiohttp import ClientConnectorError, ClientResponseError, web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaProducer
from msgspec import json
from msgspec.structs import replace

from schemas.records import Alert, ScoredLink
from streams import alerts as alerts_module
from streams.alerts import LIVE_AT_MOST, MANY, NAME, Alerts, problem, recent
from streams.engine.engine import Engine
from streams.engine.kafka import Kafka
from streams.engine.spec import wall
from streams.settings import Settings
from streams.topics import create
from tests.world import until

pytestmark = pytest.mark.asyncio
WEAKEST: Final = ScoredLink(kind="wait", team="A", reason="wait", score=0.307, overrun_seconds=45.0, at=0)
WHY: Final = "The wait for A is the weakest link with a score of 0.307: it took 65 s where 20 s were expected; no other link was judged."


class Receiver:
    """An Alertmanager of the test's: what was posted, and what is live by it."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.failing = 0
        self.refused = ""
        self.queries: list[list[str]] = []
        self.looks = 0

    async def status(self, _: web.Request) -> web.Response:
        """Says how it is, also while it fails to take anything."""
        self.looks += 1
        return web.json_response({"versionInfo": {"version": "0.28.1"}})

    async def post(self, request: web.Request) -> web.Response:
        """Takes alerts, or fails, or refuses all because of one."""
        if self.refused and self.refused in await request.text():
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        if self.failing:
            self.failing -= 1
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        self.posted += await request.json()
        return web.Response()

    async def get(self, request: web.Request) -> web.Response:
        """The live alerts of a name and team."""
        self.queries.append(request.query.getall("filter"))
        return web.json_response([{"labels": labels} for labels in self.live() if all(holds(labels, f) for f in self.queries[-1])])

    def live(self) -> list[dict[str, str]]:
        """The labels of what is live: the last post of each decides."""
        last = {tuple(sorted(post["labels"].items())): post for post in self.posted}
        return [post["labels"] for post in last.values() if instant(post["endsAt"]) > wall()]

    def names(self) -> Counter[str]:
        """How many were posted of each name."""
        return Counter(post["labels"]["alertname"] for post in self.posted)


def holds(labels: dict[str, str], matcher: str) -> bool:
    """Whether an alert is meant."""
    name, _, value = matcher.partition("=")
    return labels.get(name) == json.decode(value)


def instant(text: str) -> float:
    """RFC 3339 as ms."""
    return datetime.fromisoformat(text).timestamp() * 1000


def alert(number: int = 1, **changes: Any) -> Alert:
    """One that has just begun."""
    made = Alert(
        id=f"{number}", state="firing", stale=False, at=wall() - 100, until=wall() + 3_600_000, customer="phone:7f", chain=f"pbx:c{number}",
        interaction=f"pbx:c{number}", channel="call", team="C", transfers=3, path=["A", "B", "C", "D"], weakest=WEAKEST,
        why=WHY,
    )  # fmt: skip
    return replace(made, **changes)


@asynccontextmanager
async def telling(path: str = "") -> AsyncIterator[tuple[Receiver, Alerts, Counter[str]]]:
    """A receiver, who is to be told (under an address with a path, perhaps), and what became of alerts."""
    receiver, counted = Receiver(), Counter[str]()
    app = web.Application()
    app.router.add_post("/api/v2/alerts", receiver.post)
    app.router.add_get("/api/v2/alerts", receiver.get)
    app.router.add_get("/api/v2/status", receiver.status)
    async with TestServer(app) as server:
        alerts = Alerts([str(server.make_url(path)).rstrip("/")], lambda result: counted.update([result]))
        running = asyncio.create_task(alerts.run())
        try:
            yield receiver, alerts, counted
        finally:
            running.cancel()
            await asyncio.wait([running])


async def done(alerts: Alerts, holds: Callable[[], bool]) -> None:
    """Waits until something holds and nothing is on its way."""
    await until(lambda: holds() and not alerts.managers[0].pending)


async def test_an_alert_says_who_where_and_why() -> None:
    """Labels to group by, and in its annotations what whoever steps in must know."""
    async with telling() as (receiver, alerts, counted):
        one = alert()
        alerts.hear([(b"1", json.encode(one), None, ()), (b"2", None, None, ())])
        await until(lambda: counted == {"sent": 1})
    (post,) = receiver.posted

    assert post["labels"] == {"alertname": NAME, "team": "C", "channel": "call", "severity": "page", "chain": "pbx:c1"}
    assert post["annotations"]["customer"] == "phone:7f"
    assert post["annotations"]["path"] == "A → B → C → D"
    assert post["annotations"]["weakest_link"] == WHY
    assert post["annotations"]["summary"] == f"3 transfers within a day: A → B → C → D. {WHY}"
    assert (instant(post["startsAt"]), instant(post["endsAt"])) == (one.at, one.until)
    assert counted == {"sent": 1}


async def test_the_end_is_told() -> None:
    """At once, with the same labels; what began before and comes after it is not told any more."""
    async with telling() as (receiver, alerts, _):
        alerts.tell([alert()])
        await done(alerts, lambda: len(receiver.posted) == 1)
        alerts.tell([alert(state="ended")])
        await done(alerts, lambda: len(receiver.posted) == 2)
        alerts.tell([alert(), alert(2)])
        await done(alerts, lambda: len(receiver.posted) == 3)

    assert receiver.posted[0]["labels"] == receiver.posted[1]["labels"]
    assert instant(receiver.posted[1]["endsAt"]) <= wall()
    assert receiver.posted[2]["labels"]["chain"] == "pbx:c2"


@pytest.mark.parametrize("changes", [{"stale": True}, {"at": wall() - 3_600_000}, {"state": "ended", "moved": True}])
async def test_what_comes_too_late_or_goes_on_elsewhere_wakes_nobody(changes: dict[str, Any]) -> None:
    """It is in the topic all the same."""
    async with telling() as (receiver, alerts, _):
        alerts.tell([alert(1, **changes), alert(2)])
        await done(alerts, lambda: bool(receiver.posted))

    assert [post["labels"]["chain"] for post in receiver.posted] == ["pbx:c2"]


async def test_a_storm_is_twenty_alerts_and_a_summary() -> None:
    """Of each team; whoever posted them. What ends makes room."""
    async with telling() as (receiver, alerts, counted):
        alerts.tell([alert(n) for n in range(LIVE_AT_MOST - 1)])
        await done(alerts, lambda: len(receiver.posted) == LIVE_AT_MOST - 1)
        alerts.tell([alert(100 + n) for n in range(3)])
        alerts.tell([alert(200, team='"D"')])
        await done(alerts, lambda: receiver.names()[MANY] == 1)
        assert receiver.names() == {NAME: LIVE_AT_MOST + 1, MANY: 1}
        alerts.tell([alert(0, state="ended")])
        await done(alerts, lambda: receiver.names()[NAME] == LIVE_AT_MOST + 2)
        alerts.tell([alert(300)])
        await done(alerts, lambda: receiver.names()[NAME] == LIVE_AT_MOST + 3)
        await until(lambda: counted == {"sent": LIVE_AT_MOST + 2, "limited": 2})

    (many,) = (post for post in receiver.posted if post["labels"]["alertname"] == MANY)
    assert many["labels"] == {"alertname": MANY, "team": "C", "severity": "page"}
    assert counted == {"sent": LIVE_AT_MOST + 2, "limited": 2}


async def test_what_cannot_be_posted_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a second, with what has come meanwhile."""
    monkeypatch.setattr(alerts_module, "RETRY_SECONDS", 0.01)
    async with telling() as (receiver, alerts, counted):
        receiver.failing = 3
        alerts.tell([alert(1)])
        await until(lambda: receiver.failing < 3)
        alerts.tell([alert(2)])
        await done(alerts, lambda: len({post["labels"]["chain"] for post in receiver.posted}) == 2)
        await until(lambda: counted == {"sent": 2})

    assert counted == {"sent": 2}


async def test_one_that_is_refused_does_not_hold_up_the_others() -> None:
    """Each is posted alone then, and what is refused alone is given up."""
    async with telling() as (receiver, alerts, counted):
        receiver.refused = "pbx:c2"
        alerts.tell([alert(n) for n in (1, 2, 3)])
        await until(lambda: counted == {"sent": 2, "failed": 1})

    assert [post["labels"]["chain"] for post in receiver.posted] == ["pbx:c1", "pbx:c3"]
    assert counted == {"sent": 2, "failed": 1}


async def test_what_helps_nobody_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute after it began; an end when it would have ended by itself. It is counted."""
    monkeypatch.setattr(alerts_module, "RETRY_SECONDS", 0.01)
    async with telling() as (receiver, alerts, counted):
        receiver.failing = 1 << 30
        alerts.tell([alert(1, at=wall() - 59_900), alert(2, state="ended", until=wall() + 50)])
        await done(alerts, lambda: counted["failed"] == 2)

    assert receiver.posted == []


# -- What the log says -------------------------------------------------------------------------------------------------


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the log was told, without the address."""
    return [(r.levelname, r.getMessage().partition(" ")[2]) for r in caplog.records if r.name == alerts_module.__name__]


ANSWERS: Final = ("INFO", "answers, and is told of chains with too many transfers")
FAILS: Final = "answers 503 Service Unavailable; see its log; alerts that wait for it: "
"""And how many."""


async def test_at_the_start_each_is_looked_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever starts a worker sees whether it finds them."""
    caplog.set_level("INFO")
    async with telling() as (receiver, alerts, _):
        await until(lambda: said(caplog) == [ANSWERS])
        alerts.tell([alert(1, stale=True)])
        alerts.tell([alert(2)])
        await done(alerts, lambda: bool(receiver.posted))

    assert receiver.looks == 1
    assert said(caplog) == [ANSWERS]


async def test_an_address_with_a_path_too_much_is_known_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Before there is anything to tell, and with what to do about it."""
    async with telling("/alertmanager"):
        await until(lambda: bool(said(caplog)))

    assert said(caplog) == [("WARNING", "is no Alertmanager's address; leave out the path; alerts that wait for it: 0")]


async def test_one_that_stops_answering_is_told_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Not with every try; and once that it is back."""
    monkeypatch.setattr(alerts_module, "RETRY_SECONDS", 0.001)
    caplog.set_level("INFO")
    async with telling() as (receiver, alerts, _):
        await until(lambda: said(caplog) == [ANSWERS])
        receiver.failing = 20
        alerts.tell([alert(1), alert(2)])
        await done(alerts, lambda: len(receiver.posted) == 2)
        receiver.failing = 20  # again within the minute
        alerts.tell([alert(3)])
        await done(alerts, lambda: len(receiver.posted) == 3)

    assert said(caplog) == [ANSWERS, ("WARNING", FAILS + "2"), ANSWERS]


async def test_one_that_stays_silent_is_told_of_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """When a minute has passed, with how many wait by then."""
    monkeypatch.setattr(alerts_module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(alerts_module, "SAY_SECONDS", 0)
    async with telling() as (receiver, alerts, _):
        receiver.failing = 1 << 30
        alerts.tell([alert(1)])
        await until(lambda: ("WARNING", FAILS + "1") in said(caplog))
        alerts.tell([alert(2)])
        await until(lambda: ("WARNING", FAILS + "2") in said(caplog))
        receiver.failing = 0
        await done(alerts, lambda: len(receiver.posted) == 2)

    assert {post["labels"]["chain"] for post in receiver.posted} == {"pbx:c1", "pbx:c2"}


async def test_one_that_has_missed_everything_is_looked_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing waits for it any more; that it is back is said all the same."""
    monkeypatch.setattr(alerts_module, "RETRY_SECONDS", 0.001)
    caplog.set_level("INFO")
    async with telling() as (receiver, alerts, counted):
        await until(lambda: said(caplog) == [ANSWERS])
        receiver.failing = 1 << 30
        alerts.tell([alert(1, at=wall() - 59_900)])
        await until(lambda: said(caplog)[2:] == [ANSWERS])

    assert counted == {"failed": 1}


ANY: Final = cast("Any", None)
ADVICE: Final = "see whether it runs, and whether KARAR_ALERTMANAGER names it"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ClientConnectorError(ANY, ConnectionRefusedError(ECONNREFUSED, "Connect call …")),
            f"cannot be reached (Connection refused); {ADVICE}",
        ),
        (ClientConnectorError(ANY, gaierror(-2, "Name not known")), f"cannot be reached (Name not known); {ADVICE}"),
        (ClientConnectorError(ANY, OSError("several")), f"cannot be reached (several); {ADVICE}"),
        (TimeoutError(), f"does not answer within 5 s; {ADVICE}"),
        (ClientResponseError(ANY, (), status=404), f"is no Alertmanager's address; {ADVICE}"),
        (ClientResponseError(ANY, (), status=403, message="Forbidden"), "answers 403 Forbidden; see its log"),
        (ValueError("no JSON"), f"does not answer as an Alertmanager does (ValueError: no JSON); {ADVICE}"),
    ],
)
async def test_what_is_wrong_is_told_in_words(error: Exception, words: str) -> None:
    """What, and what to do; never how Python writes it."""
    assert problem(error, "http://a:9093") == words


# -- After a change of owner -------------------------------------------------------------------------------------------


async def test_what_was_committed_lately_is_found_by_the_next_owner(kafka: str) -> None:
    """Of its partitions only, nothing older than an hour, and nothing that did not commit."""
    settings = Settings(broker=kafka, prefix=f"test-alerts-{wall()}", partitions=2)
    await create(settings)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=settings.prefix)
    await producer.start()
    try:
        for number, partition, age in ((1, 0, 3_700_000), (2, 0, 5_000), (3, 1, 0), (4, 0, 0)):
            async with producer.transaction():
                value = json.encode(alert(number))
                await producer.send_and_wait(settings.topic("alerts"), value, b"a", partition, timestamp_ms=wall() - age)
        await producer.begin_transaction()  # nothing but what was taken back, and markers, at the end of both
        for partition in (0, 1):
            await producer.send_and_wait(settings.topic("alerts"), json.encode(alert(5)), b"a", partition)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    engine = Engine([], Kafka(kafka), "g")

    assert [a.id for a in await recent(engine, settings.topic("alerts"), [0])] == ["2", "4"]
    assert [a.id for a in await recent(engine, settings.topic("alerts"), [1])] == ["3"]
