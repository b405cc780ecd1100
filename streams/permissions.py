"""What a worker must be allowed to do, asked of Kafka before it starts: what is not allowed would else show in the middle of its work."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TransactionalIdAuthorizationFailed

from streams.connection import ALLOW, consuming
from streams.core.alerts import ALERTS
from streams.engine.spec import Spec
from streams.engine.topics import DELETE, READ, WRITE, allowed
from streams.settings import Settings

WORDS: Final = {READ: "Read", WRITE: "Write", DELETE: "Delete"}


def needed(specs: Iterable[Spec]) -> dict[str, set[int]]:
    """The operations that a worker needs on each topic, by their numbers."""
    found: dict[str, set[int]] = {}
    for spec in specs:
        for source in spec.sources:
            found.setdefault(source, set()).update({READ, DELETE} if spec.trims else {READ})
        found.setdefault(spec.changelog, set()).update({READ, WRITE})
        for name, topic in spec.topics.items():
            found.setdefault(topic, set()).update({READ, WRITE} if name == ALERTS else {WRITE})
    return found


async def forbidden(settings: Settings, specs: Iterable[Spec]) -> list[str]:
    """What a worker is not allowed to do, one line each; nothing: it can start. BrokerError: one line."""
    specs = list(specs)
    async with consuming(settings) as consumer:
        client = consumer._client  # noqa: SLF001 - held by tests/test_private_names.py
        wanted = needed(specs)
        lines = list(denied(wanted, await allowed(client, sorted(wanted))))
        if await is_denied(client, CoordinationType.GROUP, settings.prefix):
            lines.append(f"consumer group {settings.prefix}: this user may not take part in it; allow Read; {ALLOW}")
        for spec in specs:
            identity = f"{settings.prefix}-{spec.name}-0"
            if await is_denied(client, CoordinationType.TRANSACTION, identity):
                lines.append(f"transactional id {identity}: this user may not have it; allow Write, Describe; {ALLOW}")
    return lines


def denied(wanted: Mapping[str, set[int]], granted: Mapping[str, int | None]) -> Iterator[str]:
    """One line for each topic of which more is wanted than granted."""
    for topic, operations in wanted.items():
        bits = granted.get(topic)
        missing = [WORDS[n] for n in sorted(operations) if bits is not None and not bits & (1 << n)]
        if missing:
            yield f"{topic}: this user may do less than a worker must; allow {' and '.join(missing)}; {ALLOW}"


async def is_denied(client: AIOKafkaClient, kind: int, name: str) -> bool:
    """Whether Kafka says that this group or transactional id is not for us; what else it says may change."""
    try:
        await client.coordinator_lookup(kind, name)
    except (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed):
        return True
    except KafkaError:
        return False
    return False
