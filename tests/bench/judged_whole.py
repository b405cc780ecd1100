"""Whether a host has made of the week's events what the bare loop makes of them: each interaction, each customer's chains.

Compared is what does not depend on how many events a host takes at a time, or on its clock: of an interaction its events and to
whom it was sent, of a customer the interactions without their versions, of a chain that was told who belongs to it. The public record
of a chain that is named after an interaction which changed customers depends on which of the two was stitched last: it is left out.
"""

import asyncio
import pickle
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, ValidationError, json, msgpack
from msgspec.structs import replace

from streams.core.facts import Account
from streams.core.identity import readable
from streams.core.past import everything
from streams.core.sealed import body_of
from streams.core.states import ASSEMBLED, CUSTOMER, ENCODE, Assembled, Customer
from streams.core.targets import Rules
from streams.engine.takeover import is_state
from streams.publishing import STRUCTURED
from tests.bench.judged import Verdict, reading, through
from tests.bench.peers import whole_bare
from tests.bench.peers.whole import SNAPSHOTS, Core
from tests.bench.week import Sent, repeated

States = Mapping[bytes, bytes]


class Contact(Struct):
    """What is read of a contact in the public record of a chain."""

    interaction: str


class Public(Struct):
    """What is read of the public record of a chain."""

    contacts: list[Contact]


PUBLIC = json.Decoder(Public)


class Truth(NamedTuple):
    """What must come of events: interactions and customers by key, in a digest each, and the contacts of each chain by its public key.

    ``movers``: by public key, the interactions that may have changed customers on the way.
    """

    interactions: Mapping[bytes, bytes]
    customers: Mapping[bytes, bytes]
    chains: Mapping[bytes, tuple[str, ...]]
    movers: AbstractSet[bytes] = frozenset()


def digest(value: bytes) -> bytes:
    """Enough of a value to tell it from another."""
    return blake2b(value, digest_size=12).digest()


def state_of(key: bytes, body: bytes) -> Assembled | Customer:
    """A state of either stage. ValueError: it is neither an interaction nor a customer."""
    for decoder in ASSEMBLED, CUSTOMER:
        with suppress(ValidationError):
            return decoder.decode(body)
    raise ValueError(f"{key!r}: neither an interaction nor a customer")


def truth_of(states: States) -> Truth:
    """What encoded states say. ValueError: one of them is neither an interaction nor a customer."""
    interactions: dict[bytes, bytes] = {}
    customers: dict[bytes, bytes] = {}
    chains: dict[bytes, tuple[str, ...]] = {}
    rules = Rules()
    for key, value in states.items():
        one = state_of(key, body_of(value))
        if isinstance(one, Assembled):
            interactions[key] = digest(ENCODE([one.sent_to, one.digest, one.until, one.events]))
        else:
            records = sorted((replace(record, version=0) for record in everything(one)), key=lambda record: record.key)
            customers[key] = digest(ENCODE([records, one.markers, one.refused]))
            for chain in Account(records, one.as_of, rules).chains:
                contacts = (reading.record.key.partition("\x1f")[2] for reading in chain.readings)
                chains[readable(chain.id).encode()] = tuple(sorted(contacts))
    return Truth(interactions, customers, chains)


def truth(once: list[Sent], events: int) -> Truth:
    """What the bare loop makes of so many events."""
    replay = whole_bare.empty()
    for part in whole_bare.slices(repeated(once, events)):
        whole_bare.take(replay, part)
    replay.finish()
    if differing := replay.differences():
        raise RuntimeError(f"the bare loop's own trial balance is not 0: {len(differing)} amounts differ")
    return truth_of(whole_bare.states(replay))._replace(movers=movers(repeated(once, events)))


def movers(sent: Iterable[Sent]) -> set[bytes]:
    """The interactions that change customers when events are taken one at a time, and those whose events come from several topics."""
    core, states = Core(), dict[bytes, bytes | None]()
    customers: dict[bytes, set[bytes]] = {}
    homes: dict[bytes, set[str]] = {}
    for one in sent:
        for key, events in core.read(one.key, one.value, STRUCTURED).items():
            states[key], snapshots = core.assemble(key, states.get(key), events)
            customers.setdefault(key, set()).update(customer for customer, _ in snapshots)
            homes.setdefault(key, set()).add(one.home)
    return {readable(key.decode()).encode() for key, those in customers.items() if len(those) > 1 or len(homes[key]) > 1}


def differences(what: str, found: Mapping[bytes, object], ought: Mapping[bytes, object]) -> Iterator[str]:
    """What is missing, too much or other than it ought to be, in words."""
    missing, more = len(ought.keys() - found.keys()), len(found.keys() - ought.keys())
    other = sum(found[key] != value for key, value in ought.items() if key in found)
    if missing or more or other:
        yield f"{what}: of {len(ought):,} {missing:,} are missing, {other:,} are others, {more:,} are too many"


async def in_changelogs(broker: str, topics: Iterable[str]) -> dict[bytes, bytes]:
    """The last state of each key, however a host writes something in front of ours."""
    found: dict[tuple[str, bytes], bytes] = {}
    async with reading(broker, topics) as consumer:
        async for topic, record in through(consumer):
            key = record.key or b""
            if not is_state(key):
                continue
            if record.value is None:
                found.pop((topic, key), None)
            else:
                found[topic, key] = record.value
    return {without_prefix(key): value for (_, key), value in found.items()}


def without_prefix(key: bytes) -> bytes:
    """A state's key: Quix Streams writes the message's key before it, and for the only state of a key its name after it."""
    first, bar, last = key.rpartition(b"|")
    return first if bar and last == b"state" else last


async def told(broker: str, topic: str) -> dict[bytes, tuple[str, ...]]:
    """The contacts of each chain as its last public record has them."""
    found: dict[bytes, bytes] = {}
    async with reading(broker, [topic]) as consumer:
        async for _, record in through(consumer):
            if record.value is None:
                found.pop(record.key, None)
            else:
                found[record.key] = record.value
    return {key: contacts_of(value) for key, value in found.items()}


def contacts_of(value: bytes) -> tuple[str, ...]:
    """The interactions of the public record of a chain."""
    return tuple(sorted(one.interaction for one in PUBLIC.decode(value).contacts))


def in_file(folder: Path) -> dict[bytes, bytes]:
    """The states that the bare loop has left."""
    return msgpack.decode((folder / whole_bare.FILE).read_bytes(), type=dict[bytes, bytes])


def in_snapshots(folder: Path) -> dict[bytes, bytes]:
    """The last state of each key that Bytewax has in its snapshots. They were pickled here, by a host of ours."""
    found: dict[tuple[str, str], tuple[int, bytes | None]] = {}
    for path in sorted((folder / SNAPSHOTS).glob("*.sqlite3")):
        with sqlite3.connect(path) as database:
            for step, key, epoch, change in database.execute("SELECT step_id, state_key, snap_epoch, ser_change FROM snaps"):
                if "stateful" in step and epoch >= found.get((step, key), (-1, None))[0]:
                    found[step, key] = epoch, change
    loaded = {key.encode(): pickle.loads(change) for (_, key), (_, change) in found.items() if change is not None}  # noqa: S301
    return {key: value for key, value in loaded.items() if value is not None}


def settled(chains: Mapping[bytes, tuple[str, ...]], movers: AbstractSet[bytes]) -> dict[bytes, tuple[str, ...]]:
    """The chains that are named after an interaction which has had one customer only."""
    return {key: contacts for key, contacts in chains.items() if key not in movers}


def verdict(states: States, chains: Mapping[bytes, tuple[str, ...]] | None, ought: Truth) -> Verdict:
    """What of states, and of chains as they were told, is not as the bare loop has it."""
    found = truth_of(states)
    wrong = [
        *differences("interactions", found.interactions, ought.interactions),
        *differences("customers", found.customers, ought.customers),
        *(differences("chains told", settled(chains, ought.movers), settled(ought.chains, ought.movers)) if chains is not None else ()),
    ]
    checked = f"{len(ought.interactions):,} interactions, {len(ought.customers):,} customers, {len(ought.chains):,} chains"
    if chains is not None:
        checked += f", {len(settled(ought.chains, ought.movers)):,} of them as told"
    return Verdict(len(chains or ()), tuple(wrong), checked)


def judged(broker: str, run: str, folder: Path, changelogs: Iterable[str], ought: Truth) -> Verdict:
    """What a host got right: by its states, wherever it keeps them, and by what it told of chains."""
    if (folder / whole_bare.FILE).exists():
        return verdict(in_file(folder), None, ought)
    snapshots = (folder / SNAPSHOTS).exists()
    states = in_snapshots(folder) if snapshots else asyncio.run(in_changelogs(broker, changelogs))
    return verdict(states, asyncio.run(told(broker, f"{run}.chains")), ought)
