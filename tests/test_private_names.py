"""What of Faust, mode and aiokafka is overridden or read without being promised: it is there, as it was when it was read.

A version that changes one of these names would not fail by itself: an override that nobody calls is silent.
"""

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import aiokafka
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.producer import message_accumulator, sender, transaction_manager
from aiokafka.producer.producer import AIOKafkaProducer
from aiokafka.protocol.group import JoinGroupRequest
from faust.app.base import App
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from mode.utils import futures

from streams.engine import transport
from streams.engine.fetched import FetchedRecords, FetchResult

ROOT: Final = Path(__file__).parents[1]
PINNED: Final = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0", "uvloop": "0.23.0"}

# Where ours stand in place of them.
(THEIR_RECORDS,), (THEIR_RESULT,) = FetchedRecords.__bases__, FetchResult.__bases__

OVERRIDDEN: Final[dict[type, dict[str, list[str]]]] = {
    driver.AIOKafkaConsumerThread: {
        "__post_init__": [],
        "_create_worker_consumer": ["transport"],
        "_fetch_records": ["consumer", "active_partitions", "timeout", "max_records"],
        "close": [],
        "on_start": [],
    },
    driver.Consumer: {
        "_add_gap": ["tp", "offset_from", "offset_to"],
        "_new_consumer_thread": [],
        "ack": ["message"],
        "force_commit": ["topics", "start_new_transaction"],
        "getmany": ["timeout"],
        "on_buffer_drop": ["tp"],
        "on_buffer_full": ["tp"],
        "on_partitions_assigned": ["assigned", "generation_id"],
        "on_partitions_revoked": ["revoked"],
        "on_stop": [],
        "perform_seek": [],
        "resume_partitions": ["tps"],
        "verify_event_path": ["now", "tp"],
    },
    App: {"_create_directories": []},
    THEIR_RESULT: {"getall": ["max_records"], "getone": []},
    sender.Sender: {"start": []},
    sender.SendProduceReqHandler: {"create_request": [], "_can_retry": ["error", "batch"]},
    sender.EndTxnHandler: {"create_request": [], "handle_response": ["resp"]},
}
"""Methods by the class that has them, with their parameters."""

CALLED: Final[dict[type, dict[str, list[str]]]] = {
    driver.AIOKafkaConsumerThread: {
        "_ensure_consumer": [],
        "assignment": [],
        "call_thread": ["fun", "args", "kwargs"],
        "seek": ["partition", "offset"],
    },
    driver.Consumer: {
        "_get_active_partitions": [],
        "_wait_next_records": ["timeout"],
        "earliest_offsets": ["partitions"],
        "highwaters": ["partitions"],
        "pause_partitions": ["tps"],
        "stop_flow": [],
    },
    group_coordinator.GroupCoordinator: {"_maybe_leave_group": [], "_send_req": ["request"]},
    THEIR_RECORDS: {"_consumer_record": ["tp", "record"]},
    THEIR_RESULT: {"check_assignment": ["tp"], "_update_position": []},
    fetcher.Fetcher: {"fetched_records": ["partitions", "timeout", "max_records"]},
    subscription_state.Assignment: {"state_value": ["tp"]},
    AIOKafkaClient: {"_wait_on_metadata": ["topic"], "force_metadata_update": []},
    message_accumulator.MessageAccumulator: {"_append_batch": ["builder", "tp"], "drain_by_nodes": ["ignore_nodes", "muted_partitions"]},
    sender.Sender: {
        "_coordinator_dead": ["coordinator_type"],
        "_find_coordinator": ["coordinator_type", "coordinator_key"],
        "_maybe_wait_for_pid": [],
    },
    sender.AddPartitionsToTxnHandler: {"do": ["node_id"]},
    sender.EndTxnHandler: {"do": ["node_id"]},
    sender.SendProduceReqHandler: {"do": ["node_id"]},
    transaction_manager.TransactionManager: {
        "committing_transaction": [],
        "needs_transaction_commit": [],
        "partition_added": ["tp"],
        "partitions_to_add": [],
        "is_in_transaction": [],
        "wait_for_transaction_end": [],
    },
}
"""The same of what is called, or replaced on an object."""

SET: Final[dict[type, tuple[str, ...]]] = {
    AIOKafkaConsumer: (
        "_isolation_level", "_fetch_max_wait_ms", "_auto_offset_reset", "_partition_assignment_strategy", "_client", "_coordinator",
        "_subscription", "_fetcher",
    ),
    fetcher.Fetcher: ("_fetch_max_wait_ms", "_fetch_min_bytes", "_max_partition_fetch_bytes"),
    THEIR_RECORDS: ("next_fetch_offset",),
    THEIR_RESULT: ("_topic_partition", "_partition_records"),
    AIOKafkaProducer: ("_txn_manager", "_message_accumulator", "_sender"),
    transaction_manager.TransactionManager: ("_pid_and_epoch", "_sequence_numbers"),
    sender.Sender: ("_acks", "_request_timeout_ms", "_retry_backoff", "_txn_manager"),
    sender.SendProduceReqHandler: ("_batches",),
    sender.EndTxnHandler: ("_commit_result",),
    message_accumulator.BatchBuilder: ("_builder", "_relative_offset"),
    group_coordinator.GroupCoordinator: ("member_id", "generation"),
    subscription_state.TopicPartitionState: ("_position", "lso"),
    driver.AIOKafkaConsumerThread: ("_assignor",),
    faust_consumer.Consumer: ("_unacked_messages", "_waiting_for_ack", "flow_active"),
    faust_consumer.ThreadDelegateConsumer: ("_thread",),
}  # fmt: skip
"""Attributes by the class whose own code sets them."""

OURS: Final = {"_seek_to", "_mirror"}
ELSEWHERE: Final = {"_exit"}
"""The interpreter's, not theirs."""
SERVICE: Final = {"abstract", "_abc_impl", "logger"}
"""What mode gives every class of its own."""


def parameters(method: Any) -> list[str]:
    """The names of a method's parameters after ``self``."""
    return list(inspect.signature(method).parameters)[1:]


def held() -> set[str]:
    """Every private name that this file holds."""
    names = {name for of in (OVERRIDDEN, CALLED) for methods in of.values() for name in methods}
    return names | {name for attributes in SET.values() for name in attributes}


def private(name: str) -> bool:
    """Whether a name is private, and none of the language's own."""
    return name.startswith("_") and not name.endswith("__") and name != "_"


def used() -> set[str]:
    """Every private name that the engine defines or reads."""
    found = set()
    for path in (ROOT / "streams" / "engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return {name for name in found if private(name)}


@pytest.mark.parametrize(("package", "number"), PINNED.items())
def test_the_versions_are_pinned_exactly(package: str, number: str) -> None:
    """In pyproject.toml, and what is installed is that one. Who raises one reads this file's names in its sources again."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]

    assert [line.partition(";")[0].strip() for line in dependencies if line.startswith(package)] == [f"{package}=={number}"]
    assert version(package) == number


@pytest.mark.parametrize(
    ("owner", "name", "expected"), [(c, n, p) for of in (OVERRIDDEN, CALLED) for c, m in of.items() for n, p in m.items()]
)
def test_a_method_is_there_with_its_parameters(owner: type, name: str, expected: list[str]) -> None:
    """By the names by which it is called."""
    assert parameters(getattr(owner, name)) == expected


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in SET.items() for name in names])
def test_an_attribute_is_there(owner: type, name: str) -> None:
    """Its class sets it, or has it."""
    source = inspect.getsource(owner)

    assert hasattr(owner, name) or f"self.{name} = " in source or f"self.{name}: " in source


def test_every_private_name_that_the_engine_uses_is_held_here() -> None:
    """A new one comes with a line above."""
    assert used() - OURS - ELSEWHERE == {name for name in held() if private(name)}


@pytest.mark.parametrize("owner", [driver.AIOKafkaConsumerThread, driver.Consumer])
def test_our_own_names_are_not_theirs(owner: type) -> None:
    """A new version that has a method of the same name would call ours."""
    ours: dict[type, set[str]] = {
        driver.AIOKafkaConsumerThread: set(vars(transport.Thread)),
        driver.Consumer: set(vars(transport.Consumer)),
    }
    theirs = {name for base in owner.__mro__ if base is not object for name in vars(base)}
    new = {name for name in ours[owner] & theirs if not name.endswith("__")}

    assert new - set(OVERRIDDEN[owner]) - SERVICE == set()


def test_a_join_tells_whose_it_is() -> None:
    """A coordinator without a member's id joins as a new member; errors come as a code in the answer."""
    assert JoinGroupRequest.UNKNOWN_MEMBER_ID == ""
    assert "member_id" in inspect.getsource(group_coordinator.GroupCoordinator.reset_generation)


def test_the_client_fetches_on_in_one_go() -> None:
    """Between moving its positions and returning, `fetched_records` awaits nothing: what it hands out and its positions agree."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(fetcher.Fetcher) or fetcher))
    (method,) = (n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef) and n.name == "fetched_records")
    (drained,) = (n for n in ast.walk(method) if isinstance(n, ast.Assign) and ast.unparse(n) == "drained = {}")
    (returned,) = (n for n in ast.walk(method) if isinstance(n, ast.If) and ast.unparse(n.test) == "drained or not timeout")
    between = [n.lineno for n in ast.walk(method) if isinstance(n, ast.Await) and drained.lineno < n.lineno < returned.lineno]

    assert between == []


def test_the_driver_asks_for_nothing_while_the_flow_is_stopped() -> None:
    """Its fetch returns at once then, and raises when its consumer is closed."""
    source = inspect.getsource(driver.AIOKafkaConsumerThread._fetch_records)  # noqa: SLF001 - that is what is held

    assert "if not self.consumer.flow_active:\n            return {}" in source
    assert "raise ConsumerStoppedError()" in source


def test_who_notifies_nobody_is_no_error() -> None:
    """An ack while nobody waits for one."""
    futures.notify(None)
    assert aiokafka.__version__ == PINNED["aiokafka"]
