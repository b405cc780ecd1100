"""Format `asterisk-queue-log`: `time|callid|queue|agent|event|parameters…`, as app_queue and dialplans write it.

Sources: Asterisk's app_queue.c and logger.c, and its page Queue-Logs. A call is its callid: a masquerade inside app_queue may give
its later lines another one, which the log alone cannot tell, so they are an interaction of their own. What transfers carry behind
their first parameter differs by version and kind; nothing of it is needed.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from hashlib import blake2b
from typing import BinaryIO, Final, TypeAlias

from schemas.codec import LONGEST_WHERE, Decoded, Ignored, Rejected, build
from schemas.sources.lines import Headers, Read, read_lines
from schemas.sources.times import epoch_seconds, reader

REMEMBERED_LINES: Final = 1 << 14
_FIXED: Final = 5
_NOBODY: Final = frozenset({"", "NONE"})
_NO_CALL: Final = frozenset({"", "NONE", "REALTIME", "MANAGER", "CLI"})

_Fields: TypeAlias = dict[str, object]


def _enter_queue(parameters: list[str]) -> _Fields:
    caller = parameters[1].strip() if len(parameters) > 1 else ""
    return {"type": "queued", "identifiers": {"phone": caller}} if caller else {"type": "queued"}


def _transfer_to_extension(parameters: list[str]) -> _Fields:
    return {"type": "transferred", "kind": "blind", "queues_only": True, "reason": parameters[0] if parameters else ""}


def _always(**fields: object) -> Callable[[list[str]], _Fields]:
    return lambda _: fields


EVENTS: Final[dict[str, Callable[[list[str]], _Fields]]] = {
    "ENTERQUEUE": _enter_queue,
    "RINGNOANSWER": _always(type="missed"),
    "AGENTDUMP": _always(type="missed"),
    "SYSCOMPAT": _always(type="missed"),
    "CONNECT": _always(type="answered"),
    "COMPLETEAGENT": _always(type="ended", reason="representative"),
    "COMPLETECALLER": _always(type="ended", reason="customer"),
    "BLINDTRANSFER": _transfer_to_extension,
    "TRANSFER": _transfer_to_extension,
    "ATTENDEDTRANSFER": _always(type="transferred", kind="consult", queues_only=True),
    "ABANDON": _always(type="abandoned"),
    "EXITWITHTIMEOUT": _always(type="left_queue", reason="timeout"),
    "EXITEMPTY": _always(type="left_queue", reason="empty"),
    "LEAVEEMPTY": _always(type="left_queue", reason="empty"),
    "JOINEMPTY": _always(type="left_queue", reason="empty"),
    "EXITWITHKEY": _always(type="left_queue", reason="key"),
    "WITHDRAW": _always(type="left_queue", reason="withdrawn"),
    "FULL": _always(type="left_queue", reason="full"),
    "CLOSED": _always(type="left_queue", reason="closed"),
    "QUEUESTART": _always(type="reset"),
}
"""What each event means, from its parameters; the fields all events share are added."""

NOT_NEEDED: Final = frozenset(
    {"RINGCANCELED", "WRAPUPSTART", "PAUSE", "UNPAUSE", "PAUSEALL", "UNPAUSEALL", "ADDMEMBER", "REMOVEMEMBER", "PENALTY", "RINGINUSE"}
    | {"AGENTLOGIN", "AGENTLOGOFF", "AGENTCALLBACKLOGIN", "AGENTCALLBACKLOGOFF", "CONFIGRELOAD", "OUTCALL", "DID"}
)
"""Staff and system events, and the ringing that stopped because the caller hung up."""

_FAILED_CONNECT: Final = frozenset({"AGENTDUMP", "SYSCOMPAT"})


class AsteriskQueueLog:
    """A queue log's lines. Times are epoch seconds, or in realtime (database) mode local times in `zone`."""

    name: Final = "asterisk-queue-log"
    remembers: Final = 1_000  # a line that stands twice within its second stands near: it is known by its occurrence

    def __init__(self, source: str, zone: tzinfo = UTC) -> None:
        """Nothing is read yet; `source` is the event source's name."""
        self._source = source
        self._local = reader("iso", zone)
        self._occurrences: OrderedDict[str, list[int]] = OrderedDict()

    def decode(self, raw: bytes | None, number: int, headers: Headers = ()) -> list[Decoded]:  # noqa: ARG002 - a Source's signature
        """One line as one event; refuses too few fields, no time, a call event without a call, and bytes that are not UTF-8."""
        if raw is None:
            return [Ignored("tombstone")]
        line = raw.strip()
        return [self._decoded(line, number)] if line else []

    def read(self, stream: BinaryIO) -> Iterator[Read]:
        """Every line that is not blank."""
        return read_lines(stream, self.decode)

    def _decoded(self, line: bytes, number: int) -> Decoded:
        try:
            fields = line.decode().split("|")
        except UnicodeDecodeError as error:
            return Rejected("encoding", f"byte {error.start} is not UTF-8")
        if b"\n" in line:
            return Rejected("malformed", "one line a record is expected")
        if len(fields) < _FIXED:
            return Rejected("malformed", f"{_FIXED} fields separated by | are expected, {len(fields)} found")
        time, call, queue, agent, name = (field.strip() for field in fields[:_FIXED])
        at = epoch_seconds(time)
        if at is None and (at := self._local(time, False)) is None:  # noqa: FBT003 - the first pass of a local time
            return Rejected("malformed", f"time: seconds since 1970, or a date and time, are expected, not {time!r}"[:LONGEST_WHERE])
        meaning = EVENTS.get(name)
        if meaning is None or (name in _FAILED_CONNECT and agent in _NOBODY):
            return Ignored("not_needed" if meaning or name in NOT_NEEDED else "unknown_type")
        event = meaning(fields[_FIXED:]) | {"at": at, "source": self._source, "sequence": number, "id": self._id(line, number)}
        if event["type"] == "reset":
            return build(event)
        if call in _NO_CALL:
            return Rejected("missing_field", f"callid: {name} is about a call, and the line names none")
        if agent not in _NOBODY:
            event["representative"] = agent
        if queue not in _NOBODY:
            event["queue"] = queue
        return build(event | {"interaction_id": call, "channel": "call"})

    def _id(self, line: bytes, number: int) -> str:
        """The line's hash and occurrence: the log has no ids, and within its second a line may rightly stand more than once.

        The same line at the same place is the same occurrence, so that a partition may be read again from an earlier place. What is
        remembered goes by lines, not by seconds: when the clock jumps back, seconds come twice.
        """
        digest = blake2b(line, digest_size=8).hexdigest()
        numbers = self._occurrences.setdefault(digest, [])
        if len(self._occurrences) > REMEMBERED_LINES:
            self._occurrences.popitem(last=False)
        if (not numbers or number > numbers[-1]) and len(numbers) < REMEMBERED_LINES:
            numbers.append(number)
        occurrence = min(bisect_left(numbers, number) + 1, len(numbers))
        return digest if occurrence == 1 else f"{digest}-{occurrence}"
