"""What the load of `make bench-hour` is, and what is read of it afterwards."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest

from schemas.events import Answered, Ended, Event, Queued, WrappedUp
from tests.bench.recovery import AT, calls, recovery, waiting


def test_every_customer_calls_again_and_again() -> None:
    """Each call goes on where the one before it ended; nobody has two at a time, and time goes on at the rate."""
    customers = 2_500
    told: dict[str, list[Event]] = defaultdict(list)
    events = [*waiting(customers), *islice(calls(customers, 1_000), 2 * 4 * customers)]
    for event in events:
        told[event.interaction_id.partition(".")[0]].append(event)
    assert len(told) == customers
    for mine in told.values():
        assert [type(event) for event in mine] == [Queued, *[Answered, Ended, WrappedUp, Queued] * 2]
        assert [event.interaction_id.partition(".")[2] for event in mine] == ["0"] * 4 + ["1"] * 4 + ["2"]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[-1].at == AT + customers // 100 + 2 * 4 * customers - 1
    assert len({event.id for event in events}) == len(events)


def test_what_was_done_before_the_rate_was_known_is_gone_on_from() -> None:
    """The next event, a moment later by the new rate."""
    before = list(islice(calls(100, 2_000), 1_234))
    after = list(islice(calls(100, 10, len(before), before[-1].at), 1_000))
    assert [event.id for event in [*before, *after]] == [event.id for event in islice(calls(100, 1), 2_234)]
    assert [event.at for event in after] == [before[-1].at + 100 * n for n in range(1_000)]


@pytest.mark.slow
def test_a_worker_is_opened_at_once_and_after_load(kafka: str, tmp_path: Path) -> None:
    """Both times with all customers; the second time there is more to read, and more of it is outdated."""
    at_once, later = recovery(kafka, tmp_path, 300, seconds=2, rate=200)
    assert at_once["open chains"] == later["open chains"] == 300
    for row in at_once, later:
        assert 2 * 300 <= number(row, "keys") <= number(row, "records read")
        assert number(row, "seconds to ready") > 0
        assert number(row, "encoded MB") <= number(row, "MB read")
    assert number(later, "encoded MB") > number(at_once, "encoded MB")
    assert number(later, "records read") - number(at_once, "records read") > 300, "a call changes at least one state for each event"


def number(row: Mapping[str, float | str], name: str) -> float:
    """A figure of a row."""
    return float(row[name])
