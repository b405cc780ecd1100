"""The arrows of the design, and what else holds for every file. Nothing here knows which modules exist."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
LONGEST_FILE: Final = 400

OURS: Final = {"schemas", "streams", "tests", "deploy"}
SHELL: Final = (
    *("streams.agents", "streams.app", "streams.metrics", "streams.exposition", "streams.alerts"),
    *("streams.chains", "streams.web", "streams.cli"),
)

# Modules of the standard library through which a pure function could reach the world, a clock or chance.
IMPURE_MODULES: Final = {
    *("os", "io", "pathlib", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "urllib"),
    *("asyncio", "importlib", "logging", "multiprocessing", "threading", "warnings"),
    *("random", "secrets", "time"),
}
IMPURE_CALLS: Final = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input", "__import__"}


def imports(tree: ast.AST, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield the dotted names that a module imports, relative ones resolved; ``from a import b`` is ``a.b``."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[str]:
    """Yield the last name of everything that is called: ``datetime.now()`` is ``now``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def within(name: str, *packages: str) -> bool:
    """Tell whether a dotted name is one of the packages or inside of one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def allowed(module: str, name: str) -> bool:
    """Tell whether the arrows of DESIGN.md let a module import a name."""
    top = name.split(".", maxsplit=1)[0]
    if within(module, "schemas"):
        return top not in OURS - {"schemas"}
    if within(module, "streams.core"):
        return within(name, "msgspec", "schemas", "streams.core") or top in sys.stdlib_module_names - IMPURE_MODULES
    if within(module, "streams.engine"):
        return not within(name, "schemas", "tests", "deploy", "streams.core", *SHELL)
    return not within(name, "tests")


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """List what a module's source does against the rules of its layer."""
    tree = ast.parse(source)
    found = [f"{module} imports {name}" for name in imports(tree, module, is_package=is_package) if not allowed(module, name)]
    if within(module, "streams.core"):
        found += [f"{module} calls {name}()" for name in calls(tree) if name in IMPURE_CALLS]
    return found


def sources(*folders: str) -> list[Path]:
    """List the Python files of some top-level folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    """Name the module that a file is."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_point_inward() -> None:
    """The arrows are schemas ← core ← shell; the engine knows neither; the core knows no clock, no chance, no world."""
    found = [
        violation
        for path in sources("schemas", "streams", "deploy")
        for violation in violations(path.read_text("utf-8"), dotted(path), is_package=path.name == "__init__.py")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.events", "from streams.core import chain"),
        ("schemas.events", "import streams"),
        ("schemas.sources.twilio", "from ...streams import core"),
        ("streams.core.chain", "import faust"),
        ("streams.core.chain", "import prometheus_client"),
        ("streams.core.chain", "import logging"),
        ("streams.core.chain", "import os.path"),
        ("streams.core.chain", "import time"),
        ("streams.core.chain", "import random"),
        ("streams.core.chain", "def fold():\n    import orjson"),
        ("streams.core.chain", "from streams import agents"),
        ("streams.core.chain", "from .. import metrics"),
        ("streams.core.chain", "from ..engine import shard"),
        ("streams.core.chain", "datetime.now(UTC)"),
        ("streams.core.chain", "datetime.datetime.utcnow()"),
        ("streams.core.chain", "print(1)"),
        ("streams.engine.shard", "from schemas import events"),
        ("streams.engine.shard", "import schemas.codec"),
        ("streams.engine.shard", "from ..core.chain import fold"),
        ("streams.engine.shard", "from streams import core"),
        ("streams.engine.shard", "from streams.agents import stitch"),
        ("streams.cli", "from tests import oracle"),
    ],
)
def test_an_arrow_that_turns_is_found(module: str, source: str) -> None:
    """A rule that never fails holds nothing."""
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.codec", "import msgspec, orjson\nfrom schemas.events import Event\nfrom . import events"),
        ("streams.core.chain", "import msgspec\nfrom datetime import datetime\nfrom schemas import events\nfrom .facts import diff"),
        ("streams.core.chain", "def facts(chain, now):\n    return now - chain.start"),
        ("streams.engine.shard", "import faust, logging, os, time\nfrom streams.engine import store\nfrom .ledger import Ledger"),
        ("streams.agents", "import faust\nfrom schemas import codec\nfrom streams.core import chain\nfrom streams.engine import shard"),
    ],
)
def test_an_arrow_that_points_inward_is_left_alone(module: str, source: str) -> None:
    """The shell may import everything, the core what is pure, the engine the world."""
    assert violations(source, module) == []


def test_a_package_resolves_its_relative_imports_from_itself() -> None:
    """In ``streams/core/__init__.py`` one dot is ``streams.core``."""
    assert violations("from .chain import fold", "streams.core", is_package=True) == []
    assert violations("from ..engine import shard", "streams.core", is_package=True) == ["streams.core imports streams.engine.shard"]


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    """About 300 lines are meant; at 400 a file is to be divided."""
    too_long = [
        f"{path.relative_to(ROOT)} has {lines} lines"
        for path in sources("schemas", "streams", "deploy")
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE
    ]

    assert too_long == []


def test_nothing_is_put_off() -> None:
    """What is to be done is done, or is an issue."""
    put_off = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("schemas", "streams", "deploy", "tests")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if put_off.search(line)
    ]

    assert found == []


def test_the_lock_pins_every_direct_dependency_with_hashes_and_names_no_host() -> None:
    """A fresh machine installs what was tested, from whatever index it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    asked = [*project["project"]["dependencies"], *(x for extra in extras for x in extra)]
    asked += [*project["dependency-groups"]["dev"], *project["build-system"]["requires"]]
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in asked}
    lock = (ROOT / "constraints.txt").read_text("utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:", lock, flags=re.MULTILINE)

    assert names - set(pins) == set()
    assert len(pins) == len(re.findall(r"^[^ #\n]", lock, flags=re.MULTILINE))
    assert "://" not in lock


@pytest.mark.parametrize(
    ("reason", "in_ci", "exit_status"),
    [("no reason", "true", 1), ("shared data not found: queue_log", "true", 0), ("no reason", "", 0)],
)
def test_ci_accepts_no_skip_but_that_of_shared_data(tmp_path: Path, reason: str, in_ci: str, exit_status: int) -> None:
    """In CI a skipped test fails the run and is named, and pytest's closing line still comes last."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(f"import pytest\n\n@pytest.mark.skip(reason={reason!r})\ndef test_it(): ...\n")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "CI": in_ci},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == exit_status, run.stdout
    assert (f"FAILED test_it.py::test_it: {reason}" in run.stdout) == bool(exit_status)
    assert re.search(r"1 skipped in [\d.]+s =+\n\Z", run.stdout)
