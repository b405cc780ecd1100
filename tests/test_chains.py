"""Chains for people who ask: why the weakest link is the weakest, in one sentence, and a search that others can work beside."""

from typing import Final

import pytest

from streams.chains import PIECE, SORTS, Ranking, keys_of
from streams.core.identity import Identity
from streams.core.links import Link
from streams.core.targets import Rules
from streams.core.words import why
from tests.story import HOUR, call, instant, replayed

WAIT: Final = Link("wait", "billing", "wait", 20_000, 65_000, 45_000, 100, ("pbx\x1fc1", 1, 0))
HOLD: Final = Link("hold", "front", "hold", 60_000, 90_500, 30_500, 200, ("pbx\x1fc1", 2, 0))
TRANSFER: Final = Link("handover", "front", "transfers", 2, 3, 0, 300, ("pbx\x1fc1", 3, 0))
UNSERVED: Final = Link("unserved", "billing", "abandoned", 0, 1, 12_000, 400, ("pbx\x1fc1", 0, 0))
MET: Final = Link("wait", "front", "wait", 1, 1, 0, 50, ("pbx\x1fc0", 1, 0))


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ([], "No link has been judged yet: no expectation applied so far."),
        ([MET], "Every link that was judged met what was expected, so none is the weakest."),
        (
            [WAIT],
            (
                "The wait for billing is the weakest link with a score of 0.307: it took 65 s where 20 s were expected; "
                "no other link was judged."
            ),
        ),
        (
            [MET, HOLD, WAIT],
            (
                "The wait for billing is the weakest link with a score of 0.307: it took 65 s where 20 s were expected; "
                "next comes the hold of front with 0.662."
            ),
        ),
        (
            [HOLD, MET],
            (
                "The hold of front is the weakest link with a score of 0.662: it took 90.5 s where 60 s were expected; "
                "next comes the wait for front with 1."
            ),
        ),
        (
            [TRANSFER],
            (
                "The transfer by front is the weakest link with a score of 0.666: "
                "it was transfer 2 of its contact where 1 may be expected; no other link was judged."
            ),
        ),
        (
            [UNSERVED, WAIT],
            (
                "The contact that billing did not serve is the weakest link with a score of 0: the customer gave up, "
                "12 s past what was expected; next comes the wait for billing with 0.307."
            ),
        ),
    ],
)
def test_one_sentence_says_why(links: list[Link], sentence: str) -> None:
    """Which link, its score, what it fell short of, and what comes next."""
    assert why(links) == sentence


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("abandoned", ": the customer gave up; "),
        ("no_show", ": the customer was called and did not come; "),
        ("left", ": the customer left the queue without an answer; "),
        ("handover", ": it was passed on and nobody took it; "),
        ("something_new", ": what was expected of it (something_new) was not met; "),
    ],
)
def test_each_reason_has_its_words(reason: str, part: str) -> None:
    """Also one that is newer than the words."""
    assert part in why([UNSERVED._replace(reason=reason, overrun=0)])


def test_a_kind_that_is_newer_than_the_words_is_named() -> None:
    """A gap, say."""
    assert why([WAIT._replace(kind="gap", reason="owed_gap")]).startswith("The gap of billing is the weakest link")


@pytest.mark.parametrize(
    ("second", "part"),
    [
        (HOLD._replace(met=40, asked=130), "the hold of front scored the same, but wait counts before hold."),
        (WAIT._replace(team="front", overrun=44_999), "the wait for front scored the same, but ran over by less."),
        (WAIT._replace(team="front", start=101), "the wait for front scored the same, but began no earlier."),
        (WAIT._replace(team="front", met=20_001), "next comes the wait for front with 0.307."),
    ],
)
def test_ties_are_explained_in_the_order_they_are_broken_in(second: Link, part: str) -> None:
    """Kind, larger overrun, earlier start; scores are compared as exact fractions, not as published."""
    assert why([second, WAIT]).endswith(part)


def test_keys_are_tried_strongest_first() -> None:
    """All kinds where none is said; a pseudonym is a key already, unless a kind is said."""
    identity, pseudonym = Identity(), "phone:" + "0123456789abcdef" * 2

    assert [kind for kind, _ in keys_of("1", "", identity)] == ["customer", "account", "email", "phone", "device"]
    assert keys_of(" 1 ", "phone", identity) == [("phone", identity.pseudonym("phone", "1"))]
    assert keys_of(pseudonym, "", identity) == [("phone", pseudonym)]
    assert keys_of(pseudonym, "phone", identity) == [("phone", identity.pseudonym("phone", pseudonym))]
    assert len(keys_of(pseudonym[:-1], "", identity)) == 5


def test_whoever_has_no_identifier_is_asked_for_by_source_and_id() -> None:
    """As chains and alerts call them; where a source or an id has slashes, each may be the one between them."""
    assert keys_of("interaction:pbx/c1", "", Identity()) == [("interaction", "interaction:pbx\x1fc1")]
    assert keys_of("case:crm/eu/K-1", "", Identity()) == [("case", "case:crm\x1feu/K-1"), ("case", "case:crm/eu\x1fK-1")]
    assert len(keys_of("interaction:c1", "", Identity())) == 5
    assert len(keys_of("interaction:pbx/c1", "customer", Identity())) == 1


@pytest.mark.parametrize("only_open", [False, True])
def test_a_search_goes_piece_by_piece_over_states_that_change(*, only_open: bool) -> None:
    """A few chains are read at a time; they are those that there were when it began."""
    replay = replayed(*(call(f"c{n}", phone=str(n)).queued(n, "A") for n in range(5 * PIECE)))
    replay.finish(instant(HOUR))
    states, ranking, pieces = replay.stitch[0].state, Ranking("start", 3, Rules(), only_open=only_open), 0
    for _ in ranking.look(states, replay.now):
        pieces += 1
        if pieces == 1:
            states.clear()

    assert (pieces, ranking.read) == (5, 5 * PIECE)
    assert [chain["id"] for chain in ranking.told()] == [f"pbx/c{n}" for n in range(5 * PIECE - 1, 5 * PIECE - 4, -1)]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("transfers", ["c2", "c1", "c3", "c4"]),
        ("moments", ["c2", "c1", "c3", "c4"]),
        ("score", ["c3", "c1", "c2", "c4"]),
        ("start", ["c4", "c3", "c2", "c1"]),
    ],
)
def test_each_order_puts_first_what_one_looks_for(sort: str, order: list[str]) -> None:
    """Most transfers, most moments, the weakest, the newest; one that nothing was expected of comes last by score."""
    replay = replayed(
        call("c1", phone="1").queued(0, "A").answered(65, "ann"),
        call("c2", phone="2").queued(1, "A").answered(5, "ann").transferred(10, "blind", to_queue="B").answered(20, "bob"),
        call("c3", phone="3").queued(2, "A").answered(90, "ann"),
        call("c4", phone="4").queued(3, "A"),
    )
    replay.finish(instant(100))
    ranking = Ranking(sort, 10, Rules(), only_open=True)
    assert list(ranking.look(replay.stitch[0].state, replay.now)) == []

    assert [chain["id"].removeprefix("pbx/") for chain in ranking.told()] == order
    assert sort in SORTS
