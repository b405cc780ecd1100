"""What the catalogue of faults works and judges with, tried by itself: the proxy, the moved clock, the balance, names and the log."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from streams.broker.kafka import HOST, free_port
from streams.engine import amounts
from streams.engine.ledger import SERIES
from tests.cluster import Stored
from tests.counting import ENCODE, FRONT, State
from tests.soak import counting
from tests.soak.catalogue import catalog, proxy
from tests.soak.catalogue.moved import LOOK_SECONDS, Moved
from tests.soak.catalogue.proxy import END_TRANSACTION, PRODUCE, Proxy
from tests.soak.catalogue.report import Row, write
from tests.soak.core import WholeCore
from tests.soak.counted import Numbers, States
from tests.soak.expected import Totals
from tests.soak.subjects import served

PATIENCE: Final = 0.2


# The proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request with its correlation id."""
    while not reader.at_eof():
        try:
            request = await proxy.read(reader)
        except asyncio.IncompleteReadError:
            break
        _, _, correlation = proxy.FRONT.unpack_from(request, proxy.SIZE.size)
        writer.write(proxy.SIZE.pack(proxy.CORRELATION.size) + proxy.CORRELATION.pack(correlation))
    writer.close()


def request(kind: int, correlation: int) -> bytes:
    """A request of some kind."""
    return proxy.SIZE.pack(proxy.FRONT.size) + proxy.FRONT.pack(kind, 0, correlation)


Story = Callable[[Proxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def through(story: Story) -> Proxy:
    """A client's story with a proxy before somebody who answers."""

    async def told() -> Proxy:
        behind = free_port()
        server = await asyncio.start_server(echo, HOST, behind)
        async with server, Proxy(free_port(), behind) as between:
            reader, writer = await asyncio.open_connection(HOST, between.port)
            await story(between, reader, writer)
            writer.close()
        return between

    return asyncio.run(told())


async def answer(reader: asyncio.StreamReader) -> int:
    """The correlation id of the next answer."""
    async with asyncio.timeout(PATIENCE):
        return int(proxy.CORRELATION.unpack_from(await proxy.read(reader), proxy.SIZE.size)[0])


def test_only_the_answers_that_are_to_be_lost_are_lost() -> None:
    """In silence: the connection stays, and the next answer comes."""

    async def story(between: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        between.loses = lambda kind: kind == END_TRANSACTION
        writer.write(request(PRODUCE, 1) + request(END_TRANSACTION, 2) + request(PRODUCE, 3))
        assert [await answer(reader), await answer(reader)] == [1, 3]

    between = through(story)
    assert (between.lost, between.passed) == (Counter({END_TRANSACTION: 1}), Counter({PRODUCE: 2}))


def test_an_answer_may_be_lost_with_its_connection() -> None:
    """Whoever waits for it sees the end."""

    async def story(between: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        between.loses, between.closes = lambda _: True, True
        writer.write(request(END_TRANSACTION, 1))
        with pytest.raises(asyncio.IncompleteReadError):
            await answer(reader)

    assert through(story).lost == {END_TRANSACTION: 1}


def test_what_a_cut_holds_up_comes_through_when_it_heals() -> None:
    """Nothing is lost by it, and nothing comes through meanwhile."""

    async def story(between: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        between.cut()
        writer.write(request(PRODUCE, 1))
        with pytest.raises(TimeoutError):
            await answer(reader)
        between.heal()
        assert await answer(reader) == 1

    through(story)


def test_whoever_is_torn_away_cannot_come_back_until_it_heals() -> None:
    """Connections end, and new ones at once."""

    async def story(between: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request(PRODUCE, 1))
        assert await answer(reader) == 1
        await between.tear()
        assert await reader.read() == b""
        again, other = await asyncio.open_connection(HOST, between.port)
        assert await again.read() == b""
        other.close()
        between.heal()
        again, other = await asyncio.open_connection(HOST, between.port)
        other.write(request(PRODUCE, 2))
        assert await answer(again) == 2
        other.close()

    through(story)


# The moved clock


def test_a_clock_is_off_by_what_its_file_says(tmp_path: Path) -> None:
    """Looked at now and then; while the file is written it stays as it is."""
    file = tmp_path / "moved"
    file.write_text("-1500", "ascii")
    moved = Moved(file)
    assert moved() == -1_500_000_000
    for text, expected in (("", -1_500_000_000), ("7", 7_000_000)):
        file.write_text(text, "ascii")
        time.sleep(2 * LOOK_SECONDS)
        assert moved() == expected


# What is judged


def record(key: bytes, value: bytes | None, partition: int = 0) -> Stored:
    """A record that was read."""
    return Stored("topic", partition, 0, 0, key, value)


def state(n: int) -> bytes:
    """The state of a key that has counted so many."""
    return FRONT + ENCODE(State(n))


@pytest.mark.parametrize(
    ("total", "retracted", "archived", "living", "off"), [(5, 0, 0, 5, 0), (6, 1, 3, 2, 0), (5, 0, 0, 4, 1), (5, 0, 1, 5, 1)]
)
def test_the_balance_is_what_ledger_and_states_differ_by(total: int, retracted: int, archived: int, living: int, off: int) -> None:
    """Net less archived is what the states of a partition have."""
    states = States("state", 2)
    states.take(record(SERIES + b"a", amounts.ENCODE(amounts.Amounts(total, retracted, archived))))
    states.take(record(b"key", state(living)))

    assert states.balance() == off


def test_what_one_partition_has_too_much_does_not_make_up_for_another() -> None:
    """A balance of each."""
    states = States("state", 2)
    states.take(record(SERIES + b"a", amounts.ENCODE(amounts.Amounts(2, 0, 0)), 0))
    states.take(record(b"key", state(2), 1))

    assert states.balance() == 4


def test_a_tombstone_takes_a_state_away() -> None:
    """It was archived."""
    states = States("state", 1)
    states.take(record(b"key", state(3)))
    states.take(record(b"key", None))

    assert states.keys == {b"key": 0}


@pytest.mark.parametrize("value", [b"17", b'{"i":17}', b'{"i":17,"filler":"99"}'])
def test_numbers_are_read_however_they_came(value: bytes) -> None:
    """Alone, as an event, and with what says nothing."""
    numbers = Numbers("in", 1)
    numbers.take(record(b"k", value))

    assert numbers.values == {17: 1}


def test_what_is_served_of_a_stage_is_summed_over_workers() -> None:
    """And not what is served of another."""
    line = 'karar_events_counted_total{shard="%s"} %d\n'
    texts = [line % ("first-0", 3) + line % ("second-0", 100), "", "# a comment\n" + line % ("first-1", 4)]

    assert served(texts, counting.FIRST) == 7


def test_where_teams_have_changed_moments_are_compared_without_them() -> None:
    """What was told under a team that had the queue before is told under it still."""
    subject = WholeCore.__new__(WholeCore)
    found: Totals = Counter({("m", "call", "a", "human"): 2, ("m", "call", "b", "human"): 1})
    for changed, expected in ((False, found), (True, Counter({("m", "call", "human"): 3}))):
        subject.teams_changed = changed
        assert subject.by_team(found) == expected


# Names and the log


def test_faults_are_asked_for_by_name() -> None:
    """All of them, some of them, or an error that says which there are."""
    assert [fault.name for fault in catalog.named("lost_answer,poison")] == ["lost_answer", "poison"]
    assert len(catalog.named("all")) == len(catalog.ALL)
    with pytest.raises(ValueError, match=r"^FAULT=poison,flood: there is no flood; there are: all, lost_answer, "):
        catalog.named("poison,flood")


def test_the_log_has_a_row_for_each_fault_and_everything_that_is_known(tmp_path: Path) -> None:
    """What went wrong is said, not only that something did."""
    log = tmp_path / "faults.log"
    right = Row("poison", how_often="14 positions", events=1_564, details=[("exits", "none")])
    wrong = Row("hot_key", largest_fall=2.0, problems=["series that fell: 1"])
    write([right, wrong], 7, log)

    text = log.read_text("utf-8")
    assert "SEED=7" in text
    rows = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    assert [(row[0].strip(), row[2].strip(), row[7].strip(), row[-1].strip()) for row in rows] == [
        ("poison", "1,564", "0", "exact"),
        ("hot_key", "0", "2", "wrong"),
    ]
    assert "exits: none" in text
    assert "wrong: series that fell: 1" in text
