"""The trial balance of a shard: what its ledger says of the living against the sum of what every state stands for."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from streams.engine.ledger import SEPARATOR
from streams.engine.shard import Shard
from streams.engine.stage import Place, Stage
from streams.engine.takeover import is_shared
from streams.engine.values import Values

log = logging.getLogger(__name__)

PIECE_SECONDS: Final = 0.005
NAMED: Final = 20


async def live(stage: Stage, values: Values, rest: float = 0.0) -> Counter[Place]:
    """What all states together stand for, in pieces of some milliseconds, each followed by a ``rest`` (seconds) for others.

    A state that cannot be read stands for nothing, and so shows as a difference.
    """
    sums: Counter[Place] = Counter()
    began = time.monotonic()
    for key, value in values.items():
        if is_shared(key):
            continue
        try:
            sums.update(stage.live(value))
        except Exception as error:  # noqa: BLE001 - whatever it is, the balance must say so
            log.error("a state cannot be read: %r", error)  # noqa: TRY400 - its key names a customer
        if time.monotonic() - began > PIECE_SECONDS:
            await asyncio.sleep(rest)
            began = time.monotonic()
    return sums


async def draw(shard: Shard, rest: float) -> dict[Place, int]:
    """The trial balance of a shard that goes on meanwhile: of one moment, at which what is folded is in its books as well."""
    shard.book()
    values, expected = shard.store.values.copy(), shard.ledger.net_live_all()
    return shard.ledger.compared(expected, await live(shard.stage, values, rest))


def told(differences: Mapping[Place, int]) -> str:
    """What differs, in one line: the first series and slots, and by how much."""
    named = [f"{' '.join(' '.join(place).split(SEPARATOR)).strip()} {amount:+}" for place, amount in sorted(differences.items())]
    return ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
