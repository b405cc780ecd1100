"""Transactions of both versions on real Kafka: what commits, who is fenced, and what a broker says of what it will not take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Final
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ConcurrentTransactions,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)
from aiokafka.producer.sender import AddPartitionsToTxnHandler, BaseHandler

from streams.engine.kafka import Kafka, Writer
from streams.engine.requests import PRODUCER_FENCED, End, Requests
from streams.engine.wire import (
    EMPTY,
    ApiVersionsRequest,
    ApiVersionsResponse,
    ApiVersionsStruct,
    EndTransactionRequest,
    EndTransactionResponse,
    ProduceRequest,
    ProduceResponse,
)

PARTITIONS: Final = 3
MANY: Final = 60
GOOD: Final = bytes.fromhex("0000000000000000000000000007ffffffffffffffff0000000000000000") + b"\x01\x00\x00"
"""Partition 0, no error, offset 7, no timestamp, log from 0; no record, no message, no tags."""


@pytest.fixture(params=[1, 2], ids=["transactions of version 1", "transactions of version 2"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of what the brokers have agreed on, as far as the client knows."""

    async def level(*_: object) -> int:
        return 1

    if request.param == 1:
        monkeypatch.setattr(Requests, "level", level)
    return int(request.param)


@asynccontextmanager
async def writing(kafka: str, name: str) -> AsyncIterator[Writer]:
    """A writer, stopped afterwards."""
    writer = Writer(Kafka(kafka), name)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


async def made(kafka: str, **configs: str) -> str:
    """A new topic."""
    name, admin = f"transactions-{uuid4().hex}", Kafka(kafka).administrator()
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs)])
    finally:
        await admin.close()
    return name


async def commit(writer: Writer, topic: str, *values: bytes) -> None:
    """One transaction with each value in its partition."""
    await writer.commit(writer.batches({(topic, n % PARTITIONS): [(b"k", value, None, ())] for n, value in enumerate(values)}))


async def read(kafka: str, topic: str) -> list[bytes | None]:
    """The values that have committed, partition by partition."""
    consumer, places = Kafka(kafka).consumer(), [TopicPartition(topic, n) for n in range(PARTITIONS)]
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        found: list[bytes | None] = []
        ends = await consumer.end_offsets(places)
        for place in places:
            while await consumer.position(place) < ends[place]:
                found += [record.value for record in (await consumer.getmany(place, timeout_ms=100)).get(place, [])]
        return found
    finally:
        await consumer.stop()


# -- On Kafka ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_commits_is_there_once_and_in_its_order(kafka: str, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions as close together as they go. In version 2 nobody adds partitions, and each has an epoch of its own."""
    topic, asked = await made(kafka), list[type]()
    do: Any = BaseHandler.do

    async def doing(self: Any, node: int) -> Any:
        asked.append(type(self))
        return await do(self, node)

    monkeypatch.setattr(BaseHandler, "do", doing)
    async with writing(kafka, topic) as writer:
        pid, epoch = writer.identity
        for n in range(MANY):
            await commit(writer, topic, *[b"%d-%d" % (partition, n) for partition in range(PARTITIONS)])
        after = writer.identity

    assert await read(kafka, topic) == [b"%d-%d" % (partition, n) for partition in range(PARTITIONS) for n in range(MANY)]
    assert after == ((pid, epoch + MANY) if version == 2 else (pid, epoch))
    assert (AddPartitionsToTxnHandler in asked) == (version == 1)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_who_starts_the_same_writer_fences_the_one_before(kafka: str, version: int) -> None:
    """The next epoch of the same producer, and nothing of the former is seen any more; in one transaction as in none."""
    del version
    topic = await made(kafka)
    async with writing(kafka, topic) as first:
        await commit(first, topic, b"first")
        pid, epoch = first.identity
        async with writing(kafka, topic) as second:
            assert second.identity == (pid, epoch + 1)
            with pytest.raises(KafkaError) as fenced:
                await commit(first, topic, b"too late")
            await commit(second, topic, b"second")

    assert isinstance(fenced.value, ProducerFenced)
    assert await read(kafka, topic) == [b"first", b"second"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_batch_that_is_too_large_is_said_to_be(kafka: str, version: int) -> None:
    """By its future; the others of the transaction are not seen."""
    del version
    topic = await made(kafka, **{"max.message.bytes": "1000"})
    async with writing(kafka, topic) as writer:
        with pytest.raises(MessageSizeTooLargeError):
            await commit(writer, topic, b"small", b"x" * 2000)
    assert await read(kafka, topic) == []


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["Produce", "End"])
async def test_an_answer_that_is_lost_is_asked_for_again(kafka: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What was done is not done twice: batches have numbers, and an end has its epoch."""
    topic, lost = await made(kafka), list[object]()
    async with writing(kafka, topic) as writer:
        send: Any = writer.producer.client.send
        request: type[object] = {"Produce": ProduceRequest, "End": EndTransactionRequest}[kind]

        async def sending(node: int, asked: Any, **how: Any) -> Any:
            answer = await send(node, asked, **how)
            if isinstance(asked, request) and not lost:
                lost.append(answer)
                raise RequestTimedOutError
            return answer

        monkeypatch.setattr(writer.producer.client, "send", sending)
        pid, epoch = writer.identity
        await commit(writer, topic, b"once")
        await commit(writer, topic, b"again")

        assert writer.identity == (pid, epoch + 2)
    assert len(lost) == 1
    assert await read(kafka, topic) == [b"once", b"again"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_transaction_that_may_not_begin_yet_begins_later(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The markers of the one before are being written."""
    topic, told = await made(kafka), list[ProduceRequest]()
    async with writing(kafka, topic) as writer:
        send: Any = writer.producer.client.send

        async def sending(node: int, asked: Any, **how: Any) -> Any:
            if isinstance(asked, ProduceRequest) and len(told) < 2:
                told.append(asked)
                return ProduceResponse([(topic, [(0, ConcurrentTransactions.errno, -1, -1, -1, None, None)])])
            return await send(node, asked, **how)

        monkeypatch.setattr(writer.producer.client, "send", sending)
        await commit(writer, topic, b"later")

    assert len(told) == 2
    assert await read(kafka, topic) == [b"later"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_brokers_say_what_they_have_agreed_on(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their finalized features; asked again where a coordinator is gone; those that are older than the question are not asked."""
    async with writing(kafka, f"transactions-{uuid4().hex}") as writer:
        sender: Any = writer.producer._sender  # noqa: SLF001 - held by tests/test_private_names.py
        send, lost = sender.client.send, list[object]()

        async def sending(node: int, asked: Any, **how: Any) -> Any:
            if isinstance(asked, ApiVersionsRequest) and len(lost) < 2:
                lost.append(asked)
                raise (KafkaConnectionError, TopicAuthorizationFailedError)[len(lost) - 1]
            return await send(node, asked, **how)

        assert await sender.level() == 2
        monkeypatch.setattr(sender.client, "send", sending)
        with pytest.raises(TopicAuthorizationFailedError):
            await sender.level()
        assert await sender.level() == 2
        monkeypatch.setattr(ApiVersionsStruct, "API_VERSION", 99)  # which no broker has
        assert await sender.level() == 0


# -- Bytes -------------------------------------------------------------------------------------------------------------


def test_an_answer_says_what_became_of_each_batch() -> None:
    """By hand, as a broker writes it: one good, one with a wrong record, a message and a tag."""
    wrong = bytes.fromhex("00000001000affffffffffffffffffffffffffffffffffffffffffffffff")
    records = b"\x02" + b"\x00\x00\x00\x05" + b"\x04too" + b"\x00"
    response = b"\x02" + b"\x03in" + b"\x03" + GOOD + wrong + records + b"\x06large" + b"\x01\x00\x02ab" + b"\x00" + bytes(4) + b"\x00"

    (topic,) = ProduceResponse.decode(BytesIO(response)).get_item("topics")

    assert topic == ("in", [(0, 0, 7, -1, 0, None, None), (1, 10, -1, -1, -1, None, "large")])


def test_batches_are_written_by_topic_and_partition() -> None:
    """With nothing behind each but that there is nothing."""
    request = ProduceRequest("me", -1, 1000, [("in", [(0, b"abc"), (1, b"x" * 200)]), ("out", [])]).prepare({0: (3, 13)})

    short, long = bytes(4) + b"\x04abc" + b"\x00", b"\x00\x00\x00\x01" + b"\xc9\x01" + b"x" * 200 + b"\x00"
    topics = b"\x03in" + b"\x03" + short + long + b"\x00" + b"\x04out" + b"\x01" + b"\x00"

    assert request.encode() == b"\x03me" + b"\xff\xff" + b"\x00\x00\x03\xe8" + b"\x03" + topics + b"\x00"


def test_brokers_without_features_have_agreed_on_nothing() -> None:
    """Their answer has no such tag."""
    bare = b"\x00\x00" + bytes([EMPTY]) + bytes(4) + b"\x00"

    assert ApiVersionsResponse.decode(bare).levels() == {}


def test_who_is_fenced_at_the_end_is_told_so() -> None:
    """By a number that older versions of the request did not send."""
    end: Any = End.__new__(End)

    with pytest.raises(ProducerFenced):
        end.handle_response(EndTransactionResponse(0, PRODUCER_FENCED, -1, -1))
