"""The counting stage in Karar's engine, as a process that is measured.

It prints one JSON line every tenth of a second: what it has done, and how much CPU it has used for it.
"""

import asyncio
import os
import sys

from streams.commands.worker import collect_seldom, use_uvloop
from streams.engine.engine import Engine
from streams.engine.host import build
from streams.engine.kafka import Kafka
from streams.engine.ledger import Ledger
from streams.engine.spec import Spec
from tests.bench.telling import telling
from tests.counting import Counting


def counting(broker: str, run: str, partitions: int) -> None:
    """The counting stage in Karar's engine: one shard a partition."""
    spec = Spec(
        name="count", sources=(f"src-{run}",), changelog=f"state-{run}", partitions=partitions, make=lambda _: Counting(series=""),
        ledger=lambda: Ledger(str), topics={"out": f"out-{run}", "dead": f"out-{run}"}, outputs={"out": partitions, "dead": partitions},
    )  # fmt: skip
    engine = Engine([spec], Kafka(broker, session=8.0), f"count-{run}")
    app = build(engine, name=f"count-{run}", web={"web_enabled": False})
    use_uvloop()

    async def main() -> None:
        await app.start()
        await telling(lambda: {"events": sum(sum(s.committed.values()) for s in engine.shards.values())})

    collect_seldom()
    asyncio.run(main())


if __name__ == "__main__":
    counting(os.environ["KARAR_BROKER"], sys.argv[1], int(sys.argv[2]))
