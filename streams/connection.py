"""How Kafka is reached: one administrator, and every error of the client as one line."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError

from streams.broker import BrokerError

ANSWER_MS: Final = 10_000
UNREACHED: Final = (KafkaConnectionError, NodeNotReadyError, KafkaTimeoutError, RequestTimedOutError, TimeoutError, OSError)


class UnreachedError(BrokerError):
    """Nobody answers at the address: one line."""


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turns the client's errors into one line that names the address and what to do. BrokerError."""
    try:
        yield
    except UNREACHED:
        message = f"{address}: no Kafka answers there; start one with `karar broker`, or name yours with KARAR_BROKER"
        raise UnreachedError(message) from None
    except KafkaError as error:
        raise BrokerError(f"{address}: Kafka refused it: {said(error)}") from None


def said(error: Exception) -> str:
    """An error of the client in a few words; its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


@asynccontextmanager
async def administrator(address: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics, consumer groups and the like. BrokerError: one line."""
    with reaching(address):
        admin = AIOKafkaAdminClient(bootstrap_servers=address, client_id="karar", request_timeout_ms=ANSWER_MS)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
