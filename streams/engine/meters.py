"""What a worker says of itself: series of this process (METRICS.md, Worker series), without a shard's name on them."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from streams.engine.stage import Record

SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 300, 3600)
LAGS_MS: Final = tuple(round(bound * 1000) for bound in SECONDS)

COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "events_total": ("Events by what became of them.", ("source", "result")),
    "dead_letters_total": ("Records that could not be taken.", ("source", "reason")),
    "forwarded_total": ("Events sent on to the partition that their key hashes to.", ("source",)),
    "orphans_total": ("Interactions whose beginning was never seen.", ("source",)),
    "truncated_total": ("What was cut because it grew beyond its limit.", ("what",)),
    "bookings_total": ("Amounts booked.", ("result",)),
    "transactions_total": ("Transactions by outcome.", ("result",)),
    "defects_total": ("Records that a step could not take: defects of ours.", ("stage",)),
    "alerts_total": ("Alerts on chains by what became of them.", ("result",)),
    "seeks_total": ("Times that records were read again because something was lost on the way.", ("topic",)),
    "kafka_retries_total": ("Retries of the Kafka client that are nobody's concern.", ("kind",)),
}


class Lags(Collector):
    """From a record's own time to the publication of what it changed, by stage: a histogram that takes whole slices."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.sums: dict[str, int] = {}

    def observe(self, stage: str, now: int, records: Sequence[Record]) -> None:
        """Adds the lag at ``now`` (ms) of every record. Within a partition times rise, as a rule: mostly all fall into one bucket."""
        counts = self.counts.setdefault(stage, [0] * (len(LAGS_MS) + 1))
        first = bisect_left(LAGS_MS, now - records[0].timestamp)
        if first == bisect_left(LAGS_MS, now - records[-1].timestamp):
            counts[first] += len(records)
        else:
            for record in records:
                counts[bisect_left(LAGS_MS, now - record.timestamp)] += 1
        middle = (records[0].timestamp + records[-1].timestamp) // 2
        self.sums[stage] = self.sums.get(stage, 0) + (now - middle) * len(records)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The histogram at the scrape."""
        text = "From a record's own time to the publication of what it changed."
        family = HistogramMetricFamily("karar_event_lag_seconds", text, labels=("stage",))
        for stage, counts in self.counts.items():
            total, buckets = 0, []
            for bound, count in zip((*map(str, SECONDS), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric((stage,), buckets, self.sums[stage] / 1000)
        yield family


class Meters:
    """The worker's series on a registry of their own. One object for each process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counters = {name: Counter(f"karar_{name}", text, labels, registry=self.registry) for name, (text, labels) in COUNTERS.items()}
        self.commit = self.histogram("commit_seconds", "Length of a transaction, from its begin to its commit.")
        self.lag = Lags()
        self.registry.register(self.lag)
        self.recovery = self.gauge("recovery_seconds", "How long the shard took to open.", "stage", "partition")
        self.uncommitted = self.gauge("uncommitted_events", "Records applied and not committed yet.")
        self.oldest = self.gauge("oldest_uncommitted_seconds", "Age of the oldest record that is applied and not committed.")
        self.behind = self.gauge("behind_seconds", "How far the shards here are behind; 0 when caught up.")
        self.consumer_lag = self.gauge("consumer_lag", "Records not applied yet.", "topic", "partition")
        self.up = self.gauge("shard_up", "1: open here; 0: assigned to this worker and not open.", "topic", "partition")
        self.shards = self.gauge("shards", "Shards assigned to this worker.")
        self.differences = self.gauge("ledger_differences", "Series whose trial balance was not 0 when it was last drawn.")
        self.rebased = self.gauge("rules_rebased_timestamp_seconds", "When totals were last counted anew for changed rules.")
        self.last_event = self.gauge("source_last_event_timestamp_seconds", "Newest event time read.", "stage")
        self.build = self.gauge("build_info", "Version and rules of this worker.", "version", "rules_version")

    def histogram(self, name: str, text: str, *labels: str) -> Histogram:
        """A histogram of seconds."""
        return Histogram(f"karar_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge."""
        return Gauge(f"karar_{name}", text, labels, registry=self.registry)

    def count(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Adds what steps counted; a name that is not in the table is nobody's series and left out."""
        for (name, *labels), number in counts.items():
            counter = self.counters.get(name)
            if counter is not None:
                (counter.labels(*labels) if labels else counter).inc(number)
