"""What the outside may rely on, generated from the structs: JSON Schema of what is read, AsyncAPI 3 of the topics.

`documents()` is the truth; `schemas/published/` holds its output, and a test fails when the two differ.
Sources: JSON Schema 2020-12, AsyncAPI 3.0.0, its Kafka bindings 0.5.0, CloudEvents 1.0.
"""

from collections.abc import Callable
from typing import Any, Final, get_args

from msgspec import Struct
from msgspec.json import encode, format, schema_components  # noqa: A004 - msgspec's pretty-printing

from schemas.codec import SPECVERSION, TYPE_PREFIX
from schemas.events import EVENT_TYPES, AnyEvent, IdentifierKind

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
    """A message: its payload is one of `types`, as the `data` of a CloudEvent."""

    title: str
    about: str
    types: Any
    tags: list[str]


MESSAGES: Final = {
    "event": Message(
        title="Canonical interaction event",
        about="What happened to a customer's contact. Identity is source, id and revision; a repeated event changes nothing.",
        types=AnyEvent,
        tags=list(EVENT_TYPES),
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
}


def documents() -> dict[str, bytes]:
    """Every published document by file name: pretty JSON with sorted keys and a line end."""
    return {name: format(encode(document(), order="sorted"), indent=2) + b"\n" for name, document in DOCUMENTS.items()}


def _events_schema() -> Document:
    (schema,), definitions = _generated([AnyEvent], "#/$defs/{name}")
    return schema | {
        "$schema": DIALECT,
        "$id": f"urn:karar:events:{VERSION}",
        "title": "Karar: canonical interaction events",
        "description": f"One event, as the data of a CloudEvent or as a JSON line of its own. Unknown fields are ignored. {INSTANT_NOTE}",
        "$defs": definitions,
    }


def _asyncapi() -> Document:
    names = list(MESSAGES)
    payloads, schemas = _generated([MESSAGES[name].types for name in names], "#/components/schemas/{name}")
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
            "messages": {name: _message(MESSAGES[name], payload) for name, payload in zip(names, payloads, strict=True)},
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


def _message(message: Message, payload: Document) -> Document:
    return {
        "title": message.title,
        "summary": message.about,
        "contentType": "application/cloudevents+json",
        "payload": _cloudevent(message, payload),
        "bindings": {"kafka": {"key": {"type": "string", "description": _BY_INTERACTION}, "bindingVersion": BINDINGS}},
    }


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


DOCUMENTS: Final[dict[str, Callable[[], Document]]] = {"asyncapi.json": _asyncapi, "events.schema.json": _events_schema}
