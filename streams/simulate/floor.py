"""What all journeys share: publication, the floor with its steps and its chance, a contact that speaks in events."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from math import exp, inf
from operator import itemgetter
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

from schemas.events import Channel, Event, IdentifierKind, Linked, Reset
from streams.simulate.centre import DAY, HOUR, MINUTE, SECOND, Pool, Queue, pools, queues

Step = Generator[int, None, None]
Identifiers = dict[IdentifierKind, str]
T = TypeVar("T")

SOURCES: Final[dict[Channel, str]] = {
    "call": "sim/calls",
    "video": "sim/calls",
    "visit": "sim/visits",
    "chat": "sim/chats",
    "email": "sim/mail",
    "back_office": "sim/work",
}
RESTARTS: Final = {"sim/calls": 13 * HOUR + 7 * MINUTE, "sim/visits": 20 * HOUR + 30 * MINUTE}
SEGMENTS: Final = (*["standard"] * 6, "gold", "young", "business", "")
KNOWN: Final = {"call": 0.5, "video": 1.0, "visit": 0.35, "chat": 0.6, "email": 0.5, "back_office": 1.0}
LEARNT: Final = 0.55  # of the others, in the course of the contact
WITHHELD: Final = 0.06
SLOT: Final = MINUTE
DELAY: Final = 1500


class Publication:
    """Events in the order of their publication: some late, some twice, or strictly by time.

    Its chance is its own, so that the same seed gives the same events in either order. Holds what is still to come.
    """

    def __init__(self, start: int, chance: Random | None, late: float, late_by: int, duplicates: float) -> None:
        """Without a ``chance``, strictly by (``at``, ``sequence``), nothing late, nothing twice."""
        self._random = chance.random if chance else None
        self._late = late
        self._late_by = late_by
        self._once = 1 - duplicates
        self._slots: defaultdict[int, list[tuple[int, int, int, Event]]] = defaultdict(list)
        self._count = 0
        self._done = start // SLOT

    def put(self, event: Event) -> None:
        """Will be published; not before its time."""
        at = published = event.at
        self._count = count = self._count + 1
        if self._random:
            draw = self._random()
            published += int((self._late_by if draw < self._late else DELAY) * self._random())
            if draw >= self._once:
                again = at + int(self._late_by * self._random() ** 8)
                self._slots[again // SLOT].append((again, event.sequence, -count, event))
        self._slots[published // SLOT].append((published, event.sequence, count, event))

    def before(self, at: int) -> list[Event]:
        """What is published in the slots that are complete at ``at``."""
        slots = range(self._done, at // SLOT)
        self._done = at // SLOT
        return self._take(slots)

    def rest(self) -> list[Event]:
        """All that has not been published yet."""
        return self._take(sorted(self._slots))

    def _take(self, slots: Iterable[int]) -> list[Event]:
        return [entry[3] for slot in slots if slot in self._slots for entry in sorted(self._slots.pop(slot))]


class Floor:
    """The running centre. Journeys are generators of the instants of their next steps; the earliest step goes on."""

    def __init__(self, *, seed: int, customers: int, end: float, publication: Publication, resets: bool) -> None:
        """Nothing begins at or after ``end``; what has begun then is finished."""
        chance = Random(f"{seed} floor")
        self.random = chance.random
        self._gauss = chance.gauss
        self._expovariate = chance.expovariate
        self.customers = customers
        self.end = end
        self.queues = queues(customers)
        self.pools: dict[str, Pool] = pools(customers, self.queues.values())
        self.publication = publication
        self.resets = resets
        self.journeys: dict[str, Callable[[Floor, Cause], Step]] = {}
        self._menus: dict[str, list[tuple[float, Queue]]] = {}
        for queue in self.queues.values():
            self._menus.setdefault(queue.channel, []).append((queue.share, queue))
        self._steps: list[tuple[int, int, Step]] = []
        self._number = 0

    def number(self) -> int:
        """A number not given before."""
        self._number += 1
        return self._number

    def go_on(self, at: int, journey: Step) -> None:
        """That journey has its first step at ``at``."""
        heappush(self._steps, (at, self.number(), journey))

    def begin(self, journey: str, cause: "Cause") -> None:
        """A customer begins a journey of that kind, unless the simulated days are over."""
        if cause.at < self.end:
            self.go_on(cause.at, self.journeys[journey](self, cause))

    def run(self) -> Iterator[Event]:
        """Takes step after step and yields what is published."""
        steps, publication = self._steps, self.publication
        complete = 0
        while steps:
            at, _, journey = heappop(steps)
            if at >= complete:
                yield from publication.before(at)
                complete = at - at % SLOT + SLOT
            following = next(journey, None)
            if following is not None:
                self.go_on(following, journey)
        yield from publication.rest()

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return self.random() < share

    def span(self, least: float, most: float) -> int:
        """A length between two numbers of seconds, in ms."""
        return int((least + (most - least) * self.random()) * SECOND)

    def around(self, median: float, spread: float = 0.5) -> int:
        """A lognormal length, at least two seconds, in ms."""
        return max(2 * SECOND, int(median * SECOND * exp(spread * self._gauss(0, 1))))

    def exponential(self) -> float:
        """An exponential number with mean 1."""
        return self._expovariate(1.0)

    def customer(self) -> int:
        """Somebody; those with low numbers come more often."""
        return int(self.customers * self.random() ** 1.2)

    def pick(self, menu: Sequence[tuple[float, T]], otherwise: T) -> T:
        """One of the menu by its share, ``otherwise`` for the rest."""
        draw = self.random()
        for share, entry in menu:
            draw -= share
            if draw < 0:
                return entry
        return otherwise

    def one_of(self, entries: Sequence[T]) -> T:
        """One of them, each as likely."""
        return entries[int(self.random() * len(entries))]

    def queue_for(self, channel: str) -> Queue:
        """A queue of that channel, by the shares of the table."""
        menu = self._menus[channel]
        return self.pick(menu, menu[0][1])


class Cause(NamedTuple):
    """Why a journey begins: a customer, when, and the case or the earlier interaction that it follows."""

    customer: int
    at: int
    case: str = ""
    linked: str = ""
    known: bool = False


class Contact:
    """One interaction that publishes what happens to it, in order of time."""

    __slots__ = (
        "_lost_at",
        "_owed",
        "_put",
        "case",
        "cause",
        "channel",
        "direction",
        "floor",
        "id",
        "identifiers",
        "need",
        "sequence",
        "source",
        "teams",
        "unsaid",
    )

    def __init__(self, floor: Floor, cause: Cause, channel: Channel, direction: str = "inbound") -> None:
        """Its identifier holds the second of its start, as a switch would make it."""
        self.floor = floor
        self._put = floor.publication.put
        self.cause = cause
        self.channel = channel
        self.direction = direction
        self.source = SOURCES[channel]
        self.id = f"{channel[0]}{cause.at // SECOND}.{floor.number()}"
        self.case = cause.case
        self.need = ""
        self.identifiers, self.unsaid = _introduction(floor, cause, channel)
        self.teams: list[str] = []
        self.sequence = 0
        self._owed: list[tuple[int, type[Event], dict[str, Any]]] = []
        restart = RESTARTS.get(self.source) if floor.resets else None
        self._lost_at = inf if restart is None else next_restart(cause.at, restart)

    def say(self, kind: type[Event], at: int, /, **fields: Any) -> None:  # noqa: ANN401 the struct checks them
        """Publishes an event, after what is owed until then; nothing after a restart of the publisher."""
        if self._owed:
            self._pay(at)
        if at >= self._lost_at:
            return
        self.sequence = sequence = self.sequence + 1
        event = kind(
            id=f"{self.id}.{sequence}", source=self.source, interaction_id=self.id, at=at, sequence=sequence, channel=self.channel, **fields
        )
        self._put(event)

    def _pay(self, at: float) -> None:
        due = sorted((owed for owed in self._owed if owed[0] <= at), key=itemgetter(0))
        later = [owed for owed in self._owed if owed[0] > at]
        self._owed = []
        for when, kind, fields in due:
            self.say(kind, when, **fields)
        self._owed = later

    def owe(self, kind: type[Event], at: int, /, **fields: Any) -> None:  # noqa: ANN401 the struct checks them
        """Publishes an event in its time, while the contact goes on."""
        self._owed.append((at, kind, fields))

    def begin(self, kind: type[Event], at: int, /, **fields: Any) -> None:  # noqa: ANN401 the struct checks them
        """Publishes the first event, with what the publisher knows of the customer."""
        segment = SEGMENTS[self.cause.customer % len(SEGMENTS)]
        self.say(
            kind, at, direction=self.direction, identifiers=self.identifiers, segment=segment, need=self.need, case_id=self.case, **fields
        )
        if self.cause.linked:
            self.say(Linked, at + 200, to_interaction_id=self.cause.linked)

    def learn(self) -> Identifiers:
        """What was not known of the customer; it is now."""
        learnt, self.unsaid = self.unsaid, {}
        self.identifiers = {**self.identifiers, **learnt}
        return learnt

    def step(self, at: int) -> int:
        """The instant of the next step, with all said that is owed until then."""
        if self._owed:
            self._pay(at)
        return at

    def settle(self) -> None:
        """Says all that is owed: the journey is over."""
        self._pay(inf)


def _introduction(floor: Floor, cause: Cause, channel: Channel) -> tuple[Identifiers, Identifiers]:
    """What the publisher knows of the customer at once, and what it will learn once somebody asks."""
    number = cause.customer
    customer: Identifiers = {"customer": f"K{number:07}"}
    address: Identifiers = {}
    if channel == "call":
        address = {"phone": "anonymous" if not cause.known and floor.chance(WITHHELD) else f"+90532{number:07}"}
    elif channel == "chat":
        address = {"device": f"d-{number:07}"}
    elif channel == "email":
        address = {"email": f"k{number}@example.org"}
    if cause.known or floor.chance(KNOWN[channel]):
        return customer | address, {}
    return address, customer if floor.chance(LEARNT) else {}


def next_restart(at: int, restart: int) -> int:
    """The first restart after ``at`` of a publisher that restarts daily at that time of day."""
    today = at - at % DAY + restart
    return today if today > at else today + DAY


def restarts(floor: Floor, source: str, at: int) -> Step:
    """A publisher that restarts every day and says so: what was open there is lost."""
    while (at := next_restart(at, RESTARTS[source])) < floor.end:
        yield at
        floor.publication.put(Reset(id=f"reset-{at // SECOND}", source=source, at=at))
