"""`karar publish` on a real Kafka: what of a file arrives where, what is refused, and what stops it."""

import asyncio
import signal
import subprocess
from collections import Counter
from pathlib import Path
from time import sleep
from typing import Final

import pytest

from schemas.codec import decode, encode
from streams import publishing
from streams.broker import BrokerError
from streams.broker.kafka import Broker
from streams.engine.murmur import partition_of
from streams.publishing import Parcel, sending
from streams.settings import Settings
from streams.topics import create
from tests.command import BIN, PLAIN, Said, file, karar
from tests.shared import LOOKALIKES, ROOT
from tests.story import Story, call
from tests.topics import fresh, make, records

pytestmark = pytest.mark.slow

OLD_LOG: Final = LOOKALIKES / "queue_log_old.txt"
PROMPT: Final = list(call("c1", phone="+49 30 1").queued(0, "A").answered(10, "ann", team="red").ended(60).rated(70, "nps", 9))
VISIT: Final = list(Story("v1", {"source": "desk", "channel": "visit"}).offered(0).called(5).serving_started(6, "bob").ended(9))
EVERYTHING: Final = [*PROMPT, *VISIT]
TOPICS: Final = ("calls", "visits", "feedback")


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with a prefix that nobody else has."""
    return fresh(kafka)


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    asyncio.run(create(settings))
    return settings


def published(folder: Path, settings: Settings, *arguments: str, stdin: bytes = b"", adapters: str = "") -> Said:
    """What `karar publish` says with these settings."""
    return karar(
        folder, "publish", *arguments, stdin=stdin, KARAR_BROKER=settings.broker, KARAR_PREFIX=settings.prefix, KARAR_ADAPTERS=adapters
    )


def test_canonical_events_arrive_each_once_in_its_topic_and_partition(tmp_path: Path, topics: Settings) -> None:
    """What is published is what the file says; what goes right says one line, and nothing on standard error."""
    name = file(tmp_path, "days.jsonl", *map(encode, EVERYTHING))
    said = published(tmp_path, topics, name, "--format", "events")
    found = records(topics, *TOPICS)
    arrived = {
        record.topic.rsplit(".", 1)[1]: [decode(r.value, r.headers)[0] for r in found if r.topic == record.topic] for record in found
    }

    assert (said.status, said.err) == (0, [])
    assert said.out.startswith(
        f"8 records acknowledged ({topics.topic('calls')} 3, {topics.topic('feedback')} 1, {topics.topic('visits')} 4); "
        "0 rejected, 0 ignored; "
    )
    assert arrived == {"calls": PROMPT[:3], "visits": VISIT, "feedback": PROMPT[3:]}
    assert {(record.key, record.partition) for record in found} == {(key, partition_of(key, 3)) for key in (b"c1", b"v1")}


def test_a_queue_log_arrives_line_by_line_as_it_is(tmp_path: Path, topics: Settings) -> None:
    """Raw lines, keyed by callid; also what is no event of ours: a publisher does not know."""
    adapters = f"{topics.topic('calls')}=asterisk-queue-log"
    said = published(tmp_path, topics, str(OLD_LOG), "--format", "asterisk-queue-log", adapters=adapters)
    lines = [line for line in OLD_LOG.read_bytes().splitlines() if line.strip()]
    found = records(topics, *TOPICS)

    assert (said.status, said.err) == (0, [])
    assert Counter(record.value for record in found) == Counter(lines)
    assert {record.topic for record in found} == {topics.topic("calls")}
    for record in found:
        assert record.key == (record.value or b"").split(b"|")[1]
        assert record.partition == partition_of(record.key, 3)


def test_the_lines_of_a_call_stay_in_order(tmp_path: Path, topics: Settings) -> None:
    """Their place in the partition is all that tells lines of one second apart."""
    published(tmp_path, topics, str(OLD_LOG), "--format", "asterisk-queue-log")
    lines = [line for line in OLD_LOG.read_bytes().splitlines() if line.strip()]
    for key in {line.split(b"|")[1] for line in lines}:
        assert [r.value for r in records(topics, "calls") if r.key == key] == [line for line in lines if line.split(b"|")[1] == key]


def test_a_mapped_csv_arrives_as_canonical_events(tmp_path: Path, topics: Settings) -> None:
    """CSV: canonical CloudEvents, the same that `convert` prints."""
    name, mapping = str(LOOKALIKES / "activities.csv"), str(ROOT / "docs" / "examples" / "callcenter.toml")
    said = published(tmp_path, topics, name, "--format", "csv", "--mapping", mapping, "--source-name", "mine")
    found = [decode(record.value, record.headers)[0] for record in records(topics, *TOPICS)]
    converted = karar(tmp_path, "convert", name, "--format", "csv", "--mapping", mapping).out.encode().splitlines()

    assert said.status == 0
    assert len(found) == len(converted) > 0
    assert {x.source for x in found} == {"mine"}  # type: ignore[union-attr] # an event
    assert {x.id for x in found} == {decode(line)[0].id for line in converted}  # type: ignore[union-attr] # an event


def test_what_is_rejected_is_told_and_not_sent(tmp_path: Path, topics: Settings) -> None:
    """One clear line each with place and reason, exit 1, and nothing else is lost."""
    content = b"\n".join([encode(PROMPT[0]), b"noise", b"", b'{"type":"paused"}', b"x" * 1_100_000, encode(PROMPT[1])])
    said = published(tmp_path, topics, "-", "--format", "events", stdin=content)
    old = published(tmp_path, topics, "-", "--format", "asterisk-queue-log", "--topic", topics.topic("visits"), stdin=b"1|c|q\n")

    assert said.status == 1
    assert [line.split(": ")[:2] for line in said.err] == [["-:2", "malformed"], ["-:5", "too_long"]]
    assert "2 records acknowledged" in said.out
    assert "; 2 rejected, 1 ignored; " in said.out
    assert (old.status, old.err[-1].split(": ")[:2], old.out[:17]) == (1, ["-:1", "malformed"], "nothing to send; ")
    assert [decode(record.value)[0] for record in records(topics, *TOPICS)] == PROMPT[:2]


def test_of_many_that_are_rejected_ten_are_told_and_the_others_counted(tmp_path: Path, topics: Settings) -> None:
    """As of every command that reads files; how many in all is in the summary."""
    said = published(tmp_path, topics, "-", "--format", "events", stdin=b"noise\n" * 12)

    assert (said.status, said.out[:17]) == (1, "nothing to send; ")
    assert [line.split(": ")[:2] for line in said.err[:10]] == [[f"-:{n}", "malformed"] for n in range(1, 11)]
    assert said.err[11:] == ["karar: 2 more records refused: malformed 2"]
    assert "; 12 rejected, 0 ignored; " in said.out


def test_a_line_as_long_as_allowed_arrives(tmp_path: Path, topics: Settings) -> None:
    """Larger than a whole batch is meant to be, and still one record."""
    line = b"1700000000|1.1|orders|NONE|PAUSE|" + b"x" * 1_000_000
    said = published(tmp_path, topics, file(tmp_path, "long", line), "--format", "asterisk-queue-log")

    assert said.status == 0
    assert [record.value for record in records(topics, "calls")] == [line]


def test_more_than_a_batch_arrives_whole(tmp_path: Path, topics: Settings) -> None:
    """Several batches of every partition, one after the other."""
    lines = [b"1700000000|%d|orders|NONE|PAUSE|%b" % (n, b"x" * 100) for n in range(20_000)]
    said = published(tmp_path, topics, file(tmp_path, "many", *lines), "--format", "asterisk-queue-log")
    found = [record.value or b"" for record in records(topics, "calls")]

    assert said.out.startswith(f"20,000 records acknowledged ({topics.topic('calls')} 20,000); 0 rejected, 20,000 ignored; ")
    assert sorted(found) == sorted(lines)


def test_topics_must_exist(tmp_path: Path, settings: Settings) -> None:
    """Kafka is never asked to make one up; the line says who creates them."""
    name = file(tmp_path, "one", encode(PROMPT[0]))
    said = published(tmp_path, settings, name, "--format", "events")

    creates = "`karar topics` creates Karar's own and those that KARAR_ADAPTERS names"
    assert said == (1, "", [f"karar: {settings.topic('calls')}: there is no such topic at {settings.broker}; {creates}"])


def test_what_kafka_refuses_is_one_line_with_what_it_has(tmp_path: Path, settings: Settings) -> None:
    """A publisher's own topic may take only small records."""
    make(settings, "small", 1, max_message_bytes="2000")
    content = b"1700000000|1.1|orders|NONE|PAUSE|" + b"x" * 3000
    arguments = ("--format", "asterisk-queue-log", "--topic", settings.topic("small"))
    said = published(tmp_path, settings, file(tmp_path, "one", content), *arguments)

    assert (said.status, said.out) == (1, "")
    assert said.err[-1] == f"karar: {settings.broker}: Kafka refused it: [Error 10] MessageSizeTooLargeError"


# -- Time --------------------------------------------------------------------------------------------------------------


def test_what_comes_through_a_pipe_goes_at_once_and_ctrl_c_ends_it(topics: Settings) -> None:
    """`tail -F … | karar publish -` does not wait for more, and says up to which line Kafka has everything."""
    environment = PLAIN | {"KARAR_BROKER": topics.broker, "KARAR_PREFIX": topics.prefix}
    command = [str(BIN), "publish", "-", "--format", "events"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n".join(map(encode, PROMPT[:2])) + b"\n" + encode(PROMPT[2])[:20])
        process.stdin.flush()
        for _ in range(100):
            if records(topics, "calls"):
                break
            sleep(0.1)
        found = records(topics, "calls")
        process.send_signal(signal.SIGINT)
        process.wait(20)
        out, err = process.communicate(timeout=20)

    assert len(found) == 2
    assert (process.returncode, err) == (130, b"")
    assert out.startswith(b"stopped after line 2: 2 records acknowledged")
    assert len(records(topics, *TOPICS)) == 2


@pytest.mark.parametrize(("speed", "least", "most"), [("100", 0.55, 5.0), ("10000", 0.0, 0.5)])
def test_event_time_runs_as_fast_as_asked(tmp_path: Path, topics: Settings, speed: str, least: float, most: float) -> None:
    """`--speed X`: a minute of events takes a minute / X; what is late goes at once."""
    late = call("c2").queued(-50, "A")
    name = file(tmp_path, "minute", *map(encode, [*PROMPT[:3], *late]))
    published(tmp_path, topics, name, "--format", "events", "--speed", speed)
    times = [record.timestamp for record in records(topics, "calls")]

    assert len(times) == 4
    assert least <= (max(times) - min(times)) / 1000 <= most


def test_a_kafka_that_goes_away_is_one_line_and_no_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that repeats nothing twice would repeat for ever."""
    monkeypatch.setattr(publishing, "GOODBYE_SECONDS", 0.2)

    async def lose(broker: Broker) -> None:
        async with sending(broker.address, ["karar.calls"], patience=1) as sender:
            await sender.put(Parcel("karar.calls", b"k", b"v"))
            await sender.flush()
            assert sender.acknowledged == {"karar.calls": 1}
            broker.kill()
            await sender.put(Parcel("karar.calls", b"k", b"v"))
            await sender.flush()

    with Broker(PLAIN) as broker:
        asyncio.run(create(Settings(broker=broker.address)))
        with pytest.raises(BrokerError, match=f"{broker.address}: no Kafka answers there; "):
            asyncio.run(lose(broker))
