"""What stands in front of an encoded value: read by a host that understands nothing behind it."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.sealed import LONGEST_WAITING, body_of, due_of, open_of, seal, waiting_of
from streams.core.series import joined
from streams.core.step import NEVER, Output
from streams.core.stitch import Stitch
from streams.core.targets import Rules
from tests.core import interactions
from tests.stage import CUSTOMER
from tests.story import MINUTE, Story, call, instant, visit

WAITS: Final = st.dictionaries(st.text(max_size=8), st.integers(0, 1 << 62), max_size=4)


@given(st.integers(0, NEVER), st.binary(max_size=9), st.booleans(), WAITS)
def test_what_was_put_in_front_is_read_back(due: int, body: bytes, is_open: bool, waits: dict[str, int]) -> None:  # noqa: FBT001 - drawn
    """Due time, flag, waits and body do not meet, whatever they are."""
    value = seal(due, body, is_open=is_open, waiting=list(waits.items()))

    assert (due_of(value), open_of(value), body_of(value)) == (due, is_open, body)
    assert dict(waiting_of(value)) == waits


def test_where_nobody_waits_nine_bytes_stand_in_front() -> None:
    """8 bytes due, 1 byte of flags, the body."""
    assert seal(7, b"body", is_open=True) == b"\0\0\0\0\0\0\0\7\1body"
    assert seal(7, b"body", is_open=False) == b"\0\0\0\0\0\0\0\7\0body"


def test_of_each_series_the_longest_wait_is_kept() -> None:
    """A gauge shows the longest wait: of several in one queue the first decides; the longest stands first."""
    value = seal(0, b"", is_open=True, waiting=[("A", 30), ("B", 20), ("A", 10), ("A", 40)])

    assert waiting_of(value) == [("A", 10), ("B", 20)]


def test_waits_are_bounded() -> None:
    """A customer in more queues than there is room for: the longest waits stay, and the body is read all the same."""
    waits = [(f"{n}" * 100, n) for n in range(10_000)]
    value = seal(0, b"body", is_open=True, waiting=waits[::-1])

    assert body_of(value) == b"body"
    assert 100 < len(waiting_of(value)) == len(waits[: len(waiting_of(value))])
    assert waiting_of(value) == waits[: len(waiting_of(value))]
    assert len(value) <= LONGEST_WAITING + 15


def test_a_record_goes_where_its_key_belongs_unless_told_otherwise() -> None:
    """Partition None: the one that the key hashes to."""
    assert Output("t", b"k", b"v") == Output("t", b"k", b"v", None, ())


# -- Who waits, of a customer ------------------------------------------------------------------------------------------


def waiting(*stories: Story, now: float) -> list[tuple[str, int]]:
    """Who waits at a second, as the state of one customer says in front."""
    records = [r for group in interactions([x for s in stories for x in s]).values() for r in group]
    value = Stitch(Rules()).step(CUSTOMER, None, records, instant(now)).value
    assert value is not None
    return waiting_of(value)


def wait(channel: str, queue: str, since: float) -> tuple[str, int]:
    """A wait as it stands in front of a state."""
    return joined(("longest_wait_seconds", channel, queue)), instant(since)


QUEUED: Final = call("c1", phone="1").queued(5, "A")


@pytest.mark.parametrize(
    ("story", "now"),
    [
        (QUEUED.answered(9, "ann"), 20),
        (QUEUED.abandoned(9), 20),
        (call("c1", phone="1", direction="callback").queued(5, "A"), 20),
        (QUEUED, 2 * 60 * MINUTE + 5),  # presumed to be over
    ],
)
def test_who_does_not_wait_any_more_stands_nowhere(story: Story, now: float) -> None:
    """The population is that of `customers_waiting`: open entries of inbound contacts."""
    assert waiting(story, now=now) == []


def test_everybody_who_waits_stands_in_front_of_the_state() -> None:
    """Since the start of that entry: of an appointment that came early, its time; also of one called and not yet served."""
    ticket = visit("v1", phone="1").queued(7, "desk", appointment_at=instant(60)).called(90)

    assert waiting(QUEUED, now=10) == [wait("call", "A", 5)]
    assert waiting(QUEUED.queued(8, "B"), now=10) == [wait("call", "B", 8)]
    assert waiting(QUEUED, ticket, now=100) == [wait("call", "A", 5), wait("visit", "desk", 60)]
