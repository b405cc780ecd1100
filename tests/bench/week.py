"""A simulated week, repeated for other customers until there are enough events, as its publishers would send them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from msgspec.structs import replace

from schemas.events import Event, Linked
from streams.publishing import STRUCTURED, Parcel, home, parcel, sending
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import create

MARK: Final = "~"
"""Stands for the number of the repetition in whatever names an interaction or a customer."""
CUSTOMERS: Final = 20_000


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
    found = []
    for x in simulate(seed=seed, customers=customers, days=7):
        told = parcel(marked(x), "")
        found.append(Sent(x.at, home(x), told.key, told.value))
    return found


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
