"""`karar demo`: what it shows is alive and true, and nothing of it stays."""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from rich.console import Console

from schemas.events import Event, Queued
from streams.broker import BrokerError
from streams.commands import demo
from streams.connection import administrator
from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.demo import WorkerError
from streams.demo.attendant import MOST_STARTS, Attendant
from streams.demo.centre import DAY, happenings
from streams.demo.program import called
from streams.demo.reading import Figures, Ready, figures, ready, worst
from streams.demo.screen import TALL, State, line, shown
from streams.demo.today import Today
from streams.doors import listening, port_of
from streams.engine.kafka import Kafka
from streams.publishing import Parcel
from streams.replay import Replay
from streams.security import Security
from streams.settings import Settings
from streams.simulate import simulate
from tests.command import BIN, PLAIN
from tests.shared import ROOT
from tests.worker import at_the_end, free_port, page, wait_for

NOW: Final = 1_795_341_600_000


# -- The centre --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Two days until now and the first minutes live."""
    return list(itertools.takewhile(lambda x: x.at < NOW + 300_000, happenings(NOW, seed=1)))


def test_two_days_have_been_when_it_goes_live(events: list[Event]) -> None:
    """Nothing is older, and every hour of opening has its events."""
    assert NOW - 2 * DAY <= min(x.at for x in events) < NOW - 2 * DAY + 60_000
    assert 100_000 < sum(x.at <= NOW for x in events) < 250_000
    assert {x.channel for x in events} >= {"call", "visit", "chat", "email", "video", "back_office"}


def test_something_happens_every_second_whenever_it_starts(events: list[Event]) -> None:
    """The centre's working day begins with the demo: in the first minutes live there is about an event a second, and no long silence."""
    live = sorted(x.at for x in events if x.at > NOW)

    assert len(live) > 350
    assert max(later - earlier for earlier, later in itertools.pairwise(live)) < 10_000


def shifted(x: Event, shift: int) -> tuple[str, int, int, int]:
    """An event's name and instants, so much later."""
    appointment = x.appointment_at if isinstance(x, Queued) else 0
    return x.id, x.at + shift, x.promised_by and x.promised_by + shift, appointment and appointment + shift


def test_equal_seeds_give_equal_days_at_any_time() -> None:
    """The same happens, only later, every instant that an event names included; another seed gives other days."""
    at_once, later, other = (list(itertools.islice(happenings(now, seed), 20_000)) for now, seed in ((NOW, 7), (NOW + 12_345, 7), (NOW, 8)))

    assert [shifted(x, 12_345) for x in at_once] == [shifted(x, 0) for x in later]
    assert any(isinstance(x, Queued) and x.appointment_at for x in later)
    assert [x.id for x in other] != [x.id for x in at_once]


def test_another_run_tells_of_other_contacts() -> None:
    """An interaction is its source's: what is started again on the same topics does not change what the last run told."""
    first, second = (list(itertools.islice(happenings(NOW, 7, run=run), 100)) for run in ("-1", "-2"))

    assert [replace(x, source=x.source.replace("-1", "-2")) for x in first] == second
    assert {(x.source, x.interaction_id) for x in first}.isdisjoint((x.source, x.interaction_id) for x in second)


def test_only_the_centre_publishes_the_past_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--only-publish`: to the topics of the settings, first what has been, then live, until Kafka or somebody ends it."""
    told, topics, given = StringIO(), [], Settings(prefix="x", security=Security(protocol="ssl"))
    sent: list[Parcel] = []

    class Sender:
        """A Kafka that takes what has been and one look's worth of the present."""

        async def put(self, parcel: Parcel) -> None:
            sent.append(parcel)

        async def flush(self) -> None:
            """All of it has come."""

        async def send_all(self) -> None:
            raise BrokerError("gone")

    @asynccontextmanager
    async def sending(_: str, names: list[str], security: Security) -> AsyncIterator[Sender]:
        assert security is given.security
        topics.extend(names)
        yield Sender()

    def contacts(now: int, seed: int, days: int, run: str) -> Iterator[Event]:
        assert (seed, days) == (7, 2)
        for number, at in enumerate((now - DAY, now, now + 50, now + DAY)):
            yield Queued(id=f"{number}", source=f"acd{run}", interaction_id=f"{number}", at=at, queue="q")

    monkeypatch.setattr(demo, "sending", sending)
    monkeypatch.setattr(demo, "happenings", contacts)
    with pytest.raises(BrokerError, match=r"\Agone\Z"):
        asyncio.run(demo.published(given, Console(file=told, width=200), 7))

    assert topics == ["x.calls", "x.visits", "x.feedback"]
    assert [(x.topic, x.key) for x in sent[:2]] == [("x.calls", b"0"), ("x.calls", b"1")]
    assert len(sent) < 4
    assert told.getvalue() == "2 events of the last two days published to 127.0.0.1:9092; now live\n"


@pytest.mark.parametrize(
    ("more", "status", "line"),
    [
        ((), 1, "karar: 127.0.0.1:1: no Kafka answers there; start one with `karar broker`, or name yours with KARAR_BROKER\n"),
        (("--for", "1"), 2, "karar: --for: with --only-publish nobody sees when it has caught up; end it with Ctrl-C\n"),
    ],
)
def test_what_keeps_the_centre_from_publishing_is_one_line(more: tuple[str, ...], status: int, line: str) -> None:
    """It starts no Kafka of its own."""
    command = [sys.executable, "-m", "streams", "demo", "--only-publish", *more]
    done = subprocess.run(command, env=PLAIN | {"KARAR_BROKER": "127.0.0.1:1"}, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (status, "", line)


# -- The screen --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replay() -> Replay:
    """A day that was counted without Kafka."""
    replay = Replay(Rules(), Identity(), partitions=2)
    for part in replay.slices(simulate(seed=2, customers=1500, days=1.5)):
        replay.take(part)
    replay.finish()
    return replay


def test_what_is_read_of_the_metrics_is_what_is_true(replay: Replay) -> None:
    """Totals less what was retracted, over all shards."""
    found = figures(replay.metrics().decode())
    net: Counter[tuple[str, ...]] = Counter()
    for (series, slot), amount in replay.net().items():
        if not slot:
            net[tuple(series.split("\x1f"))] += amount

    for family in "moments_of_truth_total", "handovers_total", "chains_closed_total", "customers_waiting":
        told = {key: amount for key, amount in found.totals.items() if key[0] == family and amount}
        assert told == {key: amount for key, amount in net.items() if key[0] == family and amount}


def text_of(state: State, width: int = 120, height: int = TALL) -> str:
    """A screen as text."""
    console = Console(width=width, record=True, file=StringIO())
    console.print(shown(state, height))
    return console.export_text()


CHAIN: Final[dict[str, Any]] = {
    "score": 0.25, "activity": 2, "moments": 1, "transfers": 2, "weakest": {"kind": "wait"}, "why": "The wait for A is the weakest link.",
    "contacts": [{"channel": "call", "teams": ["A", "B"]}, {"channel": "visit", "teams": []}],
}  # fmt: skip


def test_the_screen_shows_how_things_stand(replay: Replay) -> None:
    """Moments, chains, queues, teams, weakest links, the worst chain and why, the worker and where it answers."""
    state = State(
        address="http://127.0.0.1:6066", pid=7, live=61, published=1.5, counted=1.2, today=12, figures=figures(replay.metrics().decode()),
        ready=Ready(16, 8, 16, 1000), worst=CHAIN, whole=True,
    )  # fmt: skip
    state.before = state.moments - 5
    screen = text_of(state)

    for told in (
        f"{state.moments:,} moments of truth, 12 today, 5 since it went live: ", "chains open; closed: ", "live for 1:01",
        "16 shards, 1.5 events/s published, 1.2 counted, lag 0", "http://127.0.0.1:6066/metrics", "worker 7, started again 0 times",
        "Waiting", "In conversation", "Weakest links of closed chains", "Teams", "front",
        "call A → B → visit (nobody); 1 moment, 2 transfers, score 0.25", "The wait for A is the weakest link.",
    ):  # fmt: skip
        assert told in screen
    assert line(state).startswith(f"1:01  {state.moments:,} moments (+5), ")


@pytest.mark.parametrize(("width", "height", "waiting"), [(80, 24, 1), (100, 30, 4), (120, 36, 7), (150, 45, 8)])
def test_a_low_screen_has_fewer_rows_and_keeps_its_end(replay: Replay, width: int, height: int, waiting: int) -> None:
    """The worst chain stands last: in a terminal of 24 lines it was cut off, with the tables above it."""
    state = State(
        address="http://127.0.0.1:6066", pid=7, live=61, today=12, before=5, figures=figures(replay.metrics().decode()),
        ready=Ready(16, 16, 16, 1000), worst=CHAIN, whole=True,
    )  # fmt: skip
    lines = text_of(state, width, height).splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith(("channel", "team", "Weakest links"))]

    assert len(lines) < height
    assert lines[-1].rstrip() == "The wait for A is the weakest link."
    assert heads[1] - heads[0] - 1 == waiting


def test_the_screen_says_how_far_the_worker_is() -> None:
    """Before there is anything to count, and why a shard is refused."""
    assert "the worker starts" in text_of(State())
    assert line(State(ready=Ready(16, 8, 3))) == "0:00  the worker catches up: 3 of 16 shards have, 0 moments"
    assert "refused: stitch-0: newer rules" in line(State(ready=Ready(16, 8, 3, why="stitch-0: newer rules")))


def test_the_worst_chain_is_the_weakest_that_was_active_last() -> None:
    """A chain without a weakest link is none."""
    chains = [CHAIN, CHAIN | {"activity": 3}, CHAIN | {"score": 0.5, "activity": 9}, CHAIN | {"score": 0, "weakest": None}]

    assert worst({"chains": chains}) == chains[1]
    assert worst({"chains": chains[3:]}) is None


def test_readiness_is_summed_up() -> None:
    """Of positions only those in publishers' topics count: theirs have no markers."""
    shards = [
        {"name": "assemble-0", "state": "open", "why": "", "position": {"k.calls": 5, "k.visits": 2, "k.assemble.forward": 3}},
        {"name": "stitch-0", "state": "catching up", "why": "", "position": {"k.interactions": 9}},
        {"name": "stitch-1", "state": "refused", "why": "newer rules", "position": {}},
    ]

    assert ready({"shards": shards}) == Ready(3, 2, 1, 7, "newer rules")


def test_moments_of_today_are_booked_less_retracted() -> None:
    """Since midnight, and with a person; what is no such record is passed over."""
    today = Today(Kafka(""), "moments", 1, NOW)
    told: list[tuple[int, str, str]] = [
        (NOW, "booked", "human"), (NOW - NOW % DAY, "booked", "human"), (NOW - NOW % DAY - 1, "booked", "human"), (NOW, "booked", "bot"),
        (NOW, "retracted", "human"),
    ]  # fmt: skip
    for at, state, actor in told:
        today.take(json.dumps({"at": at, "state": state, "actor": actor, "team": "A"}).encode())
    today.take(b"noise")

    assert today.number == 1


def test_figures_of_nothing_are_nothing() -> None:
    """A worker that has no shard yet."""
    assert figures("# HELP karar_shards x\nkarar_shards 0.0\n") == Figures()


# -- The worker --------------------------------------------------------------------------------------------------------


def attend(folder: Path, script: str) -> tuple[Attendant, str]:
    """A worker that is a script of ours, and why it could not run."""
    attendant = Attendant(PLAIN, folder / "worker.log", (sys.executable, "-c", script))
    with pytest.raises(WorkerError) as error:
        asyncio.run(attendant.run())
    return attendant, str(error.value)


def test_a_worker_that_asks_for_it_is_started_again(tmp_path: Path) -> None:
    """Status 70; so is one that was killed. Any other end is the demo's, with what the worker said."""
    lives = tmp_path / "lives"
    script = f"""
import os, pathlib, signal, sys
lives = pathlib.Path({str(lives)!r})
life = len(lives.read_text()) if lives.exists() else 0
lives.write_text("x" * (life + 1))
if life == 0: sys.exit(70)
if life == 1: os.kill(os.getpid(), signal.SIGKILL)
print("karar: no such thing"); sys.exit(2)
"""
    attendant, why = attend(tmp_path, script)

    assert attendant.restarts == 2
    assert why == f"the worker ended with status 2: no such thing; its log is {attendant.log}"


def test_a_worker_that_cannot_start_is_not_started_for_ever(tmp_path: Path) -> None:
    """Some starts within a minute are enough to know."""
    attendant, why = attend(tmp_path, "raise SystemExit(70)")

    assert attendant.restarts == MOST_STARTS - 1
    assert why == f"the worker ended {MOST_STARTS} times within a minute: it said nothing; its log is {attendant.log}"


def test_every_life_of_a_worker_has_the_same_sockets(tmp_path: Path) -> None:
    """They stay open while it starts again: nobody else can have its port meanwhile."""
    script = f"""
import pathlib, socket, sys
ours = socket.socket(fileno=int(sys.argv[1].removeprefix("--socket=")))
with open({str(tmp_path / "ports")!r}, "a") as ports:
    print(ours.getsockname()[1], file=ports)
sys.exit(70)
"""
    attendant = Attendant(PLAIN, tmp_path / "worker.log", (sys.executable, "-c", script))
    with listening("127.0.0.1", 0) as attendant.sockets:
        port = port_of(attendant.sockets)
        with pytest.raises(WorkerError):
            asyncio.run(attendant.run())

    assert (tmp_path / "ports").read_text().split() == [str(port)] * MOST_STARTS


# -- Its port ----------------------------------------------------------------------------------------------------------


def test_demos_that_start_together_have_a_port_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual one, then any that is free; who has one, has it: there is no moment in which another could take it."""
    monkeypatch.setattr(demo, "DEFAULT_PORT", free_port())
    with demo.port_found("127.0.0.1") as first, demo.port_found("127.0.0.1") as second, demo.port_found("0.0.0.0") as third:  # noqa: S104
        ports = [port_of(sockets) for sockets in (first, second, third)]
    with demo.port_found("127.0.0.1") as again:
        assert port_of(again) == ports[0] == demo.DEFAULT_PORT

    assert len(set(ports)) == 3


def had_at_once(asked: str) -> list[int]:
    """The ports that a demo has before it does anything else."""
    given = {"KARAR_WEB_PORT": asked, "KARAR_WEB_HOST": "127.0.0.1"}
    with demo.port_asked(given, Settings.read(given)) as sockets:
        return [port_of([each]) for each in sockets]


def test_a_port_is_had_at_once_where_it_was_asked_for() -> None:
    """Where any will do, it is found when the worker starts."""
    port = free_port()

    assert had_at_once(f" {port} ") == [port]
    assert [had_at_once(any_will_do) for any_will_do in ("", " ", "0", "00")] == [[]] * 4


def test_a_port_that_was_asked_for_and_is_taken_is_one_line_at_once(tmp_path: Path) -> None:
    """Before Kafka is asked or started; so is every other setting that cannot be."""
    with listening("127.0.0.1", 0) as sockets:
        port = port_of(sockets)
        given = PLAIN | {"KARAR_BROKER": "127.0.0.1:1", "KARAR_WEB_PORT": f"{port}"}
        done = subprocess.run([BIN, "demo"], env=given, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    line = f"karar: KARAR_WEB_PORT: {port} is taken on 127.0.0.1; another port, or 0 for any that is free\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


# -- What it prints to be typed ----------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that no shell finds, in a folder two below the working directory."""
    made = tmp_path / ".venv" / "bin" / "karar"
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return made


@pytest.mark.parametrize(
    ("folder", "typed"),
    [(".", ".venv/bin/karar"), (".venv", "bin/karar"), (".venv/bin", "./karar"), ("/usr/bin", "{whole}"), ("sub", "../.venv/bin/karar")],
)
def test_who_is_not_found_by_name_is_called_by_the_shortest_path(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, typed: str
) -> None:
    """After `make demo`, which has nothing but `.venv/bin/karar`: relative to where one is, unless that is longer."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(folder)

    assert called(str(program)) == called(os.path.relpath(program)) == typed.format(whole=program)


def test_who_is_found_by_name_is_called_by_it(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an environment that was activated, or by a link as pipx makes it; not where the name is another program's."""
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "karar").symlink_to(program)
    for path in program.parent, tmp_path / "linked":
        monkeypatch.setenv("PATH", str(path))
        assert called(str(program)) == "karar"

    (tmp_path / "karar").write_text("#!/bin/sh\n")
    (tmp_path / "karar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{program.parent}")
    assert called(str(program)) == ".venv/bin/karar"


def test_a_path_that_a_shell_would_take_apart_is_quoted(program: Path, tmp_path: Path) -> None:
    """A folder of somebody's may have a space in its name."""
    (tmp_path / "my karar").symlink_to(program.parent.parent)

    assert called("my karar/bin/karar") == "'my karar/bin/karar'"


def test_a_module_is_called_by_its_python(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m streams demo`: the path of the module could not be typed."""
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))

    assert called("/somewhere/streams/__main__.py") == ".venv/bin/python -m streams"


# -- All of it ---------------------------------------------------------------------------------------------------------


@contextmanager
def demonstrating(folder: Path, kafka: str, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo in a process of its own, and its worker's port; ended if it is still there after the block."""
    port = free_port()
    environment = PLAIN | {"KARAR_BROKER": kafka, "KARAR_WEB_PORT": str(port), "TMPDIR": str(folder), "KARAR_PARTITIONS": "3"} | more
    command = [str(BIN), "demo", *arguments]
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, port
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def answering(process: subprocess.Popen[str]) -> int:
    """The port that a demo says its worker is at, as soon as it says so."""
    assert process.stdout is not None
    told = next(filter(None, (re.match(r"worker: http://127\.0\.0\.1:(\d+)/ ", line) for line in process.stdout)))
    return int(told[1])


def topics(kafka: str) -> set[str]:
    """The names of all topics but those that Kafka makes for itself."""

    async def ask() -> set[str]:
        async with administrator(kafka) as admin:
            return {name for name in await admin.list_topics() if not name.startswith("__")}

    return asyncio.run(ask())


def total(found: Figures, family: str, having: Callable[[tuple[str, ...]], bool] = lambda _: True) -> int:
    """What a family comes to."""
    return sum(amount for key, amount in found.totals.items() if key[0] == family and having(key[1:]))


def crossed(port: int) -> list[dict[str, Any]]:
    """Open chains that began with a call and went on at a counter. One such search at a time is made, and the demo makes some, too."""
    told: dict[str, Any] = {}

    def asked() -> bool:
        told.update(json.loads(page(port, "/chains?open=1&sort=moments&limit=200")))
        return "chains" in told

    wait_for(asked)
    chains = told["chains"]
    channels = [[contact["channel"] for contact in chain["contacts"]] for chain in chains]
    return [chain for chain, row in zip(chains, channels, strict=True) if row[0] == "call" and "visit" in row]


@pytest.mark.slow
def test_the_demo_is_alive_and_true_and_leaves_nothing(tmp_path: Path, kafka: str) -> None:
    """Moments rise, and there are waits, handovers, open and closed chains, weakest links of calls and of visits.

    There are chains that began with a call and went on at a counter. It ends by itself with exit 0: no process, no topic and no file stays.
    """
    before = topics(kafka)
    with demonstrating(tmp_path, kafka, "--for", "20") as (process, port):
        wait_for(lambda: json.loads(page(port, "/readyz") or "{}").get("ready"))
        wait_for(lambda: total(figures(page(port, "/metrics")), "moments_of_truth_total") > 10_000)
        wait_for(lambda: at_the_end(port))
        text = page(port, "/metrics")
        early = figures(text)
        wait_for(lambda: total(figures(page(port, "/metrics")), "moments_of_truth_total") > total(early, "moments_of_truth_total"), 20)
        chains = crossed(port)
        assert any(path.name.startswith("karar-demo-") for path in tmp_path.iterdir())
        out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert "karar_wait_seconds_count" in text
    assert total(early, "customers_waiting") > 0
    assert total(early, "handovers_total", lambda labels: labels[3] == "accepted") > 100
    assert total(early, "chains_open") > 100
    assert total(early, "chains_closed_total") > 100
    assert total(early, "weakest_links_total", lambda labels: labels[0] == "service" and labels[1] == "wait") > 0
    assert total(early, "weakest_links_total", lambda labels: "/" in labels[0] and labels[1] != "none") > 0
    assert chains
    assert any(chain["weakest"] and chain["why"] for chain in chains)
    assert "events of the last two days published in " in out
    assert "Worst open chain" in out
    printed = next(filter(None, (re.fullmatch(r"the trial balance meanwhile: (.+)", line) for line in out.splitlines())))
    typed = ["bash", "-c", f"{printed[1]} --help"]
    assert "Draw the trial balance" in subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert out.splitlines()[-1] == "everything that was started has been stopped"
    assert topics(kafka) <= before
    assert list(tmp_path.iterdir()) == []
    assert page(port, "/healthz") == ""


@pytest.mark.slow
def test_ctrl_c_ends_demos_that_were_started_together_in_order(tmp_path: Path, kafka: str) -> None:
    """Each has a worker of its own that answers, at a port that nobody asked for; exit 0 and nothing left."""
    both = [demonstrating(tmp_path, kafka, KARAR_WEB_PORT="") for _ in range(2)]
    with both[0] as (one, _), both[1] as (other, _):
        ports = [answering(process) for process in (one, other)]
        for process, port in zip((one, other), ports, strict=True):
            wait_for(partial(page, port, "/healthz"))
            process.send_signal(signal.SIGINT)
        said = [process.communicate(timeout=60) for process in (one, other)]

    assert len(set(ports)) == 2
    assert [(process.returncode, err) for process, (_, err) in zip((one, other), said, strict=True)] == [(0, "")] * 2
    assert [out.splitlines()[-1] for out, _ in said] == ["everything that was started has been stopped"] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_worker_that_cannot_run_ends_the_demo_with_one_line(tmp_path: Path, kafka: str) -> None:
    """What the worker said, and its log, which stays for whoever wants to know more; exit 1."""
    with demonstrating(tmp_path, kafka, KARAR_TARGETS="/no/such/file") as (process, _):
        _, err = process.communicate(timeout=60)
    log = next(tmp_path.glob("karar-demo-*/worker.log"))

    assert process.returncode == 1
    assert err == f"karar: the worker ended with status 2: /no/such/file: cannot be read: No such file or directory; its log is {log}\n"
