"""The `karar` command for tests: in this process, because that is quick, or installed, in one of its own."""

import gc
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from streams import cli, settings

BIN: Final = Path(sys.executable).parent / "karar"
SETTINGS: Final = tuple(setting.name for setting in settings.SETTINGS)
PLAIN: Final = {name: value for name, value in os.environ.items() if name not in SETTINGS}


class Said(NamedTuple):
    """What a command left behind: its exit status, standard output, and the lines of standard error."""

    status: int
    out: str
    err: list[str]

    @property
    def lines(self) -> list[str]:
        """Standard error without blank lines."""
        return [line for line in self.err if line]


def stream(content: bytes = b"") -> io.TextIOWrapper:
    """A standard stream of our own."""
    return io.TextIOWrapper(io.BytesIO(content), "utf-8", write_through=True)


def karar(folder: Path, *arguments: str, stdin: bytes = b"", **environment: str) -> Said:
    """Run a command in this process as `main` would, in that directory."""
    streams = {"stdin": stream(stdin), "stdout": stream(), "stderr": stream()}
    thresholds = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        for name, value in {"COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["karar", *arguments])
        for name, ours in streams.items():
            patch.setattr(sys, name, ours)
        with pytest.raises(SystemExit) as left:
            cli.main()
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    assert isinstance(left.value.code, int)
    out, err = (streams[name].buffer.getvalue().decode() for name in ("stdout", "stderr"))  # type: ignore[attr-defined] # BytesIO
    return Said(left.value.code, out, err.splitlines())


def started(folder: Path, *arguments: str, stdin: bytes = b"") -> Said:
    """Run the installed command in a process of its own."""
    done = subprocess.run([BIN, *arguments], input=stdin, capture_output=True, cwd=folder, env=PLAIN, check=False, timeout=30)
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode().splitlines())


def file(folder: Path, name: str, *lines: bytes) -> str:
    """Write lines to a file; its name."""
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return name
