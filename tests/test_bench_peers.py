"""What the peers of the benchmark are made of. That they do the same work, all of it, the benchmark judges itself."""

import re

from streams.broker.jars import pinned as pinned_for_kafka
from streams.broker.jars import version_of
from tests.bench.peers.kafka_streams import COMPILER, pinned


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
