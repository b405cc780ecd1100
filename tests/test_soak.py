"""The proof, for as long as CI has patience: workers are killed, frozen and restarted, Kafka is killed, and nothing is lost.

`make soak` goes on for longer.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import pytest

from streams.broker.kafka import Broker
from tests.soak.core import WholeCore
from tests.soak.load import monday
from tests.soak.run import Plan, soak
from tests.soak.subjects import CountingStages
from tests.topics import fresh

# The product runs in processes of its own: to trace this one would only slow it.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover, pytest.mark.timeout(300)]

CORE_SECONDS: Final = 80
COUNTING_SECONDS: Final = 40


@pytest.mark.usefixtures("as_deployed")
def test_the_whole_core_is_exact_under_faults(tmp_path: Path, seed: int) -> None:
    """As it is deployed: net totals are the oracle's, a moment is told once, books balance, no series falls, no shard is served twice."""
    plan = Plan(CORE_SECONDS, seed)
    with Broker(os.environ) as broker:
        subject = WholeCore(fresh(broker.address, plan.partitions), plan, monday(time.time()))
        done = asyncio.run(soak(plan, subject, broker, tmp_path))

    assert done.problems == [], done.rows
    assert done.sent > CORE_SECONDS * plan.rate / 2


@pytest.mark.usefixtures("as_deployed")
def test_stages_that_are_not_idempotent_are_exact_under_faults(tmp_path: Path, seed: int) -> None:
    """Every event is in one state once, and came out of both stages once."""
    plan = Plan(COUNTING_SECONDS, seed)
    with Broker(os.environ) as broker:
        subject = CountingStages(fresh(broker.address, plan.partitions), plan)
        done = asyncio.run(soak(plan, subject, broker, tmp_path))

    assert done.problems == [], done.rows
    assert done.sent > COUNTING_SECONDS * plan.rate / 2
