"""How long a new worker takes to have all open chains again, and in how much memory: at once, and after an hour of load.

`make bench-hour`, on real Kafka. A customer in a queue for each chain; then, where it is asked for, calls at half the speed at which the
worker does a backlog of them, spread evenly over all customers: what a new worker reads is a changelog that has been written to and
compacted all the while. History grows meanwhile, so read seconds beside what there is to read.
"""

import asyncio
import os
import platform
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console
from rich.table import Table

from schemas.events import Answered, Ended, Event, Queued, WrappedUp
from streams.broker.kafka import free_port, serving
from streams.publishing import parcel, sending
from streams.settings import Settings
from tests.bench.core import form
from tests.bench.processes import Host
from tests.bench.workers import published, ready, scraped, seen, settings_of, total, worker
from tests.topics import records

AT = 1_767_600_000_000
CALLS = 1_000
"""Calls that are under way at a time: the next event of each of them follows that of all others."""
SAMPLE = 20
"""Of so many chains one is sent an event of a call, for how fast that goes: from the first one sent to the last one done."""
SAMPLE_RATE = 2_000
"""Events of these a second by their own time."""
OPEN = "karar_chains_open"
LINGER_SECONDS = 0.05
TELL_SECONDS = 60
console = Console(width=150)


def queued(n: int, call: int, at: int) -> Event:
    """A customer enters a queue, with his first call or a later one."""
    return Queued(
        id=f"q{n}.{call}", source="memory", interaction_id=f"i{n}.{call}", at=at, channel="call", queue=f"q{n % 40}",
        identifiers={"phone": f"+49{n:09d}"},
    )  # fmt: skip


def waiting(chains: int) -> Iterator[Event]:
    """So many customers, each in a queue, a hundred of them in a millisecond."""
    return (queued(n, 0, AT + n // 100) for n in range(chains))


def calls(chains: int, rate: float, done: int = 0, since: int = 0) -> Iterator[Event]:
    """Without end, at so many events a second: whoever waits is answered, the call ends, and he calls again.

    ``done``: so many of these events are there already, the last of them at ``since`` (ms).
    """
    begun = since or AT + chains // 100
    every = called(chains, (begun + max(0, int((number - done) * 1_000 / rate)) for number in count()))
    return islice(every, done, None)


def called(chains: int, at: Iterator[int]) -> Iterator[Event]:
    """The calls of all customers in turn, at these instants (ms)."""
    for call in count():
        for first in range(0, chains, CALLS):
            some = range(first, min(first + CALLS, chains))
            for n in some:
                yield Answered(id=f"a{n}.{call}", source="memory", interaction_id=f"i{n}.{call}", at=next(at), representative=f"r{n % 50}")
            for n in some:
                yield Ended(id=f"e{n}.{call}", source="memory", interaction_id=f"i{n}.{call}", at=next(at))
            for n in some:
                yield WrappedUp(id=f"w{n}.{call}", source="memory", interaction_id=f"i{n}.{call}", at=next(at))
            for n in some:
                yield queued(n, call + 1, next(at))


async def steadily(settings: Mapping[str, str], load: Iterator[Event], rate: float, seconds: float) -> int:
    """Publishes at a rate for a time; how many events."""
    told, sent, started = Settings.read(settings), 0, time.monotonic()
    topic = told.topic("calls")
    async with sending(told.broker, [topic]) as sender:
        while (passed := time.monotonic() - started) < seconds:
            due = int(passed * rate) + 1 - sent
            for event in islice(load, due):
                await sender.put(parcel(event, topic))
            sent += due
            await sender.send_all()
            await asyncio.sleep(LINGER_SECONDS)
        await sender.flush()
    return sent


def until(host: Host, port: int, events: int) -> None:
    """Returns when so many events are done, in both stages. Tells every minute how far it is."""
    told_at = time.monotonic()
    for told in seen(port):
        if told["events"] >= events and told["left"] == 0:
            return
        alive(host)
        if time.monotonic() > told_at + TELL_SECONDS:
            told_at = time.monotonic()
            console.print(f"{told['events']:,.0f} of {events:,} events done, {told['left']:,.0f} behind or uncommitted", highlight=False)


def until_ready(host: Host, port: int) -> None:
    """Returns when a worker says that it is ready."""
    while not ready(port):
        alive(host)
        time.sleep(0.05)


def alive(host: Host) -> None:
    """Raises where a worker has ended."""
    if host.process.poll() is not None:
        raise RuntimeError(f"the worker has ended by itself with status {host.process.returncode}; see {host.log.name}")


def opened(what: str, settings: dict[str, str], port: int, folder: Path) -> dict[str, float | str]:
    """Starts a worker on what there is: how long until it is ready, and its memory beside what it holds."""
    started = time.monotonic()
    with worker(settings, folder) as host:
        until_ready(host, port)
        seconds = time.monotonic() - started
        time.sleep(2)
        rss, chains = host.memory() * 1.048576, total(scraped(port, OPEN), OPEN)
    read, written, keys, size = states(settings)
    return {
        "": what,
        "open chains": chains,
        "seconds to ready": seconds,
        "keys": keys,
        "encoded MB": size / 1e6,
        "RSS MB": rss,
        "RSS / encoded": rss / (size / 1e6),
        "records read": read,
        "MB read": written / 1e6,
    }


def states(settings: Mapping[str, str]) -> tuple[int, int, int, int]:
    """Both changelogs as they are: records and their bytes, and of what they come to, keys and bytes of keys and values."""
    latest: dict[tuple[str, bytes | None], int] = {}
    number = written = 0
    for record in records(Settings.read(settings), "assemble.state", "stitch.state"):
        size = len(record.key or b"") + len(record.value or b"")
        number, written = number + 1, written + size
        if record.value is None:
            latest.pop((record.topic, record.key), None)
        else:
            latest[record.topic, record.key] = size
    return number, written, len(latest), sum(latest.values())


def recovery(broker: str, folder: Path, chains: int, seconds: float = 0, rate: float = 0) -> list[dict[str, float | str]]:
    """A row for what was just published and, where there are ``seconds``, one for after that; ``rate`` 0: half of what is reached."""
    port = free_port()
    settings = settings_of(broker, f"m{os.getpid()}-{chains}", port)
    asyncio.run(published(settings, list(waiting(chains))))
    with worker(settings, folder) as host:
        until(host, port, chains)
    rows = [opened("at once", settings, port, folder)]
    if seconds:
        with worker(settings, folder) as host:
            until_ready(host, port)
            some, started = list(islice(calls(chains, SAMPLE_RATE), max(1, chains // SAMPLE))), time.monotonic()
            asyncio.run(published(settings, some))
            until(host, port, len(some))
            most = len(some) / (time.monotonic() - started)
            rate = rate or most / 2
            console.print(
                f"calls at {rate:,.0f} events/s for {seconds:,.0f} s; a backlog of them is done at {most:,.0f}/s", highlight=False
            )
            used, load = host.cpu(), calls(chains, rate, len(some), some[-1].at)
            more = asyncio.run(steadily(settings, load, rate, seconds))
            console.print(f"{more:,} events sent; {(host.cpu() - used) / seconds:.2f} of a core used", highlight=False)
            started = time.monotonic()
            until(host, port, len(some) + more)
            console.print(f"the last of them were done {time.monotonic() - started:.1f} s later", highlight=False)
        rows.append(opened(f"after {seconds:,.0f} s at {more / seconds:,.0f}/s", settings, port, folder))
    return rows


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3_600, help="of load")
    parser.add_argument("--rate", type=float, default=0, help="events a second; half of what the worker reaches, where it is not said")
    given = parser.parse_args()
    folder = Path(mkdtemp(prefix="karar-hour-"))
    console.print(f"{platform.platform()}, {os.cpu_count()} cores for all; the core: {form()}; logs in {folder}", highlight=False)
    with serving(os.environ) as broker:
        rows = recovery(broker, folder, given.chains, given.seconds, given.rate)
    console.print(shown("Open chains: memory and recovery", rows))


def shown(title: str, rows: Sequence[Mapping[str, float | str]]) -> Table:
    """Rows as a table."""
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:,.{3 if value % 1 else 0}f}" for value in row.values()))
    return table


if __name__ == "__main__":
    main()
