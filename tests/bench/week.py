"""A simulated week, or real logs, repeated for other customers until there are enough events, as their publishers would send them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from schemas.events import Event, Linked, Reset, ordered
from streams.commands.files import Intake, open_format
from streams.publishing import STRUCTURED, Parcel, home, parcel, sending
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import create
from tests.bench.processes import ROOT
from tests.shared import shared

MARK: Final = "~"
"""Stands for the number of the repetition in whatever names an interaction or a customer."""
CUSTOMERS: Final = 20_000
LOGS: Final[tuple[tuple[str, str, Path | None], ...]] = (
    ("data/fluxicon_callcenter/callcenter.csv", "csv", ROOT / "docs/examples/callcenter.toml"),
    ("formats/samples/asterisk/queue_log_freepbx_2010.txt", "asterisk-queue-log", None),
)
"""Real logs of the same months: where each is in `../shared`, its format, and its mapping."""
READ_AT: Final = 1_767_225_600_000
"""When logs are read (ms): any time after they were written."""


class Sent(NamedTuple):
    """One event as it is sent: its instant (ms), and what of it is the record."""

    at: int
    home: str
    key: bytes
    value: bytes


def marked(x: Event) -> Event:
    """An event whose names of interactions and customers end in the mark."""
    told = replace(
        x, id=x.id + MARK, interaction_id=x.interaction_id + MARK, case_id=x.case_id and x.case_id + MARK,
        identifiers={kind: value + MARK for kind, value in x.identifiers.items()},
    )  # fmt: skip
    return replace(told, to_interaction_id=told.to_interaction_id + MARK) if isinstance(told, Linked) else told


def week(customers: int = CUSTOMERS, seed: int = 1) -> list[Sent]:
    """The events of a week in order of publication, with late ones and duplicates among them, and the mark in their names."""
    return list(map(sent_as, simulate(seed=seed, customers=customers, days=7)))


def logs() -> list[Sent]:
    """The events of real logs in order of time, with the mark in their names; none where the logs are not at hand.

    Restarts of a publisher concern all partitions and are left out, as in the week.
    """
    found: list[Event] = []
    for name, format_, mapping in LOGS:
        if (path := shared(name)) is not None:
            with path.open("rb") as stream:
                found += Intake(open_format(format_, mapping), READ_AT, refused).read(stream)
    return [sent_as(x) for x in sorted(found, key=ordered) if not isinstance(x, Reset)]


def refused(line: int, why: object) -> None:
    """Nothing of these logs is. ValueError: something was."""
    raise ValueError(f"line {line}: {why}")


def sent_as(x: Event) -> Sent:
    """An event as it is sent, with the mark in its names."""
    told = parcel(marked(x), "")
    return Sent(x.at, home(x), told.key, told.value)


MADE: Final[dict[str, Callable[[], list[Sent]]]] = {"whole": week, "logs": logs}
"""What is repeated, by workload."""


def repeated(once: Sequence[Sent], events: int) -> Iterator[Sent]:
    """So many events: each of the week as often as is needed, one customer after the other."""
    mark = MARK.encode()
    names = [b".%d" % number for number in range(-(-events // len(once)))]
    every = (Sent(at, to, key.replace(mark, name), value.replace(mark, name)) for at, to, key, value in once for name in names)
    return islice(every, events)


def topics_of(prefix: str, *, as_one: bool) -> dict[str, str]:
    """Where each kind of events goes; ``as_one``: all to the same topic."""
    return {name: f"{prefix}.{'calls' if as_one else name}" for name in ("calls", "visits", "feedback")}


def parcels(sent: Iterable[Sent], topics: dict[str, str]) -> Iterator[Parcel]:
    """Events as records for their topics."""
    return (Parcel(topics[to], key, value, STRUCTURED) for _, to, key, value in sent)


async def publish(settings: Settings, sent: Iterable[Sent], *, as_one: bool) -> None:
    """Creates all topics, and publishes events as fast as it goes."""
    await create(settings)
    topics = topics_of(settings.prefix, as_one=as_one)
    async with sending(settings.broker, set(topics.values())) as sender:
        for one in parcels(sent, topics):
            await sender.put(one)
        await sender.flush()
