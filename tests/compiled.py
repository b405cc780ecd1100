"""The code as it is deployed: its core compiled."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.shared import ROOT

COMPILED: Final = ROOT / "build" / "compiled"


def can_compile() -> bool:
    """Whether there is what `make compiled` needs. Who has no C compiler runs Karar without it."""
    return shutil.which("make") is not None and shutil.which(os.environ.get("CC") or "cc") is not None


@pytest.fixture(scope="session")
def compiled() -> Path:
    """The folder that `make compiled` makes; where two processes share a run, the second finds what the first has made."""
    if not can_compile():
        pytest.skip("there is no C compiler, or no make")
    COMPILED.parent.mkdir(exist_ok=True)
    with COMPILED.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([shutil.which("make") or "make", "compiled"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return COMPILED


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a process that runs the compiled code, or the code as it stands where nobody can compile it."""
    if not can_compile():
        return {"PYTHONPATH": str(ROOT)}
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": f"{request.getfixturevalue('compiled')}{os.pathsep}{ROOT}"}


@pytest.fixture
def as_deployed(deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is started runs the compiled code, or the code as it stands where nobody can compile it."""
    for name, value in deployed.items():
        monkeypatch.setenv(name, value)
