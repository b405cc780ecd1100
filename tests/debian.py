"""Programs of Debian's packages for tests, without privileges: where they are not installed, they are fetched into the cache."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from streams.broker.jars import cache_folder, partial_folder

PACKAGES: Final = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
UPSTREAM: Final = {"prometheus-alertmanager": "alertmanager"}
SECONDS: Final = 240


class MissingError(Exception):
    """A program that is neither here nor to be had. One line: what, why, what to do."""


def program(name: str) -> Path:
    """A program by Debian's name: from the PATH, else from its package. MissingError."""
    for known in (name, UPSTREAM.get(name, name)):
        if found := shutil.which(known):
            return Path(found)
    folder = cache_folder(os.environ) / f"debian-{PACKAGES[name]}"
    if not folder.exists():
        fetch(PACKAGES[name], folder)
    return folder / "usr" / "bin" / name


def fetch(package: str, folder: Path) -> None:
    """Unpacks a package into a folder that is whole or not there. MissingError."""
    try:
        with partial_folder(folder) as partial:
            run(package, partial, "apt-get", "--quiet", "download", package)
            (archive,) = partial.glob("*.deb")
            run(package, partial, "dpkg-deb", "-x", archive.name, "whole")
            try:
                (partial / "whole").rename(folder)
            except OSError:
                if not folder.exists():  # somebody else may have been faster
                    raise
    except OSError as error:
        raise MissingError(f"{error.filename or folder}: cannot be used: {error.strerror}; name another folder with KARAR_CACHE") from None


def run(package: str, folder: Path, *command: str) -> None:
    """One of Debian's commands. MissingError: its last words."""
    advice = f"put the programs of {package} on the PATH"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    except FileNotFoundError:
        raise MissingError(f"{package}: there is no {command[0]} here; {advice}") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"{package}: {command[0]} took more than {SECONDS} s; {advice}") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise MissingError(f"{package}: {command[0]} says: {why}; run `apt-get update`, or {advice}")


@cache
def program_or_skip(name: str) -> Path:
    """A program, or a skip that says why it cannot be had."""
    try:
        return program(name)
    except MissingError as error:
        pytest.skip(str(error))
