"""The public topics: moments one by one, chains by id. What they say adds up to what is counted, whatever comes in whatever order."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest
from msgspec import json
from msgspec.structs import replace

from schemas.events import Event
from schemas.records import MomentOfTruth, Moved, ServiceChain
from streams.core import states
from streams.core.facts import Account
from streams.core.identity import Identity
from streams.core.past import everything
from streams.core.public import service_chains
from streams.core.sealed import body_of
from streams.core.step import Output
from streams.core.targets import Rules
from streams.replay import Replay
from streams.simulate import simulate
from tests import oracle
from tests.chaos import chaos
from tests.stage import CUSTOMER, LATER
from tests.story import DAY, Story, booked, call, instant, visit
from tests.test_stitch import Books, record

TALK: Final = call("c1", phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)


class Topics:
    """A replay, and what it has told."""

    def __init__(self, partitions: int = 1, rules: Rules | None = None) -> None:
        self.outputs: list[Output] = []
        self.replay = Replay(rules or Rules(), Identity(), partitions, tell=self.outputs.append)

    def take(self, *events: Event) -> list[MomentOfTruth]:
        """One slice, and the moments told of it."""
        before = len(self.outputs)
        self.replay.take(events)
        return moments(self.outputs[before:])

    def finish(self, now: int) -> list[MomentOfTruth]:
        """Time goes on."""
        before = len(self.outputs)
        self.replay.finish(now)
        return moments(self.outputs[before:])


def moments(outputs: Iterable[Output]) -> list[MomentOfTruth]:
    """The records of the moments topic."""
    found = [json.decode(x.value, type=MomentOfTruth) for x in outputs if x.topic == "moments" and x.value is not None]
    assert [m.id.encode() for m in found] == [x.key for x in outputs if x.topic == "moments"]
    return found


def chains(outputs: Iterable[Output]) -> dict[str, ServiceChain]:
    """What a compacted topic of chains keeps."""
    kept: dict[str, ServiceChain] = {}
    for output in outputs:
        if output.topic == "chains" and output.key is not None:
            kept.pop(output.key.decode(), None)
            if output.value is not None:
                kept[output.key.decode()] = json.decode(output.value, type=ServiceChain)
    return kept


def content(m: MomentOfTruth) -> tuple[Any, ...]:
    """What a moment says, but for its identity and state."""
    return m.customer, m.interaction, m.at, m.channel, m.team, m.representative, m.actor, m.kind


def net(found: Iterable[MomentOfTruth]) -> Counter[tuple[Any, ...]]:
    """Booked − retracted."""
    total: Counter[tuple[Any, ...]] = Counter()
    for m in found:
        total[content(m)] += 1 if m.state == "booked" else -1
    return Counter({key: number for key, number in total.items() if number})


def standing(found: Iterable[MomentOfTruth]) -> Counter[tuple[Any, ...]]:
    """What is true by the highest revision of each id."""
    last: dict[str, MomentOfTruth] = {}
    for m in found:
        if m.id not in last or last[m.id].revision < m.revision:
            last[m.id] = m
    return Counter(content(m) for m in last.values() if m.state == "booked")


def customer(key: tuple[str, ...]) -> str:
    """An oracle's customer in the words of the topic."""
    kind, *rest = key
    identity = Identity()
    name = {"case": f"case:{'/'.join(rest)}", "interaction": f"interaction:{rest[0]}"}.get(kind)
    return (name or identity.pseudonym(kind, "\x1f".join(rest))).replace("\x1f", "/")


def holds(topics: Topics) -> list[MomentOfTruth]:
    """What must hold at any time, and the moments told so far."""
    found = moments(topics.outputs)
    assert len({(m.id, m.revision) for m in found}) == len(found)
    total: Counter[tuple[str, ...]] = Counter()
    for (_, _, _, channel, team, _, actor, _), number in net(found).items():
        total[channel, team, actor] += number
    assert total == booked("moments_of_truth_total", topics.replay)
    return found


# -- Moments, against the oracle -------------------------------------------------------------------------------------------


def cut(events: Sequence[Event], random: Random) -> Iterable[Sequence[Event]]:
    """Slices of any size."""
    start = 0
    while start < len(events):
        size = random.choice((1, 1, 2, 7, 40))
        yield events[start : start + size]
        start += size


@pytest.mark.parametrize("number", range(60))
def test_moments_told_add_up_to_those_of_the_oracle(number: int, seed: int) -> None:
    """Booked − retracted is the set of moments of all events at once, in any order, through identity moves, joins, revisions."""
    random = Random(seed + number)
    events = list(chaos(random, random.choice((3, 12, 30)), 9))
    first = min(x.at for x in events)
    events = [x for x in events if x.at < first + 20 * DAY * 1000]
    if random.random() < 0.7:
        random.shuffle(events)
    topics = Topics(random.choice((1, 3)))
    for part in cut(events, random):
        topics.take(*part)
        holds(topics)
    now = max(x.at for x in events)
    for later in (now, now + 9_999, now + 10_000, now + 40 * DAY * 1000):
        topics.finish(later)
        found = holds(topics)
        expected = Counter(
            {(customer(key), name.replace("\x1f", "/"), *rest): n for (key, name, *rest), n in oracle.moments(events, later).items()}
        )

        assert net(found) == expected
        assert standing(found) == expected


def test_a_day_tells_every_moment() -> None:
    """A day with branches, late and double events."""
    events = list(simulate(seed=9, customers=400, days=1, resets=True))
    topics = Topics(3)
    for part in topics.replay.slices(events):
        topics.take(*part)
    found = holds(topics)

    assert len(found) > 100
    assert {m.kind for m in found} >= {"accept", "transfer", "escalation", "join"}
    assert net(found) == standing(found)


# -- Moments, one by one ----------------------------------------------------------------------------------------------------


def test_a_moment_is_told_when_somebody_accepts() -> None:
    """{id, revision, booked}, who, where, when; a revision is twice the version, plus 1 where it is booked."""
    topics = Topics()
    queued, answered, ended = TALK
    assert topics.take(queued) == []
    (told,) = topics.take(answered)

    assert told == MomentOfTruth(
        id=told.id,
        revision=2 * 2 + 1,
        state="booked",
        at=instant(10),
        customer=Identity().pseudonym("phone", "1"),
        interaction="pbx/c1",
        channel="call",
        team="red",
        representative="ann",
        actor="human",
        kind="accept",
    )
    assert topics.take(ended, answered) == []


@pytest.mark.parametrize(
    ("story", "kinds"),
    [
        (call("c").answered(0, "ann").transferred(5, "blind", "B").answered(9, "bob"), ["accept", "transfer"]),
        (call("c").answered(0, "ann").answered(9, "bob"), ["accept", "reroute"]),
        (visit("v").serving_started(0, "ann").ended(5).serving_started(9, "bob"), ["accept", "next_service"]),
        (call("c").answered(0, "ivr", actor="bot").answered(9, "bob"), ["escalation", "accept"]),
        (call("c").answered(0, "ann").joined(1, "bob", "conference").ended(11), ["accept", "join"]),
        (call("c").answered(0, "ann").joined(1, "bob", "conference").left(5, "ann"), ["accept", "transfer"]),
        (call("c").answered(0, "ann").ended(5).answered(9, "ann"), ["accept"]),
    ],
)
def test_a_moment_says_how_it_came_about(story: Story, kinds: list[str]) -> None:
    """Accepted, transferred, sent elsewhere by the system, next service, out of a bot's hands, joined."""
    assert [m.kind for m in Topics().take(*story)] == kinds


def test_what_becomes_known_later_is_told_by_the_same_id() -> None:
    """Another team: the old one is retracted, the new one booked, and the highest revision stands."""
    topics = Topics()
    (first,) = topics.take(*TALK)
    gone, there = topics.take(replace(TALK.events[1], team="blue", revision=1))

    assert gone == replace(first, state="retracted", revision=4)
    assert there == replace(first, team="blue", revision=5)


def test_a_moment_that_never_was_is_retracted() -> None:
    """A revision that leaves nothing of it."""
    topics = Topics()
    (first,) = topics.take(*TALK)

    assert topics.take(*call("c1", phone="1").rang(10, id="c1-2", revision=1)) == [replace(first, state="retracted", revision=4)]


def test_a_moment_moves_with_its_interaction() -> None:
    """The customer becomes known late: retracted for the old key, booked for the new one, which has the higher revision."""
    topics = Topics()
    story = call("c1").queued(0, "A").answered(10, "ann", team="red").ended(60)
    (first,) = topics.take(*story)
    gone, there = sorted(topics.take(*story.identified(70, customer="7").events[-1:]), key=lambda m: m.revision)

    assert gone == replace(first, state="retracted", revision=4)
    assert there == replace(first, customer=Identity().pseudonym("customer", "7"), revision=5)


def test_what_leaves_and_comes_back_at_once_is_told_anew() -> None:
    """Another customer may have told of it in between: here it is retracted by that version, and booked by the newer one."""
    books = Books()
    (snapshot,) = record(TALK)
    books.take(snapshot)
    change = books.take(Moved(snapshot.key, 2, "customer:y"), replace(snapshot, version=3))

    assert [(m.state, m.revision) for m in moments(change.outputs)] == [("retracted", 4), ("booked", 7)]
    assert [x.key for x in change.outputs if x.topic == "chains"] == [b"pbx/c1"]


@pytest.mark.parametrize(("second", "told"), [(10.999, 0), (11, 1), (11.001, 1)])
def test_a_join_becomes_true_by_time_alone(second: float, told: int) -> None:
    """Once it has lasted 10 s, told by the version that is held; once."""
    topics = Topics()
    (first,) = topics.take(*call("c1", phone="1").answered(0, "ann", team="red").joined(1, "bob", "conference", team="blue"))
    found = topics.finish(instant(second))

    assert [(m.revision, m.kind, m.representative) for m in found] == [(first.revision, "join", "bob")] * told
    assert topics.finish(instant(60)) == [] or not told


def test_moments_of_one_instant_are_told_apart() -> None:
    """There and back within a millisecond: two of the same person, with ids of their own."""
    story = call("c1").answered(0, "ann").transferred(0, "blind", "B").answered(0, "bob").transferred(0, "blind", "A").answered(0, "ann")
    found = Topics().take(*story)

    assert [m.representative for m in found] == ["ann", "bob", "ann"]
    assert len({m.id for m in found}) == 3


def test_an_archive_takes_no_moment_back() -> None:
    """What was counted stays counted."""
    topics = Topics()
    topics.take(*TALK)
    topics.finish(instant(300 * DAY))

    assert len(holds(topics)) == 1
    assert len(chains(topics.outputs)) == 1


def test_nobody_is_told_where_nobody_asks() -> None:
    """A replay without readers builds no records."""
    replay = Replay(Rules(), Identity())
    outputs = [change.outputs for change in (replay.stitches[0].step(CUSTOMER, None, record(TALK), LATER),)]

    assert outputs == [()]


# -- Chains -----------------------------------------------------------------------------------------------------------------


def told_again(chain: ServiceChain) -> tuple[Any, ...]:
    """What a chain is told anew for, once it changes."""
    contacts = [c.interaction for c in chain.contacts]
    return chain.moments, chain.transfers, chain.weakest, chain.score, chain.outcome, chain.closed, contacts, chain.customer


def live(replay: Replay) -> dict[str, ServiceChain]:
    """The chains in the table."""
    found: dict[str, ServiceChain] = {}
    for shard in replay.stitch:
        for key, value in shard.state.items():
            customer = states.CUSTOMER.decode(body_of(value))
            found |= {c.id: c for c in service_chains(key.decode(), Account(everything(customer), customer.as_of, replay.rules))}
    return found


@pytest.mark.parametrize("number", range(40))
def test_the_topic_of_chains_holds_the_chains(number: int, seed: int) -> None:
    """By id, as they are: through joins of chains and moves to other customers none stays behind, and none is missing."""
    random = Random(seed + number)
    events = list(chaos(random, random.choice((3, 12, 30)), 9))
    first = min(x.at for x in events)
    events = [x for x in events if x.at < first + 20 * DAY * 1000]
    if random.random() < 0.7:
        random.shuffle(events)
    topics = Topics(random.choice((1, 3)))
    for part in cut(events, random):
        topics.take(*part)
        there, told = live(topics.replay), chains(topics.outputs)
        assert {name: told_again(c) for name, c in told.items()} == {name: told_again(c) for name, c in there.items()}


def test_a_chain_is_told_only_when_something_about_it_changed() -> None:
    """Moments, transfers, weakest link, outcome, closed, contacts: in two records of one chain one of these differs."""
    topics = Topics()
    for x in simulate(seed=10, customers=200, days=1):
        topics.take(x)
    topics.finish(topics.replay.now + 3 * DAY * 1000)
    told: dict[str, list[tuple[Any, ...]]] = {}
    for output in topics.outputs:
        if output.topic == "chains" and output.value is not None:
            chain = json.decode(output.value, type=ServiceChain)
            told.setdefault(chain.id, []).append(told_again(chain))

    assert all(one != two for records in told.values() for one, two in pairwise(records))
    assert max(len(records) for records in told.values()) > 3


def test_a_chain_that_joins_an_older_one_is_deleted() -> None:
    """The older id stays; of the other a tombstone."""
    topics = Topics()
    topics.take(*call("c2", phone="1").rang(3 * DAY))
    topics.take(*call("c1", phone="1").rang(0))
    topics.take(*call("c2", phone="1").linked(3 * DAY + 1, "c1").events)

    assert [(x.key, x.value is None) for x in topics.outputs if x.topic == "chains"][-2:] == [(b"pbx/c1", False), (b"pbx/c2", True)]
    assert list(chains(topics.outputs)) == ["pbx/c1"]


def test_a_chain_that_a_revision_leaves_nothing_of_is_deleted() -> None:
    """Taken back: nobody holds it any more."""
    topics = Topics()
    (queued, *_) = TALK
    topics.take(queued)
    topics.take(*call("c1").rated(0, "csat", 3.0, id=queued.id, revision=1))

    assert chains(topics.outputs) == {}
