"""What is a moment of truth and what is not: the rows of the table of METRICS.md, one by one."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.core import facts
from tests.story import DAY, HOUR, LATER, Labels, Story, call, chat, counted, email, instant, visit, work

TALK: Final = call("c1").queued(0, "A").answered(5, "ann")
ONE: Final = {("call", "A", "human"): 1}
BOTH: Final = {("call", "A", "human"): 1, ("call", "B", "human"): 1}


def moments(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Moments by channel, team and actor."""
    return counted("moments_of_truth_total", *stories, now=now)


def test_a_touch_accepted_by_a_person_is_one_moment() -> None:
    """Touch accepted by a person: +1."""
    assert moments(TALK.ended(60)) == ONE


def test_a_moment_is_counted_at_the_accept_and_not_before() -> None:
    """Touch: one customer, one responder, from accept to release."""
    assert moments(call("c1").queued(0, "A").rang(4, representative="ann")) == {}
    assert moments(TALK) == ONE


def test_a_visit_is_a_moment_when_serving_starts() -> None:
    """Visit: serving starts."""
    called = visit("v1").queued(0, "A").called(30)

    assert moments(called) == {}
    assert moments(called.serving_started(40, "ann")) == {("visit", "A", "human"): 1}


def test_a_call_accepted_and_then_transferred_is_two_moments() -> None:
    """Transfer accepted by another employee (a call accepted and then transferred = 2): +1."""
    assert moments(TALK.transferred(60, "blind", "B").queued(60, "B").answered(70, "bob").ended(90)) == BOTH


def test_a_transfer_back_to_an_earlier_employee_is_one_more_moment() -> None:
    """Transfer accepted … back to an earlier one: +1."""
    there = TALK.transferred(60, "blind", "B").queued(60, "B").answered(70, "bob")
    back = there.transferred(90, "blind", "A").queued(90, "A").answered(95, "ann").ended(120)

    assert moments(back) == {("call", "A", "human"): 2, ("call", "B", "human"): 1}


def test_a_visitor_sent_on_to_another_desk_is_one_more_moment() -> None:
    """Transfer accepted by another employee … on to another desk: +1."""
    served = visit("v1").queued(0, "A").called(30).serving_started(40, "ann")
    sent_on = served.transferred(60, "blind", to_representative="bob").serving_started(80, "bob", team="B").ended(120)

    assert moments(sent_on) == {("visit", "A", "human"): 1, ("visit", "B", "human"): 1}


def test_the_next_service_of_a_visit_by_another_clerk_is_one_more_moment() -> None:
    """Next service of a visit by another clerk: +1."""
    served = visit("v1").queued(0, "A").called(30).serving_started(40, "ann")
    next_service = served.queued(100, "B").called(120).serving_started(130, "bob").ended(200)

    assert moments(next_service) == {("visit", "A", "human"): 1, ("visit", "B", "human"): 1}


def test_a_consult_is_no_moment() -> None:
    """Consult, customer not on the line: 0."""
    assert moments(TALK.consulted(20, to_team="B").retrieved(40).ended(60)) == ONE


@pytest.mark.parametrize("mode", ["monitor", "whisper", "coach"])
def test_listening_in_is_no_moment(mode: str) -> None:
    """Monitor, whisper, coach: 0."""
    assert moments(TALK.joined(20, "bob", mode, team="B").left(50, "bob").ended(60)) == ONE


def test_hold_and_retrieve_are_no_moment() -> None:
    """Hold and retrieve: 0."""
    assert moments(TALK.held(20).retrieved(40).ended(60)) == ONE


def test_further_messages_in_the_same_touch_are_no_moment() -> None:
    """Further messages in the same touch: 0."""
    talk = chat("m1").queued(0, "A").answered(5, "ann")
    further = talk.message_sent(6, "representative").message_sent(20, "customer").message_sent(30, "representative")

    assert moments(further.ended(60)) == {("chat", "A", "human"): 1}


def test_a_recall_of_a_ticket_is_no_moment() -> None:
    """Recall of a ticket: 0."""
    recalled = visit("v1").queued(0, "A").called(30).recalled(60)

    assert moments(recalled) == {}
    assert moments(recalled.serving_started(80, "ann")) == {("visit", "A", "human"): 1}


def test_a_touch_resumed_is_no_further_moment() -> None:
    """A touch resumed: 0."""
    parked = visit("v1").queued(0, "A").serving_started(40, "ann").parked(60)

    assert moments(parked.resumed(90, "ann").ended(120)) == {("visit", "A", "human"): 1}
    assert moments(TALK.left(60, "ann").answered(70, "ann").ended(90)) == ONE


def test_touches_of_the_same_representative_without_another_in_between_are_one_touch() -> None:
    """Touches of the same representative with no other responder in between are one touch (a resumed one)."""
    again = TALK.left(60, "ann").answered(70, "ann").ended(90)
    other = TALK.left(60, "ann").answered(70, "bob", team="B").left(80, "bob").answered(85, "ann", team="A").ended(90)

    assert counted("touches_ended_total", again) == {("call", "A"): 1}
    assert counted("talk_seconds", again) == {("call", "A", 75_000): 1}
    assert counted("touches_ended_total", other) == {("call", "A"): 2, ("call", "B"): 1}


@pytest.mark.parametrize(("stayed", "expected"), [(9.999, ONE), (10, BOTH), (10.001, BOTH)])
def test_a_conference_guest_counts_from_ten_seconds(stayed: float, expected: dict[Labels, int]) -> None:
    """Conference: second employee with the customer ≥ 10 s: +1."""
    conference = TALK.joined(20, "bob", "conference", team="B")

    assert moments(conference.left(20 + stayed, "bob").ended(90)) == expected
    assert moments(conference, now=20 + stayed) == expected


def test_a_guest_who_stays_when_the_inviting_one_leaves_is_an_introduced_handover_once() -> None:
    """If the one who invited leaves and the other stays, it becomes an introduced handover and counts there, once."""
    story = TALK.joined(20, "bob", "conference", team="B").left(50, "ann").ended(90)

    assert moments(story) == BOTH
    assert counted("handovers_total", story) == {("A", "B", "introduced", "accepted"): 1}


def test_a_guest_who_stays_is_introduced_before_ten_seconds_all_the_same() -> None:
    """Before 10 s all the same."""
    story = TALK.joined(20, "bob", "conference", team="B").left(21, "ann").ended(25)

    assert moments(story) == BOTH
    assert counted("handovers_total", story) == {("A", "B", "introduced", "accepted"): 1}


def test_with_several_guests_the_earliest_joined_is_introduced_and_the_others_remain_joins() -> None:
    """With several guests the handover goes to the earliest joined who stays, the others remain joins."""
    guests = TALK.joined(20, "bob", "conference", team="B").joined(22, "cy", "conference", team="C")
    all_stay = guests.left(40, "ann").ended(90)
    bob_left = guests.left(35, "bob").left(40, "ann").ended(90)

    assert moments(all_stay) == BOTH | {("call", "C", "human"): 1}
    assert counted("handovers_total", all_stay) == {("A", "B", "introduced", "accepted"): 1}
    assert moments(bob_left) == BOTH | {("call", "C", "human"): 1}
    assert counted("handovers_total", bob_left) == {("A", "C", "introduced", "accepted"): 1}


def test_an_offer_that_nobody_took_is_no_moment_but_a_missed_offer() -> None:
    """Ring no answer, declined offer: 0 (`karar_missed_offers_total`)."""
    story = call("c1").queued(0, "A").rang(5).missed(15, "bob", team="B").abandoned(30)

    assert moments(story) == {}
    assert counted("missed_offers_total", story) == {("call", "A", "B"): 1}


def test_a_contact_without_an_offer_missed_has_no_missed_offer() -> None:
    """Ring no answer, declined offer: 0 (`karar_missed_offers_total`)."""
    assert counted("missed_offers_total", TALK.ended(60)) == {}


def test_abandoned_before_accept_is_no_moment() -> None:
    """Abandoned before accept: 0."""
    assert moments(call("c1").queued(0, "A").abandoned(30)) == {}


def test_a_no_show_is_no_moment() -> None:
    """No-show: 0."""
    assert moments(visit("v1").queued(0, "A").called(30).no_show(90)) == {}


def test_a_handover_that_nobody_took_is_no_moment() -> None:
    """Handover that nobody took: 0."""
    assert moments(TALK.transferred(60, "blind", "B").ended(90)) == ONE
    assert moments(TALK.transferred(60, "blind", "B"), now=DAY) == ONE


def test_outbound_is_a_moment_when_a_person_answers() -> None:
    """Outbound: a person answers: +1 (`karar_outbound_attempts_total`)."""
    story = call("c1", direction="outbound").offered(0).answered(10, "ann", team="A").ended(60)

    assert moments(story) == ONE
    assert counted("outbound_attempts_total", story) == {("call", "A", "answered"): 1}


@pytest.mark.parametrize("result", ["machine", "busy", "no_answer", "dropped"])
def test_outbound_is_no_moment_when_no_person_answers(result: str) -> None:
    """Machine, busy, no answer, dialer drop: 0 (`karar_outbound_attempts_total`)."""
    story = call("c1", direction="outbound", team="A").offered(0).ended(20, result)

    assert moments(story) == {}
    assert counted("outbound_attempts_total", story) == {("call", "A", result): 1}
    assert counted("contacts_total", story) == {}


def test_back_office_work_is_no_moment_and_no_contact_but_a_link_of_the_chain() -> None:
    """Back-office work without the customer: 0; it is a link of the chain all the same."""
    story = work("w1", customer="7").work_started(0, "ann", team="A").work_completed(600, "ann")

    assert moments(story) == {}
    assert counted("contacts_total", story) == {}
    assert counted("chains_opened_total", story) == {(): 1}
    assert counted("representatives_per_chain", story, now=LATER) == {(1,): 1}
    assert counted("moments_per_chain", story, now=LATER) == {(0,): 1}


def test_a_bot_is_a_moment_of_its_own_kind_outside_the_human_count() -> None:
    """Bot, IVR: `actor="bot"`, outside the human count."""
    story = call("c1").answered(1, "ivr", actor="bot", team="menu").ended(30)

    assert moments(story) == {("call", "menu", "bot"): 1}
    assert counted("moments_per_chain", story, now=LATER) == {(0,): 1}


def test_a_bot_handing_on_to_a_person_is_an_escalation() -> None:
    """Handing on to a person is an `escalation`."""
    menu = call("c1").answered(1, "ivr", actor="bot", team="menu")
    story = menu.transferred(20, "blind", "A", actor="bot").queued(20, "A").answered(25, "ann").ended(60)

    assert moments(story) == {("call", "menu", "bot"): 1, ("call", "A", "human"): 1}
    assert counted("handovers_total", story) == {("menu", "A", "escalation", "accepted"): 1}
    assert counted("transfers_started_total", story) == {}


def test_a_bot_in_front_of_a_person_is_no_contact_of_its_own() -> None:
    """Bot, IVR, voicemail, survey legs: never contacts of their own."""
    story = call("c1").answered(1, "ivr", actor="bot", leg_id="1").queued(20, "A").answered(25, "ann", leg_id="2").ended(60)

    assert counted("contacts_total", story) == {("call", "inbound", "false", "unknown"): 1}


@pytest.mark.parametrize("begun", [call, visit, chat, email])
def test_a_contact_is_an_interaction_in_which_the_customer_is_present(begun: Callable[..., Story]) -> None:
    """Contact: an interaction in which the customer is present (call, visit, chat, e-mail thread, video)."""
    story = begun("c1", customer="7", need="loan").queued(0, "A").abandoned(30)

    assert counted("contacts_total", story) == {(story.common["channel"], "inbound", "true", "loan"): 1}


def test_a_thread_is_a_contact_once_the_customer_has_written() -> None:
    """Contact: an interaction in which the customer is present (… e-mail thread …)."""
    assert counted("contacts_total", email("e1").message_sent(0, "customer")) == {("email", "inbound", "false", "unknown"): 1}
    assert counted("contacts_total", email("e1").message_sent(0, "representative")) == {}


def test_a_transfer_that_gets_a_new_leg_is_still_the_same_contact() -> None:
    """Legs have leg ids, so that a transfer that gets a new id is still the same contact."""
    first = call("c1").queued(0, "A", leg_id="1").answered(5, "ann", leg_id="1").transferred(60, "blind", "B", leg_id="1")
    story = first.queued(60, "B", leg_id="2").answered(70, "bob", leg_id="2").ended(90, leg_id="2")

    assert counted("contacts_total", story) == {("call", "inbound", "false", "unknown"): 1}


@pytest.mark.parametrize("direction", ["inbound", "outbound", "callback"])
def test_direction_is_inbound_outbound_or_callback(direction: str) -> None:
    """Direction: inbound, outbound, callback."""
    story = call("c1", direction=direction).answered(10, "ann", team="A").ended(60)

    assert counted("contacts_total", story) == {("call", direction, "false", "unknown"): 1}


@pytest.mark.parametrize("begun", [call, visit, chat, email])
def test_what_is_not_counted_yet_passes_unharmed(begun: Callable[..., Story]) -> None:
    """A number whose rule is not written here is not served."""
    plain = begun("c1", customer="7").queued(0, "A").answered(30, "ann").held(50).ended(60)
    first = begun("c1", customer="7").queued(0, "A").message_sent(1, "customer").answered(30, "ann")
    talk = first.message_sent(31, "representative").message_sent(35, "bot").rated(40, "csat", 1.0, minimum=1.0, maximum=5.0)
    told = talk.held(50, promised_by=instant(DAY)).ended(60).rated(70, "nps", 9.0).reopened(80).message_sent(90, "customer")

    for second in (90, 2 * HOUR, 3 * DAY, LATER):
        assert facts([*told], instant(second)) == facts([*plain], instant(second))
