"""The limit of the core: the same events through the same core in one loop, without Kafka, in slices, with all that time alone changes.

What it reads it makes on the way, a hundredth of its time. When it is told to end it leaves its states in a file.
"""

import gc
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from msgspec import msgpack

from schemas.codec import decode
from schemas.events import Event
from streams.core import stitch
from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.publishing import STRUCTURED
from streams.replay import SLICE, Replay
from tests.bench.telling import made_of, tell_settings, telling_beside
from tests.bench.week import MADE, Sent, repeated

PARTITIONS = 8
FILE = "states.msgpack"


def slices(sent: Iterable[Sent]) -> Iterator[list[Sent]]:
    """Events as a consumer of all partitions would get them."""
    every = iter(sent)
    while part := list(islice(every, SLICE * PARTITIONS)):
        yield part


def empty() -> Replay:
    """Both stages, with nothing in them; what they tell is encoded, and goes nowhere."""
    return Replay(Rules(), Identity(), PARTITIONS, tell=lambda _: None)


def take(replay: Replay, part: Sequence[Sent]) -> None:
    """One slice, from the bytes on."""
    replay.take([x for one in part for x in decode(one.value, STRUCTURED) if isinstance(x, Event)])


def states(replay: Replay) -> dict[bytes, bytes]:
    """The states of both stages: no key of the one is one of the other's."""
    return {key: value for shard in (*replay.assemble, *replay.stitch) for key, value in shard.state.items()}


def main(of: str, events: int) -> None:
    """Runs through, and waits to be ended."""
    told = {"core": made_of(stitch.__file__), "slice": SLICE, "partitions": PARTITIONS, "timers": "all", "garbage collector": "off"}
    tell_settings(told, "msgspec")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    once, replay, done, left = MADE[of](), empty(), 0, 1
    gc.collect()
    gc.freeze()
    gc.disable()  # as in a worker, which asks it every ten minutes
    telling_beside(lambda: {"events": done, "left": left})
    for part in slices(repeated(once, events)):
        take(replay, part)
        done += len(part)
    replay.finish()
    left = 0
    signal.sigwait({signal.SIGTERM})
    Path(FILE).write_bytes(msgpack.encode(states(replay)))


if __name__ == "__main__":
    main(os.environ["OF"], int(os.environ["EVENTS"]))
