"""A broker that takes no commits, or slow ones: the worker stops fetching, its memory stays bounded, and it goes on, exact."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from streams.engine import shard as shard_module
from streams.engine.folding import size_of
from streams.engine.kafka import Writer
from streams.engine.shard import ENOUGH_BYTES
from streams.publishing import Parcel, sending
from tests.counting import Output
from tests.live import Live, Place, place, running, until
from tests.shards import events, opened, part

MIB: Final = 1 << 20
LONG: Final = 4_000
NUMBER: Final = 60_000
PARTITIONS: Final = 2
ON_THE_WAY: Final = 24 * MIB
"""What may be applied after a shard has asked for a pause: the fetches that wait in Faust's queue, and those under way."""
STATM: Final = Path("/proc/self/statm")
PAGE: Final = 4096


def resident() -> int:
    """Bytes of memory that this process has; 0 where that cannot be known."""
    return int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else 0


async def published(at: Place) -> None:
    """Long events, all at once."""
    topic = at.settings.topic("in")
    async with sending(at.settings.broker, [topic]) as sender:
        for n in range(NUMBER):
            await sender.put(Parcel(topic, b"k%d" % (n % 500), b'{"i":%d,"of":"%s"}' % (n, b"x" * LONG)))
        await sender.flush()


def slowly(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Awaitable[Any]]) -> None:
    """Every commit waits for something before it is sent."""
    real = Writer.commit

    async def commit(self: Writer, batches: Any) -> None:
        await first()
        await real(self, batches)

    monkeypatch.setattr(Writer, "commit", commit)


def held(live: Live) -> int:
    """Bytes applied and not committed."""
    return sum(shard.pending.bytes for shard in live.engine.shards.values())


def read_up_to(live: Live) -> dict[Any, int]:
    """Where aiokafka's consumer stands."""
    assignment = live.client._subscription.subscription.assignment  # noqa: SLF001 - held by tests/test_private_names.py
    return {tp: assignment.state_value(tp)._position for tp in assignment.tps}  # noqa: SLF001 - likewise


async def at_rest(live: Live) -> tuple[dict[Any, int], int]:
    """Where the consumer stands and what is held when what was on its way has come."""
    now = read_up_to(live), held(live)
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(2)
            before, now = now, (read_up_to(live), held(live))
            if before == now:
                return now


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_broker_that_takes_no_commit_stops_the_fetching_and_memory_stays_bounded(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """230 MB are there; of them a worker that may not commit takes what it has room for, and the rest when it may."""
    at = await place(kafka, PARTITIONS)
    await published(at)
    gate = asyncio.Event()
    slowly(monkeypatch, gate.wait)
    async with running(at) as live:
        before = resident()
        shards = [live.shard(n) for n in range(PARTITIONS)]
        await until(lambda: all(shard.paused for shard in shards))
        there, most = await at_rest(live)
        await asyncio.sleep(3)

        assert read_up_to(live) == there
        assert held(live) == most <= PARTITIONS * ENOUGH_BYTES + ON_THE_WAY
        assert sum(there.values()) < NUMBER * 0.6
        assert resident() - before < 3 * (PARTITIONS * ENOUGH_BYTES + ON_THE_WAY) < NUMBER * LONG
        assert live.total() == 0
        gate.set()
        await live.counted(NUMBER)
        assert not any(shard.paused for shard in shards)
    await at.check(Counter(range(NUMBER)))


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_broker_that_commits_slowly_sets_the_pace(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second a commit: never more in memory than there is room for, and everything counted once."""
    at = await place(kafka, PARTITIONS)
    await published(at)
    slowly(monkeypatch, lambda: asyncio.sleep(0.5))
    most = 0
    async with running(at) as live:

        def done() -> bool:
            nonlocal most
            most = max(most, held(live))
            return live.total() >= NUMBER

        await until(done)
        assert live.total() == NUMBER
    assert ENOUGH_BYTES < most <= PARTITIONS * ENOUGH_BYTES + ON_THE_WAY
    await at.check(Counter(range(NUMBER)))


@pytest.mark.asyncio
@pytest.mark.parametrize(("beyond", "room"), [(0, True), (1, False)])
async def test_bytes_fill_a_shard_as_records_do(monkeypatch: pytest.MonkeyPatch, beyond: int, room: bool) -> None:  # noqa: FBT001 - parametrized
    """Few records may be long: exactly enough bytes of records and outputs go, one more does not; a transaction makes room."""
    shard = await opened()
    shard.apply(part(events(1)))
    sent = [Output("out", b"k", b"xyz"), Output("out", b"k", None)]
    known = shard.pending.bytes
    shard.send(sent, 0)
    assert shard.pending.bytes == known + 3
    monkeypatch.setattr(shard_module, "ENOUGH_BYTES", shard.pending.bytes - beyond)

    assert shard.has_room == room
    await shard.commit()
    assert shard.has_room


@pytest.mark.asyncio
async def test_a_state_that_changes_takes_room_once() -> None:
    """A transaction has one record of it, however often it has changed: few events may change many bytes."""
    shard = await opened()

    def besides() -> int:
        records = [record for records in shard.pending.arrivals for record in records]
        outputs = [row for rows in shard.pending.outputs.values() for row in rows]
        return shard.pending.bytes - size_of(records) - sum(len(value or b"") for _, value, *_ in outputs)

    shard.apply(part(events(1)))
    first = len(shard.store.values[b"k"])
    assert besides() == first > 0
    shard.apply(part(events(2, first=1)))
    assert besides() == first
    shard.apply(part(events(3, first=2, key=b"other")))
    assert besides() == first + len(shard.store.values[b"other"])
    await shard.commit()
    assert shard.pending.bytes == 0
