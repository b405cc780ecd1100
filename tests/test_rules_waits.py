"""How long queue entries and contacts waited, and whether that was in time."""

from typing import Final

import pytest

from streams.core.targets import parse
from tests.story import LATER, MS, Labels, Story, booked, call, counted, instant, replayed, visit

ENTRY: Final = call("c1").queued(0, "A")
MET: Final = {("wait", "channel:call", "none", "met"): 1}
MISSED: Final = {("wait", "channel:call", "none", "missed"): 1}


def exits(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Exits by channel, queue and exit."""
    return counted("queue_exits_total", *stories, now=now)


def evaluations(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Evaluations of the wait target."""
    found = counted("target_evaluations_total", *stories, now=now)
    return {labels: amount for labels, amount in found.items() if labels[0] == "wait"}


def test_at_a_counter_the_wait_ends_at_the_first_call_and_the_touch_begins_with_serving() -> None:
    """At a counter the wait ends at the first call, the touch begins when serving starts; a recall never lengthens the wait."""
    story = visit("v1").queued(0, "A").called(100).recalled(150).called(200).serving_started(260, "ann").ended(500)

    assert counted("wait_seconds", story) == {("visit", "A", 100_000): 1}
    assert counted("talk_seconds", story) == {("visit", "A", 240_000): 1}


def test_a_no_show_is_an_abandon_with_the_wait_until_the_call() -> None:
    """A no-show is an abandon with that wait."""
    story = visit("v1").queued(0, "A").called(100).no_show(160)

    assert counted("contacts_abandoned_total", story) == {("visit", "A", "queue", "in_target"): 1}
    assert counted("abandon_wait_seconds", story) == {("visit", "A", 100_000): 1}
    assert exits(story) == {("visit", "A", "abandoned"): 1}
    assert evaluations(story) == {("wait", "channel:visit", "none", "missed"): 1}


@pytest.mark.parametrize(("called", "kind"), [(9.999, "short"), (10, "in_target"), (600, "in_target"), (600.001, "long")])
def test_the_kind_of_a_no_show_goes_by_the_wait_until_the_call(called: float, kind: str) -> None:
    """A no-show is an abandon with that wait."""
    story = visit("v1").queued(0, "A").called(called).no_show(2000)

    assert counted("contacts_abandoned_total", story) == {("visit", "A", "queue", kind): 1}


@pytest.mark.parametrize(("called", "result"), [(100, "met"), (600, "met"), (600.001, "missed")])
def test_a_no_show_served_later_is_answered_with_the_same_wait(called: float, result: str) -> None:
    """Served later, the abandon is retracted and the entry is answered with the same wait, evaluated by it."""
    story = visit("v1").queued(0, "A").called(called).no_show(1000).called(1500).serving_started(1600, "ann").ended(2000)

    assert counted("contacts_abandoned_total", story) == {}
    assert counted("abandon_wait_seconds", story) == {}
    assert exits(story) == {("visit", "A", "answered"): 1}
    assert counted("contacts_offered_total", story) == {("visit", "A"): 1}
    assert counted("wait_seconds", story) == {("visit", "A", round(called * 1000)): 1}
    assert evaluations(story) == {("wait", "channel:visit", "none", result): 1}


def test_the_abandon_of_a_no_show_served_later_is_retracted_in_the_ledger() -> None:
    """Served later, the abandon is retracted."""
    story = visit("v1").queued(0, "A").called(100).no_show(160).serving_started(400, "ann").ended(500)
    replay = replayed(story.events[:3])

    assert booked("contacts_abandoned_total", replay) == {("visit", "A", "queue", "in_target"): 1}
    replay.take(story.events[3:])
    assert booked("contacts_abandoned_total", replay) == {}
    assert booked("queue_exits_total", replay) == {("visit", "A", "answered"): 1}
    assert replay.differences() == {}


@pytest.mark.parametrize(("arrived", "called", "waited"), [(0, 360, 60), (500, 560, 60), (300, 360, 60), (0, 200, 0)])
def test_an_appointment_waits_from_the_later_of_arrival_and_appointment(arrived: int, called: int, waited: int) -> None:
    """Appointments wait from the later of arrival and appointment."""
    story = visit("v1").queued(arrived, "A", appointment_at=instant(300)).called(called).serving_started(600, "ann").ended(900)

    assert counted("wait_seconds", story) == {("visit", "A", waited * 1000): 1}


def test_an_appointment_misses_its_target_from_its_own_time_on() -> None:
    """Appointments wait from the later of arrival and appointment."""
    story = visit("v1").queued(0, "A", appointment_at=instant(300))

    assert evaluations(story, now=900) == {}
    assert evaluations(story, now=900 + MS) == {("wait", "channel:visit", "none", "missed"): 1}


def test_contact_wait_is_all_waiting_before_the_first_human_touch_over_all_queues() -> None:
    """*Contact wait* = all waiting before the first human touch, over all queues."""
    two_queues = ENTRY.left_queue(60, "A", "timeout").queued(70, "B").answered(75, "bob")
    later = two_queues.transferred(90, "blind", "C").queued(90, "C").answered(95, "cy").ended(99)

    assert counted("contact_wait_seconds", two_queues) == {("call", 65_000): 1}
    assert counted("contact_wait_seconds", later) == {("call", 65_000): 1}
    assert counted("contact_wait_seconds", ENTRY.abandoned(60)) == {}


def test_a_call_that_overflows_is_one_link_of_the_joined_wait() -> None:
    """(A 60 s, overflow to B, answered after 5 s more, target 20 s: …; one link of 65 s for A, score 0.307.)."""
    story = ENTRY.left_queue(60, "A", "timeout").queued(60, "B").answered(65, "bob").ended(90)

    assert counted("contacts_offered_total", story) == {("call", "A"): 1, ("call", "B"): 1}
    assert exits(story) == {("call", "A", "overflow"): 1, ("call", "B", "answered"): 1}
    assert evaluations(story) == MET | MISSED
    assert counted("wait_seconds", story) == {("call", "B", 5_000): 1}
    assert counted("contact_wait_seconds", story) == {("call", 65_000): 1}
    assert counted("link_score_ratio", story, now=LATER) == {("wait", 307): 1}
    assert counted("chain_score_ratio", story, now=LATER) == {(307,): 1}
    assert counted("weakest_links_total", story, now=LATER) == {("A", "wait", "wait"): 1}
    assert counted("link_shortfall_total", story, now=LATER) == {("A", "wait"): 693}


@pytest.mark.parametrize(("first", "second", "team", "score"), [(20.001, 1, "A", 952), (20, 1, "B", 952), (5, 35, "B", 500)])
def test_the_wait_link_goes_to_the_queue_in_which_the_target_ran_out(first: float, second: int, team: str, score: int) -> None:
    """The link goes to the queue in which that target ran out."""
    story = ENTRY.queued(first, "B").answered(first + second, "bob").ended(90)

    assert counted("weakest_links_total", story, now=LATER) == {(team, "wait", "wait"): 1}
    assert counted("link_score_ratio", story, now=LATER) == {("wait", score): 1}


def test_the_link_goes_to_the_last_queue_if_the_target_did_not_run_out() -> None:
    """… or to the last if it did not."""
    story = ENTRY.queued(5, "B").abandoned(16)

    assert counted("weakest_links_total", story, now=LATER) == {("B", "unserved", "abandoned"): 1}


def test_the_joined_wait_goes_against_the_first_queues_target_and_each_entry_against_its_own() -> None:
    """… with its own wait and its own queue's target; contact wait, wait link and score by the joined wait against the first queue's."""
    rules = parse('[[target]]\nkind = "wait"\nseconds = 30\nqueue = "A"\n[[target]]\nkind = "wait"\nseconds = 40\nqueue = "B"\n')
    story = ENTRY.queued(20, "B").answered(60, "bob").ended(90)

    assert counted("target_evaluations_total", story, rules=rules) == {("wait", "queue:B", "none", "met"): 1}
    assert counted("link_score_ratio", story, now=LATER, rules=rules) == {("wait", 500): 1}


@pytest.mark.parametrize(("waited", "in_target", "result"), [(19.999, 1, MET), (20, 1, MET), (20.001, 0, MISSED)])
def test_the_wait_target_is_inclusive(waited: float, in_target: int, result: dict[Labels, int]) -> None:
    """Target X is inclusive."""
    story = ENTRY.answered(waited, "ann").ended(60)

    assert counted("contacts_answered_in_target_total", story) == ({("call", "A"): 1} if in_target else {})
    assert counted("contacts_answered_total", story) == {("call", "A"): 1}
    assert evaluations(story) == result


@pytest.mark.parametrize(("waited", "result"), [(0, {}), (9.999, {}), (10, MISSED), (10.001, MISSED), (20.001, MISSED)])
def test_an_abandon_is_evaluated_as_missed_unless_short(waited: float, result: dict[Labels, int]) -> None:
    """A queue entry is *evaluated once*, at the first of: … abandoned and not short (missed)."""
    assert evaluations(ENTRY.abandoned(waited)) == result


@pytest.mark.parametrize(("now", "result"), [(20 - MS, {}), (20, {}), (20 + MS, MISSED)])
def test_a_target_that_passes_while_still_waiting_is_missed(now: float, result: dict[Labels, int]) -> None:
    """… X passing while still waiting (missed, found by the sweep)."""
    replay = replayed(ENTRY)
    replay.finish(instant(now))

    assert evaluations(ENTRY, now=now) == result
    assert booked("target_evaluations_total", replay) == result


@pytest.mark.parametrize(("called", "missed"), [(600, False), (600 + MS, True)])
def test_a_called_customer_misses_the_target_by_the_wait_until_the_call(called: float, missed: bool) -> None:  # noqa: FBT001 - a row
    """At a counter the wait ends at the first call."""
    story = visit("v1").queued(0, "A").called(called)

    assert evaluations(story, now=700) == ({("wait", "channel:visit", "none", "missed"): 1} if missed else {})


@pytest.mark.parametrize(("lost", "result"), [(15, {}), (20, {}), (20.001, MISSED)])
def test_an_entry_that_ends_as_unknown_is_missed_only_if_its_target_had_passed(lost: float, result: dict[Labels, int]) -> None:
    """… X passing while still waiting (missed, found by the sweep)."""
    assert evaluations(ENTRY.ended(lost, "lost")) == result
    assert evaluations(ENTRY, now=LATER) == MISSED


def test_an_entry_is_evaluated_once_though_it_is_answered_after_its_target() -> None:
    """A queue entry is *evaluated once*."""
    story = ENTRY.answered(30, "ann").ended(60)
    replay = replayed(story.events[:1])
    replay.finish(instant(25))
    assert booked("target_evaluations_total", replay) == MISSED
    replay.take(story.events[1:])

    assert evaluations(story) == MISSED
    assert booked("target_evaluations_total", replay) == MISSED
    assert replay.differences() == {}


@pytest.mark.parametrize(("waited", "result"), [(15, {}), (20, {}), (20.001, MISSED)])
@pytest.mark.parametrize("leave", ["callback", "overflow", "key", "withdrawn", "timeout"])
def test_an_entry_that_leaves_before_its_target_is_not_evaluated(leave: str, waited: float, result: dict[Labels, int]) -> None:
    """Callback, overflow, opt-out, withdrawn before X are not evaluated."""
    if leave == "callback":
        story = ENTRY.callback_requested(waited)
    elif leave == "overflow":
        story = ENTRY.queued(waited, "B")
    else:
        story = ENTRY.left_queue(waited, "A", leave)

    assert evaluations(story) == result


def test_the_worked_day_has_these_counts() -> None:
    """1,000 offered; 780 answered ≤ 20 s; 120 later; 100 abandoned, 30 of them short and 25 more within 20 s. Live: 780 / 970."""
    day = [call(f"in {n}").queued(n, "A").answered(n + 20, "ann").ended(n + 60) for n in range(780)]
    day += [call(f"late {n}").queued(n, "A").answered(n + 30, "ann").ended(n + 60) for n in range(120)]
    day += [call(f"short {n}").queued(n, "A").abandoned(n + 5) for n in range(30)]
    day += [call(f"soon {n}").queued(n, "A").abandoned(n + 15) for n in range(25)]
    day += [call(f"long {n}").queued(n, "A").abandoned(n + 40) for n in range(45)]

    assert counted("contacts_offered_total", *day) == {("call", "A"): 1000}
    assert counted("contacts_answered_in_target_total", *day) == {("call", "A"): 780}
    assert counted("contacts_answered_total", *day) == {("call", "A"): 900}
    assert counted("contacts_abandoned_total", *day) == {
        ("call", "A", "queue", "short"): 30,
        ("call", "A", "queue", "in_target"): 25,
        ("call", "A", "queue", "long"): 45,
    }
    assert evaluations(*day) == dict.fromkeys(MET, 780) | dict.fromkeys(MISSED, 190)
