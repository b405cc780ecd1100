"""The exposition: names, twins, labels, buckets, units, and that nothing is said twice."""

from functools import cache
from typing import Final

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from streams.core.identity import Identity
from streams.core.series import SERIES, TABLE
from streams.core.targets import Rules, parse
from streams.engine.ledger import LIMIT, Ledger
from streams.exposition import exposition
from streams.metrics import other
from streams.replay import Replay
from streams.simulate import simulate
from tests.story import DAY, Story, call, instant, replayed

COUNTERS: Final = {
    "moments_of_truth_total": ("channel", "team", "actor"),
    "moments_judged_total": ("channel", "team", "result"),
    "contacts_total": ("channel", "direction", "identified", "need"),
    "contacts_offered_total": ("channel", "queue"),
    "contacts_answered_total": ("channel", "queue"),
    "contacts_answered_in_target_total": ("channel", "queue"),
    "contacts_abandoned_total": ("channel", "queue", "stage", "kind"),
    "queue_exits_total": ("channel", "queue", "exit"),
    "contacts_dropped_total": ("channel", "team", "stage"),
    "contacts_blocked_total": ("channel", "queue", "reason"),
    "callbacks_total": ("channel", "queue", "state"),
    "outbound_attempts_total": ("channel", "team", "result"),
    "missed_offers_total": ("channel", "queue", "team"),
    "touches_ended_total": ("channel", "team"),
    "handovers_total": ("from_team", "to_team", "kind", "outcome"),
    "transfers_started_total": ("channel", "team", "kind"),
    "consults_total": ("from_team", "to_team"),
    "ping_pongs_total": ("team",),
    "excessive_transfers_total": ("channel", "team"),
    "unserved_total": ("channel", "queue"),
    "presumed_ended_total": ("channel", "phase"),
    "chains_opened_total": (),
    "chains_served_total": (),
    "chains_closed_total": ("outcome",),
    "chains_unscored_total": (),
    "weakest_links_total": ("team", "link", "reason"),
    "link_shortfall_total": ("team", "link"),
    "target_evaluations_total": ("target", "scope", "segment", "result"),
}
HISTOGRAMS: Final = {
    "wait_seconds": ("channel", "queue"),
    "abandon_wait_seconds": ("channel", "queue"),
    "contact_wait_seconds": ("channel",),
    "talk_seconds": ("channel", "team"),
    "hold_seconds": ("channel", "team"),
    "wrap_up_seconds": ("channel", "team"),
    "chain_experience_seconds": (),
    "chain_resolution_seconds": (),
    "moments_per_chain": (),
    "transfers_per_chain": (),
    "representatives_per_chain": (),
    "link_score_ratio": ("link",),
    "chain_score_ratio": (),
}
GAUGES: Final = {
    "customers_waiting": ("channel", "queue"),
    "in_conversation": ("channel", "team"),
    "on_hold": ("channel", "team"),
    "chains_open": (),
    "chains_open_weakest": ("link",),
    "handovers_pending": ("from_team", "to_team"),
}
FROM_STATES: Final = {"longest_wait_seconds": ("channel", "queue")}
"""Gauges that are no facts: in no ledger."""

FROM_TARGETS: Final = {"karar_target_seconds", "karar_target_transfers", "karar_objective_ratio", "karar_targets_info"}

SECONDS: Final = "1 2 5 10 15 20 30 45 60 90 120 180 300 600 900 1200 1800 3600 7200 14400 28800 86400 +Inf"
CHAIN_SECONDS: Final = "10 30 60 120 300 600 1800 3600 14400 28800 86400 172800 259200 604800 1209600 2592000 +Inf"
COUNTS: Final = "0 1 2 3 4 5 6 8 10 15 20 +Inf"
TENTHS: Final = "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1 +Inf"
BOUNDS: Final = (
    {name: SECONDS for name in HISTOGRAMS if name.endswith("_seconds")}
    | dict.fromkeys(("chain_experience_seconds", "chain_resolution_seconds"), CHAIN_SECONDS)
    | dict.fromkeys(("moments_per_chain", "transfers_per_chain", "representatives_per_chain"), COUNTS)
    | dict.fromkeys(("link_score_ratio", "chain_score_ratio"), TENTHS)
)

NOW: Final = 1_800_000_000_000
OBJECTIVES: Final = """
[[target]]
kind = "wait"
seconds = 30
queue = "billing"

[[objective]]
name = "service level"
ratio = 0.8
queue = "billing"
channel = "call"
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def twin(name: str) -> str:
    """The name under which what is no longer true is counted."""
    for suffix in ("_total", "_seconds", "_ratio"):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}_retracted{suffix}"
    return f"{name}_retracted"


@cache
def families() -> tuple[Metric, ...]:
    """A simulated half day over three partitions, and ten days of quiet after it."""
    replay = Replay(parse(OBJECTIVES), Identity(), 3)
    for part in replay.slices(simulate(seed=3, customers=400, days=0.5)):
        replay.take(part)
    replay.finish(replay.now + 10 * DAY * 1000)
    return parsed(replay.metrics())


def parsed(text: bytes) -> tuple[Metric, ...]:
    """An exposition as its readers see it."""
    return tuple(text_string_to_metric_families(text.decode()))


def samples(text: bytes) -> Samples:
    """Every sample by name and labels, the shard left out; a second one of the same labels is an error."""
    found: Samples = {}
    for family in parsed(text):
        for sample in family.samples:
            key = sample.name, frozenset((k, v) for k, v in sample.labels.items() if k != "shard")
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    """One sample."""
    return found[name, frozenset(labels.items())]


def told(*slices: Story, later: float = 0) -> Samples:
    """What is served after those stories."""
    replay = replayed(*slices)
    replay.finish(instant(later))
    return samples(replay.metrics())


# -- Names and labels --------------------------------------------------------------------------------------------------


def test_every_series_whose_facts_exist_is_in_the_table_with_its_labels() -> None:
    """The ledger list of METRICS.md, name by name, label by label."""
    kinds = {kind: {s.name: s.labels for s in TABLE if s.kind == kind and s.booked} for kind in ("counter", "histogram", "gauge")}

    assert kinds == {"counter": COUNTERS, "histogram": HISTOGRAMS, "gauge": GAUGES}
    assert {s.name: s.labels for s in TABLE if not s.booked} == FROM_STATES


def test_names_of_twins() -> None:
    """Each has a twin `_retracted` where it can be corrected; the unit stays at the end."""
    assert SERIES["moments_of_truth_total"].retracted == "moments_of_truth_retracted_total"
    assert SERIES["wait_seconds"].retracted == "wait_retracted_seconds"
    assert SERIES["link_score_ratio"].retracted == "link_score_retracted_ratio"
    assert SERIES["moments_per_chain"].retracted == "moments_per_chain_retracted"


def test_what_is_served_is_what_the_table_says() -> None:
    """Prefix `karar_`; every counter and histogram with its twin, of the same labels; no other family."""
    ledger = {f"karar_{n}": "counter" for name in COUNTERS for n in (name, twin(name))}
    ledger |= {f"karar_{n}": "histogram" for name in HISTOGRAMS for n in (name, twin(name))}
    ledger |= {f"karar_{name}": "gauge" for name in GAUGES}
    served = {f.name + "_total" if f.type == "counter" else f.name: f.type for f in families()}

    assert {name: kind for name, kind in served.items() if name not in FROM_TARGETS}.items() <= ledger.items()
    assert {name for name in served if name.endswith("_retracted_total")} == {
        f"karar_{twin(name)}" for name in COUNTERS if f"karar_{name}" in served
    }
    assert len(served) > 60


def test_what_is_for_the_books_alone_is_not_served() -> None:
    """A name with `_` first never reaches the exposition."""
    ledger = replayed(call("c1").rang(0)).ledgers["stitch-0"]

    assert ledger.net()["_interactions_held", ""] == 1
    assert b"interactions" not in exposition({"stitch-0": ledger}, Rules(), NOW)


def test_the_shard_is_on_every_ledger_series_and_on_nothing_else() -> None:
    """Label `shard` on each, as `stitch-3`, and nothing else has it."""
    expected = {f"karar_{n}": labels for name, labels in (COUNTERS | HISTOGRAMS | GAUGES).items() for n in (name, twin(name))}
    for family in families():
        name = family.name + "_total" if family.type == "counter" else family.name
        for sample in family.samples:
            labels = set(sample.labels) - {"le"}
            if name in FROM_TARGETS:
                assert "shard" not in labels
            else:
                assert labels == {*expected[name], "shard"}
                assert sample.labels["shard"] in {"stitch-0", "stitch-1", "stitch-2"}


def test_every_shard_serves_its_own() -> None:
    """Counters belong to a shard of the log; the sum over shards is the whole."""
    opened = [s for f in families() if f.name == "karar_chains_opened" for s in f.samples]

    assert {s.labels["shard"] for s in opened} == {"stitch-0", "stitch-1", "stitch-2"}
    assert all(s.value > 0 for s in opened)


def test_nobody_is_a_label() -> None:
    """Never a customer, interaction or chain id in a label."""
    text = " ".join(value for f in families() for s in f.samples for value in s.labels.values())

    assert "customer:" not in text
    assert "sim/" not in text
    assert "+90" not in text


@pytest.mark.parametrize("name", ["A", 'say "A"', "back\\slash", "two\nlines", "日本", "", "a=b,c{d}"])
def test_a_label_is_read_back_as_it_was(name: str) -> None:
    """Names of queues are the publisher's; an empty one is `none`."""
    found = told(call("c1").missed(0, "ann", queue=name, team="red").ended(1))

    assert value(found, "karar_missed_offers_total", channel="call", queue=name or "none", team="red") == 1


# -- Units and buckets -------------------------------------------------------------------------------------------------


def test_amounts_are_divided_here() -> None:
    """Base units: milliseconds become seconds, thousandths ratios; counts stay."""
    found = told(call("c1").queued(0, "A").answered(65.001, "ann", team="red").ended(100), later=3 * DAY)

    assert value(found, "karar_wait_seconds_sum", channel="call", queue="A") == 65.001
    assert value(found, "karar_link_score_ratio_sum", link="wait") == 0.307
    assert value(found, "karar_link_shortfall_total", team="A", link="wait") == 0.693
    assert value(found, "karar_moments_per_chain_sum") == 1
    assert value(found, "karar_chain_resolution_seconds_sum") == 100


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_bounds_are_fixed_for_ever(name: str) -> None:
    """Histogram bounds never change: a new one would make old counts unreadable."""
    ledger = Ledger(other)
    ledger.book([(("\x1f".join((name, *SERIES[name].labels)), "0"), 1, 0)])
    for family in parsed(exposition({"stitch-0": ledger}, Rules(), NOW)):
        if family.type == "histogram":
            bounds = [s.labels["le"].removesuffix(".0") for s in family.samples if s.name.endswith("_bucket")]

            assert family.name in {f"karar_{name}", f"karar_{twin(name)}"}
            assert " ".join(bounds) == BOUNDS[name]


@pytest.mark.parametrize(
    ("waited", "first"), [(4.999, "5.0"), (5, "5.0"), (5.001, "10.0"), (86_400, "86400.0"), (86_400.001, "+Inf"), (0, "1.0")]
)
def test_a_bound_is_inclusive_and_buckets_are_cumulative(waited: float, first: str) -> None:
    """An observation counts in the first bucket whose bound is not below it, and in every larger one."""
    story = call("c1").queued(0, "A", appointment_at=instant(0)).answered(waited, "ann", team="red").ended(waited + 1)
    found = told(story)
    buckets = {float(dict(labels)["le"]): v for (name, labels), v in found.items() if name == "karar_wait_seconds_bucket"}

    assert buckets == {bound: float(bound >= float(first)) for bound in buckets}
    assert value(found, "karar_wait_seconds_count", channel="call", queue="A") == 1


def test_a_correction_moves_amounts_to_the_twin() -> None:
    """What is no longer true is added to the twin: buckets, sum, count; nothing falls."""
    story = call("c1").queued(0, "A").answered(30, "ann", team="red")
    found = told(story, call("c1").answered(8, "bob", team="blue", id="c1-0"))
    labels = {"channel": "call", "queue": "A"}

    assert value(found, "karar_wait_seconds_sum", **labels) == 38
    assert value(found, "karar_wait_retracted_seconds_sum", **labels) == 30
    assert value(found, "karar_wait_seconds_bucket", le="10.0", **labels) == 1
    assert value(found, "karar_wait_retracted_seconds_bucket", le="10.0", **labels) == 0
    assert value(found, "karar_wait_retracted_seconds_bucket", le="30.0", **labels) == 1
    assert value(found, "karar_wait_retracted_seconds_count", **labels) == 1


def test_a_gauge_is_its_net_and_has_no_twin() -> None:
    """Gauges: entry adds, exit takes away."""
    found = told(call("c1").queued(0, "A"), call("c2").queued(0, "A"), call("c1").queued(0, "A").answered(5, "ann", team="red"))

    assert value(found, "karar_customers_waiting", channel="call", queue="A") == 1
    assert value(found, "karar_in_conversation", channel="call", team="red") == 1
    assert not [name for name, _ in found if "waiting_retracted" in name]


# -- Targets -----------------------------------------------------------------------------------------------------------


def test_targets_are_served() -> None:
    """From the targets: seconds, transfers, objectives, and the version of the rules; without `shard`."""
    rules = parse(OBJECTIVES)
    found = samples(exposition({}, rules, NOW))

    assert value(found, "karar_target_seconds", target="wait", scope="channel:call") == 20
    assert value(found, "karar_target_seconds", target="wait", scope="queue:billing") == 30
    assert value(found, "karar_target_seconds", target="hold", scope="all") == 60
    assert value(found, "karar_target_transfers", scope="all") == 1
    assert value(found, "karar_objective_ratio", objective="service level", scope="queue:billing") == 0.8
    assert value(found, "karar_targets_info", version=rules.version) == 1


@pytest.mark.parametrize("condition", ['channel = "chat"', "from = 2026-06-01", 'team = "red"'])
def test_no_target_is_served_twice(condition: str) -> None:
    """Of two rows with one scope one is served: a second sample of the same labels costs the whole scrape."""
    rows = ('queue = "A"', f'queue = "A"\n{condition}')
    rules = parse("".join(f'[[target]]\nkind = "wait"\nseconds = {30 + 10 * number}\n{row}\n' for number, row in enumerate(rows)))

    assert samples(exposition({}, rules, NOW))


# -- The substitute ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "substitute"),
    [
        (("contacts_abandoned_total", "call", "A", "queue", "long"), ("contacts_abandoned_total", "call", "other", "queue", "long")),
        (("handovers_total", "A", "B", "blind", "accepted"), ("handovers_total", "other", "other", "blind", "accepted")),
        (("contacts_total", "call", "inbound", "true", "bill"), ("contacts_total", "call", "inbound", "true", "other")),
        (
            ("target_evaluations_total", "wait", "queue:A", "gold", "met"),
            ("target_evaluations_total", "wait", "other", "other", "met"),
        ),
        (("chains_open",), ("chains_open",)),
    ],
)
def test_past_the_limit_open_labels_say_other(series: tuple[str, ...], substitute: tuple[str, ...]) -> None:
    """Past the limit the value is `other`; closed vocabularies stay."""
    assert other("\x1f".join(series)) == "\x1f".join(substitute)


# -- Configured names --------------------------------------------------------------------------------------------------


def test_a_configured_queue_has_its_name_however_many_others_came_before() -> None:
    """Typing errors, generated names, a scan: they become `other`; the queue that somebody set a target for does not."""
    rules = parse('[queues]\nsales = "shop"\n[[target]]\nkind = "wait"\nqueue = "orders"\nseconds = 30\n')
    replay = Replay(rules, Identity())
    names = [*(f"q{n}" for n in range(LIMIT + 20)), "orders", "sales"]
    replay.take([x for n, name in enumerate(names) for x in call(f"c{n}").queued(n, name).abandoned(n + 60)])
    replay.take([*call("d").queued(0, "sales").answered(9, "ann").ended(99)])
    found = samples(replay.metrics())
    offered = {dict(labels)["queue"]: v for (name, labels), v in found.items() if name == "karar_contacts_offered_total"}

    assert (offered["sales"], offered["orders"], offered["other"]) == (2, 1, 24)
    assert len(offered) == LIMIT - 2 + 1
    assert value(found, "karar_label_overflow_total", metric="karar_contacts_offered_total") == 24
    for exit_ in ("abandoned", "answered"):
        assert value(found, "karar_queue_exits_total", channel="call", queue="sales", exit=exit_) == 1


def test_a_configured_team_is_told_of_before_anything_happened() -> None:
    """Zeros for configured single labels; pairs appear when they are seen."""
    replay = Replay(parse('[queues]\nsales = "shop"\n[representatives]\nann = "repair"\n'), Identity())

    found = samples(replay.metrics())

    assert [value(found, "karar_ping_pongs_total", team=team) for team in ("repair", "shop")] == [0, 0]
