"""Bytewax: a stateful map between its Kafka connectors, with recovery (snapshots into SQLite) or without."""

import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.bench.telling import tell_settings, telling_beside

SNAPSHOT_SECONDS = 10
BATCH = 1000


def flow_of(broker: str, run: str) -> Dataflow:
    """Counts events by key, one output per event."""
    events, loads = 0, orjson.loads
    telling_beside(lambda: {"events": events})

    def count(state: dict[str, Any] | None, message: Any) -> tuple[dict[str, Any], int]:
        nonlocal events
        i = loads(message.value)["i"]
        if state is None:
            state = {"n": 0, "last": []}
        state["n"] += 1
        state["last"] = [*state["last"], i][-6:]
        events += 1
        return state, i

    flow = Dataflow(f"bytewax-{run}")
    source = kafka.input("source", flow, brokers=[broker], topics=[f"src-{run}"], batch_size=BATCH)
    keyed = op.key_on("key", source.oks, lambda message: message.key.decode())
    counted = op.stateful_map("count", keyed, count)
    outputs = op.map("output", counted, lambda item: KafkaSinkMessage(item[0].encode(), b"%d" % item[1]))
    kafka.output("out", outputs, brokers=[broker], topic=f"out-{run}")
    return flow


def main(broker: str, run: str, partitions: int, recovery: str) -> None:
    """One worker, as one process of every other host."""
    settings = {"workers": 1, "recovery": recovery, "batch_size": BATCH, "snapshot_interval": SNAPSHOT_SECONDS, "backup_interval": 0}
    tell_settings(settings, "bytewax", "confluent-kafka", "orjson")
    interval = timedelta(seconds=SNAPSHOT_SECONDS)
    with TemporaryDirectory(prefix="bytewax-") as folder:
        kept = None
        if recovery == "on":
            init_db_dir(Path(folder), partitions)
            kept = RecoveryConfig(folder, timedelta(0))
        cli_main(flow_of(broker, run), workers_per_process=1, epoch_interval=interval, recovery_config=kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
