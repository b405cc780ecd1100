"""What a soak judges by, tried on answers and records that nobody has sent: it must see every loss, and nothing where there is none."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.replay import Replay
from streams.simulate import simulate
from tests import oracle
from tests.reference import reference
from tests.soak.counted import compared
from tests.soak.expected import Totals, differences, net, overflowed, without_names
from tests.soak.faults import BAG, kinds
from tests.soak.load import WEEK, Centre, monday
from tests.soak.moments import READ, Moments
from tests.soak.watch import Watch
from tests.soak.workers import Command, Workers

COUNTER = "# TYPE karar_a_total counter\n"


def line(amount: float, shard: str = "s-0") -> str:
    """A response with one series."""
    return f'{COUNTER}karar_a_total{{queue="q",shard="{shard}"}} {amount}\n'


# What a scraper sees


def test_a_series_that_falls_is_seen_whoever_says_so() -> None:
    """Identity is name and labels, order that of receipt; a worker is neither."""
    watch = Watch()
    watch.take(0, 0, 1, line(7))
    watch.take(1, 2, 3, line(7))
    assert watch.fallen == 0
    watch.take(0, 4, 5, line(5))

    assert (watch.fallen, watch.largest_fall) == (1, 2)
    assert [(fall.former, fall.worker) for fall in watch.falls] == [(1, 0)]


@pytest.mark.parametrize(
    "text",
    [
        '# TYPE karar_a gauge\nkarar_a{shard="s-0"} {}\n',
        '# TYPE karar_a_total counter\nkarar_a_total{stage="s"} {}\n',
    ],
)  # fmt: skip
def test_what_may_fall_may_fall(text: str) -> None:
    """Gauges, and what a worker says of itself: no shard is named."""
    watch = Watch()
    watch.take(0, 0, 1, text.replace("{}", "7"))
    watch.take(0, 2, 3, text.replace("{}", "5"))

    assert watch.fallen == 0


def test_of_two_that_overlap_nobody_knows_which_was_made_first() -> None:
    """One that was asked for before another had come may have been made before it; whatever comes later is held against both."""
    watch = Watch()
    watch.take(0, 0.0, 1.0, line(7))
    watch.take(0, 0.9, 1.1, line(0))
    assert watch.fallen == 0
    watch.take(0, 1.2, 1.3, line(6))

    assert (watch.fallen, watch.largest_fall) == (1, 1)


@pytest.mark.parametrize(("sent", "twice"), [(0.5, 1), (1.0, 1), (1.001, 0)])
def test_a_shard_is_served_twice_where_two_responses_overlap(sent: float, twice: int) -> None:
    """From the request to the receipt: within, exactly, outside."""
    watch = Watch()
    watch.take(0, 0.0, 1.0, line(7))
    watch.take(1, sent, 2.0, line(7))

    assert watch.served_twice == twice


def test_other_shards_and_the_same_worker_may_overlap() -> None:
    """Two workers, two shards; one worker, asked twice."""
    watch = Watch()
    watch.take(0, 0.0, 1.0, line(7))
    watch.take(0, 0.5, 1.1, line(7))
    watch.take(1, 0.5, 1.2, line(7, "s-1"))

    assert watch.served_twice == 0


# What workers say, and the oracle


def test_what_is_served_is_read_back_exactly(seed: int) -> None:
    """Counters, gauges, buckets and sums of two shards, as text, are what the oracle says of the same events."""
    events = list(simulate(seed=seed, customers=300, days=1, resets=True))
    replay = Replay(Rules(), Identity(), 2)
    for part in replay.slices(events):
        replay.take(part)
    now = max(event.at for event in events)
    replay.finish(now)
    for shard in replay.stitch:
        shard.ledger.publish_all(0.0)
    texts = [reference({f"stitch-{n}": shard.ledger.served}, Rules(), now).decode() for n, shard in enumerate(replay.stitch)]

    expected = oracle.totals(oracle.facts(events, now))
    assert differences(net(texts), expected) == []
    assert len(differences(net(texts[:1]), expected)) > 0


def test_differences_are_told_in_words() -> None:
    """Worst first."""
    assert differences(Counter({("a",): 3, ("b",): 1}), Counter({("a",): 1, ("b",): 1, ("c",): 1})) == [
        "('a',): served 3, oracle 1",
        "('c',): served 0, oracle 1",
    ]


def test_past_the_label_limit_names_do_not_matter_and_amounts_do() -> None:
    """Which series a shard calls `other` depends on what came first; what is counted does not."""
    text = 'karar_label_overflow_total{metric="karar_ping_pongs_total",shard="stitch-0"} 3.0\n'
    ours: Totals = Counter({("ping_pongs_total", "other"): 3, ("ping_pongs_total", "a"): 1, ("touches_ended_total", "call", "a"): 1})
    theirs: Totals = Counter({("ping_pongs_total", "b"): 3, ("ping_pongs_total", "a"): 1, ("touches_ended_total", "call", "a"): 1})
    found = overflowed([text])

    assert found == {"ping_pongs_total"}
    assert (
        without_names(ours, found) == without_names(theirs, found) != without_names(theirs - Counter({("ping_pongs_total", "b"): 1}), found)
    )
    assert without_names(ours, ()) == ours


def test_moments_are_true_by_their_last_revision_and_told_once() -> None:
    """Booked less retracted, and what the highest revision of each id says."""
    moments = Moments("moments", 1)
    for name, revision, state in (("a", 3, "booked"), ("a", 4, "retracted"), ("b", 3, "booked"), ("b", 3, "booked")):
        value = b'{"id":"%s","revision":%d,"state":"%s","channel":"call","team":"t","actor":"human"}'
        told = READ.decode(value % (name.encode(), revision, state.encode()))
        moments.see(told)

    assert moments.repeated == 1
    assert moments.net == {("moments_of_truth_total", "call", "t", "human"): 2}
    assert moments.true == {("moments_of_truth_total", "call", "t", "human"): 1}


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        ({1: 1, 2: 1}, "exact"),
        ({1: 1}, "1 missing, 0 repeated"),
        ({1: 3, 2: 1}, "0 missing, 2 repeated"),
        ({1: 1, 2: 1, 9: 1}, "0 missing, 1 repeated"),
        ({1: 2}, "1 missing, 1 repeated"),
    ],
)
def test_what_is_missing_and_what_is_there_twice_are_told_apart(actual: dict[int, int], said: str) -> None:
    """One loss and one repetition do not make it right."""
    assert str(compared(Counter({1: 1, 2: 1}), Counter(actual))) == said


# Load, faults, workers


def test_events_lie_in_the_past_and_are_the_same_whenever_asked_for() -> None:
    """A Monday some weeks ago; no chain of then is old enough to be archived."""
    wall = 1_795_340_000.0
    start = monday(wall)
    centre = Centre(1, start, 120_000)

    assert (start - 4 * WEEK // 7) % WEEK == 0
    assert 40 <= (wall * 1000 - start) / 86_400_000 < 47
    assert list(centre.events(500)) == list(centre.events(500))
    assert max(event.at for event in centre.events(500)) == centre.newest(500)


def test_even_a_short_run_has_every_kind_of_fault() -> None:
    """Kinds are drawn from a bag until it is empty."""
    drawn = kinds(Random(1))
    assert Counter(next(drawn) for _ in range(2 * len(BAG))) == Counter(2 * BAG)


@pytest.mark.parametrize(("status", "failures"), [(70, 0), (1, 1), (0, 1)])
def test_a_worker_that_ends_by_itself_is_started_again(tmp_path: Path, status: int, failures: int) -> None:
    """70 is what it may say; anything else is a failure."""
    place = tmp_path / "was here"
    script = (
        f"import pathlib, sys, time; p = pathlib.Path({str(place)!r}); time.sleep(60) if p.exists() else (p.touch(), sys.exit({status}))"
    )
    workers = Workers(lambda _: Command((sys.executable, "-c", script), {}), tmp_path, 1)

    async def story() -> None:
        supervisor = asyncio.create_task(workers.supervise())
        (worker,) = workers.all
        workers.start(worker)
        first = worker.process
        while worker.process is first:  # noqa: ASYNC110 - it is another process that ends
            await asyncio.sleep(0.05)
        assert await workers.end(worker)
        supervisor.cancel()

    asyncio.run(story())
    assert workers.exits == {f"by itself: {status}": 1, f"SIGTERM: {-signal.SIGTERM}": 1}
    assert len(workers.failures) == failures
