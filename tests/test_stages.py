"""Stage 1 by itself: the set of events that it keeps, the snapshots and moves that it sends, what it counts."""

from collections.abc import Iterable
from random import Random
from typing import Any, Final

import pytest
from msgspec.structs import replace

from schemas.codec import encode
from schemas.events import Event
from schemas.records import Interaction, Moved
from streams.core.assemble import MAX_EVENTS, RESETS, Assemble, key_of
from streams.core.identity import Identity
from streams.core.sealed import body_of, due_of, open_of
from streams.core.states import ASSEMBLED
from streams.core.step import NEVER, Change, Output
from streams.core.stitch import decode
from tests.stage import LATER, TALK, Stage
from tests.story import DAY, HOUR, call, email, instant, reset

KEY: Final = b"pbx\x1fc1"
OUTLIVES: Final = 181 * DAY * 1000
"""A chain without a case: a day until it closes, 90 days in the table, 90 of its marker."""


def assemble(resets: Iterable[Event] = ()) -> Stage:
    """The first stage, for one call."""
    stage = Assemble(Identity())
    stage.step(RESETS, None, list(resets), LATER)
    return Stage(stage.step, KEY)


def sent(change: Change) -> list[tuple[bytes, Interaction | Moved]]:
    """What goes to customers, in order."""
    return [(x.key, decode(x.value)) for x in change.outputs if x.key is not None and x.value is not None]


def snapshot(change: Change) -> Interaction:
    """The only snapshot that was sent."""
    ((_, record),) = sent(change)
    assert isinstance(record, Interaction)
    return record


def held(stage: Stage) -> list[Event]:
    """The event set."""
    assert stage.value is not None
    return list(ASSEMBLED.decode(body_of(stage.value)).events)


# -- Assemble: the set of events ---------------------------------------------------------------------------------------


def test_an_event_is_taken_once() -> None:
    """The same event again is a duplicate: counted, no snapshot, the set as it was."""
    stage = assemble()
    stage.take(*TALK)
    before = stage.value
    again = stage.take(*TALK)

    assert again.outputs == ()
    assert stage.value == before
    assert stage.counts["events_total", "pbx", "late"] == 3
    assert stage.counts["events_total", "pbx", "duplicate"] == 3


@pytest.mark.parametrize(("age", "result"), [(119_999, "applied"), (120_000, "applied"), (120_001, "late")])
def test_an_event_more_than_two_minutes_old_is_late(age: int, result: str) -> None:
    """late: its event is more than 120 s older than now; counted, and taken all the same."""
    stage = assemble()
    (queued, *_) = TALK
    stage.take(queued, now=queued.at + age)

    assert stage.counts == {("events_total", "pbx", result): 1, ("interactions_sent_total",): 1}


@pytest.mark.parametrize(("first", "second", "kept"), [(1, 2, 1), (2, 1, 1), (0, 5, 0)])
def test_equal_events_keep_the_smallest_sequence(first: int, second: int, kept: int) -> None:
    """Equal ids keep the smallest sequence, whichever comes first."""
    (queued, *_) = TALK
    stage = assemble()
    stage.take(replace(queued, sequence=first))
    stage.take(replace(queued, sequence=second))

    assert [x.sequence for x in held(stage)] == [kept]
    assert stage.counts["events_total", "pbx", "duplicate"] == 1


@pytest.mark.parametrize(
    ("other_content", "wins"),
    [
        ({"revision": 1, "queue": "0"}, True),
        ({"updated_at": 5, "queue": "0"}, True),
        ({"queue": "B"}, True),
        ({"queue": "0"}, False),  # the same number and time: the larger content is folded
        ({"revision": 1, "updated_at": 0, "queue": "0"}, True),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_highest_revision_is_folded(other_content: dict[str, Any], wins: bool, backwards: bool) -> None:  # noqa: FBT001 - a table's column
    """All revisions stay in the set; the highest by number, then update time, then content is folded, whatever the order."""
    (queued, *_) = TALK
    revised = replace(queued, **other_content)
    stage = assemble()
    said = [stage.take(x) for x in ((revised, queued) if backwards else (queued, revised))]

    assert len(held(stage)) == 2
    assert stage.counts["events_total", "pbx", "duplicate"] == 0
    last = [change for change in said if change.outputs][-1]
    assert [entry.queue for entry in snapshot(last).entries] == [other_content["queue"] if wins else "A"]


@pytest.mark.parametrize(("events", "kept", "truncated"), [(999, 999, 0), (1_000, 1_000, 0), (1_001, 1_000, 1), (1_010, 1_000, 10)])
def test_the_set_is_bounded_and_the_loss_counted(events: int, kept: int, truncated: int) -> None:
    """Event set per interaction bounded: the first ones stay, whatever the order of arrival; truncation counted."""
    told = list(call("c1").rang(0).rang(1).rang(2))
    many = [replace(told[0], id=f"e{n}", at=instant(n)) for n in range(events)]
    stage = assemble()
    stage.take(*reversed(many))

    assert MAX_EVENTS == 1_000
    assert held(stage) == many[:kept]
    assert stage.counts["truncated_total", "events"] == truncated


def test_any_order_in_any_slices_ends_in_the_same_state() -> None:
    """The interaction is the fold of its *set* of events."""
    random = Random(7)
    events = list(TALK.transferred(70, "blind", "B").rated(80, "csat", 3.0).held(20).retrieved(30))
    events.append(replace(events[1], representative="bob", revision=1))
    expected = assemble()
    expected.take(*events)
    for _ in range(20):
        stage, left = assemble(), random.sample(events, len(events))
        while left:
            size = random.randint(1, 3)
            stage.take(*left[:size], *left[:1])
            left = left[size:]

        assert sorted(held(stage), key=repr) == sorted(held(expected), key=repr)
        assert stage.value is not None
        assert expected.value is not None
        assert ASSEMBLED.decode(body_of(stage.value)).digest == ASSEMBLED.decode(body_of(expected.value)).digest


# -- Assemble: versions, moves, resets, expiry -------------------------------------------------------------------------


def test_the_version_is_raised_only_when_the_snapshot_changes() -> None:
    """A version: a number kept in its state and raised whenever the snapshot changes."""
    stage = assemble()
    queued, answered, ended = TALK
    silent = call("c1", phone="1").rated(90, "csat", 3.0, id="r")

    assert snapshot(stage.take(queued)).version == 1
    assert snapshot(stage.take(answered)).version == 2
    assert stage.take(*silent, queued).outputs == ()
    assert snapshot(stage.take(ended)).version == 3
    assert stage.counts["interactions_sent_total",] == 1


def test_an_interaction_that_becomes_known_moves() -> None:
    """When the customer becomes known later: `Moved` to the old key and the snapshot to the new one, in that order."""
    stage = assemble()
    anonymous = call("c1").queued(0, "A").answered(10, "ann", team="red").ended(60)
    ((first, before),) = sent(stage.take(*anonymous))
    moved, (second, after) = sent(stage.take(*anonymous.identified(70, customer="7").events[-1:]))

    assert (first, before.version) == (b"interaction:pbx\x1fc1", 1)
    assert second.startswith(b"customer:")
    assert moved == (first, Moved("pbx\x1fc1", 2, second.decode()))
    assert (after.version, isinstance(after, Interaction)) == (2, True)
    assert stage.counts["interactions_sent_total",] == 1


def test_an_interaction_may_move_again_and_back() -> None:
    """Each move tells the key that had it last."""
    stage = assemble()
    queued, answered, _ = TALK
    one, two = (Identity().pseudonym("phone", number).encode() for number in ("1", "2"))
    stage.take(queued)
    to_two = sent(stage.take(replace(answered, identifiers={"phone": "2"})))
    back = sent(stage.take(replace(answered, identifiers={"phone": "1"}, revision=1)))

    assert [(key, type(x), x.version) for key, x in to_two] == [(one, Moved, 2), (two, Interaction, 2)]
    assert [(key, type(x), x.version) for key, x in back] == [(two, Moved, 3), (one, Interaction, 3)]


def test_a_reset_is_seen_by_what_was_before_it_and_by_what_comes_late() -> None:
    """A publisher-wide reset: the fold sees it as an event of each open interaction of that source before it, however late that comes."""
    early, late = assemble(), assemble([reset(20)])
    queued, answered, _ = TALK
    early.take(queued, answered)
    early.step.__self__.step(RESETS, None, [reset(20)], LATER)

    for change in (early.take(), late.take(queued, answered)):
        assert snapshot(change).active_until == instant(20)
    assert snapshot(assemble([reset(20, "other")]).take(queued, answered)).active_until > instant(HOUR)
    assert snapshot(assemble([reset(5)]).take(queued, answered)).active_until > instant(HOUR)


def test_resets_are_kept_by_source_and_survive_recovery() -> None:
    """Resets are state of the shard: once each, in order, and every open interaction is looked at again."""
    stage = Assemble(Identity())
    change = stage.step(RESETS, None, [reset(20), reset(10), reset(20), reset(5, "other")], LATER)
    copy = Assemble(Identity())
    assert change.value is not None
    copy.share(change.value)

    assert change.revisit
    assert [at for at, _, _ in copy.resets["pbx"]] == [instant(10), instant(20)]
    assert copy.resets == stage.resets == {"pbx": stage.resets["pbx"], "other": stage.resets["other"]}
    assert key_of(reset(1)) == RESETS


def test_a_reset_whose_step_was_dropped_is_new_again() -> None:
    """What is stored counts: another key of its slice may fail, and then every open interaction is yet to be looked at."""
    stage = Assemble(Identity())
    dropped = stage.step(RESETS, None, [reset(20)], LATER)
    again = stage.step(RESETS, None, [reset(20)], LATER)
    assert again.value is not None
    more = [stage.step(RESETS, again.value, [reset(30)], LATER) for _ in range(2)]
    known = stage.step(RESETS, more[1].value, [reset(30)], LATER)

    assert (dropped.value, dropped.revisit) == (again.value, again.revisit)
    assert [change.revisit for change in (again, *more, known)] == [True, True, True, False]


def test_the_resets_never_ask_to_be_stepped() -> None:
    """The due time in front of a value is that of its change: a new owner reads no other."""
    change = Assemble(Identity()).step(RESETS, None, [reset(20)], LATER)

    assert change.value is not None
    assert (due_of(change.value), change.due) == (NEVER, NEVER)


@pytest.mark.parametrize(("after", "is_gone"), [(OUTLIVES - 1, False), (OUTLIVES, True), (OUTLIVES + 1, True)])
def test_an_event_set_outlives_its_chain_and_then_goes(after: int, is_gone: bool) -> None:  # noqa: FBT001 - a table's column
    """State of an interaction outlives that of its chain: as long as the marker stays."""
    stage = assemble()
    change = stage.take(*TALK)

    assert change.due == instant(60) + OUTLIVES
    assert (stage.take(now=instant(60) + after).value is None) == is_gone


def test_what_is_too_old_to_be_kept_is_counted_as_lost() -> None:
    """Every loss has a counter with a reason: an event older than its own state may live is not just late."""
    stage = assemble()
    change = stage.take(*TALK, now=instant(60) + OUTLIVES)

    assert change.value is None
    assert change.outputs == tuple(Output("dead-letters", b"c1", encode(x), None, (("reason", b"too_late"),)) for x in TALK)
    assert stage.counts == {("events_total", "pbx", "too_late"): 3, ("dead_letters_total", "pbx", "too_late"): 3}


def test_what_was_sent_is_booked_once_and_until_it_is_taken_back() -> None:
    """Conservation: +1 when an interaction is first sent, −1 when a revision leaves nothing of it, +1 when it comes back."""
    stage = assemble()
    queued, answered, _ = TALK
    nothing = call("c1").rated(0, "csat", 3.0, id=queued.id, revision=1)
    said = [stage.take(*events).bookings for events in ((queued,), (queued,), nothing.events, nothing.events, (answered,))]

    assert [list(bookings) for bookings in said] == [[(("_interactions_sent",), n)] if n else [] for n in (1, 0, -1, 0, 1)]


def test_what_stands_sent_is_archived_with_its_state() -> None:
    """No total changes when a state leaves the table."""
    stage, silent = assemble(), assemble()
    stage.take(*TALK)
    silent.take(*call("c1").rated(60, "csat", 3.0))

    assert stage.take(now=instant(60) + OUTLIVES).archived == ((("_interactions_sent",), 1),)
    assert silent.take(now=instant(60) + OUTLIVES).archived == ()


def test_a_correction_may_end_what_seemed_to_go_on() -> None:
    """An e-mail that turns out to be a call was over long ago: said; its state stays as promised, so that nothing is sent as new."""
    stage = assemble()
    change = stage.take(*email("c1", phone="1").queued(0, "A"), now=LATER)
    corrected = stage.take(*call("c1", phone="1").queued(0, "A", revision=1), now=change.due - 91 * DAY * 1000)

    assert change.due == instant(30 * DAY) + OUTLIVES
    assert snapshot(corrected).active_until == instant(2 * HOUR)
    assert corrected.due == change.due
    assert stage.take(*TALK, now=change.due - 1).outputs[0].topic == "dead-letters"
    assert stage.take(now=change.due - 1).value is not None
    assert stage.take(now=change.due).value is None


def test_the_value_says_whether_it_is_open() -> None:
    """What a host needs stands in front of the encoded value, read without decoding."""
    stage = assemble()
    queued, answered, ended = TALK
    for events, is_open in (((queued,), True), ((answered,), True), ((ended,), False)):
        stage.take(*events)
        assert stage.value is not None
        assert open_of(stage.value) == is_open
