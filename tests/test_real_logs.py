"""Two real logs through `karar replay`, figure by figure, as they stand in `--metrics`."""

from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.command import karar
from tests.shared import ROOT, real_or_skip

MAPPING: Final = ROOT / "docs" / "examples" / "callcenter.toml"
QUEUE_LOG: Final = "formats/samples/asterisk/queue_log_freepbx_2010.txt"
CALL_CENTER: Final = "data/fluxicon_callcenter/callcenter.csv"


def served(tmp_path: Path, *arguments: str) -> Counter[tuple[str, ...]]:
    """What `--metrics` says, net, summed over shards: series and label values (by label name) → amount."""
    out = tmp_path / "out.prom"
    said = karar(tmp_path, "replay", *arguments, "--metrics", str(out))
    assert (said.status, said.err) == (0, [])
    net: Counter[tuple[str, ...]] = Counter()
    for family in text_string_to_metric_families(out.read_text(encoding="utf-8")):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "shard")
            sign = -1 if "_retracted" in sample.name else 1
            net[sample.name.replace("_retracted", "").removeprefix("karar_"), *labels] += sign * int(sample.value)
    return net


@pytest.mark.parametrize("partitions", ["1", "3"])
def test_the_real_queue_log_has_these_figures(tmp_path: Path, partitions: str) -> None:
    """Queue 9000: offered 21, answered 8, in target 6, abandoned 12, missed offers 221, 143 s waited by the answered, 2 open."""
    net = served(tmp_path, str(real_or_skip(QUEUE_LOG)), "--format", "asterisk-queue-log", "--partitions", partitions)

    assert net["contacts_offered_total", "call", "9000"] == 21
    assert net["contacts_answered_total", "call", "9000"] == 8
    assert net["contacts_answered_in_target_total", "call", "9000"] == 6
    assert {k: n for k, n in net.items() if k[0] == "contacts_abandoned_total"} == {
        ("contacts_abandoned_total", "call", "short", "9000", "queue"): 2,
        ("contacts_abandoned_total", "call", "in_target", "9000", "queue"): 6,
        ("contacts_abandoned_total", "call", "long", "9000", "queue"): 4,
    }
    assert net["missed_offers_total", "call", "9000", "9000"] == 221
    assert net["wait_seconds_sum", "call", "9000"] == 143
    assert net["customers_waiting", "call", "9000"] == 1
    assert net["in_conversation", "call", "9000"] == 1
    assert net["moments_of_truth_total", "human", "call", "9000"] == 8


def test_the_real_event_log_has_these_figures(tmp_path: Path) -> None:
    """3,885 chains, 6,053 moments, 1,610 handovers, all of them followups, no transfers; nobody is joined by an anonymous name."""
    net = served(tmp_path, str(real_or_skip(CALL_CENTER)), "--format", "csv", "--mapping", str(MAPPING))

    assert net["chains_opened_total",] == 3_885
    assert sum(n for k, n in net.items() if k[0] == "moments_of_truth_total") == 6_053
    assert {k[1:]: n for k, n in net.items() if k[0] == "handovers_total"} == {
        ("FL", "followup", "accepted", "FL"): 1_200,
        ("FL", "followup", "accepted", "BL"): 243,
        ("BL", "followup", "accepted", "FL"): 141,
        ("BL", "followup", "accepted", "BL"): 26,
    }
    assert sum(n for k, n in net.items() if k[0] == "transfers_started_total") == 0


def test_the_services_of_an_anonymous_customer_are_chains_of_their_own(tmp_path: Path) -> None:
    """571 services of one blocked value are never joined with one another."""
    source = real_or_skip(CALL_CENTER)
    rows = source.read_bytes().splitlines(keepends=True)
    (tmp_path / "anonymous.csv").write_bytes(rows[0] + b"".join(row for row in rows if b",Customer 3," in row))
    net = served(tmp_path, "anonymous.csv", "--format", "csv", "--mapping", str(MAPPING))

    assert net["chains_opened_total",] == 571
