"""The hosts that `tests.bench.against` lets take turns: Karar, its peers, and the limit of the platform; how each is started."""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import Any, Final

from streams.broker import BrokerError
from streams.broker.jars import cache_folder
from streams.broker.kafka import free_port
from streams.core import stitch
from streams.engine import folding
from streams.settings import mirror
from tests.bench.peers.kafka_streams import prepare
from tests.bench.processes import PATH, PYTHON, ROOT
from tests.bench.telling import made_of
from tests.bench.workers import settings_of

PEERS: Final = ROOT / "build/peers/venv/bin/python"
PARTITIONS: Final = 4
WHOLE_PARTITIONS: Final = 8
SETTLE_SECONDS: Final = 25.0
"""Twice the time between snapshots of Bytewax, and some."""
KARAR: Final = "Karar"
BARE: Final = "The core alone, one loop"
Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Contender:
    """A host: how it is started on the topics of a run.

    ``share``: of the events, where it would take too long with all of them, or needs more; ``warm``: the part of its events that is
    done before it is measured. ``settle``: seconds after which it has kept what it has done.
    """

    name: str
    guarantee: str
    store: str
    start: Callable[[str, str], Command]
    share: float = 1.0
    warm: float = 0.0
    settle: float = 0.0
    has_output: bool = True
    has_changelog: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def karar(broker: str, run: str) -> Command:
    """The counting stage in Karar's engine."""
    return [PYTHON, "-m", "tests.bench.hosts", run, str(PARTITIONS)], {"KARAR_BROKER": broker}


def peer(module: str, *arguments: object, broker: str, run: str) -> Command:
    """A host in the environment of the peers."""
    return [str(PEERS), "-m", f"tests.bench.peers.{module}", broker, run, *map(str, arguments)], {"PYTHONPATH": str(ROOT)}


def python_contenders() -> Iterator[tuple[Contender, str]]:
    """The hosts in Python, each with the package that it needs."""
    told = {
        "commits": "one after the other, what arrived meanwhile together",
        "loop": "uvloop",
        "folding": made_of(folding.__file__),
    }
    versions = {name: version(name) for name in ("karar", "aiokafka", "faust-streaming", "msgspec", "uvloop")}
    yield Contender(KARAR, "exactly once", "memory", karar, settings=told, versions=versions | {"python": python_version()}), ""

    def row(name: str, guarantee: str, store: str, module: str, *arguments: object, **more: Any) -> Contender:
        start = partial(peer, module, *arguments)
        return Contender(name, guarantee, store, lambda broker, run: start(broker=broker, run=run), **more)

    yield row("Quix Streams", "exactly once", "RocksDB", "quix", "exactly-once", 5.0), "quixstreams"
    yield row("Quix Streams, commits every 0.1 s", "exactly once", "RocksDB", "quix", "exactly-once", 0.1), "quixstreams"
    yield row("Quix Streams", "at least once", "RocksDB", "quix", "at-least-once", 5.0), "quixstreams"
    yield row("Bytewax, recovery", "at least once", "memory, SQLite", "bytewax_flow", PARTITIONS, "on", has_changelog=False), "bytewax"
    yield row("Bytewax, no recovery", "none", "memory", "bytewax_flow", PARTITIONS, "off", has_changelog=False), "bytewax"
    yield row("Faust, as it comes", "at least once", "memory", "stock", PARTITIONS, share=0.1), "faust"
    yield row("aiokafka + orjson only", "none", "none", "limit", PARTITIONS, has_output=False, has_changelog=False), "aiokafka"


def kafka_streams() -> Iterator[Contender]:
    """Kafka Streams, in Java: both guarantees, both stores."""
    prepared = prepare(cache_folder(os.environ), mirror(os.environ))

    def starting(guarantee: str, store: str) -> Callable[[str, str], Command]:
        return lambda broker, run: (prepared.command(broker, run, guarantee, store), {})

    for guarantee, words in (("exactly_once_v2", "exactly once"), ("at_least_once", "at least once")):
        for store, named in (("memory", "memory"), ("rocksdb", "RocksDB")):
            # A JVM compiles what it runs often: the first half is that.
            yield Contender("Kafka Streams", words, named, starting(guarantee, store), share=2.0, warm=0.5)


def name_of(contender: Contender) -> str:
    """A name that no other has."""
    return f"{contender.name} · {contender.guarantee} · {contender.store}"


def missing(package: str) -> str:
    """Why a host cannot run here, or nothing."""
    if not PEERS.exists():
        return "build/peers/venv does not exist; `make build/peers/.installed`"
    done = subprocess.run([str(PEERS), "-c", f"import {package}"], capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def whole_worker(broker: str, run: str) -> Command:
    """`karar worker` with a port of its own."""
    return [PYTHON, "-m", "streams", "worker"], settings_of(broker, run, free_port())


def whole_peer(module: str, *arguments: object, broker: str, run: str) -> Command:
    """A host of the whole core in the environment of the peers; the core is the same files as Karar's."""
    return [str(PEERS), "-m", f"tests.bench.peers.{module}", broker, run, *map(str, arguments)], {"PYTHONPATH": PATH}


def whole_contenders() -> Iterator[tuple[Contender, str]]:
    """The hosts of the whole core, each with the package that it needs."""
    core = {"core": made_of(stitch.__file__)}
    told = core | {"commits": "one after the other, what arrived meanwhile together", "clock": "newest event", "timers": "all"}
    versions = {name: version(name) for name in ("karar", "aiokafka", "faust-streaming", "msgspec", "uvloop")}
    yield Contender(KARAR, "exactly once", "memory", whole_worker, settings=told, versions=versions | {"python": python_version()}), ""

    def row(name: str, guarantee: str, store: str, module: str, *arguments: object, **more: Any) -> Contender:
        start = partial(whole_peer, module, *arguments)
        return Contender(name, guarantee, store, lambda broker, run: start(broker=broker, run=run), **more)

    yield row("Quix Streams, commits every second", "exactly once", "RocksDB", "whole_quix", "exactly-once", 1.0, share=0.15), "quixstreams"
    yield row("Quix Streams", "at least once", "RocksDB", "whole_quix", "at-least-once", 5.0, share=0.15), "quixstreams"
    yield (
        row("Bytewax, recovery", "at least once", "memory, SQLite", "whole_bytewax", WHOLE_PARTITIONS, share=0.2, has_changelog=False,
            settle=SETTLE_SECONDS),
        "bytewax",
    )  # fmt: skip
    yield row("Faust, as it comes", "at least once", "memory", "whole_stock", WHOLE_PARTITIONS, share=0.05), "faust"
    bare = [PYTHON, "-m", "tests.bench.peers.whole_bare"]
    yield Contender(BARE, "none", "memory", lambda *_: (bare, {}), has_output=False, has_changelog=False), ""


def sorted_out(every: Iterable[tuple[Contender, str]]) -> tuple[list[Contender], dict[str, str]]:
    """The hosts that can run here, and of the others why not."""
    found, left_out = [], {}
    for one, package in every:
        why = missing(package) if package else ""
        if why:
            left_out[name_of(one)] = why
        else:
            found.append(one)
    return found, left_out


def engine_hosts() -> tuple[list[Contender], dict[str, str]]:
    """Who takes part with the engine's workload, and who does not, with the reason."""
    found, left_out = sorted_out(python_contenders())
    try:
        found[1:1] = kafka_streams()
    except BrokerError as error:
        left_out["Kafka Streams"] = str(error)
    return found, left_out


def whole_hosts() -> tuple[list[Contender], dict[str, str]]:
    """Who takes part with the whole core, and who does not, with the reason."""
    return sorted_out(whole_contenders())
