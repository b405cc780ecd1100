"""The topics that Karar reads and writes: one table, what each must be, and how it is created and checked."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from streams.broker import BrokerError
from streams.connection import ALLOW, administrator
from streams.settings import Settings

DAY_MS: Final = 86_400_000
MIB: Final = 1 << 20
FOR_EVER: Final = -1
LOOKS: Final = 50
LOOK_SECONDS: Final = 0.1

INPUTS: Final = ("calls", "visits", "feedback")

POLICY: Final = "cleanup.policy"
RETENTION: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
LARGEST: Final = "max.message.bytes"
HIDDEN: Final = f"this user may not see it; {ALLOW}"
CHECKED: Final = (POLICY, RETENTION, RETENTION_BYTES, LARGEST)

# Small segments, and cleaned early: what is not cleaned yet, and the segment that is written to, is read again by whoever takes over.
CHANGELOG: Final = {
    POLICY: "compact", "min.cleanable.dirty.ratio": "0.1", "segment.bytes": str(32 * MIB), "segment.ms": str(3_600_000),
    LARGEST: str(2 * MIB),
}  # fmt: skip


def kept(days: int, largest: int = MIB) -> dict[str, str]:
    """The configuration of a log that forgets after some days."""
    return {POLICY: "delete", RETENTION: str(days * DAY_MS), LARGEST: str(largest)}


class Topic(NamedTuple):
    """One topic: what its key is, its configuration, and whose it is.

    ``counted`` topics make up shards, partition by partition, so all of them have as many; the others have no fewer. What is in
    ``own`` only Karar writes; the size of a publisher's records is the publisher's affair.
    """

    name: str
    key: str
    configs: Mapping[str, str]
    counted: bool = False
    own: bool = True

    @property
    def policy(self) -> str:
        """How long its records are kept, in words."""
        if self.configs[POLICY] == "compact":
            return "compacted"
        days = int(self.configs[RETENTION]) // DAY_MS
        return "for ever" if days < 0 else f"{days} days"


class Found(NamedTuple):
    """A topic as it was found: its number of partitions (0: it does not exist), and what is wrong with it."""

    topic: Topic
    partitions: int
    problems: list[str]


def inputs(settings: Settings) -> dict[str, str]:
    """The formats of all topics that are read: calls, visits, feedback, and what KARAR_ADAPTERS names besides."""
    names = [settings.topic(name) for name in INPUTS]
    return {name: settings.format_of(name) for name in dict.fromkeys([*names, *settings.adapters])}


def table(settings: Settings) -> dict[str, Topic]:
    """Every topic by its name. ValueError: one line."""
    # Trimmed by whoever has read it, and by nobody else: what was not counted yet must not go.
    interactions = {POLICY: "delete", RETENTION: str(FOR_EVER), RETENTION_BYTES: str(FOR_EVER), "segment.bytes": str(64 * MIB)}
    own = (
        Topic(settings.topic("interactions"), "customer", interactions | {LARGEST: str(2 * MIB)}, counted=True),
        Topic(settings.topic("assemble.forward"), "interaction", kept(7, 2 * MIB), counted=True),
        Topic(settings.topic("assemble.state"), "interaction", CHANGELOG, counted=True),
        Topic(settings.topic("stitch.state"), "customer", CHANGELOG, counted=True),
        Topic(settings.topic("moments"), "moment", kept(90)),
        Topic(settings.topic("chains"), "chain", {POLICY: "compact", LARGEST: str(2 * MIB)}),
        Topic(settings.topic("alerts"), "alert", kept(90), counted=True),
        Topic(settings.topic("dead-letters"), "as it came", kept(14, 12 * MIB)),
    )
    if taken := {topic.name for topic in own} & settings.adapters.keys():
        raise ValueError(f"KARAR_ADAPTERS: {min(taken)} is written by Karar itself; name a publisher's topic, such as karar.calls")
    read = (
        Topic(name, "interaction" if format_ == "events" else "callid", kept(7, 2 * MIB), counted=True, own=False)
        for name, format_ in inputs(settings).items()
    )
    return {topic.name: topic for topic in (*read, *own)}


async def create(settings: Settings) -> list[str]:
    """Creates the topics that do not exist; their names. BrokerError: one line."""
    async with administrator(settings.broker, settings.security) as admin:
        there = await partitions(admin)
        missing = [topic for topic in table(settings).values() if topic.name not in there]
        if missing:
            await create_all(admin, settings, missing)
        return [topic.name for topic in missing]


async def create_all(admin: AIOKafkaAdminClient, settings: Settings, missing: Iterable[Topic]) -> None:
    """Creates topics, and returns when Kafka shows them. BrokerError: one line."""
    insync = {"min.insync.replicas": str(max(1, settings.replication - 1))}
    wanted = {
        topic.name: NewTopic(topic.name, settings.partitions, settings.replication, topic_configs={**topic.configs, **insync})
        for topic in missing
    }
    answer: Any = await admin.create_topics(list(wanted.values()))
    for name, code, message in answer.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise BrokerError(f"{name}: Kafka at {settings.broker} does not create it: {message or for_code(code).__name__}")
    for _ in range(LOOKS):
        if wanted.keys() <= (await partitions(admin)).keys():
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise BrokerError(f"{settings.broker}: Kafka does not show the topics that it has created; is every broker up?")


async def look(settings: Settings) -> list[Found]:
    """Every topic as it is, with what is wrong with it. BrokerError: one line."""
    async with administrator(settings.broker, settings.security) as admin:
        there = await partitions(admin)
        topics = list(table(settings).values())
        configs = await configurations(admin, [topic.name for topic in topics if topic.name in there])
        unseen = await hidden(admin, [topic.name for topic in topics if topic.name not in there])
    return [
        Found(topic, 0, [HIDDEN])
        if topic.name in unseen
        else Found(topic, n := there.get(topic.name, 0), problems(topic, n, configs.get(topic.name, {}), settings))
        for topic in topics
    ]


async def check(settings: Settings) -> list[str]:
    """What is wrong with the topics, one line each; nothing: a worker can start. BrokerError: one line."""
    return [f"{found.topic.name}: {problem}" for found in await look(settings) for problem in found.problems]


async def partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic of the cluster has."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics() if not topic["error_code"]}


async def hidden(admin: AIOKafkaAdminClient, names: list[str]) -> set[str]:
    """Which of some topics Kafka does not show us, whether they exist or not: in a list of all of them they are just not there."""
    described = await admin.describe_topics(names) if names else []
    return {topic["topic"] for topic in described if topic["error_code"] == TopicAuthorizationFailedError.errno}


async def configurations(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What is checked of the configuration of topics."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(CHECKED, "")) for name in names]
    answers: list[Any] = await admin.describe_configs(asked) if asked else []
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]} for answer in answers for resource in answer.resources if not resource[0]
    }


def problems(topic: Topic, number: int, configs: Mapping[str, str], settings: Settings) -> list[str]:
    """What is wrong with a topic that has so many partitions and that configuration."""
    if not number:
        return ["does not exist; `karar topics` creates it"]
    found = []
    if topic.counted and number != settings.partitions:
        found.append(
            f"has {number} partitions instead of {settings.partitions} (KARAR_PARTITIONS); all that are counted need the same number, so"
            " make the topic anew, or set KARAR_PARTITIONS before anything is counted"
        )
    elif number < settings.partitions:
        found.append(f"has {number} partitions; Karar writes to {settings.partitions} (KARAR_PARTITIONS): add the others")
    for name, wanted in topic.configs.items():
        given = configs.get(name)
        if name not in CHECKED or (name == LARGEST and not topic.own):
            continue
        if given is None:
            found.append(f"its {name} cannot be read; allow DescribeConfigs; {ALLOW}")
        elif name == POLICY and given != wanted:
            found.append(f"its {name} is {given}; set it to {wanted}, or what is needed will be lost")
        elif name != POLICY and endless(given) < endless(wanted):
            found.append(f"its {name} is {given}; set it to {wanted} or more")
    return found


def endless(text: str) -> float:
    """A size or a time of Kafka's, where -1 is no limit."""
    return float("inf") if int(text) < 0 else int(text)
