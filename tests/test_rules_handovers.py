"""Passing a customer on: kinds, outcomes and limits of handovers, ping-pong, excessive transfers."""

from collections.abc import Callable
from typing import Final

import pytest

from streams.core.targets import parse
from tests.story import DAY, HOUR, LATER, MINUTE, MS, Labels, Story, call, chat, counted, email, video, visit, work

TALK: Final = call("c1").queued(0, "A").answered(5, "ann")
VISIT: Final = visit("v1").queued(0, "A").called(30).serving_started(40, "ann")
BOTH: Final = {("call", "A", "human"): 1, ("call", "B", "human"): 1}


def handovers(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Settled handovers by sender, receiver, kind and outcome."""
    return counted("handovers_total", *stories, now=now)


def moments(*stories: Story) -> dict[Labels, int]:
    """Moments by channel, team and actor."""
    return counted("moments_of_truth_total", *stories)


def passed(story: Story, second: float, queue: str, representative: str) -> Story:
    """A blind transfer through a queue, accepted at once."""
    return story.transferred(second, "blind", queue).queued(second, queue).answered(second, representative)


@pytest.mark.parametrize("kind", ["blind", "consult", "introduced", "requeue"])
def test_a_transfer_within_a_contact_is_a_handover_of_its_kind(kind: str) -> None:
    """Transfers, started by a representative inside one contact: `blind`, `consult`, `introduced`, `requeue` (by hand)."""
    story = TALK.transferred(60, kind, "B").queued(60, "B").answered(70, "bob").ended(90)

    assert handovers(story) == {("A", "B", kind, "accepted"): 1}
    assert counted("transfers_started_total", story) == {("call", "A", kind): 1}
    assert moments(story) == BOTH


def test_an_external_transfer_is_accepted_at_once_and_no_moment() -> None:
    """`external` (leaves what Karar sees: accepted at once, no moment)."""
    story = TALK.transferred(60, "external", to_team="X")

    assert handovers(story) == {("A", "X", "external", "accepted"): 1}
    assert counted("transfers_started_total", story) == {("call", "A", "external"): 1}
    assert moments(story) == {("call", "A", "human"): 1}


def test_the_next_contact_of_a_case_with_another_representative_is_a_followup() -> None:
    """`followup` (next contact … of the same case id, another representative; adds no moment, its touch does)."""
    first = call("c1", customer="7", case_id="K").queued(0, "A").answered(5, "ann").ended(60)
    second = call("c2", customer="7", case_id="K").queued(HOUR, "B").answered(HOUR + 5, "bob").ended(HOUR + 60)

    assert handovers(first, second) == {("A", "B", "followup", "accepted"): 1}
    assert moments(first, second) == BOTH


def test_the_next_piece_of_work_of_a_case_by_another_representative_is_a_followup() -> None:
    """`followup` (next … piece of work of the same case id, another representative; adds no moment)."""
    first = call("c1", customer="7", case_id="K").queued(0, "A").answered(5, "ann").ended(60)
    second = work("w1", customer="7", case_id="K").work_started(HOUR, "bob", team="B").work_completed(HOUR + 60, "bob")

    assert handovers(first, second) == {("A", "B", "followup", "accepted"): 1}
    assert moments(first, second) == {("call", "A", "human"): 1}


@pytest.mark.parametrize(("case", "representative"), [("K", "ann"), ("L", "bob")])
def test_the_same_representative_or_another_case_is_no_followup(case: str, representative: str) -> None:
    """`followup` (next contact or piece of work of the same case id, another representative)."""
    first = call("c1", customer="7", case_id="K").queued(0, "A").answered(5, "ann").ended(60)
    second = call("c2", customer="7", case_id=case).queued(HOUR, "B").answered(HOUR + 5, representative).ended(HOUR + 60)

    assert handovers(first, second) == {}


def test_without_a_case_there_is_no_followup() -> None:
    """`followup` (… of the same case id, another representative)."""
    first = call("c1", customer="7").queued(0, "A").answered(5, "ann").ended(60)
    second = call("c2", customer="7").queued(HOUR, "B").answered(HOUR + 5, "bob").ended(HOUR + 60)

    assert handovers(first, second) == {}


def test_a_contact_without_a_case_id_is_no_followup_though_its_chain_has_a_case() -> None:
    """`followup` (next contact or piece of work of the same case id, another representative)."""
    first = call("c1", customer="7", case_id="K").queued(0, "A").answered(5, "ann").ended(60)
    second = call("c2", customer="7").queued(HOUR, "B").answered(HOUR + 5, "bob").ended(HOUR + 60)

    assert counted("chains_opened_total", first, second) == {(): 1}
    assert handovers(first, second) == {}


def test_followup_goes_from_the_last_representative_of_one_contact_to_the_first_of_the_next() -> None:
    """`followup` goes from the last representative of one contact or piece of work to the first of the next, by start."""
    first = passed(call("c1", customer="7", case_id="K").answered(0, "ann", team="A"), 30, "B", "bob").ended(60)
    second = passed(call("c2", customer="7", case_id="K").answered(HOUR, "cy", team="C"), HOUR + 30, "D", "dan").ended(HOUR + 60)

    assert handovers(second, first) == {
        ("A", "B", "blind", "accepted"): 1,
        ("B", "C", "followup", "accepted"): 1,
        ("C", "D", "blind", "accepted"): 1,
    }


def test_queue_to_queue_before_any_touch_is_an_overflow() -> None:
    """`overflow` (queue to queue before any touch)."""
    story = call("c1").queued(0, "A").left_queue(30, "A", "timeout").queued(30, "B")

    assert handovers(story) == {("A", "B", "overflow", "accepted"): 1}
    assert moments(story) == {}


def test_a_queue_after_a_touch_is_no_overflow() -> None:
    """`overflow` (queue to queue before any touch)."""
    assert handovers(TALK.left(60, "ann").queued(60, "B").abandoned(90)) == {}


def test_a_reroute_accepted_by_another_person_is_one_more_moment() -> None:
    """`reroute` (the system's, after a human touch: representative gone or leg lost; accepted by another person = +1)."""
    story = TALK.left(60, "ann").answered(70, "bob", team="B").ended(90)

    assert handovers(story) == {("A", "B", "reroute", "accepted"): 1}
    assert moments(story) == BOTH
    assert counted("transfers_started_total", story) == {}


def test_a_reroute_accepted_by_the_same_person_is_returned() -> None:
    """`reroute` (… representative gone or leg lost; … by the same = returned)."""
    story = TALK.left(60, "ann").answered(70, "ann").ended(90)

    assert handovers(story) == {("A", "A", "reroute", "returned"): 1}
    assert moments(story) == {("call", "A", "human"): 1}


def test_a_reroute_not_taken_is_only_a_missed_offer() -> None:
    """An offer not taken is only a missed offer."""
    story = TALK.left(60, "ann").rang(61).missed(70, "bob", team="B").ended(80)

    assert handovers(story) == {}
    assert counted("missed_offers_total", story) == {("call", "none", "B"): 1}
    assert moments(story) == {("call", "A", "human"): 1}


def test_a_handover_goes_to_the_team_that_took_it() -> None:
    """`karar_handovers_total{from_team,to_team,kind,outcome}`."""
    escalated = MENU.transferred(20, "blind", "A", actor="bot").queued(20, "A").answered(25, "ann", team="sales")
    transferred = TALK.transferred(60, "blind", "B").queued(60, "B").answered(70, "bob", team="loans")

    assert handovers(escalated) == {("menu", "sales", "escalation", "accepted"): 1}
    assert handovers(transferred) == {("A", "loans", "blind", "accepted"): 1}


def test_an_escalation_nobody_takes_is_abandoned() -> None:
    """Not transfers: … `escalation`. Outcome: accepted, abandoned, expired, returned."""
    story = MENU.transferred(20, "blind", "A", actor="bot").ended(25)

    assert handovers(story) == {("menu", "A", "escalation", "abandoned"): 1}
    assert counted("transfers_started_total", story) == {}


def test_a_further_service_of_the_same_ticket_is_a_next_service() -> None:
    """At a counter … a further service of the same ticket = next_service."""
    story = VISIT.queued(100, "B").called(120).serving_started(130, "bob").ended(200)

    assert handovers(story) == {("A", "B", "next_service", "accepted"): 1}
    assert counted("transfers_started_total", story) == {}


@pytest.mark.parametrize("kind", ["blind", "requeue"])
def test_at_a_counter_a_visitor_is_sent_to_a_clerk_or_to_a_queue(kind: str) -> None:
    """At a counter: sent to a desk or clerk = blind, to a queue or pool = requeue (a new queue entry where there is one)."""
    sent = (
        VISIT.transferred(60, "blind", to_representative="bob")
        if kind == "blind"
        else VISIT.transferred(60, "requeue", "B").queued(60, "B")
    )
    story = sent.called(70).serving_started(80, "bob", team="B").ended(120)

    assert handovers(story) == {("A", "B", kind, "accepted"): 1}


def test_a_handover_left_by_the_customer_is_abandoned() -> None:
    """Outcome: … abandoned."""
    assert handovers(TALK.transferred(60, "blind", "B").ended(80)) == {("A", "B", "blind", "abandoned"): 1}
    assert handovers(TALK.transferred(60, "blind", "B").queued(60, "B").abandoned(80)) == {("A", "B", "blind", "abandoned"): 1}


def test_a_handover_that_the_same_person_took_again_is_returned() -> None:
    """Outcome: … returned (the same person took it again: 0)."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").answered(90, "ann").ended(120)

    assert handovers(story) == {("A", "B", "blind", "returned"): 1}
    assert counted("transfers_started_total", story) == {("call", "A", "blind"): 1}
    assert moments(story) == {("call", "A", "human"): 1}
    assert counted("transfers_per_chain", story, now=LATER) == {(0,): 1}


@pytest.mark.parametrize("kind", ["blind", "consult"])
def test_a_call_transferred_to_a_number_stays_blind_or_consult_even_when_a_queue_takes_it(kind: str) -> None:
    """A call transferred to a number stays blind or consult even when a queue takes it."""
    story = TALK.transferred(60, kind).queued(62, "B").answered(70, "bob").ended(90)

    assert handovers(story) == {("A", "B", kind, "accepted"): 1}


@pytest.mark.parametrize(("begun", "limit"), [(call, 10 * MINUTE), (visit, 2 * HOUR), (chat, 2 * HOUR), (email, 3 * DAY)])
def test_a_pending_handover_expires_at_its_limit(begun: Callable[..., Story], limit: int) -> None:
    """A pending handover expires after 10 min (call), 2 h (visit, chat), 3 days (case work)."""
    story = begun("c1").answered(5, "ann", team="A").transferred(60, "blind", "B")
    expired = {("A", "B", "blind", "expired"): 1}

    assert handovers(story, now=60 + limit - MS) == {}
    assert counted("handovers_pending", story, now=60 + limit - MS) == {("A", "B"): 1}
    assert handovers(story, now=60 + limit) == expired
    assert counted("handovers_pending", story, now=60 + limit) == {}
    assert handovers(story, now=60 + limit + MS) == expired


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (660 - MS, {("A", "B", "blind", "accepted"): 1}),
        (660, {("A", "B", "blind", "expired"): 1, ("A", "B", "reroute", "accepted"): 1}),
        (660 + MS, {("A", "B", "blind", "expired"): 1, ("A", "B", "reroute", "accepted"): 1}),
    ],
)
def test_whoever_comes_after_the_limit_does_not_take_the_expired_handover(second: float, expected: dict[Labels, int]) -> None:
    """A pending handover expires after 10 min (call)."""
    story = TALK.transferred(60, "blind", "B").answered(second, "bob", team="B").ended(700)

    assert handovers(story) == expected
    assert moments(story) == BOTH


def test_a_pending_handover_never_expires_while_its_queue_entry_waits() -> None:
    """… never while its queue entry waits."""
    waiting = TALK.transferred(60, "blind", "B").queued(60, "B")

    assert handovers(waiting, now=60 + HOUR) == {}
    assert counted("handovers_pending", waiting, now=60 + HOUR) == {("A", "B"): 1}
    assert handovers(waiting.answered(60 + HOUR, "bob")) == {("A", "B", "blind", "accepted"): 1}


def test_a_transfer_with_no_later_line_within_its_limit_becomes_external_in_a_log_of_queues() -> None:
    """In a log that shows only queues, a transfer with no later line of that contact within its limit becomes `external`."""
    story = TALK.transferred(60, "blind", "X", queues_only=True)

    assert handovers(story, now=660 - MS) == {}
    assert handovers(story, now=660) == {("A", "X", "external", "accepted"): 1}
    assert handovers(story, now=660 + MS) == {("A", "X", "external", "accepted"): 1}
    assert counted("moments_of_truth_total", story, now=660) == {("call", "A", "human"): 1}


def test_a_transfer_with_a_later_line_within_its_limit_does_not_become_external() -> None:
    """… a transfer with no later line of that contact within its limit becomes `external`."""
    story = TALK.transferred(60, "blind", queues_only=True).queued(660 - MS, "B").answered(670, "bob").ended(700)

    assert handovers(story) == {("A", "B", "blind", "accepted"): 1}


MENU: Final = call("c1").answered(1, "ivr", actor="bot", team="menu")
NO_TRANSFERS: Final = {
    "overflow": call("c1").queued(0, "A").left_queue(5, "A", "full").queued(5, "B").left_queue(9, "B", "full").queued(9, "A"),
    "reroute": TALK.left(20, "ann").answered(30, "bob", team="B").left(40, "bob").answered(50, "ann", team="A").left(60, "ann")
    .answered(70, "bob", team="B"),
    "escalation": MENU.transferred(9, "blind", "A", actor="bot").answered(20, "ann", team="A"),
    "next_service": VISIT.queued(100, "B").serving_started(130, "bob").queued(200, "A").serving_started(230, "ann").queued(300, "B")
    .serving_started(330, "bob"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "count"), [("overflow", 2), ("reroute", 3), ("escalation", 1), ("next_service", 3)])
def test_only_transfers_enter_the_figures_of_transfers(kind: str, count: int) -> None:
    """Only transfers enter transfer rate, transfers per chain, ping-pong and excessive transfers."""
    story = NO_TRANSFERS[kind].ended(400)

    assert {labels[2] for labels in handovers(story)} == {kind}
    assert sum(handovers(story).values()) == count
    assert counted("transfers_started_total", story) == {}
    assert counted("transfers_per_chain", story, now=LATER) == {(0,): 1}
    assert counted("ping_pongs_total", story) == {}
    assert counted("excessive_transfers_total", story) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("B", {}),
        ("BC", {}),
        ("BA", {("A",): 1}),
        ("BCA", {("A",): 1}),
        ("BCB", {("B",): 1}),
        ("BAB", {("A",): 1, ("B",): 1}),
        ("BABA", {("A",): 2, ("B",): 1}),
    ],
)
def test_a_transfer_back_to_a_team_that_touched_the_contact_before_is_ping_pong(path: str, expected: dict[Labels, int]) -> None:
    """Ping-pong: an accepted transfer to a team that touched this contact before …; label = that team."""
    story = TALK
    for number, queue in enumerate(path, 1):
        story = passed(story, 60 * number, queue, f"representative {number}")

    assert counted("ping_pongs_total", story.ended(600)) == expected


def test_a_transfer_within_a_team_is_no_ping_pong() -> None:
    """Ping-pong: … and is not the sender."""
    assert counted("ping_pongs_total", passed(TALK, 60, "A", "amy").ended(90)) == {}


def test_a_transfer_back_that_nobody_accepted_is_no_ping_pong() -> None:
    """Ping-pong: an accepted transfer."""
    assert counted("ping_pongs_total", passed(TALK, 60, "B", "bob").transferred(90, "blind", "A").ended(120)) == {}


def test_ping_pong_looks_at_one_contact() -> None:
    """Ping-pong: … a team that touched this contact before."""
    first = call("c1", customer="7").answered(0, "ann", team="A").ended(60)
    second = passed(call("c2", customer="7").answered(100, "bob", team="B"), 130, "A", "amy").ended(160)

    assert counted("ping_pongs_total", first, second) == {}


def sent(number: int, second: float, team: str = "A") -> Story:
    """One contact of the customer with one accepted transfer at that second."""
    story = call(f"c{number}", customer="7", case_id="K").answered(second - 1, "ann", team=team)
    return passed(story, second, "B", "bob").ended(second + 60)


@pytest.mark.parametrize(("count", "expected"), [(2, {}), (3, {("call", "A"): 1}), (4, {("call", "A"): 1})])
def test_the_third_transfer_of_a_chain_within_a_day_is_excessive_once(count: int, expected: dict[Labels, int]) -> None:
    """Excessive (chain): the n-th accepted transfer … in one chain, over all its contacts (n = 3): booked once per crossing."""
    assert counted("excessive_transfers_total", *(sent(n, n * HOUR) for n in range(1, count + 1))) == expected


def test_an_excessive_transfer_is_booked_to_the_team_that_sent_it() -> None:
    """… booked once per crossing to the team that sent it."""
    stories = sent(1, HOUR, "A"), sent(2, 2 * HOUR, "B"), sent(3, 3 * HOUR, "C"), sent(4, 4 * HOUR, "D")

    assert counted("excessive_transfers_total", *stories) == {("call", "C"): 1}


def test_a_transfer_that_nobody_accepted_is_not_excessive() -> None:
    """Excessive (chain): the n-th accepted transfer."""
    story = passed(passed(TALK, 60, "B", "bob"), 90, "C", "cy").transferred(120, "blind", "D").ended(150)

    assert counted("excessive_transfers_total", story) == {}


@pytest.mark.parametrize(("third", "expected"), [(DAY - MS, {("call", "A"): 1}), (DAY, {}), (DAY + MS, {})])
def test_excessive_transfers_are_counted_within_24_hours(third: float, expected: dict[Labels, int]) -> None:
    """… the n-th accepted transfer within 24 h of event time in one chain."""
    stories = sent(1, HOUR), sent(2, 2 * HOUR), sent(3, HOUR + third)

    assert counted("excessive_transfers_total", *stories) == expected


def test_every_crossing_is_booked_anew() -> None:
    """… booked once per crossing."""
    first = [sent(n, n * HOUR) for n in (1, 2, 3)]
    next_days = [sent(n, n * HOUR) for n in (30, 31, 32)]

    assert counted("excessive_transfers_total", *first, *next_days) == {("call", "A"): 2}


@pytest.mark.parametrize("condition", ['segment = "vip"', 'channel = "call"', ""])
def test_how_many_transfers_are_excessive_is_a_setting(condition: str) -> None:
    """… (n = 3, setting by channel, queue, segment)."""
    rules = parse(f'[[target]]\nkind = "excessive_transfers"\ncount = 2\n{condition}\n')
    vip = passed(passed(call("c1", segment="vip").answered(0, "ann", team="A"), 60, "B", "bob"), 90, "C", "cy").ended(120)
    other = passed(passed(video("c1").answered(0, "ann", team="A"), 60, "B", "bob"), 90, "C", "cy").ended(120)

    assert counted("excessive_transfers_total", vip, rules=rules) == {("call", "B"): 1}
    assert counted("excessive_transfers_total", other, rules=rules) == ({} if condition else {("video", "B"): 1})
