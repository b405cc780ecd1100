"""Taking a shard over: whether its totals and its positions may be gone on from."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from streams.engine import takeover
from streams.engine.kafka import Kafka
from streams.engine.ledger import ALIAS, SERIES
from streams.engine.stage import SHARED, Stage
from streams.engine.takeover import CLOCK, POSITION, RULES, Position, Refused, Rules, check_position, is_shared, is_state, is_total, succeed
from streams.engine.topics import Topic

CALLS = Topic("a" * 32, 8)


@dataclass
class Counted:
    """A stage, as far as its rules go."""

    rules: str
    counting: int


def successor(stored: Rules | None, rules: str, counting: int = 1) -> tuple[Rules, bool]:
    """What a stage of these rules makes of what is stored."""
    return succeed(stored, cast("Stage", Counted(rules, counting)), "stitch-3")


# -- Rules -------------------------------------------------------------------------------------------------------------


def test_a_shard_that_nobody_has_counted_takes_the_rules_of_today() -> None:
    """There is nothing to count anew."""
    assert successor(None, "a") == (Rules("a", 1), False)


def test_the_same_rules_go_on() -> None:
    """What is stored stays, with its history, and with what is still to step."""
    stored = Rules("b", 1, ("a",), recount=True)

    assert successor(stored, "b") == (stored, False)


def test_new_rules_count_anew_and_remember_the_former() -> None:
    """In the order in which they were in force."""
    assert successor(Rules("b", 1, ("a",)), "c") == (Rules("c", 1, ("a", "b"), recount=True), True)


def test_newer_counting_counts_anew_also_by_the_same_targets() -> None:
    """The code is part of the rules."""
    assert successor(Rules("b", 1), "b", 2) == (Rules("b", 2, ("b",), recount=True), True)


def test_newer_counting_may_go_back_to_older_targets() -> None:
    """Only within one counting does going back mean that this worker is behind."""
    assert successor(Rules("b", 1, ("a",)), "a", 2) == (Rules("a", 2, ("a", "b"), recount=True), True)


def test_a_shard_counted_by_newer_code_is_refused() -> None:
    """In one line: what, where, what to do."""
    with pytest.raises(Refused) as refused:
        successor(Rules("a", 2), "a", 1)

    assert str(refused.value) == "stitch-3: was counted by newer code (counting rules 2, here 1); upgrade this worker"


def test_a_shard_counted_by_newer_targets_is_refused() -> None:
    """Whose rules stand in the history is behind: the others' totals would fall back and rise again."""
    with pytest.raises(Refused) as refused:
        successor(Rules("b", 1, ("a",)), "a")

    assert str(refused.value) == (
        "stitch-3: is counted by targets (b) that came after those given here (a); give this worker the newer file (KARAR_TARGETS), or, to "
        "go back to the older one, add a line to its [queues]: see docs/runbook.md, Going back to older targets"
    )


# -- Positions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [10, 15, 20])
def test_a_position_within_what_the_log_still_has_is_taken(offset: int) -> None:
    """At its first record, within, and at its end."""
    check_position("assemble-3", "karar.calls", Position(offset, CALLS.id, 8), CALLS, 10, 20)


@pytest.mark.parametrize("offset", [9, 21])
def test_a_position_outside_of_the_log_is_refused(offset: int) -> None:
    """Before the first: retention has taken what was not counted. Behind the end: the log was cut."""
    with pytest.raises(Refused) as refused:
        check_position("assemble-3", "karar.calls", Position(offset, CALLS.id, 8), CALLS, 10, 20)

    assert str(refused.value) == (
        f"assemble-3: position {offset} lies outside of what karar.calls still has (10 to 20); retention has taken records that were not "
        "counted, or the log was cut: restore it, or start over under another KARAR_PREFIX"
    )


def test_a_topic_made_anew_is_refused() -> None:
    """Its name and its offsets may be the same; its id is not."""
    with pytest.raises(Refused, match=r"^assemble-3: karar\.calls was deleted and made anew since it was read up to offset 15; "):
        check_position("assemble-3", "karar.calls", Position(15, "b" * 32, 8), CALLS, 10, 20)


@pytest.mark.parametrize("partitions", [7, 9])
def test_another_number_of_partitions_is_refused(partitions: int) -> None:
    """Keys hash to other partitions now."""
    with pytest.raises(Refused, match=rf"^assemble-3: karar\.calls has 8 partitions, and had {partitions} when it was counted; "):
        check_position("assemble-3", "karar.calls", Position(15, CALLS.id, partitions), CALLS, 10, 20)


# -- Keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "state", "total", "shared"),
    [
        (b"customer:x", True, False, False),
        (b"", True, False, False),
        (SHARED + b"resets", True, False, True),
        (POSITION + b"karar.calls", False, False, False),
        (CLOCK, False, False, False),
        (RULES, False, False, False),
        (SERIES + b"contacts", False, True, False),
        (ALIAS + b"contacts", False, True, False),
    ],
)
def test_a_key_of_the_changelog_says_whose_it_is(key: bytes, state: bool, total: bool, shared: bool) -> None:  # noqa: FBT001 - parametrized
    """A stage's, the ledger's, or another of the engine's own; some of a stage's are the whole shard's."""
    assert (is_state(key), is_total(key), is_shared(key)) == (state, total, shared)


# -- Reading to the end ------------------------------------------------------------------------------------------------


class Stuck:
    """A consumer whose partition gives nothing, as one without a leader."""

    async def position(self, _: Any) -> int:
        """Where it stands."""
        return 0

    async def getmany(self, *_: Any, **__: Any) -> dict[Any, Any]:
        """Nothing."""
        return {}


@pytest.mark.asyncio
async def test_a_changelog_that_stays_silent_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening has a deadline, counted from the last record that came: past it the process leaves."""
    monkeypatch.setattr(takeover, "SILENCE_SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await takeover.read(cast("Any", Stuck()), cast("Any", None), 1, lambda *_: None, lambda _: None)


class Slow(Stuck):
    """A consumer that brings one record a fetch, and between two of them a fetch without any."""

    def __init__(self) -> None:
        self.at, self.fetches = 0, 0

    async def position(self, _: Any) -> int:
        """Where it stands."""
        return self.at

    async def getmany(self, *_: Any, **__: Any) -> dict[Any, Any]:
        """One more, or nothing."""
        self.fetches += 1
        self.at += self.fetches % 2
        return {}


@pytest.mark.asyncio
async def test_however_long_a_changelog_is_silence_counts_from_the_last_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A takeover that goes on for longer than the deadline would end its worker, and that of whoever is next, again and again."""
    put_off: list[float] = []

    class Patience:
        """A deadline that notes how often it was put off."""

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            """Nothing."""

        def reschedule(self, when: float) -> None:
            """Later."""
            put_off.append(when)

    stand_in = SimpleNamespace(timeout=lambda _: Patience(), sleep=asyncio.sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(takeover, "asyncio", stand_in)
    told: list[int] = []
    await takeover.read(cast("Any", Slow()), cast("Any", None), 9, lambda *_: None, told.append)

    assert told == list(range(10))
    assert len(put_off) == len(told[:-1])


@pytest.mark.asyncio
async def test_what_has_not_committed_is_not_taken_over_and_ends_by_itself() -> None:
    """A takeover reads what has committed; what a frozen owner has open Kafka aborts after a session."""
    kafka = Kafka("127.0.0.1:1", session=8.0)
    consumer: Any = kafka.consumer()
    producer: Any = kafka.producer("shard")

    assert consumer._isolation_level == "read_committed"  # noqa: SLF001 - aiokafka says it nowhere else
    assert producer._txn_manager.transaction_timeout_ms == 8_000  # noqa: SLF001 - likewise
    await consumer.stop()
    await producer.stop()
