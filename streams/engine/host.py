"""The Faust app around an engine: topics, one agent for each stage, the consumer group. Assignment, streams and web are Faust's."""

import asyncio
from collections.abc import AsyncIterable, Mapping
from functools import partial
from typing import Any, Final

from faust.app.base import App
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager
from faust.types.auth import CredentialsT
from mode import Seconds

from streams.engine.engine import Engine
from streams.engine.slices import Slice
from streams.engine.watch import mirror, trim

FETCHES_WAITING: Final = 4
RECORDS_AT_ONCE: Final = 8_000
METADATA_MS: Final = 10_000
"""Who leads the group assigns only topics that he knows of, and a Kafka that has just started may know of none yet: then nobody has
anything until he asks again, which aiokafka does every five minutes."""
NEVER_IDLE: Final = 1e6
"""Seconds. A worker to spare has no partition and fetches nothing: aiokafka would leave the group for it, for ever."""


class Tables(TableManager):
    """None: nobody waits for them."""

    mundane_level = "debug"

    async def sleep(self, n: Seconds, *, loop: asyncio.AbstractEventLoop | None = None) -> None:  # noqa: ARG002 - Faust's signature
        """Returns at once: at each start Faust gives others a second to declare tables, and joins the group only then."""
        await asyncio.sleep(0)


class KararApp(App):
    """A Faust app that has an engine."""

    engine: Engine

    def _create_directories(self) -> None:
        """Nothing is kept in files."""


def build(engine: Engine, *, name: str, web: Mapping[str, Any]) -> KararApp:
    """The app: every stage's sources are one agent's topic, whose messages hold what one fetch brought.

    ``web`` are Faust's settings of its web server.
    """
    session = engine.kafka.session
    app = KararApp(
        name, broker=f"karar://{engine.kafka.bootstrap}", broker_credentials=credentials(engine.kafka.security),
        store="memory://", topic_partitions=1, topic_disable_leader=True,
        topic_allow_declare=False, consumer_auto_offset_reset="earliest", broker_session_timeout=session,
        broker_heartbeat_interval=min(1.0, session / 6), broker_request_timeout=max(20.0, 2 * session),
        broker_rebalance_timeout=max(30.0, 2 * session), broker_max_poll_interval=NEVER_IDLE,
        broker_commit_every=1 << 62, broker_max_poll_records=RECORDS_AT_ONCE,
        consumer_metadata_max_age_ms=METADATA_MS,
        key_serializer="raw", value_serializer="raw", table_standby_replicas=0, TableManager=Tables,
        stream_wait_empty=False, stream_buffer_maxsize=FETCHES_WAITING, worker_redirect_stdouts=False, **web,
    )  # fmt: skip
    app.engine = engine
    for spec in engine.specs.values():
        declare(app, spec.name, spec.sources)

    app.task()(partial(mirror, engine))
    app.task()(partial(trim, engine))
    return app


def credentials(security: Mapping[str, Any]) -> CredentialsT | None:
    """What aiokafka is given, in Faust's words: it gives the same to its consumer and its producer."""
    if "sasl_mechanism" not in security:
        return SSLCredentials(security["ssl_context"]) if "ssl_context" in security else None
    return SASLCredentials(
        username=security["sasl_plain_username"], password=security["sasl_plain_password"],
        mechanism=security["sasl_mechanism"], ssl_context=security.get("ssl_context"),
    )  # fmt: skip


def declare(app: KararApp, name: str, sources: tuple[str, ...]) -> None:
    """The agent of one stage: it gives slices to the engine."""
    topic = app.topic(*sources, key_type=bytes, value_type=bytes)

    async def give(stream: AsyncIterable[list[Slice]]) -> None:
        async for bundle in stream:
            await app.engine.apply_all(bundle)

    app.agent(topic, name=name)(give)
