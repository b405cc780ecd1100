"""The whole workload in Bytewax with recovery: keyed by interaction, then by customer, a stateful step after each.

One worker needs no topic between: what is keyed anew stays in the process. Its states are snapshots in SQLite, in a folder that stays
where it was started, so that it can be judged by them.
"""

import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.bench.peers import whole
from tests.bench.peers.bytewax_flow import BATCH, SNAPSHOT_SECONDS
from tests.bench.telling import tell_settings, telling_beside


def flow_of(broker: str, run: str) -> Dataflow:
    """The events of one topic, what is told to several."""
    core = whole.Core()
    telling_beside(core.figures)

    def read(message: Any) -> Iterable[tuple[str, list[Any]]]:
        return [(key.decode(), events) for key, events in core.read(message.key, message.value, message.headers).items()]

    def assemble(key: str, state: bytes | None, events: list[Any]) -> tuple[bytes | None, list[tuple[str, bytes]]]:
        state, sent = core.assemble(key.encode(), state, events)
        return state, [(customer.decode(), snapshot) for customer, snapshot in sent]

    def stitch(customer: str, state: bytes | None, snapshot: bytes) -> tuple[bytes | None, Iterable[Any]]:
        return core.stitch(customer.encode(), state, snapshot)

    flow = Dataflow(f"bytewax-{run}")
    source = kafka.input("source", flow, brokers=[broker], topics=[f"{run}.calls"], batch_size=BATCH)
    # A mapper is not told its key: it goes along with what is mapped.
    events = op.flat_map("read", source.oks, lambda message: [(key, (key, events)) for key, events in read(message)])
    assembled = op.stateful_flat_map("assemble", events, lambda state, item: assemble(item[0], state, item[1]))
    sent = op.map("customer", assembled, lambda item: (item[1][0], item[1]))
    stitched = op.stateful_flat_map("stitch", sent, lambda state, item: stitch(item[0], state, item[1]))
    outputs = op.map("output", stitched, lambda item: KafkaSinkMessage(item[1].key, item[1].value, topic=f"{run}.{item[1].topic}"))
    kafka.output("told", outputs, brokers=[broker], topic=f"{run}.dead-letters")
    return flow


def main(broker: str, run: str, partitions: int) -> None:
    """One worker, as one process of every other host."""
    settings = {"workers": 1, "recovery": "on", "batch_size": BATCH, "snapshot_interval": SNAPSHOT_SECONDS, "backup_interval": 0}
    tell_settings(settings | whole.SETTINGS, "bytewax", "confluent-kafka", "msgspec")
    folder = Path(whole.SNAPSHOTS)
    folder.mkdir()
    init_db_dir(folder, partitions)
    kept, interval = RecoveryConfig(str(folder), timedelta(0)), timedelta(seconds=SNAPSHOT_SECONDS)
    cli_main(flow_of(broker, run), workers_per_process=1, epoch_interval=interval, recovery_config=kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
