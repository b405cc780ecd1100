"""How it ended: what is unserved, what is not, and the outcome of a chain."""

from typing import Final

import pytest

from tests.story import LATER, Labels, Story, call, counted, instant, visit, work

ENTRY: Final = call("c1").queued(0, "A")
TALK: Final = ENTRY.answered(5, "ann")


def links(*stories: Story) -> dict[Labels, int]:
    """Scores of the links of closed chains, in thousandths by kind."""
    return counted("link_score_ratio", *stories, now=LATER)


def chains(*stories: Story) -> dict[Labels, int]:
    """Scores of closed chains in thousandths."""
    return counted("chain_score_ratio", *stories, now=LATER)


def weakest(*stories: Story) -> dict[Labels, int]:
    """Weakest links of closed chains by team, kind and reason."""
    return counted("weakest_links_total", *stories, now=LATER)


def outcomes(*stories: Story) -> dict[Labels, int]:
    """Closed chains by outcome."""
    return counted("chains_closed_total", *stories, now=LATER)


ABANDONED: Final = ENTRY.abandoned(30)
SHORT: Final = ENTRY.abandoned(9.999)


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (ABANDONED, "abandoned"),
        (ENTRY.abandoned(10), "abandoned"),
        (ENTRY.left_queue(5, "A", "timeout"), "left"),
        (ENTRY.left_queue(5, "A", "key"), "left"),
        (ENTRY.left_queue(5, "A", "withdrawn"), "left"),
        (ENTRY.left_queue(5, "A", "empty"), "left"),
        (visit("v1").queued(0, "A").called(30).no_show(90), "no_show"),
    ],
)
def test_a_last_wait_that_ended_without_a_person_is_unserved(story: Story, reason: str) -> None:
    """*Unserved*: the last wait of a contact ended without a person: abandon or no-show that is not short, timeout, opt_out, withdrawn."""
    assert counted("unserved_total", story) == {(story.common["channel"], "A"): 1}
    assert links(story) == {("unserved", 0): 1}
    assert chains(story) == {(0,): 1}
    assert weakest(story) == {("A", "unserved", reason): 1}
    assert counted("link_shortfall_total", story, now=LATER) == {("A", "unserved"): 1000}


@pytest.mark.parametrize("story", [SHORT, visit("v1").queued(0, "A").called(9.999).no_show(90)])
def test_a_short_abandon_is_neither_scored_nor_unserved(story: Story) -> None:
    """Short abandons and short no-shows are neither scored nor unserved."""
    assert counted("unserved_total", story, now=LATER) == {}
    assert links(story) == {}
    assert counted("chains_unscored_total", story, now=LATER) == {(): 1}


@pytest.mark.parametrize("story", [call("c1").left_queue(0, "A", "full"), ENTRY.callback_requested(30), ENTRY, ENTRY.ended(30, "lost")])
def test_blocked_callback_and_unknown_are_not_unserved(story: Story) -> None:
    """Blocked, callback and `unknown` are not unserved."""
    assert counted("unserved_total", story, now=LATER) == {}
    assert ("unserved", 0) not in links(story)


def test_a_wait_that_led_to_a_person_is_not_unserved() -> None:
    """*Unserved*: the last wait of a contact ended without a person."""
    story = ENTRY.left_queue(30, "A", "timeout").queued(40, "A").answered(45, "ann").ended(60)

    assert counted("unserved_total", story, now=LATER) == {}
    assert counted("unserved_total", ENTRY) == {}


@pytest.mark.parametrize(
    ("story", "second"), [(TALK.transferred(60, "blind", "B").ended(90), 90), (TALK.transferred(60, "blind", "B"), 660)]
)
def test_a_handover_abandoned_or_expired_is_unserved_and_charged_to_the_sender(story: Story, second: int) -> None:
    """*Unserved*: … handover abandoned or expired; charged …, after a human touch to the sender."""
    assert counted("unserved_total", story, now=second) == {("call", "none"): 1}
    assert weakest(story) == {("A", "unserved", "handover"): 1}
    assert links(story) == {("wait", 1000): 1, ("unserved", 0): 1}


def test_an_abandon_after_a_touch_is_charged_to_the_sender() -> None:
    """*Unserved*: … charged to the queue's team, after a human touch to the sender."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").abandoned(100)

    assert weakest(story) == {("A", "unserved", "abandoned"): 1}
    assert counted("unserved_total", story) == {("call", "B"): 1}


@pytest.mark.parametrize("leave", ["callback", "unknown"])
def test_a_transfer_into_a_callback_or_an_unknown_end_is_not_unserved(leave: str) -> None:
    """Blocked, callback and `unknown` are not unserved."""
    waiting = TALK.transferred(60, "blind", "B").queued(60, "B")
    story = waiting.callback_requested(90) if leave == "callback" else waiting.ended(90, "lost")

    assert counted("unserved_total", story, now=LATER) == {}


def test_an_expired_handover_is_not_unserved_once_somebody_came() -> None:
    """*Unserved*: the last wait of a contact ended without a person."""
    story = TALK.transferred(60, "blind", "B").answered(700, "bob", team="B").ended(760)

    assert counted("handovers_total", story)["A", "B", "blind", "expired"] == 1
    assert counted("unserved_total", story) == {}


def test_a_short_abandon_after_a_transfer_is_not_unserved() -> None:
    """Short abandons and short no-shows are neither scored nor unserved."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").abandoned(69.999)

    assert counted("contacts_abandoned_total", story) == {("call", "B", "transfer", "short"): 1}
    assert counted("unserved_total", story) == {}
    assert links(story) == {("wait", 1000): 1}


def test_a_link_unserved_replaces_the_wait_that_it_ends() -> None:
    """A link `unserved` replaces the wait or handover that it ends."""
    story = TALK.transferred(60, "blind", "B").queued(60, "B").abandoned(100)

    assert links(ENTRY.abandoned(40)) == {("unserved", 0): 1}
    assert links(story) == {("wait", 1000): 1, ("unserved", 0): 1}


def as_customer(story: Story) -> Story:
    """The same story of a known customer, at the same time."""
    known = Story(f"{story.name} of 7", story.common | {"identifiers": {"customer": "7"}})
    for x in story:
        own = {
            f: getattr(x, f) for f in x.__struct_fields__ if f not in {"id", "source", "interaction_id", "at", "sequence", "identifiers"}
        }
        known = known.tell(str(x.__struct_config__.tag), (x.at - instant(0)) / 1000, **own)
    return known


SERVED: Final = TALK.ended(60)
OUTBOUND: Final = call("c2", direction="outbound").answered(0, "ann", team="A").ended(60)
GONE: Final = call("c3").queued(0, "A").abandoned(30)
UNSEEN: Final = call("c4").offered(0)
BRIEF: Final = call("c5").queued(0, "A").abandoned(5)
WORK: Final = work("w6").work_started(0, "bob", team="B").work_completed(60, "bob")
BOT: Final = call("c7").answered(0, "ivr", actor="bot", team="menu").ended(30)
BLOCKED: Final = call("c8").left_queue(0, "A", "full")
ATTEMPT: Final = call("c9", direction="outbound").offered(0).ended(20, "busy")
ORDER: Final = (
    (SERVED, "served"), (OUTBOUND, "outbound"), (GONE, "abandoned"), (UNSEEN, "unknown"), (BRIEF, "short"), (WORK, "back_office"),
    (BOT, "unknown"), (BLOCKED, "unknown"), (ATTEMPT, "unknown"),
)  # fmt: skip


@pytest.mark.parametrize(("story", "outcome"), ORDER)
def test_a_chain_has_the_outcome_of_what_happened(story: Story, outcome: str) -> None:
    """*Outcome* of a chain …: served, outbound, abandoned, unknown, short, back_office; bots, blocked or attempts only: unknown."""
    assert outcomes(story) == {(outcome,): 1}


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in range(6) for b in range(a + 1, 9)])
def test_the_first_outcome_that_applies_is_the_chains(first: int, second: int) -> None:
    """*Outcome* of a chain, the first that applies."""
    (one, outcome), (other, _) = ORDER[first], ORDER[second]

    assert outcomes(as_customer(one), as_customer(other)) == {(outcome,): 1}


def test_a_callback_answered_is_served() -> None:
    """Served (≥ 1 human touch in an inbound contact or callback)."""
    assert outcomes(call("c1", direction="callback").answered(0, "ann").ended(60)) == {("served",): 1}
