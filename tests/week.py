"""A simulated normal week, and a team that goes wrong in it, as Prometheus would have scraped it."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from schemas.events import Event
from streams.core.series import parted
from streams.exposition import FAMILIES
from streams.replay import Replay
from tests.story import BASE, call

MINUTE_MS: Final = 60_000
START: Final = BASE // 86_400_000 * 86_400_000
"""A Monday, midnight."""
SCRAPED: Final = ("touches_ended_total", "transfers_started_total")


def astray(team: str, second: float, touches: int, transfers: int) -> list[Event]:
    """Calls that a team takes within 20 minutes, the first of which it passes on at once."""
    told: list[Event] = []
    for n in range(touches):
        at = second + n * 1200 / touches
        story = call(f"astray-{n}", phone=f"+90 212 555 {n:04}").queued(at, team).answered(at + 5, f"{team}.astray", team=team)
        if n < transfers:
            story = story.transferred(at + 60, "blind", "service").answered(at + 80, "front.astray", team="front")
        told += story.ended(at + 200)
    return sorted(told, key=lambda event: event.at)


def published(week: Iterable[Event], more: Sequence[Event]) -> Iterator[Event]:
    """A week in its order of publication, and what comes on top of it when its time has come."""
    now, waiting = 0, deque(more)
    for event in week:
        now = max(now, event.at)
        while waiting and waiting[0].at <= now:
            yield waiting.popleft()
        yield event


def by_minute(events: Iterable[Event], minutes: int) -> Iterator[tuple[int, list[Event]]]:
    """Events as a worker without delay would have them at the end of each minute."""
    part: list[Event] = []
    minute, now = 1, START
    for event in events:
        now = max(now, event.at)
        while now >= START + minute * MINUTE_MS:
            yield minute, part
            part, minute = [], minute + 1
            if minute > minutes:
                return
        part.append(event)


def scrapes(replay: Replay, events: Iterable[Event], minutes: int) -> Iterator[bytes]:
    """What is scraped at the end of each minute, as OpenMetrics with times; a series that has not changed is not rendered again."""
    seen: dict[str, tuple[tuple[int, int], list[bytes]]] = {}
    for minute, part in by_minute(events, minutes):
        now = START + minute * MINUTE_MS
        replay.take(part, now)
        time = b" %d\n" % (now // 1000)
        yield b'karar_behind_seconds{instance="worker"} 0' + time
        yield b'karar_shard_up{topic="karar.calls",partition="0",instance="worker"} 1' + time
        for shard, ledger in replay.ledgers.items():
            for (name, slot), amounts in ledger.amounts.items():
                family, both = parted(name)[0], (amounts.total, amounts.retracted)
                if family not in SCRAPED:
                    continue
                if name not in seen or seen[name][0] != both:
                    seen[name] = both, [line.rstrip() for line in FAMILIES[family].render(name, shard, {slot: both})]
                yield from (line + time for line in seen[name][1])


def objectives(rates: Mapping[str, float], minutes: int) -> Iterator[bytes]:
    """The transfer rate that each team may have, scraped as often."""
    for team, rate in rates.items():
        for minute in range(1, minutes + 1):
            labels = f'objective="transfer_rate",scope="team:{team}",instance="worker"'
            yield f"karar_objective_ratio{{{labels}}} {rate} {START // 1000 + minute * 60}\n".encode()


def teams(replay: Replay) -> dict[str, tuple[int, int]]:
    """Touches ended and transfers started of each team, net."""
    found: dict[str, Counter[str]] = {}
    for (name, _), amount in replay.net().items():
        family, *labels = parted(name)
        if family in ("touches_ended_total", "transfers_started_total"):
            found.setdefault(labels[1], Counter())[family] += amount
    return {team: (counts["touches_ended_total"], counts["transfers_started_total"]) for team, counts in found.items()}
