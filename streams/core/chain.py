"""Interactions to chains: which contacts of one customer belong together, and until when (docs/counting.md, 7)."""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.records import Interaction
from streams.core.links import Link
from streams.core.reading import Facts, Key, Reading
from streams.core.targets import CASE_GAP, CHAIN_GAP

NOTHING: Final[Facts] = {}


class Told:
    """What a chain tells at an instant: its facts, its weakest link so far, and until when that stays so if nothing comes.

    The facts are those of ``keys``, as often as each stands there, and amounts of ``more``.
    """

    __slots__ = ("due", "keys", "more", "weakest")

    def __init__(self, keys: list[Key], weakest: Link | None, due: int, more: Facts = NOTHING) -> None:
        self.keys, self.more, self.weakest, self.due = keys, more, weakest, due

    def facts(self) -> Facts:
        """All of them, with how often each is true."""
        return self.more | tally(self.keys)


Signature = tuple[int, int, Link | None, str, bool, str | tuple[str, ...]]
"""What a public record is told anew for: moments, transfers, the weakest link (None where no expectation applied, `PERFECT` where all
were met), outcome, closed, contacts."""


class Chain:
    """One customer's contacts and work in one matter, in order of start.

    ``activity`` is the last known instant of any of them, of one that goes on that of its presumed end: a chain does not close before.
    ``limit``: with so many ``links`` it is full, and the next chain goes on; ``cuts``: how often what belongs here stayed outside.
    ``told``: what it tells, and ``signed``: what its public record says, where that has been read (`streams.core.facts.Account`).
    """

    __slots__ = ("activity", "case_id", "cuts", "id", "limit", "links", "readings", "signed", "told")

    def __init__(self, first: Reading, limit: int) -> None:
        self.id = first.record.key
        self.case_id = first.record.case_id
        self.readings = [first]
        self.activity = first.record.active_until
        self.links = links_of(first.record)
        self.limit, self.cuts = limit, 0
        self.told: Told | None = None
        self.signed: Signature | None = None

    def take(self, reading: Reading) -> None:
        """The next contact of this chain."""
        self.readings.append(reading)
        self.links += links_of(reading.record)
        self.activity = max(self.activity, reading.record.active_until)

    def join(self, other: "Chain") -> None:
        """A link bridges two chains: the older one stays."""
        self.readings = sorted(self.readings + other.readings, key=order)
        self.id = self.readings[0].record.key
        self.case_id = self.case_id or other.case_id
        self.activity = max(self.activity, other.activity)
        self.links += other.links
        self.cuts += other.cuts

    def read(self) -> None:
        """Reads what of its contacts has not been read yet."""
        for reading in self.readings:
            if not reading.is_read:
                reading.read()

    @property
    def full(self) -> bool:
        """Whether nobody is placed in it any more: by its own members alone, or what leaves the table would move those who stay."""
        return self.links >= self.limit

    @property
    def start(self) -> int:
        """When the first contact began."""
        return self.readings[0].record.start

    @property
    def closes_at(self) -> int:
        """When it closes if nothing more comes: a case stays open longer."""
        return self.activity + (CASE_GAP if self.case_id else CHAIN_GAP)


def tally(told: Iterable[Key]) -> Facts:
    """How often each fact was told."""
    facts: Facts = {}
    for key in told:
        facts[key] = facts.get(key, 0) + 1
    return facts


def order(reading: Reading) -> tuple[int, int, str]:
    """The order in which contacts are placed."""
    record = reading.record
    return record.start, record.sequence, record.key


def links_of(record: Interaction) -> int:
    """How many links a contact brings to its chain: waits, touches, handovers, works, at least one. Neither now nor rules change it."""
    return max(1, len(record.entries) + len(record.touches) + len(record.handovers) + len(record.works))


def place(readings: Iterable[Reading], limit: int) -> list[Chain]:
    """The chains of one customer. Cases are never joined with one another; a contact without one follows the last activity.

    Who finds only a chain that is full, with ``limit`` links or more, begins the next one. Nobody's place depends on another chain but by
    choosing the best of those that would take him: so without one of the chains, the others are what they were.
    """
    chains: list[Chain] = []
    near: list[Chain] = []
    cases: dict[str, Chain] = {}
    ordered = sorted(readings, key=order)
    for reading in ordered:
        record, case_id = reading.record, reading.record.case_id
        chain: Chain | None = None
        if case_id:
            chain = cases.get(case_id)
        elif record.identified:
            near = [c for c in near if c.activity + CHAIN_GAP >= record.start]  # starts rise: who is too far now stays so
            chain = nearest(near)
        if chain is not None and not chain.full:
            chain.take(reading)
            if case_id and chain not in near:
                near.append(chain)
            continue
        if chain is not None:
            chain.cuts += 1
        chain = Chain(reading, limit)
        chains.append(chain)
        near.append(chain)
        if case_id:
            cases[case_id] = chain
    if any(r.record.linked for r in ordered):
        chains = bridge(chains, ordered, limit)
    return chains


def nearest(near: Sequence[Chain]) -> Chain | None:
    """The chain active last of those whose activity lies at most a day before a start, a full one only if all are; ties by id."""
    if len(near) <= 1:
        return near[0] if near else None
    return min(near, key=lambda c: (c.full, -c.activity, c.id))


def bridge(chains: list[Chain], ordered: Iterable[Reading], limit: int) -> list[Chain]:
    """Joins what the publisher linked, unless both are cases, or too long together."""
    home = {r.record.key: chain for chain in chains for r in chain.readings}
    for reading in ordered:
        for other in reading.record.linked:
            a, b = home[reading.record.key], home.get(other)
            if b is None or a is b or (a.case_id and b.case_id):
                continue
            if a.links + b.links > limit:
                a.cuts += 1
                continue
            a.join(b)
            chains.remove(b)
            for moved in b.readings:
                home[moved.record.key] = a
    return chains
