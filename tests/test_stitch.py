"""Stage 2 by itself: versions, moves, archives, markers, and books that balance after every step."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import pytest
from msgspec import json
from msgspec.structs import replace

from schemas.records import Interaction, Moved
from streams.core.assemble import RESETS, key_of
from streams.core.facts import Account, Differing
from streams.core.journal import Journal, amounts
from streams.core.sealed import waiting_of
from streams.core.step import NEVER, Change
from streams.core.stitch import Stitch
from streams.core.targets import KEPT, Rules
from streams.engine.ledger import Ledger
from streams.metrics import other
from tests.chaos import chaos
from tests.core import interactions
from tests.stage import CUSTOMER, LATER, TALK, Stage
from tests.story import DAY, Story, call, instant


class Books(Stage):
    """The second stage for one customer, with a ledger that must balance after every step."""

    def __init__(self, *, forgetful: bool = False) -> None:
        self.stitch, self.forgetful = Stitch(Rules()), forgetful
        self.ledger, self.journal = Ledger(other), Journal()
        super().__init__(self.stitch.step, CUSTOMER)

    def take(self, *records: Any, now: int = LATER) -> Change:
        """One step, booked: total − retracted = archived + facts of the encoded state."""
        if self.forgetful:
            self.stitch.memo.clear()
        change = super().take(*records, now=now)
        for differences, enter in ((change.bookings, self.ledger.book), (change.archived, self.ledger.archive)):
            self.journal.take(differences)
            enter(self.journal.bookings())
        live = amounts(self.stitch.facts(change.value)) if change.value is not None else {}
        assert self.ledger.differences(live) == {}
        waiting = {place[0] for place in live if place[0].startswith("customers_waiting")}
        shown = waiting_of(change.value) if change.value is not None else []
        assert {series.replace("longest_wait_seconds", "customers_waiting") for series, _ in shown} == waiting
        return change

    def net(self, series: str) -> int:
        """A series summed over its labels."""
        return sum(n for (name, slot), n in self.ledger.net().items() if name.split("\x1f")[0] == series and not slot)


def record(*stories: Story, version: int = 1) -> list[Interaction]:
    """The interactions of some stories, all of one customer."""
    found = [r for group in interactions([x for s in stories for x in s]).values() for r in group]
    return [replace(r, version=version) for r in found]


@pytest.mark.parametrize(("second", "moments"), [(1, 1), (2, 1), (3, 2)])
def test_a_larger_version_replaces_a_smaller_one(second: int, moments: int) -> None:
    """A larger version replaces a smaller one; an equal or smaller one changes nothing."""
    books = Books()
    books.take(*record(TALK, version=2))
    books.take(*record(TALK.answered(61, "bob", team="blue"), version=second))

    assert books.net("moments_of_truth_total") == moments


@pytest.mark.parametrize(("version", "contacts"), [(1, 1), (2, 1), (3, 0)])
def test_moved_takes_an_interaction_away(version: int, contacts: int) -> None:
    """`Moved(interaction, version, to)` removes an older snapshot, and nothing else."""
    books = Books()
    books.take(*record(TALK, version=2))
    change = books.take(Moved("pbx\x1fc1", version, "customer:y"), Moved("pbx\x1fother", 9, "customer:y"))

    assert books.net("contacts_total") == contacts
    assert (change.value is None) == (not contacts)


def test_nothing_left_is_no_value() -> None:
    """When nothing is left the key is deleted, and everything booked is retracted."""
    books = Books()
    books.take(*record(TALK))

    assert books.take(Moved("pbx\x1fc1", 2, "customer:y")).value is None
    assert books.ledger.net() == {}
    assert books.stitch.memo == {}


CLOSES: Final = instant(60 + DAY)


@pytest.mark.parametrize(("now", "archived"), [(CLOSES + KEPT - 1, False), (CLOSES + KEPT, True), (CLOSES + KEPT + 1, True)])
def test_a_chain_is_archived_90_days_after_it_closed(now: int, archived: bool) -> None:  # noqa: FBT001 - a table's column
    """State is kept 90 days after closing; then its facts are archived and a marker stays as long again. No total changes."""
    books = Books()
    books.take(*record(TALK), now=CLOSES)
    before = books.ledger.net()
    change = books.take(now=now)

    assert books.ledger.net() == before
    assert bool(change.archived) == archived
    assert books.counts["chains_archived_total",] == archived
    assert change.due == CLOSES + (2 if archived else 1) * KEPT


def test_what_comes_for_a_marker_is_too_late() -> None:
    """What arrives for a marker is `too_late`, counted, never a new chain: the same call, its customer's next one within a day."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    before = books.ledger.net()
    books.take(*record(TALK.answered(61, "bob", team="blue"), version=9), now=CLOSES + KEPT)
    for second in (60 + DAY, -DAY):
        books.take(*record(call(f"at {second}", phone="1").queued(second, "A").ended(second + 5)), now=CLOSES + KEPT)

    assert books.counts["too_late_total", "pbx"] == 3
    assert books.ledger.net() == before | {("_interactions_refused", ""): 2}


def test_what_is_refused_is_told_each_time_and_counted_once() -> None:
    """Conservation: an interaction is held or refused, once, in however many versions it comes; each is a dead letter."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    (late,) = record(call("c2", phone="1").queued(60 + DAY, "A").ended(65 + DAY))
    for version in (1, 2):
        change = books.take(replace(late, version=version), now=CLOSES + KEPT)
        (letter,) = (output for output in change.outputs if output.topic == "dead-letters")

        assert (letter.topic, letter.key, dict(letter.headers)) == ("dead-letters", CUSTOMER, {"reason": b"too_late"})
        assert letter.value is not None
        assert json.decode(letter.value) == {
            "interaction": "pbx/c2",
            "version": version,
            "customer": "customer:x",
            "start": late.start,
            "active_until": late.active_until,
        }
    assert books.counts["dead_letters_total", "pbx", "too_late"] == 2
    assert (books.net("_interactions_held"), books.net("_interactions_refused")) == (1, 1)


@pytest.mark.parametrize(("version", "refused"), [(2, 1), (3, 0)])
def test_what_was_refused_may_move_away(version: int, refused: int) -> None:
    """Whoever it belongs to now holds or refuses it: here it is not counted any more."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    books.take(*record(call("c2", phone="1").queued(60 + DAY, "A"), version=2), now=CLOSES + KEPT)
    books.take(Moved("pbx\x1fc2", version, "customer:y"), now=CLOSES + KEPT)

    assert books.net("_interactions_refused") == refused


def test_what_was_refused_is_remembered_while_it_may_come_again() -> None:
    """As long as *assemble* remembers it, longer than the marker if need be; then it is archived, and nothing is left."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    books.take(*record(call("c2", phone="1").queued(60 + DAY, "A").ended(65 + DAY)), now=CLOSES + KEPT)
    until = instant(65 + 2 * DAY) + 2 * KEPT

    assert books.take(now=CLOSES + 2 * KEPT).due == until
    assert books.take(now=until - 1).value is not None
    change = books.take(now=until)
    assert (change.value, change.archived) == (None, [(("_interactions_refused",), 1)])
    assert books.net("_interactions_refused") == 1


def test_what_was_refused_is_taken_when_its_marker_is_gone() -> None:
    """Then it is a chain of its own, and held."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    (late,) = record(call("c2", phone="1").queued(60 + DAY, "A").ended(65 + DAY))
    books.take(late, now=CLOSES + KEPT)
    books.take(replace(late, version=2), now=CLOSES + 2 * KEPT)

    assert (books.net("_interactions_held"), books.net("_interactions_refused")) == (2, 0)
    assert books.net("chains_opened_total") == 2


def test_what_time_takes_goes_before_what_arrives() -> None:
    """A chain that no sweep has found yet takes nothing more, as if it had been found in time."""
    swept, late = Books(), Books()
    for books in (swept, late):
        books.take(*record(TALK))
    swept.take(now=CLOSES + KEPT)
    for books in (swept, late):
        books.take(*record(TALK.answered(61, "bob", team="blue"), version=2), now=CLOSES + KEPT)

        assert books.counts["too_late_total", "pbx"] == 1
    assert late.ledger.net() == swept.ledger.net()
    assert late.value == swept.value


@pytest.mark.parametrize("second", [60 + DAY + 0.001, -DAY - 0.001, 50 * DAY])
def test_what_belongs_to_no_marker_is_a_new_chain(second: float) -> None:
    """Everything else opens a new chain, however late it comes."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    books.take(*record(call("c2", phone="1").queued(second, "A").ended(second)), now=CLOSES + KEPT)

    assert books.counts["too_late_total", "pbx"] == 0
    assert books.net("chains_opened_total") == 2


def test_a_case_in_the_archive_takes_no_more_contacts() -> None:
    """Same case: too late, whatever the gap; another case opens its own chain."""
    case = call("c1", phone="1", case_id="K").queued(0, "A").ended(60)
    books, now = Books(), instant(60 + 30 * DAY) + KEPT
    books.take(*record(case), now=now)
    books.take(*record(call("c2", phone="1", case_id="K").queued(100 * DAY, "A")), now=now)
    books.take(*record(call("c3", phone="1", case_id="L").queued(100, "A")), now=now)

    assert books.counts["too_late_total", "pbx"] == 1
    assert books.net("chains_opened_total") == 2


def test_an_update_of_a_live_chain_is_not_too_late_for_an_archived_one() -> None:
    """A contact in a chain that lives is updated there, also where the archived chain of another case was near in time."""
    talk = call("c3", phone="1").queued(7200, "A").answered(7210, "ann", team="red").ended(7260)
    old = call("c1", phone="1", case_id="K").queued(0, "A").ended(60)
    live = [
        call("c2", phone="1", case_id="L").queued(3600, "A").ended(3700),
        call("c4", phone="1", case_id="L").queued(100 * DAY, "A").ended(100 * DAY),
    ]
    books, now = Books(), instant(60 + 30 * DAY) + KEPT
    books.take(*record(old, talk, *live), now=now)
    assert books.counts["chains_archived_total",] == 1
    assert books.net("moments_of_truth_total") == 1

    books.take(*record(talk.answered(7265, "bob", team="blue"), version=2), now=now)
    assert books.net("moments_of_truth_total") == 2
    assert books.counts["too_late_total", "pbx"] == 0


@pytest.mark.parametrize(("after", "is_gone"), [(2 * KEPT - 1, False), (2 * KEPT, True)])
def test_a_marker_stays_as_long_again_and_then_goes(after: int, is_gone: bool) -> None:  # noqa: FBT001 - a table's column
    """A marker stays as long again; then nothing is left of the customer but what was counted."""
    books = Books()
    books.take(*record(TALK), now=CLOSES + KEPT)
    before = books.ledger.net()

    assert (books.take(now=CLOSES + after).value is None) == is_gone
    assert books.ledger.net() == before


def test_now_never_goes_back() -> None:
    """A chain that was closed stays closed, whatever clock the next step has."""
    books = Books()
    books.take(*record(TALK), now=CLOSES)
    change = books.take(now=instant(60))

    assert not change.bookings
    assert books.net("chains_closed_total") == 1


def stories(random: Random) -> list[Sequence[Interaction | Moved]]:
    """Records of one customer as they might come: versions in disorder, moves, now and then nothing."""
    parts: list[Sequence[Interaction | Moved]] = []
    for number in range(12):
        events = [replace(x, interaction_id=f"i{number}", identifiers={}) for x in chaos(random, 1) if key_of(x) != RESETS]
        for version in range(1, random.randint(2, 4)):
            some = events[: random.randint(1, len(events))]
            parts.append([replace(r, version=version) for group in interactions(some).values() for r in group])
            if random.random() < 0.1:
                parts += [[Moved(f"{some[0].source}\x1fi{number}", version, "elsewhere")], []]
    random.shuffle(parts)
    return parts


@pytest.mark.parametrize("number", range(10))
def test_facts_of_the_encoded_state_are_what_was_booked(number: int, seed: int) -> None:
    """Trial balance 0 after every step, through versions, moves and archives; the memo only saves time."""
    random = Random(seed + number)
    parts = stories(random)
    quick, forgetful = Books(), Books(forgetful=True)
    now = max(r.start for part in parts for r in part if isinstance(r, Interaction))
    for part in parts:
        now += random.choice((0, 1_000, 60_000, 600_000, DAY * 1000, KEPT // 5))
        one, two = quick.take(*part, now=now), forgetful.take(*part, now=now)

        assert (one.value, sorted(one.bookings), sorted(one.archived)) == (two.value, sorted(two.bookings), sorted(two.archived))
        assert one.outputs == two.outputs

    assert quick.ledger.net() == forgetful.ledger.net()


@pytest.mark.parametrize("number", range(20))
def test_time_changes_nothing_of_a_chain_that_has_closed(number: int, seed: int) -> None:
    """It is never due and tells the same ever after, which is why it need not be read again."""
    random = Random(seed + number)
    records = [r for group in interactions([x for x in chaos(random, 6) if key_of(x) != RESETS]).values() for r in group]
    first = Account(records, max(r.active_until for r in records), Rules())
    for now in sorted(chain.closes_at for chain in first.chains):
        account, later = Account(records, now, Rules()), Account(records, now + random.choice((1, 60_000, DAY * 1000, KEPT)), Rules())
        told = {chain.id: later.told(chain) for chain in later.chains}
        closed = {chain.id: account.told(chain) for chain in account.chains if now >= chain.closes_at}

        assert closed
        for name, one in closed.items():
            assert (one.due, one.facts(), one.weakest) == (NEVER, told[name].facts(), told[name].weakest)
            assert told[name].due == NEVER


@pytest.mark.parametrize("number", range(20))
def test_what_stays_true_is_neither_booked_nor_retracted(number: int, seed: int) -> None:
    """Each fact stands once in a difference, with what it changed by, whichever chains were joined, split, corrected or closed."""
    random = Random(seed + number)
    records = [r for group in interactions([x for x in chaos(random, 20) if key_of(x) != RESETS]).values() for r in group]
    now = random.choice((min, max))(r.active_until for r in records)
    account = Account([], now, Rules())
    for _ in range(60):
        now += random.choice((0, 1_000, 600_000, DAY * 1000))
        place = random.randrange(len(records))
        records[place] = replace(records[place], need=random.choice(("billing", "order")))
        given = records if random.random() < 0.8 else random.sample(records, random.randint(0, len(records)))
        later = Account(given, now, Rules(), account)
        changes, expected = Differing(account, later).facts(), Counter(later.total())
        expected.subtract(account.total())

        assert len(changes) == len(dict(changes))
        assert dict(changes) == {fact: amount for fact, amount in expected.items() if amount}
        account = later


def test_what_reads_as_it_did_is_not_read_again() -> None:
    """A chain that is as it was is the same object, and so is a contact of one to which something came."""
    ended, other, more = (record(call(name, phone="1").queued(at, "A")) for name, at in (("a", 0), ("b", 3 * DAY), ("c", 3 * DAY + 9)))
    before = Account([*ended, *other], instant(3 * DAY + 9), Rules())
    after = Account([*ended, *other, *more], instant(3 * DAY + 10), Rules(), before)

    assert [len(chain.readings) for chain in after.chains] == [1, 2]
    assert after.chains[0] is before.chains[0]
    assert after.chains[1] is not before.chains[1]
    assert after.chains[1].readings[0] is before.chains[1].readings[0]
