"""Format `csv`: any event log with a header, read by a mapping.

A row is one event or, as an activity with a start and an end, several. Ids come from the line number unless columns give them, so
the same file gives the same events. A row is taken as a whole or refused as a whole.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from schemas.codec import LONGEST_WHERE, Decoded, Ignored, Rejected, build
from schemas.events import Event
from schemas.sources.lines import LONGEST_LINE, Headers, Read, lines, too_long
from schemas.sources.mapping import ANY_VALUE, IDENTIFIER, INSTANT_FIELDS, Constant, Mapping, check
from schemas.sources.times import reader, zone_of

MOST_LINES: Final = 100
LONGEST_LIST: Final = 1000


class _Cell(NamedTuple):
    place: int
    field: str
    blocked: frozenset[str]


class _Rule(NamedTuple):
    place: int
    column: str
    constants: dict[str, Constant]


class _Layout(NamedTuple):
    """A mapping applied to a header: which cell is what."""

    width: int
    kind: int | None
    texts: list[_Cell]
    instants: list[_Cell]
    identifiers: list[_Cell]
    rules: dict[str, list[_Rule]]
    names: dict[str, str]


_Row: TypeAlias = list[str] | Rejected
_Line: TypeAlias = tuple[int, bytes, bool]


class CsvLog:
    """An event log's rows by a mapping; ValueError for a mapping that cannot work, here or when the header is read."""

    name: Final = "csv"
    remembers: Final = 0  # but for the header, which only a file has: `csv` is no format of a topic

    def __init__(self, mapping: Mapping, source: str, part: str = "") -> None:
        """Checks the mapping; `source` is the event source's name."""
        check(mapping)
        self._mapping = mapping
        self._source = source
        self._part = f"{part}:" if part else ""
        self._instant = reader(mapping.time.format, zone_of(mapping.time.zone))
        self._layout: _Layout | None = None

    def decode(self, raw: bytes | None, number: int, headers: Headers = ()) -> list[Decoded]:  # noqa: ARG002 - a Source's signature
        """One record as its events; the first that is not blank is the header and yields nothing."""
        if raw is None:
            return [Ignored("tombstone")]
        if not raw or raw.isspace():
            return []
        cells = self._cells(raw)
        if self._layout is None:
            return self._headed(cells, number)
        return self._decoded(cells, number, self._layout)

    def read(self, stream: BinaryIO) -> Iterator[Read]:
        """Every row after the header that is not blank; a quoted cell may hold line ends, within 100 lines and 1 MiB."""
        self._layout = None
        for number, raw, cells in self._records(stream):
            layout: _Layout | None = self._layout
            if layout is not None:
                yield Read(number=number, raw=raw, decoded=self._decoded(cells, number, layout))
            elif refused := self._headed(cells, number):
                yield Read(number=number, raw=raw, decoded=refused)
                return

    def _records(self, stream: BinaryIO) -> Iterator[tuple[int, bytes, _Row]]:
        """Lines as records; where a record of several lines does not come out right, only its first line is refused."""
        coming = lines(stream)
        put_back: deque[_Line] = deque()
        while (line := put_back.popleft() if put_back else next(coming, None)) is not None:
            number, raw, whole = line
            if not raw or raw.isspace():
                continue
            cells: _Row = self._cells(raw) if whole else too_long()
            if whole and isinstance(cells, Rejected) and raw.count(b'"') % 2:
                taken = self._to_closing_quote(line, put_back, coming)
                joined = b"\n".join(part for _, part, _ in taken)
                longer = self._cells(joined)
                fits = isinstance(longer, list) and (self._layout is None or len(longer) == self._layout.width)
                if fits and all(is_whole for _, _, is_whole in taken):
                    raw, cells = joined, longer
                else:
                    put_back.extendleft(reversed(taken[1:]))
            yield number, raw, cells

    @staticmethod
    def _to_closing_quote(line: _Line, put_back: deque[_Line], coming: Iterator[_Line]) -> list[_Line]:
        taken, size, is_open = [line], len(line[1]), True
        while is_open and len(taken) < MOST_LINES and size <= LONGEST_LINE:
            following = put_back.popleft() if put_back else next(coming, None)
            if following is None:
                break
            taken.append(following)
            size += len(following[1])
            is_open = following[1].count(b'"') % 2 == 0
        return taken

    def _cells(self, raw: bytes) -> _Row:
        try:
            text = raw.decode(self._mapping.encoding).removeprefix("\ufeff")
            return [cell.strip() for cell in next(csv.reader([text], delimiter=self._mapping.delimiter, strict=True), [])]
        except UnicodeError:
            return Rejected("encoding", f"not {self._mapping.encoding}")
        except csv.Error as error:
            return Rejected("too_long" if "limit" in str(error) else "malformed", str(error))

    def _headed(self, header: _Row, number: int) -> list[Decoded]:
        if isinstance(header, Rejected):
            where = f"line {number}, the header: {header.where}; check delimiter and encoding of the mapping"
            return [Rejected(header.reason, where[:LONGEST_WHERE])]
        self._layout = _laid_out(self._mapping, header)
        return []

    def _decoded(self, cells: _Row, number: int, layout: _Layout) -> list[Decoded]:
        outcome = cells if isinstance(cells, Rejected) else self._row(cells, number, layout)
        if not isinstance(outcome, Rejected):
            return outcome
        path, _, problem = outcome.where.partition(": ")
        column = layout.names.get(path.removeprefix("$."))
        where = f'column "{column}": {problem}' if column else outcome.where
        return [Rejected(outcome.reason, f"line {number}, {where}"[:LONGEST_WHERE])]

    def _row(self, cells: list[str], number: int, layout: _Layout) -> list[Decoded] | Rejected:
        if len(cells) < layout.width or any(cells[layout.width :]):
            return Rejected("malformed", f"{layout.width} columns are expected, {len(cells)} found")
        rules = layout.rules.get("" if layout.kind is None else cells[layout.kind]) or layout.rules.get(ANY_VALUE)
        if rules is None:
            return [Ignored("unknown_type")]
        fields = self._fields(cells, number, layout)
        if isinstance(fields, Rejected):
            return fields
        identity = fields["id"]
        events: list[Decoded] = []
        before = 0
        for ordinal, rule in enumerate(rules, start=1):
            text = cells[rule.place]
            if not text and events:
                continue  # an activity that goes on has no end yet
            at = self._at(text, before)
            if isinstance(at, Rejected):
                return Rejected(at.reason, f'column "{rule.column}": {at.where}')
            before = at
            given = {"at": at, "id": identity if len(rules) == 1 else f"{identity}-{ordinal}"}
            event = build(fields | rule.constants | given, strict=False)
            if not isinstance(event, Event):
                return event if isinstance(event, Rejected) else [event]
            events.append(event)
        return events

    def _fields(self, cells: list[str], number: int, layout: _Layout) -> dict[str, object] | Rejected:
        place_in_log = f"{self._part}{number}"
        fields: dict[str, object] = {"interaction_id": f"{self._source}-{place_in_log}", "id": place_in_log}
        for place, field, blocked in layout.texts:
            if (text := cells[place]) and text.casefold() not in blocked:
                fields[field] = text
        for place, field, blocked in layout.instants:
            if (text := cells[place]) and text.casefold() not in blocked:
                instant = self._instant(text, False)  # noqa: FBT003 - the first pass of a local time
                if instant is None:
                    return Rejected("wrong_type", f"$.{field}: {self._unreadable(text)}")
                fields[field] = instant
        fields["identifiers"] = {
            field: text for place, field, blocked in layout.identifiers if (text := cells[place]) and text.casefold() not in blocked
        }
        fields["source"] = self._source
        fields["sequence"] = number
        return fields

    def _at(self, text: str, before: int) -> int | Rejected:
        """The instant of a row's event, which cannot come before the row's former one; the second pass of a local time may help."""
        at = self._instant(text, False)  # noqa: FBT003 - the first pass of a local time
        if at is None:
            return Rejected("wrong_type" if text else "missing_field", self._unreadable(text))
        if at < 0:
            return Rejected("impossible", f"{text} is before 1970")
        if at < before:
            at = self._instant(text, True) or 0  # noqa: FBT003 - the second pass
        return at if at >= before else Rejected("impossible", f"{text} is before the row's former time")

    def _unreadable(self, text: str) -> str:
        return f"a time as {self._mapping.time.format} is expected, not {text!r}"


def _laid_out(mapping: Mapping, names: list[str]) -> _Layout:
    """The mapping applied to a file with these columns; ValueError if it names one that the file has not."""
    cells = [
        _Cell(_place(names, column, "columns"), field, frozenset(value.strip().casefold() for value in mapping.blocked.get(field, ())))
        for column, field in mapping.columns.items()
    ]
    return _Layout(
        width=len(names),
        kind=_place(names, mapping.events.column, "events") if mapping.events.column else None,
        texts=[cell for cell in cells if not cell.field.startswith(IDENTIFIER) and cell.field not in INSTANT_FIELDS],
        instants=[cell for cell in cells if cell.field in INSTANT_FIELDS],
        identifiers=[cell._replace(field=cell.field.removeprefix(IDENTIFIER)) for cell in cells if cell.field.startswith(IDENTIFIER)],
        rules={value: [_rule(names, event, f'events: "{value}"') for event in events] for value, events in mapping.events.values.items()},
        names={field: column for column, field in mapping.columns.items()},
    )


def _rule(names: list[str], event: dict[str, Constant], where: str) -> _Rule:
    column = str(event["at"])
    return _Rule(_place(names, column, where), column, {name: constant for name, constant in event.items() if name != "at"})


def _place(names: list[str], column: str, where: str) -> int:
    if names.count(column) == 1:
        return names.index(column)
    found = "more than one" if column in names else "no"
    raise ValueError(f'{where}: the file has {found} column "{column}"; its columns are: {", ".join(names)[:LONGEST_LIST]}')
