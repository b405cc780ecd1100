"""Requests of Kafka 4 that aiokafka does not make: what brokers have agreed on, and transactions of version 2 (KIP-890).

In those a batch that arrives puts its partition into the transaction by itself, and every end of a transaction gives the producer a new
epoch: nothing that was under way in one can end up in the next.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from struct import Struct as Packed
from typing import Any, Final, Self

from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields, UnsignedVarInt32

VERSION_2: Final = 2
FEATURE: Final = "transaction.version"
NO_TAGS: Final = b"\0"
NOTHING: Final = 0
EMPTY: Final = 1
"""Lengths of flexible versions: one more than there is, and 0 for what is not there at all."""
PRODUCE_FRONT: Final = Packed(">hi")
PARTITION: Final = Packed(">i")
PARTITION_DONE: Final = Packed(">ihqqq")

length = UnsignedVarInt32.encode
TEXT: Final = CompactString()
QUIET: Final = length(EMPTY) + length(NOTHING) + NO_TAGS
"""No record is wrong, there is nothing to say, and there are no tags."""

Done = tuple[int, int, int, int, int, None, str | None]
"""Partition, error code, offset, timestamp, the log's start, nothing, and what the broker says: as aiokafka takes it from version 8 on."""


class Flexible(Schema):
    """A structure of a flexible version: tagged fields stand behind it. None are sent, and those that come are passed over."""

    def encode(self, item: Sequence[Any]) -> bytes:
        """The structure, and no tags."""
        return super().encode(item) + NO_TAGS

    def decode(self, data: BytesIO) -> tuple[Any, ...]:
        """The structure without its tags."""
        found = super().decode(data)
        TaggedFields.decode(data)
        return found


# What brokers can and have agreed on


class ApiVersionsResponse(Response):
    """What a broker can; tag 2 has the levels of features that all brokers have agreed on."""

    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        ("api_versions", CompactArray(Flexible(("api_key", Int16), ("min_version", Int16), ("max_version", Int16)))),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )
    FINALIZED: Final = 2
    LEVELS: Final = CompactArray(Flexible(("name", CompactString()), ("max_level", Int16), ("min_level", Int16)))

    def levels(self) -> Mapping[str, int]:
        """The level of each feature."""
        tags: dict[int, bytes] = self.get_item("tags")
        found: Any = self.LEVELS.decode(BytesIO(tags[self.FINALIZED])) if self.FINALIZED in tags else ()
        return {name: most for name, most, _ in found}


class ApiVersionsStruct(RequestStruct):
    """The question for it. Its answer has the header of old, so that anybody can read it."""

    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ApiVersionsResponse
    SCHEMA = Flexible(("client_software_name", CompactString()), ("client_software_version", CompactString()))

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """The header of old."""
        return ResponseHeader_v0.decode(read_buffer)


class ApiVersionsRequest(Request[ApiVersionsStruct]):
    """Asks a broker what it can, and what the brokers have agreed on."""

    API_KEY = 18

    def build(self, request_struct_class: type[ApiVersionsStruct]) -> ApiVersionsStruct:
        """The only version of it there is here."""
        return request_struct_class("karar", "1")


# The end of a transaction


class EndTransactionResponse(Response):
    """The producer's id and epoch from now on."""

    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16), ("producer_id", Int64), ("producer_epoch", Int16))


class EndTransactionStruct(RequestStruct):
    """Who ends it, and how."""

    API_KEY = 26
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = EndTransactionResponse
    SCHEMA = Flexible(
        ("transactional_id", CompactString()), ("producer_id", Int64), ("producer_epoch", Int16), ("transaction_result", Boolean)
    )


class EndTransactionRequest(Request[EndTransactionStruct]):
    """Commits or aborts a transaction of version 2."""

    API_KEY = 26

    def __init__(self, transactional_id: str, producer_id: int, producer_epoch: int, transaction_result: int) -> None:
        self.fields = transactional_id, producer_id, producer_epoch, transaction_result

    def build(self, request_struct_class: type[EndTransactionStruct]) -> EndTransactionStruct:
        """The only version of it there is here."""
        return request_struct_class(*self.fields)


# Batches


class ProduceResponse(Response):
    """What became of each batch, as aiokafka takes it: topics with partitions."""

    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(("topics", CompactArray(Int16)))  # its name only: `decode` reads it by hand, because every transaction has one

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Self:
        """Reads it."""
        data = BytesIO(data) if isinstance(data, bytes) else data
        return cls([topic_of(data) for _ in range(UnsignedVarInt32.decode(data) - 1)])


def topic_of(data: BytesIO) -> tuple[str | None, list[Done]]:
    """A topic of an answer."""
    name = TEXT.decode(data)
    found = name, [partition_of(data) for _ in range(UnsignedVarInt32.decode(data) - 1)]
    TaggedFields.decode(data)
    return found


def partition_of(data: BytesIO) -> Done:
    """A partition of an answer. Most are good, and have nothing behind their numbers."""
    partition, error, offset, timestamp, start = PARTITION_DONE.unpack(data.read(PARTITION_DONE.size))
    if data.read(len(QUIET)) == QUIET:
        return partition, error, offset, timestamp, start, None, None
    data.seek(-len(QUIET), 1)
    for _ in range(UnsignedVarInt32.decode(data) - 1):
        data.read(PARTITION.size)
        TEXT.decode(data)
        TaggedFields.decode(data)
    message = TEXT.decode(data)
    TaggedFields.decode(data)
    return partition, error, offset, timestamp, start, None, message


class ProduceStruct(RequestStruct):
    """Batches by topic and partition; those of a transaction put their partitions into it."""

    API_KEY = 0
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ProduceResponse
    SCHEMA = Schema(("transactional_id", CompactString()), ("required_acks", Int16), ("timeout", Int32), ("topics", CompactArray(Int16)))
    """Names only: `encode` writes it by hand."""

    def encode(self) -> bytes:
        """Writes it."""
        transactional_id, acks, timeout, topics = (self.get_item(name) for name in self.SCHEMA.names)
        parts = [TEXT.encode(transactional_id), PRODUCE_FRONT.pack(acks, timeout), length(len(topics) + 1)]
        for topic, batches in topics:
            parts += TEXT.encode(topic), length(len(batches) + 1)
            for partition, batch in batches:
                parts += PARTITION.pack(partition), length(len(batch) + 1), batch, NO_TAGS
            parts.append(NO_TAGS)
        parts.append(NO_TAGS)
        return b"".join(parts)


class ProduceRequest(Request[ProduceStruct]):
    """Sends batches in a transaction of version 2."""

    API_KEY = 0

    def __init__(self, transactional_id: str, required_acks: int, timeout: int, topics: list[tuple[str, list[tuple[int, bytes]]]]) -> None:
        self.required_acks = required_acks
        self.fields = transactional_id, required_acks, timeout, topics

    def build(self, request_struct_class: type[ProduceStruct]) -> ProduceStruct:
        """The only version of it there is here."""
        return request_struct_class(*self.fields)
