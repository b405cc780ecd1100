"""Records to Kafka at a steady rate."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from random import Random
from typing import Any, Final

from schemas.events import Answered, Ended, Event, MessageSent, Offered
from streams.core.targets import DAY
from streams.publishing import Parcel, home, parcel, sending
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import INPUTS

TICK_SECONDS: Final = 0.04
PATIENCE_SECONDS: Final = 120
"""Longer than a Kafka that dies, and one that starts, take on a busy machine: what is under way meanwhile is not lost."""
DAYS_OF_A_RUN: Final = 6
EVENTS_OF_A_CUSTOMER: Final = 2.0
"""How many events a customer has in a day, about."""
DAYS_AGO: Final = 40
WEEK: Final = 7 * DAY
MONDAY: Final = 4 * DAY  # 1 January 1970 was a Thursday
KEYS: Final = 2_000
CHAT: Final = 100
"""How many events a chat of the regular customer has."""
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND


@dataclass
class Load:
    """Sends ``parcels`` at a rate until an instant of the monotonic clock. ``sent`` says how many Kafka has.

    While it is ``held`` nothing goes out, and never more than ``most`` in all; what should have gone follows at once.
    """

    address: str
    topics: Iterable[str]
    parcels: Iterator[Parcel]
    rate: float
    until: float
    sent: int = 0
    longest_wait: float = 0.0
    held: bool = False
    most: float = float("inf")

    async def run(self) -> None:
        """All of it; returns when Kafka has everything. What is held up by Kafka is sent as soon as it can be."""
        started = time.monotonic()
        async with sending(self.address, self.topics, patience=PATIENCE_SECONDS) as sender:
            while (now := time.monotonic()) < self.until:
                due = 0 if self.held else int((now - started) * self.rate)
                while self.sent < min(due, self.most) and (one := next(self.parcels, None)) is not None:
                    await sender.put(one)
                    self.sent += 1
                await sender.send_all()
                self.longest_wait = max(self.longest_wait, time.monotonic() - now)
                await asyncio.sleep(TICK_SECONDS)
            await sender.flush()
            assert sender.acknowledged.total() == self.sent


def monday(wall: float) -> int:
    """The Monday (ms) some weeks before ``wall`` (s): no event lies in the future, and no chain is old enough to be archived."""
    ago = int(wall * 1000) - DAYS_AGO * DAY
    return ago - (ago - MONDAY) % WEEK


@dataclass(frozen=True)
class Centre:
    """The simulated contact centre: its events are the same ones whenever they are asked for.

    ``regular``: how many a customer has who never stops, and who is published besides. The centre closes with its first event at ``until``
    (ms) or later: workers that go by the clock would refuse it.
    """

    seed: int
    start: int
    expected: float
    regular: int = 0
    until: float = float("inf")

    def published(self, number: int) -> Iterator[Event]:
        """So many events, and those of the regular customer."""
        yield from self.events(number)
        yield from regular(self.start, self.regular)

    def events(self, number: int | None = None) -> Iterator[Event]:
        """In order of publication: disorder, late ones, duplicates, publishers' resets."""
        customers = max(50, round(self.expected / DAYS_OF_A_RUN / EVENTS_OF_A_CUSTOMER))
        events = simulate(seed=self.seed, customers=customers, days=float("inf"), start=self.start, resets=True)
        return islice(takewhile(lambda event: event.at < self.until, events), number)

    def parcels(self, settings: Settings) -> Iterator[Parcel]:
        """The same as their publishers send them."""
        topics = {name: settings.topic(name) for name in INPUTS}
        return (parcel(event, topics[home(event)]) for event in self.events())

    def newest(self, number: int) -> int:
        """The last instant (ms) of so many events."""
        return max(event.at for event in self.published(number))


def regular(start: int, number: int) -> Iterator[Event]:
    """So many events of one customer from an instant (ms) on: chats of a hundred, five minutes between them."""
    for n in range(number):
        chat, place = divmod(n, CHAT)
        told: dict[str, Any] = {
            "id": f"regular-{n}", "source": "chats", "interaction_id": f"regular-{chat}", "channel": "chat", "queue": "billing",
            "at": start + n * SECOND + chat * 5 * MINUTE, "identifiers": {"customer": "regular"},
        }  # fmt: skip
        if place == 0:
            yield Offered(**told)
        elif place == 1:
            yield Answered(**told, representative="ada")
        elif place < CHAT - 1:
            yield MessageSent(**told, by="representative" if n % 2 else "customer")
        else:
            yield Ended(**told)


def numbered(topic: str, seed: int) -> Iterator[Parcel]:
    """Numbers from 0 on, each for a key of some thousands."""
    chance = Random(f"{seed} keys")
    number = 0
    while True:
        yield Parcel(topic, b"key-%d" % chance.randrange(KEYS), b'{"i":%d}' % number)
        number += 1
