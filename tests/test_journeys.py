"""Journeys as files: what happened (`NAME.jsonl`), the chains that it became (`NAME.chains.jsonl`), what is served (`NAME.prom`)."""

import difflib
import json
import os
from pathlib import Path
from typing import Final

import pytest

from schemas.codec import decode
from schemas.events import Event
from streams.commands.replay import write_chains
from streams.core.identity import Identity
from streams.core.targets import Rules
from streams.replay import Replay
from tests.shared import ROOT

FOLDER: Final = ROOT / "tests" / "journeys"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.jsonl") if ".chains" not in path.name)
REWRITE: Final = os.environ.get("KARAR_REWRITE_JOURNEYS") == "1"
CLOSED: Final = 32 * 86_400_000  # every chain has closed, none has left the table
FROM_TARGETS: Final = ("karar_target_seconds", "karar_target_transfers", "karar_targets_info")
HINT: Final = "if this is meant: KARAR_REWRITE_JOURNEYS=1 .venv/bin/pytest tests/test_journeys.py, and review the difference by hand"


def told(name: str) -> list[Event]:
    """The events of a journey, each of them good."""
    decoded = [decode(line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]
    assert all(len(found) == 1 and isinstance(found[0], Event) for found in decoded)
    return [x for found in decoded for x in found if isinstance(x, Event)]


def travelled(name: str) -> Replay:
    """The journey through both stages, event by event, a month after its end."""
    replay = Replay(Rules(), Identity(pepper=b"journeys"))
    for x in told(name):
        replay.take([x])
    replay.finish(replay.now + CLOSED)
    assert replay.differences() == {}
    return replay


def served(replay: Replay) -> str:
    """The exposition without what every journey has: help, targets, buckets and twins that are 0."""
    blocks = replay.metrics().decode().split("# HELP ")[1:]
    kept = []
    for block in blocks:
        _, title, *lines = block.splitlines()
        told = [line for line in lines if not line.endswith(" 0.0") or ("_bucket{" not in line and "_retracted" not in line)]
        if told and title.split()[2] not in FROM_TARGETS:
            kept += [title, *told]
    return "".join(f"{line}\n" for line in kept)


def compare(path: Path, actual: str) -> None:
    """Fails with the difference and with how to accept it."""
    if REWRITE:
        path.write_text(actual, "utf-8")
    expected = path.read_text("utf-8") if path.is_file() else ""
    difference = difflib.unified_diff(expected.splitlines(), actual.splitlines(), f"{path.name} expected", "actual", lineterm="", n=1)

    assert actual == expected, "\n".join([*difference, HINT])


@pytest.mark.parametrize("name", NAMES)
def test_a_journey_becomes_the_chains_that_were_reviewed(name: str, tmp_path: Path) -> None:
    """What happened, as chains: links, scores, path, outcome, one readable object each."""
    write_chains(tmp_path / "chains", travelled(name))
    chains = [json.loads(line) for line in (tmp_path / "chains").read_text("utf-8").splitlines()]
    chains.sort(key=lambda chain: (chain["start"], chain["id"]))

    compare(FOLDER / f"{name}.chains.jsonl", "".join(json.dumps(chain, ensure_ascii=False) + "\n" for chain in chains))


@pytest.mark.parametrize("name", NAMES)
def test_a_journey_is_served_as_it_was_reviewed(name: str) -> None:
    """What happened, as Prometheus reads it, when every chain has closed."""
    compare(FOLDER / f"{name}.prom", served(travelled(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_journey_read_backwards_ends_at_the_same_net(name: str) -> None:
    """What is told last to first is the same journey."""
    replay = Replay(Rules(), Identity(pepper=b"journeys"), 3)
    for x in reversed(told(name)):
        replay.take([x])
    there = travelled(name)
    replay.finish(there.now)

    assert replay.net() == there.net()
    assert replay.differences() == {}


def test_every_journey_is_complete() -> None:
    """Three files each; none is left over."""
    files = {path.name for path in FOLDER.iterdir()}

    assert files == {f"{name}{end}" for name in NAMES for end in (".jsonl", ".chains.jsonl", ".prom")}
    assert len(NAMES) >= 8
