"""The topics: what each must be, and what `karar topics` makes and says of a real Kafka's."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Final

import pytest
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from msgspec.structs import replace

from streams.broker import BrokerError
from streams.connection import ALLOW, reaching
from streams.settings import Settings
from streams.topics import Topic, check, create, inputs, problems, table
from tests.command import Said, karar
from tests.topics import fresh, make

NAMES: Final = [
    "calls", "visits", "feedback", "interactions", "assemble.forward", "assemble.state", "stitch.state", "moments", "chains", "alerts",
    "dead-letters",
]  # fmt: skip
DAY: Final = 86_400_000

SAME = "all that are counted need the same number, so make the topic anew, or set KARAR_PARTITIONS before anything is counted"


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with a prefix that nobody else has."""
    return fresh(kafka)


def states(out: str, prefix: str) -> dict[str, str]:
    """What `karar topics` says of each topic."""
    return {line.split()[0].removeprefix(f"{prefix}."): re.split(" {2,}", line.strip())[-1] for line in out.rstrip().splitlines()[1:]}


def told(folder: Path, settings: Settings, *arguments: str) -> Said:
    """What `karar topics` says with these settings."""
    return karar(
        folder, "topics", *arguments, KARAR_BROKER=settings.broker, KARAR_PREFIX=settings.prefix,
        KARAR_PARTITIONS=str(settings.partitions), KARAR_REPLICATION=str(settings.replication),
    )  # fmt: skip


# -- The table ---------------------------------------------------------------------------------------------------------


def test_every_topic_has_the_prefix() -> None:
    """KARAR_PREFIX is the first part of every name."""
    assert list(table(Settings(prefix="eu"))) == [f"eu.{name}" for name in NAMES]


def test_what_makes_up_shards_is_counted_and_nothing_else() -> None:
    """Partition n of all inputs together, with its changelog, is one shard: those have the same number of partitions, and its alerts."""
    assert [topic.name for topic in table(Settings()).values() if topic.counted] == [f"karar.{name}" for name in (*NAMES[:7], "alerts")]


def test_other_topics_of_publishers_are_inputs_too() -> None:
    """`KARAR_ADAPTERS` may name a topic of any name; it is read as it says, the rest as events."""
    settings = Settings(adapters={"pbx": "asterisk-queue-log", "karar.visits": "asterisk-queue-log"})

    assert inputs(settings) == {
        "karar.calls": "events", "karar.visits": "asterisk-queue-log", "karar.feedback": "events", "pbx": "asterisk-queue-log",
    }  # fmt: skip
    assert (table(settings)["pbx"].counted, table(settings)["pbx"].key) == (True, "callid")


def test_what_karar_writes_cannot_be_an_input() -> None:
    """A topic that is read and written at once would never end."""
    with pytest.raises(ValueError, match=r"\AKARAR_ADAPTERS: karar.moments is written by Karar itself; .*\Z"):
        table(Settings(adapters={"karar.moments": "events"}))


def test_nothing_but_its_reader_trims_the_interactions() -> None:
    """What stitch has not counted yet must not go, whatever the broker's own limits are."""
    configs = table(Settings())["karar.interactions"].configs

    assert (configs["cleanup.policy"], configs["retention.ms"], configs["retention.bytes"]) == ("delete", "-1", "-1")


# -- What is wrong with a topic ----------------------------------------------------------------------------------------

KEPT: Final = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY), "max.message.bytes": "1000"}
OWN: Final = Topic("t", "key", KEPT, counted=True)


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({}, []),
        ({"retention.ms": str(7 * DAY + 1)}, []),
        ({"retention.ms": "-1"}, []),
        ({"retention.ms": str(7 * DAY - 1)}, ["its retention.ms is 604799999; set it to 604800000 or more"]),
        ({"cleanup.policy": "compact,delete"}, ["its cleanup.policy is compact,delete; set it to delete, or what is needed will be lost"]),
        ({"max.message.bytes": "999"}, ["its max.message.bytes is 999; set it to 1000 or more"]),
    ],
)
def test_a_topic_may_keep_more_but_not_less(configs: dict[str, str], said: list[str]) -> None:
    """Within, exactly, outside; and another policy is never right."""
    assert problems(OWN, 8, KEPT | configs, Settings()) == said


def test_a_topic_that_must_keep_everything_keeps_everything() -> None:
    """No limit is more than any limit."""
    whole = Topic("t", "key", {"retention.ms": "-1"})

    assert problems(whole, 8, {"retention.ms": "-1"}, Settings()) == []
    assert problems(whole, 8, {"retention.ms": str(1 << 62)}, Settings()) == [
        "its retention.ms is 4611686018427387904; set it to -1 or more"
    ]


def test_only_what_is_counted_needs_so_many_partitions() -> None:
    """Co-partitioned topics have equal numbers; an output may have more, but not fewer than are written to."""
    several = f"has 7 partitions instead of 8 (KARAR_PARTITIONS); {SAME}"

    assert problems(OWN, 7, KEPT, Settings()) == [several]
    assert problems(OWN._replace(counted=False), 9, KEPT, Settings()) == []
    assert problems(OWN._replace(counted=False), 7, KEPT, Settings()) == [
        "has 7 partitions; Karar writes to 8 (KARAR_PARTITIONS): add the others"
    ]


def test_how_large_a_publishers_records_are_is_its_own_affair() -> None:
    """Its topic may have been there before Karar."""
    assert problems(OWN._replace(own=False), 8, KEPT | {"max.message.bytes": "1"}, Settings()) == []


def test_a_configuration_that_may_not_be_read_is_said() -> None:
    """What cannot be checked is not right."""
    assert problems(OWN, 8, {}, Settings()) == [f"its {name} cannot be read; allow DescribeConfigs; {ALLOW}" for name in KEPT]


# -- A real Kafka ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_topics_are_created_once_and_are_then_right(tmp_path: Path, settings: Settings) -> None:
    """`karar topics` creates what is missing, then checks; the second time there is nothing to do."""
    first = told(tmp_path, settings)
    second = told(tmp_path, settings, "--check")

    assert (first.status, first.err) == (0, [])
    assert states(first.out, settings.prefix) == dict.fromkeys(NAMES, "created")
    assert (second.status, second.err) == (0, [])
    assert states(second.out, settings.prefix) == dict.fromkeys(NAMES, "ok")
    assert asyncio.run(check(settings)) == []


@pytest.mark.slow
def test_a_check_creates_nothing(tmp_path: Path, settings: Settings) -> None:
    """`--check`: exit 1, and every topic that does not exist is named."""
    for _ in range(2):
        said = told(tmp_path, settings, "--check")

        assert (said.status, said.err) == (1, [])
        assert states(said.out, settings.prefix) == dict.fromkeys(NAMES, "does not exist; `karar topics` creates it")


@pytest.mark.slow
def test_what_others_made_is_left_as_it_is_and_told(tmp_path: Path, settings: Settings) -> None:
    """Everything that is wrong with a topic is said, one line each; nothing that exists is changed."""
    make(settings, "calls", 2, cleanup_policy="compact", retention_ms="1000")
    make(settings, "stitch.state", 3, cleanup_policy="delete")
    said = told(tmp_path, settings)

    assert said.status == 1
    assert states(said.out, settings.prefix)["visits"] == "created"
    assert asyncio.run(check(settings)) == [
        f"{settings.prefix}.calls: has 2 partitions instead of 3 (KARAR_PARTITIONS); {SAME}",
        f"{settings.prefix}.calls: its cleanup.policy is compact; set it to delete, or what is needed will be lost",
        f"{settings.prefix}.calls: its retention.ms is 1000; set it to 604800000 or more",
        f"{settings.prefix}.stitch.state: its cleanup.policy is delete; set it to compact, or what is needed will be lost",
        f"{settings.prefix}.stitch.state: its max.message.bytes is 1048588; set it to 2097152 or more",
    ]


@pytest.mark.slow
def test_two_may_create_the_topics_at_once(settings: Settings) -> None:
    """Workers that start together: whoever comes second finds them there."""

    async def both() -> None:
        await asyncio.gather(create(settings), create(settings))

    asyncio.run(both())

    assert asyncio.run(check(settings)) == []


@pytest.mark.slow
def test_more_copies_than_brokers_are_refused_in_one_line(tmp_path: Path, settings: Settings) -> None:
    """What Kafka says is passed on, with the topic."""
    said = told(tmp_path, replace(settings, replication=3))

    assert (said.status, said.out, len(said.lines)) == (1, "", 1)
    assert said.lines[0].startswith(f"karar: {settings.prefix}.calls: Kafka at {settings.broker} does not create it: ")


# -- A Kafka that is not there -----------------------------------------------------------------------------------------


def nobody() -> str:
    """An address where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def stranger() -> Iterator[str]:
    """An address where somebody hangs up on whoever calls."""
    done = Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.05)

        def hang_up() -> None:
            while not done.is_set():
                try:
                    listener.accept()[0].close()
                except TimeoutError:
                    continue

        thread = Thread(target=hang_up)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join()


def missed(address: str) -> list[str]:
    """What is said of a Kafka that does not answer."""
    return [f"karar: {address}: no Kafka answers there; start one with `karar broker`, or name yours with KARAR_BROKER"]


@pytest.mark.parametrize("address", [nobody, lambda: "no-such-host.invalid:9092"])
def test_a_broker_that_is_not_there_is_one_line(tmp_path: Path, address: Callable[[], str]) -> None:
    """The address, and what to do; nothing of what the client says meanwhile."""
    given = address()

    assert karar(tmp_path, "topics", KARAR_BROKER=given) == (1, "", missed(given))


def test_what_is_no_kafka_is_one_line(tmp_path: Path, stranger: str) -> None:
    """Somebody listens there, who is no Kafka, or one that wants to be talked to in another way."""
    asked = "is it Kafka, and is KARAR_BROKER_SECURITY=plaintext what this port wants?"
    line = f"{stranger}: somebody is there who does not answer as Kafka; {asked}"

    assert karar(tmp_path, "topics", KARAR_BROKER=stranger) == (1, "", [f"karar: {line}"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TopicAuthorizationFailedError("t"), f"a:1: Kafka does not allow it: [Error 29] TopicAuthorizationFailedError: t; {ALLOW}"),
        (KafkaError(), "a:1: Kafka refused it: KafkaError"),
    ],
)
def test_an_error_of_the_client_is_one_line(error: Exception, said: str) -> None:
    """Where it came from and what Kafka says, and no traceback."""
    with pytest.raises(BrokerError) as caught, reaching("a:1"):
        raise error

    assert str(caught.value) == said
