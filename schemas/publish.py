"""What the outside may rely on, generated from the structs: JSON Schema of what is read, AsyncAPI 3 of the topics.

`documents()` is the truth; `schemas/published/` holds its output, and a test fails when the two differ.
Sources: JSON Schema 2020-12, AsyncAPI 3.0.0, its Kafka bindings 0.5.0, CloudEvents 1.0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, get_args

from msgspec import Struct
from msgspec.json import encode, format, schema_components  # noqa: A004 - msgspec's pretty-printing

from schemas.codec import SPECVERSION, TYPE_PREFIX, RejectedReason
from schemas.events import EVENT_TYPES, AnyEvent, IdentifierKind
from schemas.records import Alert, MomentOfTruth, ServiceChain

VERSION: Final = "1.0.0"
BINDINGS: Final = "0.5.0"
PARTITIONS: Final = 8
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
INSTANT_NOTE: Final = "An instant may also be RFC 3339 text with an offset; it is read, more slowly, as its milliseconds."

Document = dict[str, Any]


class Topic(Struct, frozen=True, kw_only=True):
    """A topic: who writes it is `action` (`receive`: publishers, `send`: Karar), its key, and the message it carries."""

    name: str
    action: str
    about: str
    key: str
    message: str
    cleanup: str = "delete"


class Message(Struct, frozen=True, kw_only=True):
    """A message: its payload is one of `types` (None: any bytes), with `tags` as the `data` of a CloudEvent of one of these types."""

    title: str
    about: str
    types: Any
    tags: list[str] = []
    headers: dict[str, Document] = {}


_NUMBER: Final = "^[0-9]+$"
MESSAGES: Final = {
    "event": Message(
        title="Canonical interaction event",
        about="What happened to a customer's contact. Identity is source, id and revision; a repeated event changes nothing.",
        types=AnyEvent,
        tags=list(EVENT_TYPES),
    ),
    "moment": Message(
        title="Moment of truth",
        about="A representative or a bot accepted the customer, or that is not true any more. Of one id the highest revision counts.",
        types=MomentOfTruth,
    ),
    "chain": Message(
        title="Service chain",
        about="What happened to a customer in one matter, and its weakest link; a tombstone when it joined another chain or is no more.",
        types=ServiceChain,
    ),
    "alert": Message(
        title="Alert",
        about="A chain has crossed its limit of transfers while the customer is still there; told again when that has ended.",
        types=Alert,
    ),
    "dead-letter": Message(
        title="Dead letter",
        about="A record that was refused, with the bytes, the key and (named original.…) the headers that it came with; what came too "
        "late for its interaction or chain is told as JSON.",
        types=None,
        headers={
            "reason": {"enum": [*get_args(RejectedReason), "too_late", "defect"]},
            "where": {"type": "string", "description": "what is wrong, and where"},
            "topic": {"type": "string", "description": "that it came from; absent where it came too late, like all that follow"},
            "partition": {"type": "string", "pattern": _NUMBER},
            "offset": {"type": "string", "pattern": _NUMBER},
            "timestamp": {"type": "string", "pattern": _NUMBER, "description": "of the record, milliseconds since 1970-01-01 UTC"},
            "truncated": {"type": "string", "pattern": _NUMBER, "description": "bytes that there were, where only the beginning is kept"},
        },
    ),
}
_BY_INTERACTION: Final = "the interaction's id, so that all events of one interaction meet in one partition, in order"
TOPICS: Final = {
    "calls": Topic(name="karar.calls", action="receive", about="Every channel but the counter.", key=_BY_INTERACTION, message="event"),
    "visits": Topic(name="karar.visits", action="receive", about="Visits at a counter.", key=_BY_INTERACTION, message="event"),
    "feedback": Topic(
        name="karar.feedback",
        action="receive",
        about="Ratings and what else is learned after the contact.",
        key=_BY_INTERACTION,
        message="event",
    ),
    "moments": Topic(
        name="karar.moments",
        action="send",
        about="Every moment of truth that is booked or retracted: booked less retracted is what the metrics say.",
        key="the moment's id",
        message="moment",
    ),
    "chains": Topic(
        name="karar.chains",
        action="send",
        about="Every service chain, told anew when its moments, transfers, weakest link, outcome or contacts change or it closes.",
        key="the chain's id",
        message="chain",
        cleanup="compact",
    ),
    "alerts": Topic(
        name="karar.alerts",
        action="send",
        about="What somebody can still do something about: told once when it begins, and once when it ends.",
        key="the alert's id",
        message="alert",
    ),
    "dead-letters": Topic(
        name="karar.dead-letters",
        action="send",
        about="What was refused, in the same transaction as what was taken.",
        key="that of the record; the interaction's id or the customer's key where it came too late",
        message="dead-letter",
    ),
}


def documents() -> dict[str, bytes]:
    """Every published document by file name: pretty JSON with sorted keys and a line end."""
    return {name: format(encode(document(), order="sorted"), indent=2) + b"\n" for name, document in DOCUMENTS.items()}


def _events_schema() -> Document:
    about = f"One event, as the data of a CloudEvent or as a JSON line of its own. Unknown fields are ignored. {INSTANT_NOTE}"
    return _schema("events", "Karar: canonical interaction events", about, AnyEvent)


def _record_schema(name: str, message: Message) -> Document:
    return _schema(name, f"Karar: {message.title.lower()}", message.about, message.types)


def _schema(name: str, title: str, about: str, types: Any) -> Document:  # noqa: ANN401 - whatever msgspec takes
    (schema,), definitions = _generated([types], "#/$defs/{name}")
    return schema | {
        "$schema": DIALECT,
        "$id": f"urn:karar:{name}:{VERSION}",
        "title": title,
        "description": about,
        "$defs": definitions,
    }


def _asyncapi() -> Document:
    names = [name for name, message in MESSAGES.items() if message.types is not None]
    keys = {topic.message: topic.key for topic in TOPICS.values()}
    payloads, schemas = _generated([MESSAGES[name].types for name in names], "#/components/schemas/{name}")
    found = dict(zip(names, payloads, strict=True))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Karar",
            "version": VERSION,
            "description": "Moment-of-truth metrics from what contact centres publish. All that Karar writes is transactional.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {name: _channel(topic) for name, topic in TOPICS.items()},
        "operations": {f"{topic.action}-{name}": _operation(name, topic) for name, topic in TOPICS.items()},
        "components": {
            "messages": {name: _message(message, found.get(name), keys[name]) for name, message in MESSAGES.items()},
            "schemas": schemas,
        },
    }


def _generated(types: list[Any], reference: str) -> tuple[list[Document], Document]:
    """What msgspec says, and what it leaves out: the kinds of identifiers. Its discriminator is OpenAPI's, AsyncAPI has another."""
    found, definitions = schema_components(types, ref_template=reference)
    for definition in definitions.values():
        if "identifiers" in definition["properties"]:
            definition["properties"]["identifiers"]["propertyNames"] = {"enum": list(get_args(IdentifierKind))}
    return [{word: said for word, said in schema.items() if word != "discriminator"} for schema in found], definitions


def _channel(topic: Topic) -> Document:
    return {
        "address": topic.name,
        "description": topic.about,
        "messages": {topic.message: {"$ref": f"#/components/messages/{topic.message}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": PARTITIONS,
                "topicConfiguration": {"cleanup.policy": [topic.cleanup]},
                "bindingVersion": BINDINGS,
            }
        },
    }


def _operation(name: str, topic: Topic) -> Document:
    return {
        "action": topic.action,
        "summary": topic.about,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{topic.message}"}],
    }


def _message(message: Message, payload: Document | None, key: str) -> Document:
    described: Document = {
        "title": message.title,
        "summary": message.about,
        "contentType": "application/octet-stream",
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": BINDINGS}},
    }
    if message.headers:
        described["headers"] = {"type": "object", "required": ["reason"], "properties": message.headers}
    if payload is not None and message.tags:
        described |= {"contentType": "application/cloudevents+json", "payload": _cloudevent(message, payload)}
    elif payload is not None:
        described |= {"contentType": "application/json", "payload": payload}
    return described


def _cloudevent(message: Message, data: Document) -> Document:
    name = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "description": "CloudEvents 1.0, structured or binary mode. Where data lacks id, source, type or at, the envelope fills them.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": SPECVERSION},
            "id": name,
            "source": name,
            "type": {"enum": [TYPE_PREFIX + tag for tag in message.tags]},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": data,
        },
    }


DOCUMENTS: Final[dict[str, Callable[[], Document]]] = {
    "alerts.schema.json": partial(_record_schema, "alerts", MESSAGES["alert"]),
    "asyncapi.json": _asyncapi,
    "chains.schema.json": partial(_record_schema, "chains", MESSAGES["chain"]),
    "events.schema.json": _events_schema,
    "moments.schema.json": partial(_record_schema, "moments", MESSAGES["moment"]),
}
