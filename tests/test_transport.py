"""Delivery by Faust, on a cluster in memory: what is fetched reaches its shard once, whatever becomes of a fetch or of the group."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, CorruptRecordException, NotLeaderForPartitionError, OffsetOutOfRangeError

from streams.engine import transport as transport_module
from streams.engine.engine import Engine
from streams.engine.fetched import BUSY_BYTES, BUSY_WAIT_MS, FETCH_WAIT_MS
from tests.cluster import Cluster, MemoryKafka, in_memory
from tests.counting import Counting
from tests.memory import until, working
from tests.shards import counted, sent, spec

pytestmark = pytest.mark.asyncio


def memory(partitions: int = 2) -> MemoryKafka:
    """A cluster with the topics of one stage."""
    return in_memory(**{"in": partitions, "state": partitions, "out": 1, "dead": 1})


def stage(partitions: int = 2) -> Any:
    """A stage of so many partitions."""
    return spec(Counting, partitions=partitions)


def publish(cluster: Cluster, *numbers: int, partition: int = 0, key: bytes = b"k") -> None:
    """Events of one key."""
    cluster.publish("in", partition, *[(key, b'{"i":%d}' % n) for n in numbers])


async def test_what_is_there_and_what_comes_is_counted_once() -> None:
    """From the first offset on, over markers, in several partitions."""
    kafka = memory()
    publish(kafka.cluster, *range(1_200))
    kafka.cluster.marker("in", 0)
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        await worker.applied()
        kafka.cluster.marker("in", 1)
        publish(kafka.cluster, *range(1_200, 1_300), partition=1, key=b"l")
        kafka.cluster.marker("in", 1)
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(1_300))


async def test_a_worker_that_is_stopped_has_committed_everything() -> None:
    """In order: what is folded commits, then the group is left; the next one goes on there."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        publish(kafka.cluster, *range(500))
        await until(lambda: bool(worker.engine.shards["count", 0].positions["in"]))
    committed = sent(kafka.cluster)
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        await worker.applied()
        assert counted(worker.engine.shards["count", 0]) == {b"k": 500}

    assert len(committed) > 0
    assert sent(kafka.cluster) == Counter(range(500))


async def test_slices_under_way_when_partitions_are_revoked_are_counted_once() -> None:
    """Some have been applied, some wait in Faust's queues, some are being fetched; the shard is kept, and not read again."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        shard = worker.engine.shards["count", 0]
        for turn in range(5):
            publish(kafka.cluster, *range(turn * 5_000, (turn + 1) * 5_000))
            at = shard.positions["in"]
            await until(lambda at=at: shard.positions["in"] > at)  # type: ignore[misc] # bound at once
            await worker.rebalance(0, 1)
        await worker.applied()
        assert worker.engine.shards["count", 0] is shard

    assert sent(kafka.cluster) == Counter(range(25_000))


async def test_a_shard_that_is_lost_is_gone_on_with_by_another_worker() -> None:
    """What the first has folded commits before its partitions go; the second reads it and goes on."""
    kafka = memory()
    async with working(kafka, stage()) as first:
        await first.opened(0, 1)
        publish(kafka.cluster, *range(3_000))
        publish(kafka.cluster, *range(3_000, 3_010), partition=1, key=b"l")
        await until(lambda: first.engine.shards["count", 0].positions["in"] > 0)
        await first.rebalance(1)
        async with working(kafka, stage()) as second:
            await second.opened(0)
            await second.applied()
            await first.applied()
            assert set(first.engine.shards) == {("count", 1)}
            assert counted(second.engine.shards["count", 0]) == {b"k": 3_000}

    assert sent(kafka.cluster) == Counter(range(3_010))


async def test_a_worker_to_spare_takes_over_when_it_is_needed() -> None:
    """Without partitions it is ready and fetches nothing."""
    kafka = memory()
    publish(kafka.cluster, *range(10))
    async with working(kafka, stage()) as worker:
        await worker.opened()
        await asyncio.sleep(0.1)
        assert worker.member._fetcher.fetches == 0  # noqa: SLF001 - aiokafka's name
        await worker.opened(0, 1)
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(10))


def cut(error: BaseException) -> Callable[[Any], None]:
    """A fetch that has moved its positions and then raises."""

    def fault(_: Any) -> None:
        raise error

    return fault


@pytest.mark.parametrize("error", [KeyError("a partition"), NotLeaderForPartitionError()])
async def test_a_fetch_that_fails_in_the_middle_loses_nothing(error: BaseException) -> None:
    """Aiokafka raises KeyError where a partition was left while its records were handed out: positions are in doubt, all are sought."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        for turn in range(3):
            worker.fault(cut(error))
            publish(kafka.cluster, *range(turn * 100, (turn + 1) * 100))
            await worker.applied()

    assert sent(kafka.cluster) == Counter(range(300))


async def test_what_cannot_be_read_again_and_again_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is broken, say: who tried it without a pause would fill the log, and keep a core busy. What has gone by is forgotten."""
    monkeypatch.setattr(transport_module, "RETRY_SECONDS", 0)
    caplog.set_level("INFO", transport_module.__name__)
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        for turn in range(2):
            for _ in range(3):
                worker.fault(cut(CorruptRecordException("a batch")))
            publish(kafka.cluster, *range(turn * 100, (turn + 1) * 100))
            await worker.applied()

    told = [(record.levelname, record.getMessage()) for record in caplog.records if "batch" in record.getMessage()]
    assert [level for level, _ in told] == ["INFO", "ERROR", "ERROR"] * 2
    assert told[1][1] == "Kafka cannot be read: CorruptRecordException('a batch'); tried again every 0 s"
    assert sent(kafka.cluster) == Counter(range(200))


async def test_who_cannot_read_waits_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """However long it is until the next try."""
    monkeypatch.setattr(transport_module, "RETRY_SECONDS", 3_600)
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        for _ in range(3):
            worker.fault(cut(CorruptRecordException("a batch")))
        publish(kafka.cluster, *range(100))
        await until(lambda: "Kafka cannot be read" in caplog.text)

    assert len(worker.member._fetcher.faults) == 1  # noqa: SLF001 - aiokafka's name
    assert sent(kafka.cluster) == Counter()


async def test_records_that_are_lost_on_the_way_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that never reaches the engine: the next slice begins too late, which is seen."""
    kafka = memory()
    lost: list[int] = []
    real = Engine.apply_all

    async def losing(self: Engine, bundle: Any) -> None:
        if not lost:
            lost.append(sum(len(part.records) for part in bundle))
            return
        await real(self, bundle)

    monkeypatch.setattr(Engine, "apply_all", losing)
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        publish(kafka.cluster, *range(100))
        await until(lambda: bool(lost))
        publish(kafka.cluster, *range(100, 200))
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(200))
    assert lost[0] > 0


async def test_what_was_fetched_in_a_former_generation_is_not_delivered() -> None:
    """The group has moved on while a fetch was handed out: it is dropped, and read again where the shards stand."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)

        def moves_on(_: Any) -> None:
            worker.app.consumer_generation_id += 1

        worker.fault(moves_on)
        publish(kafka.cluster, *range(100))
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(100))


async def test_a_log_that_was_cut_is_refused_in_the_middle() -> None:
    """The broker has no record at the position: it says so, the shard is closed, the other one goes on."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        await worker.opened(0, 1)
        publish(kafka.cluster, 1)
        await worker.applied()
        worker.fault(cut(OffsetOutOfRangeError({TopicPartition("in", 0): 1})))
        kafka.cluster.truncate("in", 0, 2)
        publish(kafka.cluster, 2)
        await until(lambda: ("count", 0) in worker.engine.refused)
        publish(kafka.cluster, 3, partition=1, key=b"l")
        await until(lambda: worker.engine.shards["count", 1].committed == {"in": 1})

    assert worker.engine.refused["count", 0].startswith("count-0: position 1 lies outside of what in still has (2 to 2); ")
    assert sent(kafka.cluster) == {1: 1, 3: 1}


async def test_a_shard_that_is_full_is_paused_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own partitions only; nothing is lost, nothing waits for ever."""
    monkeypatch.setattr("streams.engine.shard.ENOUGH", 600)
    kafka = memory()
    publish(kafka.cluster, *range(6_000))
    async with working(kafka, stage()) as worker:
        paused: list[Any] = []
        real = worker.consumer.pause

        def pause(tps: Any) -> None:
            paused.append(tps)
            real(tps)

        monkeypatch.setattr(worker.consumer, "pause", pause)
        await worker.opened(0, 1)
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(6_000))
    assert [("in", 0)] in paused


async def test_positions_are_mirrored_in_the_groups_offsets() -> None:
    """For lag tools; what cannot be mirrored is nobody's concern."""
    kafka = memory()
    publish(kafka.cluster, 1, 2)
    async with working(kafka, stage()) as worker:
        await worker.opened(0)
        await worker.applied()
        worker.member.failing.append(CommitFailedError())
        await worker.consumer.mirror({("in", 0): 2})
        assert worker.member.committed == {}
        await worker.consumer.mirror({("in", 0): 2, ("in", 1): 7})
        await worker.consumer.mirror({("in", 1): 7})
        assert worker.member.committed == {("in", 0): 2}
        await worker.consumer.leave_group()
        assert worker.member._coordinator.left == 1  # noqa: SLF001 - aiokafka's name
        assert (worker.consumer.end_of("in", 0), await worker.consumer.last_offset("in", 0)) == (2, 2)


async def test_a_rebalance_in_the_middle_of_opening_begins_anew() -> None:
    """Several in a row: the last one counts."""
    kafka = memory()
    publish(kafka.cluster, *range(50))
    publish(kafka.cluster, *range(50, 60), partition=1, key=b"l")
    async with working(kafka, stage()) as worker:
        for partitions in ((0, 1), (0,), (), (1,), (0, 1)):
            await worker.rebalance(*partitions)
        await worker.applied()

    assert sent(kafka.cluster) == Counter(range(60))


async def test_a_worker_that_stops_in_a_rebalance_opens_nothing_and_closes_connections_where_they_are_read() -> None:
    """In the consumer's own thread: closed by the main one, as Faust would, they ended the process with a segmentation fault."""
    async with working(memory(), stage()) as worker:
        await worker.opened(0)
        worker.member.last = [TopicPartition("in", n) for n in (0, 1)]

    await asyncio.sleep(0)
    assert worker.member._client.closed == worker.member._coordinator.closed == [worker.member.loop]  # noqa: SLF001 - aiokafka's names
    assert [task for task in worker.engine.tasks.values() if not task.done()] == []


async def test_topics_that_kafka_did_not_know_of_are_asked_for_again_soon() -> None:
    """A group whose leader saw none has nothing until then: a worker that joined a Kafka that was starting held up all for minutes."""
    async with working(memory(), stage()) as worker:
        assert worker.app.conf.consumer_metadata_max_age_ms <= 10_000


async def test_a_join_that_is_answered_is_a_lease() -> None:
    """What the coordinator confirms reaches the lease: a new member has lost what it had, and holds what it is given."""
    async with working(memory(), stage()) as worker:
        assert not worker.engine.holds()
        await worker.opened(0, 1)

        assert worker.engine.holds()
        assert worker.engine.lease.losses == 1
        await worker.opened(0)
        assert worker.engine.lease.losses == 1


async def test_while_records_come_the_broker_waits_for_more_of_them() -> None:
    """A little; after a fetch that brought nothing it answers at the first one."""
    kafka = memory()
    async with working(kafka, stage()) as worker:
        answers = worker.answers
        await worker.opened(0, 1)
        publish(kafka.cluster, 1)
        await worker.applied()
        await until(lambda: not answers[-1][-1])
        publish(kafka.cluster, 2)
        await worker.applied()

    assert {found for _, _, found in answers} == {True, False}
    for (_, _, found), (wait, size, _) in pairwise(answers):
        assert (wait, size) == ((BUSY_WAIT_MS, BUSY_BYTES) if found else (FETCH_WAIT_MS, 1))
