"""What a worker says: readable lines on a terminal, JSON lines for machines; what the Kafka client says in vain is counted instead."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TextIO

from aiohttp.http_exceptions import HttpProcessingError
from aiokafka.errors import ConcurrentTransactions, NotEnoughReplicasError

from streams.settings import LogFormat, LogLevel

OURS: Final = "streams"
CLIENTS: Final = ("aiokafka", "faust", "mode", "aiohttp")
"""Loggers whose chatter nobody needs: of them only warnings and what is worse are told, unless everything is."""

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
TALKATIVE: Final = "aiokafka.conn"
"""Tells every request as it is at level debug, those that sign in as well, with a password in them."""
REPEATING: Final = "aiokafka"
AGAIN_SECONDS: Final = 60
MOST_KINDS: Final = 500
COUNTED: Final = re.compile(r"\w*\d\w*")
"""Nodes, ports, partitions, offsets, the client's own ids: what differs only in these is the same said again."""
UNVERIFIED: Final = "Unable to verify the partition has been added to the transaction"


class Benign(NamedTuple):
    """A message that means nothing to whoever runs a worker: who says it, how its text begins or what is in it, its name when counted."""

    logger: str
    text: str
    name: str
    about: Callable[[Any], bool] = lambda _: True


# The texts are those of aiokafka 0.14.0 and faust-streaming 0.15.3; a test looks for them in what is installed.
BENIGN: Final = (
    # The broker does not begin a transaction that follows another too closely: it is tried again. The client retries for as
    # long as it takes; a commit has a deadline, so that a real lack of replicas does not stay unseen.
    Benign(
        "aiokafka.producer.sender", "Got error produce response on topic-partition %s, retrying. Error: %s", "transaction_retry",
        lambda arguments: arguments[1] in (NotEnoughReplicasError, ConcurrentTransactions) or str(arguments[1]).startswith(UNVERIFIED),
    ),
    Benign("aiokafka.consumer.group_coordinator", "Heartbeat failed for group %s because it is rebalancing", "rebalancing"),
    # Positions are mirrored for lag tools; a worker that is no member any more finds that out as well.
    Benign("aiokafka.consumer.group_coordinator", "OffsetCommit failed for group %s due to group error (%s), will rejoin", "not_mirrored"),
    Benign("aiokafka.cluster", "Topic %s is not available during auto-create initialization", "topic_coming"),
    # A partition in which nothing happens; and where a shard stands is in its changelog, not in the group's offsets.
    Benign("faust.transport.drivers.aiokafka", "Aiokafka has not sent fetch request for %r since start (started %s)", "idle"),
    Benign("faust.transport.drivers.aiokafka", "Has not committed %r at all since worker start (started %s).", "idle"),
    Benign("faust.transport.drivers.aiokafka", "Has not committed %r (last commit %s).", "idle"),
)  # fmt: skip


class Quiet(logging.Filter):
    """Keeps what is benign out of the log, and tells it to ``count`` by name."""

    def __init__(self, count: Callable[[str], object]) -> None:
        super().__init__()
        self.count = count

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is worth telling."""
        name = benign(record)
        if name:
            self.count(name)
        return not name


class Repeated(logging.Filter):
    """Of what the Kafka client says again and again, keeps all but one in a while out of the log, and says how many that were.

    While Kafka is away it tells every try of every connection, some seventy lines a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is worth telling: the first of its kind, or the first for a while."""
        if record.name.partition(".")[0] != REPEATING:
            return True
        kind = f"{record.name}: {COUNTED.sub('#', record.getMessage())}"
        since, left_out = self.told.get(kind, (-AGAIN_SECONDS, 0))
        if since <= record.created < since + AGAIN_SECONDS:
            self.told[kind] = since, left_out + 1
            return False
        if left_out:
            record.left_out = left_out
        if len(self.told) >= MOST_KINDS:
            self.told.clear()
        self.told[kind] = record.created, 0
        return True


def benign(record: logging.LogRecord) -> str:
    """The name of a record that means nothing, else nothing."""
    for known in BENIGN:
        if record.name == known.logger and isinstance(record.msg, str) and known.text in record.msg and known.about(record.args):
            return known.name
    return ""


def discreet(record: logging.LogRecord) -> bool:
    """Whether a record can have no secret in it, and no customer: aiohttp tells of a request that it cannot read what was in it."""
    # asyncio says `exc_info=False` where there is none, and logging leaves it so.
    unreadable = isinstance(record.exc_info[1], HttpProcessingError) if record.exc_info else False
    return not unreadable and (record.name != TALKATIVE or record.levelno > logging.DEBUG)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what else was said about it."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line."""
        said: dict[str, Any] = {
            "time": moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: member for name, member in extra(record).items() if name not in said}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


class ConsoleLines(logging.Formatter):
    """One line for people: time, level, logger, message, what else was said about it, and an error's type and text."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line, and where an error came from below it when everything is told."""
        who = record.name.removeprefix(f"{OURS}.")
        parts = [f"{moment(record):%H:%M:%S}", f"{record.levelname.lower():<7}", f"{who}:", record.getMessage()]
        parts += [f"{name}={member}" for name, member in extra(record).items()]
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(f"({type(record.exc_info[1]).__name__}: {record.exc_info[1]})")
        # What a publisher sends may be told here: it is text, never an instruction to the terminal.
        line = "".join(character if character.isprintable() else " " for character in " ".join(parts))
        if record.exc_info and logging.getLogger().isEnabledFor(logging.DEBUG):
            return f"{line}\n{self.formatException(record.exc_info)}"
        return line


def masked(key: bytes) -> str:
    """A key as a log may name it: whoever reads of it twice sees that it is the same, and not whose it is."""
    return blake2b(key, digest_size=4).hexdigest()


def moment(record: logging.LogRecord) -> datetime:
    """When something was said."""
    return datetime.fromtimestamp(record.created, UTC)


def extra(record: logging.LogRecord) -> Mapping[str, Any]:
    """What was said besides the message (`extra=`)."""
    return {name: member for name, member in vars(record).items() if name not in PLAIN}


def configure(form: LogFormat, level: LogLevel, count: Callable[[str], object], stream: TextIO | None = None) -> logging.Handler:
    """Sets up the log of this process on standard error, or on a stream. Without a form: console on a terminal, else JSON."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ConsoleLines() if (form or ("console" if stream.isatty() else "json")) == "console" else JsonLines())
    handler.addFilter(discreet)
    handler.addFilter(Quiet(count))
    if level != "debug":
        handler.addFilter(Repeated())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in CLIENTS:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else max(logging.WARNING, root.level))
    return handler


@contextmanager
def hushed(*names: str) -> Iterator[None]:
    """Nothing of some loggers: a command says in one line of its own what went wrong."""
    loggers = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    for logger, _ in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in loggers:
            logger.setLevel(level)
