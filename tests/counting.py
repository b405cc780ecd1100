"""A stage that counts, and is not idempotent on purpose: any loss and any repetition shows. Small state, one output per event."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from streams.engine.stage import Batch, Change, Origin, Outgoing, Place, Record

NEVER = 1 << 62
NOTHING: Mapping[tuple[str, ...], int] = {}
HEADER = 9


class Output(NamedTuple):
    """A record for another topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Counted(NamedTuple):
    """What a step returns."""

    value: bytes | None
    due: int = NEVER
    bookings: Sequence[Any] = ()
    archived: Sequence[Any] = ()
    outputs: Sequence[Outgoing] = ()
    counts: Mapping[tuple[str, ...], int] = NOTHING
    revisit: bool = False


class Booked(NamedTuple):
    """An amount for one slot."""

    place: Place
    added: int
    retracted: int


class Sums:
    """Sums of amounts by series."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    def take(self, differences: Iterable[tuple[str, int]], /) -> None:
        """Adds."""
        for series, amount in differences:
            self.sums[series] = self.sums.get(series, 0) + amount

    def bookings(self) -> list[Booked]:
        """What was added since the last call."""
        done, self.sums = self.sums, {}
        return [Booked((series, ""), max(0, n), max(0, -n)) for series, n in done.items()]


class State(msgspec.Struct, gc=False):
    """How many events a key has had, and the last six."""

    n: int = 0
    last: list[int] = []


class Event(msgspec.Struct, gc=False):
    """One event."""

    i: int


READ_STATE = msgspec.json.Decoder(State)
READ_EVENT = msgspec.json.Decoder(Event)
ENCODE = msgspec.json.Encoder().encode
FRONT = NEVER.to_bytes(8, "big") + b"\0"


class Counting:
    """Counts events by key. ``series``: where all are counted, too, if it has a name; ``poison``: an event that no step can take."""

    rules = "count"
    counting = 1

    def __init__(self, *, series: str = "events_counted", output: str = "out", poison: int = -1) -> None:
        self.series, self.output, self.poison = series, output, poison

    def journal(self) -> Sums:
        """Sums by series."""
        return Sums()

    def remembers(self, topic: str) -> int:  # noqa: ARG002 - the contract's signature
        """Each record stands for itself."""
        return 0

    def prime(self, origin: Origin, records: Sequence[Record]) -> None:
        """Nothing to notice."""

    def read(self, origin: Origin, records: Sequence[Record], wall: int) -> Batch:  # noqa: ARG002 - the contract's signature
        """Values by key."""
        batch = Batch()
        groups = batch.groups
        for record in records:
            key = record.key
            assert key is not None
            group = groups.get(key)
            if group is None:
                groups[key] = [record.value]
            else:
                group.append(record.value)
        return batch

    def defect(self, origin: Origin, record: Record, error: str) -> Batch:  # noqa: ARG002 - the contract's signature
        """A dead letter."""
        return Batch(outputs=[Output("dead", record.key, record.value, None, (("where", error.encode()),))])

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:  # noqa: ARG002 - the contract's signature
        """Adds one for each event, whether it was seen before or not. Plain tuples, which are `Counted` and `Output` without names."""
        state = READ_STATE.decode(old[HEADER:]) if old is not None else State()
        last = state.last
        outputs: list[Outgoing] = []
        for value in records:
            number = READ_EVENT.decode(value).i
            if number == self.poison:
                raise ValueError("poison")
            last.append(number)
            outputs.append((self.output, key, ENCODE(number), None, ()))
        state.n += len(records)
        del last[:-6]
        bookings = ((self.series, len(records)),) if self.series else ()
        return FRONT + ENCODE(state), NEVER, bookings, (), outputs, NOTHING, False

    def share(self, key: bytes, value: bytes) -> None:
        """Nothing is shared."""

    def live(self, value: bytes) -> Mapping[Place, int]:
        """As many as were counted."""
        return {(self.series, ""): READ_STATE.decode(value[HEADER:]).n}

    def due(self, value: bytes) -> int:
        """In front."""
        return int.from_bytes(value[:8], "big")

    def is_open(self, value: bytes) -> bool:  # noqa: ARG002 - the contract's signature
        """Never."""
        return False

    def waiting(self, value: bytes) -> Sequence[tuple[str, int]]:  # noqa: ARG002 - the contract's signature
        """Nobody."""
        return ()
