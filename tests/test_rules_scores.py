"""How well it went: scores of links, the weakest link, moments won and lost."""

from typing import Final

import pytest

from streams.core.targets import parse
from tests.story import HOUR, LATER, Labels, Story, booked, call, chat, counted, email, replayed, visit

ENTRY: Final = call("c1").queued(0, "A")
TALK: Final = ENTRY.answered(5, "ann")
BARE: Final = call("c1").answered(0, "ann", team="A")
WON: Final = {("call", "A", "won"): 1}
LOST: Final = {("call", "A", "lost"): 1}


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


def judged(*stories: Story) -> dict[Labels, int]:
    """Moments by channel, team and whether won or lost."""
    return counted("moments_judged_total", *stories)


def passed(story: Story, second: float, team: str) -> Story:
    """A blind transfer, accepted at once, without a queue."""
    return story.transferred(second, "blind", to_team=team).answered(second, f"representative of {team}", team=team)


@pytest.mark.parametrize(
    ("waited", "score"), [(0, 1000), (19.999, 1000), (20, 1000), (20.001, 999), (30, 666), (40, 500), (65, 307), (7000, 2)]
)  # fmt: skip
def test_a_wait_scores_target_over_actual(waited: float, score: int) -> None:
    """Time: min(1, target/actual), actual 0 → 1. … published in thousandths rounded down."""
    assert links(ENTRY.answered(waited, "ann").ended(waited + 60)) == {("wait", score): 1}


@pytest.mark.parametrize(("held", "score"), [(1, 1000), (60, 1000), (60.001, 999), (90, 666), (120, 500)])
def test_a_hold_scores_target_over_actual(held: float, score: int) -> None:
    """Time: min(1, target/actual)."""
    assert links(BARE.held(10).retrieved(10 + held).ended(300)) == {("hold", score): 1}


def test_hold_is_all_of_a_touch() -> None:
    """Scored by default: …, hold (all of a touch)."""
    assert links(BARE.held(10).retrieved(50).held(60).retrieved(110).ended(300)) == {("hold", 666): 1}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, {1000: 1}), (2, {1000: 1, 666: 1}), (3, {1000: 1, 666: 1, 500: 1}), (4, {1000: 1, 666: 1, 500: 1, 400: 1})],
)
def test_a_transfer_scores_by_its_ordinal_among_the_contacts_accepted_transfers(count: int, expected: dict[int, int]) -> None:
    """Counts: (target+1) / (max(actual, target)+1). Actual of a transfer = its ordinal among the contact's accepted transfers."""
    story = BARE
    for n in range(count):
        story = passed(story, 10 * n + 10, "BCDE"[n])

    assert links(story.ended(99)) == {("handover", score): amount for score, amount in expected.items()}
    assert counted("target_evaluations_total", story.ended(99)) == {
        ("transfers", "all", "none", result): amount for result, amount in (("met", 1), ("missed", count - 1)) if amount
    }


def test_the_ordinal_of_a_transfer_starts_anew_in_the_next_contact() -> None:
    """Actual of a transfer = its ordinal among the contact's accepted transfers."""
    first = passed(call("c1", customer="7").answered(0, "ann", team="A"), 10, "B").ended(60)
    second = passed(call("c2", customer="7").answered(HOUR, "ann", team="A"), HOUR + 10, "B").ended(HOUR + 60)

    assert links(first, second) == {("handover", 1000): 2}


def test_a_transfer_nobody_accepted_has_no_ordinal() -> None:
    """Its ordinal among the contact's accepted transfers."""
    refused = BARE.transferred(10, "blind", to_team="B").answered(20, "ann", team="A")

    assert links(passed(refused, 30, "C").ended(60)) == {("handover", 1000): 1}


@pytest.mark.parametrize("story", [BARE.ended(60), BARE.ended(60).wrapped_up(900, "ann"), BARE.ended(7 * HOUR)])
def test_where_nothing_was_expected_nothing_is_scored(story: Story) -> None:
    """Only what an expectation applies to is scored …; never wrap-up; talk only in scorecards; a chain without scored links has none."""
    assert links(story) == {}
    assert chains(story) == {}
    assert weakest(story) == {}
    assert counted("chains_unscored_total", story, now=LATER) == {(): 1}


def test_a_scored_chain_is_not_unscored() -> None:
    """A chain without scored links has none (`karar_chains_unscored_total`)."""
    assert counted("chains_unscored_total", TALK.ended(60), now=LATER) == {}


def test_the_chain_scores_as_its_weakest_link() -> None:
    """Chain score = min of its links."""
    story = ENTRY.answered(25, "ann").held(30).retrieved(110).ended(120)

    assert links(story) == {("wait", 800): 1, ("hold", 750): 1}
    assert chains(story) == {(750,): 1}
    assert weakest(story) == {("A", "hold", "hold"): 1}
    assert counted("link_shortfall_total", story, now=LATER) == {("A", "wait"): 200, ("A", "hold"): 250}


def test_where_all_went_well_the_weakest_link_is_none() -> None:
    """All at 1 → link `none`."""
    assert weakest(TALK.ended(60)) == {("none", "none", "none"): 1}
    assert chains(TALK.ended(60)) == {(1000,): 1}
    assert counted("link_shortfall_total", TALK.ended(60), now=LATER) == {}


def test_scores_are_compared_as_exact_fractions_and_published_rounded_down() -> None:
    """Compared as exact fractions, published in thousandths rounded down."""
    story = ENTRY.answered(30, "ann").held(40).retrieved(130.001).ended(200)

    assert links(story) == {("wait", 666): 1, ("hold", 666): 1}
    assert weakest(story) == {("A", "hold", "hold"): 1}


def test_of_a_wait_and_a_hold_that_tie_the_wait_is_weakest() -> None:
    """Weakest link = lowest score; ties: kind (unserved, wait, hold, handover, gap, touch)."""
    assert weakest(ENTRY.answered(40, "ann").held(50).retrieved(170).ended(200)) == {("A", "wait", "wait"): 1}


def test_of_a_hold_and_a_handover_that_tie_the_hold_is_weakest() -> None:
    """Ties: kind (unserved, wait, hold, handover, gap, touch)."""
    story = passed(passed(passed(BARE, 10, "B"), 20, "C"), 30, "D").held(40).retrieved(160).ended(200)

    assert weakest(story) == {("D", "hold", "hold"): 1}


def test_of_a_wait_and_a_handover_that_tie_the_wait_is_weakest() -> None:
    """Ties: kind (unserved, wait, hold, handover, gap, touch)."""
    story = passed(passed(BARE, 10, "B"), 20, "C").transferred(30, "blind", "D").queued(30, "D").answered(70, "dan").ended(200)

    assert weakest(story) == {("D", "wait", "wait"): 1}


def test_the_weakest_handover_is_charged_to_its_sender() -> None:
    """Transfers (on the handover link); a failed handover to the sender."""
    assert weakest(passed(passed(BARE, 10, "B"), 20, "C").ended(60)) == {("B", "handover", "transfers"): 1}


def test_of_two_links_of_a_kind_that_tie_the_larger_overrun_is_weakest() -> None:
    """Ties: kind …, larger overrun in seconds."""
    rules = parse('[[target]]\nkind = "hold"\nseconds = 30\nteam = "A"\n[[target]]\nkind = "hold"\nseconds = 40\nteam = "B"\n')
    story = passed(BARE.held(1).retrieved(61), 100, "B").held(110).retrieved(190).ended(200)

    assert counted("link_score_ratio", story, now=LATER, rules=rules)["hold", 500] == 2
    assert counted("weakest_links_total", story, now=LATER, rules=rules) == {("B", "hold", "hold"): 1}


def test_of_two_links_with_one_overrun_the_earlier_is_weakest() -> None:
    """Ties: …, earlier start."""
    story = passed(BARE.held(1).retrieved(121), 150, "B").held(160).retrieved(280).ended(300)

    assert weakest(story) == {("A", "hold", "hold"): 1}


def test_of_two_unserved_links_the_larger_overrun_is_weakest() -> None:
    """Ties: kind …, larger overrun in seconds."""
    rules = parse('[[target]]\nkind = "wait"\nseconds = 40\nqueue = "B"\n')
    first, second = (call(f"c{q}", customer="7").queued(0, q).abandoned(second) for q, second in (("B", 50), ("A", 35)))

    assert counted("weakest_links_total", first, second, now=LATER, rules=rules) == {("A", "unserved", "abandoned"): 1}


@pytest.mark.parametrize(("first", "second"), [(0, 10), (10, 0), (0, 0)])
def test_of_two_contacts_that_tie_the_earlier_then_the_smaller_id_is_weakest(first: int, second: int) -> None:
    """Ties: …, earlier start, id."""
    a = call("c1", customer="7").queued(first, "A").abandoned(first + 30)
    b = call("c2", customer="7").queued(second, "B").abandoned(second + 30)

    assert weakest(b, a) == {("A" if first <= second else "B", "unserved", "abandoned"): 1}


def test_scores_are_booked_when_the_chain_closes_and_a_gauge_while_it_is_open() -> None:
    """Booked when the chain closes; while open it is a gauge."""
    story = ENTRY.answered(40, "ann").ended(60)

    assert counted("chains_open_weakest", story) == {("wait",): 1}
    assert counted("weakest_links_total", story) == {}
    assert counted("link_score_ratio", story) == {}
    assert counted("chains_open_weakest", TALK.ended(60)) == {("none",): 1}
    assert counted("chains_open_weakest", BARE.ended(60)) == {}
    assert counted("chains_open_weakest", story, now=LATER) == {}
    assert weakest(story) == {("A", "wait", "wait"): 1}


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (ENTRY.answered(20, "ann").ended(60), WON),
        (ENTRY.answered(20.001, "ann").ended(60), LOST),
        (BARE.held(10).retrieved(70).ended(90), WON),
        (BARE.held(10).retrieved(70.001).ended(90), LOST),
        (ENTRY.answered(5, "ann").held(10).retrieved(71).ended(90), LOST),
        (ENTRY.answered(25, "ann").held(30).retrieved(40).ended(90), LOST),
        (BARE.ended(60), {}),
        (TALK, {}),
    ],
)
def test_a_moment_is_won_when_every_expectation_was_met(story: Story, expected: dict[Labels, int]) -> None:
    """Won when its touch and the wait, hold and handover that led to it met every expectation …, lost otherwise, not judged where none."""
    assert judged(story) == expected


def test_a_moment_is_judged_when_its_touch_ends() -> None:
    """A moment is judged … when its touch ends."""
    replay = replayed(TALK)

    assert booked("moments_judged_total", replay) == {}
    replay.take(TALK.ended(60).events[2:])
    assert booked("moments_judged_total", replay) == WON


def test_a_moment_is_judged_by_the_handover_that_led_to_it() -> None:
    """Won when its touch and the wait, hold and handover that led to it met every expectation that applied."""
    once, twice = passed(BARE, 10, "B"), passed(passed(BARE, 10, "B"), 20, "C")

    assert judged(once.ended(60)) == {("call", "B", "won"): 1}
    assert judged(twice.ended(60)) == {("call", "B", "won"): 1, ("call", "C", "lost"): 1}


def test_a_moment_is_judged_by_the_joined_wait_that_led_to_it() -> None:
    """Contact wait, wait link and score by the joined wait."""
    story = ENTRY.queued(15, "B").answered(21, "bob").ended(60)

    assert judged(story) == {("call", "B", "lost"): 1}


def test_a_bot_is_never_won_or_lost() -> None:
    """Bot, IVR: outside the human count."""
    assert judged(call("c1").queued(0, "A").answered(5, "ivr", actor="bot", team="menu").ended(30)) == {}


@pytest.mark.parametrize(
    ("entry", "limit"),
    [(ENTRY, 20), (visit("v1").queued(0, "A"), 600), (chat("m1").queued(0, "A"), 60), (email("e1").queued(0, "A"), 24 * HOUR)],
)
def test_defaults_of_the_wait_target(entry: Story, limit: int) -> None:
    """Defaults until a targets file says otherwise: wait call 20 s, visit 600 s, chat 60 s, e-mail 24 h."""
    channel = entry.common["channel"]

    for waited, result in ((limit - 0.001, "met"), (limit, "met"), (limit + 0.001, "missed")):
        story = entry.answered(waited, "ann").ended(waited + 60)
        assert counted("target_evaluations_total", story) == {("wait", f"channel:{channel}", "none", result): 1}
