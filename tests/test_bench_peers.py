"""The peers that the benchmark measures Karar against do the same work, all of it, exactly once."""

import asyncio
import os
import re
from pathlib import Path
from uuid import uuid4

import pytest

from streams.broker.jars import cache_folder, version_of
from streams.broker.jars import pinned as pinned_for_kafka
from streams.settings import value
from tests.bench.live import counted_topics, running
from tests.bench.peers.checked import Found, check
from tests.bench.peers.kafka_streams import COMPILER, changelog, pinned, prepare

EVENTS = 20_000
KEYS = 300


def test_the_jars_of_kafka_streams_are_pinned_to_the_bit_and_of_the_kafka_that_runs() -> None:
    """Each line has coordinates, a size and a SHA-256; Kafka Streams stands first; what Kafka has too is the same file."""
    jars = pinned()
    assert jars[0].coordinates == f"org.apache.kafka:kafka-streams:{version_of(pinned_for_kafka())}"
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+", jar.coordinates) for jar in jars)
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)
    names = {jar.coordinates.split(":")[1]: jar for jar in jars}
    assert len(names) == len(jars)
    assert names.keys() >= {"kafka-clients", "rocksdbjni", "jackson-databind", "jackson-core", "jackson-annotations", "slf4j-api", COMPILER}
    ours = {jar.coordinates.split(":")[1]: jar for jar in pinned_for_kafka()}
    assert {name: ours[name] for name in names.keys() & ours.keys()} == {name: names[name] for name in names.keys() & ours.keys()}


@pytest.mark.slow
def test_kafka_streams_counts_each_event_once_compiled_without_a_jdk(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output per event, in the order of its key, and the state of each key in the changelog, exactly once, with RocksDB."""
    with monkeypatch.context() as without_a_jdk:
        without_a_jdk.setenv("PATH", str(tmp_path))
        prepared = prepare(cache_folder(os.environ), value(os.environ, "KARAR_MAVEN_REPOSITORY"))
    run = uuid4().hex[:8]
    asyncio.run(counted_topics(kafka, run, 4, EVENTS, KEYS))
    with running(prepared.command(kafka, run, "exactly_once_v2", "rocksdb"), {}, tmp_path / "host.log") as host:
        told = next(told for told in host.figures() if told["events"] >= EVENTS)
    assert told["events"] == EVENTS
    assert told["cpu"] > 0
    assert asyncio.run(check(kafka, run, changelog(run), EVENTS, KEYS)) == Found(EVENTS, KEYS, EVENTS, [])
    assert [path.name for path in tmp_path.iterdir()] == ["host.log"]
    # An event that was not there is missed: the comparison can fail.
    found = asyncio.run(check(kafka, run, changelog(run), EVENTS + 1, KEYS))
    assert found.wrong == ["1 outputs that are missing", "1 states with another count", "1 states with another last six"]
