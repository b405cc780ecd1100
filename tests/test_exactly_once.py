"""On a real Kafka: whatever is refused, lost, cut short or taken over, every event is counted once.

The stage is not idempotent on purpose: a loss and a repetition show.
"""

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from aiokafka.protocol.admin import DeleteGroupsRequest

from streams.engine import engine as engine_module
from streams.engine import kafka as kafka_module
from streams.engine import opening
from streams.engine.engine import Engine
from streams.engine.kafka import Kafka
from streams.engine.stage import Change
from tests.counting import Counting
from tests.live import SESSION, Place, place, running, until

# The client may open a connection of its group while it closes, and leave it to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Where a worker would have ended, and with which status. What the client leaves behind is collected here, and nowhere else."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    yield ended
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer):
            timer.cancel()
    gc.collect()


# -- What Kafka does not take ------------------------------------------------------------------------------------------


async def test_a_batch_that_is_refused_is_not_lost(kafka: str, exits: list[int]) -> None:
    """The client commits although the changelog did not take its batch: the worker asks for each, and leaves; then all is counted."""
    at = await place(kafka, max_message_bytes="2000")
    await at.publish(0)
    async with running(at) as worker:
        await worker.counted(1)
        await at.publish(*range(1, 400), keys=400)
        await until(lambda: exits == [70])
    await at.check(Counter({0: 1}))
    async with at.admin() as admin:
        larger = ConfigResource(ConfigResourceType.TOPIC, at.settings.topic("state"), configs={"max.message.bytes": "1000000"})
        await admin.alter_configs([larger])
    async with running(at) as worker:
        await worker.counted(400)

    await at.check(Counter(range(400)))


async def test_a_changelog_without_a_leader_loses_nothing(kafka: str, exits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a request may take: the batch expires, which the client's commit does not say either."""
    monkeypatch.setattr(kafka_module, "REQUEST_SECONDS", 2)
    at = await place(kafka)
    await at.publish(*range(10))
    async with running(at) as worker:
        await worker.counted(10)
        cluster: Any = worker.shard().writer.producer.client.cluster
        leader = cluster.leader_for_partition
        cluster.leader_for_partition = lambda tp: -1 if tp.topic == at.settings.topic("state") else leader(tp)
        await at.publish(*range(10, 20))
        await until(lambda: exits == [70])
        cluster.leader_for_partition = leader
    await at.check(Counter(range(10)))
    async with running(at) as worker:
        await worker.counted(20)

    await at.check(Counter(range(20)))


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_publishers_may_compress(kafka: str, compression: str) -> None:
    """With all that Kafka knows: who publishes decides that, and sees no error if a worker cannot read it."""
    at = await place(kafka)
    await at.publish(*range(50), compression=compression)
    async with running(at) as worker:
        await worker.counted(50)

    await at.check(Counter(range(50)))


# -- What others do to the topics --------------------------------------------------------------------------------------


async def test_the_groups_offsets_decide_nothing(kafka: str) -> None:
    """They are mirrored for lag tools: where they are deleted, or moved back, everything goes on where the changelog says."""
    at = await place(kafka)
    await at.publish(*range(50))
    async with running(at) as worker:
        await worker.counted(50)
        await worker.delivery.mirror({(at.settings.topic("in"), 0): 50})
    async with at.admin() as admin:
        offsets = await admin.list_consumer_group_offsets(at.settings.prefix)
        assert [(tp.partition, found.offset) for tp, found in offsets.items()] == [(0, 50)]
        await admin._send_request(DeleteGroupsRequest([at.settings.prefix]))  # noqa: SLF001 - there is no other way
    async with running(at) as worker:
        await at.publish(*range(50, 60))
        await worker.counted(60)
        await worker.delivery.mirror({(at.settings.topic("in"), 0): 7})
    async with running(at) as worker:
        await at.publish(*range(60, 70))
        await worker.counted(70)

    await at.check(Counter(range(70)))


async def truncate(at: Place, first: int) -> None:
    """Retention takes what lies before in partition 0."""
    async with at.admin() as admin:
        await admin.delete_records({TopicPartition(at.settings.topic("in"), 0): RecordsToDelete(first)})


async def test_what_retention_took_before_it_was_counted_is_refused(kafka: str) -> None:
    """When the shard opens: it stays closed and says why; its neighbour goes on, and so does the process."""
    at = await place(kafka)
    await at.publish(*range(10))
    async with running(at) as worker:
        await worker.counted(10)
    await at.publish(*range(10, 30))
    await at.publish(*range(30, 35), partition=1)
    await truncate(at, 20)
    async with running(at, ready=False) as worker:
        (refused,) = await worker.refused()
        await until(lambda: worker.total() == 5)
        await asyncio.sleep(0)

    name = at.settings.topic("in")
    assert refused.name == "count-0"
    assert refused.why.startswith(f"count-0: position 10 lies outside of what {name} still has (20 to 30); retention has taken records ")
    await at.check(Counter([*range(10), *range(30, 35)]))


async def test_what_retention_took_on_its_way_is_refused(kafka: str, monkeypatch: pytest.MonkeyPatch, exits: list[int]) -> None:
    """A message is lost on the way, and gone when it is to be read again: never passed over."""
    at = await place(kafka)
    real = Engine.apply_all
    losing = False

    async def apply_all(self: Engine, bundle: Any) -> None:
        if not losing:
            await real(self, bundle)

    monkeypatch.setattr(Engine, "apply_all", apply_all)
    async with running(at) as worker:
        await at.publish(*range(10))
        await worker.counted(10)
        losing = True
        await at.publish(*range(10, 20))
        await until(lambda: worker.engine.delivery.end_of(at.settings.topic("in"), 0) == 20)
        await truncate(at, 15)
        losing = False
        await at.publish(20)
        await until(lambda: bool(worker.engine.refused))
        (refused,) = await worker.refused()
        assert (worker.engine.ready(), exits) == (False, [])

    assert refused.why.startswith(f"count-0: position 10 lies outside of what {at.settings.topic('in')} still has (15 to 21); ")
    await at.check(Counter(range(10)))


async def test_a_topic_made_anew_is_refused(kafka: str) -> None:
    """Same name, same partitions, more records than were counted: its id is another one."""
    at = await place(kafka)
    await at.publish(*range(5))
    async with running(at) as worker:
        await worker.counted(5)
    name = at.settings.topic("in")
    async with at.admin() as admin:
        await admin.delete_topics([name])
        while name in await admin.list_topics():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        await admin.create_topics([NewTopic(name, 2, 1)])
    await at.publish(*range(100, 120))
    async with running(at, ready=False) as worker:
        refused = await worker.refused()

    assert [p.why.partition(" since")[0] for p in refused] == [f"count-{n}: {name} was deleted and made anew" for n in (0, 1)]
    await at.check(Counter(range(5)))


async def test_more_partitions_than_were_counted_are_refused(kafka: str) -> None:
    """Keys hash to other partitions now."""
    at = await place(kafka)
    await at.publish(*range(5))
    async with running(at) as worker:
        await worker.counted(5)
    name = at.settings.topic("in")
    async with at.admin() as admin:
        await admin.create_partitions({name: NewPartitions(4)})
    async with running(at, ready=False) as worker:
        refused = await worker.refused()

    assert {p.why.partition(";")[0] for p in refused} == {
        f"count-{n}: {name} has 4 partitions, and had 2 when it was counted" for n in (0, 1)
    }  # fmt: skip


# -- Takeover ----------------------------------------------------------------------------------------------------------


async def test_a_takeover_may_take_longer_than_the_session(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards open in the background: heartbeats go on, the group stays as it is, and the lease as well."""
    at = await place(kafka)
    await at.publish(*range(10))
    real = opening.open_shard

    async def slow(shard: Any) -> None:
        await asyncio.sleep(SESSION + 2)
        await real(shard)

    monkeypatch.setattr(engine_module, "open_shard", slow)
    async with running(at, ready=False) as worker:
        await until(lambda: bool(worker.engine.mine))
        generation = worker.client._coordinator.generation  # noqa: SLF001 - aiokafka's name
        assert [p.state for p in worker.engine.progress()] == ["opening", "opening"]
        await worker.counted(10)
        assert worker.client._coordinator.generation == generation  # noqa: SLF001 - aiokafka's name
        assert worker.engine.holds()

    await at.check(Counter(range(10)))


async def test_workers_share_shards_and_take_over_from_one_another(kafka: str) -> None:
    """Three join one after the other and leave again while events come. A shard that is kept is not read again: the same producer."""
    at = await place(kafka, partitions=3)

    async def load() -> None:
        for turn in range(60):
            for n in range(3):
                await at.publish(*range(turn * 30 + n * 10, turn * 30 + n * 10 + 10), partition=n)

    async with running(at) as first:
        loading = asyncio.create_task(load())
        shards = {slot: (shard, shard.writer.identity[0]) for slot, shard in first.engine.shards.items()}
        async with running(at) as second:
            await until(lambda: first.engine.ready() and len(first.engine.shards) + len(second.engine.shards) == 3)
            kept = {slot: (shard, shard.writer.identity[0]) for slot, shard in first.engine.shards.items()}
            assert kept == {slot: shards[slot] for slot in kept}
            async with running(at) as third:
                await until(lambda: [len(w.engine.shards) for w in (first, second, third)] == [1, 1, 1])
        await until(lambda: len(first.engine.shards) == 3)
        await loading
        await first.counted(1_800)

    await at.check(Counter(range(1_800)))


async def test_a_log_ends_behind_what_cannot_be_read_yet(kafka: str) -> None:
    """A stage catches up with all that the one before made of what was there, also where its last transaction is not to be seen yet."""
    at = await place(kafka)
    name, where = at.settings.topic("in"), Kafka(kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{at.settings.prefix}-open")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"not to be seen", partition=0)
        consumer = where.consumer()
        await consumer.start()
        readable = await consumer.end_offsets([TopicPartition(name, 0)])
        await consumer.stop()

        assert (list(readable.values()), await where.written(name, 0)) == ([0], 1)
        await producer.commit_transaction()
    finally:
        await producer.stop()


async def test_other_rules_count_anew_and_older_ones_are_refused(kafka: str) -> None:
    """Differences are booked, so that nothing falls; a worker with the former rules is behind, and says so."""

    class Doubling(Counting):
        """By these rules every event counts twice."""

        rules = "count twice"

        def live(self, value: bytes) -> dict[Any, int]:
            """Twice as many."""
            return {place: 2 * amount for place, amount in super().live(value).items()}

    at = await place(kafka)
    await at.publish(*range(10))
    async with running(at) as worker:
        await worker.counted(10)
    async with running(at, Doubling) as worker:
        await worker.counted(20)
    async with running(at, ready=False) as worker:
        refused = await worker.refused()
        assert worker.served() == {}
    async with running(at, Doubling) as worker:
        assert worker.total() == 20

    assert [p.why.partition(";")[0] for p in refused] == [
        f"count-{n}: is counted by targets (count twice) that came after those given here (count)" for n in (0, 1)
    ]


# -- What goes wrong in the middle -------------------------------------------------------------------------------------


class Poisoned(Counting):
    """Every hundredth event is one that no step can take."""

    def step(self, key: bytes, old: bytes | None, records: Sequence[Any], now: int) -> Change:
        """Counts, and fails."""
        if any(value.endswith(b"00}") for value in records):
            raise ValueError("poison")
        return super().step(key, old, records, now)


async def test_a_step_that_fails_in_the_middle_of_a_slice_counts_nothing_twice(kafka: str) -> None:
    """What it cannot take becomes a dead letter, in the same transaction; all else is counted once."""
    at = await place(kafka)
    await at.publish(*range(1, 1_001), keys=7)
    async with running(at, Poisoned) as worker:
        await worker.counted(990)
    await at.check(Counter(n for n in range(1, 1_001) if n % 100))
    dead = await at.records("dead")

    assert {record.value for record in dead} == {b'{"i":%d}' % n for n in range(100, 1_001, 100)}
    assert len(dead) == 10


async def test_a_fetch_that_is_cut_short_loses_nothing(kafka: str) -> None:
    """Aiokafka has moved its positions when it raises: what it handed to nobody is read again."""
    at = await place(kafka)
    async with running(at) as worker:
        fetcher: Any = worker.client._fetcher  # noqa: SLF001 - aiokafka's name
        real = fetcher.fetched_records
        cuts: list[int] = []

        async def cut(*arguments: Any, **named: Any) -> Any:
            found = await real(*arguments, **named)
            if found and len(cuts) < 3:
                cuts.append(sum(map(len, found.values())))
                raise KeyError("a partition that was left")
            return found

        fetcher.fetched_records = cut
        await at.publish(*range(500))
        await at.publish(*range(500, 600), partition=1)
        await worker.counted(600)

    assert len(cuts) == 3
    await at.check(Counter(range(600)))
