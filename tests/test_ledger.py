"""The ledger: what rises, what is archived, what is kept, what the trial balance finds, and the limit on labels."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.step import Booking
from streams.engine.ledger import LIMIT, Ledger
from streams.engine.stage import Place

UNIT: Final = "\x1f"
CALLS: Final = f"contacts_offered_total{UNIT}call{UNIT}A"
OPEN: Final = "chains_open"

postings: Final = st.tuples(
    st.tuples(
        st.builds(lambda family, queue: f"{family}{UNIT}{queue}", st.sampled_from(("f", "g")), st.sampled_from("ABCDEFGH")),
        st.sampled_from(("", "0", "sum")),
    ),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
)
slices: Final = st.lists(st.lists(postings, max_size=6), max_size=6)


def other(series: str) -> str:
    """The family's substitute."""
    return series.partition(UNIT)[0] + UNIT + "other"


def ledger(limit: int = LIMIT, *, named: Iterable[str] = (), free: Callable[[str], int] = lambda _: 0) -> Ledger:
    """A ledger of nothing."""
    made = Ledger(other, limit, named, free=free)
    made.introduce()
    return made


def booking(series: str, added: int = 1, retracted: int = 0, slot: str = "") -> Booking:
    """One posting."""
    return (series, slot), added, retracted


def reloaded(before: Ledger, limit: int = LIMIT, free: Callable[[str], int] = lambda _: 0) -> Ledger:
    """What recovery makes of a ledger's records."""
    after = Ledger(other, limit, free=free)
    for key, value in before.take()[0]:
        after.load(key, value)
    after.introduce()
    return after


def to_those_up_to_d(series: str) -> int:
    """What others leave to them."""
    return 0 if series[-1] in "ABCD" else 2


def amounts(of: Ledger) -> dict[Place, tuple[int, int, int]]:
    """Total, retracted and archived of every slot."""
    return {place: (a.total, a.retracted, a.archived) for place, a in of.amounts.items()}


# -- Amounts -----------------------------------------------------------------------------------------------------------


def test_net_is_what_was_added_less_what_was_retracted() -> None:
    """Net = total − retracted; what is 0 is left out."""
    book = ledger()
    book.book([booking(CALLS, 3), booking(OPEN, 1), booking(CALLS, 2, 1)])
    book.book([booking(OPEN, 0, 1)])

    assert amounts(book) == {(CALLS, ""): (5, 1, 0), (OPEN, ""): (1, 1, 0)}
    assert book.net() == {(CALLS, ""): 4}


def test_slots_of_one_series_are_counted_apart() -> None:
    """Buckets and sum of a histogram are slots of one series."""
    book = ledger()
    book.book([booking("wait", 2, 0, "3"), booking("wait", 9_000, 0, "sum")])

    assert book.net() == {("wait", "3"): 2, ("wait", "sum"): 9_000}


@given(slices)
def test_both_sides_only_rise(parts: list[list[Booking]]) -> None:
    """Total and retracted only rise, whatever is booked or archived."""
    book = ledger(3)
    before: dict[Place, tuple[int, int, int]] = {}
    for part in parts:
        book.book(part)
        book.archive(part[:2])
        after = amounts(book)

        assert all(after[place][0] >= total and after[place][1] >= retracted for place, (total, retracted, _) in before.items())
        before = after


@given(slices, slices)
def test_archiving_changes_no_total(booked: list[list[Booking]], archived: list[list[Booking]]) -> None:
    """What leaves the table moves from live to archived: totals, retracted and net stay."""
    book, plain = ledger(3), ledger(3)
    for part in booked:
        book.book(part)
        plain.book(part)
    for part in archived:
        book.archive(part)

    assert book.net() == plain.net()
    assert {place: a[:2] for place, a in amounts(book).items() if any(a[:2])} == {p: a[:2] for p, a in amounts(plain).items() if any(a[:2])}


@given(slices)
def test_net_is_exact_however_postings_were_sliced(parts: list[list[Booking]]) -> None:
    """Amounts are integers, so sums are exact in any order and any slices."""
    book, expected = ledger(), Counter[Place]()
    for part in parts:
        book.book(part)
    for place, added, retracted in (posting for part in reversed(parts) for posting in reversed(part)):
        expected[place] += added - retracted

    assert book.net() == {place: amount for place, amount in expected.items() if amount}


# -- Records and recovery ----------------------------------------------------------------------------------------------


def test_only_what_changed_is_recorded() -> None:
    """One changelog record per slot that changed since the last call."""
    book = ledger()
    book.book([booking(CALLS), booking(OPEN)])

    assert len(list(book.take()[0])) == 2
    assert list(book.take()[0]) == []
    book.book([booking(OPEN)])
    assert [key for key, _ in book.take()[0]] == [f"\0series\x1f{OPEN}\x1f".encode()]


def test_a_decided_substitution_is_recorded_once() -> None:
    """A commit writes what changed, not every substitution that was ever decided."""
    book = ledger(1)
    book.book([booking("f\x1fA"), booking("f\x1fB"), booking("f\x1fC")])
    assert sorted(key for key, _ in book.take()[0] if key.startswith(b"\0alias")) == [b"\0alias\x1ff\x1fB", b"\0alias\x1ff\x1fC"]

    book.book([booking("f\x1fA")])
    assert [key for key, _ in book.take()[0]] == [b"\0series\x1ff\x1fA\x1f"]


@given(slices, slices, st.integers(1, 5))
def test_recovery_gives_the_same_ledger(parts: list[list[Booking]], more: list[list[Booking]], limit: int) -> None:
    """What was recorded is all that a new owner needs: the same amounts, and the same decisions from then on."""
    book = ledger(limit, free=to_those_up_to_d)
    for part in parts:
        book.book(part)
        book.archive(part[1:])
    copy = reloaded(book, limit, to_those_up_to_d)

    assert amounts(copy) == amounts(book)
    for part in more:
        for one in (book, copy):
            one.book(part)
        assert amounts(copy) == amounts(book)


def test_that_a_series_was_shown_survives_recovery() -> None:
    """`shown` is committed before the value is first served, so that no later owner starts at 0 again."""
    book = ledger()
    book.book([booking(CALLS)])
    book.at((CALLS, "")).shown = True

    assert reloaded(book).amounts[CALLS, ""].shown


# -- The limit on labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("series", "own", "overflow"), [(499, 499, {}), (500, 500, {}), (501, 500, {"f": 1}), (503, 500, {"f": 3})])
def test_at_most_500_series_per_family(series: int, own: int, overflow: dict[str, int]) -> None:
    """At most 500 series per family and shard, then the value is `other` and the overflow rises, once for each series."""
    book = ledger()
    for _ in range(2):
        book.book([booking(f"f\x1f{number}") for number in range(series)])

    assert len([place for place, _ in book.amounts if place != "f\x1fother"]) == own
    assert book.net().get(("f\x1fother", ""), 0) == 2 * (series - own)
    assert book.overflow == overflow


def test_families_are_bounded_apart() -> None:
    """Per family: a full one leaves room in the others."""
    book = ledger(1)
    book.book([booking("f\x1fA"), booking("f\x1fB"), booking("g\x1fB")])

    assert book.net() == {("f\x1fA", ""): 1, ("f\x1fother", ""): 1, ("g\x1fB", ""): 1}


def test_configured_names_come_first() -> None:
    """What is named and what is `other` is decided by configured names first, then first seen."""
    book = ledger(2, named=["f\x1fZ"])
    book.book([booking("f\x1fA"), booking("f\x1fB"), booking("f\x1fZ")])

    assert book.net() == {("f\x1fA", ""): 1, ("f\x1fother", ""): 1, ("f\x1fZ", ""): 1}


@pytest.mark.parametrize(("free", "own"), [(0, 4), (1, 3), (2, 2), (3, 2)])
def test_the_last_places_are_left_to_configured_names(free: int, own: int) -> None:
    """So that they come first although they are seen last; at most half of the places, and no more than there are."""
    book = Ledger(other, 4, free=lambda series: 0 if "Z" in series else free)
    book.book([booking(f"f{UNIT}{name}") for name in ("A", "B", "C", "D", "E", "Z1", "Z2", "Z3", "Z4")])
    kept = [series for series, under in book.aliases.items() if series == under]

    assert [series.partition(UNIT)[2] for series in kept] == [*"ABCD"[:own], *("Z1", "Z2", "Z3", "Z4")[: 4 - own]]


def test_what_is_named_is_there_before_anything_was_booked() -> None:
    """At 0, unless it was decided before that it is none of the series."""
    book = ledger(named=["f\x1fA"])
    assert {place: (a.total, a.retracted) for place, a in book.amounts.items()} == {("f\x1fA", ""): (0, 0)}
    before, after = ledger(1), Ledger(other, 1, named=["f\x1fB"])
    before.book([booking("f\x1fA"), booking("f\x1fB")])
    for key, value in before.take()[0]:
        after.load(key, value)
    after.introduce()

    assert after.amounts.keys() == {("f\x1fA", ""), ("f\x1fother", "")}


def test_what_was_decided_never_changes() -> None:
    """The decision is stored in the ledger: the same after a recovery, also under a higher limit."""
    book = ledger(1)
    book.book([booking("f\x1fA"), booking("f\x1fB")])
    copy = reloaded(book, limit=10)
    copy.book([booking("f\x1fB"), booking("f\x1fC")])

    assert copy.net() == {("f\x1fA", ""): 1, ("f\x1fother", ""): 2, ("f\x1fC", ""): 1}


def test_the_overflow_survives_recovery() -> None:
    """`karar_label_overflow_total` is a counter of the shard's log: a new owner goes on where the former one was."""
    book = ledger(1)
    book.book([booking("f\x1fA"), booking("f\x1fB"), booking("f\x1fC")])

    assert reloaded(book, limit=1).overflow == {"f": 2}


def test_a_retraction_goes_where_the_addition_went() -> None:
    """A series under a substitute is retracted there, too."""
    book = ledger(1)
    book.book([booking("f\x1fA"), booking("f\x1fB")])
    book.book([booking("f\x1fB", 0, 1)])

    assert book.net() == {("f\x1fA", ""): 1}


# -- The trial balance -------------------------------------------------------------------------------------------------


def test_the_balance_is_0_when_all_is_well() -> None:
    """Total − retracted = archived + Σ facts (live chains)."""
    book = ledger()
    book.book([booking(CALLS, 5, 1), booking(OPEN, 2, 2)])
    book.archive([booking(CALLS, 3)])

    assert book.differences({(CALLS, ""): 1}) == {}


@pytest.mark.parametrize(
    ("live", "difference"),
    [
        ({}, {(CALLS, ""): 1}),  # a chain was lost
        ({(CALLS, ""): 3}, {(CALLS, ""): -2}),  # a chain is there whose facts were never booked
        ({(CALLS, ""): 1, (OPEN, ""): 1}, {(OPEN, ""): -1}),  # a series that was never booked
        ({(CALLS, "sum"): 1}, {(CALLS, ""): 1, (CALLS, "sum"): -1}),  # the right amount in the wrong slot
    ],
)
def test_every_difference_between_books_and_chains_is_found(live: dict[Place, int], difference: dict[Place, int]) -> None:
    """Any difference of any series, of either sign."""
    book = ledger()
    book.book([booking(CALLS, 5, 1)])
    book.archive([booking(CALLS, 3)])

    assert book.differences(live) == difference


@pytest.mark.parametrize(
    ("booked", "archived", "difference"),
    [
        ([booking(CALLS, 2)], [], 1),  # added twice
        ([booking(CALLS, 1, 1)], [], -1),  # retracted once too often
        ([booking(CALLS, 1)], [booking(CALLS, 1)], -1),  # archived and still live
        ([booking(CALLS, 1)], [booking(CALLS, 0, 1)], 1),  # taken out of the archive
    ],
)
def test_every_wrong_posting_is_found(booked: list[Booking], archived: list[Booking], difference: int) -> None:
    """One live chain with one contact: any posting that does not say so shows."""
    book = ledger()
    book.book(booked)
    book.archive(archived)

    assert book.differences({(CALLS, ""): 1}) == {(CALLS, ""): difference}


@given(slices, st.integers(1, 5))
def test_the_balance_holds_for_any_postings_under_any_limit(parts: list[list[Booking]], limit: int) -> None:
    """What is live, booked and not archived adds up, with substitutes, after recovery, too."""
    book, live = ledger(limit), Counter[Place]()
    for number, part in enumerate(parts):
        book.book(part)
        if number % 2:
            book.archive(part)
        else:
            for place, added, retracted in part:
                live[place] += added - retracted

    assert book.differences(live) == {}
    assert reloaded(book, limit).differences(live) == {}
    live["f\x1fA", ""] += 1
    assert sum(book.differences(live).values()) == -1
