"""What a ledger serves: nothing that was not published, 0 before the first value, and never less than an owner before."""

from streams.core.step import Booking
from streams.engine.ledger import Ledger, Taken
from streams.engine.stage import Place

BIRTH = 30.0
CALLS = "calls"
OPEN = "open"


def ledger(birth: float = BIRTH, limit: int = 10) -> Ledger:
    """A ledger in which `open` needs no birth."""
    return Ledger(lambda _: "other", limit, birth=birth, at_once=lambda series: series == OPEN)


def booking(series: str = CALLS, added: int = 1, retracted: int = 0, slot: str = "") -> Booking:
    """One posting."""
    return (series, slot), added, retracted


def served(of: Ledger) -> dict[str, dict[str, tuple[int, int]]]:
    """What is served."""
    return of.served.series


class Owner:
    """A shard's ledger under one owner: what is taken commits at once unless said otherwise; ``log`` is the changelog."""

    def __init__(self, log: dict[bytes, bytes] | None = None, *, birth: float = BIRTH, now: float = 0.0) -> None:
        self.log = {} if log is None else log
        self.ledger = ledger(birth)
        for key, value in self.log.items():
            self.ledger.load(key, value)
        self.ledger.publish_all(now)

    def commit(self, *bookings: Booking, now: float, published: bool = True) -> list[Taken]:
        """One transaction; if it is not published, the owner has ended in between."""
        self.ledger.book(bookings)
        self.ledger.grow_up(now)
        records, taken = self.ledger.take()
        self.log.update(records)
        if published:
            self.ledger.publish(taken, now)
        return taken


def test_a_new_series_is_served_at_0_first() -> None:
    """So that who watches sees its first step; its value from its birth on, with the next transaction."""
    owner = Owner()
    owner.commit(booking(), now=100)
    assert served(owner.ledger) == {CALLS: {"": (0, 0)}}
    owner.commit(now=100 + BIRTH - 0.001)
    assert served(owner.ledger) == {CALLS: {"": (0, 0)}}
    owner.commit(now=100 + BIRTH)

    assert served(owner.ledger) == {CALLS: {"": (1, 0)}}


def test_a_birth_is_counted_from_when_0_was_first_served() -> None:
    """Not from when it was first booked, and not anew with each booking."""
    owner = Owner()
    owner.commit(booking(), now=100)
    owner.commit(booking(), now=100 + BIRTH - 1)
    assert not owner.ledger.ripe(100 + BIRTH - 0.001)
    assert owner.ledger.ripe(100 + BIRTH)
    owner.commit(now=100 + BIRTH)

    assert served(owner.ledger) == {CALLS: {"": (2, 0)}}
    assert not owner.ledger.ripe(1_000)


def test_a_birth_is_counted_from_when_a_shard_is_served() -> None:
    """A new owner may take longer to open than a birth lasts, and is silent at first: his 0 must be seen, too."""
    first = Owner()
    first.commit(booking(), now=100)
    second = Owner(first.log, now=101)
    second.ledger.seen_from(140)
    second.commit(now=140 + BIRTH - 0.001)
    assert served(second.ledger) == {CALLS: {"": (0, 0)}}
    second.commit(now=140 + BIRTH)

    assert served(second.ledger) == {CALLS: {"": (1, 0)}}


def test_a_new_slot_of_a_series_that_is_shown_is_shown_at_once() -> None:
    """Buckets of one histogram are one series: another of them is no birth."""
    owner = Owner()
    owner.commit(booking(), now=0)
    owner.commit(now=BIRTH)
    owner.commit(booking(slot="5"), now=BIRTH)

    assert served(owner.ledger) == {CALLS: {"": (1, 0), "5": (1, 0)}}


def test_all_slots_of_a_series_grow_up_together() -> None:
    """Also one that came during the birth."""
    owner = Owner()
    owner.commit(booking(), now=0)
    owner.commit(booking(slot="5"), now=BIRTH / 2)
    assert served(owner.ledger) == {CALLS: {"": (0, 0), "5": (0, 0)}}
    owner.commit(now=BIRTH)

    assert served(owner.ledger) == {CALLS: {"": (1, 0), "5": (1, 0)}}


def test_what_may_fall_is_shown_at_once() -> None:
    """Nobody asks how much a gauge has increased; without births nothing waits."""
    owner, plain = Owner(), Owner(birth=0)
    owner.commit(booking(OPEN), now=0)
    plain.commit(booking(CALLS), now=0)

    assert (served(owner.ledger), served(plain.ledger)) == ({OPEN: {"": (1, 0)}}, {CALLS: {"": (1, 0)}})


def test_what_was_shown_is_never_at_0_again_under_a_later_owner() -> None:
    """That it is shown commits with the value, before the value is served."""
    owner = Owner()
    owner.commit(booking(), now=0)
    owner.commit(now=BIRTH)
    later = Owner(owner.log, now=1_000)

    assert served(later.ledger) == {CALLS: {"": (1, 0)}}
    later.commit(booking(slot="5"), now=1_000)
    assert served(later.ledger) == {CALLS: {"": (1, 0), "5": (1, 0)}}


def test_a_birth_that_a_former_owner_did_not_finish_begins_again() -> None:
    """Nobody has seen more than 0."""
    owner = Owner()
    owner.commit(booking(), now=0)
    later = Owner(owner.log, now=1_000)
    later.commit(booking(), now=1_000 + BIRTH - 1)
    assert served(later.ledger) == {CALLS: {"": (0, 0)}}
    later.commit(now=1_000 + BIRTH)

    assert served(later.ledger) == {CALLS: {"": (2, 0)}}


def test_an_owner_who_ends_before_he_publishes_leaves_it_shown() -> None:
    """It has committed that the value is shown: the next one shows it at once, and nobody sees it fall."""
    owner = Owner()
    owner.commit(booking(), now=0)
    owner.commit(booking(), now=BIRTH, published=False)
    assert served(owner.ledger) == {CALLS: {"": (0, 0)}}

    assert served(Owner(owner.log).ledger) == {CALLS: {"": (2, 0)}}


def test_nothing_is_served_that_was_not_published() -> None:
    """Booked, taken, and not committed: the former amounts stay."""
    owner = Owner(birth=0)
    owner.commit(booking(), now=0)
    taken = owner.commit(booking(), booking(OPEN), now=1, published=False)
    assert served(owner.ledger) == {CALLS: {"": (1, 0)}}
    owner.ledger.publish(taken, 1)

    assert served(owner.ledger) == {CALLS: {"": (2, 0)}, OPEN: {"": (1, 0)}}


def test_what_is_taken_is_as_it_is_at_that_moment() -> None:
    """What is booked while it commits goes into the next transaction."""
    owner = Owner(birth=0)
    taken = owner.commit(booking(), now=0, published=False)
    owner.ledger.book([booking()])
    owner.ledger.publish(taken, 0)
    assert served(owner.ledger) == {CALLS: {"": (1, 0)}}
    owner.commit(now=1)

    assert served(owner.ledger) == {CALLS: {"": (2, 0)}}


def test_who_renders_is_told_what_has_changed() -> None:
    """Only the series that were published since he looked; the limits that were hit as well."""
    owner = Owner(birth=0)
    owner.commit(booking(), booking(OPEN), now=0)
    owner.ledger.served.changed.clear()
    owner.commit(booking(), now=1)
    assert owner.ledger.served.changed == {CALLS}

    full = ledger(0, limit=1)
    full.book([booking("family\x1fa"), booking("family\x1fb")])
    assert full.served.overflow == {}
    full.publish(full.take()[1], 0)
    assert full.served.overflow == {"family": 1}


def test_an_amount_that_was_archived_is_served_as_before() -> None:
    """It has left the table and stays true."""
    owner = Owner(birth=0)
    owner.commit(booking(added=3), now=0)
    owner.ledger.archive([booking(added=3)])
    owner.commit(now=1)

    assert served(owner.ledger) == {CALLS: {"": (3, 0)}}


# -- Counting anew -----------------------------------------------------------------------------------------------------


def rebased(live: dict[Place, int]) -> tuple[int, tuple[int, int]]:
    """How many amounts differ from 5 calls of which 1 is retracted and 2 are archived, and what is then served."""
    owner = Owner(birth=0)
    owner.commit(booking(added=5, retracted=1), now=0)
    owner.ledger.archive([booking(added=2)])
    owner.commit(now=0)
    number = owner.ledger.rebase(live)
    owner.commit(now=1)
    assert owner.ledger.differences(live) == {}
    return number, served(owner.ledger)[CALLS][""]


def test_counting_the_same_anew_books_nothing() -> None:
    """Total − retracted − archived is what is live."""
    assert rebased({(CALLS, ""): 2}) == (0, (5, 1))


def test_what_is_more_by_other_rules_is_added() -> None:
    """And nothing is retracted."""
    assert rebased({(CALLS, ""): 6}) == (1, (9, 1))


def test_what_is_less_by_other_rules_is_retracted() -> None:
    """And the total stays."""
    assert rebased({}) == (1, (5, 3))


def test_a_series_that_only_other_rules_have_is_born() -> None:
    """At 0 first, as any new one."""
    owner = Owner()
    owner.ledger.rebase({(CALLS, ""): 4})
    owner.commit(now=0)
    assert served(owner.ledger) == {CALLS: {"": (0, 0)}}
    owner.commit(now=BIRTH)

    assert served(owner.ledger) == {CALLS: {"": (4, 0)}}
