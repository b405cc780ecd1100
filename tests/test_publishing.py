"""What publishers send where: topics, keys, partitions, content."""

import asyncio
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.partitioner import DefaultPartitioner

from schemas.codec import decode, encode
from schemas.events import EVENT_TYPES
from schemas.sources import open_source, read_mapping
from streams.broker import BrokerError
from streams.commands.files import Intake
from streams.commands.publish import AHEAD, SLICE, Reader, canonical, destinations, misread
from streams.engine.murmur import partition_of
from streams.publishing import Parcel, Sender, home, parcel
from streams.settings import Settings
from tests.command import file, karar
from tests.shared import ROOT
from tests.story import Story, call

EVENTS: Final = [
    *call("c1", phone="+49 30 1").queued(0, "A").answered(10, "ann", team="red").ended(60).rated(70, "nps", 9),
    *Story("v1", {"source": "desk", "channel": "visit"}).offered(0).called(5).serving_started(6, "bob").ended(9),
]
TOPICS: Final = ("calls", "visits", "feedback")
PARTITIONS: Final = 3


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_ratings_are_feedback_what_happens_at_a_counter_is_a_visit_and_the_rest_is_calls(kind: str) -> None:
    """`karar.calls` has every channel but the counter."""
    required = {"queue": "q", "reason": "closed", "representative": "r", "mode": "coach", "kind": "blind", "by": "bot"}
    base = b'"id":"1","source":"s","interaction_id":"i","at":1,"identifiers":{"phone":"1"},"value":1,"to_interaction_id":"j"'
    rest = ",".join(f'"{name}":"{text}"' for name, text in required.items()).encode()
    for channel in ("", "call", "chat", "email", "video", "back_office", "visit"):
        (event,) = decode(b'{"type":"%b",%b,%b,"channel":"%b"}' % (kind.encode(), base, rest, channel.encode()))
        counter = channel == "visit" or (not channel and kind in {"called", "serving_started", "no_show", "recalled"})

        assert home(event) == ("feedback" if kind == "rated" else "visits" if counter else "calls")  # type: ignore[arg-type] # an event


def test_an_event_is_sent_as_a_structured_cloudevent_by_its_interaction() -> None:
    """CloudEvents 1.0, Kafka binding: the content type says that it is structured; what comes back is the same event."""
    for event in EVENTS:
        sent = parcel(event, "t")

        assert (sent.topic, sent.key) == ("t", event.interaction_id.encode())
        assert dict(sent.headers)["content-type"].startswith(b"application/cloudevents+json")
        assert decode(sent.value, sent.headers) == [event]


def test_an_event_of_a_whole_publisher_goes_by_its_source() -> None:
    """A reset belongs to no interaction."""
    (reset,) = decode(b'{"type":"reset","id":"1","source":"pbx","at":1}')

    assert parcel(reset, "t").key == b"pbx"  # type: ignore[arg-type] # an event


def test_the_partition_of_a_key_is_that_of_javas_clients(seed: int) -> None:
    """Publishers with other clients, and stages, find an interaction in the same partition."""
    chance = random.Random(seed)
    everywhere = list(range(64))
    for key in [b"", *(chance.randbytes(length) for length in range(1, 100))]:
        assert partition_of(key, 64) == DefaultPartitioner()(key, everywhere, everywhere)
    assert partition_of(b"foobar", 0x80000000) == -790332482 & 0x7FFFFFFF  # from Kafka's own tests


def test_a_queue_log_goes_to_the_topic_that_is_mapped_to_its_format() -> None:
    """Else to the calls, and somebody must say so to the worker."""
    mapped = Settings(adapters={"pbx": "asterisk-queue-log"})

    assert set(destinations(mapped, "asterisk-queue-log", "").values()) == {"pbx"}
    assert set(destinations(mapped, "asterisk-queue-log", "other").values()) == {"other"}
    assert set(destinations(Settings(), "asterisk-queue-log", "").values()) == {"karar.calls"}
    assert destinations(mapped, "events", "") == {name: f"karar.{name}" for name in TOPICS}


def test_what_a_worker_would_misread_is_noted() -> None:
    """With the same settings it takes what is sent for something else, and all of it for undecodable."""
    calls = Settings(adapters={"karar.calls": "asterisk-queue-log"})
    raw, flat = (list(misread(Settings(), format_, dict.fromkeys(TOPICS, "t"))) for format_ in ("asterisk-queue-log", "events"))

    assert raw == [
        "t is sent asterisk-queue-log, and a worker with these settings reads it as events; it needs KARAR_ADAPTERS=t=asterisk-queue-log"
    ]
    assert flat == []
    assert [line.split()[0] for line in misread(calls, "csv", destinations(calls, "csv", ""))] == ["karar.calls"]


WRONG: Final = {
    ("--format", "asterisk-queue-log", "--mapping", "m.toml"): (
        "--mapping: lines of a queue log are sent as they are, and read in UTC; where they are not, `karar convert` with the mapping and "
        "publish its events"
    ),
    ("--format", "events", "--source-name", "x"): (
        "--source-name: only csv needs one; events have theirs, and lines of a queue log get theirs where they are read"
    ),
    ("--format", "events", "--topic", "ä"): (
        "--topic: 'ä' is no name for a topic: at most 249 letters, digits, dots, hyphens and underscores, such as karar.calls"
    ),
    ("--format", "csv"): "format csv needs a mapping of columns to fields; docs/examples/callcenter.toml is one",
    ("--format", "events", "--speed", "0"): "Invalid value for '--speed': Input should be greater than or equal to 0.001",
}  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_one_line_and_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Before anything is sent."""
    assert karar(tmp_path, "publish", "-", *arguments) == (2, "", [f"karar: {WRONG[arguments]}"])


@pytest.mark.asyncio
async def test_nothing_is_read_far_ahead_of_kafka(tmp_path: Path) -> None:
    """A file of any size in bounded memory; and whoever gives up does not have to take what was read."""
    name = file(tmp_path, "long", *[encode(EVENTS[0])] * SLICE * (AHEAD + 5))
    intake = Intake(open_source("events"), 0, lambda *_: None)
    topics = dict.fromkeys(TOPICS, "t")
    reader = Reader(str(tmp_path / name), intake, partial(canonical, topics=topics), None)
    thread = asyncio.create_task(asyncio.to_thread(reader.read))
    for _ in range(500):
        if reader.slices.qsize() == AHEAD and intake.events == SLICE * (AHEAD + 1):
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)

    assert (reader.slices.qsize(), intake.events) == (AHEAD, SLICE * (AHEAD + 1))
    reader.abandon()
    await asyncio.wait_for(thread, 5)


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_read_further_is_one_line(tmp_path: Path) -> None:
    """What is wrong with the whole file is said with its name, also from another thread."""
    name = file(tmp_path, "x.csv", b"a,b")
    mapping = read_mapping((ROOT / "docs" / "examples" / "callcenter.toml").read_text("utf-8"))
    intake = Intake(open_source("csv", mapping), 0, lambda *_: None)
    reader = Reader(str(tmp_path / name), intake, partial(canonical, topics=dict.fromkeys(TOPICS, "t")), None)
    with pytest.raises(ValueError, match=r"x\.csv: .*the file has no column"):
        await asyncio.to_thread(reader.read)

    assert await reader.slices.get() is None


class Batch:
    """A batch that is full with four records."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.closed = False

    def append(self, *, value: bytes, **_: Any) -> bool | None:
        """Adds a record; None where there is no place, and from then on."""
        self.closed = self.closed or len(self.values) == 4
        if self.closed:
            return None
        self.values.append(value)
        return True

    def close(self) -> None:
        """Takes nothing any more."""
        self.closed = True

    def record_count(self) -> int:
        """How many there are."""
        return len(self.values)


class Producer:
    """A Kafka that lets everybody wait for some turns of the loop; ``taken``: by partition what it has, as it was when it came."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.taken: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
        self.answers: list[asyncio.Future[object]] = []
        self.came = asyncio.Event()
        self.create_batch = Batch

    async def send_batch(self, batch: Batch, _: str, *, partition: int) -> asyncio.Future[object]:
        """Takes a batch, and answers later."""
        for _turn in range(self.chance.randrange(5)):
            await asyncio.sleep(0)
        self.taken[partition] += batch.values
        self.answers.append(asyncio.get_running_loop().create_future())
        self.came.set()
        return self.answers[-1]

    def answer(self) -> None:
        """Acknowledges what has come so far."""
        while self.answers:
            self.answers.pop().set_result(None)

    def sender(self) -> Sender:
        """A sender that sends to it."""
        return Sender(self, "here:1", {"t": PARTITIONS})  # type: ignore[arg-type] # as much of a producer as a sender needs


@pytest.mark.asyncio
async def test_several_tasks_may_share_a_sender(seed: int) -> None:
    """Whoever puts, and whoever sends meanwhile: every record arrives once, and each task's in order."""
    producer = Producer(seed)
    sender = producer.sender()

    async def publish(task: int) -> None:
        for number in range(200):
            await sender.put(Parcel("t", b"%d" % (number % 7), b"%d %03d" % (task, number)))
            if not number % (task + 2):
                await sender.send_all()

    await asyncio.gather(*(publish(task) for task in range(5)))
    await sender.send_all()

    assert Counter(value for values in producer.taken.values() for value in values) == {
        b"%d %03d" % (task, number): 1 for task in range(5) for number in range(200)
    }
    for values in producer.taken.values():
        assert all(own == sorted(own) for task in range(5) if (own := [value for value in values if value.startswith(b"%d " % task)]))


@pytest.mark.asyncio
async def test_a_task_that_is_cancelled_takes_nothing_along(seed: int) -> None:
    """What it was about to send goes with the next who sends."""
    producer = Producer(seed)
    sender = producer.sender()
    for number in range(100):
        await sender.put(Parcel("t", b"%d" % number, b"%d" % number))
        sending = asyncio.create_task(sender.send_all())
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
    await sender.send_all()

    assert sorted(int(value) for values in producer.taken.values() for value in values) == list(range(100))


@pytest.mark.asyncio
async def test_a_flush_waits_for_what_was_sent_before_it(seed: int) -> None:
    """Not for what others send meanwhile; and where an answer does not come in time, that is one line."""
    producer = Producer(seed)
    sender = producer.sender()
    sender.patience = 5
    await sender.put(Parcel("t", b"k", b"before"))
    flushing = asyncio.create_task(sender.flush())
    await producer.came.wait()
    first = producer.answers.pop()
    await sender.put(Parcel("t", b"k", b"meanwhile"))
    await sender.send_all()
    first.set_result(None)
    await flushing

    assert sender.acknowledged == {"t": 1}
    sender.patience = 0
    with pytest.raises(BrokerError, match=r"\Ahere:1: no Kafka answers there; .*\Z"):
        await sender.flush()
    producer.answer()
    await sender.flush()
    assert sender.acknowledged == {"t": 2}
