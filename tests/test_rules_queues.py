"""Queue entries: offered, their one exit, abandons, callbacks, and what is in no figure of a queue."""

from typing import Final

import pytest

from tests.story import HOUR, LATER, Labels, Story, call, counted, instant, reset, visit

ENTRY: Final = call("c1").queued(0, "A")
TALK: Final = ENTRY.answered(5, "ann")


def exits(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Exits by channel, queue and exit."""
    return counted("queue_exits_total", *stories, now=now)


def evaluations(*stories: Story, now: float | None = None) -> dict[Labels, int]:
    """Evaluations of the wait target."""
    found = counted("target_evaluations_total", *stories, now=now)
    return {labels: amount for labels, amount in found.items() if labels[0] == "wait"}


def test_offered_counts_queue_entries() -> None:
    """Offered, answered and abandoned count *queue entries*."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").answered(70, "bob").ended(90)

    assert counted("contacts_offered_total", story) == {("call", "A"): 1, ("call", "B"): 1}
    assert counted("contacts_answered_total", story) == {("call", "A"): 1, ("call", "B"): 1}
    assert counted("contacts_abandoned_total", story) == {}
    assert exits(story) == {("call", "A", "answered"): 1, ("call", "B", "answered"): 1}


def test_the_same_queue_entered_again_is_offered_again() -> None:
    """Offered, answered and abandoned count *queue entries*."""
    story = TALK.transferred(60, "requeue", "A").queued(60, "A").abandoned(90)

    assert counted("contacts_offered_total", story) == {("call", "A"): 2}
    assert exits(story) == {("call", "A", "answered"): 1, ("call", "A", "abandoned"): 1}


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (ENTRY.answered(30, "ann"), "answered"),
        (ENTRY.abandoned(30), "abandoned"),
        (ENTRY.ended(30), "abandoned"),
        (ENTRY.callback_requested(30), "callback"),
        (ENTRY.left_queue(30, "A", "timeout"), "timeout"),
        (ENTRY.left_queue(30, "A", "key"), "opt_out"),
        (ENTRY.left_queue(30, "A", "empty"), "withdrawn"),
        (ENTRY.left_queue(30, "A", "full"), "withdrawn"),
        (ENTRY.left_queue(30, "A", "closed"), "withdrawn"),
        (ENTRY.left_queue(30, "A", "withdrawn"), "withdrawn"),
        (ENTRY.ended(30, "closed"), "withdrawn"),
        (ENTRY.ended(30, "withdrawn"), "withdrawn"),
        (ENTRY.ended(30, "lost"), "unknown"),
    ],
)
def test_every_entry_has_exactly_one_exit(story: Story, expected: str) -> None:
    """Every entry has exactly one exit. Otherwise timeout → timeout, key → opt_out, empty, full, closed, withdrawn → withdrawn."""
    assert exits(story, now=LATER) == {("call", "A", expected): 1}
    assert counted("contacts_offered_total", story, now=LATER) == {("call", "A"): 1}
    assert counted("customers_waiting", story, now=LATER) == {}


def test_a_waiting_entry_has_no_exit() -> None:
    """Offered = Σ exits + waiting, always."""
    assert counted("contacts_offered_total", ENTRY) == {("call", "A"): 1}
    assert counted("customers_waiting", ENTRY) == {("call", "A"): 1}
    assert exits(ENTRY) == {}


def test_a_called_customer_who_is_not_served_yet_has_no_exit_and_still_waits() -> None:
    """Offered = Σ exits + waiting, always."""
    story = visit("v1").queued(0, "A").called(30)

    assert counted("contacts_offered_total", story, now=60) == {("visit", "A"): 1}
    assert exits(story, now=60) == {}
    assert counted("customers_waiting", story, now=60) == {("visit", "A"): 1}


def test_a_customer_before_an_appointment_is_offered_only_when_waiting() -> None:
    """Offered = Σ exits + waiting, always."""
    story = visit("v1").queued(0, "A", appointment_at=instant(300))

    for second in (60, 299.999, 300, 300.001):
        offered, waiting = (counted(series, story, now=second) for series in ("contacts_offered_total", "customers_waiting"))
        assert exits(story, now=second) == {}
        assert offered == waiting


def test_an_entry_lost_in_a_reset_exits_as_unknown() -> None:
    """Every entry has exactly one exit: … unknown."""
    assert counted("queue_exits_total", [*ENTRY, reset(30)]) == {("call", "A", "unknown"): 1}


def test_an_interaction_without_a_queue_books_no_queue_series() -> None:
    """Interactions without a queue book none."""
    story = call("c1").answered(5, "ann", team="A").ended(60)

    for series in ("contacts_offered_total", "contacts_answered_total", "contacts_answered_in_target_total", "queue_exits_total"):
        assert counted(series, story) == {}
    for series in ("contacts_abandoned_total", "wait_seconds", "contact_wait_seconds", "target_evaluations_total"):
        assert counted(series, story) == {}


@pytest.mark.parametrize("reason", ["timeout", "key", "empty", "full", "closed", "withdrawn"])
def test_a_left_queue_followed_by_another_before_any_touch_is_one_overflow_whatever_its_reason(reason: str) -> None:
    """A left queue … followed by another entry of the same contact before any touch is exit `overflow`, whatever its reason."""
    left = ENTRY.left_queue(15, "A", reason)
    story = left.queued(16, "B")

    assert counted("handovers_total", left) == {}
    assert exits(story) == {("call", "A", "overflow"): 1}
    assert counted("handovers_total", story) == {("A", "B", "overflow", "accepted"): 1}
    assert exits(story.answered(20, "bob")) == {("call", "A", "overflow"): 1, ("call", "B", "answered"): 1}


def test_another_entry_without_a_line_of_leaving_is_an_overflow_too() -> None:
    """A left queue that is followed by another entry of the same contact before any touch is exit `overflow`."""
    assert exits(ENTRY.queued(15, "B").answered(20, "bob")) == {("call", "A", "overflow"): 1, ("call", "B", "answered"): 1}


def test_a_left_queue_with_a_touch_before_the_next_entry_is_no_overflow() -> None:
    """… followed by another entry of the same contact before any touch."""
    story = (
        ENTRY.left_queue(15, "A", "timeout").answered(20, "ann", team="A").transferred(40, "blind", "B").queued(40, "B").answered(45, "bob")
    )

    assert exits(story) == {("call", "A", "timeout"): 1, ("call", "B", "answered"): 1}
    assert counted("handovers_total", story) == {("A", "B", "blind", "accepted"): 1}


@pytest.mark.parametrize("reason", ["closed", "full", "empty"])
def test_turned_away_before_the_queue_is_blocked_and_not_offered(reason: str) -> None:
    """A left queue with no entry before it is `blocked{reason}`. Turned away before the queue …: `blocked`, not offered."""
    story = call("c1").left_queue(0, "A", reason)

    assert counted("contacts_blocked_total", story) == {("call", "A", reason): 1}
    assert counted("contacts_offered_total", story) == {}
    assert exits(story) == {}


def test_an_entry_that_leaves_is_not_blocked() -> None:
    """A left queue with no entry before it is `blocked{reason}`."""
    assert counted("contacts_blocked_total", ENTRY.left_queue(15, "A", "full")) == {}


@pytest.mark.parametrize(
    ("waited", "kind"),
    [(0, "short"), (9.999, "short"), (10, "in_target"), (10.001, "in_target"), (19.999, "in_target"), (20, "in_target"), (20.001, "long")],
)
def test_an_abandon_is_short_in_target_or_long(waited: float, kind: str) -> None:
    """Abandon: kind short (waited < 10 s) / in_target / long, stage queue. Target X is inclusive, short exclusive."""
    assert counted("contacts_abandoned_total", ENTRY.abandoned(waited)) == {("call", "A", "queue", kind): 1}
    assert counted("abandon_wait_seconds", ENTRY.abandoned(waited)) == {("call", "A", round(waited * 1000)): 1}
    assert counted("wait_seconds", ENTRY.abandoned(waited)) == {}


def test_an_abandon_after_a_human_touch_is_of_stage_transfer() -> None:
    """Abandon: … stage queue, or transfer once the contact has had a human touch."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").abandoned(90)

    assert counted("contacts_abandoned_total", story) == {("call", "B", "transfer", "long"): 1}


def test_an_abandon_after_a_bot_is_of_stage_queue() -> None:
    """Abandon: … stage queue, or transfer once the contact has had a human touch."""
    story = call("c1").answered(0, "ivr", actor="bot", team="menu").queued(20, "A").abandoned(32)

    assert counted("contacts_abandoned_total", story) == {("call", "A", "queue", "in_target"): 1}


def test_leaving_while_a_handover_is_pending_without_an_entry_books_no_queue_series() -> None:
    """A customer who leaves while a handover is pending without a queue entry abandons the handover and books no queue series."""
    story = TALK.transferred(60, "blind", "B").abandoned(80)

    assert counted("handovers_total", story) == {("A", "B", "blind", "abandoned"): 1}
    assert counted("contacts_offered_total", story) == {("call", "A"): 1}
    assert counted("contacts_abandoned_total", story) == {}
    assert exits(story) == {("call", "A", "answered"): 1}


@pytest.mark.parametrize(("story", "stage"), [(TALK.ended(60, "lost"), "talk"), (TALK.held(30).ended(60, "lost"), "hold")])
def test_lost_after_an_answer_is_dropped_and_in_no_service_level(story: Story, stage: str) -> None:
    """Lost while talking or on hold after an answer: `dropped`, in no service level."""
    assert counted("contacts_dropped_total", story) == {("call", "A", stage): 1}
    assert counted("contacts_abandoned_total", story) == {}
    assert exits(story) == {("call", "A", "answered"): 1}
    assert evaluations(story) == {("wait", "channel:call", "none", "met"): 1}


@pytest.mark.parametrize("story", [TALK.ended(60), ENTRY.ended(15, "lost"), ENTRY.abandoned(15)])
def test_an_ordinary_end_or_a_loss_in_the_queue_is_not_dropped(story: Story) -> None:
    """Lost while talking or on hold after an answer: `dropped`."""
    assert counted("contacts_dropped_total", story) == {}


def test_one_fact_is_one_exit() -> None:
    """One fact, one exit (EXITEMPTY + LEAVEEMPTY are one)."""
    story = ENTRY.left_queue(15, "A", "empty").left_queue(15, "A", "empty")

    assert exits(story) == {("call", "A", "withdrawn"): 1}
    assert counted("contacts_blocked_total", story) == {}


@pytest.mark.parametrize(("waited", "in_target"), [(19.999, 1), (20, 1), (20.001, 0)])
def test_a_callback_is_one_entry_that_exits_at_the_request(waited: float, in_target: int) -> None:
    """Callback: one entry, exit `callback` at the request."""
    story = ENTRY.callback_requested(waited)
    states = {("call", "A", "requested"): 1} | ({("call", "A", "requested_in_target"): 1} if in_target else {})

    assert counted("callbacks_total", story) == states
    assert exits(story) == {("call", "A", "callback"): 1}
    assert counted("contacts_offered_total", story) == {("call", "A"): 1}
    assert counted("contacts_abandoned_total", story) == {}


def test_the_connection_of_a_callback_is_no_new_offer() -> None:
    """… its connection is no new offer."""
    story = ENTRY.callback_requested(15).answered(900, "ann", team="A").ended(960)
    own_contact = call("c2", direction="callback").queued(0, "A").answered(5, "ann").ended(60)

    assert counted("contacts_offered_total", story) == {("call", "A"): 1}
    assert counted("contacts_answered_total", story) == {}
    assert exits(story) == {("call", "A", "callback"): 1}
    assert counted("callbacks_total", story)["call", "A", "connected"] == 1
    assert counted("moments_of_truth_total", story) == {("call", "A", "human"): 1}
    assert counted("contacts_offered_total", own_contact) == {}


@pytest.mark.parametrize("reason", ["unreachable", "busy", "no_answer"])
def test_a_callback_that_reaches_nobody_is_unreachable(reason: str) -> None:
    """`karar_callbacks_total{state=requested|requested_in_target|connected|unreachable}`."""
    story = ENTRY.callback_requested(30).ended(900, reason)

    assert counted("callbacks_total", story) == {("call", "A", "requested"): 1, ("call", "A", "unreachable"): 1}
    assert counted("moments_of_truth_total", story) == {}


def test_outbound_is_in_no_service_level_and_no_abandon() -> None:
    """Outbound is in no service level, abandon or repeat figure."""
    entry = call("c1", direction="outbound").queued(0, "A")
    for story in (entry.answered(30, "ann").ended(60), entry.abandoned(30), entry):
        for series in (
            "contacts_offered_total",
            "contacts_answered_total",
            "contacts_abandoned_total",
            "queue_exits_total",
            "wait_seconds",
        ):
            assert counted(series, story, now=HOUR) == {}
        assert evaluations(story, now=HOUR) == {}
