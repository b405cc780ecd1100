"""What a topic is to the broker: its id and number of partitions. A topic that was deleted and made anew has another id.

aiokafka asks for metadata in a version without ids, so the request stands here (KIP-516; Metadata version 12, Kafka ≥ 3.1).
"""

from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields


class Uuid(AbstractType[bytes]):
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """As they are."""
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """As they are."""
        return data.read(16)


NO_ID = bytes(16)
READ, WRITE, DELETE = 3, 4, 6
"""Operations of the protocol, which are bits where it says what is allowed."""
NOT_SAID = -(1 << 31)
TEXT = CompactString("utf-8")


class MetadataWithIdsResponse(Response):
    """Topics with their ids."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), ("tags", TaggedFields))),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataWithIdsRequestStruct(RequestStruct):
    """What goes over the wire."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataWithIdsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataWithIdsRequest(Request[MetadataWithIdsRequestStruct]):
    """Asks for topics by name, and creates none."""

    API_KEY = 3

    def __init__(self, names: list[str], *, operations: bool = False) -> None:
        self.names, self.operations = names, operations

    def build(self, request_struct_class: type[MetadataWithIdsRequestStruct]) -> MetadataWithIdsRequestStruct:
        """The request in its only version."""
        return request_struct_class([(NO_ID, name, {}) for name in self.names], False, self.operations, {})  # noqa: FBT003 - in the order of the schema


class Topic(NamedTuple):
    """A topic as the broker knows it: its id in hex digits, and how many partitions it has."""

    id: str
    partitions: int


async def describe(client: AIOKafkaClient, names: list[str]) -> dict[str, Topic]:
    """The topics of these names. Raises KafkaError for one that does not exist or may not be described."""
    response: Any = await client.send(client.get_random_node(), MetadataWithIdsRequest(names))
    found = {}
    for error, name, topic_id, _, partitions, *_ in response.topics:
        if error:
            raise for_code(error)(f"topic {name}")
        found[name] = Topic(topic_id.hex(), len(partitions))
    return found


async def allowed(client: AIOKafkaClient, names: list[str]) -> dict[str, int | None]:
    """The operations that we may do on topics, as bits; 0 where we may not even see one, None where the broker does not say."""
    response: Any = await client.send(client.get_random_node(), MetadataWithIdsRequest(names, operations=True))
    return {
        name: 0 if error == TopicAuthorizationFailedError.errno else None if error or operations == NOT_SAID else operations
        for error, name, _, _, _, operations, *_ in response.topics
    }
