"""Limits of what one interaction and one chain may have: cut deterministically, counted, and every book still balances."""

from collections import Counter
from random import Random
from typing import Final

import pytest
from msgspec.structs import replace

from schemas.events import Event, Reset
from streams.core import assemble
from streams.core.chain import place
from streams.core.identity import Identity
from streams.core.sealed import body_of
from streams.core.states import CUSTOMER
from streams.core.targets import DAY, KEPT, MAX_LINKS, Rules
from streams.replay import Replay
from tests import oracle
from tests.chaos import chaos
from tests.core import accounts, facts
from tests.story import HOUR, LATER, Story, booked, call, counted, instant, work
from tests.test_agrees_with_the_oracle import arrivals, revised, slot_of

FEW: Final = 5
SHORT: Final = Rules(max_links=FEW)
CUT: Final = ("truncated_total", "links")


def crowd(random: Random) -> list[Event]:
    """Many interactions of few customers: all sorts of events, and plain calls that make long chains."""
    events = list(chaos(random, 8, 10))
    for n in range(random.randint(0, 12)):
        at = random.randrange(3 * 86_400)
        case = {"case_id": random.choice(("k1", "k2"))} if random.random() < 0.4 else {}
        story = call(f"n{n}", source=random.choice(("one", "two")), phone=random.choice("12"), **case)
        events += story.queued(at, "A").answered(at + 5, "ann").ended(at + 60)
    return events


@pytest.mark.no_cover
def test_chains_that_are_cut_are_those_of_the_oracle() -> None:
    """Placement under a limit is a function of the set of interactions: by case, time and link, by those of them that are not full."""
    cut = 0
    for seed in range(500):
        events = crowd(Random(seed))
        now = max(x.at for x in events)
        found = accounts(events, now, SHORT)
        ours = [(c.id, [r.record.key for r in c.readings], c.activity) for account in found for c in account.chains]
        theirs = [(c["id"], c["interactions"], c["activity"]) for c in oracle.chains(events, now, oracle.Rules(max_links=FEW))]
        assert sorted(ours) == sorted(theirs), f"seed {seed}"
        assert facts(events, now, SHORT) == oracle.facts(events, now, oracle.Rules(max_links=FEW)), f"seed {seed}"
        cut += sum(account.cuts for account in found)
    assert cut > 200


def days(random: Random) -> list[Story]:
    """Contacts and work of one customer over some days, of one to four links, some of a case, some linked, some long."""
    stories = []
    for n in range(random.randint(2, 10)):
        case = {"case_id": random.choice(("k1", "k2"))} if random.random() < 0.4 else {}
        at = random.randrange(4 * 24) * HOUR
        story = work(f"d{n}", phone="1", **case).work_started(at, "ann")
        if calls := random.randrange(3):
            story = call(f"d{n}", phone="1", **case)
            for again in range(calls):
                story = story.queued(at + again * 100, "A").answered(at + again * 100 + 5, f"r{again}")
        if random.random() < 0.2:
            story = story.linked(at + 300, f"d{random.randrange(10)}")
        end = at + 600 + (random.randrange(72) * HOUR if random.random() < 0.4 else 0)
        stories.append(story.ended(end) if calls else story.work_completed(end))
    return stories


@pytest.mark.parametrize("limit", [4, MAX_LINKS])
def test_a_chain_that_leaves_the_table_changes_no_other(limit: int) -> None:
    """Which contacts make a chain depends on no contact of another: without one chain, the others are what they were."""
    cut = 0
    for seed in range(500):
        random = Random(seed)
        events = [x for story in days(random) for x in story] if seed % 2 else crowd(random)
        for account in accounts(events, rules=Rules(max_links=limit)):
            cut += account.cuts
            for gone in account.chains:
                rest = [r for r in account.readings.values() if r not in gone.readings]
                others = [(c.readings, c.full) for c in account.chains if c is not gone]
                assert [(c.readings, c.full) for c in place(rest, limit)] == others, f"seed {seed}"
    assert (cut > 500) == (limit == 4)


@pytest.mark.no_cover
@pytest.mark.parametrize("limit", [4, MAX_LINKS])
def test_the_books_balance_however_time_passes_and_chains_are_archived(limit: int) -> None:
    """At every instant, in any order of arrival, with contacts that come when other chains have left already."""
    seen: Counter[tuple[str, ...]] = Counter()
    for seed in range(100):
        random = Random(seed)
        stories = days(random)
        if random.random() < 0.5:
            random.shuffle(stories)
        replay = Replay(Rules(max_links=limit), Identity(), kept=random.choice((HOUR * 1_000, DAY, 3 * DAY)))
        for story in stories:
            replay.take(list(story))
            assert replay.differences() == {}, f"seed {seed}"
        for hours in (*range(1, 24 * 14, 5), *range(24 * 26, 24 * 44, 5)):
            replay.finish(instant(hours * HOUR))
            assert replay.differences() == {}, f"seed {seed}, hour {hours}"
        seen += replay.counts
    assert seen["chains_archived_total",] > 200
    assert seen["too_late_total", "pbx"] > 0
    assert (seen[CUT] > 50) == (limit == 4)


def long(name: str, start: float, end: float, **common: str) -> Story:
    """A call of two links, from one hour to another."""
    return call(name, phone="1", **common).queued(start * HOUR, "A").answered(start * HOUR + 5, "ann").ended(end * HOUR)


FOLLOWS_A_CASE: Final = [long("p1", 0, 3), long("d", 1, 1.1, case_id="k"), long("p2", 2, 2.1), long("m", 2.5, 4)]
"""The chain that was active last is full when `m` comes, and leaves before the case that `m` may follow too."""

LEAVES_FIRST: Final = [
    long("p", 0, 30).transferred(10, "requeue", "A"),
    long("m", 2, 2.1),
    work("s", phone="1").work_started(28 * HOUR, "bob").work_completed(28 * HOUR + 60),
]
"""A chain that goes on for longer than the last who came to it, `m`; and `s` would have fitted there without him."""


@pytest.mark.parametrize(("stories", "chains"), [(FOLLOWS_A_CASE, [["d", "m"], ["p1", "p2"]]), (LEAVES_FIRST, [["m", "p"], ["s"]])])
@pytest.mark.parametrize("kept", [DAY, KEPT])
def test_who_found_a_chain_full_stays_where_he_went(stories: list[Story], chains: list[list[str]], kept: int) -> None:
    """Also when the full chain has left the table, or whoever came after it has: a chain is full by its own members alone."""
    replay = Replay(Rules(max_links=4), Identity(), kept=kept)
    for story in stories:
        replay.take(list(story))
    for hours in range(32 * 24 + kept // (HOUR * 1_000)):
        replay.finish(instant(hours * HOUR))
        assert replay.differences() == {}, f"hour {hours}"
    assert replay.counts["chains_archived_total",] == len(chains)
    (account,) = accounts([x for story in stories for x in story], rules=Rules(max_links=4))
    assert sorted(sorted(r.record.key[4:] for r in c.readings) for c in account.chains) == chains


@pytest.mark.no_cover
def test_totals_under_limits_are_those_of_the_oracle_in_any_order_of_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of both kinds: net totals depend on no order, slice or revision, the books balance, and nothing falls."""
    monkeypatch.setattr(assemble, "MAX_EVENTS", FEW)
    rules = oracle.Rules(max_events=FEW, max_links=FEW)
    lost: Counter[tuple[str, ...]] = Counter()
    for seed in range(250):
        random = Random(seed)
        events = crowd(random)
        sent: list[Event] = [x for x in events if isinstance(x, Reset)]
        sent = arrivals(sent + revised([x for x in events if not isinstance(x, Reset)], random), random)
        now = max(x.at for x in events)
        replay = Replay(SHORT, Identity(), random.choice((1, 3)))
        for start in range(0, len(sent), 7):
            before = gross(replay)
            replay.take(sent[start : start + 7])
            after = gross(replay)
            assert all(after[place] >= amount for place, amount in before.items()), f"seed {seed}"
        replay.finish(now)
        expected = oracle.totals(oracle.facts(sent, now, rules))
        assert {(*s.split("\x1f"), *slot_of(t)): n for (s, t), n in replay.net().items()} == expected, f"seed {seed}"
        assert replay.differences() == {}, f"seed {seed}"
        lost += replay.counts
    assert lost["truncated_total", "events"] > 100
    assert lost[CUT] > 100


def gross(replay: Replay) -> dict[tuple[str, str, str, str], int]:
    """Every total and every retracted amount: what is served, and must not fall."""
    found = {}
    for name, ledger in replay.ledgers.items():
        for (series, slot), amounts in ledger.amounts.items():
            found[name, series, slot, "total"] = amounts.total
            found[name, series, slot, "retracted"] = amounts.retracted
    return found


def calls(number: int, case: str = "") -> list[Story]:
    """So many calls of one customer, ten minutes apart: each two links, a wait and a touch."""
    common = {"phone": "1"} | ({"case_id": case} if case else {})
    each = [(call(f"c{n:04}", **common), 600 * n) for n in range(number)]
    return [story.queued(at, "A").answered(at + 5, "ann").ended(at + 60) for story, at in each]


@pytest.mark.parametrize(("number", "chains", "cuts"), [(499, 1, 0), (500, 1, 0), (501, 2, 1), (1_000, 2, 1), (1_001, 3, 2)])
@pytest.mark.parametrize("case", ["", "k1"])
def test_a_chain_of_1000_links_takes_nobody_any_more(number: int, chains: int, cuts: int, case: str) -> None:
    """Within, exactly, outside. Who finds it full begins the next chain; each cut is counted once; no moment is left out."""
    replay = Replay(Rules(), Identity())
    told = calls(number, case)
    for start in range(0, number, 100):
        replay.take([x for story in told[start : start + 100] for x in story])
    assert MAX_LINKS == 1_000
    assert booked("chains_opened_total", replay) == {(): chains}
    assert booked("moments_of_truth_total", replay) == {("call", "A", "human"): number}
    assert replay.counts[CUT] == cuts
    assert replay.differences() == {}


def test_the_last_interaction_of_a_chain_may_bring_more_links_than_fit() -> None:
    """It cannot be cut: it has its own limit. The next one begins another chain."""
    one, two, three, four = calls(4)
    assert counted("chains_opened_total", one, two, three, rules=SHORT) == {(): 1}
    assert counted("chains_opened_total", one, two, three, four, rules=SHORT) == {(): 2}
    long = call("c1", phone="1")
    for n in range(FEW):
        long = long.queued(n * 100, "A").answered(n * 100 + 5, f"r{n}")
    stories = [long.ended(1_000), call("c2", phone="1").queued(2_000, "A").answered(2_005, "ann").ended(2_010)]
    assert counted("chains_opened_total", stories[0], rules=SHORT) == {(): 1}
    assert counted("chains_opened_total", *stories, rules=SHORT) == {(): 2}


def test_what_comes_late_moves_the_cut_and_is_retracted() -> None:
    """The first ones by start make the chain, whatever came first: who finds it full now goes to the next chain, net."""
    early, first, second, third = calls(4)
    replay = Replay(SHORT, Identity())
    for story in (first, second, third, early):
        replay.take(list(story))
    replay.finish(instant(LATER))
    (account,) = accounts([x for s in (early, first, second, third) for x in s], instant(LATER), SHORT)
    parted = [[r.record.key[-4:] for r in c.readings] for c in account.chains]
    assert parted == [["0000", "0001", "0002"], ["0003"]]
    assert booked("chains_opened_total", replay) == {(): 2}
    assert booked("chains_closed_total", replay) == {("served",): 2}
    assert replay.differences() == {}


def test_linked_chains_that_would_be_too_long_stay_two() -> None:
    """The publisher's link is not followed then, and that is counted."""
    one, two = calls(2)
    later = 9 * 86_400
    far = call("far", phone="1").queued(later, "A").answered(later + 5, "ann").linked(later + 6, "c0000").ended(later + 60)
    for limit, chains, cuts in ((6, 1, 0), (5, 2, 1)):
        replay = Replay(Rules(max_links=limit), Identity())
        for story in (one, two, far):
            replay.take(list(story))
        replay.finish(instant(100 * 86_400))
        assert booked("chains_opened_total", replay) == {(): chains}
        assert replay.counts[CUT] == cuts


@pytest.mark.parametrize("pause", [0, 40])
def test_a_case_goes_on_after_its_full_chain_was_archived(pause: int) -> None:
    """The marker of a full chain stands for its interactions, not for its case: the next chain has it, even after closing."""
    replay = Replay(SHORT, Identity(), kept=KEPT)
    day = 86_400
    for n in range(60):
        at = (n * 4 + n // FEW * pause) * day
        replay.take(list(work(f"w{n:02}", phone="1", case_id="k").work_started(at, "ann").work_completed(at + 60)))
    replay.finish()
    assert replay.counts["chains_archived_total",] > 0
    assert replay.counts["too_late_total", "pbx"] == 0
    assert booked("chains_opened_total", replay) == {(): 60 // FEW}
    assert replay.differences() == {}
    (state,) = replay.stitch[0].state.values()
    assert {m.case_id for m in CUSTOMER.decode(body_of(state)).markers} == {""}


def test_what_belongs_to_a_full_chain_that_was_archived_is_too_late() -> None:
    """As to any other archived chain: counted, never a new chain."""
    replay = Replay(SHORT, Identity(), kept=KEPT)
    for story in calls(4):
        replay.take(list(story))
    replay.finish(instant(0) + KEPT + 3 * DAY)
    assert replay.counts["chains_archived_total",] == 2
    late = replace(next(iter(call("c0000", phone="1").rated(HOUR, "csat", 5.0))), id="late")
    replay.take([late])
    assert replay.counts["events_total", "pbx", "too_late"] == 1
    assert booked("chains_opened_total", replay) == {(): 2}
    assert replay.differences() == {}


def test_the_same_cut_is_counted_once() -> None:
    """Also where nothing is remembered but the encoded state, and whatever else comes for that customer."""
    replay = Replay(SHORT, Identity())
    for story in calls(4):
        replay.take(list(story))
    replay.stitches[0].memo.clear()
    replay.take(list(call("c0001", phone="1").wrapped_up(700, "ann"))[-1:])
    replay.finish(instant(LATER))
    assert replay.counts[CUT] == 1
