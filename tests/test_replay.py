"""Both stages together, without Kafka: partitions, slices, time, and what arrives late or twice."""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

import pytest
from msgspec.structs import replace

from schemas.events import Event, Reset
from streams.core import identity, stitch, targets
from streams.core.identity import Identity
from streams.core.journal import amounts
from streams.core.step import Change, Place
from streams.core.targets import Rules
from streams.replay import Replay
from streams.simulate import simulate
from tests.chaos import chaos
from tests.core import facts
from tests.story import DAY, HOUR, MINUTE, MS, Story, booked, call, instant, replayed, reset

TALK: Final = call("c1", phone="1").queued(0, "A").answered(10, "ann", team="red").ended(60)


def run(slices: Iterable[Sequence[Event]], partitions: int = 1) -> Replay:
    """A replay of those slices; its books balance after each."""
    replay = Replay(Rules(), Identity(), partitions)
    for part in slices:
        replay.take(part)
        assert replay.differences() == {}
    return replay


def cut(events: Sequence[Event], random: Random) -> list[Sequence[Event]]:
    """Events in slices of any size."""
    slices: list[Sequence[Event]] = []
    left = list(events)
    while left:
        size = random.choice((1, 2, 7, 50))
        slices.append(left[:size])
        left = left[size:]
    return slices


def expected(events: Sequence[Event], now: int) -> Counter[Place]:
    """What the core says of the whole set at once."""
    return Counter({place: amount for place, amount in amounts(facts(events, now)).items() if amount})


# -- Partitions and slices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 3, 8])
@pytest.mark.parametrize("number", range(3))
def test_partitions_and_slices_change_no_net(number: int, partitions: int, seed: int) -> None:
    """Any partition count, any slices, any order of arrival, anything twice: the same net as the whole set at once."""
    random = Random(seed + number)
    events = list(chaos(random, 40, 8))
    first = min(x.at for x in events)
    events = [x for x in events if x.at < first + 20 * DAY * 1000]
    arriving = random.sample(events, len(events)) + random.sample(events, len(events) // 4)
    replay = run(cut(arriving, random), partitions)

    assert replay.net() == expected(events, max(x.at for x in events))


@pytest.mark.parametrize("partitions", [3, 8])
def test_a_simulated_day_is_the_same_over_many_partitions(partitions: int) -> None:
    """A day with branches, late and double events: the same net, and later the same again."""
    events = list(simulate(seed=5, customers=300, days=0.5))
    one, many = (run(Replay(Rules(), Identity(), n).slices(events), n) for n in (1, partitions))
    assert one.net() == many.net()

    for replay in (one, many):
        replay.finish(replay.now + 40 * DAY * 1000)
        assert replay.differences() == {}
    assert one.net() == many.net() == expected(events, one.now)


def test_what_is_remembered_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories are bounded, and forgetting changes no count."""
    events = list(simulate(seed=6, customers=300, days=0.5))
    net = run(cut(events, Random(1))).net()
    for module in (identity, stitch, targets):
        monkeypatch.setattr(module, "MEMO", 1)

    replay = run(cut(events, Random(1)))
    assert replay.net() == net
    assert len(replay.stitches[0].memo) == 1
    assert len(replay.rules.memo) == 1


def test_every_partition_has_a_ledger_of_its_own() -> None:
    """Counters belong to a shard of the log."""
    replay = run([[x for n in range(50) for x in call(f"c{n}", phone=str(n)).rang(0)]], 3)

    assert list(replay.ledgers) == ["stitch-0", "stitch-1", "stitch-2"]
    assert all(ledger.net() for ledger in replay.ledgers.values())
    assert booked("chains_opened_total", replay) == {(): 50}


def test_slices_are_bounded_for_each_partition() -> None:
    """At most 500 records of a partition at a time, all of them in order, none lost."""
    events = [replace(x, id=str(n)) for n in range(2_600) for x in call("c1").rang(n)]

    for partitions, sizes in ((1, [500, 500, 500, 500, 500, 100]), (3, [1500, 1100]), (8, [2600])):
        slices = list(Replay(Rules(), Identity(), partitions).slices(events))
        assert [len(part) for part in slices] == sizes
        assert [x for part in slices for x in part] == events


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_reset_reaches_every_partition_whenever_it_comes(partitions: int) -> None:
    """Publisher-wide: every open call of that source before it is lost, in whatever order they come; no other is."""
    calls = [x for n in range(20) for x in call(f"c{n}").queued(n, "A")]
    others = [x for n in range(20) for x in call(f"o{n}", source="other").queued(n, "B")]
    lost: Event = reset(30)
    for slices in ([[*calls, *others], [lost]], [[lost], [*others, *calls]], [[*calls[:9], lost, *calls[9:], *others]]):
        replay = run(slices, partitions)

        assert booked("queue_exits_total", replay) == {("call", "A", "unknown"): 20}
        assert booked("customers_waiting", replay) == {("call", "B"): 20}


def test_a_reset_is_of_the_publisher_whatever_interaction_it_names() -> None:
    """A reset has no interaction: one that names a call is no event of that call, and takes none of its events along."""
    queued, answered, ended = TALK
    lost: Event = Reset(id="r", source="pbx", interaction_id="c1", at=instant(30))
    for slices in ([[queued, answered, lost]], [[lost, queued, answered]], [[queued], [lost], [answered]]):
        assert booked("presumed_ended_total", run(slices)) == {("call", "talk"): 1}
    assert booked("moments_of_truth_total", run([[lost, queued, answered, ended]])) == {("call", "red", "human"): 1}


# -- Late, twice, moved ------------------------------------------------------------------------------------------------


def test_an_identified_call_from_a_blocked_number_is_one_moment() -> None:
    """Test: an identified call from a blocked number is one moment, net, however late the customer becomes known."""
    story = call("c1", phone="anonymous").queued(0, "A").answered(10, "ann", team="red").ended(60)
    for partitions in (1, 8):
        replay = run([list(story), list(story.identified(70, customer="7").events[-1:])], partitions)

        assert booked("moments_of_truth_total", replay) == {("call", "red", "human"): 1}
        assert booked("contacts_total", replay) == {("call", "inbound", "true", "unknown"): 1}
        assert booked("chains_opened_total", replay) == {(): 1}


@pytest.mark.parametrize("days", [1, 60, 92, 200])
def test_a_customer_who_becomes_known_late_is_not_counted_twice(days: int) -> None:
    """What arrives for a marker is `too_late`, never a new chain: also where it arrives under another key."""
    story = call("c1").queued(0, "A").answered(10, "ann", team="red").ended(60)
    replay = run([list(story)])
    replay.finish(instant(days * DAY))
    replay.take(list(story.identified(70, customer="7").events[-1:]))

    assert booked("moments_of_truth_total", replay) == {("call", "red", "human"): 1}
    assert booked("chains_opened_total", replay) == {(): 1}


@pytest.mark.parametrize("days", [1, 100, 239, 241, 1000])
def test_the_order_of_files_changes_nothing(days: int) -> None:
    """Disorder needs no special case: an older file read after a newer one counts as if read before it, or is said to be too late."""
    newer = call("c2", phone="2").queued(days * DAY, "A").answered(days * DAY + 5, "bob", team="red").ended(days * DAY + 9)
    there, back = run([list(TALK), list(newer)]), run([list(newer), list(TALK)])

    assert booked("moments_of_truth_total", there) == {("call", "red", "human"): 2}
    assert there.net() == back.net() or back.counts["events_total", "pbx", "too_late"] == 3


# -- Time --------------------------------------------------------------------------------------------------------------

QUEUED: Final = call("c1").queued(0, "A")
DUE: Final = {
    "wait target": (QUEUED, 20 + MS, "target_evaluations_total"),
    "queue": (QUEUED, 2 * HOUR, "presumed_ended_total"),
    "talk": (call("c1").answered(0, "ann"), 8 * HOUR, "presumed_ended_total"),
    "ring": (call("c1").offered(0), 5 * MINUTE, "presumed_ended_total"),
    "handover": (call("c1").answered(0, "ann", team="red").transferred(60, "blind", "B"), 660, "handovers_total"),
    "wrap-up": (TALK, 60 + 900, "wrap_up_seconds"),
    "chain": (TALK, 60 + DAY, "chains_closed_total"),
    "case": (call("c1", case_id="K").answered(0, "ann").ended(60), 60 + 30 * DAY, "chains_closed_total"),
}


@pytest.mark.parametrize(("story", "due", "series"), DUE.values(), ids=DUE)
def test_the_sweep_finds_what_time_alone_changes(story: Story, due: float, series: str) -> None:
    """Closing, deadlines, expiry, presumed ends are found by a sweep: not before they are due, and then at once."""

    def number(replay: Replay) -> int:
        return sum(n for (name, slot), n in replay.net().items() if name.split("\x1f")[0] == series and slot != "sum")

    for second, happened in ((due - MS, 0), (due, 1), (due + MS, 1)):
        by_clock, by_events = replayed(story), replayed(story)
        by_clock.finish(instant(second))
        by_events.take(list(call("far away", source="other", phone="9").rated(second, "csat", 1.0)))

        assert number(by_clock) == happened
        assert number(by_events) >= happened
        assert by_clock.differences() == by_events.differences() == {}
        assert by_clock.net() == expected(list(story), instant(second))


def test_a_sweep_goes_on_to_the_next_due_time() -> None:
    """A shard finds each instant in its turn: target, presumed end, closing, archive."""
    replay = replayed(QUEUED)
    for second in (20 + MS, 2 * HOUR, 2 * HOUR + DAY):
        replay.finish(instant(second))
        assert replay.net() == expected(list(QUEUED), instant(second))
    replay.finish(instant(300 * DAY))

    assert replay.counts["chains_archived_total",] == 1
    assert [shard.state for shard in (*replay.assemble, *replay.stitch)] == [{}, {}]
    assert replay.differences() == {}
    assert booked("chains_closed_total", replay) == {("unknown",): 1}


def test_now_never_goes_back() -> None:
    """`now` is the newest event time so far, and what `finish` is told, if that is later."""
    replay = replayed(TALK)
    assert replay.now == instant(60)

    replay.finish(instant(DAY))
    replay.finish(instant(HOUR))
    replay.finish(None)
    replay.take(list(call("c2").rang(HOUR)))
    assert replay.now == instant(DAY)


def test_worker_counters_say_what_became_of_each_event() -> None:
    """Every event is applied, late or a duplicate; every interaction first sent is counted once."""
    replay = run([list(TALK), list(TALK), list(TALK.held(20).events[-1:])])

    assert replay.counts == {
        ("events_total", "pbx", "applied"): 4,
        ("events_total", "pbx", "duplicate"): 3,
        ("interactions_sent_total",): 1,
    }


@pytest.mark.parametrize("number", range(30))
def test_no_interaction_is_lost_or_doubled(number: int, seed: int) -> None:
    """Conservation: sent = held + refused, net, through moves, revisions, resets, archives, and what comes too late for them."""
    random = Random(seed + number)
    events = list(chaos(random, 30, 6))
    days = {x.interaction_id: random.randrange(120) for x in events}
    events = [replace(x, at=x.at + days[x.interaction_id] * DAY * 1000) for x in events]
    events.sort(key=lambda x: x.at + (random.randrange(60 * DAY * 1000) if random.random() < 0.2 else 0))
    replay = Replay(Rules(), Identity(), random.choice((1, 3)), kept=random.choice((0, 1, 5, 30)) * DAY * 1000)
    for part in cut(events, random):
        replay.take(part)
        if random.random() < 0.2:
            replay.finish(replay.now + random.choice((1, 10, 60)) * DAY * 1000)
        assert replay.differences() == {}


def test_an_interaction_that_is_lost_on_the_way_shows() -> None:
    """Conservation is over both stages: neither's own books would show it."""
    replay = Replay(Rules(), Identity())
    replay.stitch[0].run = lambda *_, **__: Change(value=None)  # type: ignore[method-assign]  # it loses everything
    replay.take(list(TALK))

    assert replay.differences() == {("conservation", ""): 1}


def test_a_broken_state_shows_in_the_trial_balance() -> None:
    """The trial balance is taken from the encoded state alone: a chain that is lost is found."""
    replay = replayed(TALK)
    replay.stitch[0].state.clear()

    assert replay.differences() == replay.net() | {("_interactions_held", ""): 1}
