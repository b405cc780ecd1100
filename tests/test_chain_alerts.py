"""The alert on a chain: told once at the crossing of the transfer limit, while the contact goes on, and once when that has ended."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from random import Random
from typing import Final

import pytest
from msgspec import json

from schemas.events import Event
from schemas.records import Alert
from streams.core.step import Output
from streams.core.targets import parse
from streams.simulate import simulate
from tests.chaos import chaos
from tests.stage import LATER
from tests.story import HOUR, Story, call, instant
from tests.test_moments import Topics
from tests.test_rules_handovers import passed, sent

ONE: Final = call("c1", phone="1").queued(0, "A").answered(10, "ann", team="red")
TWO: Final = passed(passed(ONE, 60, "B", "bob"), 90, "C", "cy")
THREE: Final = passed(TWO, 120, "D", "di")
LAST: Final = 120


class Told(Topics):
    """A replay, and the alerts that it has told."""

    def alerts(self, *events: Event) -> list[Alert]:
        """One slice, and the alerts told of it."""
        before = len(self.outputs)
        self.replay.take(events)
        return alerts(self.outputs[before:])

    def later(self, now: int) -> list[Alert]:
        """Time goes on."""
        before = len(self.outputs)
        self.replay.finish(now)
        return alerts(self.outputs[before:])


def alerts(outputs: Iterable[Output]) -> list[Alert]:
    """The records of the alerts topic."""
    return [json.decode(x.value, type=Alert) for x in outputs if x.topic == "alerts" and x.value is not None]


def new(after: Story, before: Story) -> list[Event]:
    """What a longer story has more."""
    return list(after)[len(list(before)) :]


def test_the_crossing_is_told_while_the_contact_goes_on() -> None:
    """With the customer's key, the chain, the path of teams, the team that sent the customer on, and the weakest link."""
    topics = Told()
    assert topics.alerts(*TWO) == []
    (alert,) = topics.alerts(*new(THREE, TWO))

    assert (alert.state, alert.stale, alert.at) == ("firing", False, instant(LAST))
    assert (alert.channel, alert.team, alert.transfers, alert.path) == ("call", "C", 3, ["red", "B", "C", "D"])
    assert alert.customer.startswith("phone")
    assert alert.chain == alert.interaction
    assert alert.weakest is not None
    assert (alert.weakest.kind, alert.weakest.reason) == ("handover", "transfers")
    assert alert.why.startswith("The transfer by C is the weakest link with a score of 0.5: it was transfer 3 of its contact where 1 may")
    assert alert.until > instant(LAST)


def test_it_is_told_once_and_its_end_once() -> None:
    """A fourth transfer is no crossing; what comes after the end tells nothing."""
    topics = Told()
    four = passed(THREE, 150, "E", "eve")
    (alert,) = topics.alerts(*THREE)
    assert topics.alerts(*new(four, THREE)) == []
    over = four.ended(200)
    (end,) = topics.alerts(*new(over, four))
    assert topics.alerts(*over) == []

    assert (end.id, end.state, end.stale) == (alert.id, "ended", False)
    assert topics.later(LATER) == []


def test_a_contact_that_is_over_alerts_nobody() -> None:
    """Nobody can step in any more."""
    assert Told().alerts(*THREE.ended(200)) == []


def test_transfers_of_earlier_contacts_count() -> None:
    """Over all contacts of the chain; the contact of the crossing is the one that goes on."""
    topics = Told()
    assert topics.alerts(*sent(1, HOUR), *sent(2, 2 * HOUR)) == []
    third = list(sent(3, 3 * HOUR))
    (alert,) = topics.alerts(*third[:-1])
    (end,) = topics.alerts(third[-1])

    assert (alert.state, end.state) == ("firing", "ended")
    assert alert.chain != alert.interaction


@pytest.mark.parametrize(("seconds", "stale"), [(60, False), (60.001, True)])
def test_what_is_told_more_than_a_minute_late_is_stale(seconds: float, stale: bool) -> None:  # noqa: FBT001 - what is expected
    """By the clock at the commit."""
    other = call("c2", phone="2").queued(LAST + seconds, "A")
    (alert,) = Told().alerts(*THREE, *other)

    assert alert.stale == stale


def test_nothing_is_told_again_after_a_restart() -> None:
    """What is live follows from the state."""
    topics = Told()
    (alert,) = topics.alerts(*THREE)
    for stitch in topics.replay.stitches:
        stitch.memo.clear()
    assert topics.alerts(*new(THREE.held(130), THREE)) == []
    for stitch in topics.replay.stitches:
        stitch.memo.clear()
    (end,) = topics.alerts(*new(THREE.held(130).ended(140), THREE.held(130)))

    assert (end.id, end.state) == (alert.id, "ended")


def test_a_contact_that_is_presumed_ended_ends_its_alert() -> None:
    """By time alone."""
    topics = Told()
    (alert,) = topics.alerts(*THREE)
    (end,) = topics.later(alert.until)

    assert (end.id, end.state) == (alert.id, "ended")


def test_a_customer_who_becomes_known_takes_the_alert_along() -> None:
    """The new key tells of it, and the former says why it ends there: Alertmanager knows both as the same chain."""
    topics = Told()
    (first,) = topics.alerts(*THREE)
    told = topics.alerts(*new(THREE.identified(130, customer="7"), THREE))
    (end,) = (alert for alert in told if alert.state == "ended")
    (second,) = (alert for alert in told if alert.state == "firing")

    assert (end.id, end.moved) == (first.id, True)
    assert first.customer != second.customer
    assert first.chain == second.chain


@pytest.mark.no_cover
@pytest.mark.parametrize("source", ["simulated", "nonsense"])
def test_beginnings_and_ends_take_turns(seed: int, source: str) -> None:
    """Whatever comes, in slices of any size: of one id the states alternate, and when all is over every alert has ended."""
    random = Random(seed)
    events = list(simulate(seed=seed, customers=2_000, days=3)) if source == "simulated" else list(chaos(random, 1_000, longest=30))
    topics = Told(rules=parse('[[target]]\nkind = "excessive_transfers"\ncount = 1\n'))
    states: dict[str, list[str]] = defaultdict(list)
    while events:
        size = random.choice((1, 7, 100))
        for alert in topics.alerts(*events[:size]):
            states[alert.id].append(alert.state)
        del events[:size]
    for alert in topics.later(max(topics.replay.now, LATER) + LATER):
        states[alert.id].append(alert.state)

    assert states or source == "nonsense"  # which seldom gets so far
    for told in states.values():
        assert (told[0], told[-1]) == ("firing", "ended")
        assert all(a != b for a, b in pairwise(told))
