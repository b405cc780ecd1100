"""The code as it is deployed: its core compiled."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.shared import ROOT

COMPILED: Final = ROOT / "build" / "compiled"


@pytest.fixture(scope="session")
def compiled() -> Path:
    """The folder that `make compiled` makes. Who has no C compiler runs Karar without it."""
    make = shutil.which("make")
    if make is None or shutil.which(os.environ.get("CC") or "cc") is None:
        pytest.skip("there is no C compiler, or no make")
    done = subprocess.run([make, "compiled"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return COMPILED


@pytest.fixture
def as_deployed(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is started runs the compiled code."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("PYTHONPATH", f"{compiled}{os.pathsep}{ROOT}")
