"""Data that nobody here wrote: read where it is found, never copied."""

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
LOOKALIKES: Final = ROOT / "tests" / "lookalikes"
SHARED: Final = Path(os.environ.get("KARAR_SHARED") or ROOT.parent / "shared")


def shared(path: str) -> Path | None:
    """A shared file, or None where it is not found: `../shared` beside the repository, or in `KARAR_SHARED`."""
    found = SHARED / path
    return found if found.is_file() else None


def real_or_skip(path: str) -> Path:
    """A shared file, or the one skip that CI accepts."""
    found = shared(path)
    if found is None:
        pytest.skip(f"shared data not found: {path}")
    return found
