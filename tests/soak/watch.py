"""What a scraper of several workers must never see: a ledger series that falls, or a shard that two workers serve at once.

A series is its name and labels. A response lasts from the moment at which it was asked for to that at which it had come. It must not tell
less of a series than one that had come before it was asked for; which of two that overlap was made first, nobody can know. Two responses
of different workers that overlap must not tell of the same shard.
"""

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

SHARD: Final = re.compile(r'[{,]shard="([^"]+)"')
GAUGE: Final = re.compile(r"^# TYPE (\S+) gauge$", re.MULTILINE)
REMEMBERED_SECONDS: Final = 30
TOLD: Final = 20


class Response(NamedTuple):
    """One answer, as it was received."""

    worker: int
    sent: float
    received: float
    shards: frozenset[str]


class Fall(NamedTuple):
    """A series that was less than before: what it was, who said so when, and the same of what it is."""

    series: str
    before: float
    after: float
    former: int
    told_at: float
    worker: int
    at: float


@dataclass
class Watch:
    """Everything that was seen. ``last``: the most of each series, and which worker told it; ``since``: what has come after it."""

    last: dict[str, tuple[float, int, float]] = field(default_factory=dict)
    since: deque[tuple[float, int, dict[str, float]]] = field(default_factory=deque)
    shard_of: dict[str, str] = field(default_factory=dict)
    recent: list[Response] = field(default_factory=list)
    falls: list[Fall] = field(default_factory=list)
    fallen: int = 0
    twice: list[tuple[str, Response, Response]] = field(default_factory=list)
    served_twice: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def largest_fall(self) -> float:
        """How much a series has fallen at most."""
        return max((fall.before - fall.after for fall in self.falls), default=0.0)

    def failed(self, how: str) -> None:
        """A scrape that gave nothing."""
        self.answers[how] += 1

    def take(self, worker: int, sent: float, received: float, text: str) -> None:
        """A whole response, in order of receipt."""
        values = self.ledger(text)
        self.answers["shards served" if values else "no shard served"] += 1
        while self.since and self.since[0][0] <= sent:
            at, other, told = self.since.popleft()
            self.last |= {series: max((value, other, at), self.last.get(series, (value, other, at))) for series, value in told.items()}
        self.since.append((received, worker, values))
        for series, value in values.items():
            before, former, told_at = self.last.get(series, (value, worker, received))
            if value < before:
                self.fallen += 1
                self.falls.append(Fall(series, before, value, former, told_at, worker, received))
                self.falls = sorted(self.falls, key=lambda fall: fall.after - fall.before)[:TOLD]
        response = Response(worker, sent, received, frozenset(self.shard_of[series] for series in values))
        self.seen.update(response.shards)
        self.compare(response)

    def ledger(self, text: str) -> dict[str, float]:
        """The series of a response that must not fall: those with a shard, gauges excepted."""
        gauges = frozenset(GAUGE.findall(text))
        found = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            series, _, value = line.partition(" # ")[0].rpartition(" ")
            shard = self.shard_of.get(series)
            if shard is None:
                match = SHARD.search(series)
                shard = match[1] if match and series.partition("{")[0] not in gauges else ""
                self.shard_of[series] = shard
            if shard:
                found[series] = float(value)
        return found

    def compare(self, response: Response) -> None:
        """Whether another worker served one of the same shards at the same time."""
        for other in self.recent:
            if other.worker != response.worker and other.sent <= response.received and response.sent <= other.received:
                for shard in other.shards & response.shards:
                    self.served_twice += 1
                    self.twice = [*self.twice, (shard, other, response)][-TOLD:]
        self.recent = [old for old in self.recent if old.received > response.received - REMEMBERED_SECONDS]
        self.recent.append(response)
