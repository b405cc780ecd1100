"""The core and a slow, independent second writing of docs/counting.md say the same, whatever came in whatever order."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from io import BytesIO
from itertools import product
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import EVENT_TYPES, Event, Reset, ordered
from schemas.sources import open_source, read_mapping
from streams.core.assemble import current, key_of, unite
from streams.core.contact import Contact
from streams.core.fold import ON, Fold
from streams.core.identity import Identity
from streams.core.interaction import NOT_LIFECYCLE, common
from streams.core.phases import HOLD, OVER, PENDING, QUEUE, RING, TALK
from streams.core.targets import Rules
from streams.replay import Replay
from streams.simulate import simulate
from tests import oracle
from tests.chaos import chaos
from tests.core import accounts, facts
from tests.shared import LOOKALIKES, ROOT, shared

SHUFFLES: Final = int(os.environ.get("KARAR_SHUFFLES", "6"))
"""How many orders of arrival each set of events is tried in; `make shuffles` tries 200."""

HOUR: Final = 3_600_000
TEAMS: Final = {"ann": "red", "bob": "green"}
QUEUES: Final = {"A": "front", "B": "red"}
CONFIGURED: Final = (
    (Rules(), oracle.DEFAULTS),
    (Rules(representatives=TEAMS, queues=QUEUES), oracle.Rules(team_of_representative=TEAMS, team_of_queue=QUEUES)),
)
"""Teams as nobody configured them, and as somebody did."""

LATER: Final = (0, 1, 10_000, 900_000, 10**8, 10**9, 3 * 10**9)


@given(st.integers(0, 1 << 40), st.sampled_from(LATER))
def test_any_events_at_any_later_instant_have_the_facts_of_the_oracle(seed: int, later: int) -> None:
    """Everything is a function of (set of events, now, rules)."""
    events = list(chaos(Random(seed), 3))
    now = max(x.at for x in events) + later
    assert facts(events, now) == oracle.facts(events, now)


@pytest.mark.no_cover
def test_a_fixed_battery_has_the_facts_of_the_oracle() -> None:
    """The same, on events that never change: what `make mutation` judges by."""
    for seed in range(2000):
        random = Random(seed)
        events = list(chaos(random, 3, 18))
        now = max(x.at for x in events) + random.choice(LATER)
        ours, theirs = random.choice(CONFIGURED)
        assert facts(events, now, ours) == oracle.facts(events, now, theirs), f"seed {seed}"


def revised(events: Sequence[Event], random: Random) -> list[Event]:
    """Some events again under their id with other content, in no order: revisions by number, by time, by content."""
    sent = list(events)
    for x in events:
        if random.random() < 0.15:
            other = random.choice([y for y in events if (y.source, y.interaction_id) == (x.source, x.interaction_id)])
            sent.append(replace(other, id=x.id, revision=random.choice((0, 1, 1, 2)), updated_at=random.choice((0, 5))))
    random.shuffle(sent)
    return sent


@pytest.mark.no_cover
def test_revisions_in_any_order_leave_what_the_highest_ones_say() -> None:
    """All revisions stay in the set and the highest is folded; one may take back all that was known of an interaction."""
    for seed in range(1200):
        random = Random(seed)
        sent = revised([x for x in chaos(random, 3, 8) if not isinstance(x, Reset)], random)
        now = max(x.at for x in sent)
        expected = oracle.facts(sent, now)
        assert facts(sent, now) == expected, f"seed {seed}"
        replay = Replay(Rules(), Identity(), 2)
        for start in range(0, len(sent), 5):
            replay.take(sent[start : start + 5])
        replay.finish(now)
        assert {(*s.split("\x1f"), *slot_of(t)): n for (s, t), n in replay.net().items()} == oracle.totals(expected), f"seed {seed}"


def test_chains_hold_the_same_contacts_under_the_same_ids() -> None:
    """What belongs together, by case, time and link; the older id stays."""
    for seed in range(600):
        random = Random(seed)
        events = list(chaos(random, 5, 8))
        now = max(x.at for x in events)
        ours = [(c.id, [r.record.key for r in c.readings], c.activity) for account in accounts(events, now) for c in account.chains]
        theirs = [(c["id"], c["interactions"], c["activity"]) for c in oracle.chains(events, now)]
        assert sorted(ours) == sorted(theirs), f"seed {seed}"


def nonsense() -> list[Event]:
    """Every type in every state."""
    return list(chaos(Random(99), 1500))


def week() -> list[Event]:
    """A believable week of a small center, as it is published: late, twice, out of order; the publishers restart."""
    return list(simulate(seed=11, customers=600, days=7, resets=True))


def queue_log() -> list[Event]:
    """The real queue log; the look-alike where that is not found."""
    path = shared("formats/samples/asterisk/queue_log_freepbx_2010.txt") or LOOKALIKES / "queue_log_new.txt"
    return converted("asterisk-queue-log", path)


def call_center() -> list[Event]:
    """The real event log; the look-alike where that is not found."""
    return converted("csv", shared("data/fluxicon_callcenter/callcenter.csv") or LOOKALIKES / "activities.csv")


def converted(name: str, path: Path) -> list[Event]:
    """A publisher's file as canonical events: its repeated lines are further occurrences."""
    mapping = read_mapping((ROOT / "docs/examples/callcenter.toml").read_text(encoding="utf-8")) if name == "csv" else None
    reads = open_source(name, mapping).read(BytesIO(path.read_bytes()))
    return [x for read in reads for x in read.decoded if isinstance(x, Event)]


SETS: Final[dict[str, Callable[[], list[Event]]]] = {
    "nonsense": nonsense,
    "simulated week": week,
    "queue log": queue_log,
    "call center": call_center,
}


@cache
def told(name: str) -> tuple[tuple[Event, ...], int, Counter[tuple[object, ...]]]:
    """A set of events, its last instant, and what the oracle says of it."""
    events = tuple(SETS[name]())
    now = max(x.at for x in events)
    return events, now, oracle.totals(oracle.facts(events, now))


def arrivals(events: Sequence[Event], random: Random) -> list[Event]:
    """3 % twice, 5 % up to 6 h late; every other time in no order at all."""
    sent = [*events, *random.sample(events, len(events) * 3 // 100)]
    if random.random() < 0.5:
        random.shuffle(sent)
        return sent
    late = [(x.at + (random.randrange(6 * HOUR) if random.random() < 0.05 else 0), random.random(), x) for x in sent]
    return [x for _, _, x in sorted(late, key=lambda row: row[:2])]


def replayed(events: Iterable[Event], now: int, partitions: int) -> Replay:
    """The events through the same steps as a worker's."""
    replay = Replay(Rules(), Identity(), partitions)
    for part in replay.slices(events):
        replay.take(part)
    replay.finish(now)
    return replay


@pytest.mark.slow
@pytest.mark.computes
@pytest.mark.no_cover
@pytest.mark.parametrize("name", SETS)
def test_net_totals_are_those_of_the_oracle_in_any_order_of_arrival(name: str, seed: int) -> None:
    """Duplicates, disorder and late events need no special case: they are set union, and the difference comes out exact."""
    events, now, expected = told(name)
    for shuffle in range(SHUFFLES):
        random = Random(f"{seed}-{name}-{shuffle}")
        replay = replayed(arrivals(events, random), now, random.choice((1, 3)))
        actual = {(*series.split("\x1f"), *slot_of(slot)): amount for (series, slot), amount in replay.net().items()}
        assert dict(expected) == actual, f"seed {seed}, shuffle {shuffle}"
        if shuffle < 2:
            assert replay.differences() == {}, "the trial balance"


def slot_of(slot: str) -> tuple[object, ...]:
    """A slot in the oracle's words."""
    if not slot:
        return ()
    return (slot,) if slot == "sum" else ("bucket", int(slot))


@pytest.mark.slow
@pytest.mark.computes
def test_every_type_of_event_met_every_state() -> None:
    """What was compared above has seen every pair (event type, state of the interaction)."""
    seen: set[tuple[str, str]] = set()
    for name in SETS:
        sets: dict[bytes, list[Event]] = {}
        for x in told(name)[0]:
            if not isinstance(x, Reset):
                sets.setdefault(key_of(x), []).append(x)
        for key, group in sets.items():
            seen |= met(key.decode(), current(sorted(unite([], group, 0, {}), key=ordered)))
    states = (RING, QUEUE, TALK, HOLD, PENDING, OVER)
    types = [name for name in EVENT_TYPES if name != "reset"]
    assert set(product(types, states)) - seen == set()


def met(key: str, events: Sequence[Event]) -> set[tuple[str, str]]:
    """Which event met which state in one interaction."""
    state: Contact = Fold(common(key, events, Identity())[0])
    pairs = set()
    for x in events:
        if type(x) not in NOT_LIFECYCLE:
            state.expire(x.at)
        pairs.add((str(type(x).__struct_config__.tag), state.phase))
        if (apply := ON.get(type(x))) is not None:
            apply(state, x)  # type: ignore[arg-type]
    return pairs
