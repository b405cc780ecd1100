"""The centre that is simulated: its queues, teams, branches, opening hours and rosters, as tables.

Tables speak in seconds and hours; everything that runs speaks in milliseconds. Local time is UTC.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import sqrt
from typing import Final

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONDAY: Final = 3 * DAY  # 1970-01-01 was a Thursday
CONTACTS_A_WEEK: Final = 1.1  # begun by a customer on his own; what follows from them makes it about 1.2

Edges = tuple[int, ...]


def _week(*days: tuple[float, ...]) -> Edges:
    """The hours of the seven days, from Monday (on, off, on, off, …), as instants within a week."""
    return tuple(int((24 * day + hour) * HOUR) for day, hours in enumerate(days) for hour in hours)


def _worked(weekday: tuple[float, ...], saturday: tuple[float, ...] = (), sunday: tuple[float, ...] = ()) -> Edges:
    return _week(*[weekday] * 5, saturday, sunday)


ALWAYS: Final[Edges] = (0, WEEK)
HOTLINE: Final = _worked((8, 20), (9, 14))
DIGITAL: Final = _worked((8, 21), (9, 18), (10, 16))
BRANCH: Final = _worked((9, 17))


def next_on(edges: Edges, at: int) -> int:
    """The first instant not before ``at`` that lies within the hours."""
    week = (at + MONDAY) % WEEK
    place = bisect_right(edges, week)
    if place & 1:
        return at
    return at - week + (edges[place] if place < len(edges) else WEEK + edges[0])


def next_off(edges: Edges, at: int) -> int:
    """When the hours that hold ``at`` come to their end."""
    week = (at + MONDAY) % WEEK
    return at - week + edges[bisect_right(edges, week)]


@dataclass(frozen=True, slots=True)
class Queue:
    """A waiting line: ``share`` of its channel's contacts, ``talk`` and ``patience`` as medians in seconds.

    After ``limit`` seconds the customer goes on to the queue ``overflow``, or out; who would have to wait longer than
    ``full`` is not let in.
    """

    name: str
    team: str
    channel: str
    share: float
    talk: int
    needs: tuple[str, ...]
    hours: Edges = HOTLINE
    patience: int = 200
    limit: int = 900
    full: int = 1200
    overflow: str = ""

    def is_open(self, at: int) -> bool:
        """Whether customers are let in at that instant."""
        return next_on(self.hours, at) == at


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A pool of representatives: its roster, how many contacts each takes at once, how amply it is staffed."""

    name: str
    roster: tuple[Edges, ...]
    slots: int = 1
    ample: float = 1.0
    least: int = 2


@dataclass(frozen=True, slots=True)
class Stream:
    """What begins by itself: a kind of journey, its share of all contacts, by hour of the day and day of the week."""

    journey: str
    channel: str
    share: float
    hours: tuple[int, ...]
    days: tuple[int, ...]

    def weights(self) -> list[float]:
        """The 168 hours of a week, from Monday, summing to 1."""
        total = sum(self.hours) * sum(self.days)
        return [hour * day / total for day in self.days for hour in self.hours]


def _shift(start: float, pause: float, end: float, *, saturday: bool = False) -> Edges:
    return _worked((start, pause, pause + 0.5, end), (9, 14.2) if saturday else ())


OFFICE: Final = (
    _shift(8, 12, 16.5, saturday=True),
    _shift(9.5, 13, 18),
    _shift(8, 11.5, 16.5),
    _shift(11.5, 15.5, 20.2, saturday=True),
    _shift(9, 12.5, 17.5),
    _shift(11.5, 16, 20.2),
)
ROUND_THE_CLOCK: Final = (
    _week(*[(6.0, 14.1)] * 7),
    _week(*[(13.5, 22.1)] * 7),
    _week(*[(0.0, 6.1, 22.0, 24.0)] * 7),
    _week(*[(8.0, 16.5)] * 7),
)
ONLINE: Final = (
    _worked((8, 12, 12.5, 16.5), (9, 18.2), (10, 16.2)),
    _worked((13, 17, 17.5, 21.2), (9, 18.2)),
    _worked((9.5, 13, 13.5, 18), (), (10, 16.2)),
)
COUNTER: Final = (_worked((8.9, 12, 12.7, 17.25)), _worked((8.9, 13, 13.7, 17.25)), _worked((10, 13.7, 14.2, 17.25)))
BOT: Final = "ivr"
CHATBOT: Final = "chatbot"

TEAMS: Final = (
    Team(name="front", roster=OFFICE),
    Team(name="billing", roster=OFFICE),
    Team(name="technical", roster=OFFICE, ample=0.9),
    Team(name="claims", roster=OFFICE),
    Team(name="sales", roster=OFFICE),
    Team(name="emergency", roster=ROUND_THE_CLOCK, ample=1.8, least=4),
    Team(name="advice", roster=OFFICE, ample=1.3),
    Team(name="digital", roster=ONLINE, slots=2, ample=1.2, least=3),
    Team(name="letters", roster=OFFICE, ample=1.7),
    Team(name="back_office", roster=OFFICE, ample=1.6),
    Team(name="campaign", roster=OFFICE),
)
QUEUES: Final = (
    Queue("service", "front", "call", 0.34, 190, ("address", "card", "balance"), limit=180, overflow="backup"),
    Queue("premium", "front", "call", 0.08, 220, ("card", "balance", "complaint"), limit=60, overflow="service"),
    Queue("backup", "emergency", "call", 0.0, 200, ("address",), hours=ALWAYS),
    Queue("billing", "billing", "call", 0.21, 240, ("invoice", "payment", "refund"), limit=240, overflow="service"),
    Queue("technical", "technical", "call", 0.15, 380, ("outage", "setup", "repair"), patience=280),
    Queue("claims", "claims", "call", 0.11, 340, ("damage", "claim_status"), patience=260),
    Queue("sales", "sales", "call", 0.08, 320, ("offer", "upgrade", "cancel"), patience=140, full=600),
    Queue("emergency", "emergency", "call", 0.03, 150, ("theft", "block_card"), hours=ALWAYS, limit=90, overflow="service"),
    Queue("video_advice", "advice", "video", 1.0, 700, ("mortgage", "pension"), patience=400),
    Queue("chat", "digital", "chat", 0.75, 480, ("balance", "delivery"), hours=DIGITAL, patience=240, limit=600, overflow="chat_backup"),
    Queue("chat_backup", "front", "chat", 0.25, 420, ("password", "delivery")),
    Queue("mail", "letters", "email", 1.0, 420, ("complaint", "invoice", "documents"), hours=ALWAYS),
    Queue("cases", "back_office", "back_office", 1.0, 900, ("claim",), hours=ALWAYS),
    Queue("case_calls", "back_office", "outbound", 0.0, 200, ("claim",)),
    Queue("campaign", "campaign", "outbound", 1.0, 150, ("offer", "renewal")),
)
COUNTERS: Final = (
    ("cash", 0.55, 200, ("deposit", "withdrawal", "card")),
    ("advice", 0.30, 900, ("mortgage", "account", "pension")),
    ("service", 0.15, 420, ("address", "claim_status", "complaint")),
)
BRANCHES: Final = ("central", "harbour", "north", "station", "market", "university", "airport", "garden")
CUSTOMERS_A_BRANCH: Final = 6000

_CALL_DAY: Final = (2, 1, 1, 1, 1, 2, 6, 20, 70, 105, 115, 108, 82, 78, 98, 102, 92, 76, 52, 34, 16, 9, 6, 3)
_CHAT_DAY: Final = (1, 0, 0, 0, 0, 0, 2, 8, 40, 60, 70, 75, 85, 80, 70, 70, 72, 75, 80, 85, 70, 12, 6, 3)
_MAIL_DAY: Final = (8, 5, 3, 3, 3, 5, 12, 30, 60, 80, 80, 70, 60, 60, 70, 70, 60, 55, 50, 55, 60, 50, 30, 15)
_DESK_DAY: Final = (0, 0, 0, 0, 0, 0, 0, 0, 0, 85, 100, 90, 110, 95, 75, 80, 70, 0, 0, 0, 0, 0, 0, 0)
_SHOP_DAY: Final = (0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 90, 90, 60, 60, 90, 90, 90, 80, 60, 0, 0, 0, 0, 0)
STREAMS: Final = (
    Stream("call", "call", share=0.62, hours=_CALL_DAY, days=(125, 105, 100, 97, 95, 32, 9)),
    Stream("video", "video", share=0.02, hours=_SHOP_DAY, days=(100, 100, 100, 100, 100, 0, 0)),
    Stream("chat", "chat", share=0.10, hours=_CHAT_DAY, days=(110, 100, 100, 100, 95, 60, 45)),
    Stream("mail", "email", share=0.09, hours=_MAIL_DAY, days=(110, 100, 100, 100, 95, 40, 35)),
    Stream("visit", "visit", share=0.17, hours=_DESK_DAY, days=(115, 95, 95, 100, 115, 0, 0)),
    Stream("outbound", "outbound", share=0.06, hours=_SHOP_DAY, days=(100, 100, 100, 100, 100, 0, 0)),
)


class Pool:
    """The representatives of a team: who is free next, by roster and by what they are doing.

    Who comes first books first, so that a wait is the load's and nobody's choice; the longest idle takes the next one.
    """

    __slots__ = ("_duty", "_free", "_slots", "names")

    def __init__(self, team: Team, size: int) -> None:
        """``size`` representatives, spread over the shifts of the team's roster."""
        self.names = [f"{team.name}.{number:02}" for number in range(1, size + 1)]
        self._duty = [team.roster[number % len(team.roster)] for number in range(size)]
        self._slots = team.slots
        self._free = [(0, slot) for slot in range(size * team.slots)]
        heapify(self._free)

    def free(self, at: int) -> int:
        """The first instant not before ``at`` at which somebody can take a contact; `book` then takes that one."""
        while True:
            free, slot = self._free[0]
            wanted = max(free, at)
            there = next_on(self._duty[slot // self._slots], wanted)
            if there == wanted:
                return wanted
            heapreplace(self._free, (there, slot))

    def next_number(self) -> int:
        """Which of them `free` found."""
        return self._free[0][1] // self._slots

    def book(self, until: int) -> str:
        """Takes the representative whom `free` found, busy until then."""
        _, slot = heapreplace(self._free, (until, self._free[0][1]))
        return self.names[slot // self._slots]


def queues(customers: int) -> dict[str, Queue]:
    """All queues of a centre of that many customers, those of its branches included."""
    number = min(max(1, round(customers / CUSTOMERS_A_BRANCH)), len(BRANCHES))
    desks = [
        Queue(line, line, "visit", share / number, talk, needs, hours=BRANCH, patience=2100)
        for branch in BRANCHES[:number]
        for name, share, talk, needs in COUNTERS
        if (line := f"{branch}/{name}")
    ]
    return {queue.name: queue for queue in (*QUEUES, *desks)}


def pools(customers: int, lines: Iterable[Queue]) -> dict[str, Pool]:
    """The staff of every team: what its busiest hour needs, and some for chance (square-root staffing)."""
    lines = tuple(lines)
    busiest = {stream.channel: max(stream.weights()) * customers * stream.share for stream in STREAMS}
    teams = {team.name: team for team in (*TEAMS, *(Team(name=queue.team, roster=COUNTER) for queue in lines if queue.channel == "visit"))}
    load = dict.fromkeys(teams, 0.0)
    for queue in lines:
        contacts = busiest.get(queue.channel, busiest["email"])  # the back office has about as many cases as letters
        load[queue.team] += contacts * queue.share * (queue.talk * 1.35 + 45) / 3600
    return {team.name: Pool(team, _staff(team, load[team.name] / team.slots)) for team in teams.values()}


def _staff(team: Team, load: float) -> int:
    return max(team.least, round(team.ample * (1.3 * load + 0.7 * sqrt(load))))
