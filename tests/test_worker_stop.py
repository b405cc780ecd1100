"""How a worker ends: in time, whatever Faust and its threads do."""

import subprocess
import sys
import time
from pathlib import Path

from streams.commands import worker
from streams.engine.engine import LEAVE_SECONDS

ROOT = Path(__file__).parent.parent
WORKER = """
import asyncio, os, signal, sys, threading, time
from streams.commands import worker
from streams.engine.engine import LEAVE_SECONDS
from tests.shards import memory, spec
from streams.engine.engine import Engine

class App:
    async def start(self):
        print(time.monotonic(), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        {start}
    async def wait_until_stopped(self):
        await asyncio.sleep(60)
    async def stop(self):
        {stop}

worker.STOP_SECONDS = 0.6
worker.START_SECONDS = 0.2
worker.END_SECONDS = 1.0
worker.LEAVE_SECONDS = {leave}
{before}
ENGINE = Engine([spec()], memory(), "group")
sys.exit(asyncio.run(worker.run(App(), ENGINE)))
"""
WAITING = "time.sleep(60)  # as mode's ServiceThread.stop does while its thread waits for this loop"
HIDING = "with __import__('contextlib').suppress(asyncio.CancelledError): await asyncio.sleep(60)"
FAILING = """
async def {task}(engine):
    raise RuntimeError("no gauge")
worker.{task} = {task}
"""
GOING_ON = "threading.Thread(target=time.sleep, args=(60,)).start()  # as the consumer's thread does while Kafka is away"


def test_a_stop_that_holds_up_the_loop_ends_all_the_same() -> None:
    """Seen in a soak: a worker that was ended in the middle of a rebalance waited for its consumer's thread, and that for the worker."""
    assert ended(WAITING) == 70


def test_a_thread_that_goes_on_keeps_no_worker_from_ending() -> None:
    """Seen in a soak: Kafka was away while a worker was ended; all was committed and closed, and the process stayed."""
    assert ended(GOING_ON) == 0


def test_a_worker_that_is_to_be_started_again_never_ends_as_if_all_were_well() -> None:
    """Somebody restarts it for its status, though it was stopped at that moment."""
    assert ended("ENGINE.leaving = True") == 70


def test_a_worker_that_is_told_to_end_while_it_starts_ends() -> None:
    """A start may wait for Kafka for as long as that is away."""
    assert ended("pass", start="await asyncio.sleep(60)") == 0


def test_a_stop_that_takes_too_long_ends_to_be_started_again() -> None:
    """What could not be committed is folded again from what has."""
    assert ended("await asyncio.sleep(60)") == 70


def test_a_stop_that_hides_that_it_was_cut_short_ends_to_be_started_again() -> None:
    """Seen with a Kafka that was frozen: Faust's consumer takes the end of its time for the end of its work, and nothing had committed."""
    assert ended(HIDING) == 70


def test_a_stop_that_comes_to_its_end_just_in_time_leaves_no_more_for_threads() -> None:
    """From a signal to the end, whatever happens, it is less than 10 s: here a tenth of that."""
    assert worker.STOP_SECONDS + LEAVE_SECONDS < worker.END_SECONDS < 10
    done = run("time.sleep(0.9); " + GOING_ON, leave=5)

    assert done.returncode in {0, 70}
    assert time.monotonic() - float(done.stdout) < 3


def test_a_worker_whose_watchdog_has_failed_leaves() -> None:
    """Nobody would notice that it stands still; what only tells or clears up is told of."""
    watched, collected = (run("pass", before=FAILING.format(task=task)) for task in ("watch", "collect"))

    assert (watched.returncode, collected.returncode) == (70, 0)
    assert b"watch has failed: RuntimeError('no gauge')" in watched.stderr
    assert b"collect has failed: RuntimeError('no gauge')" in collected.stderr


def ended(stop: str, start: str = "pass") -> int:
    """The status of a worker that is ended by SIGTERM, and does this to stop, and this to start."""
    return run(stop, start).returncode


def run(stop: str, start: str = "pass", leave: float = 0.2, before: str = "") -> subprocess.CompletedProcess[bytes]:
    """That worker when it has ended; it said when it was told to."""
    program = WORKER.format(start=start, stop=stop, leave=leave, before=before)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=30, capture_output=True)
