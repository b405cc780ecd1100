"""Stage 2: an interaction joins its customer's chains; what that makes true is booked, what it makes untrue is retracted.

Key: the customer. The state is the set of the customer's interactions, the instant of the last booking (`as_of`: facts can be
recomputed from the state alone), and markers of chains that were archived.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, msgpack

from schemas.records import Interaction, Moved
from streams.core.facts import Account, difference
from streams.core.identity import UNIT, unescaped
from streams.core.reading import Facts
from streams.core.step import NEVER, Change, Difference, body_of, seal
from streams.core.targets import CHAIN_GAP, KEPT, Rules

MEMO: Final = 4_096


class Marker(Struct, array_like=True, frozen=True):
    """What stays of an archived chain, so that what comes after it is too late and never a new chain."""

    case_id: str
    start: int
    activity: int
    interactions: tuple[str, ...]
    until: int


class Customer(Struct, array_like=True, gc=False):
    """One customer's interactions, and the instant their facts were last booked at."""

    as_of: int
    records: list[Interaction]
    markers: list[Marker] = []


STATE: Final = msgpack.Decoder(Customer)
MOVED_FIELDS: Final = len(Moved.__struct_fields__)
INTERACTION: Final = msgpack.Decoder(Interaction)
MOVED: Final = msgpack.Decoder(Moved)
ENCODE: Final = msgpack.Encoder().encode


def decode(value: bytes) -> Interaction | Moved:
    """A record of the interactions topic; a `Moved` is the shorter array."""
    return MOVED.decode(value) if value[0] == 0x90 + MOVED_FIELDS else INTERACTION.decode(value)


class Stitch:
    """The step of stage 2. State of a chain is kept for ``kept`` ms after it closed.

    The memo saves decoding and reading again what the same bytes said last time.
    """

    def __init__(self, rules: Rules, kept: int = KEPT) -> None:
        self.rules, self.kept = rules, kept
        self.memo: dict[bytes, tuple[bytes, Customer, Facts]] = {}

    def step(self, key: bytes, old: bytes | None, records: Sequence[Interaction | Moved], now: int) -> Change:
        """Interactions for one customer. Returns the new set and the difference of facts."""
        counts: dict[tuple[str, ...], int] = {}
        customer, before = self.recall(key, old)
        now = max(now, customer.as_of)
        held = {r.key: r for r in customer.records}
        for x in records:
            take(held, customer.markers, x, counts)
        kept = list(held.values())
        account = Account(kept, now, self.rules)
        changes = difference(total := account.total(), before)
        archived, markers = archive(account, customer.markers, now, self.kept, counts)
        if archived:
            gone = {key for marker in markers for key in marker.interactions}
            kept = [r for r in kept if r.key not in gone]
            account = Account(kept, now, self.rules)
            total = account.total()
        if not kept and not markers:
            self.memo.pop(key, None)
            return Change(value=None, bookings=changes, archived=archived, counts=counts)
        due = min((account.due, *(c.closes_at + self.kept for c in account.chains), *(m.until for m in markers)), default=NEVER)
        customer = Customer(now, kept, markers)
        is_open = any(now < chain.closes_at for chain in account.chains)
        value = seal(due, ENCODE(customer), is_open=is_open, waiting=account.waiting() if is_open else ())
        if len(self.memo) >= MEMO:
            self.memo.clear()
        self.memo[key] = value, customer, total
        return Change(value=value, due=due, bookings=changes, archived=archived, counts=counts)

    def recall(self, key: bytes, old: bytes | None) -> tuple[Customer, Facts]:
        """The decoded state and its facts, from the memo if it holds exactly these bytes."""
        if old is None:
            return Customer(0, []), {}
        known = self.memo.get(key)
        if known is not None and known[0] is old:
            return known[1], known[2]
        customer = STATE.decode(body_of(old))
        return customer, Account(customer.records, customer.as_of, self.rules).total()

    def facts(self, value: bytes) -> Facts:
        """The facts that an encoded state stands for: the trial balance adds these up."""
        customer = STATE.decode(body_of(value))
        return Account(customer.records, customer.as_of, self.rules).total()


def archive(
    account: Account, markers: Sequence[Marker], now: int, kept_for: int, counts: dict[tuple[str, ...], int],
) -> tuple[list[Difference], list[Marker]]:  # fmt: skip
    """Chains whose time in the table is over: their facts go to the archive, a marker stays as long again."""
    kept = [m for m in markers if now < m.until]
    archived: list[Difference] = []
    for chain, facts in zip(account.chains, account.facts, strict=True):
        if now < chain.closes_at + kept_for:
            continue
        archived += facts.items()
        keys = tuple(r.record.key for r in chain.readings)
        kept.append(Marker(chain.case_id, chain.start, chain.activity, keys, chain.closes_at + 2 * kept_for))
        counts["chains_archived_total",] = counts.get(("chains_archived_total",), 0) + 1
    return archived, kept


def take(
    held: dict[str, Interaction], markers: Iterable[Marker], x: Interaction | Moved, counts: dict[tuple[str, ...], int],
) -> None:  # fmt: skip
    """One record joins the set: the larger version replaces, a move removes, what belongs to an archived chain is too late."""
    match x:
        case Moved():
            other = held.get(x.interaction)
            if other is not None and other.version < x.version:
                del held[x.interaction]
        case Interaction():
            other = held.get(x.key)
            if other is None and any(belongs(x, marker) for marker in markers):
                label = ("too_late_total", unescaped(x.key.partition(UNIT)[0]))
                counts[label] = counts.get(label, 0) + 1
                return
            if other is None or other.version < x.version:
                held[x.key] = x


def belongs(x: Interaction, marker: Marker) -> bool:
    """Whether an interaction would have joined an archived chain."""
    if x.key in marker.interactions or (x.case_id and x.case_id == marker.case_id):
        return True
    return x.identified and not x.case_id and marker.start - CHAIN_GAP <= x.start <= marker.activity + CHAIN_GAP
