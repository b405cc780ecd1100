"""What is said of known vulnerabilities: some, none, or that nobody could be asked; and the bill of materials."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.dependencies.audit import direct, main, pinned, told
from tests.shared import ROOT

SOUND: Final = {"name": "faust", "version": "1", "vulns": []}
UNSOUND: Final = {
    "name": "old", "version": "1",
    "vulns": [{"id": "CVE-1", "fix_versions": ["2", "3"]}, {"id": "CVE-2", "fix_versions": []}],
}  # fmt: skip
UNKNOWN: Final = {"name": "karar", "skip_reason": "not found"}
PINS: Final = pinned((ROOT / "constraints.txt").read_text())
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT: Final = direct(PROJECT)


def answering(folder: Path, *packages: dict[str, Any]) -> list[str]:
    """A program that stands in for pip-audit: it finds of each pin what this has of it, by name."""
    program = folder / "audit.py"
    program.write_text(f"""
import json, sys
known = {{package["name"]: package for package in {list(packages)!r}}}
options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
assert options["--format"] == "json", options
pins = open(options["--requirement"]).read().splitlines()
found = [known[pin.partition("==")[0]] for pin in pins]
open(options["--output"], "w").write(json.dumps({{"dependencies": found, "fixes": []}}))
sys.exit(any(package.get("vulns") for package in found))
""")
    return [sys.executable, str(program)]


@pytest.mark.parametrize(
    ("packages", "lines", "status"),
    [
        ([SOUND], ["1 packages judged, 0 known vulnerabilities"], 0),
        (
            [SOUND, UNSOUND, UNKNOWN],
            [
                "old 1: CVE-1, mended in 2, 3",
                "old 1: CVE-2, mended in no version yet",
                "2 packages judged, 2 known vulnerabilities; not judged: karar",
            ],
            1,
        ),
        ([UNKNOWN, SOUND], ["left out: the registry has no record of vulnerabilities"], 0),
    ],
)
def test_only_what_is_known_is_an_error(tmp_path: Path, packages: list[dict[str, Any]], lines: list[str], status: int) -> None:
    """Exit 1 for a vulnerability, 0 for none; where not even the first package is known there is nothing to ask."""
    assert told(answering(tmp_path, *packages), [f"{package['name']}==1" for package in packages]) == (lines, status)


@pytest.mark.parametrize(
    ("last", "line", "status"),
    [
        ("requests.exceptions.ConnectionError: no route", "left out: the registry does not answer", 0),
        ("pip_audit._service.interface.ServiceError", "left out: the registry does not answer", 0),
        ("ERROR:pip_audit._cli:Tip: your network may be blocking this service. Try", "left out: the registry does not answer", 0),
        ("error: unrecognized arguments", "pip-audit failed with status 2: error: unrecognized arguments", 2),
    ],
)
def test_who_cannot_be_asked_is_left_out_and_what_fails_is_an_error(tmp_path: Path, last: str, line: str, status: int) -> None:
    """An audit that is broken is not taken for a registry that is away."""
    program = tmp_path / "audit.py"
    program.write_text(f"import sys\nsys.stderr.write('one\\n' + {last!r})\nsys.exit(2)\n")

    assert told([sys.executable, str(program)], ["faust==1"]) == ([line], status)


def test_pins_are_read_with_their_hashes() -> None:
    """Each is one requirement, and what Karar asks for is among them."""
    text = (ROOT / "constraints.txt").read_text()

    assert len(PINS) == len(re.findall(r"^\S+==", text, re.MULTILINE)) > len(DIRECT)
    assert sum(pin.count("--hash=") for pin in PINS.values()) == text.count("--hash=")
    assert {"aiokafka", "msgspec"} <= set(DIRECT) <= set(PINS)


@pytest.mark.slow
def test_nothing_is_known_of_what_karar_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    """`make audit-dependencies`, its short form: only what Karar asks for itself. One line says so where nobody could be asked."""
    status = main(["--short"])
    said = capsys.readouterr().out

    assert status == 0, said
    assert re.fullmatch(r"audit-dependencies: (\d+ packages judged, 0 known vulnerabilities.*|left out: the registry .*)\n", said)


@pytest.mark.slow
def test_the_bill_of_materials_has_what_karar_runs_on(tmp_path: Path) -> None:
    """`make sbom`: CycloneDX, valid, each package in the version that is pinned."""
    bill = tmp_path / "sbom.json"
    make = ["make", "--old-file=.venv/.installed", "sbom", f"SBOM={bill}"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True, timeout=120)
    made = json.loads(bill.read_text())
    found = {re.sub(r"[._]", "-", part["name"].lower()): part["version"] for part in made["components"]}

    assert (made["bomFormat"], made["metadata"]["component"]["name"]) == ("CycloneDX", "karar")
    assert [name for name in DIRECT if f"{name}=={found.get(name)}" != PINS[name].split()[0]] == []
