"""`karar audit` on a real Kafka: what balances, what was tampered with, what is behind; and the balance a worker draws by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.codec import encode
from streams.app import specs
from streams.engine.amounts import Amounts
from streams.engine.books import Books
from streams.engine.kafka import Kafka
from streams.engine.ledger import SERIES
from streams.engine.store import Store
from streams.engine.takeover import ENCODE, RULES, Rules
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import create
from tests.command import Said, file, karar
from tests.topics import fresh
from tests.worker import at_the_end, environment, page, wait_for, working

pytestmark = pytest.mark.slow

EVENTS: Final = list(map(encode, simulate(seed=1, customers=2000, days=2)))


def made(kafka: str) -> Settings:
    """Settings with topics that nobody else has."""
    given = fresh(kafka, partitions=2)
    asyncio.run(create(given))
    return given


def said(folder: Path, settings: Settings, *arguments: str, **more: str) -> Said:
    """What a command says with these settings."""
    given = {name: value for name, value in environment(settings, **more).items() if name.startswith("KARAR_")}
    return karar(folder, *arguments, stdin=b"", **given)


def publish(folder: Path, settings: Settings, events: list[bytes] = EVENTS) -> None:
    """Sends events as publishers do."""
    assert said(folder, settings, "publish", file(folder, "events", *events), "--format", "events").status == 0


@pytest.fixture(scope="module")
def counted(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose topics hold a day that a worker has counted, nothing of it archived. Who tampers with it mends it."""
    settings, folder = made(kafka), tmp_path_factory.mktemp("counted")
    publish(folder, settings)
    with working(folder, settings, KARAR_CLOCK="event"):
        pass
    return settings


async def committed(settings: Settings, partition: int) -> Books:
    """What has committed of a shard of the second stage."""
    spec = specs(settings)[1]
    consumer = Kafka(settings.broker).consumer()
    await consumer.start()
    try:
        changelog, books = TopicPartition(spec.changelog, partition), Books(spec.ledger(), Store(spec.make(partition).due))
        consumer.assign([changelog])
        await consumer.seek_to_beginning(changelog)
        await books.fill(consumer, changelog, (await consumer.end_offsets([changelog]))[changelog], lambda _: None)
    finally:
        await consumer.stop()
    return books


def write(settings: Settings, key: bytes, value: bytes | None, partition: int) -> None:
    """Writes into a changelog what no worker has written."""

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
        await producer.start()
        try:
            await producer.send_and_wait(settings.topic("stitch.state"), value, key, partition)
        finally:
            await producer.stop()

    asyncio.run(send())


@contextmanager
def tampered(settings: Settings, key: bytes, value: bytes | None, before: bytes | None, partition: int = 0) -> Iterator[None]:
    """A changelog with a record that no worker has written, for a while."""
    write(settings, key, value, partition)
    try:
        yield
    finally:
        write(settings, key, before, partition)


def rows(out: str) -> dict[str, list[str]]:
    """The table by shard: keys, series, difference, behind."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(("assemble-", "stitch-")) and ":" not in line}


def test_a_stage_that_was_counted_right_balances(tmp_path: Path, counted: Settings) -> None:
    """Every shard comes to 0, nothing is behind, nothing was lost on the way, and it says so in its last line; exit 0."""
    found = said(tmp_path, counted, "audit")
    table = rows(found.out)

    assert (found.status, found.err) == (0, [])
    assert list(table) == ["assemble-0", "assemble-1", "stitch-0", "stitch-1"]
    assert {tuple(row[2:]) for row in table.values()} == {("0", "0")}
    assert all(int(row[0].replace(",", "")) > 50 for row in table.values())
    assert "trial balance 0 in 4 shards; conservation 0: " in found.out.splitlines()[-1]


def test_a_state_that_was_tampered_with_is_found(tmp_path: Path, counted: Settings) -> None:
    """One customer's state is gone from the log without a booking: the series that miss him are named; exit 1."""
    key, value = next(iter(asyncio.run(committed(counted, 0)).store.values.items()))
    with tampered(counted, key, None, value):
        found = said(tmp_path, counted, "audit")
    table = rows(found.out)

    assert found.status == 1
    assert int(table["stitch-0"][2]) > 5
    assert {table[name][2] for name in table if name != "stitch-0"} == {"0"}
    assert "stitch-0: _interactions_held +" in found.out
    assert "TRIAL BALANCE NOT 0: " in found.out.splitlines()[-1]


def test_a_state_that_cannot_be_read_is_a_difference(tmp_path: Path, counted: Settings) -> None:
    """It stands for nothing, so all that it stood for differs; exit 1 and no traceback."""
    key, value = next(iter(asyncio.run(committed(counted, 0)).store.values.items()))
    with tampered(counted, key, b"\0" * 9 + b"noise", value):
        found = said(tmp_path, counted, "audit")

    assert found.status == 1
    assert int(rows(found.out)["stitch-0"][2]) > 5


def test_a_total_that_was_tampered_with_is_found_twice(tmp_path: Path, counted: Settings) -> None:
    """One interaction more is held than was ever sent: the shard differs, and so does what is conserved; exit 1."""
    amounts = asyncio.run(committed(counted, 1)).ledger.amounts["_interactions_held", ""]
    wrong = ENCODE(Amounts(amounts.total + 1, amounts.retracted, amounts.archived, amounts.shown))
    with tampered(counted, SERIES + b"_interactions_held\x1f", wrong, ENCODE(amounts), 1):
        found = said(tmp_path, counted, "audit")

    assert found.status == 1
    assert "stitch-1: _interactions_held +1 against what its states stand for" in found.out
    assert "conservation is off by -1: " in found.out


def test_totals_of_other_rules_are_not_judged(tmp_path: Path, counted: Settings) -> None:
    """By other rules a state stands for something else: one line says by which it was counted, exit 2."""
    rules = asyncio.run(committed(counted, 0)).rules
    with tampered(counted, RULES, ENCODE(Rules("another", 1)), ENCODE(rules)):
        found = said(tmp_path, counted, "audit")

    assert (found.status, found.out) == (2, "")
    assert found.err[0].startswith("karar: stitch-0: was counted by rules another (counting 1), here they are ")
    assert found.err[0].endswith("give the audit the workers' targets (KARAR_TARGETS) and their version of Karar")


def test_topics_that_do_not_exist_are_said(tmp_path: Path, kafka: str) -> None:
    """Nothing to judge is not the same as nothing wrong."""
    found = said(tmp_path, fresh(kafka), "audit")

    assert found.status == 1
    assert "does not exist; `karar topics` creates it" in found.err[0]


def test_what_is_behind_is_told_and_no_difference(tmp_path: Path, kafka: str) -> None:
    """Records that nobody has applied are counted, without the markers of transactions; the trial balance alone is judged.

    Exit 0, with `--strict` 1.
    The days are long past, so that by the wall clock all of it is archived, and at once. A stage goes by that clock only when it has
    what the one before made of all that was there: a customer who became known later would else be held twice.
    """
    settings = made(kafka)
    publish(tmp_path, settings)
    before = said(tmp_path, settings, "audit")
    with working(tmp_path, settings) as port:
        wait_for(lambda: at_the_end(port) and rows(said(tmp_path, settings, "audit").out)["stitch-0"][0] == "0")
    done = said(tmp_path, settings, "audit")
    publish(tmp_path, settings, EVENTS[:100])
    after = said(tmp_path, settings, "audit")
    assert said(tmp_path, settings, "audit", "--strict").status == 1
    assert said(tmp_path, settings, "audit", "--strict").out == after.out

    for found, number in (before, len(EVENTS)), (after, 100):
        assert (found.status, found.err) == (0, [])
        assert sum(int(row[3].replace(",", "")) for row in rows(found.out).values()) == number
        assert found.out.splitlines()[-1] == (
            f"trial balance 0 in 4 shards; not at the end: {number:,} records behind, so conservation cannot be judged"
        )
    assert (done.status, {tuple(row[2:]) for row in rows(done.out).values()}) == (0, {("0", "0")})
    assert "; conservation 0: " in done.out


def test_a_worker_draws_its_trial_balance_by_itself(tmp_path: Path, counted: Settings) -> None:
    """Every KARAR_BALANCE_SECONDS: a gauge says how many series differ, and a line of the log which, in a worker that goes on."""
    key, value = next(iter(asyncio.run(committed(counted, 0)).store.values.items()))
    settings = {"KARAR_CLOCK": "event", "KARAR_BALANCE_SECONDS": "0.5"}
    with tampered(counted, key, None, value), working(tmp_path, counted, **settings) as port:
        wait_for(lambda: "the trial balance is not 0" in (tmp_path / "worker.log").read_text())
        wait_for(lambda: "karar_ledger_differences 0.0" not in page(port, "/metrics"))
    log = (tmp_path / "worker.log").read_text()

    assert "stitch-0: the trial balance is not 0: _interactions_held +" in log
    assert "stitch-1: the trial balance" not in log
