"""The lease: until when a process surely owns its shards, whatever becomes of it, of the group, or of the time."""

import pytest

from streams.engine.lease import MARGIN, Lease, boottime

SESSION = 10.0
GRACE = 2.5
LEAST = 0.001


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        """The instant."""
        return self.at


@pytest.fixture
def time() -> Time:
    """A clock at 1,000 s."""
    return Time()


@pytest.fixture
def lease(time: Time) -> Lease:
    """A lease that nobody has confirmed yet."""
    return Lease(SESSION, time)


def test_nothing_is_held_before_anything_was_confirmed(lease: Lease) -> None:
    """A member that has never been told that it is one owns nothing."""
    assert not lease.holds()


@pytest.mark.parametrize(("after", "holds"), [(0, True), (SESSION - MARGIN - LEAST, True), (SESSION - MARGIN, False), (SESSION, False)])
def test_a_confirmation_holds_for_a_session_less_the_margin(lease: Lease, time: Time, after: float, holds: bool) -> None:  # noqa: FBT001 - parametrized
    """Within, exactly, outside: the margin is on our side, so that the lease ends before the coordinator may expel us."""
    lease.confirmed(time.at)
    time.at += after

    assert lease.holds() == holds


def test_a_confirmation_counts_from_when_the_request_was_sent(lease: Lease, time: Time) -> None:
    """The coordinator's session begins when it receives the request, and that is no earlier; the answer may take any time."""
    sent = time.at
    time.at += SESSION
    lease.confirmed(sent)

    assert not lease.holds()


def test_what_was_heard_last_stays_known_when_the_lease_is_lost(lease: Lease, time: Time) -> None:
    """It says whether Kafka answers, not what is ours."""
    lease.confirmed(time.at)
    lease.confirmed(time.at - 1)
    lease.lost()

    assert (lease.heard, lease.until) == (time.at, 0.0)


def test_an_answer_that_comes_late_takes_nothing_back(lease: Lease, time: Time) -> None:
    """An older request that is confirmed after a younger one does not shorten the lease."""
    lease.confirmed(time.at)
    lease.confirmed(time.at - SESSION)

    assert lease.holds()


def test_whoever_is_not_known_any_more_holds_nothing_at_once(lease: Lease, time: Time) -> None:
    """The coordinator says that it does not know us: from then on others may own everything; that is remembered as a loss."""
    lease.confirmed(time.at)
    lease.lost()

    assert not lease.holds()
    assert lease.losses == 1


@pytest.mark.parametrize(("after", "holds"), [(0, True), (GRACE - LEAST, True), (GRACE, False), (SESSION / 2, False)])
def test_while_a_rebalance_goes_on_only_a_short_grace_is_left(lease: Lease, time: Time, after: float, holds: bool) -> None:  # noqa: FBT001 - parametrized
    """From the moment of asking to join, a quarter of a session: within, exactly, outside."""
    lease.confirmed(time.at)
    lease.asking(time.at)
    time.at += after

    assert lease.holds() == holds


def test_asking_again_does_not_prolong_the_grace(lease: Lease, time: Time) -> None:
    """A request to join that failed and is repeated: shards may have become somebody else's since the first."""
    lease.confirmed(time.at)
    lease.asking(time.at)
    time.at += GRACE - LEAST
    lease.asking(time.at)
    assert lease.holds()
    time.at += LEAST

    assert not lease.holds()


def test_the_grace_never_lasts_longer_than_the_lease(lease: Lease, time: Time) -> None:
    """Asking shortly before the lease ends gives no more time."""
    lease.confirmed(time.at)
    time.at += SESSION - MARGIN - LEAST
    lease.asking(time.at)
    time.at += LEAST

    assert not lease.holds()


def test_the_answer_to_a_join_alone_does_not_end_the_grace(lease: Lease, time: Time) -> None:
    """That all have joined says nothing about whose the shards are: only the assignment does."""
    lease.asking(time.at)
    lease.answered(time.at)
    time.at += GRACE
    assert not lease.holds()
    lease.assigned()

    assert lease.holds()


def test_an_assignment_without_confirmation_is_no_lease(lease: Lease, time: Time) -> None:
    """What ends the grace does not extend the lease."""
    lease.confirmed(time.at)
    lease.asking(time.at)
    time.at += SESSION - MARGIN
    lease.assigned()

    assert not lease.holds()


def test_a_shard_that_was_taken_over_waits_until_every_former_owner_is_silent(lease: Lease, time: Time) -> None:
    """No former owner asked to join later than our own request was answered; his grace is over a grace and a bit after that."""
    lease.asking(time.at)
    time.at += 1
    lease.answered(time.at - 1)
    joined = time.at
    lease.assigned()

    assert lease.settled() == joined + GRACE + MARGIN / 2


def test_the_former_owner_is_silent_before_the_new_one_speaks(time: Time) -> None:
    """Two leases through one rebalance, at its worst: the former owner asks at the very moment at which the join is answered."""
    former, new = Lease(SESSION, time), Lease(SESSION, time)
    former.confirmed(time.at)
    new.asking(time.at)
    time.at += 3
    former.asking(time.at)
    new.answered(time.at)
    new.assigned()
    spoke = []
    while time.at < new.settled() + 1:
        spoke.append((former.holds(), time.at >= new.settled()))
        time.at += 0.01

    assert (True, True) not in spoke
    assert (True, False) in spoke
    assert (False, True) in spoke


def test_the_clock_goes_on_while_the_process_is_stopped() -> None:
    """Seconds since the machine was started, asleep or not; on systems without such a clock the wall's."""
    first = boottime()

    assert 0 < first <= boottime()


def test_without_such_a_clock_the_wall_clock_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on as well, though somebody may set it."""
    monkeypatch.delattr("time.CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr("time.time", lambda: 7.0)

    assert boottime() == 7.0
