"""Logs published to a real Kafka and counted by several workers: the same net totals as `karar replay`, and the books balance."""

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.codec import rfc3339
from tests.command import karar
from tests.shared import LOOKALIKES, ROOT, real_or_skip, shared
from tests.topics import fresh
from tests.worker import environment, page, wait_for, working

# The product runs in processes of its own: to trace this one would only slow it.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

MAPPING: Final = ("--mapping", str(ROOT / "docs" / "examples" / "callcenter.toml"))
QUEUE_LOG: Final = "formats/samples/asterisk/queue_log_freepbx_2010.txt"
CALL_CENTER: Final = "data/fluxicon_callcenter/callcenter.csv"
PARTITIONS: Final = 8


def net(texts: Iterable[str]) -> dict[tuple[str, ...], float]:
    """Net totals of ledger series over all shards of all workers, without zeros."""
    totals: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = dict(sample.labels)
                if labels.pop("shard", None) is None or sample.name.startswith(("karar_longest_wait", "karar_label_overflow")):
                    continue
                sign = -1 if "_retracted" in sample.name else 1
                totals[sample.name.replace("_retracted", ""), *map(str, sorted(labels.items()))] += sign * round(sample.value * 1000)
    return {series: amount for series, amount in totals.items() if amount}


def counted_alike(kafka: str, folder: Path, log: Path, form: str, workers: int, *arguments: str) -> None:
    """Publishes a log alone to fresh topics, lets workers count it at the instant of its last event, and compares with a replay."""
    settings = fresh(kafka, PARTITIONS)
    adapters = {"KARAR_ADAPTERS": f"{settings.prefix}.calls={form}"} if form == "asterisk-queue-log" else {}
    given = {name: value for name, value in environment(settings, **adapters).items() if name.startswith("KARAR_")}
    assert karar(folder, "topics", stdin=b"", **given).status == 0
    assert karar(folder, "publish", str(log), "--format", form, *arguments, stdin=b"", **given).status == 0
    events = karar(folder, "convert", str(log), "--format", form, *arguments).out
    last = max(json.loads(line)["at"] for line in events.splitlines())
    replayed = karar(folder, "replay", str(log), "--format", form, *arguments, "--metrics", "replay.prom")
    assert replayed.status == 0
    with ExitStack() as stack:
        ports = []
        for number in range(workers):
            (folder / str(number)).mkdir()
            ports.append(stack.enter_context(working(folder / str(number), settings, KARAR_CLOCK=rfc3339(last), **adapters)))
        expected = net([(folder / "replay.prom").read_text("utf-8")])
        wait_for(lambda: net(page(port, "/metrics") for port in ports) == expected)
        assert all('shard="' in page(port, "/metrics") for port in ports)
    audited = karar(folder, "audit", stdin=b"", **given | {"KARAR_CLOCK": rfc3339(last)})
    assert audited.status == 0, audited.out


@pytest.mark.parametrize("workers", [2, 3])
def test_a_queue_log_counts_alike_live(kafka: str, tmp_path: Path, workers: int) -> None:
    """Raw lines, as Asterisk writes them."""
    log = shared(QUEUE_LOG) or LOOKALIKES / "queue_log_old.txt"
    counted_alike(kafka, tmp_path, log, "asterisk-queue-log", workers)


@pytest.mark.parametrize("workers", [2, 3])
def test_an_event_log_counts_alike_live(kafka: str, tmp_path: Path, workers: int) -> None:
    """Rows of a table, as canonical events."""
    counted_alike(kafka, tmp_path, real_or_skip(CALL_CENTER), "csv", workers, *MAPPING)
