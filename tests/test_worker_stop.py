"""How a worker ends: in time, whatever Faust and its threads do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKER = """
import asyncio, os, signal, sys, threading, time
from streams.commands import worker
from tests.shards import memory, spec
from streams.engine.engine import Engine

class App:
    async def start(self):
        os.kill(os.getpid(), signal.SIGTERM)
    async def wait_until_stopped(self):
        await asyncio.sleep(60)
    async def stop(self):
        {stop}

worker.STOP_SECONDS = 0.2
worker.LEAVE_SECONDS = 0.2
ENGINE = Engine([spec()], memory(), "group")
sys.exit(asyncio.run(worker.run(App(), ENGINE)))
"""
WAITING = "time.sleep(60)  # as mode's ServiceThread.stop does while its thread waits for this loop"
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


def ended(stop: str) -> int:
    """The status of a worker that is ended by SIGTERM, and does this to stop."""
    return subprocess.run([sys.executable, "-c", WORKER.format(stop=stop)], cwd=ROOT, check=False, timeout=30).returncode
