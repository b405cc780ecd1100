"""Targets by channel, queue, team and segment reach everything that they are meant for; a bot passes on what a person had."""

import pytest

from streams.core.targets import Rules, parse
from tests.story import LATER, Story, call, counted

CONDITIONS = ('channel = "call"', 'queue = "A"', 'team = "red"', 'segment = "gold"')
HELD = (
    call("c1", phone="1", segment="gold").queued(0, "A").answered(5, "ann", team="red").held(10).retrieved(40).transferred(50, "blind")
    .answered(55, "bob", team="blue").ended(60)
)  # fmt: skip


def rules(kind: str, unit: str, amount: float, condition: str) -> Rules:
    """A targets file of one row."""
    return parse(f'[[target]]\nkind = "{kind}"\n{unit} = {amount}\n{condition}\n')


def results(story: Story, target: str, given: Rules) -> dict[str, int]:
    """How often a target was met and missed."""
    return {
        str(labels[3]): n for labels, n in counted("target_evaluations_total", story, now=LATER, rules=given).items() if labels[0] == target
    }


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_hold_target_is_chosen_by_where_the_touch_was(condition: str) -> None:
    """Hold by (channel, touch's queue, touch's team, segment); 30 s are too long where 20 are asked."""
    asked = rules("hold", "seconds", 20, condition)

    assert results(HELD, "hold", asked) == {"missed": 1}
    assert counted("link_score_ratio", HELD, now=LATER, rules=asked) == {("wait", 1000): 1, ("hold", 666): 1, ("handover", 1000): 1}
    assert results(HELD, "hold", rules("hold", "seconds", 20, 'queue = "B"')) == {"met": 1}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_transfer_target_is_chosen_by_where_the_sender_was(condition: str) -> None:
    """Transfers by the sender's touch: none expected there, so the moment that it led to is lost."""
    asked = rules("transfers", "count", 0, condition)

    assert results(HELD, "transfers", asked) == {"missed": 1}
    judged = counted("moments_judged_total", HELD, now=LATER, rules=asked)
    assert judged == {("call", "red", "won"): 1, ("call", "blue", "lost"): 1}
    assert results(HELD, "transfers", rules("transfers", "count", 0, 'team = "blue"')) == {"met": 1}


@pytest.mark.parametrize(("condition", "states"), [(c, 1) for c in (*CONDITIONS[:2], 'team = "A"', CONDITIONS[3])] + [('queue = "B"', 2)])
def test_a_callback_is_requested_in_target_by_the_entry_that_it_ended(condition: str, states: int) -> None:
    """Requested in target if that entry's wait <= target: 15 s are beyond 12."""
    story = call("c1", phone="1", segment="gold").queued(0, "A").callback_requested(15)
    found = counted("callbacks_total", story, rules=rules("wait", "seconds", 12, condition))

    assert len(found) == states
    assert found["call", "A", "requested"] == 1


BOT = call("c1").queued(0, "A").answered(5, "ann", team="red").transferred(10, "blind").answered(12, "ivr", actor="bot", team="ivr")


def test_a_bot_that_passes_on_what_a_person_had_is_an_escalation_and_a_handover_between_them() -> None:
    """The law of moments wants a handover from person to person as well."""
    story = BOT.transferred(20, "blind", actor="bot").answered(30, "bob", team="blue").ended(60)

    assert counted("handovers_total", story) == {("red", "blue", "blind", "accepted"): 1}
    assert counted("moments_of_truth_total", story) == {
        ("call", "red", "human"): 1,
        ("call", "ivr", "bot"): 1,
        ("call", "blue", "human"): 1,
    }


def test_a_bot_alone_with_a_contact_that_a_person_left_escalates_it() -> None:
    """Left by ann, taken by a bot that passes it on: the escalation goes to who takes it, and the contact from ann to him."""
    taken = call("c1").answered(0, "ann", team="red").left(10, "ann").answered(12, "ivr", actor="bot", team="ivr")
    passed = taken.transferred(20, "blind", actor="bot")
    to_bob, to_ann = (passed.answered(30, name, team=team).ended(60) for name, team in (("bob", "blue"), ("ann", "red")))

    assert counted("handovers_total", to_bob) == {("ivr", "blue", "escalation", "accepted"): 1, ("red", "blue", "reroute", "accepted"): 1}
    assert counted("handovers_total", to_ann) == {("ivr", "red", "escalation", "accepted"): 1, ("red", "red", "reroute", "returned"): 1}
    assert counted("moments_of_truth_total", to_ann) == {("call", "red", "human"): 1, ("call", "ivr", "bot"): 1}
