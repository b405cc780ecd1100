"""The whole workload of the benchmark: the same week for all, and a host is right when it has what the bare loop has."""

from collections.abc import Iterable
from itertools import islice
from zlib import crc32

import pytest

from schemas.codec import decode
from schemas.events import Event
from streams.core.step import Output
from streams.publishing import STRUCTURED
from tests.bench import workers
from tests.bench.judged_whole import Truth, contacts_of, truth, truth_of, verdict, without_prefix
from tests.bench.peers.whole import Core
from tests.bench.week import LOGS, MARK, Sent, logs, repeated, topics_of, week
from tests.shared import real_or_skip

pytestmark = pytest.mark.no_cover

EVENTS = 3_000


@pytest.fixture(scope="module")
def once() -> list[Sent]:
    """A small week."""
    return week(customers=300)


@pytest.fixture(scope="module")
def ought(once: list[Sent]) -> Truth:
    """What must come of it."""
    return truth(once, EVENTS)


Contacts = dict[bytes, tuple[str, ...]]


def hear(told: Contacts, outputs: Iterable[Output]) -> None:
    """What the topic of chains says of each after some more records."""
    for output in outputs:
        if output.topic == "chains" and output.key is not None:
            told.pop(output.key, None)
            if output.value is not None:
                told[output.key] = contacts_of(output.value)


def hosted(sent: list[Sent], shards: int = 1, every: int = 1) -> tuple[Core, dict[bytes, bytes], Contacts]:
    """Events one at a time through both stages, as the peers take them: the states, and the chains as they were told last.

    ``every`` so many events, the snapshots of one shard of customers after another are stitched.
    """
    core, states, told = Core(), dict[bytes, bytes](), Contacts()
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in range(shards)]

    def keep(key: bytes, state: bytes | None) -> None:
        states.pop(key, None)
        if state is not None:
            states[key] = state

    def stitch(shard: list[tuple[bytes, bytes]]) -> None:
        for customer, snapshot in shard:
            state, outputs = core.stitch(customer, states.get(customer), snapshot)
            keep(customer, state)
            hear(told, outputs)
        shard.clear()

    for number, one in enumerate(sent):
        for key, events in core.read(one.key, one.value, STRUCTURED).items():
            state, snapshots = core.assemble(key, states.get(key), events)
            keep(key, state)
            for customer, snapshot in snapshots:
                waiting[crc32(customer) % shards].append((customer, snapshot))
        if not number % every:
            stitch(waiting[number // every % shards])
    for shard in waiting:
        stitch(shard)
    return core, states, told


def test_the_week_is_repeated_for_other_customers(once: list[Sent]) -> None:
    """So many events as are asked for; interactions of one repetition are none of another's, and nothing is left of the mark."""
    number = 2 * len(once)
    sent = list(repeated(once, number))
    assert len(sent) == number
    assert not any(MARK.encode() in one.key + one.value for one in sent)
    first, second = ({one.key for one in sent if one.key.endswith(name)} for name in (b".0", b".1"))
    assert len(first) == len(second) == len({one.key for one in once})
    assert {one.key for one in sent} == first | second
    assert list(islice(repeated(once, number), 10)) == sent[:10]
    people = {tuple(sorted(x.identifiers.items())) for x in decoded(sent) if x.identifiers}
    first_people = {names for names in people if all(value.endswith(".0") for _, value in names)}
    assert len(people) == 2 * len(first_people) > 100


def test_real_logs_are_repeated_alike() -> None:
    """Each of their events is one to the codec; whoever takes them one at a time comes to what slices come to."""
    for name, *_ in LOGS:
        real_or_skip(name)
    found = logs()
    sent = list(repeated(found[:EVENTS], 2 * EVENTS))
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert len(found) > 15_000
    assert len(decoded(sent)) == 2 * EVENTS
    ought = truth(found[:EVENTS], 2 * EVENTS)
    _, states, told = hosted(sent)
    assert verdict(states, told, ought).wrong == ()
    assert len(ought.customers) > 1_000


def decoded(sent: list[Sent]) -> list[Event]:
    """The events that records say."""
    return [x for one in sent for x in decode(one.value, STRUCTURED) if isinstance(x, Event)]


def test_every_event_is_one_to_the_codec(once: list[Sent]) -> None:
    """A record is one event, so that who counts events counts records."""
    sent = list(repeated(once, EVENTS))
    assert len(decoded(sent)) == EVENTS
    assert topics_of("x", as_one=True) == dict.fromkeys(("calls", "visits", "feedback"), "x.calls")
    assert {one.home for one in sent} <= topics_of("x", as_one=False).keys()


def test_one_at_a_time_comes_to_what_slices_come_to(once: list[Sent], ought: Truth) -> None:
    """However many events a host takes at a time: the same interactions, the same customers, the same chains."""
    core, states, told = hosted(list(repeated(once, EVENTS)))
    assert core.figures() == {"events": EVENTS, "left": 0}
    assert core.stitched > len(ought.interactions) > 100
    assert verdict(states, told, ought).wrong == ()
    assert told == ought.chains


def test_it_does_not_matter_which_customers_are_stitched_first(once: list[Sent], ought: Truth) -> None:
    """Shards go at their own pace; a chain that is named after an interaction which changed customers is left out, the others are not."""
    for every in (7, 40, EVENTS):
        _, states, told = hosted(list(repeated(once, EVENTS)), shards=8, every=every)
        assert verdict(states, told, ought).wrong == ()
    assert len(ought.chains.keys() - ought.movers) > len(ought.chains) / 2


def test_what_a_host_has_lost_or_made_up_is_wrong(once: list[Sent], ought: Truth) -> None:
    """An event left out, a snapshot lost between the stages, a state too many, a chain not told: each is named."""
    sent = list(repeated(once, EVENTS))
    _, states, _ = hosted(sent)
    _, fewer, _ = hosted(sent[:-1])
    assert verdict(fewer, ought.chains, ought).wrong

    customer = next(iter(ought.customers))
    lost = {key: value for key, value in states.items() if key != customer}
    wrong = verdict(lost, ought.chains, ought).wrong
    assert wrong == (f"customers: of {len(ought.customers):,} 1 are missing, 0 are others, 0 are too many",)

    wrong = verdict(states | {b"nobody": states[customer]}, ought.chains, ought).wrong
    assert wrong == (f"customers: of {len(ought.customers):,} 0 are missing, 0 are others, 1 are too many",)

    chain = next(key for key in ought.chains if key not in ought.movers)
    told = dict(ought.chains) | {chain: ("somebody else",)}
    wrong = verdict(states, told, ought).wrong
    assert wrong == (f"chains told: of {len(ought.chains.keys() - ought.movers):,} 0 are missing, 1 are others, 0 are too many",)
    with pytest.raises(ValueError, match="neither"):
        truth_of({b"x": bytes(9) + b"\x91"})


@pytest.mark.parametrize(("key", "ours"), [(b"i1|sim\x1fi1", b"sim\x1fi1"), (b"phone:0|state", b"phone:0"), (b"phone:0", b"phone:0")])
def test_what_quix_writes_around_a_key_is_no_part_of_it(key: bytes, ours: bytes) -> None:
    """A message's key before it, or the name of its only state behind it."""
    assert without_prefix(key) == ours


def test_a_worker_has_not_done_all_before_its_last_shard_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What that one lacks is in no gauge yet, and a host that is ended then has states missing."""
    told = iter((b"", b'{"shards": [{"state": "open"}, {"state": "catching up"}]}', b'{"shards": [{"state": "open"}, {"state": "open"}]}'))
    monkeypatch.setattr(workers, "ready", lambda _: next(told))
    monkeypatch.setattr(workers, "scraped", lambda *_: "")
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0)

    assert [row["left"] for row in islice(workers.seen(0), 4)] == [1, 1, 0, 0]
