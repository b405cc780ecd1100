"""Events in any order that anybody could send: every type in every state, times at, just before and just after each limit."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from schemas import events as e

BASE = 1_767_600_000_000
SECOND = 1_000
STEPS = (0, 0, 1, 1_000, 3_000, 9_999, 10_000, 10_001, 20_000, 20_001, 60_000, 299_999, 300_000, 600_000, 900_000, 900_001)
LONG_STEPS = (7_200_000, 28_800_000, 50_400_000, 86_400_000, 86_400_001, 30 * 86_400_000)
PEOPLE = ("ann", "bob", "carl", "dora")
QUEUES = ("A", "B", "C")
TEAMS = ("", "", "red", "blue")
TYPES = tuple(t for t in e.EVENT_TYPES.values() if t is not e.Reset)
CHANNELS = ("", "call", "call", "call", "visit", "chat", "email", "video", "back_office")
REASONS = ("", "customer", "representative", "lost", "closed", "withdrawn", "machine", "busy", "no_answer", "dropped", "unreachable")


def chaos(random: Random, interactions: int, longest: int = 14) -> Iterator[e.Event]:
    """Events of ``interactions`` interactions of a few customers, in order of each interaction's time."""
    for number in range(interactions):
        at = BASE + random.choice((0, SECOND, 3_600_000, 86_400_000)) * random.randrange(4)
        source = random.choice(("one", "one", "two"))
        common: dict[str, Any] = {
            "source": source,
            "interaction_id": f"i{number}",
            "channel": random.choice(CHANNELS),
            "direction": random.choice(("", "", "inbound", "outbound", "callback")),
        }
        for sequence in range(random.randint(1, longest)):
            at += random.choice(LONG_STEPS) if random.random() < 0.03 else random.choice(STEPS)
            kind = random.choice(TYPES)
            yield kind(id=f"{number}-{sequence}", at=at, sequence=sequence, **common, **details(random, kind, interactions))
        if random.random() < 0.05:
            yield e.Reset(id=f"reset-{number}", source=source, at=at + random.choice(STEPS))


def details(random: Random, kind: type[e.Event], interactions: int) -> dict[str, Any]:
    """The fields that a type needs, and some that it may have."""
    fields: dict[str, Any] = {}
    if random.random() < 0.7 or kind in {e.Answered, e.Missed, e.ServingStarted, e.Joined, e.Left, e.WorkStarted}:
        fields["representative"] = random.choice(PEOPLE)
    if random.random() < 0.3 or kind in {e.Queued, e.LeftQueue}:
        fields["queue"] = random.choice(QUEUES)
    if random.random() < 0.15:
        fields["identifiers"] = {random.choice(("phone", "customer", "ticket")): random.choice(("1", "2", "anonymous"))}
    if random.random() < 0.05:
        fields["case_id"] = random.choice(("k1", "k2"))
    if random.random() < 0.1:
        fields |= {"segment": random.choice(("", "gold")), "need": random.choice(("", "bill"))}
    fields["team"] = random.choice(TEAMS)
    extras = EXTRAS.get(kind)
    return fields | extras(random, interactions) if extras is not None else fields


def optional_queue(random: Random) -> str:
    """A queue, mostly."""
    return random.choice(("", *QUEUES))


EXTRAS: Final[dict[type[e.Event], Callable[[Random, int], dict[str, Any]]]] = {
    e.Answered: lambda r, _: {"actor": r.choice(("human", "human", "human", "bot")), "timed": r.random() < 0.9},
    e.LeftQueue: lambda r, _: {"reason": r.choice(("timeout", "empty", "key", "full", "closed", "withdrawn"))},
    e.Transferred: lambda r, _: {
        "kind": r.choice(("blind", "consult", "introduced", "requeue", "external")),
        "actor": r.choice(("human", "human", "bot")),
        "to_team": r.choice(TEAMS),
        "to_queue": optional_queue(r),
        "to_representative": r.choice(("", *PEOPLE)),
        "queues_only": r.random() < 0.3,
    },
    e.Consulted: lambda r, _: {"to_team": r.choice(TEAMS), "to_queue": optional_queue(r)},
    e.Joined: lambda r, _: {"mode": r.choice(("conference", "conference", "conference", "monitor", "coach"))},
    e.Ended: lambda r, _: {"reason": r.choice(REASONS)},
    e.MessageSent: lambda r, _: {"by": r.choice(("customer", "representative", "bot"))},
    e.Identified: lambda r, _: {"identifiers": {r.choice(("phone", "customer", "email")): r.choice(("1", "2"))}},
    e.Rated: lambda _, __: {"kind": "nps", "value": 9.0},
    e.Linked: lambda r, n: {"to_interaction_id": f"i{r.randrange(n)}", "to_source": r.choice(("", "", "one", "two"))},
    e.Queued: lambda r, _: {"appointment_at": BASE + r.choice((0, 3_600_000))} if r.random() < 0.1 else {},
}
