"""How Kafka is reached: its address, how it is talked to, one administrator, and every error of the client as one line."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)  # fmt: skip

from streams.broker import BrokerError
from streams.engine.kafka import GOING_SECONDS, UNREACHED, Kafka
from streams.security import CA, CERTIFICATE, MECHANISM, PASSWORD, PLAINTEXT, PROTOCOL, USER, Security
from streams.settings import Settings

ANSWER_MS: Final = 10_000
NOT_ALLOWED: Final = (
    TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError, TransactionalIdAuthorizationFailed,
)  # fmt: skip
NOT_KNOWN: Final = (AuthenticationFailedError, SaslAuthenticationFailed)
ALLOW: Final = "docs/security.md has the ACLs that each command needs"


class UnreachedError(BrokerError):
    """Nobody answers at the address: one line."""


def kafka_of(settings: Settings) -> Kafka:
    """Where Kafka is and how it is talked to, as the engine wants it. ValueError: one line."""
    return Kafka(settings.broker, session=settings.session_seconds, security=settings.security.client())


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turns the client's errors into one line that names the address and what to do. BrokerError."""
    try:
        yield
    except UNREACHED:
        message = f"{address}: no Kafka answers there; start one with `karar broker`, or name yours with KARAR_BROKER"
        raise UnreachedError(message) from None
    except NOT_ALLOWED as error:
        raise BrokerError(f"{address}: Kafka does not allow it: {said(error)}; {ALLOW}") from None
    except KafkaError as error:
        raise BrokerError(f"{address}: Kafka refused it: {said(error)}") from None


@asynccontextmanager
async def entering(address: str, security: Security) -> AsyncIterator[None]:
    """As `reaching`, for a client that starts: the client says only that nobody answers, so where that is so it is asked why."""
    try:
        with reaching(address):
            yield
    except UnreachedError:
        for host, port, _ in collect_hosts(address):
            if not await is_open(host, port):
                continue
            if why := await refusal(host, port, security):
                raise BrokerError(f"{host}:{port}: {why}") from None
            who = f"{host}:{port}: somebody is there who does not answer as Kafka"
            alone = f" without a {CERTIFICATE}" if security.encrypts and not security.certificate else ""
            raise UnreachedError(f"{who}; is it Kafka, and is {PROTOCOL}={security.protocol}{alone} what this port wants?") from None
        raise


async def refusal(host: str, port: int, security: Security) -> str:
    """Why Kafka does not let us in, with what to do; nothing where it does, or where it cannot be reached."""
    connection = AIOKafkaConnection(host, port, client_id="karar", request_timeout_ms=ANSWER_MS, **security.client())
    try:
        await connection.connect()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}; {CA} names the file of the CA that it must be from"
    except ssl.SSLError as error:
        return f"TLS is not agreed on: {error.reason}; does this port want {PROTOCOL}={security.protocol}, and a {CERTIFICATE}?"
    except NOT_KNOWN:
        return f"Kafka does not let {security.user!r} in: another user, or another password; see {USER} and {PASSWORD}"
    except UnsupportedSaslMechanismError:
        return f"Kafka lets nobody in by {security.mechanism} there; see {MECHANISM}"
    except IllegalSaslStateError:
        return f"Kafka wants no password there; see {PROTOCOL}"
    except (KafkaError, TimeoutError, OSError):
        return ""
    finally:
        await asyncio.wait([connection.close()], timeout=GOING_SECONDS)
    return ""


async def is_open(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        async with asyncio.timeout(ANSWER_MS / 1000):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


def said(error: Exception) -> str:
    """An error of the client in a few words; its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


@asynccontextmanager
async def consuming(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer in no group, of what has committed. BrokerError, ValueError: one line."""
    consumer = kafka_of(settings).consumer()
    with reaching(settings.broker):
        try:
            async with entering(settings.broker, settings.security):
                await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def administrator(address: str, security: Security = PLAINTEXT) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics, consumer groups and the like. BrokerError, ValueError: one line."""
    with reaching(address):
        admin = AIOKafkaAdminClient(bootstrap_servers=address, client_id="karar", request_timeout_ms=ANSWER_MS, **security.client())
        try:
            async with entering(address, security):
                await admin.start()
            yield admin
        finally:
            await admin.close()
