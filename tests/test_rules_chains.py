"""Which contacts belong together: chains by case and by customer, how they close, reopen and join."""

from typing import Final

import pytest

from tests.story import DAY, HOUR, LATER, MS, Labels, Story, booked, call, counted, instant, replayed, work

YEARS: Final = 400 * DAY


def talk(name: str, second: float, **common: str) -> Story:
    """A call answered by ann at that second and ended a minute later."""
    return call(name, **common).answered(second, "ann", team="A").ended(second + 60)


def opened(*stories: Story) -> dict[Labels, int]:
    """Chains opened."""
    return counted("chains_opened_total", *stories)


def moments_per_chain(*stories: Story) -> dict[Labels, int]:
    """Closed chains by their number of moments."""
    return counted("moments_per_chain", *stories, now=YEARS)


@pytest.mark.parametrize("gap", [HOUR, 5 * DAY, 29 * DAY, 31 * DAY, 80 * DAY])
def test_with_a_case_id_the_chain_is_that_case_whatever_the_gaps(gap: int) -> None:
    """With a case id: the chain is that case of that customer, whatever the gaps."""
    stories = talk("c1", 0, customer="7", case_id="K"), talk("c2", 60 + gap, customer="7", case_id="K")

    assert opened(*stories) == {(): 1}
    assert moments_per_chain(*stories) == {(2,): 1}


def test_the_same_case_id_of_two_customers_is_two_chains() -> None:
    """With a case id: the chain is that case of that customer."""
    assert opened(talk("c1", 0, customer="7", case_id="K"), talk("c2", 90, customer="8", case_id="K")) == {(): 2}


def test_two_cases_of_one_customer_are_two_chains() -> None:
    """With a case id: the chain is that case of that customer."""
    assert opened(talk("c1", 0, customer="7", case_id="K"), talk("c2", 90, customer="7", case_id="L")) == {(): 2}


@pytest.mark.parametrize(("common", "quiet"), [({"case_id": "K"}, 30 * DAY), ({}, DAY)])
def test_a_chain_closes_when_it_has_been_quiet_for_long_enough(common: dict[str, str], quiet: int) -> None:
    """It closes 30 days after its last activity. Without: … closing 24 h after the last."""
    story = talk("c1", 0, customer="7", **common)

    assert counted("chains_closed_total", story, now=60 + quiet - MS) == {}
    assert counted("chains_open", story, now=60 + quiet - MS) == {(): 1}
    assert counted("chains_closed_total", story, now=60 + quiet) == {("served",): 1}
    assert counted("chains_open", story, now=60 + quiet) == {}
    assert counted("chains_closed_total", story, now=60 + quiet + MS) == {("served",): 1}


@pytest.mark.parametrize(("gap", "chains"), [(DAY - MS, 1), (DAY, 1), (DAY + MS, 2)])
def test_contacts_of_one_customer_not_more_than_24_hours_apart_are_one_chain(gap: float, chains: int) -> None:
    """Without: contacts of one customer not more than 24 h apart (setting). … at most 24 h before its start (inclusive)."""
    assert opened(talk("c1", 0, customer="7"), talk("c2", 60 + gap, customer="7")) == {(): chains}


def test_contacts_of_two_customers_are_two_chains() -> None:
    """Without: contacts of one customer."""
    assert opened(talk("c1", 0, customer="7"), talk("c2", 90, customer="8")) == {(): 2}


def test_the_24_hours_run_from_the_last_activity_of_the_chain() -> None:
    """… whose last activity lies at most 24 h before its start."""
    stories = talk("c1", 0, customer="7"), talk("c2", 20 * HOUR, customer="7"), talk("c3", 40 * HOUR, customer="7")

    assert opened(*stories) == {(): 1}
    assert moments_per_chain(*stories) == {(3,): 1}


def test_with_neither_case_nor_known_customer_a_chain_is_one_interaction() -> None:
    """With neither case nor known customer, a chain of one interaction."""
    assert opened(talk("c1", 0), talk("c2", 90)) == {(): 2}


def passing(name: str, second: float, moments: int, **common: str) -> Story:
    """A call of the customer with that many moments, and 100 s long."""
    story = call(name, customer="7", **common).answered(second, "person 1", team="A")
    for n in range(2, moments + 1):
        story = story.transferred(second + n, "blind", "A").answered(second + n, f"person {n}", team="A")
    return story.ended(second + 100)


@pytest.mark.parametrize(("first", "second", "expected"), [(0, 50, {(1,): 1, (3,): 1}), (50, 0, {(2,): 2}), (0, 0, {(2,): 2})])
def test_of_several_candidates_the_one_active_last_takes_a_contact_then_the_smaller_id(
    first: int, second: int, expected: dict[Labels, int]
) -> None:
    """Several candidates → the one active last, then id."""
    stories = passing("c1", first, 1, case_id="K"), passing("c2", second, 2, case_id="L"), passing("c3", HOUR, 1)

    assert moments_per_chain(*stories) == expected


def test_a_contact_with_a_case_never_joins_a_chain_without_one() -> None:
    """One with a case id in that case's chain, never in one without a case."""
    assert opened(talk("c1", 0, customer="7"), talk("c2", 90, customer="7", case_id="K")) == {(): 2}


def test_a_contact_with_a_case_joins_a_chain_without_one_when_linked() -> None:
    """… (unless `linked`). An event that bridges two chains joins them."""
    second = talk("c2", 90, customer="7", case_id="K").linked(160, "c1")

    assert opened(talk("c1", 0, customer="7"), second) == {(): 1}
    assert moments_per_chain(talk("c1", 0, customer="7"), second) == {(2,): 1}


@pytest.mark.parametrize(("gap", "chains"), [(DAY - MS, 1), (DAY, 1), (DAY + MS, 2)])
def test_a_contact_without_a_case_joins_a_chain_with_one_within_24_hours(gap: float, chains: int) -> None:
    """One without a case in the customer's chain, with or without a case, whose last activity lies at most 24 h before its start."""
    assert opened(talk("c1", 0, customer="7", case_id="K"), talk("c2", 60 + gap, customer="7")) == {(): chains}


def test_contacts_are_placed_in_order_of_start_whatever_came_first() -> None:
    """Contacts are placed in order of start."""
    stories = talk("c1", 0, customer="7"), talk("c2", 20 * HOUR, customer="7"), talk("c3", 40 * HOUR, customer="7")
    replay = replayed(stories[2], stories[0], stories[1])

    assert booked("chains_opened_total", replay) == {(): 1}
    assert replay.differences() == {}


@pytest.mark.parametrize("case", ["K", ""])
def test_what_belongs_to_a_closed_chain_reopens_it_and_its_closing_is_retracted(case: str) -> None:
    """What by this rule belongs to a closed chain (same case, or late in arrival) reopens it and the closing is retracted."""
    first, second = talk("c1", 0, customer="7", case_id=case), talk("c2", 90, customer="7", case_id=case)
    replay = replayed(first)
    replay.finish(instant(31 * DAY))

    assert booked("chains_closed_total", replay) == {("served",): 1}
    replay.take(second.events)
    assert booked("chains_closed_total", replay) == {("served",): 1}
    assert booked("chains_opened_total", replay) == {(): 1}
    assert booked("moments_of_truth_total", replay) == {("call", "A", "human"): 2}
    assert replay.differences() == {}


def test_a_case_that_goes_on_after_its_closing_is_open_again() -> None:
    """… reopens it and the closing is retracted. Opened is counted once."""
    replay = replayed(talk("c1", 0, customer="7", case_id="K"))
    replay.finish(instant(31 * DAY))
    replay.take(talk("c2", 32 * DAY, customer="7", case_id="K").events)

    assert booked("chains_closed_total", replay) == {}
    assert booked("chains_open", replay) == {(): 1}
    assert booked("chains_opened_total", replay) == {(): 1}
    assert replay.differences() == {}


def test_everything_else_opens_a_new_chain() -> None:
    """Everything else opens a new chain."""
    replay = replayed(talk("c1", 0, customer="7"))
    replay.finish(instant(3 * DAY))
    replay.take(talk("c2", 3 * DAY, customer="7").events)

    assert booked("chains_opened_total", replay) == {(): 2}
    assert booked("chains_closed_total", replay) == {("served",): 1}
    assert booked("chains_open", replay) == {(): 1}


def test_a_chain_with_an_open_contact_does_not_close() -> None:
    """A chain with an open contact does not close."""
    open_work = work("w1", customer="7").work_started(30, "bob", team="B")

    assert counted("chains_closed_total", talk("c1", 0, customer="7"), open_work, now=29 * DAY) == {}
    assert counted("chains_open", talk("c1", 0, customer="7"), open_work, now=29 * DAY) == {(): 1}


def test_an_event_that_bridges_two_chains_joins_them() -> None:
    """An event that bridges two chains joins them: the older id stays and the other redirects."""
    first, second = talk("c1", 0, customer="7"), talk("c2", 3 * DAY, customer="7")
    replay = replayed(first, second)

    assert booked("chains_opened_total", replay) == {(): 2}
    replay.take(second.linked(3 * DAY + 90, "c1").events[2:])
    assert booked("chains_opened_total", replay) == {(): 1}
    assert booked("chains_closed_total", replay) == {}
    assert replay.differences() == {}


def test_cases_are_never_joined_with_one_another() -> None:
    """Cases are never joined with one another."""
    second = talk("c2", 90, customer="7", case_id="L").linked(160, "c1")

    assert opened(talk("c1", 0, customer="7", case_id="K"), second) == {(): 2}
    assert moments_per_chain(talk("c1", 0, customer="7", case_id="K"), second) == {(1,): 2}


def test_a_contact_between_two_cases_does_not_join_them() -> None:
    """Cases are never joined with one another."""
    between = talk("c0", 0, customer="7")
    one, other = talk("c1", 90, customer="7", case_id="K"), talk("c2", 300, customer="7", case_id="L")

    assert opened(between, one.linked(160, "c0"), other.linked(370, "c0")) == {(): 2}
    assert opened(one, other, talk("c3", 500, customer="7").linked(510, "c1").linked(510, "c2")) == {(): 2}


@pytest.mark.parametrize(("days", "moments"), [(89, 2), (92, 1), (180, 1)])
def test_what_comes_for_an_archived_chain_is_too_late_and_never_a_new_chain(days: int, moments: int) -> None:
    """State is kept 90 days after closing; then its facts are archived: what arrives for a marker is `too_late`, never a new chain."""
    story = talk("c1", 0, customer="7")
    replay = replayed(story)
    replay.finish(instant(days * DAY))
    replay.take(story.answered(61, "bob", team="A").ended(62).events[2:])

    assert booked("moments_of_truth_total", replay) == {("call", "A", "human"): moments}
    assert booked("chains_opened_total", replay) == {(): 1}
    assert booked("chains_closed_total", replay) == {("served",): 1}
    assert replay.differences() == {}


def test_a_chain_is_served_while_it_is_still_open() -> None:
    """`karar_chains_served_total`: ≥ 1 human touch in an inbound contact or callback."""
    assert counted("chains_served_total", call("c1").answered(0, "ann")) == {(): 1}
    assert counted("chains_served_total", call("c1", direction="callback").answered(0, "ann")) == {(): 1}
    assert counted("chains_served_total", call("c1", direction="outbound").answered(0, "ann")) == {}
    assert counted("chains_served_total", call("c1").queued(0, "A").abandoned(30)) == {}


def test_representatives_and_transfers_are_counted_per_chain() -> None:
    """`karar_moments_per_chain` `karar_transfers_per_chain` `karar_representatives_per_chain`."""
    stories = passing("c1", 0, 3), passing("c2", HOUR, 2)

    assert moments_per_chain(*stories) == {(5,): 1}
    assert counted("transfers_per_chain", *stories, now=LATER) == {(3,): 1}
    assert counted("representatives_per_chain", *stories, now=LATER) == {(3,): 1}
