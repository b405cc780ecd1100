"""What is deployed counts as the source does: every rule and the oracle, once more against the compiled core."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.computes, pytest.mark.timeout(600)]

WHERE = "import streams.core.stitch as a, streams.engine.ledger as b; print(a.__file__, b.__file__, sep='\\n')"
JUDGES = [
    *sorted(path.name for path in (ROOT / "tests").glob("test_rules_*.py")),
    "test_agents.py", "test_agrees_with_the_oracle.py", "test_births.py", "test_chain_alerts.py", "test_chains.py", "test_journeys.py",
    "test_ledger.py", "test_moments.py", "test_murmur.py", "test_shard.py", "test_shard_time.py", "test_stages.py", "test_stitch.py",
    "test_store.py", "test_values.py", "test_waits.py",
]  # fmt: skip


@pytest.mark.usefixtures("as_deployed")
def test_what_is_deployed_is_compiled(compiled: Path) -> None:
    """Both the core and the ledger; otherwise nothing here would judge them."""
    found = subprocess.run([sys.executable, "-c", WHERE], check=True, capture_output=True, text=True).stdout.split()

    assert [Path(name).suffix for name in found] == [".so", ".so"]
    assert all(Path(name).is_relative_to(compiled) for name in found)


@pytest.mark.usefixtures("compiled", "as_deployed")
def test_what_is_deployed_counts_by_the_rules(seed: int) -> None:
    """Tests that patch nothing, in a process of their own."""
    given = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=", f"--hypothesis-seed={seed}"]
    environment = os.environ | {"KARAR_TEST_SEED": str(seed)}
    done = subprocess.run(
        [*given, *(f"tests/{name}" for name in JUDGES)], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout[-5_000:]
