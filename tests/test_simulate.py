"""The simulated centre is believable, the same for the same seed, and as orderly or disorderly as asked."""

from collections import Counter, defaultdict
from functools import cache
from itertools import islice, pairwise
from math import inf
from statistics import mean
from typing import Any, Final

import msgspec
import pytest

from schemas import events as ev
from schemas.events import EVENT_TYPES, AnyEvent, Event
from streams.simulate import simulate

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
MONDAY: Final = 1_767_571_200_000
SHORT: Final = 10_000
RELEASE: Final = ev.Ended | ev.Transferred | ev.Left | ev.Parked | ev.Queued

Journey = tuple[Event, ...]


@cache
def week(**asked: Any) -> tuple[Event, ...]:
    """Return a week of the centre, as it happened."""
    return tuple(simulate(days=7, disorder=False, **asked))


@cache
def journeys(**asked: Any) -> tuple[Journey, ...]:
    """Return the events of each interaction of that week."""
    found: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in week(**asked):
        found[event.source, event.interaction_id].append(event)
    return tuple(tuple(events) for events in found.values())


def kind(event: Event) -> str:
    """Name the type of an event as it is on the wire."""
    return str(type(event).__struct_config__.tag)


def is_accept(event: Event) -> bool:
    """Tell whether a person takes the contact here."""
    return isinstance(event, ev.ServingStarted) or (isinstance(event, ev.Answered) and event.actor == "human")


def waits(channel: str) -> list[tuple[int, int, str]]:
    """List the waits of a channel: when they began, how long they were, and which event ended them."""
    found = []
    for events in journeys(customers=4000):
        entered = 0
        for event in events if events[0].channel == channel else ():
            if isinstance(event, ev.Queued):
                entered = event.at
            elif entered and (is_accept(event) or isinstance(event, ev.Abandoned | ev.LeftQueue | ev.CallbackRequested | ev.Called)):
                found.append((entered, event.at - entered, kind(event)))
                entered = 0
    return found


def test_the_same_arguments_give_the_same_events() -> None:
    """`seed` decides everything; another seed gives another day."""
    assert list(simulate(customers=300, seed=7)) == list(simulate(customers=300, seed=7))
    assert list(simulate(customers=300, seed=7)) != list(simulate(customers=300, seed=8))


def test_every_event_type_but_reset_occurs_in_a_week() -> None:
    """A centre of the default size uses every word of the schema; it restarts only if asked."""
    assert {kind(event) for event in week()} == set(EVENT_TYPES) - {"reset"}


def test_every_kind_of_transfer_join_reason_and_channel_occurs_in_a_week() -> None:
    """No case of the counting rules is left out."""
    events = week(customers=4000)
    assert {event.channel for event in events} == {"call", "visit", "chat", "email", "video", "back_office"}
    assert {event.direction for event in events if event.direction} == {"inbound", "outbound", "callback"}
    assert {event.kind for event in events if isinstance(event, ev.Transferred)} == {
        "blind",
        "consult",
        "introduced",
        "requeue",
        "external",
    }
    assert {event.mode for event in events if isinstance(event, ev.Joined)} == {"conference", "monitor", "whisper", "coach"}
    assert {event.reason for event in events if isinstance(event, ev.LeftQueue)} == {
        "timeout",
        "empty",
        "key",
        "full",
        "closed",
        "withdrawn",
    }
    assert {event.reason for event in events if isinstance(event, ev.Ended)} >= {
        "lost",
        "machine",
        "busy",
        "no_answer",
        "dropped",
        "unreachable",
    }
    assert {event.by for event in events if isinstance(event, ev.MessageSent)} == {"customer", "representative", "bot"}


def test_publishers_restart_only_if_asked_and_lose_what_was_open() -> None:
    """With `resets` the switch and the branches say every day that they restarted, and nothing goes on over it."""
    events = week(customers=1000, resets=True)
    resets = [event for event in events if isinstance(event, ev.Reset)]
    assert Counter(event.source for event in resets) == {"sim/calls": 7, "sim/visits": 7}
    for journey in journeys(customers=1000, resets=True):
        own = [event.at for event in resets if event.source == journey[0].source and not isinstance(journey[0], ev.Reset)]
        assert not [at for at in own if journey[0].at < at <= journey[-1].at]


def test_the_load_grows_with_the_customers() -> None:
    """About 1.2 contacts of a customer in a week."""
    for customers in (1000, 4000):
        inbound = [events for events in journeys(customers=customers) if events[0].direction == "inbound"]
        contacts = [events for events in inbound if events[0].channel != "back_office"]
        assert len(contacts) / customers == pytest.approx(1.2, abs=0.12)


def test_some_customers_give_up_and_most_do_not() -> None:
    """The abandon rate of the calls, short ones left out, is that of a centre with enough staff most of the time."""
    long = [end for _, length, end in waits("call") if not (end == "abandoned" and length < SHORT)]
    assert 0.02 <= long.count("abandoned") / len(long) <= 0.12


def test_some_calls_are_passed_on() -> None:
    """The transfer rate is transfers by people over touches by people."""
    events = [event for event in week(customers=4000) if event.channel == "call" and event.actor == "human"]
    transfers = sum(isinstance(event, ev.Transferred) for event in events)
    touches = sum(map(is_accept, events))
    assert 0.05 <= transfers / touches <= 0.20


def test_waits_follow_load_and_staff_over_the_day() -> None:
    """At the counter the longest hour is at least twice the shortest; nobody waits the same for ever."""
    by_hour: defaultdict[int, list[int]] = defaultdict(list)
    for at, length, end in waits("visit"):
        if end == "called":
            by_hour[at % DAY // HOUR].append(length)
    means = [mean(lengths) for lengths in by_hour.values() if len(lengths) > 20]
    assert len(means) > 5
    assert max(means) > 2 * min(means)


def test_mondays_are_fuller_than_sundays_and_noons_than_nights() -> None:
    """Arrivals follow the hours of the week."""
    begun = [events[0].at - MONDAY for events in journeys(customers=4000) if events[0].direction == "inbound"]
    days = Counter(at // DAY for at in begun)
    hours = Counter(at % DAY // HOUR for at in begun)
    assert days[0] > days[2] > days[5] > days[6] > 0
    assert hours[10] > hours[19] > hours[2] > 0


def test_some_customers_call_and_come_to_the_counter_on_the_same_day() -> None:
    """Both interactions carry the same customer identifier, so they become one chain."""
    seen: defaultdict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for events in journeys():
        for customer in {event.identifiers["customer"] for event in events if "customer" in event.identifiers}:
            seen[customer, events[0].at // DAY].append((events[0].at, events[0].channel))
    assert sum(("call", "visit") in pairwise(channel for _, channel in sorted(met)) for met in seen.values()) >= 3


def test_cases_span_interactions_of_several_channels() -> None:
    """A case is opened in a contact, worked on in the back office and told to the customer."""
    channels: defaultdict[str, set[str]] = defaultdict(set)
    for event in week():
        if event.case_id:
            channels[event.case_id].add(event.channel)
    assert any({"call", "back_office"} <= found for found in channels.values())
    assert any({"visit", "back_office"} <= found for found in channels.values())


def test_callers_may_withhold_their_number_and_become_known_later() -> None:
    """An anonymous caller who is asked his name is a customer from then on."""
    late = [
        events
        for events in journeys(customers=4000)
        if events[0].identifiers == {"phone": "anonymous"} and any(isinstance(event, ev.Identified) for event in events)
    ]
    assert late


def test_nobody_serves_two_customers_at_once() -> None:
    """Waits arise because a representative is one person; only the chat's team takes two at a time."""
    busy: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for events in journeys(customers=4000):
        for number, event in enumerate(events):
            if is_accept(event) and not event.representative.startswith("digital"):
                until = next((later.at for later in events[number + 1 :] if is_accept(later) or isinstance(later, RELEASE)), event.at)
                busy[event.representative].append((event.at, until))
    assert len(busy) > 30
    assert not [name for name, spans in busy.items() if any(one[1] > other[0] for one, other in pairwise(sorted(spans)))]


def test_without_disorder_events_come_by_time_and_sequence_once() -> None:
    """Strictly by (at, sequence); each identity once; the sequence of an interaction rises from 1 without a gap."""
    events = week()
    assert [(event.at, event.sequence) for event in events] == sorted((event.at, event.sequence) for event in events)
    assert len({(event.source, event.id) for event in events}) == len(events)
    for journey in journeys():
        assert [event.sequence for event in journey] == list(range(1, len(journey) + 1))


def test_disorder_changes_the_order_and_never_the_events() -> None:
    """What is published late or twice is the same set of events."""
    asked: dict[str, Any] = {"customers": 2000, "days": 2}
    straight = list(simulate(**asked, disorder=False))
    mixed = list(simulate(**asked))
    assert {msgspec.json.encode(event) for event in mixed} == {msgspec.json.encode(event) for event in straight}
    assert len(mixed) > len(straight)


def test_disorder_has_the_asked_shares_of_duplicates_and_late_events() -> None:
    """An event is late if it comes after one that happened at least a minute later."""
    events = list(simulate(customers=8000, days=2, late=0.05, duplicates=0.03))
    once = len({(event.source, event.id) for event in events})
    assert len(events) / once - 1 == pytest.approx(0.03, abs=0.006)
    seen: set[tuple[str, str]] = set()
    late = newest = 0
    for event in events:
        if (event.source, event.id) not in seen:
            late += newest - event.at > 60_000
            assert newest - event.at <= 6 * HOUR
        seen.add((event.source, event.id))
        newest = max(newest, event.at)
    assert late / once == pytest.approx(0.05, abs=0.012)


def test_disorder_without_late_events_stays_within_the_delay_of_publication() -> None:
    """Neighbours change places, nothing is more than 1.5 s behind."""
    events = list(simulate(customers=2000, late=0.0, duplicates=0.0))
    assert any(second.at < first.at for first, second in pairwise(events))
    assert all(first.at - second.at < 1500 for first, second in pairwise(events))


def test_every_event_survives_the_wire() -> None:
    """What is said can be decoded as `AnyEvent`, strictly, and is the same."""
    decoder = msgspec.json.Decoder(AnyEvent)
    for event in (*week(), *week(customers=1000, resets=True)):
        assert decoder.decode(msgspec.json.encode(event)) == event


def test_it_starts_anywhere_and_goes_on_for_ever() -> None:
    """A live publisher takes what it needs: `start` is any instant, `days` may be infinite, events are made as they are taken."""
    start = MONDAY + 3 * DAY + 12_345_678
    events = list(islice(simulate(start=start, days=inf, customers=500), 5000))
    assert len(events) == 5000
    assert min(event.at for event in events) >= start
