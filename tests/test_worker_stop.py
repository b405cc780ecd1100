"""How a worker ends: in time, whatever Faust and its threads do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUCK = """
import asyncio, os, signal, time
from streams.commands import worker
from tests.shards import memory, spec
from streams.engine.engine import Engine

class App:
    async def start(self):
        os.kill(os.getpid(), signal.SIGTERM)
    async def wait_until_stopped(self):
        await asyncio.sleep(60)
    async def stop(self):
        time.sleep(60)  # as mode's ServiceThread.stop does while its thread waits for this loop

worker.STOP_SECONDS = 0.2
worker.LEAVE_SECONDS = 0.2
asyncio.run(worker.run(App(), Engine([spec()], memory(), "group")))
"""


def test_a_stop_that_holds_up_the_loop_ends_all_the_same() -> None:
    """Seen in a soak: a worker that was ended in the middle of a rebalance waited for its consumer's thread, and that for the worker."""
    done = subprocess.run([sys.executable, "-c", STUCK], cwd=ROOT, check=False, timeout=30, capture_output=True)

    assert done.returncode == 70, done.stderr.decode()
