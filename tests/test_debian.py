"""Where tests get Debian's programs from, and what they say where there are none. `apt-get` and `dpkg-deb` are scripts here."""

from pathlib import Path

import pytest

from tests.debian import MissingError, program

DOWNLOADS = "touch promtool_1_amd64.deb"
UNPACKS = 'mkdir -p "$3/usr/bin"; echo whole > "$3/usr/bin/promtool"'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, whose programs are the scripts that a test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/nonexistent")
    monkeypatch.setenv("KARAR_CACHE", str(tmp_path / "cache"))
    return tmp_path


def script(machine: Path, name: str, text: str) -> Path:
    """A program of that machine."""
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_what_is_installed_is_taken(machine: Path) -> None:
    """By Debian's name or that of its makers."""
    assert script(machine, "promtool", "") == program("promtool")
    assert script(machine, "alertmanager", "") == program("prometheus-alertmanager")


def test_what_is_not_installed_is_fetched_once_and_whole(machine: Path) -> None:
    """Nothing else is left in the cache."""
    script(machine, "apt-get", DOWNLOADS + f'; echo "$3" >> {machine}/fetched')
    script(machine, "dpkg-deb", UNPACKS)

    assert [program("promtool").read_text() for _ in range(2)] == ["whole\n", "whole\n"]
    assert (machine / "fetched").read_text() == "prometheus\n"
    assert [path.name for path in (machine / "cache").iterdir()] == ["debian-prometheus"]


@pytest.mark.parametrize(
    ("fetches", "unpacks", "said"),
    [
        (None, None, "prometheus: there is no apt-get here; put the programs of prometheus on the PATH"),
        ("echo E: Unable to locate >&2; exit 100", None, "prometheus: apt-get says: E: Unable to locate; run `apt-get update`, or put"),
        (DOWNLOADS, None, "prometheus: there is no dpkg-deb here; put"),
        (DOWNLOADS, UNPACKS + "; exit 2", "prometheus: dpkg-deb says: no word; run"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(machine: Path, fetches: str | None, unpacks: str | None, said: str) -> None:
    """And no half of a package stays."""
    for name, text in (("apt-get", fetches), ("dpkg-deb", unpacks)):
        if text is not None:
            script(machine, name, text)

    with pytest.raises(MissingError) as told:
        program("promtool")

    assert str(told.value).startswith(said)
    assert len(str(told.value).splitlines()) == 1
    assert list((machine / "cache").iterdir()) == []
