"""How long a shard waits from one of its transactions to the next."""

import time

import pytest

from streams.engine import pace
from streams.engine.pace import BUSY_SECONDS, BUSY_TRANSACTION_SECONDS, LEAST_SECONDS, TRANSACTION_SECONDS, Pace


def test_shards_leave_each_other_time_for_their_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """More shards, longer from one transaction of a shard to its next: shards / transactions per second, and never no time."""
    monkeypatch.setattr(pace, "LOOK_SECONDS", 1e9)

    assert [Pace().seconds(shards) for shards in (0, 1, 4, 64)] == [LEAST_SECONDS, LEAST_SECONDS, LEAST_SECONDS, 64 * TRANSACTION_SECONDS]


@pytest.mark.parametrize(
    ("share", "shards", "seconds"),
    [
        (1.0, 1, BUSY_SECONDS), (0.5, 1, BUSY_SECONDS / 2), (0.0, 1, LEAST_SECONDS),
        (1.0, 128, 128 * BUSY_TRANSACTION_SECONDS), (0.1, 128, 128 * TRANSACTION_SECONDS),
    ],
)  # fmt: skip
def test_who_has_no_time_to_spare_commits_less_often(share: float, shards: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the process uses a core: a transaction costs the same however little is in it."""
    monkeypatch.setattr(pace, "LOOK_SECONDS", 0)
    here = Pace()
    here.since, here.used = time.monotonic() - 100, time.process_time() - 100 * share

    assert here.seconds(shards) == pytest.approx(seconds, rel=0.01)
