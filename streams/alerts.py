"""Alerts on chains to Alertmanager (API v2): posted when the transaction that tells of them has committed.

Nothing is kept here that matters. What a worker has committed and not posted when it is killed is found in the alerts topic by whoever
opens the shard next; what is posted twice is one alert, because Alertmanager goes by labels.
"""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from math import inf
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import orjson
from aiohttp import ClientConnectorError, ClientResponseError, ClientSession, ClientTimeout
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec import json

from schemas.records import Alert
from streams.core.alerts import STALE, labels
from streams.engine.engine import Engine, Slot
from streams.engine.folding import Row
from streams.engine.shard import Shard
from streams.engine.spec import wall

log = logging.getLogger(__name__)

NAME: Final = "ExcessiveTransfersInChain"
MANY: Final = "ExcessiveTransfersInManyChains"
SEVERITY: Final = "page"
RUNBOOK: Final = "docs/runbook.md#"
LIVE_AT_MOST: Final = 20
"""Live alerts of one team; what crosses the limit beyond them is one summary."""
MANY_MS: Final = 300_000
ANSWER_SECONDS: Final = 5
AT_ONCE: Final = 100
REFUSED: Final = (400, 413, 422)
"""Answers that will be the same the next time."""
BACK_MS: Final = 3_600_000
READ_SECONDS: Final = 10
RETRY_SECONDS: Final = 1.0
SAY_SECONDS: Final = 60.0
"""So often it is told that an Alertmanager still does not answer."""
LOOK_SECONDS: Final = 0.5
JSON: Final = {"Content-Type": "application/json"}
DECODE: Final = json.Decoder(Alert).decode

Posted = dict[str, Any]
"""An alert as Alertmanager takes it: labels, annotations, startsAt, endsAt."""


class Alertmanager:
    """One Alertmanager, and what it is still to be told. ``count`` notes what became of each alert: sent, limited, stale, failed.

    ``answers``: whether it did when it was asked last; ``said``: what the log was told of that last; ``warned``: when that was a warning.
    """

    def __init__(self, address: str, count: Callable[[str], None]) -> None:
        self.address, self.count = address, count
        self.pending: list[Alert] = []
        self.over: dict[tuple[str, ...], int] = {}
        self.answers = False
        self.said: bool | None = None
        self.warned = -inf
        self.wake = asyncio.Event()
        self.wake.set()  # a look at the start: a wrong address is to be known before a customer waits

    def tell(self, alerts: Iterable[Alert]) -> None:
        """Posts these soon. What has begun more than a minute ago is for the record only."""
        for alert in alerts:
            if alert.state == "ended":
                self.over[labels(alert)] = wall()
            elif alert.stale or wall() - alert.at > STALE:
                self.count("stale")
                continue
            if not alert.moved:  # one that has moved is the same to Alertmanager, and goes on there
                self.pending.append(alert)
        self.wake.set()

    async def run(self) -> None:
        """Posts what there is, again and again; what cannot be posted is tried until it helps nobody any more."""
        async with ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as session:
            while True:
                await self.wake.wait()
                self.wake.clear()
                due, self.pending = self.pending, []
                try:
                    await self.post(session, due)
                except Exception as error:  # noqa: BLE001 - whatever it answers, it is no reason for the worker to end
                    self.pending = [alert for alert in due if self.matters(alert)] + self.pending
                    self.silent(error)
                    await asyncio.sleep(RETRY_SECONDS)
                    self.wake.set()

    async def look(self, session: ClientSession) -> None:
        """Asks whether it is there. ClientError, TimeoutError."""
        async with session.get(f"{self.address}/api/v2/status") as answer:
            answer.raise_for_status()
        self.answering()

    def answering(self) -> None:
        """It has answered; said at the start, and after it was said that it does not."""
        self.answers = True
        if not self.said:
            self.said = True
            log.info("%s answers, and is told of chains with too many transfers", self.address)

    def silent(self, error: Exception) -> None:
        """It has not; said with what to do about it, once a minute as long as that lasts."""
        self.answers = False
        now = time.monotonic()
        if now - self.warned >= SAY_SECONDS:
            self.said, self.warned = False, now
            log.warning("%s %s; alerts that wait for it: %d", self.address, problem(error, self.address), len(self.pending))

    def matters(self, alert: Alert) -> bool:
        """Whether it is worth trying again: an end until it ends by itself, a beginning for a minute."""
        if wall() < (alert.until if alert.state == "ended" else alert.at + STALE):
            return True
        self.count("failed")
        return False

    async def post(self, session: ClientSession, alerts: Sequence[Alert]) -> None:
        """Tells what has ended, and what has begun and is not over, of each team up to the limit. ClientError, TimeoutError.

        With nothing to tell it is asked whether it is there, unless it answered last time.
        """
        now = wall()
        self.over = {name: at for name, at in self.over.items() if now - at <= 2 * STALE}
        posts = [(single(alert, max(now, alert.at)), "", 1) for alert in alerts if alert.state == "ended"]
        by_team: dict[str, list[Alert]] = defaultdict(list)
        for alert in alerts:
            if alert.state == "firing" and labels(alert) not in self.over:
                by_team[alert.team].append(alert)
        for team, begun in by_team.items():
            live = await self.live(session, team)
            new = [alert for alert in begun if alert.chain not in live]
            room = max(0, LIVE_AT_MOST - len(live))
            posts += [(single(alert, alert.until), "sent", 1) for alert in begun if alert.chain in live]
            posts += [(single(alert, alert.until), "sent", 1) for alert in new[:room]]
            if beyond := new[room:]:
                posts.append((summary(team, beyond, now), "limited", len(beyond)))
        if not posts and not self.answers:
            await self.look(session)
        for at in range(0, len(posts), AT_ONCE):
            part = posts[at : at + AT_ONCE]
            refused = await self.send(session, [post for post, *_ in part])
            for post, result, number in part:
                became = "failed" if post in refused else result
                for _ in range(number if became else 0):
                    self.count(became)

    async def send(self, session: ClientSession, posts: Sequence[Posted]) -> Sequence[Posted]:
        """One request; where it is refused for what is in it, each alone. What is refused alone is given up, and returned."""
        async with session.post(f"{self.address}/api/v2/alerts", data=orjson.dumps(posts), headers=JSON) as answer:
            if answer.status not in REFUSED:
                answer.raise_for_status()
                self.answering()
                return ()
        if len(posts) == 1:
            log.error("%s refuses an alert: %s", self.address, posts[0]["labels"])
            return posts
        return [refused for post in posts for refused in await self.send(session, [post])]

    async def live(self, session: ClientSession, team: str) -> set[str]:
        """The chains of a team that it has live alerts on, whoever posted them."""
        matchers = [("filter", f"{name}={orjson.dumps(value).decode()}") for name, value in (("alertname", NAME), ("team", team))]
        query = [*((kind, "true") for kind in ("active", "silenced", "inhibited")), *matchers]
        async with session.get(f"{self.address}/api/v2/alerts", params=query) as answer:
            answer.raise_for_status()
            return {alert["labels"].get("chain", "") for alert in orjson.loads(await answer.read())}


class Alerts:
    """Every Alertmanager that is to be told."""

    def __init__(self, addresses: Iterable[str], count: Callable[[str], None]) -> None:
        self.managers = [Alertmanager(address, count) for address in addresses]

    def hear(self, rows: Sequence[Row]) -> None:
        """Takes records of the alerts topic that have committed."""
        self.tell([alert for _, value, _, _ in rows if (alert := decoded(value)) is not None])

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Tells everyone."""
        for manager in self.managers:
            manager.tell(alerts)

    async def run(self) -> None:
        """Posts for ever."""
        async with asyncio.TaskGroup() as group:
            for manager in self.managers:
                group.create_task(manager.run())

    async def follow(self, engine: Engine, stage: str, topic: str) -> None:
        """Tells what was committed shortly before a shard opened here, because its former owner may not have come to it."""
        known: WeakValueDictionary[Slot, Shard] = WeakValueDictionary()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            opened = {slot: shard for slot, shard in engine.shards.items() if slot[0] == stage and known.get(slot) is not shard}
            if opened:
                try:
                    found = await recent(engine, topic, [n for _, n in opened])
                except (KafkaError, TimeoutError) as error:
                    log.info("recent alerts are not read yet: %r", error)
                else:
                    self.tell([alert for alert in found if alert.state == "ended" or wall() - alert.at <= STALE])
                    known.update(opened)


async def recent(engine: Engine, topic: str, partitions: Iterable[int]) -> list[Alert]:
    """The alerts of the last hour in some partitions. KafkaError, TimeoutError."""
    consumer = engine.kafka.consumer()
    try:
        async with asyncio.timeout(READ_SECONDS):
            await consumer.start()
            places = [TopicPartition(topic, n) for n in partitions]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            starts = await consumer.offsets_for_times(dict.fromkeys(places, wall() - BACK_MS))
            for place in places:
                start = starts.get(place)
                consumer.seek(place, ends[place] if start is None else min(start.offset, ends[place]))
            found: list[Alert] = []
            # Judged by position: what is read last may be a marker, which brings no record.
            while [place for place in places if await consumer.position(place) < ends[place]]:
                for records in (await consumer.getmany(*places, timeout_ms=100)).values():
                    found += [alert for record in records if (alert := decoded(record.value)) is not None]
            return found
    finally:
        await consumer.stop()


def decoded(value: bytes | None) -> Alert | None:
    """An alert; None where the record is none of ours."""
    try:
        return DECODE(value) if value else None
    except ValueError:
        log.warning("a record of the alerts topic cannot be read")
        return None


def problem(error: Exception, address: str) -> str:
    """What is wrong with an Alertmanager, and what to do about it, in words."""
    advice = "see whether it runs, and whether KARAR_ALERTMANAGER names it"
    match error:
        case ClientResponseError(status=HTTPStatus.NOT_FOUND) if urlsplit(address).path:
            return "is no Alertmanager's address; leave out the path"
        case ClientResponseError(status=HTTPStatus.NOT_FOUND):
            return f"is no Alertmanager's address; {advice}"
        case ClientResponseError(status=status, message=message):
            return f"answers {status} {message}; see its log"
        case ClientConnectorError(os_error=cause):
            why = os.strerror(cause.errno) if isinstance(cause, ConnectionError) and cause.errno else cause.strerror or cause
            return f"cannot be reached ({why}); {advice}"
        case TimeoutError():
            return f"does not answer within {ANSWER_SECONDS} s; {advice}"
        case _:
            return f"does not answer as an Alertmanager does ({type(error).__name__}: {error}); {advice}"


def single(alert: Alert, until: int) -> Posted:
    """One alert on one chain."""
    path = " → ".join(alert.path)
    return {
        "labels": {
            "alertname": NAME, "team": alert.team, "channel": alert.channel, "severity": SEVERITY, "chain": alert.chain,
        },
        "annotations": {
            "summary": f"{alert.transfers} transfers within a day: {path}. {alert.why}",
            "customer": alert.customer,
            "interaction": alert.interaction,
            "path": path,
            "weakest_link": alert.why,
            "runbook_url": f"{RUNBOOK}{NAME.lower()}",
        },
        "startsAt": rfc3339(alert.at),
        "endsAt": rfc3339(until),
    }  # fmt: skip


def summary(team: str, alerts: Sequence[Alert], now: int) -> Posted:
    """One alert for all that is beyond the limit."""
    return {
        "labels": {"alertname": MANY, "team": team, "severity": SEVERITY},
        "annotations": {
            "summary": f"{team}: more than {LIVE_AT_MOST} chains beyond their limit of transfers at once; "
            f"single ones are in the alerts topic, the last {alerts[-1].chain}.",
            "runbook_url": f"{RUNBOOK}{MANY.lower()}",
        },
        "startsAt": rfc3339(alerts[0].at),
        "endsAt": rfc3339(now + MANY_MS),
    }


def rfc3339(at: int) -> str:
    """An instant (ms) as text."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
