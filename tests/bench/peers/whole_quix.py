"""The whole workload in Quix Streams: a stateful step, `group_by` customer (a topic between), and another stateful step."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quixstreams import Application, State
from quixstreams.models import Serializer

from tests.bench.peers import whole
from tests.bench.telling import tell_settings, telling_beside

STATE = b"state"


class Value(Serializer):  # type: ignore[misc]  # of the peers' environment, where nobody checks types
    """Of what a step puts out, the bytes that are the record's value."""

    def __call__(self, value: Any, ctx: Any) -> Any:
        """The bytes, or None for a tombstone."""
        del ctx
        return value.value


def keep(kept: State, name: bytes, state: bytes | None) -> None:
    """A state, or that there is none any more."""
    if state is None:
        kept.delete(name)
    else:
        kept.set_bytes(name, state)


def main(broker: str, run: str, guarantee: str, interval: float, folder: Path) -> None:
    """Both steps in one process; states and offsets are committed every so many seconds."""
    settings = {"processing_guarantee": guarantee, "commit_interval": interval, "commit_every": 0, "store": "rocksdb"}
    tell_settings(settings | whole.SETTINGS, "quixstreams", "confluent-kafka", "rocksdict", "msgspec")
    app = Application(
        broker_address=broker, consumer_group=f"quix-{run}", auto_offset_reset="earliest", state_dir=folder,
        processing_guarantee=guarantee, commit_interval=interval, loglevel="WARNING",
    )  # fmt: skip
    source = app.topic(f"{run}.calls", value_deserializer="bytes", key_deserializer="bytes")
    told_to = {name: app.topic(f"{run}.{name}", value_serializer=Value(), key_serializer="bytes") for name in whole.TOLD}
    core = whole.Core()

    def assemble(value: Any, key: Any, timestamp: int, headers: Any, kept: State) -> list[whole.Sent]:
        del timestamp
        found = []
        for name, events in core.read(key, value, headers or ()).items():
            state, sent = core.assemble(name, kept.get_bytes(name), events)
            keep(kept, name, state)
            found += sent
        return found

    def stitch(value: Any, key: Any, timestamp: int, headers: Any, kept: State) -> list[Any]:
        del timestamp, headers
        state, told = core.stitch(key, kept.get_bytes(STATE), value)
        keep(kept, STATE, state)
        return list(told)

    frame: Any = app.dataframe(source).apply(assemble, stateful=True, expand=True, metadata=True)
    frame = frame.group_by(
        lambda sent: sent.key, name="customer", value_serializer=Value(), key_serializer="bytes", value_deserializer="bytes",
        key_deserializer="bytes",
    )  # fmt: skip
    frame = frame.apply(stitch, stateful=True, expand=True, metadata=True)
    frame.to_topic(lambda output, *_: told_to[output.topic], key=lambda output: output.key)
    telling_beside(core.figures)
    app.run()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="quix-") as kept_in:
        main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), Path(kept_in))
