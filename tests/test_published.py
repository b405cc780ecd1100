"""What is published of the schemas: it is what the code says, and somebody else's validator agrees."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from schemas.codec import encode, to_cloudevent
from schemas.events import EVENT_TYPES, Event
from schemas.publish import documents
from schemas.sources.canonical import CanonicalEvents
from streams.agents import AssembleStage
from streams.core.identity import Identity
from streams.core.step import TOO_LATE, Output
from streams.core.targets import Rules
from streams.replay import Replay
from streams.simulate import simulate
from tests.hosted import Arrived
from tests.shared import ROOT
from tests.wire import events

DOCUMENTS: Final = {name: json.loads(text) for name, text in documents().items()}
ASYNCAPI: Final = DOCUMENTS["asyncapi.json"]
EVENTS: Final = Draft202012Validator(DOCUMENTS["events.schema.json"])
PAYLOAD: Final = Draft202012Validator(ASYNCAPI | {"$ref": "#/components/messages/event/payload"})


def resolved(reference: str) -> Any:
    """What a reference within the AsyncAPI document points to."""
    found: Any = ASYNCAPI
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def references(document: Any) -> set[str]:
    """Every reference in a document."""
    if isinstance(document, dict):
        return {found for name, inner in document.items() for found in ({inner} if name == "$ref" else references(inner))}
    return {found for inner in document for found in references(inner)} if isinstance(document, list) else set()


def test_what_is_published_is_what_the_code_says() -> None:
    """After a change of a struct: `make schemas`."""
    published = {path.name: path.read_bytes() for path in (ROOT / "schemas" / "published").glob("*.json")}

    assert sorted(published) == sorted(documents())
    assert [name for name, text in documents().items() if published[name] != text] == [], "run `karar schemas`"


def test_published_documents_are_pretty_sorted_and_end_with_a_line() -> None:
    """So that a change shows as the lines that changed."""
    for text in documents().values():
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def test_the_schema_of_events_is_one() -> None:
    """JSON Schema 2020-12, one description for each type."""
    Draft202012Validator.check_schema(DOCUMENTS["events.schema.json"])
    definitions = DOCUMENTS["events.schema.json"]["$defs"]

    assert {definition["properties"]["type"]["enum"][0] for definition in definitions.values()} == set(EVENT_TYPES)
    assert all(definition["description"] for definition in definitions.values())


@given(events())
def test_every_event_is_valid_by_the_published_schemas(event: Event) -> None:
    """Flat by the schema of events, as a CloudEvent by the message's payload."""
    EVENTS.validate(json.loads(encode(event)))
    PAYLOAD.validate(json.loads(to_cloudevent(event)))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "danced"},
        {"at": -1},
        {"at": "noon"},
        {"identifiers": {"shoe": "42"}},
        {"channel": "smoke"},
        {"representative": ""},
        {"id": "x" * 257},
    ],
)
def test_what_the_codec_refuses_the_schema_refuses(change: dict[str, Any]) -> None:
    """The published words are no wider than the code."""
    fields = {"type": "answered", "id": "e", "source": "s", "interaction_id": "i", "at": 1, "representative": "Ada"}

    assert EVENTS.is_valid(fields)
    assert not EVENTS.is_valid(fields | change)


CONTENT: Final = {
    "calls": "application/cloudevents+json",
    "visits": "application/cloudevents+json",
    "feedback": "application/cloudevents+json",
    "moments": "application/json",
    "chains": "application/json",
    "alerts": "application/json",
    "dead-letters": "application/octet-stream",
}


def test_every_topic_has_its_channel_operation_and_key() -> None:
    """Input topics are received, keyed by interaction; ours are sent; with Kafka bindings 0.5.0."""
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {name: channel["address"] for name, channel in ASYNCAPI["channels"].items()} == {name: f"karar.{name}" for name in CONTENT}
    for name, channel in ASYNCAPI["channels"].items():
        assert channel["bindings"]["kafka"]["bindingVersion"] == "0.5.0"
        assert channel["bindings"]["kafka"]["topic"] == channel["address"]
        action = "receive" if name in {"calls", "visits", "feedback"} else "send"
        assert ASYNCAPI["operations"][f"{action}-{name}"]["action"] == action
        (message,) = (resolved(reference["$ref"]) for reference in channel["messages"].values())
        assert message["contentType"] == CONTENT[name]
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
    assert ASYNCAPI["channels"]["chains"]["bindings"]["kafka"]["topicConfiguration"] == {"cleanup.policy": ["compact"]}


def test_what_is_told_is_valid_by_the_published_schemas() -> None:
    """Moments and chains as they go out, and the headers of dead letters."""
    outputs: list[Output] = []
    replay = Replay(Rules(), Identity(), tell=outputs.append)
    for part in replay.slices(simulate(seed=4, customers=300, days=1)):
        replay.take(part)
    told = {name: [x.value for x in outputs if x.topic == name and x.value is not None] for name in ("moments", "chains")}
    for name, message in (("moments", "moment"), ("chains", "chain")):
        schema = Draft202012Validator(DOCUMENTS[f"{name}.schema.json"])
        payload = Draft202012Validator(ASYNCAPI | {"$ref": f"#/components/messages/{message}/payload"})
        assert len(told[name]) > 10
        for value in told[name]:
            schema.validate(json.loads(value))
            payload.validate(json.loads(value))


def test_a_dead_letter_is_valid_by_its_headers() -> None:
    """Every reason there is, in the published words."""
    schema = Draft202012Validator(ASYNCAPI["components"]["messages"]["dead-letter"]["headers"])
    stage = AssembleStage(Identity(), {"calls": CanonicalEvents()}, partition=0, partitions=1)
    record = Arrived("calls", 7, None, b"{", [("x", b"y")])
    here = "calls", 0
    for batch in (stage.read(here, [record], 0), stage.defect(here, record, "KeyError")):
        ((*_, headers),) = batch.outputs
        schema.validate({name: content.decode() for name, content in headers})
    schema.validate({name: content.decode() for name, content in TOO_LATE})

    assert not schema.is_valid({"reason": "because"})


def test_every_reference_leads_somewhere() -> None:
    """Within the document."""
    assert references(ASYNCAPI) != set()
    assert all(resolved(reference) for reference in references(ASYNCAPI))
