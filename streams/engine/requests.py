"""Transactions of two requests, or three of old, instead of a routine that is woken for each of their steps.

aiokafka's sender hands a transaction on from task to task: some twenty turns of the event loop, between which slices are folded. Here
whoever commits makes the requests himself, by aiokafka's own handlers, which know what may be sent again. Where the brokers have agreed
on transactions of version 2 (KIP-890, Kafka 4), nobody has to say first which partitions a transaction writes to.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import ConcurrentTransactions, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder, MessageBatch
from aiokafka.producer.sender import AddPartitionsToTxnHandler, EndTxnHandler, Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import PidAndEpoch

from streams.engine.wire import FEATURE, VERSION_2, ApiVersionsRequest, EndTransactionRequest, EndTransactionResponse, ProduceRequest

Batches = Collection[tuple[str, int, BatchBuilder]]
"""Built batches, each after the topic and the partition that it is for."""

LEADERLESS_SECONDS: Final = 0.1
PRODUCER_FENCED: Final = 90
"""Older versions of the requests call it an epoch that is not valid; aiokafka does not know the number."""


class Requests(Sender):
    """The sender of a transactional producer that sends nothing by itself: after `begin_transaction`, `send` and `commit`."""

    version_2 = False

    async def start(self) -> None:
        """Gets the producer's id, which fences whoever had it, and asks which transactions the brokers have agreed on."""
        await self._maybe_wait_for_pid()  # type: ignore[no-untyped-call]
        self.version_2 = await self.level() >= VERSION_2

    async def level(self) -> int:
        """Which transactions the brokers have agreed on; 0 from those who cannot say."""
        while True:
            try:
                response = await self.client.send(await self.coordinator(), ApiVersionsRequest(), group=ConnectionGroup.COORDINATION)
            except NotImplementedError:  # aiokafka's word for a version that the broker does not have
                return 0
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._coordinator_dead(CoordinationType.TRANSACTION)  # type: ignore[no-untyped-call]
                await asyncio.sleep(self._retry_backoff)
            else:
                found: int = response.levels().get(FEATURE, 0)
                return found

    async def send(self, batches: Batches) -> list[Any]:
        """Sends batches; returns a future for each, which is done: the broker has taken it, or its exception says why not.

        Raises where the transaction itself cannot go on: fenced, not authorized, no such topic.
        """
        for topic in {topic for topic, _, _ in batches}:
            await self.client._wait_on_metadata(topic)
        sent = []
        for topic, partition, batch in batches:
            sent.append(self._message_accumulator._append_batch(batch, TopicPartition(topic, partition)).future)
        while partitions := self._txn_manager.partitions_to_add():
            await self.add(set(partitions))
        if not self._txn_manager.is_in_transaction():
            self._txn_manager.wait_for_transaction_end().result()  # why: what was sent now would be in no transaction
        while not all(future.done() for future in sent):
            await self.produce()
        return sent

    async def add(self, partitions: Collection[TopicPartition]) -> None:
        """Puts partitions into the transaction; in version 2 their batches do it."""
        if self.version_2:
            for place in partitions:
                self._txn_manager.partition_added(place)
        else:
            await AddPartitionsToTxnHandler(self, partitions).do(await self.coordinator())

    async def produce(self) -> None:
        """Sends the first batch that waits for each partition. One that the broker may take yet waits again afterwards."""
        leaders, leaderless = self._message_accumulator.drain_by_nodes(ignore_nodes=())
        handler: Any = Produce if self.version_2 else SendProduceReqHandler
        requests = [handler(self, batches).do(node) for node, batches in leaders.items()]
        if len(requests) == 1:
            await requests[0]  # without a task, which would take turns again
        else:
            await asyncio.gather(*requests)
        if leaderless:
            await self.client.force_metadata_update()
            await asyncio.sleep(LEADERLESS_SECONDS)

    async def commit(self) -> None:
        """Returns when the transaction has committed; raises if that is not known."""
        manager = self._txn_manager
        manager.committing_transaction()
        handler: Any = End if self.version_2 else EndTxnHandler
        while (result := manager.needs_transaction_commit()) is not None:
            await handler(self, result).do(await self.coordinator())

    async def coordinator(self) -> int:
        """The node that coordinates the transactions of this id."""
        identity = self._txn_manager.transactional_id
        node: int = await self._find_coordinator(CoordinationType.TRANSACTION, identity)  # type: ignore[no-untyped-call]
        return node


class Produce(SendProduceReqHandler):
    """Batches that put their partitions into the transaction by themselves."""

    def create_request(self) -> ProduceRequest:
        """All of them in one request."""
        sender, topics = self._sender, defaultdict[str, list[tuple[int, bytes]]](list)
        for place, batch in self._batches.items():
            topics[place.topic].append((place.partition, batch.get_data_buffer()))
        return ProduceRequest(sender._txn_manager.transactional_id, sender._acks, sender._request_timeout_ms, list(topics.items()))

    def _can_retry(self, error: Exception, batch: MessageBatch) -> bool:
        """Also while the markers of the transaction before are being written: it was the broker who would not begin the next one yet."""
        return isinstance(error, ConcurrentTransactions) or super()._can_retry(error, batch)  # type: ignore[no-untyped-call]


class End(EndTxnHandler):
    """The end of a transaction that gives the producer its next epoch, in which batches are numbered from the beginning."""

    def create_request(self) -> EndTransactionRequest:
        """By whom, and how."""
        manager = self._sender._txn_manager
        return EndTransactionRequest(manager.transactional_id, manager.producer_id, manager.producer_epoch, self._commit_result)

    def handle_response(self, response: EndTransactionResponse) -> float | None:
        """Seconds to wait before it is asked again, or nothing when it is done. Raises where the transaction cannot end."""
        if response.get_item("error_code") == PRODUCER_FENCED:
            raise ProducerFenced
        backoff: float | None = super().handle_response(response)  # type: ignore[no-untyped-call]
        if backoff is None:
            manager = self._sender._txn_manager
            manager._pid_and_epoch = PidAndEpoch(response.get_item("producer_id"), response.get_item("producer_epoch"))
            manager._sequence_numbers.clear()
        return backoff
