"""The whole workload of the benchmark: the same week for all, and a host is right when it has what the bare loop has."""

from itertools import islice

import pytest

from schemas.codec import decode
from schemas.events import Event
from streams.publishing import STRUCTURED
from tests.bench.judged_whole import Truth, truth, truth_of, verdict, without_prefix
from tests.bench.peers.whole import Core
from tests.bench.week import MARK, Sent, repeated, topics_of, week

EVENTS = 3_000


@pytest.fixture(scope="module")
def once() -> list[Sent]:
    """A small week."""
    return week(customers=300)


@pytest.fixture(scope="module")
def ought(once: list[Sent]) -> Truth:
    """What must come of it."""
    return truth(once, EVENTS)


def hosted(sent: list[Sent]) -> tuple[Core, dict[bytes, bytes], list[bytes]]:
    """Events one at a time through both stages, as the peers take them: the states, and the keys of chains told."""
    core, states, told = Core(), dict[bytes, bytes](), list[bytes]()

    def keep(key: bytes, state: bytes | None) -> None:
        states.pop(key, None)
        if state is not None:
            states[key] = state

    for one in sent:
        for key, events in core.read(one.key, one.value, STRUCTURED).items():
            state, snapshots = core.assemble(key, states.get(key), events)
            keep(key, state)
            for customer, snapshot in snapshots:
                state, outputs = core.stitch(customer, states.get(customer), snapshot)
                keep(customer, state)
                told += [output.key or b"" for output in outputs if output.topic == "chains"]
    return core, states, told


def test_the_week_is_repeated_for_other_customers(once: list[Sent]) -> None:
    """So many events as are asked for; interactions of one repetition are none of another's, and nothing is left of the mark."""
    number = 2 * len(once)
    sent = list(repeated(once, number))
    assert len(sent) == number
    assert not any(MARK.encode() in one.key + one.value for one in sent)
    first, second = ({one.key for one in sent if one.key.endswith(name)} for name in (b".0", b".1"))
    assert len(first) == len(second) == len({one.key for one in once})
    assert {one.key for one in sent} == first | second
    assert list(islice(repeated(once, number), 10)) == sent[:10]
    people = {tuple(sorted(x.identifiers.items())) for x in decoded(sent) if x.identifiers}
    first_people = {names for names in people if all(value.endswith(".0") for _, value in names)}
    assert len(people) == 2 * len(first_people) > 100


def decoded(sent: list[Sent]) -> list[Event]:
    """The events that records say."""
    return [x for one in sent for x in decode(one.value, STRUCTURED) if isinstance(x, Event)]


def test_every_event_is_one_to_the_codec(once: list[Sent]) -> None:
    """A record is one event, so that who counts events counts records."""
    sent = list(repeated(once, EVENTS))
    assert len(decoded(sent)) == EVENTS
    assert topics_of("x", as_one=True) == dict.fromkeys(("calls", "visits", "feedback"), "x.calls")
    assert {one.home for one in sent} <= topics_of("x", as_one=False).keys()


def test_one_at_a_time_comes_to_what_slices_come_to(once: list[Sent], ought: Truth) -> None:
    """However many events a host takes at a time: the same interactions, the same customers, the same chains."""
    core, states, told = hosted(list(repeated(once, EVENTS)))
    assert core.figures() == {"events": EVENTS, "left": 0}
    assert core.stitched > len(ought.interactions) > 100
    assert verdict(states, ought.chains, ought).wrong == ()
    assert set(told) >= ought.chains.keys()


def test_what_a_host_has_lost_or_made_up_is_wrong(once: list[Sent], ought: Truth) -> None:
    """An event left out, a snapshot lost between the stages, a state too many, a chain not told: each is named."""
    sent = list(repeated(once, EVENTS))
    _, states, _ = hosted(sent)
    _, fewer, _ = hosted(sent[:-1])
    assert verdict(fewer, ought.chains, ought).wrong

    customer = next(iter(ought.customers))
    lost = {key: value for key, value in states.items() if key != customer}
    wrong = verdict(lost, ought.chains, ought).wrong
    assert wrong == (f"customers: of {len(ought.customers):,} 1 are missing, 0 are others, 0 are too many",)

    wrong = verdict(states | {b"nobody": states[customer]}, ought.chains, ought).wrong
    assert wrong == (f"customers: of {len(ought.customers):,} 0 are missing, 0 are others, 1 are too many",)

    chain = next(iter(ought.chains))
    told = dict(ought.chains) | {chain: ("somebody else",)}
    wrong = verdict(states, told, ought).wrong
    assert wrong == (f"chains told: of {len(ought.chains):,} 0 are missing, 1 are others, 0 are too many",)
    with pytest.raises(ValueError, match="neither"):
        truth_of({b"x": bytes(9) + b"\x91"})


@pytest.mark.parametrize(("key", "ours"), [(b"i1|sim\x1fi1", b"sim\x1fi1"), (b"phone:0|state", b"phone:0"), (b"phone:0", b"phone:0")])
def test_what_quix_writes_around_a_key_is_no_part_of_it(key: bytes, ours: bytes) -> None:
    """A message's key before it, or the name of its only state behind it."""
    assert without_prefix(key) == ours
