"""The log of a worker: one line each, for people or for machines, without what the Kafka client says in vain."""

import ast
import importlib
import inspect
import io
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest
from aiokafka.errors import ConcurrentTransactions, NotEnoughReplicasError, NotLeaderForPartitionError
from aiokafka.structs import TopicPartition

from streams.logs import AGAIN_SECONDS, BENIGN, MOST_KINDS, UNVERIFIED, Benign, Repeated, configure, hushed, masked
from streams.settings import LogFormat, LogLevel

RETRY: Final = BENIGN[0]
PLACE: Final = TopicPartition("karar.stitch.state", 3)
EVERYTHING: Final = ("", "streams", "aiokafka", "faust", "mode", "aiohttp")


class Log:
    """A log that is set up as a worker's, what was said in it, and what was counted instead."""

    def __init__(self, form: LogFormat = "json", level: LogLevel = "info", *, terminal: bool = False) -> None:
        self.stream = io.StringIO()
        self.stream.isatty = lambda: terminal  # type: ignore[method-assign] # a terminal or none
        self.counted: Counter[str] = Counter()
        configure(form, level, lambda name: self.counted.update([name]), self.stream)

    @property
    def lines(self) -> list[str]:
        """What was said."""
        return self.stream.getvalue().splitlines()

    @property
    def members(self) -> list[dict]:
        """What was said as JSON, without the time."""
        return [{name: x for name, x in json.loads(line).items() if name != "time"} for line in self.lines]


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """The loggers of this process are afterwards what they were."""
    loggers = [logging.getLogger(name) for name in EVERYTHING]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


def fail(text: str = "it broke") -> None:
    """Log an error with the exception that was its cause."""
    nothing: dict[str, str] = {}
    try:
        nothing[text]
    except KeyError:
        logging.getLogger("streams.engine").exception("not opened")


# -- Lines -------------------------------------------------------------------------------------------------------------


def test_json_has_time_level_logger_message_and_whatever_else_was_said() -> None:
    """One object a line; the time is RFC 3339 in UTC."""
    log = Log()
    logging.getLogger("streams.engine").warning("opened %s", "stitch-3", extra={"shard": "stitch-3", "seconds": 0.5, "level": "high"})
    (line,) = log.lines

    assert log.members == [
        {"level": "warning", "logger": "streams.engine", "message": "opened stitch-3", "shard": "stitch-3", "seconds": 0.5}
    ]  # fmt: skip
    assert json.loads(line)["time"].endswith("Z")
    assert len(json.loads(line)["time"]) == len("2026-01-31T09:00:00.000Z")


def test_an_error_is_one_line_of_json_with_its_traceback() -> None:
    """Machines read lines; people who read them want to know where it was."""
    log = Log()
    fail()
    (said,) = log.members

    assert said["message"] == "not opened"
    assert said["error"].startswith("Traceback (most recent call last):\n")
    assert said["error"].endswith("KeyError: 'it broke'")


def test_what_asyncio_says_without_an_exception_is_told() -> None:
    """It says ``exc_info=False`` where it has none."""
    log = Log("json")
    logging.getLogger("asyncio").error("Task was destroyed but it is pending!", exc_info=False)
    assert [said["message"] for said in log.members] == ["Task was destroyed but it is pending!"]


def test_what_is_no_json_is_told_as_text() -> None:
    """A log line is never lost for what is in it."""
    log = Log()
    logging.getLogger("streams").error("odd", extra={"key": b"\xff", "place": PLACE, "topics": {"a"}})

    assert log.members[0]["key"] == "b'\\xff'"
    assert log.members[0]["topics"] == "{'a'}"


def test_the_console_has_one_readable_line() -> None:
    """Time, level, who, what, and what else was said; our own name is left out."""
    log = Log("console")
    logging.getLogger("streams.engine").info("opened %s", "stitch-3", extra={"read": 17})
    fail()
    first, second = (line[len("09:00:00 ") :] for line in log.lines)

    assert first == "info    engine: opened stitch-3 read=17"
    assert second == "error   engine: not opened (KeyError: 'it broke')"


def test_the_console_shows_tracebacks_only_where_everything_is_told() -> None:
    """`KARAR_LOG_LEVEL=debug` is for those who look for a defect."""
    log = Log("console", "debug")
    fail()

    assert log.lines[1] == "Traceback (most recent call last):"


def test_what_publishers_send_gives_the_terminal_no_orders() -> None:
    """Line feeds and control characters would make other lines, or other colours, of what somebody called a queue."""
    log = Log("console")
    logging.getLogger("streams").info("queue %s", "A\n\x1b[31mB\u2028C")

    assert [line[len("09:00:00 ") :] for line in log.lines] == ["info    streams: queue A  [31mB C"]


@pytest.mark.parametrize(("terminal", "form"), [(True, "console"), (False, "json")])
def test_where_nothing_is_said_people_get_lines_and_machines_json(*, terminal: bool, form: str) -> None:
    """`KARAR_LOG`: default console on a terminal, else json."""
    log = Log("", terminal=terminal)
    logging.getLogger("streams").info("started")

    assert log.lines[0].startswith("{") == (form == "json")


def test_of_the_clients_only_warnings_are_told_unless_everything_is() -> None:
    """They say a lot about themselves; nobody who runs a worker needs it."""
    for level, told in (("info", ["streams.a"]), ("debug", ["streams.a", "aiokafka.client", "mode"]), ("error", [])):
        log = Log("json", level)  # type: ignore[arg-type] # a level
        for name in ("streams.a", "aiokafka.client", "mode"):
            logging.getLogger(name).info("hello")

        assert [said["logger"] for said in log.members] == told


def test_nothing_is_told_twice() -> None:
    """Whoever set up a log before, Faust for one, does not say it again."""
    Log()
    log = Log()
    logging.getLogger("streams").info("started")

    assert len(log.lines) == 1


def test_a_command_hushes_the_client_and_no_longer_than_it_takes() -> None:
    """What went wrong is said in one line by the command."""
    log = Log()
    with hushed("aiokafka"):
        logging.getLogger("aiokafka.client").error("Unable to connect")
    logging.getLogger("aiokafka.client").error("Unable to connect again")

    assert [said["message"] for said in log.members] == ["Unable to connect again"]


# -- What is said again and again -----------------------------------------------------------------------------------------


def say(text: str, *arguments: object, logger: str = "aiokafka", at: float = 1_000.0) -> None:
    """Let somebody say something at an instant."""
    made = logging.getLogger(logger).makeRecord(logger, logging.ERROR, "", 0, text, arguments, None)
    made.created = at
    logging.getLogger().handle(made)


UNABLE: Final = "Unable connect to node with id %s: %s"


def test_what_the_client_repeats_is_told_once_in_a_while_with_how_often_it_was() -> None:
    """While Kafka is away it says the same seventy times a second. Within, exactly, outside; a clock that was set back hides nothing."""
    log = Log()
    for at in (0, 0.1, AGAIN_SECONDS - 0.001, AGAIN_SECONDS, AGAIN_SECONDS + 1, -5):
        say(UNABLE, 1, OSError(111, "Connection refused"), at=1_000 + at)

    assert [said.get("left_out") for said in log.members] == [None, 2, 1]


def test_another_node_is_the_same_again_and_another_reason_is_not() -> None:
    """Numbers of nodes, ports and partitions make no kind of their own; what went wrong does, and who says it."""
    log = Log()
    say(UNABLE, 1, OSError(111, "Connection refused"))
    say(UNABLE, 2, OSError(111, "Connection refused"))
    say(UNABLE, 2, OSError(113, "No route to host"))
    say(UNABLE, 2, OSError(113, "No route to host"), logger="aiokafka.conn")

    assert [(said["logger"], said["message"]) for said in log.members] == [
        ("aiokafka", "Unable connect to node with id 1: [Errno 111] Connection refused"),
        ("aiokafka", "Unable connect to node with id 2: [Errno 113] No route to host"),
        ("aiokafka.conn", "Unable connect to node with id 2: [Errno 113] No route to host"),
    ]


def test_everybody_else_may_repeat_himself_and_so_may_the_client_where_everything_is_told() -> None:
    """Only the client tries and tells so often; `KARAR_LOG_LEVEL=debug` is for those who look for a defect."""
    for level, logger, told in (("info", "streams.engine", 2), ("info", "faust", 2), ("debug", "aiokafka", 2), ("info", "aiokafka", 1)):
        log = Log("json", level)  # type: ignore[arg-type] # a level
        say("again", logger=logger)
        say("again", logger=logger)

        assert len(log.lines) == told, (level, logger)


def test_kinds_are_kept_in_bounds() -> None:
    """Whatever the client says in other words each time, no worker grows by it."""
    repeated = Repeated()
    for number in range(2 * MOST_KINDS):
        repeated.filter(logging.makeLogRecord({"name": "aiokafka", "msg": "x" * number}))

    assert 0 < len(repeated.told) <= MOST_KINDS


# -- What is benign ----------------------------------------------------------------------------------------------------


def constants(module: str) -> list[str]:
    """Every text in a module's source."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("known", BENIGN, ids=lambda known: known.text[:40])
@pytest.mark.filterwarnings("ignore")
def test_what_is_benign_is_what_the_installed_clients_say(known: Benign) -> None:
    """Another version may say it otherwise; then this fails, and not somebody's patience."""
    assert any(known.text in text for text in constants(known.logger))


@pytest.mark.parametrize(
    "cause", [NotEnoughReplicasError, ConcurrentTransactions, f"{UNVERIFIED}. Underlying error: CONCURRENT_TRANSACTIONS"]
)
def test_a_transaction_that_follows_another_closely_is_counted_and_not_told(cause: object) -> None:
    """The broker's verification of transactions for older clients: tried again, and nothing is lost."""
    log = Log()
    logging.getLogger(RETRY.logger).warning(RETRY.text, PLACE, cause)

    assert (log.lines, log.counted) == ([], {"transaction_retry": 1})


@pytest.mark.parametrize("cause", [NotLeaderForPartitionError, "The server is not the leader", None])
def test_any_other_retry_is_told(cause: object) -> None:
    """A broker that went down is not benign."""
    log = Log()
    logging.getLogger(RETRY.logger).warning(RETRY.text, PLACE, cause)

    assert (len(log.lines), log.counted) == (1, {})


def test_what_faust_puts_before_and_behind_a_message_hides_nothing() -> None:
    """Faust's services write who they are before a message, and possible causes behind it."""
    log = Log()
    known = BENIGN[-1]
    said = f"[^---Consumer]: {known.text} There are multiple possible explanations"
    logging.getLogger(known.logger).error(said, PLACE, "1 s ago")

    assert (log.lines, log.counted) == ([], {"idle": 1})


def test_the_same_words_of_somebody_else_are_told() -> None:
    """Only whose message it is makes it benign."""
    log = Log()
    logging.getLogger("streams.engine").warning(BENIGN[1].text, "karar")

    assert (len(log.lines), log.counted) == (1, {})


def test_a_key_in_the_log_is_the_same_one_and_nobodys() -> None:
    """Never a customer, an interaction or a phone number in a log; who is told of twice can be seen to be the same."""
    assert masked(b"pbx\x1f+49301234567") == masked(b"pbx\x1f+49301234567") != masked(b"pbx\x1f+49301234568")
    assert len(masked(b"x")) == 8


def test_without_a_stream_it_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to what a command prints."""
    configure("json", "info", lambda _: None)
    logging.getLogger("streams").info("started")

    assert sys.stderr is not None
    assert json.loads(capsys.readouterr().err)["message"] == "started"
