"""`make audit-dependencies`: known vulnerabilities of what constraints.txt pins, judged where the registry answers."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
AUDIT: Final = (
    str(Path(sys.executable).parent / "pip-audit"), "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "10"
)  # fmt: skip
PATIENCE_SECONDS: Final = 600
SHOWN: Final = 160
UNANSWERED: Final = ("requests.exceptions.", "pip_audit._service.interface.", "Tip: your network may be blocking this service")
"""How the last line begins, or what is in it, of a pip-audit that got no answer, or none that it can read."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Verdict(NamedTuple):
    """What was found: a line for each vulnerability, how many packages were judged, and which could not be."""

    found: list[str]
    judged: int
    unjudged: list[str]


class LeftOutError(Exception):
    """Nobody could be asked, which is nobody's fault who asks: one line."""


class AuditError(Exception):
    """The audit itself failed: one line."""


def pinned(text: str) -> dict[str, str]:
    """The pins of constraints.txt by name, with their hashes."""
    blocks = re.findall(r"^[^#\s].*(?:\n[ \t]+.*)*", text, re.MULTILINE)
    return {block.partition("==")[0]: block for block in blocks}


def direct(project: dict[str, Any]) -> list[str]:
    """What a pyproject.toml asks for at run time, extras as well, by name."""
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return sorted({match[0].lower() for one in wanted if (match := NAME.match(one))})


def verdict_of(report: dict[str, Any]) -> Verdict:
    """What a report of pip-audit's amounts to."""
    packages = report["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'no version yet'}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    unjudged = [package["name"] for package in packages if "skip_reason" in package]
    return Verdict(found, len(packages) - len(unjudged), unjudged)


def reported(command: Sequence[str], pins: Sequence[str]) -> Verdict:
    """What pip-audit finds of these pins. LeftOutError, AuditError: one line."""
    with TemporaryDirectory() as folder:
        given, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        given.write_text("\n".join(pins) + "\n", "utf-8")
        arguments = [*command, "--requirement", str(given), "--format", "json", "--output", str(report)]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 - ours
        except subprocess.TimeoutExpired:
            raise LeftOutError(f"the registry has not answered for {PATIENCE_SECONDS} s") from None
        if report.is_file() and report.stat().st_size:
            return verdict_of(json.loads(report.read_text("utf-8")))
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:SHOWN]
        if any(sign in last for sign in UNANSWERED):
            raise LeftOutError("the registry does not answer")
        raise AuditError(f"pip-audit failed with status {done.returncode}: {last}")


def told(command: Sequence[str], pins: Sequence[str]) -> tuple[list[str], int]:
    """What is said of pins, and the exit status: 1 where something is known, 2 where the audit itself failed.

    The first is asked about alone: a registry that does not know it keeps no such record, and is not asked about all the others.
    """
    try:
        if not reported(command, pins[:1]).judged:
            return ["left out: the registry has no record of vulnerabilities"], 0
        found, judged, unjudged = reported(command, pins)
    except LeftOutError as why:
        return [f"left out: {why}"], 0
    except AuditError as error:
        return [str(error)], 2
    rest = f"; not judged: {', '.join(unjudged)}" if unjudged else ""
    return [*found, f"{judged} packages judged, {len(found)} known vulnerabilities{rest}"], int(bool(found))


def main(arguments: Sequence[str] = ()) -> int:
    """Prints the verdict; the exit status. ``--short``: only of what pyproject.toml asks for at run time."""
    pins = pinned((ROOT / "constraints.txt").read_text("utf-8"))
    first = direct(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])
    rest = [] if "--short" in arguments else [name for name in pins if name not in first]
    lines, status = told(AUDIT, [pins[name] for name in (*first, *rest)])
    sys.stdout.write("".join(f"audit-dependencies: {line}\n" for line in lines))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
