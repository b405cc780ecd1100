"""All faults by name, and how they are run: one after the other, or, where somebody waits, several at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from traceback import format_exception
from typing import Final

from tests.soak.catalogue import brokers, events, group, logs, network, whole
from tests.soak.catalogue.kafka import FaultyKafka
from tests.soak.catalogue.report import Row
from tests.soak.catalogue.scene import Fault, perform
from tests.soak.catalogue.whole import CoreFault, perform_whole

ALL: Final[dict[str, Fault | CoreFault]] = {
    fault.name: fault for family in (network, logs, events, brokers, group, whole) for fault in family.FAULTS
}


def named(names: str) -> list[Fault | CoreFault]:
    """The faults that are asked for: `all`, or names with commas between. ValueError: one line."""
    if names == "all":
        return list(ALL.values())
    if unknown := [name for name in names.split(",") if name not in ALL]:
        raise ValueError(f"FAULT={names}: there is no {unknown[0]}; there are: all, {', '.join(ALL)}")
    return [ALL[name] for name in names.split(",")]


def run(
    faults: Iterable[Fault | CoreFault],
    folder: Path,
    seed: int,
    *,
    short: bool,
    at_once: int = 1,
    done: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """Runs them, so many at once, each told of when it is done; those that harm Kafka on one of their own."""

    async def every() -> list[Row]:
        permits, turn = asyncio.Semaphore(at_once), asyncio.Lock()

        async def one(fault: Fault | CoreFault, shared: FaultyKafka) -> Row:
            (folder / fault.name).mkdir()
            async with permits, turns(fault, turn), place(fault, shared) as kafka:
                row = await tried(fault, kafka, folder / fault.name, seed, short=short)
            done(row)
            return row

        async with started() as shared:
            return await asyncio.gather(*(one(fault, shared) for fault in faults))

    return asyncio.run(every())


@asynccontextmanager
async def turns(fault: Fault | CoreFault, turn: asyncio.Lock) -> AsyncIterator[None]:
    """There is one proxy, for one fault at a time."""
    if isinstance(fault, Fault) and fault.proxied:
        async with turn:
            yield
    else:
        yield


@asynccontextmanager
async def place(fault: Fault | CoreFault, shared: FaultyKafka) -> AsyncIterator[FaultyKafka]:
    """The Kafka for a fault."""
    if isinstance(fault, Fault) and fault.alone:
        async with started() as own:
            yield own
    else:
        yield shared


@asynccontextmanager
async def started() -> AsyncIterator[FaultyKafka]:
    """A Kafka, while others go on."""
    kafka = await asyncio.to_thread(FaultyKafka)
    await asyncio.to_thread(kafka.__enter__)
    try:
        yield kafka
    finally:
        await asyncio.to_thread(kafka.__exit__)


async def tried(fault: Fault | CoreFault, kafka: FaultyKafka, folder: Path, seed: int, *, short: bool) -> Row:
    """One of them. What goes wrong in the scenario itself is a problem like others, so that the rest are tried."""
    try:
        if isinstance(fault, CoreFault):
            return await perform_whole(fault, kafka, folder, seed, short=short)
        return await perform(fault, kafka, folder, seed, short=short)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return Row(fault.name, problems=["".join(format_exception(error))])
