"""Who the customer is: identifiers by kind, values that identify nobody, cases and tickets."""

from typing import Final

import pytest

from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.replay import Replay
from tests.story import LATER, Labels, Story, booked, call, counted, instant

KINDS: Final = ("customer", "account", "email", "phone", "device")


def talk(name: str, second: float, **common: str) -> Story:
    """A call answered by ann at that second and ended a minute later."""
    return call(name, **common).answered(second, "ann", team="A").ended(second + 60)


def opened(*stories: Story) -> dict[Labels, int]:
    """Chains opened."""
    return counted("chains_opened_total", *stories)


@pytest.mark.parametrize(("stronger", "weaker"), [(a, b) for n, a in enumerate(KINDS) for b in KINDS[n + 1 :]])
def test_the_strongest_identifier_says_who_the_customer_is(stronger: str, weaker: str) -> None:
    """Identifiers by kind, strongest first: customer > account > e-mail > phone > device."""
    same = talk("c1", 0, **{stronger: "1", weaker: "2"}), talk("c2", 90, **{weaker: "3", stronger: "1"})
    other = talk("c1", 0, **{stronger: "1", weaker: "2"}), talk("c2", 90, **{stronger: "4", weaker: "2"})

    assert opened(*same) == {(): 1}
    assert opened(*other) == {(): 2}


def test_the_same_value_of_two_kinds_is_two_customers() -> None:
    """Identifiers by kind."""
    assert opened(talk("c1", 0, phone="1"), talk("c2", 90, device="1")) == {(): 2}


@pytest.mark.parametrize("blocked", ["anonymous", "Anonymous", "unknown", "restricted", "<unknown>", "unavailable", "private", "", " "])
def test_a_blocked_value_identifies_nobody(blocked: str) -> None:
    """Blocked values (anonymous, unknown, restricted, `<unknown>`, empty, configured ones) identify nobody."""
    stories = talk("c1", 0, phone=blocked), talk("c2", 90, phone=blocked)

    assert opened(*stories) == {(): 2}
    assert counted("contacts_total", *stories) == {("call", "inbound", "false", "unknown"): 2}
    assert opened(talk("c1", 0, customer=blocked, phone="1"), talk("c2", 90, phone="1")) == {(): 1}


def test_a_configured_blocked_value_identifies_nobody() -> None:
    """Blocked values (…, configured ones) identify nobody."""
    replay = Replay(Rules(), Identity(blocked=frozenset({"reception"})))
    replay.take([*talk("c1", 0, phone="reception"), *talk("c2", 90, phone="reception")])

    assert booked("chains_opened_total", replay) == {(): 2}


def test_a_case_without_a_known_customer_is_one_chain_of_its_source() -> None:
    """An interaction with a case id but no known customer is keyed by (source, case id)."""
    assert opened(talk("c1", 0, case_id="K"), talk("c2", 90, case_id="K")) == {(): 1}
    assert opened(talk("c1", 0, case_id="K", source="a"), talk("c2", 90, case_id="K", source="b")) == {(): 2}


def test_a_case_comes_before_a_ticket() -> None:
    """An interaction with a case id but no known customer is keyed by (source, case id), before ticket and interaction."""
    assert opened(talk("c1", 0, ticket="1", case_id="K"), talk("c2", 90, ticket="2", case_id="K")) == {(): 1}
    assert opened(talk("c1", 0, ticket="1", case_id="K"), talk("c2", 90, ticket="1", case_id="L")) == {(): 2}


def test_an_identifier_comes_before_a_ticket() -> None:
    """… > device > ticket > interaction."""
    assert opened(talk("c1", 0, device="1", ticket="5"), talk("c2", 90, device="1", ticket="6")) == {(): 1}
    assert opened(talk("c1", 0, device="1", ticket="5"), talk("c2", 90, device="2", ticket="5")) == {(): 2}


def test_a_ticket_alone_makes_no_chain_of_two_interactions() -> None:
    """With neither case nor known customer, a chain of one interaction."""
    assert opened(talk("c1", 0, ticket="1"), talk("c2", 90, ticket="1")) == {(): 2}


def test_a_ticket_knows_no_customer() -> None:
    """`karar_contacts_total{channel,direction,identified,need}`."""
    assert counted("contacts_total", talk("c1", 0, ticket="1")) == {("call", "inbound", "false", "unknown"): 1}
    assert counted("contacts_total", talk("c1", 0, device="1")) == {("call", "inbound", "true", "unknown"): 1}


def test_an_identified_call_from_a_blocked_number_is_one_moment_net() -> None:
    """An identified call from a blocked number is one moment, net."""
    story = call("c1", phone="anonymous").queued(0, "A").answered(5, "ann").identified(20, customer="7").ended(60)
    replay = Replay(Rules(), Identity())
    replay.take(story.events[:2])
    assert booked("contacts_total", replay) == {("call", "inbound", "false", "unknown"): 1}
    replay.take(story.events[2:])
    replay.finish(instant(LATER))

    assert booked("moments_of_truth_total", replay) == {("call", "A", "human"): 1}
    assert booked("chains_opened_total", replay) == {(): 1}
    assert booked("contacts_total", replay) == {("call", "inbound", "true", "unknown"): 1}
    assert {amount for amount in replay.net().values() if amount < 0} == set()
    assert replay.differences() == {}
