"""Opening a shard: what the next owner finds, shows to the stage, and counts anew."""

from collections.abc import Sequence
from typing import Any

import pytest

from streams.engine.stage import Batch, Origin, Record
from tests.counting import NEVER, Counting
from tests.shards import NOW, counted, events, memory, opened, part, spec, total
from tests.test_shard_time import Timed

pytestmark = pytest.mark.asyncio


async def test_what_a_stage_remembers_is_shown_to_it_before_it_goes_on() -> None:
    """The records before its position that a reading depends on; nothing follows from them."""
    shown: list[int] = []

    class Remembering(Counting):
        """Wants two records."""

        def remembers(self, topic: str) -> int:  # noqa: ARG002 - the contract's signature
            """Two."""
            return 2

        def prime(self, origin: Origin, records: Sequence[Record]) -> None:  # noqa: ARG002 - the contract's signature
            """Notes."""
            shown.extend(record.offset for record in records)

    kafka = memory()
    kafka.cluster.publish("in", 0, *[(b"k", b'{"i":%d}' % n) for n in range(5)])
    shard = await opened(kafka, spec(Remembering))
    assert shown == []
    shard.apply(part(events(0, 1, 2)))
    await shard.commit()
    shard = await opened(kafka, spec(Remembering))

    assert (shown, counted(shard)) == ([1, 2], {b"k": 3})


async def test_the_newest_event_time_is_taken_over() -> None:
    """By the clock of events it is what a shard takes for now: without it, time would begin anew with each owner."""

    class Dated(Counting):
        """An event's number is its instant."""

        def read(self, origin: Origin, records: Sequence[Record], wall: int) -> Batch:
            """The newest."""
            batch = super().read(origin, records, wall)
            batch.newest = max(int((record.value or b"").strip(b'{"i:}')) for record in records)
            return batch

    kafka = memory()
    kafka.cluster.publish("in", 0, *[(b"k", b'{"i":%d}' % n) for n in (5, 777, 6)])
    shard = await opened(kafka, spec(Dated))
    shard.apply(part(events(5, 777, 6)))
    await shard.commit()

    assert (await opened(kafka, spec(Dated))).newest == 777


async def test_the_index_of_due_times_knows_what_time_it_is() -> None:
    """Before it is filled: else all of it would be in its longest spans, and looked at once more as soon as the shard is open."""
    kafka, due = memory(), NOW + 600_000
    kafka.cluster.publish("in", 0, (b"k", b'{"i":%d}' % due))
    shard = await opened(kafka, spec(Timed))
    shard.apply(part(events(due)))
    await shard.commit()
    shard = await opened(kafka, spec(Timed))

    assert shard.store.begun == NOW
    assert (shard.store.entries, NOW < shard.store.next_due() <= due) == (1, True)


async def test_what_a_whole_shard_shares_is_told_when_it_opens() -> None:
    """As it was left last, once; it is state, and no key to count. What is gone is not told."""
    told: list[tuple[bytes, bytes]] = []

    class Sharing(Counting):
        """Notes what is shared."""

        def share(self, key: bytes, value: bytes) -> None:
            """Notes."""
            told.append((key, value))

    kafka = memory(there=9)
    shard = await opened(kafka, spec(Sharing))
    shard.apply(part(events(1, key=b"\1resets") + events(1, first=1)))
    await shard.commit()
    shard.apply(part(events(2, key=b"\1resets", first=2)))
    await shard.commit()
    last = shard.store.values[b"\1resets"]
    kafka.cluster.publish("state", 0, (b"\1gone", b"x"), (b"\1gone", None))
    await opened(kafka, spec(Sharing))

    assert told == [(b"\1resets", last)]


class Doubling(Counting):
    """By these rules every event counts twice."""

    rules = "count twice"

    def live(self, value: bytes) -> dict[Any, int]:
        """Twice as many."""
        return {place: 2 * amount for place, amount in super().live(value).items()}


async def test_other_rules_book_the_difference_and_serve_it_when_it_has_committed() -> None:
    """Nothing that was served falls: what is more is added."""
    kafka = memory(there=9)
    shard = await opened(kafka)
    shard.apply(part(events(1, 2, 3)))
    await shard.commit()
    shard = await opened(kafka, spec(Doubling))
    assert total(shard) == 3
    await shard.commit()
    assert total(shard) == 6

    shard = await opened(kafka, spec(Doubling))
    assert (total(shard), shard.rules.history) == (6, ("count",))


async def test_other_rules_that_count_less_retract() -> None:
    """The total stays, what is no longer true is retracted."""

    class Half(Counting):
        """By these rules nothing counts."""

        rules = "count nothing"

        def live(self, value: bytes) -> dict[Any, int]:  # noqa: ARG002 - the contract's signature
            """Nothing."""
            return {}

    kafka = memory(there=9)
    shard = await opened(kafka)
    shard.apply(part(events(1, 2, 3)))
    await shard.commit()
    shard = await opened(kafka, spec(Half))
    await shard.commit()

    assert shard.ledger.served.series["events_counted"][""] == (3, 3)


async def test_other_rules_look_at_every_key_again() -> None:
    """Due times may be others now; when all were looked at, that is noted and not done again."""

    class Later(Timed):
        """The same by other rules."""

        rules = "later"

    kafka = memory(there=9)
    shard = await opened(kafka, spec(Timed))
    shard.apply(part(events(NOW + 5, key=b"a") + events(NEVER, key=b"b", first=1)))
    await shard.commit()
    shard = await opened(kafka, spec(Later))
    assert shard.rules.recount
    await shard.commit()
    shard = await opened(kafka, spec(Later))
    assert not shard.sweep()
    await shard.commit()
    assert sorted(record.key or b"" for record in kafka.cluster.records("out")) == [b"a", b"b"]

    shard = await opened(kafka, spec(Later))
    assert (shard.rules.recount, shard.sweep(), shard.pending.outputs) == (False, False, {})
