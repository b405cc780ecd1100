"""The hosts that `tests.bench.against` lets take turns: Karar, its peers, and the limit of the platform; how each is started."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from platform import python_version
from typing import Any, Final

from streams.broker import BrokerError
from streams.broker.jars import cache_folder
from streams.engine import shard
from streams.settings import value
from tests.bench.processes import PYTHON, ROOT

PEERS: Final = ROOT / "build/peers/venv/bin/python"
PARTITIONS: Final = 4
KARAR: Final = "Karar"
Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Contender:
    """A host: how it is started on the topics of a run. ``share``: of the events, where it would take too long with all of them."""

    name: str
    guarantee: str
    store: str
    start: Callable[[str, str], Command]
    share: float = 1.0
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


def made_of(file: str) -> str:
    """Whether a module is compiled."""
    return "as it stands" if file.endswith(".py") else "compiled"


def python_contenders() -> Iterator[tuple[Contender, str]]:
    """The hosts in Python, each with the package that it needs."""
    of = "tests.bench.hosts"
    told = {"commits": "one after the other, what arrived meanwhile together", "loop": "uvloop", "engine": made_of(shard.__file__)}
    versions = {name: version(name) for name in ("karar", "aiokafka", "faust-streaming", "msgspec", "uvloop")}
    yield Contender(KARAR, "exactly once", "memory", karar, settings=told, versions=versions | {"python": python_version()}), of

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
    prepared = import_module("tests.bench.peers.kafka_streams").prepare(
        cache_folder(os.environ), value(os.environ, "KARAR_MAVEN_REPOSITORY")
    )

    def starting(guarantee: str, store: str) -> Callable[[str, str], Command]:
        return lambda broker, run: (prepared.command(broker, run, guarantee, store), {})

    for guarantee, words in (("exactly_once_v2", "exactly once"), ("at_least_once", "at least once")):
        for store, named in (("memory", "memory"), ("rocksdb", "RocksDB")):
            yield Contender("Kafka Streams", words, named, starting(guarantee, store))


def name_of(contender: Contender) -> str:
    """A name that no other has."""
    return f"{contender.name} · {contender.guarantee} · {contender.store}"


def missing(package: str) -> str:
    """Why a host cannot run here, or nothing."""
    if not PEERS.exists():
        return "build/peers/venv does not exist; `make build/peers/.installed`"
    done = subprocess.run([str(PEERS), "-c", f"import {package}"], capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def contenders() -> tuple[list[Contender], dict[str, str]]:
    """Who takes part, and who does not, with the reason."""
    found: list[Contender] = []
    left_out: dict[str, str] = {}
    for one, package in python_contenders():
        why = "" if one.name == KARAR else missing(package)
        if why:
            left_out[name_of(one)] = why
        else:
            found.append(one)
    if find_spec("tests.bench.peers.kafka_streams") is None:
        left_out["Kafka Streams"] = "tests/bench/peers/kafka_streams.py does not exist"
    else:
        try:
            found[1:1] = kafka_streams()
        except BrokerError as error:
            left_out["Kafka Streams"] = str(error)
    return found, left_out


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(name_of, contenders()[0])) + "\n")
