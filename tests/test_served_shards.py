"""Which shards may be served: those that were taken under a membership of the group that nothing has ended since."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from streams.engine.engine import Engine
from streams.engine.lease import Lease
from streams.engine.transport import confirming
from tests.shards import memory, spec

SESSION = 10.0
UNKNOWN_MEMBER = 25
NOBODY = ""


class Delivery:
    """A consumer that does nothing."""

    async def seek_to(self, topic: str, partition: int, position: int) -> None:
        """Nowhere."""

    async def first_offset(self, topic: str, partition: int) -> int:  # noqa: ARG002 - the contract's signature
        """Nothing is gone."""
        return 0

    def pause(self, tps: Any) -> None:
        """Nothing."""

    def resume(self, tps: Any) -> None:
        """Nothing."""

    def end_of(self, topic: str, partition: int) -> int | None:  # noqa: ARG002 - the contract's signature
        """Nobody knows."""
        return None

    async def last_offset(self, topic: str, partition: int) -> int:  # noqa: ARG002 - the contract's signature
        """Nothing is there."""
        return 0

    async def mirror(self, offsets: Any) -> None:
        """Nothing."""

    async def leave_group(self) -> None:
        """Nothing."""


class Answer:
    """What a coordinator answers."""

    def __init__(self, error_code: int = 0) -> None:
        self.error_code = error_code


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        """The instant."""
        return self.at


async def joined(engine: Engine) -> None:
    """The engine has joined the group, and its only shard is open and old enough to be served."""
    engine.lease.asking(engine.lease.clock())
    engine.lease.answered(engine.lease.clock())
    engine.assigned(Delivery(), {("in", 0)})
    await asyncio.sleep(0.05)
    assert isinstance(engine.lease.clock, Time)
    engine.lease.clock.at = engine.lease.settled()
    engine.lease.confirmed(engine.lease.clock())


def engine_of() -> Engine:
    """An engine in memory, whose time a test moves."""
    engine = Engine([spec()], memory(), "group")
    engine.lease = Lease(SESSION, Time())
    return engine


@pytest.mark.parametrize("first", ["told", "put away"])
def test_what_was_held_before_membership_ended_is_not_served_after_the_next_join(first: str) -> None:
    """Another worker may have had the shard meanwhile: it is silent until it has been taken up, whether it was put away before or after."""

    async def story() -> None:
        engine = engine_of()
        await joined(engine)
        assert (engine.holds(), list(engine.served())) == (True, ["count-0"])
        if first == "told":
            engine.lease.lost()
        await engine.put_away()
        if first == "put away":
            assert list(engine.served()) == ["count-0"]
            engine.lease.lost()
        engine.lease.asking(engine.lease.clock())
        engine.lease.answered(engine.lease.clock())
        assert (engine.holds(), list(engine.served())) == (True, [])
        await joined(engine)
        assert list(engine.served()) == ["count-0"]
        await engine.put_away()

    asyncio.run(story())


def test_a_shard_that_opens_after_membership_has_ended_is_not_served() -> None:
    """It belongs to a membership that is over; the next join decides."""

    async def story() -> None:
        engine = engine_of()
        engine.lease.asking(engine.lease.clock())
        engine.lease.answered(engine.lease.clock())
        engine.lease.lost()
        engine.assigned(Delivery(), {("in", 0)})
        await asyncio.sleep(0.05)
        assert list(engine.shards) == [("count", 0)]
        assert isinstance(engine.lease.clock, Time)
        engine.lease.clock.at += SESSION
        assert engine.served() == {}
        await engine.put_away()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("request_", "error", "losses"),
    [
        (JoinGroupRequest("g", 1, 1, NOBODY, "", "consumer", []), 0, 1),
        (JoinGroupRequest("g", 1, 1, "me", "", "consumer", []), 0, 0),
        (JoinGroupRequest("g", 1, 1, "me", "", "consumer", []), UNKNOWN_MEMBER, 1),
        (HeartbeatRequest("g", 1, "me"), 0, 0),
        (HeartbeatRequest("g", 1, "me"), UNKNOWN_MEMBER, 1),
    ],
)
def test_whoever_joins_as_a_stranger_has_lost_what_he_had(request_: Any, error: int, losses: int) -> None:
    """The client forgets its membership after any answer that says so, to a commit of offsets as well, and then joins without a name."""
    lease = Lease(SESSION)

    async def send(_: Any) -> Answer:
        return Answer(error)

    coordinator = SimpleNamespace(_send_req=send, member_id=getattr(request_, "_member_id", "me"))
    asyncio.run(confirming(coordinator, lease)(request_))

    assert lease.losses == losses
