"""What docs/guarantees.md names exists: every test, every sabotage."""

import re
from typing import Final

import pytest

from tests.shared import ROOT
from tests.soak.catalogue import catalog
from tests.soak.sabotage import SABOTAGES

TEXT: Final = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
TESTS: Final = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))
DEFINED: Final = {
    name
    for path in (ROOT / "tests").glob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("name", TESTS)
def test_what_holds_a_promise_exists(name: str) -> None:
    """A promise without a test is none."""
    assert name in DEFINED


def test_every_sabotage_holds_a_promise() -> None:
    """And every promise that names one has it."""
    named = {name for row in TEXT.splitlines() if "sabotage" in row for name in re.findall(r"`(\w+)`", row.partition("sabotage")[2])}

    assert {sabotage.__name__ for sabotage in SABOTAGES} == {name for name in named if not name.startswith("test_")}


def test_every_fault_of_the_catalogue_is_on_the_page() -> None:
    """By its name, and no other is."""
    rows = TEXT.partition("## Under which faults")[2].partition("The last time")[0]

    assert set(re.findall(r"`(\w+)`", rows.partition("|---|---|")[2])) == catalog.ALL.keys()
