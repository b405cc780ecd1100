"""Closed chains that are put by are counted, corrected and archived as if they had not been."""

from collections import Counter
from random import Random

import pytest
from msgspec.structs import replace

from schemas.records import Interaction, Moved
from streams.core import stitch
from streams.core.journal import amounts
from streams.core.past import everything, near_one_another
from streams.core.sealed import body_of
from streams.core.states import CUSTOMER, Customer, Past
from streams.core.targets import KEPT, Rules
from tests.stage import TALK
from tests.story import DAY, call, instant
from tests.test_stitch import Books, record

DAYS = 70
CASES = ("", "", "", "K", "L")


def customer_of(books: Books) -> Customer:
    """The customer's state."""
    assert books.value is not None
    return CUSTOMER.decode(body_of(books.value))


def told(random: Random, name: str, at: int, case: str) -> Interaction:
    """One contact: served, given up, or still waiting."""
    story = call(name, phone="1", case_id=case).queued(at, random.choice("AB"))
    end = at + random.choice((30, 600, DAY // 2, 2 * DAY))
    if random.random() < 0.7:
        story = story.answered(at + 20, random.choice(("ann", "bob")), team=random.choice(("red", "blue")))
    if random.random() < 0.9:
        story = story.ended(end)
    return record(story)[0]


def history(random: Random) -> list[tuple[int, list[Interaction | Moved]]]:
    """What comes to one customer in some weeks, and when (ms): contacts, later versions of them, links, moves, nothing."""
    names = [f"c{n}" for n in range(14)]
    first = {name: random.randrange(DAYS * DAY) for name in names}
    cases = {name: random.choice(CASES) for name in names}
    found: list[tuple[int, list[Interaction | Moved]]] = []
    keys = [record(call(name, phone="1").queued(0, "A"))[0].key for name in names]
    for name, key in zip(names, keys, strict=True):
        for version in range(1, random.randint(2, 4)):
            case = cases[name] if random.random() < 0.8 else ""
            at = max(0, first[name] - random.choice((0, 0, 0, DAY // 2, 3 * DAY)))
            linked = random.sample(keys, 1) if random.random() < 0.1 else []
            x = replace(told(random, name, at, case), version=version, linked=[other for other in linked if other != key])
            comes = instant(first[name]) + random.choice((60_000, 60_000, DAY * 1000, 40 * DAY * 1000))
            found.append((comes, [x]))
            if random.random() < 0.1:
                found.append((comes + random.choice((1, 30)) * DAY * 1000, [Moved(key, version + 1, "elsewhere")]))
    found += [(instant(random.randrange(200 * DAY)), []) for _ in range(40)]
    return sorted(found, key=lambda step: step[0])


@pytest.mark.parametrize("number", range(40))
def test_it_makes_no_difference_that_chains_are_put_by(number: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bookings, archives, outputs and counts of every step are those of a customer all of whose chains stay."""
    puts, stays = Books(), Books()
    puts.stitch.rules = stays.stitch.rules = Rules(max_links=3) if number % 2 else Rules()
    for now, records in history(Random(seed + number)):
        one = puts.take(*records, now=now)
        with monkeypatch.context() as patch:
            patch.setattr(stitch, "put_by", lambda _, kept: ([], kept))
            two = stays.take(*records, now=now)

        assert sorted(one.bookings) == sorted(two.bookings)
        assert sorted(one.archived) == sorted(two.archived)
        assert one.outputs == two.outputs
        assert (one.due, one.counts, one.value is None) == (two.due, two.counts, two.value is None)
        if one.value is not None:
            by_key = {x.key: x for x in everything(customer_of(puts))}
            assert by_key == {x.key: x for x in customer_of(stays).records}

    assert puts.ledger.net() == stays.ledger.net()


def test_a_closed_chain_is_put_by_and_comes_back_for_what_concerns_it() -> None:
    """A later version of one of its contacts, a contact of its case or within a day, a link; nothing else does."""
    books = Books()
    books.take(*record(TALK), now=instant(60))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [1, 0]
    books.take(now=instant(60 + DAY))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [0, 1]
    books.take(*record(call("far", phone="1").queued(3 * DAY, "A").ended(3 * DAY + 9)), now=instant(3 * DAY + 9))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [1, 1]
    books.take(*record(TALK.answered(70, "bob", team="blue"), version=2), now=instant(3 * DAY + 10))

    assert [len(customer_of(books).records), len(customer_of(books).past)] == [1, 1]
    assert books.net("moments_of_truth_total") == 2
    books.take(now=instant(5 * DAY))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [0, 2]


def test_what_is_near_comes_back_together() -> None:
    """Two chains within a day of one another, one of a case: what joins one of them may change the other."""
    books = Books()
    case = call("case", phone="1", case_id="K").queued(0, "A").ended(9)
    beside = call("beside", phone="2", case_id="L").queued(100, "A").ended(109)
    books.take(*record(case), *record(beside), now=instant(40 * DAY))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [0, 2]
    later = call("more", phone="1", case_id="K").queued(40 * DAY, "A")
    books.take(*record(later), now=instant(40 * DAY))

    assert [len(customer_of(books).records), len(customer_of(books).past)] == [3, 0]


def test_under_another_limit_of_links_all_is_placed_anew() -> None:
    """What was put by as two chains may be one by the new limit, and open: it closes in its time, and the books balance."""
    books = Books()
    books.stitch.rules = Rules(max_links=1)
    case = call("case", phone="1", case_id="K").queued(0, "A").ended(9)
    more = call("more", phone="1").queued(DAY - 100, "A").ended(DAY - 50)
    books.take(*record(case), *record(more), now=instant(30 * DAY + 9))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [0, 2]
    assert books.value is not None
    books.stitch.rules = Rules()
    books.stitch.memo.clear()
    books.ledger.rebase(Counter(amounts(books.stitch.facts(books.value))))

    change = books.take(now=instant(30 * DAY + 10))
    assert (len(customer_of(books).records), books.net("chains_open")) == (2, 1)
    books.take(now=change.due)
    assert (books.net("chains_open"), books.net("chains_closed_total")) == (0, 1)
    books.take(*record(call("far", phone="1").queued(50 * DAY, "A").ended(50 * DAY + 9)), now=instant(50 * DAY + 9))
    assert books.net("chains_opened_total") == 2


def test_who_was_refused_leaves_when_nobody_sends_him_any_more() -> None:
    """Also where nothing else of the customer is due, and a record comes at that very instant."""
    books = Books()
    books.take(*record(TALK), now=instant(60 + DAY))
    books.take(now=instant(60 + DAY) + KEPT)
    late = record(call("late", phone="1").queued(5, "A").ended(30))
    books.take(*late, now=instant(60 + DAY) + KEPT + 1)
    (refused,) = customer_of(books).refused
    books.take(*record(call("new", phone="1").queued(400 * DAY, "A")), now=refused.until)

    assert customer_of(books).refused == []


@pytest.mark.parametrize(("start", "opened"), [(DAY + 60, 1), (DAY + 61, 2)])
def test_a_day_between_is_near(start: int, opened: int) -> None:
    """To the millisecond, by METRICS' own limit: who comes a day after the last activity is of that chain, who comes later is not."""
    books = Books()
    books.take(*record(call("a", phone="1").queued(0, "A").ended(60)), now=instant(60 + DAY))
    assert len(customer_of(books).past) == 1
    books.take(*record(call("b", phone="1").queued(start, "A")), now=instant(start))

    assert books.net("chains_opened_total") == opened


@pytest.mark.parametrize(("end", "opened"), [(DAY, 1), (DAY - 1, 2)])
def test_a_day_before_is_near(end: int, opened: int) -> None:
    """The same the other way round: what is told late was before."""
    books = Books()
    books.take(*record(call("a", phone="1").queued(2 * DAY, "A").ended(2 * DAY + 60)), now=instant(9 * DAY))
    assert len(customer_of(books).past) == 1
    books.take(*record(call("b", phone="1").queued(0, "A").ended(end)), now=instant(9 * DAY))

    assert books.net("chains_opened_total") == opened


@pytest.mark.parametrize(
    ("chains", "groups"),
    [
        ([(0, 10, "", ""), (1, 1, "", ""), (9, 9, "", "")], [[0, 1, 2]]),
        ([(0, 1, "", ""), (2, 2, "", "")], [[0, 1]]),
        ([(0, 1, "", ""), (2.001, 3, "", "")], [[0], [1]]),
        ([(0, 0, "K", ""), (40, 40, "L", ""), (80, 80, "K", "")], [[0, 2], [1]]),
        ([(0, 0, "", "key 1"), (40, 40, "", ""), (80, 80, "", "")], [[0, 1], [2]]),
        ([(0, 0, "", "elsewhere"), (40, 40, "", "elsewhere"), (80, 80, "K", ""), (81, 81, "", "")], [[0, 1], [2, 3]]),
    ],
    ids=["within the longest", "a day between", "more than a day", "a case", "a link", "links to one"],
)
def test_who_is_near_to_whom(chains: list[tuple[float, float, str, str]], groups: list[list[int]]) -> None:
    """In days: when it began, was last active, its case, to what one of its contacts is linked."""
    day = DAY * 1000
    found = [
        Past(round(start * day), round(end * day), case, [f"key {n}"], [link] if link else [])
        for n, (start, end, case, link) in enumerate(chains)
    ]

    assert sorted(near_one_another(found)) == groups


def test_a_large_state_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put by takes more room, and a state that fits no record would stop its customer."""
    books = Books()
    books.take(*record(TALK), now=instant(60))
    assert books.value is not None
    monkeypatch.setattr(stitch, "LARGE", len(body_of(books.value)))
    books.take(now=instant(60 + DAY))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [1, 0]
    monkeypatch.undo()
    books.take(now=instant(60 + DAY + 1))  # why: as a shard that is counted anew steps all its keys

    assert [len(customer_of(books).records), len(customer_of(books).past)] == [0, 1]


def test_what_cannot_be_put_by_when_it_closes_is_when_what_is_near_has_closed() -> None:
    """A closed chain beside an open case stays until the case has closed as well; then both go."""
    books = Books()
    books.take(*record(TALK), *record(call("case", phone="1", case_id="K").queued(DAY, "A").ended(DAY + 9)), now=instant(DAY + 9))
    books.take(now=instant(2 * DAY))
    assert [len(customer_of(books).records), len(customer_of(books).past)] == [2, 0]
    books.take(*record(call("more", phone="1").queued(33 * DAY, "A")), now=instant(33 * DAY))

    assert [len(customer_of(books).records), len(customer_of(books).past)] == [1, 2]


def test_it_leaves_the_table_when_its_time_is_over() -> None:
    """As any chain: its facts go to the archive, and a marker stays."""
    books = Books()
    books.take(*record(TALK), now=instant(60 + DAY))
    books.take(now=instant(60 + DAY) + KEPT)

    assert books.counts["chains_archived_total",] == 1
    assert (customer_of(books).past, len(customer_of(books).markers)) == ([], 1)
