"""A mapping: which column of somebody's event log is which field, and which values are which events. Written in TOML.

`docs/examples/callcenter.toml` is one, with every table explained.
"""

import tomllib
from typing import Any, Final, TypeAlias, get_args

from msgspec import Struct, ValidationError, convert, structs

from schemas.events import EVENT_TYPES, Event, IdentifierKind, words_of
from schemas.sources.times import reader, zone_of

IDENTIFIER: Final = "identifiers."
ANY_VALUE: Final = "*"
MOST_EVENTS: Final = 9
INSTANT_FIELDS: Final = frozenset({"updated_at", "promised_by", "appointment_at"})
_GIVEN: Final = frozenset({"id", "source", "interaction_id", "at", "sequence"})
_ASCII: Final = bytes(range(32, 127)) + rb"\u0041" + b"\t\r\n"

Constant: TypeAlias = str | bool | int | float


class Times(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How times are written: `format` as `schemas.sources.times.reader` takes it, local times in `zone`."""

    format: str = "iso"
    zone: str = "UTC"


class Events(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row means: by the value of `column`, its events in order; `*` stands for every other value.

    An event is its `type`, the column of its time (`at`), and fields that are always the same.
    """

    column: str = ""
    values: dict[str, list[dict[str, Constant]]] = {}


class Mapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event log's mapping; `columns`: column → field, `blocked`: field → values that say nothing (case does not matter)."""

    source: str = ""
    delimiter: str = ","
    encoding: str = "utf-8"
    time: Times = Times()
    columns: dict[str, str] = {}
    blocked: dict[str, list[str]] = {}
    events: Events = Events()


def read_mapping(text: str) -> Mapping:
    """The mapping that a TOML text holds; ValueError, one line, if it is no TOML or has names or types that a mapping has not."""
    try:
        return convert(tomllib.loads(text), Mapping)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"no valid TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(f"{error}; see docs/examples/callcenter.toml for what a mapping holds") from None


def check(mapping: Mapping) -> None:
    """Refuses (ValueError: what, where, what to do) a mapping of an event log that could not work, whatever the file holds."""
    if len(mapping.delimiter) != 1 or mapping.delimiter in '"\r\n':
        raise ValueError(f"delimiter: {mapping.delimiter!r} cannot separate columns; write one character, such as , or ;")
    _check_encoding(mapping.encoding)
    try:
        reader(mapping.time.format, zone_of(mapping.time.zone))
    except ValueError as error:
        raise ValueError(f"time: {error}") from None
    _check_columns(mapping)
    _check_events(mapping)


def _event_type(event: dict[str, Constant]) -> type[Event] | None:
    """The struct that an event of a mapping becomes, if its `type` is one."""
    return EVENT_TYPES.get(str(event.get("type", "")))


def _check_columns(mapping: Mapping) -> None:
    for column, field in mapping.columns.items():
        if field not in COLUMN_FIELDS:
            raise ValueError(f'columns: unknown field "{field}" for column "{column}"; write one of: {", ".join(COLUMN_FIELDS)}')
    if len(set(mapping.columns.values())) < len(mapping.columns):
        raise ValueError("columns: two columns are the same field; leave one of them out")
    for field in mapping.blocked:
        if field not in mapping.columns.values():
            raise ValueError(f'blocked: no column is the field "{field}"; write one of: {", ".join(mapping.columns.values())}')


def _check_events(mapping: Mapping) -> None:
    if not mapping.events.values:
        raise ValueError("events: no value has an event; write [events.values] with a list of events for each value")
    if not mapping.events.column and set(mapping.events.values) != {ANY_VALUE}:
        raise ValueError(f'events: no column to find the values in; write column = "…", or "{ANY_VALUE}" as the only value')
    for value, events in mapping.events.values.items():
        if not 1 <= len(events) <= MOST_EVENTS:
            raise ValueError(f'events: "{value}" has {len(events)} events; write 1 to {MOST_EVENTS}, or leave the value out to ignore it')
        for event in events:
            _check_event(f'events: "{value}"', event, set(mapping.columns.values()))


def _column_fields() -> list[str]:
    """What a column may be: every field of any event, except what the row's place and events give."""
    names = {field.name for kind in EVENT_TYPES.values() for field in structs.fields(kind)}
    return sorted(names - {"source", "at", "sequence", "identifiers"} | {IDENTIFIER + kind for kind in get_args(IdentifierKind)})


COLUMN_FIELDS: Final = _column_fields()


def _check_encoding(encoding: str) -> None:
    """Lines are cut as bytes, so an encoding must write line ends and all that is ASCII as ASCII does."""
    try:
        suits = _ASCII.decode(encoding) == _ASCII.decode("ascii") and _ASCII.decode("ascii").encode(encoding) == _ASCII
    except (LookupError, ValueError):
        suits = False
    if not suits:
        raise ValueError(f'encoding: "{encoding}" is unknown, or not a superset of ASCII; write utf-8, latin-1, cp1252, …')


def _check_event(where: str, event: dict[str, Constant], mapped: set[str]) -> None:
    kind = _event_type(event)
    if kind is None:
        raise ValueError(f'{where}: unknown event type "{event.get("type", "")}"; write one of: {", ".join(EVENT_TYPES)}')
    where = f"{where}, {event['type']}"
    if not event.get("at") or not isinstance(event["at"], str):
        raise ValueError(f'{where}: no time; write at = "…" with the name of the column that holds it')
    fields = {field.name: field for field in structs.fields(kind) if field.name not in _GIVEN | {"identifiers"}}
    for name, constant in event.items():
        if name not in {"type", "at"}:
            _check_constant(where, name, constant, fields, words_of(kind, name))
    for name, field in fields.items():
        if field.required and name not in mapped and name not in event:
            raise ValueError(f'{where}: it needs "{name}"; make a column that field, or write {name} = "…" here')
    if kind is EVENT_TYPES["identified"] and not any(name.startswith(IDENTIFIER) for name in mapped):
        raise ValueError(f'{where}: it needs an identifier; make a column "{IDENTIFIER}customer" or another kind')


def _check_constant(where: str, name: str, constant: Constant, fields: dict[str, Any], words: str) -> None:
    if name not in fields:
        raise ValueError(f'{where}: unknown field "{name}"; write one of: {", ".join(fields)}')
    try:
        convert(constant, fields[name].type)
    except ValidationError as error:
        raise ValueError(f"{where}, {name}: {error}{words}") from None
