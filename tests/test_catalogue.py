"""The catalogue of faults in a short form, as far as CI has time: everything is counted once. `make soak FAULT=all` does it for longer."""

from typing import Final

import pytest

from tests.soak.catalogue import catalog
from tests.soak.catalogue.report import Row, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AT_ONCE: Final = 4
IN_CI: Final = sorted(name for name, fault in catalog.ALL.items() if fault.in_ci)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, seed: int) -> dict[str, Row]:
    """What became of each; a few at a time, for they mostly wait."""
    folder = tmp_path_factory.mktemp("faults")
    found = catalog.run([catalog.ALL[name] for name in IN_CI], folder, seed, short=True, at_once=AT_ONCE)
    write(found, seed, folder / "faults.log")
    return {row.fault: row for row in found}


@pytest.mark.parametrize("name", IN_CI)
def test_a_fault_leaves_everything_exact(rows: dict[str, Row], name: str) -> None:
    """Nothing missing, nothing twice, no series fell, no shard was served twice, the books balance, nothing is stuck."""
    row = rows[name]

    assert row.problems == [], row.details
    assert row.events > 0
