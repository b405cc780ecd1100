"""Quix Streams: a stateful step over its store (RocksDB, with a changelog topic), at least once or exactly once."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quixstreams import Application, State

from tests.bench.telling import tell_settings, telling_beside


def main(broker: str, run: str, guarantee: str, interval: float, folder: Path) -> None:
    """Counts events by key, one output per event; state and offsets are committed every so many seconds."""
    settings = {"processing_guarantee": guarantee, "commit_interval": interval, "commit_every": 0, "store": "rocksdb"}
    tell_settings(settings, "quixstreams", "confluent-kafka", "rocksdict", "orjson")
    app = Application(
        broker_address=broker, consumer_group=f"quix-{run}", auto_offset_reset="earliest", state_dir=folder,
        processing_guarantee=guarantee, commit_interval=interval, loglevel="WARNING",
    )  # fmt: skip
    source = app.topic(f"src-{run}", value_deserializer="json", key_deserializer="bytes")
    counted = app.topic(f"out-{run}", value_serializer="bytes", key_serializer="bytes")
    events = 0

    def count(event: Any, kept: State) -> bytes:
        nonlocal events
        i = event["i"]
        state = kept.get("state") or {"n": 0, "last": []}
        kept.set("state", {"n": state["n"] + 1, "last": [*state["last"], i][-6:]})
        events += 1
        return b"%d" % i

    app.dataframe(source).apply(count, stateful=True).to_topic(counted)
    telling_beside(lambda: {"events": events})
    app.run()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="quix-") as kept_in:
        main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), Path(kept_in))
