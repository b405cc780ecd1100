"""Stories: what happened to a customer, told in seconds after one instant, and what was counted of it.

``call("c1", phone="1").queued(0, "A").answered(10, "ann").ended(60)`` is three events of one interaction. Every event type is a
method: the second, its own words in the order of `WORDS`, then any field by name; identifiers stand by their kind. Ids, sequence
and source come by themselves; what is told of the whole contact is on each of its events.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, get_args

from schemas.events import EVENT_TYPES, Event, IdentifierKind, Reset
from streams.core.identity import Identity
from streams.core.series import SERIES, parted
from streams.core.targets import Rules
from streams.replay import Replay
from tests.core import facts

BASE: Final = 1_772_438_400_000  # 2026-03-02 08:00 UTC
MS: Final = 0.001
MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
LATER: Final = 100 * DAY  # every chain has closed

WORDS: Final = {
    "queued": ("queue",),
    "left_queue": ("queue", "reason"),
    "transferred": ("kind", "to_queue"),
    "joined": ("representative", "mode"),
    "ended": ("reason",),
    "message_sent": ("by",),
    "rated": ("kind", "value"),
    "linked": ("to_interaction_id",),
} | dict.fromkeys(
    ("answered", "missed", "left", "wrapped_up", "serving_started", "resumed", "work_started", "work_completed"), ("representative",)
)

Labels = tuple[str | int, ...]


def instant(second: float) -> int:
    """A second of the story in ms since 1970."""
    return BASE + round(second * 1000)


def fields(told: dict[str, Any]) -> dict[str, Any]:
    """The words of a story as fields of an event."""
    known = {kind: told[kind] for kind in get_args(IdentifierKind) if kind in told}
    rest = {name: value for name, value in told.items() if name not in known}
    return rest | {"identifiers": known} if known else rest


@dataclass(frozen=True)
class Story:
    """One interaction; every event told makes a longer story and leaves this one as it was."""

    name: str
    common: dict[str, Any]
    events: tuple[Event, ...] = ()

    def tell(self, what: str, second: float, *words: Any, **named: Any) -> "Story":
        """The story, and what happened at that second."""
        number = len(self.events) + 1
        own = self.common | dict(zip(WORDS.get(what, ()), words, strict=False)) | fields(named)
        place: dict[str, Any] = {"id": f"{self.name}-{number}", "interaction_id": self.name, "sequence": number, "at": instant(second)}
        return replace(self, events=(*self.events, EVENT_TYPES[what](**{"source": "pbx", **place, **own})))

    def __getattr__(self, what: str) -> Callable[..., "Story"]:
        """An event type as a method."""
        if what not in EVENT_TYPES:
            raise AttributeError(what)
        return partial(self.tell, what)

    def __iter__(self) -> Iterator[Event]:
        """The events, as they were told."""
        return iter(self.events)


def begin(channel: str, name: str, **common: Any) -> Story:
    """A story of which nothing has been told yet."""
    return Story(name, {"channel": channel} | fields(common))


call, video, visit, chat, email, work = (partial(begin, c) for c in ("call", "video", "visit", "chat", "email", "back_office"))


def reset(second: float, source: str = "pbx") -> Reset:
    """The publisher lost everything that was open."""
    return Reset(id=f"reset-{second}", source=source, at=instant(second))


def counted(series: str, *stories: Iterable[Event], now: float | None = None, rules: Rules | None = None) -> dict[Labels, int]:
    """One series at a second (the last event's unless given): labels, and an observed value, → how many. What is absent is 0."""
    if series not in SERIES:
        raise KeyError(series)
    total = facts([x for story in stories for x in story], None if now is None else instant(now), rules)
    return {key[1:]: amount for key, amount in total.items() if key[0] == series and amount}


def booked(series: str, replay: Replay) -> dict[Labels, int]:
    """One counter or gauge as a replay's ledgers have it."""
    if series not in SERIES:
        raise KeyError(series)
    names = {tuple(parted(name)): amount for (name, slot), amount in replay.net().items() if not slot}
    return {labels[1:]: amount for labels, amount in names.items() if labels[0] == series}


def replayed(*slices: Iterable[Event]) -> Replay:
    """A replay that has taken those slices one after the other."""
    replay = Replay(Rules(), Identity())
    for part in slices:
        replay.take(list(part))
    return replay
