"""What every test run shares: one printed seed, the Hypothesis profiles, one Kafka, and no silent skip in CI."""

import os
import random
from typing import Final

import pytest
from hypothesis import settings

from tests.compiled import as_deployed, compiled, deployed  # noqa: F401 - fixtures for every test
from tests.kafka import kafka  # noqa: F401 - a fixture for every test
from tests.world import exits, world  # noqa: F401 - likewise

IN_CI: Final = os.environ.get("CI") == "true"
ASKED_SEED: Final = os.environ.get("KARAR_TEST_SEED", "")
# Where two processes share a run (`tests.together`), who starts them draws.
SEED: Final = int(ASKED_SEED or os.environ.setdefault("KARAR_TEST_DRAWN", str(random.SystemRandom().randrange(1 << 32))))
ALLOWED_SKIP: Final = "shared data not found"

# Hypothesis has a `ci` profile of its own, which would always try the same examples.
settings.register_profile("default", deadline=None, derandomize=False, print_blob=True)
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True, database=None, max_examples=200)
# Every mutant meets the same few examples, or its verdict would be chance.
settings.register_profile("mutation", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("ci" if IN_CI else "default")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hand the seed to Hypothesis, unless that would keep it from trying yesterday's failures first."""
    if config.option.hypothesis_seed is None and (IN_CI or ASKED_SEED):
        config.option.hypothesis_seed = str(SEED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets no property test count as coverage: others run its lines, too, and to write them down hundreds of times is most of its time."""
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker(pytest.mark.no_cover)


def pytest_report_header(config: pytest.Config) -> str:
    """Print what repeats this run."""
    return f"seed: KARAR_TEST_SEED={SEED} (Hypothesis: {config.option.hypothesis_seed or 'its own, printed on failure'})"


@pytest.fixture(scope="session")
def seed() -> int:
    """Return the seed of this run, for a test that draws its own random numbers."""
    return SEED


def forbidden_skips(config: pytest.Config) -> list[str]:
    """List the skipped tests that CI does not accept, each with its reason."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not IN_CI or reporter is None:
        return []
    skips = [(report.nodeid, report.longrepr[2].removeprefix("Skipped: ")) for report in reporter.stats.get("skipped", [])]
    return [f"{test}: {reason}" for test, reason in skips if not reason.startswith(ALLOWED_SKIP)]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run in CI when a test was skipped: nobody reads a yellow letter."""
    if session.exitstatus == pytest.ExitCode.OK and forbidden_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the skips that fail the run."""
    skips = forbidden_skips(config)
    if skips:
        terminalreporter.section("skipped in CI", red=True, bold=True)
        terminalreporter.line(f"A skip fails the run, unless its reason starts with {ALLOWED_SKIP!r}:")
        for skip in skips:
            terminalreporter.line(f"FAILED {skip}")
