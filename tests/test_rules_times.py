"""How long it took: experience, talk, hold, wrap-up, and phases that ended unseen."""

from typing import Final

import pytest

from tests.story import (
    DAY,
    HOUR,
    LATER,
    MINUTE,
    MS,
    Labels,
    Story,
    booked,
    call,
    chat,
    counted,
    email,
    instant,
    replayed,
    reset,
    video,
    visit,
    work,
)

TALK: Final = call("c1").queued(0, "A").answered(5, "ann")
MET: Final = {("hold", "all", "none", "met"): 1}
MISSED: Final = {("hold", "all", "none", "missed"): 1}


def talk(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Talk in ms by channel and team."""
    return counted("talk_seconds", *stories, now=now)


def hold(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Hold in ms by channel and team."""
    return counted("hold_seconds", *stories, now=now)


def wrap_up(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Wrap-up in ms by channel and team."""
    return counted("wrap_up_seconds", *stories, now=now)


def presumed(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Presumed ends by channel and phase."""
    return counted("presumed_ended_total", *stories, now=now)


def experience(*stories: Story) -> dict[Labels, int]:
    """Experience time in ms of closed chains."""
    return counted("chain_experience_seconds", *stories, now=LATER)


def test_experience_is_the_length_of_waits_and_touches() -> None:
    """Experience time = length of the *union* of waits and touches."""
    assert experience(TALK.ended(60)) == {(60_000,): 1}
    assert experience(call("c1").queued(0, "A").abandoned(30)) == {(30_000,): 1}


def test_experience_leaves_out_what_lies_between_contacts() -> None:
    """Experience time = length of the *union* of waits and touches."""
    first = call("c1", customer="7").queued(0, "A").answered(5, "ann").ended(60)
    second = call("c2", customer="7").queued(HOUR, "A").answered(HOUR + 5, "ann").ended(HOUR + 60)

    assert experience(first, second) == {(120_000,): 1}
    assert counted("chain_resolution_seconds", first, second, now=LATER) == {(3_660_000,): 1}


def test_experience_leaves_out_what_is_neither_wait_nor_touch() -> None:
    """Experience time = length of the *union* of waits and touches."""
    story = TALK.transferred(60, "blind", "B").queued(80, "B").answered(90, "bob").ended(100)

    assert experience(story) == {(80_000,): 1}


def test_experience_counts_what_overlaps_once() -> None:
    """Experience time = length of the *union* of waits and touches."""
    first = call("c1", customer="7").queued(0, "A").answered(5, "ann").ended(60)
    second = chat("m1", customer="7").queued(30, "B").answered(40, "bob").ended(90)
    conference = TALK.joined(20, "bob", "conference", team="B").left(50, "bob").ended(60)

    assert experience(first, second) == {(90_000,): 1}
    assert experience(conference) == {(60_000,): 1}


def test_experience_has_the_touches_of_bots_too() -> None:
    """Touch: one customer, one responder. Actor: human, bot."""
    story = call("c1").answered(0, "ivr", actor="bot", team="menu").queued(20, "A").answered(25, "ann").ended(60)

    assert experience(story) == {(60_000,): 1}
    assert experience(call("c1").answered(0, "ivr", actor="bot", team="menu").ended(30)) == {(30_000,): 1}


@pytest.mark.parametrize(
    "story",
    [call("c1").queued(0, "A"), call("c1").answered(0, "ann"), call("c1").answered(0, "ivr", actor="bot", team="menu")],
)
def test_what_was_presumed_ended_is_in_no_experience(story: Story) -> None:
    """Presumed ended: … ends as `unknown`, length not observed."""
    assert experience(story) == {(0,): 1}


def test_resolution_is_from_the_first_start_to_the_last_end() -> None:
    """`karar_chain_resolution_seconds` (first start → last end)."""
    assert counted("chain_resolution_seconds", TALK.ended(60), now=LATER) == {(60_000,): 1}


def test_talk_excludes_hold() -> None:
    """Talk excludes hold."""
    story = TALK.held(20).retrieved(30).ended(60)

    assert talk(story) == {("call", "A", 45_000): 1}
    assert hold(story) == {("call", "A", 10_000): 1}


def test_a_conference_guest_talks_too() -> None:
    """A join is a touch once it counts."""
    conference = TALK.joined(20, "bob", "conference", team="B")

    assert talk(conference.left(50, "bob").ended(60)) == {("call", "A", 55_000): 1, ("call", "B", 30_000): 1}
    assert talk(conference.left(29.999, "bob").ended(60)) == {("call", "A", 55_000): 1}


def test_talk_without_hold_observes_no_hold() -> None:
    """No hold, none for hold."""
    assert talk(TALK.ended(60)) == {("call", "A", 55_000): 1}
    assert hold(TALK.ended(60)) == {}


def test_the_holds_of_a_touch_are_one_observation() -> None:
    """Hold (all of a touch)."""
    assert hold(TALK.held(20).retrieved(30).held(40).retrieved(55).ended(60)) == {("call", "A", 25_000): 1}


def test_a_hold_never_retrieved_ends_with_its_touch() -> None:
    """Talk excludes hold."""
    assert talk(TALK.held(20).ended(60)) == {("call", "A", 15_000): 1}
    assert hold(TALK.held(20).ended(60)) == {("call", "A", 40_000): 1}


def test_a_consult_is_hold_until_retrieval() -> None:
    """Consult with the customer off the line is hold, from the consult to retrieval …, with or without a `held` event."""
    for story in (TALK.consulted(20, to_team="B"), TALK.consulted(20, to_team="B").held(20), TALK.consulted(20, to_team="B").held(30)):
        assert hold(story.retrieved(40).ended(60)) == {("call", "A", 20_000): 1}
        assert talk(story.retrieved(40).ended(60)) == {("call", "A", 35_000): 1}


def test_a_consult_is_hold_until_transfer_and_counts_though_it_ends_in_one() -> None:
    """… or transfer; every consult counts in `karar_consults_total`, also one that ends in a transfer."""
    story = TALK.consulted(20, to_team="B").transferred(50, "consult", to_team="B").answered(50, "bob", team="B").ended(100)

    assert hold(story) == {("call", "A", 30_000): 1}
    assert talk(story) == {("call", "A", 15_000): 1, ("call", "B", 50_000): 1}
    assert counted("consults_total", story) == {("A", "B"): 1}


def test_overlapping_spans_of_hold_and_consult_count_once() -> None:
    """Overlapping spans count once."""
    assert hold(TALK.held(15).consulted(20, to_team="B").retrieved(40).ended(60)) == {("call", "A", 25_000): 1}


def test_every_consult_counts() -> None:
    """Every consult counts in `karar_consults_total`."""
    twice = TALK.consulted(20, to_team="B").retrieved(25).consulted(30, to_team="B").retrieved(35).ended(60)

    assert counted("consults_total", twice) == {("A", "B"): 2}
    assert counted("consults_total", TALK.held(20).retrieved(25).ended(60)) == {}


@pytest.mark.parametrize(
    ("wrapped_up", "expected"), [(60, 0), (90, 30_000), (960 - MS, 899_999), (960, 900_000), (960 + MS, 0)]
)  # fmt: skip
def test_wrap_up_ends_at_wrapped_up_within_15_minutes(wrapped_up: float, expected: int) -> None:
    """Wrap-up belongs to the touch it follows and ends at `wrapped up` …; 0 if neither came in 15 min."""
    assert wrap_up(TALK.ended(60).wrapped_up(wrapped_up, "ann")) == {("call", "A", expected): 1}


def test_wrap_up_is_open_for_15_minutes_and_then_0() -> None:
    """… 0 if neither came in 15 min."""
    assert wrap_up(TALK.ended(60), now=960 - MS) == {}
    assert wrap_up(TALK.ended(60), now=960) == {("call", "A", 0): 1}
    assert wrap_up(TALK.ended(60), now=960 + MS) == {("call", "A", 0): 1}


@pytest.mark.parametrize(("accept", "expected"), [(100, 40_000), (960 - MS, 899_999), (960, 900_000), (960 + MS, 0)])
def test_wrap_up_ends_at_the_same_representatives_next_accept_in_the_chain(accept: float, expected: int) -> None:
    """… or at the same representative's next accept in the same chain."""
    first = call("c1", customer="7").answered(0, "ann", team="A").ended(60)
    second = call("c2", customer="7").answered(accept, "ann", team="B")

    assert wrap_up(first, second) == {("call", "A", expected): 1}


def test_wrap_up_ends_at_whichever_comes_first() -> None:
    """Wrap-up … ends at `wrapped up`, or at the same representative's next accept in the same chain."""
    first = call("c1", customer="7").answered(0, "ann", team="A").ended(60).wrapped_up(90, "ann")

    assert wrap_up(first, call("c2", customer="7").answered(80, "ann")) == {("call", "A", 20_000): 1}
    assert wrap_up(first, call("c2", customer="7").answered(95, "ann")) == {("call", "A", 30_000): 1}


def test_the_accept_of_another_representative_or_in_another_chain_ends_no_wrap_up() -> None:
    """The same representative's next accept in the same chain. Other chains are never looked at."""
    first = call("c1", customer="7").answered(0, "ann", team="A").ended(60)
    another_person = call("c2", customer="7").answered(80, "bob", team="B")
    another_chain = call("c3", customer="8").answered(80, "ann", team="C")

    assert wrap_up(first, another_person, another_chain, now=960 - MS) == {}
    assert wrap_up(first, another_person, another_chain, now=960) == {("call", "A", 0): 1}


def test_handle_is_talk_and_hold_and_wrap_up() -> None:
    """Handle = talk + hold + wrap-up."""
    story = TALK.held(20).retrieved(30).ended(60).wrapped_up(80, "ann")

    assert (talk(story), hold(story), wrap_up(story)) == (
        {("call", "A", 45_000): 1},
        {("call", "A", 10_000): 1},
        {("call", "A", 20_000): 1},
    )


PHASES: Final = (
    (call("c1").offered(0), "ring", 5 * MINUTE),
    (call("c1").rang(0), "ring", 5 * MINUTE),
    (call("c1").queued(0, "A"), "queue", 2 * HOUR),
    (call("c1").answered(0, "ann"), "talk", 8 * HOUR),
    (call("c1").answered(0, "ann").held(0), "hold", 8 * HOUR),
    (video("c1").offered(0), "ring", 5 * MINUTE),
    (video("c1").queued(0, "A"), "queue", 2 * HOUR),
    (video("c1").answered(0, "ann"), "talk", 8 * HOUR),
    (video("c1").answered(0, "ann").held(0), "hold", 8 * HOUR),
    (visit("c1").offered(0), "ring", 14 * HOUR),
    (visit("c1").queued(0, "A"), "queue", 14 * HOUR),
    (visit("c1").serving_started(0, "ann"), "talk", 14 * HOUR),
    (visit("c1").serving_started(0, "ann").parked(0), "hold", 14 * HOUR),
    (chat("c1").queued(0, "A"), "queue", DAY),
    (chat("c1").answered(0, "ann"), "talk", DAY),
    (email("c1").queued(0, "A"), "queue", 30 * DAY),
    (email("c1").answered(0, "ann"), "talk", 30 * DAY),
    (work("c1").work_started(0, "ann"), "talk", 30 * DAY),
)


@pytest.mark.parametrize(("story", "phase", "limit"), PHASES)
def test_an_open_phase_without_an_event_for_its_limit_is_presumed_ended(story: Story, phase: str, limit: int) -> None:
    """Presumed ended: calls and video: ring 5 min, queue 2 h, talk or hold 8 h; visit 14 h, chat 24 h, e-mail and back office 30 days."""
    ended = {(story.common["channel"], phase): 1}

    assert presumed(story, now=limit - MS) == {}
    assert presumed(story, now=limit) == ended
    assert presumed(story, now=limit + MS) == ended


def test_the_limit_runs_from_the_last_event() -> None:
    """An open phase without an event for its limit."""
    story = TALK.held(HOUR).retrieved(2 * HOUR)

    assert presumed(story, now=10 * HOUR - MS) == {}
    assert presumed(story, now=10 * HOUR) == {("call", "talk"): 1}


def test_a_contact_that_ended_is_never_presumed_ended() -> None:
    """An open phase without an event for its limit."""
    assert presumed(TALK.ended(60), now=LATER) == {}


def test_a_presumed_end_in_the_queue_is_unknown_and_no_abandon() -> None:
    """… ends as `unknown`, length not observed, counted."""
    story = call("c1").queued(0, "A")

    assert counted("queue_exits_total", story, now=2 * HOUR) == {("call", "A", "unknown"): 1}
    assert counted("contacts_abandoned_total", story, now=2 * HOUR) == {}
    assert counted("abandon_wait_seconds", story, now=2 * HOUR) == {}
    assert counted("customers_waiting", story, now=2 * HOUR) == {}
    assert counted("customers_waiting", story, now=2 * HOUR - MS) == {("call", "A"): 1}


def test_the_length_of_a_talk_presumed_ended_is_not_observed() -> None:
    """… ends as `unknown`, length not observed, counted."""
    story = TALK.held(20).retrieved(30)

    assert counted("touches_ended_total", story, now=LATER) == {("call", "A"): 1}
    assert talk(story, now=LATER) == {}
    assert hold(story, now=LATER) == {}
    assert wrap_up(story, now=LATER) == {}
    assert counted("in_conversation", story, now=LATER) == {}


def test_a_later_real_event_corrects_a_presumed_end() -> None:
    """A later real event corrects it."""
    story = call("c1").queued(0, "A").answered(3 * HOUR, "ann")
    replay = replayed(story.events[:1])
    replay.finish(instant(2 * HOUR))

    assert booked("presumed_ended_total", replay) == {("call", "queue"): 1}
    replay.take(story.events[1:])
    assert booked("presumed_ended_total", replay) == {}
    assert booked("queue_exits_total", replay) == {("call", "A", "answered"): 1}
    assert replay.differences() == {}
    assert counted("wait_seconds", story) == {("call", "A", 10_800_000): 1}


def test_a_publishers_reset_ends_what_is_open_at_once() -> None:
    """A publisher's reset (QUEUESTART, Qmatic RESET) does so at once."""
    waiting = call("c2").queued(0, "B")
    over = call("c3").queued(0, "C").answered(5, "cy").ended(20)

    assert counted("presumed_ended_total", TALK, waiting, over, [reset(30)]) == {("call", "talk"): 1, ("call", "queue"): 1}
    assert counted("queue_exits_total", TALK, waiting, over, [reset(30)]) == {
        ("call", "A", "answered"): 1,
        ("call", "B", "unknown"): 1,
        ("call", "C", "answered"): 1,
    }


def test_a_reset_reaches_neither_other_publishers_nor_what_comes_later() -> None:
    """A publisher's reset … does so at once; a later real event corrects it."""
    assert counted("presumed_ended_total", TALK, [reset(30, "other")]) == {}
    assert counted("presumed_ended_total", TALK.held(40), [reset(30)]) == {}
    assert counted("presumed_ended_total", call("c1").queued(31, "A"), [reset(30)]) == {}


@pytest.mark.parametrize(("held", "result"), [(59.999, MET), (60, MET), (60.001, MISSED)])
def test_hold_is_evaluated_against_60_seconds_per_touch(held: float, result: dict[Labels, int]) -> None:
    """Defaults …: hold 60 s per touch. Target X is inclusive."""
    story = call("c1").answered(0, "ann", team="A").held(10).retrieved(10 + held)

    assert counted("target_evaluations_total", story.ended(100)) == result


def test_hold_is_evaluated_when_its_touch_ends() -> None:
    """A moment is judged, and hold evaluated, when its touch ends."""
    story = call("c1").answered(0, "ann", team="A").held(10).retrieved(90)

    assert counted("target_evaluations_total", story) == {}
    assert counted("target_evaluations_total", story.ended(100)) == MISSED


def test_in_conversation_and_on_hold_are_left_when_they_end() -> None:
    """Gauges (facts too: entry adds, exit takes away)."""
    assert (counted("in_conversation", TALK), counted("on_hold", TALK)) == ({("call", "A"): 1}, {})
    assert (counted("in_conversation", TALK.held(20)), counted("on_hold", TALK.held(20))) == ({}, {("call", "A"): 1})
    assert (counted("in_conversation", TALK.ended(60)), counted("on_hold", TALK.ended(60))) == ({}, {})
