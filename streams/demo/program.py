"""How this program is called once more: what the demo prints for a second terminal runs as it stands."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "karar"
MODULE: Final = "__main__.py"


def called(started: str) -> str:
    """What to type for the program that was ``started`` by this path: its name where a shell finds it, else a path."""
    if Path(started).name == MODULE:
        return f"{typed(sys.executable)} -m streams"
    found = shutil.which(NAME)
    return NAME if found and os.path.realpath(found) == os.path.realpath(started) else typed(started)


def typed(path: str) -> str:
    """A path as a shell takes it, relative to the working directory where that is shorter."""
    whole = os.path.abspath(path)  # noqa: PTH100 - links are not followed: the Python of .venv is one
    relative = os.path.relpath(whole)
    if os.sep not in relative:
        relative = os.path.join(os.curdir, relative)  # noqa: PTH118 - a Path drops the dot, without which a shell looks elsewhere
    return shlex.quote(min(relative, whole, key=len))
