"""All faults by name, and how they are run one after the other."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from traceback import format_exception
from typing import Final

from tests.soak.catalogue import brokers, events, group, logs, network
from tests.soak.catalogue.kafka import FaultyKafka
from tests.soak.catalogue.report import Row
from tests.soak.catalogue.scene import Fault, perform

ALL: Final[dict[str, Fault]] = {fault.name: fault for family in (network, logs, events, brokers, group) for fault in family.FAULTS}


def named(names: str) -> list[Fault]:
    """The faults that are asked for: `all`, or names with commas between. ValueError: one line."""
    if names == "all":
        return list(ALL.values())
    if unknown := [name for name in names.split(",") if name not in ALL]:
        raise ValueError(f"FAULT={names}: there is no {unknown[0]}; there are: all, {', '.join(ALL)}")
    return [ALL[name] for name in names.split(",")]


def run(faults: Iterable[Fault], folder: Path, seed: int, *, short: bool, done: Callable[[Row], None] = lambda _: None) -> list[Row]:
    """One after the other: those that harm Kafka on one of their own."""
    rows = []
    with FaultyKafka() as shared:
        for fault in faults:
            (folder / fault.name).mkdir()
            with FaultyKafka() if fault.alone else nullcontext(shared) as kafka:
                row = one(fault, kafka, folder / fault.name, seed, short=short)
            rows.append(row)
            done(row)
    return rows


def one(fault: Fault, kafka: FaultyKafka, folder: Path, seed: int, *, short: bool) -> Row:
    """One of them. What goes wrong in the scenario itself is a problem like others, so that the rest are tried."""
    try:
        return asyncio.run(perform(fault, kafka, folder, seed, short=short))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return Row(fault.name, problems=["".join(format_exception(error))])
