"""Transactions of three requests, instead of a routine that is woken for each of their steps.

aiokafka's sender hands a transaction on from task to task: some twenty turns of the event loop, between which slices are folded. Here
whoever commits makes the requests himself, by aiokafka's own handlers, which know what may be sent again.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import AddPartitionsToTxnHandler, EndTxnHandler, Sender, SendProduceReqHandler

Batches = Collection[tuple[str, int, BatchBuilder]]
"""Built batches, each after the topic and the partition that it is for."""

LEADERLESS_SECONDS: Final = 0.1


class Requests(Sender):
    """The sender of a transactional producer that sends nothing by itself: after `begin_transaction`, `send` and `commit`."""

    async def start(self) -> None:
        """Gets the producer's id, which fences whoever had it."""
        await self._maybe_wait_for_pid()  # type: ignore[no-untyped-call]

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
            await AddPartitionsToTxnHandler(self, set(partitions)).do(await self.coordinator())
        if not self._txn_manager.is_in_transaction():
            self._txn_manager.wait_for_transaction_end().result()  # why: what was sent now would be in no transaction
        while not all(future.done() for future in sent):
            await self.produce()
        return sent

    async def produce(self) -> None:
        """Sends the first batch that waits for each partition. One that the broker may take yet waits again afterwards."""
        leaders, leaderless = self._message_accumulator.drain_by_nodes(ignore_nodes=())
        requests = [SendProduceReqHandler(self, batches).do(node) for node, batches in leaders.items()]
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
        while (result := manager.needs_transaction_commit()) is not None:
            await EndTxnHandler(self, result).do(await self.coordinator())

    async def coordinator(self) -> int:
        """The node that coordinates the transactions of this id."""
        identity = self._txn_manager.transactional_id
        node: int = await self._find_coordinator(CoordinationType.TRANSACTION, identity)  # type: ignore[no-untyped-call]
        return node
