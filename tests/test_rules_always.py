"""What must always hold, whatever events come in whatever order: tried by Hypothesis."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event
from streams.core.journal import amounts
from tests.core import facts, interactions
from tests.story import Story, begin, instant, replayed, reset

Step = tuple[str, dict[str, Any]]

GAPS: Final = (0, 0.001, 1, 5, 9.999, 10, 10.001, 20, 20.001, 45, 300, 600, 601, 1900, 7200, 29_000)
PEOPLE: Final = ("ann", "bob", "cy")
QUEUES: Final = ("A", "B")
KINDS: Final = ("blind", "consult", "introduced", "requeue", "external")
BETWEEN_PEOPLE: Final = {"blind", "consult", "introduced", "requeue", "reroute", "next_service"}

BARE: Final = ("offered", "rang", "abandoned", "callback_requested", "held", "retrieved", "consulted", "wrapped_up", "recalled", "parked")
COUNTER: Final = ("called", "no_show")

in_line: Final = st.one_of(
    st.builds(lambda q: ("queued", {"queue": q}), st.sampled_from(QUEUES)),
    st.builds(
        lambda q, r: ("left_queue", {"queue": q, "reason": r}),
        st.sampled_from(QUEUES),
        st.sampled_from(("timeout", "key", "empty", "full", "closed", "withdrawn")),
    ),
    st.builds(lambda r: ("ended", {"reason": r}), st.sampled_from(("", "lost", "closed", "withdrawn", "busy"))),
)
by_people: Final = st.one_of(
    st.builds(
        lambda w, p: (w, {"representative": p, "team": p.upper()}),
        st.sampled_from(("answered", "serving_started", "resumed", "missed", "left", "wrapped_up")),
        st.sampled_from(PEOPLE),
    ),
    st.builds(
        lambda p, m: ("joined", {"representative": p, "team": p.upper(), "mode": m}),
        st.sampled_from(PEOPLE),
        st.sampled_from(("conference", "conference", "monitor", "coach")),
    ),
    st.builds(
        lambda k, q, only: ("transferred", {"kind": k, "to_queue": q, "queues_only": only}),
        st.sampled_from(KINDS), st.sampled_from(("", *QUEUES)), st.booleans(),
    ),
    st.just(("answered", {"representative": "ivr", "team": "menu", "actor": "bot"})),
    st.just(("left", {"representative": "ivr", "actor": "bot"})),
)  # fmt: skip


def steps(*bare: str) -> st.SearchStrategy[list[tuple[float, Step]]]:
    """Events and the seconds between them."""
    one: st.SearchStrategy[Step] = st.one_of(st.sampled_from([(what, {}) for what in bare]), in_line, by_people, by_people)
    return st.lists(st.tuples(st.sampled_from(GAPS), one), min_size=1, max_size=14)


def told(channel: str, name: str, happened: list[tuple[float, Step]], direction: str = "inbound") -> Story:
    """A story of those steps."""
    story, second = begin(channel, name, direction=direction), 0.0
    for gap, (what, words) in happened:
        second += gap
        story = story.tell(what, second, **words)
    return story


calls: Final = steps(*BARE).map(lambda happened: told("call", "c1", happened))
outbound: Final = steps(*BARE).map(lambda happened: told("call", "c1", happened, "outbound"))
visits: Final = steps(*BARE, *COUNTER, *COUNTER).map(lambda happened: told("visit", "v1", happened))


def amount(total: dict[Any, int], series: str, keep: Callable[[Any], bool] = lambda _: True) -> int:
    """The sum of one series over the labels kept."""
    return sum(n for key, n in total.items() if key[0] == series and keep(key))


def long_joins(events: list[Event], now: int) -> int:
    """Conference guests who stayed guests, for ten seconds at least."""
    records = [record for group in interactions(events).values() for record in group]
    return sum((guest.end or now) - guest.start >= 10_000 for record in records for guest in record.guests)


@given(st.one_of(calls, visits), st.sampled_from(GAPS))
def test_human_moments_are_contacts_with_a_touch_plus_handovers_between_people_plus_joins(story: Story, more: float) -> None:
    """Human moments = contacts with ≥ 1 human touch + accepted handovers from person to person + joins that did not become introduced."""
    now = story.events[-1].at + round(more * 1000)
    total = facts([*story], now)
    handovers = amount(total, "handovers_total", lambda key: key[3] in BETWEEN_PEOPLE and key[4] == "accepted")
    served = amount(total, "chains_served_total")

    assert amount(total, "moments_of_truth_total", lambda key: key[3] == "human") == served + handovers + long_joins([*story], now)


@given(calls, st.sampled_from(GAPS), st.booleans())
def test_offered_is_exits_plus_waiting_always(story: Story, more: float, was_reset: bool) -> None:  # noqa: FBT001 - drawn
    """Every entry has exactly one exit …. Offered = Σ exits + waiting, always."""
    last = (story.events[-1].at - instant(0)) / 1000
    events = [*story, reset(last)] if was_reset else [*story]
    total = facts(events, instant(last + more))
    waiting = amount(total, "customers_waiting")

    assert amount(total, "contacts_offered_total") == amount(total, "queue_exits_total") + waiting


@given(st.one_of(calls, visits), st.sampled_from(GAPS))
def test_answered_and_abandoned_are_the_exits_of_their_name(story: Story, more: float) -> None:
    """Offered, answered and abandoned count *queue entries*. Every entry has exactly one exit."""
    total = facts([*story], story.events[-1].at + round(more * 1000))

    assert amount(total, "contacts_answered_total") == amount(total, "queue_exits_total", lambda key: key[3] == "answered")
    assert amount(total, "contacts_abandoned_total") == amount(total, "queue_exits_total", lambda key: key[3] == "abandoned")
    assert amount(total, "wait_seconds") == amount(total, "contacts_answered_total")
    assert amount(total, "abandon_wait_seconds") == amount(total, "contacts_abandoned_total")


@given(st.one_of(calls, visits), st.sampled_from(GAPS))
def test_an_entry_is_never_evaluated_twice_and_never_answered_in_target_and_missed(story: Story, more: float) -> None:
    """A queue entry is *evaluated once*. So met / (met + missed) is a live service level that never exceeds 1."""
    total = facts([*story], story.events[-1].at + round(more * 1000))
    met = amount(total, "target_evaluations_total", lambda key: key[1] == "wait" and key[4] == "met")
    missed = amount(total, "target_evaluations_total", lambda key: key[1] == "wait" and key[4] == "missed")

    assert met + missed <= amount(total, "contacts_offered_total")
    assert met == amount(total, "contacts_answered_in_target_total")


@given(outbound, st.sampled_from(GAPS))
def test_outbound_is_in_no_figure_of_a_queue(story: Story, more: float) -> None:
    """Outbound is in no service level, abandon or repeat figure."""
    total = facts([*story], story.events[-1].at + round(more * 1000))

    for series in ("contacts_offered_total", "queue_exits_total", "contacts_abandoned_total", "contacts_answered_total"):
        assert amount(total, series) == 0


@given(st.one_of(calls, visits, outbound), st.sampled_from(GAPS))
def test_nothing_that_is_counted_is_less_than_nothing(story: Story, more: float) -> None:
    """Both only rise: a net amount is never negative."""
    total = facts([*story], story.events[-1].at + round(more * 1000))

    assert {key: n for key, n in total.items() if n < 0} == {}


@given(st.one_of(calls, visits), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_count(story: Story, chance: Any) -> None:
    """Everything is a function of (set of events, now, rules)."""
    shuffled = [*story]
    chance.shuffle(shuffled)

    assert facts(shuffled, story.events[-1].at) == facts([*story], story.events[-1].at)


@given(st.one_of(calls, visits, outbound), st.integers(0, 14), st.sampled_from(GAPS))
def test_however_the_events_are_sliced_the_ledger_has_the_same_net_amounts(story: Story, cut: int, more: float) -> None:
    """Comparisons between runs are of *net* amounts: gross ones depend on how events were sliced."""
    now = story.events[-1].at + round(more * 1000)
    replay = replayed(story.events[:cut], story.events[cut:])
    replay.finish(now)

    assert replay.net() == Counter({place: n for place, n in amounts(facts([*story], now)).items() if n})
    assert replay.differences() == {}
