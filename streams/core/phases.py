"""The phases of an interaction and how long each may last without an event (METRICS.md, Presumed ended)."""

from typing import Final

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

RING, QUEUE, TALK, HOLD, PENDING, OVER = "ring", "queue", "talk", "hold", "pending", "over"
LIMITS: Final[dict[str, dict[str, int]]] = {
    "call": {RING: 5 * MINUTE, QUEUE: 2 * HOUR, TALK: 8 * HOUR, HOLD: 8 * HOUR, PENDING: 10 * MINUTE},
    "visit": dict.fromkeys((RING, QUEUE, TALK, HOLD), 14 * HOUR) | {PENDING: 2 * HOUR},
    "chat": dict.fromkeys((RING, QUEUE, TALK, HOLD), 24 * HOUR) | {PENDING: 2 * HOUR},
    "email": dict.fromkeys((RING, QUEUE, TALK, HOLD), 30 * DAY) | {PENDING: 3 * DAY},
}
LIMITS["video"] = LIMITS["call"]
LIMITS["back_office"] = LIMITS["email"]
