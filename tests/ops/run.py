"""What is tried, in order: alerts arrive, the dashboard shows something, shards move and nothing falls, and what can break does."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import yaml
from aiohttp import ClientError, ClientSession
from aiokafka import AIOKafkaProducer

from schemas.events import Queued
from streams.alerts import NAME as IN_CHAIN
from streams.broker.kafka import free_port
from streams.core.sealed import open_of
from streams.demo.centre import happenings
from streams.demo.publisher import Publisher
from streams.engine.spec import wall
from streams.publishing import home, parcel, sending
from streams.settings import Settings
from streams.topics import INPUTS, create
from tests.debian import program
from tests.ops import faster
from tests.ops.processes import Prometheus, Webhook, answers, process, relocated
from tests.ops.service import BAD, GOOD, Center
from tests.shared import ROOT
from tests.soak.subjects import environment
from tests.soak.workers import Command, Worker, Workers
from tests.topics import records

SESSION: Final = 6
OBJECTIVE: Final = 0.15
PATIENCE: Final = 120
LOOK: Final = 0.2
BALANCE_SECONDS: Final = 3
BACKLOG_AGE_MS: Final = 600_000
GARBAGE: Final = 20
ALL_QUERIES: Final = {"$__rate_interval": "30s", "$__interval": "10s", "$__range": "10m", "$window": "1h"}
FALLING_NEVER: Final = re.compile("karar_.+(_total|_bucket|_count|_sum)")


class Plan(NamedTuple):
    """How much: chains that go over the limit within so many seconds, moves of a shard, events that wait for the workers.

    ``latest``: within so many seconds of its crossing somebody is to be told of a chain.
    """

    chains: int = 100
    seconds: float = 45
    moves: int = 10
    backlog: int = 300_000
    latest: float = 2


@dataclass
class Ops:
    """One run, and its report: ``rows`` of what happened, each ``shown`` at once, ``problems`` of what must not."""

    settings: Settings
    folder: Path
    plan: Plan
    seed: int
    shown: Callable[[str, str, bool], object]
    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def tell(self, what: str, value: object, *, wrong: bool = False) -> None:
        """One row."""
        self.rows.append((what, str(value)))
        self.shown(what, str(value), wrong)
        if wrong:
            self.problems.append(f"{what}: {value}")

    async def run(self) -> None:
        """Everything."""
        ports = {name: free_port() for name in ("prometheus", "alertmanager", "webhook")}
        self.webhook = Webhook()
        targets = self.folder / "targets.toml"
        targets.write_text("\n".join(objectives()), "utf-8")
        given = {
            "KARAR_TARGETS": str(targets),
            "KARAR_ALERTMANAGER": f"http://127.0.0.1:{ports['alertmanager']}",
            "KARAR_BALANCE_SECONDS": str(BALANCE_SECONDS),
        }
        self.workers = Workers(lambda port: self.command(port, given), self.folder)
        async with AsyncExitStack() as stack:
            await create(self.settings)
            self.session = await stack.enter_async_context(ClientSession())
            self.prometheus = Prometheus(self.session, ports["prometheus"])
            await stack.enter_async_context(self.webhook.serving(ports["webhook"]))
            for place, command, address in self.servers(ports):
                stack.enter_context(process(self.folder / f"{Path(command[0]).name}.log", place, *command))
                await answers(self.session, address)
            stack.callback(self.workers.forget)
            for worker in self.workers.all:
                self.workers.start(worker)
            supervising = asyncio.create_task(self.workers.supervise())
            stack.callback(supervising.cancel)
            await self.until("both workers are ready", self.all_ready)
            await self.tried()
            await self.workers.end_all()
        self.problems += self.workers.failures

    def command(self, port: int, given: dict[str, str]) -> Command:
        """A worker."""
        return Command([sys.executable, "-m", "streams", "worker"], environment(self.settings, port, SESSION, **given))

    def servers(self, ports: dict[str, int]) -> Iterator[tuple[Path, Sequence[str | Path], str]]:
        """Alertmanager and Prometheus: where they run, how they are started, and what answers when they are."""
        routes = faster.alertmanager(self.folder, ports["webhook"])
        binary, place = relocated(program("prometheus-alertmanager"), self.folder)
        alertmanager = (
            binary, f"--config.file={routes}", f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}", "--cluster.listen-address=",
        )  # fmt: skip
        yield place, alertmanager, f"http://127.0.0.1:{ports['alertmanager']}/-/ready"
        config = faster.prometheus(self.folder, [worker.port for worker in self.workers.all], ports["alertmanager"])
        prometheus = (
            program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}", f"--rules.alert.resend-delay={faster.shorter('1m')}",
        )  # fmt: skip
        yield self.folder, prometheus, f"{self.prometheus.address}/-/ready"

    async def tried(self) -> None:
        """One thing after the other."""
        topics = [self.settings.topic(name) for name in INPUTS]
        async with sending(self.settings.broker, topics) as sender:
            now = wall()
            publisher = Publisher(sender, self.settings, happenings(now, self.seed))
            await publisher.catch_up(now, lambda _: None, lambda: False)
            self.tell("events of the two days before", f"{publisher.published:,}")
            async with self.meanwhile("other publishers", publisher.go_on()):
                await self.until("caught up", self.caught_up)
                await self.seen(Center(sender, self.settings, self.seed))
                await self.move()
        await self.breakdown()
        await self.rules()

    async def seen(self, center: Center) -> None:
        """What goes wrong at a center is told, and its dashboard shows something, while calls go on."""
        async with self.meanwhile("calls", center.go_on()):
            await self.odysseys(center)
            await self.garbage()
            await self.chain_alerts(center)
            await self.fired("KararWatchdog")
            await self.fired("KararDeadLetters")
            await self.fired("ExcessiveTransfers", team=BAD)
            await self.queries()
        await self.settled(center)

    async def settled(self, center: Center) -> None:
        """Every call has ended."""
        await center.settled()
        self.tell("calls", f"{center.calls:,}, {len(center.failures)} of them failed", wrong=bool(center.failures))
        self.problems += sorted(set(center.failures))

    @asynccontextmanager
    async def meanwhile(self, what: str, doing: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Something without an end goes on while the block runs; a wrong row where it ended before."""
        task = asyncio.create_task(doing)
        try:
            yield
        finally:
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(outcome, asyncio.CancelledError):
                self.tell(what, f"ended by {outcome!r}", wrong=True)

    # What goes wrong

    async def odysseys(self, center: Center) -> None:
        """Some customers are passed on three times."""
        for _ in range(self.plan.chains):
            center.begin(center.odyssey)
            await asyncio.sleep(self.plan.seconds / self.plan.chains)

    async def garbage(self) -> None:
        """Records that nobody can read."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker)
        await producer.start()
        try:
            for n in range(GARBAGE):
                await producer.send_and_wait(self.settings.topic("calls"), b"no event %d" % n, b"garbage")
        finally:
            await producer.stop()

    async def chain_alerts(self, center: Center) -> None:
        """Each customer who was passed on three times: how long until somebody was told."""
        await self.until("every chain alert has arrived", self.told(center), optional=True)
        arrived = {chain: self.webhook.first(alertname=IN_CHAIN, chain=chain) for chain in center.crossed}
        waits = sorted(found.at - center.crossed[chain] / 1000 for chain, found in arrived.items() if found is not None)
        self.tell("chain alerts", f"{len(waits)} of {len(arrived)}", wrong=not (self.plan.chains == len(arrived) == len(waits)))
        await self.until("every chain alert has ended", self.ended(center), optional=True)
        over = sum(self.webhook.first("resolved", alertname=IN_CHAIN, chain=chain) is not None for chain in center.crossed)
        self.tell("chain alerts that ended with the contact", f"{over} of {len(arrived)}", wrong=over != len(arrived))
        if waits:
            p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
            told = f"p50 {waits[len(waits) // 2]:.2f} s, p99 {p99:.2f} s, longest {waits[-1]:.2f} s"
            self.tell("from the crossing to the webhook", told, wrong=p99 > self.plan.latest)

    def told(self, center: Center) -> Callable[[], Awaitable[bool]]:
        """Whether everybody has crossed the limit, and somebody was told of each."""

        async def all_told() -> bool:
            return len(center.crossed) == self.plan.chains and all(
                self.webhook.first(alertname=IN_CHAIN, chain=chain) for chain in center.crossed
            )

        return all_told

    def ended(self, center: Center) -> Callable[[], Awaitable[bool]]:
        """Whether the end of each has been told."""

        async def all_ended() -> bool:
            return all(self.webhook.first("resolved", alertname=IN_CHAIN, chain=chain) for chain in center.crossed)

        return all_ended

    async def move(self) -> None:
        """Workers end in order one after the other and come back: shards move, and no series ever falls."""
        moved, owner = 0, await self.owner()
        for turn in range(2 * self.plan.moves):
            worker = self.workers.all[turn % 2]
            await self.workers.end(worker)
            await self.until("the other worker has every shard", self.other_ready(worker))
            self.workers.start(worker)
            await self.until("both workers are ready", self.all_ready)
            now = await self.owner()
            moved, owner = moved + (now != owner), now
            if moved >= self.plan.moves:
                break
        await asyncio.sleep(3)  # three scrapes
        self.tell("moves of stitch-0", moved, wrong=moved < self.plan.moves)
        names = [name for name in await self.prometheus.get("label/__name__/values") if FALLING_NEVER.fullmatch(name)]
        falls, series = 0.0, 0
        for name in names:
            found = await self.prometheus.query(f'sum(resets({name}{{shard!=""}}[1h]))')
            counted = await self.prometheus.query(f'count({name}{{shard!=""}})')
            falls += sum(float(row["value"][1]) for row in found)
            series += sum(int(row["value"][1]) for row in counted)
        self.tell("resets() of all ledger series", f"{falls:g} in {series:,} series", wrong=bool(falls) or not series)

    async def breakdown(self) -> None:
        """Nobody serves for a while; a state is damaged meanwhile, and there is much to catch up with."""
        cause = time.time()
        for worker in self.workers.all:
            await self.workers.end(worker)
        await self.fired("KararShardMissing", cause)
        await self.damage()
        await self.backlog()
        for worker in self.workers.all:
            self.workers.start(worker)
        await self.fired("KararBehind", cause)
        await self.until("caught up", self.caught_up)
        await self.fired("KararLedgerDifference", cause)

    async def damage(self) -> None:
        """A customer's state stands under another name as well: counted twice by the states, once by the totals."""
        states = await asyncio.to_thread(records, self.settings, "stitch.state")
        found = next(r for r in reversed(states) if r.value and r.key and r.key[0] >= ord(" ") and open_of(r.value))
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker)
        await producer.start()
        try:
            await producer.send_and_wait(found.topic, found.value, (found.key or b"") + b"-twice", found.partition)
        finally:
            await producer.stop()

    async def backlog(self) -> None:
        """Events that have waited for ten minutes."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker, linger_ms=20)
        await producer.start()
        at = wall() - BACKLOG_AGE_MS
        try:
            sent = []
            for n in range(self.plan.backlog):
                event = Queued(id=f"b{n}", source="backlog", interaction_id=f"b{n}", at=at, channel="call", queue=GOOD[n % len(GOOD)])
                topic, key, value, headers = parcel(event, self.settings.topic(home(event)))
                sent.append(await producer.send(topic, value, key, timestamp_ms=at, headers=headers))
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    # What is looked at

    async def fired(self, name: str, cause: float = 0.0, **labels: str) -> None:
        """An alert arrives at the webhook, after its cause (s)."""

        async def arrived() -> bool:
            return self.webhook.first(since=cause, alertname=name, **labels) is not None

        since = time.monotonic()
        ok = await self.until(f"{name} arrives", arrived, optional=True)
        found = self.webhook.first(since=cause, alertname=name, **labels)
        summary = found.annotations.get("summary", "") if found else f"nothing within {PATIENCE} s"
        self.tell(f"alert {name}", f"{summary} (looked for {time.monotonic() - since:.1f} s)", wrong=not ok)

    async def queries(self) -> None:
        """Every query of every dashboard has a result."""
        number, empty = 0, []
        for path in sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")):
            for title, expression in expressions(orjson.loads(path.read_bytes())):
                number += 1
                if not await self.until(title, self.shows(expression), optional=True):
                    empty.append(f"{title}: {expression}")
        self.tell("queries of the dashboard", f"{number}, {len(empty)} of them empty", wrong=bool(empty) or not number)
        self.problems += empty

    def shows(self, expression: str) -> Callable[[], Awaitable[bool]]:
        """Whether a query has a result. It has none for a second after a scrape that came too late."""

        async def has_rows() -> bool:
            return bool(await self.prometheus.query(expression))

        return has_rows

    async def rules(self) -> None:
        """Every rule is there, and evaluates; promtool's tests of the shipped files."""
        groups = (await self.prometheus.get("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        broken = [f"{rule['name']}: {rule['lastError']}" for rule in found if rule.get("lastError")]
        kinds = [sum(rule["type"] == kind for rule in found) for kind in ("recording", "alerting")]
        self.tell("rules loaded", f"{kinds[0]} recorded, {kinds[1]} alerts", wrong=not all(kinds))
        self.tell("rules that fail", len(broken), wrong=bool(broken))
        self.problems += broken
        files = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"))
        done = await asyncio.create_subprocess_exec(program("promtool"), "test", "rules", *files, stdout=subprocess.DEVNULL)
        await done.wait()
        cases = sum(len(yaml.safe_load(path.read_text("utf-8"))["tests"]) for path in files)
        self.tell("promtool tests", f"{cases} in {len(files)} files, exit {done.returncode}", wrong=bool(done.returncode))

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], *, optional: bool = False) -> bool:
        """Waits; TimeoutError where it does not come, unless that is told otherwise."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if await holds():
                return True
            await asyncio.sleep(LOOK)
        if not optional:
            raise TimeoutError(f"{what}: not within {PATIENCE} s")
        return False

    async def all_ready(self) -> bool:
        """Whether every worker has its shards open, and together all."""
        told = [await self.readiness(worker) for worker in self.workers.all]
        shards = [shard["name"] for one in told if one is not None for shard in one["shards"] if shard["state"] == "open"]
        return all(one is not None and one["ready"] for one in told) and len(shards) == 2 * self.settings.partitions

    def other_ready(self, gone: Worker) -> Callable[[], Awaitable[bool]]:
        """Whether the others have every shard."""

        async def ready() -> bool:
            (told,) = [await self.readiness(worker) for worker in self.workers.all if worker is not gone]
            return told is not None and told["ready"] and len(told["shards"]) == 2 * self.settings.partitions

        return ready

    async def caught_up(self) -> bool:
        """Whether no worker is behind."""
        told = [await self.readiness(worker) for worker in self.workers.all]
        return all(one is not None and one["ready"] and not any(s["behind_seconds"] for s in one["shards"]) for one in told)

    async def owner(self) -> int:
        """The worker that has stitch-0."""
        for worker in self.workers.all:
            told = await self.readiness(worker)
            if told is not None and any(shard["name"] == "stitch-0" for shard in told["shards"]):
                return worker.number
        return -1

    async def readiness(self, worker: Worker) -> Any:
        """What a worker says of its shards; None while it says nothing."""
        try:
            async with self.session.get(worker.address.replace("/metrics", "/readyz")) as answer:
                return json.loads(await answer.read())
        except (ClientError, TimeoutError, ValueError):
            return None


def objectives() -> Iterator[str]:
    """A targets file: how many customers a team may pass on."""
    for team in (BAD, *GOOD):
        yield f'[[objective]]\nname = "transfer_rate"\nteam = "{team}"\nratio = {OBJECTIVE}\n'
    yield '[[objective]]\nname = "service_level"\nratio = 0.8\n'


def expressions(dashboard: Any) -> Iterator[tuple[str, str]]:
    """The queries of a dashboard with all variables at *All*, each after its panel's title."""
    panels = [panel for outer in dashboard["panels"] for panel in (outer, *(outer.get("panels") or ()))]
    for panel in panels:
        for target in panel.get("targets") or ():
            expression = target["expr"]
            for name, value in ALL_QUERIES.items():
                expression = expression.replace(name, value)
            yield panel["title"], re.sub(r"\$\{?(\w+)(:\w+)?\}?", ".*", expression)
