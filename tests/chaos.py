"""Events in any order that anybody could send: every type in every state, times at, just before and just after each limit."""

from collections.abc import Iterator
from random import Random
from typing import Any

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
    return fields | extras(random, kind, interactions)


def extras(random: Random, kind: type[e.Event], interactions: int) -> dict[str, Any]:
    """What only some types have."""
    if kind is e.Answered:
        return {"actor": random.choice(("human", "human", "human", "bot")), "timed": random.random() < 0.9}
    if kind is e.LeftQueue:
        return {"reason": random.choice(("timeout", "empty", "key", "full", "closed", "withdrawn"))}
    if kind is e.Transferred:
        return {
            "kind": random.choice(("blind", "consult", "introduced", "requeue", "external")),
            "actor": random.choice(("human", "human", "bot")),
            "to_team": random.choice(TEAMS),
            "to_queue": random.choice(("", *QUEUES)),
            "to_representative": random.choice(("", *PEOPLE)),
            "queues_only": random.random() < 0.3,
        }
    if kind is e.Consulted:
        return {"to_team": random.choice(TEAMS), "to_queue": random.choice(("", *QUEUES))}
    if kind is e.Joined:
        return {"mode": random.choice(("conference", "conference", "conference", "monitor", "coach"))}
    if kind is e.Ended:
        return {"reason": random.choice(REASONS)}
    if kind is e.MessageSent:
        return {"by": random.choice(("customer", "representative", "bot"))}
    if kind is e.Identified:
        return {"identifiers": {random.choice(("phone", "customer", "email")): random.choice(("1", "2"))}}
    if kind is e.Rated:
        return {"kind": "nps", "value": 9.0}
    if kind is e.Linked:
        return {"to_interaction_id": f"i{random.randrange(interactions)}"}
    if kind is e.Queued and random.random() < 0.1:
        return {"appointment_at": BASE + random.choice((0, 3_600_000))}
    return {}
