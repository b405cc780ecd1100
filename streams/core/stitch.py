"""Stage 2: an interaction joins its customer's chains; what that makes true is booked, what it makes untrue is retracted.

Key: the customer. The state is the set of the customer's interactions, those of closed chains put by (`streams.core.past`), the
instant of the last booking (`as_of`: facts can be recomputed from the state alone), markers of chains that were archived, and the
interactions that were refused for coming after.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import json, msgpack
from msgspec.structs import replace

from schemas.records import Interaction, Late, Moved
from streams.core import alerts, moments, public
from streams.core.assemble import archived_from
from streams.core.facts import Account, Differing
from streams.core.identity import UNIT, readable, unescaped
from streams.core.past import called_back, closes_at, everything, put_by
from streams.core.reading import Facts
from streams.core.sealed import body_of, due_of, seal
from streams.core.series import HELD, REFUSED
from streams.core.states import CUSTOMER, ENCODE, Customer, Marker, Refused
from streams.core.step import DEAD_LETTERS, NEVER, TOO_LATE, Change, Difference, Output
from streams.core.targets import CHAIN_GAP, KEPT, Rules

MEMO: Final = 512
LARGE: Final = 400_000
"""A state of so many bytes is left as it is: what is put by takes some more room, and a state that fits no record stops its customer."""


MOVED_FIELDS: Final = len(Moved.__struct_fields__)
INTERACTION: Final = msgpack.Decoder(Interaction)
MOVED: Final = msgpack.Decoder(Moved)


def decode(value: bytes) -> Interaction | Moved:
    """A record of the interactions topic; a `Moved` is the shorter array."""
    return MOVED.decode(value) if value[0] == 0x90 + MOVED_FIELDS else INTERACTION.decode(value)


class Taken:
    """What records make of a customer's set of interactions.

    ``touched``: those that arrived or went, or have guests (time may make a moment of one), as they were before; ``moved``: what took
    some away; ``late``: who came for an archived chain.
    """

    __slots__ = ("held", "kept", "late", "markers", "moved", "refused", "touched")

    def __init__(self, customer: Customer, kept: int) -> None:
        self.held = {r.key: r for r in customer.records}
        self.refused = {r.interaction: r for r in customer.refused}
        self.markers, self.kept = customer.markers, kept
        self.touched: dict[str, Interaction | None] = {r.key: r for r in customer.records if r.guests}
        self.moved: dict[str, Moved] = {}
        self.late: list[Interaction] = []

    def take(self, x: Interaction | Moved) -> None:
        """One record joins the set: the larger version replaces, a move removes, what belongs to an archived chain is too late."""
        match x:
            case Moved():
                other = self.held.get(x.interaction)
                if other is not None and other.version < x.version:
                    self.touched.setdefault(x.interaction, other)
                    del self.held[x.interaction]
                    self.moved[x.interaction] = x
                gone = self.refused.get(x.interaction)
                if gone is not None and gone.version < x.version:
                    del self.refused[x.interaction]
            case Interaction():
                other = self.held.get(x.key)
                if other is None and any(belongs(x, marker) for marker in self.markers):
                    self.late.append(x)
                    if all(x.key not in marker.interactions for marker in self.markers):
                        self.refused[x.key] = Refused(x.key, x.version, archived_from(x, self.kept) + self.kept)
                elif other is None or other.version < x.version:
                    self.touched.setdefault(x.key, other)
                    self.held[x.key] = x
                    self.refused.pop(x.key, None)


class Stitch:
    """The step of stage 2. State of a chain is kept for ``kept`` ms after it closed; ``tells``: whether moments, chains and alerts go out.

    The memo saves decoding and reading again what the same bytes said last time.
    """

    def __init__(self, rules: Rules, kept: int = KEPT, *, tells: bool = True) -> None:
        self.rules, self.kept, self.tells = rules, kept, tells
        self.memo: dict[bytes, tuple[bytes, Customer, Account]] = {}

    def step(self, key: bytes, old: bytes | None, records: Sequence[Interaction | Moved], now: int, wall: int | None = None) -> Change:
        """Interactions for one customer. Returns the new set and the difference of facts.

        What time takes from the table goes before what arrives, whether a sweep has found it or not. ``wall``: the instant (ms) of the
        clock on the wall where that is not ``now``; an alert may be stale by it.
        """
        wall = now if wall is None else wall
        if records and old is not None and self.is_ripe(key, old, now):
            first = self.join(key, old, (), now, wall)
            return both(first, self.join(key, first.value, records, now, wall))
        return self.join(key, old, records, now, wall)

    def is_ripe(self, key: bytes, old: bytes, now: int) -> bool:
        """Whether some of a customer's state is due to leave the table."""
        if now < due_of(old):
            return False
        customer, account = self.recall(key, old)
        return min(self.ends(account, customer), default=NEVER) <= now

    def ends(self, account: Account, customer: Customer) -> list[int]:
        """When each part of a customer's state is due to leave the table."""
        found = [chain.closes_at + self.kept for chain in account.chains] + [closes_at(past) + self.kept for past in customer.past]
        return found + [m.until for m in customer.markers] + [r.until for r in customer.refused]

    def join(self, key: bytes, old: bytes | None, records: Sequence[Interaction | Moved], now: int, wall: int) -> Change:
        """Interactions join the set; what has been in the table for long enough leaves it.

        Without records and before the key is due, it is counted anew: other rules may say something else of what was put by.
        """
        counts: dict[tuple[str, ...], int] = {}
        customer, before = self.recall(key, old)
        now = max(now, customer.as_of)
        was = customer.past
        anew = old is not None and not records and now < due_of(old)
        if was:
            customer = replace(customer, records=everything(customer), past=[]) if anew else called_back(customer, records, now - self.kept)
            if customer.past is not was:
                before = Account(customer.records, customer.as_of, self.rules)
        taken = Taken(customer, self.kept)
        for x in records:
            taken.take(x)
        kept, refused = list(taken.held.values()), taken.refused.values()
        account = Account(kept, now, self.rules, before)
        differing = Differing(before, account)
        changes = differing.facts()
        if account.cuts > before.cuts:
            counts["truncated_total", "links"] = account.cuts - before.cuts
        if len(kept) != len(customer.records) or refused or customer.refused:
            changes += conserved(len(kept) - len(customer.records), len(refused) - len(customer.refused))
        outputs = letters(key, taken.late, counts) if taken.late else []
        if self.tells:
            if taken.touched:
                outputs += moments.told(key, taken.touched, taken.held, taken.moved, customer.as_of, now, self.rules)
            outputs += public.told(key, differing, taken.moved, strangers(records, customer))
            outputs += alerts.told(key, differing, taken.moved, wall)
        gone, archived, markers = archive(account, customer.markers, now, self.kept, counts)
        still = [r for r in refused if now < r.until] if refused else []
        if len(still) != len(refused):
            archived += conserved(0, len(refused) - len(still))
        if gone:
            kept = [r for r in kept if r.key not in gone]
            account = Account(kept, now, self.rules, account)
        closed = anew or customer.past is not was or min([chain.closes_at for chain in differing.new], default=NEVER) <= now
        value, due = self.remember(key, account, Customer(now, kept, markers, still, customer.past), closed=closed)
        return Change(value=value, due=due, bookings=changes, archived=archived, outputs=tuple(outputs), counts=counts)

    def remember(self, key: bytes, account: Account, customer: Customer, *, closed: bool) -> tuple[bytes | None, int]:
        """The encoded state, and the instant at which it is due; the state is gone where nothing is left.

        ``closed``: whether there may be chains to put by. A state that is large already does not grow by that.
        """
        is_open = any(account.now < chain.closes_at for chain in account.chains)
        waiting = account.waiting() if is_open else ()
        ends = self.ends(account, customer)
        if not ends:
            self.memo.pop(key, None)
            return None, NEVER
        due = min(account.due, *ends)
        body = ENCODE(customer)
        if closed and len(body) < LARGE:
            put, staying = put_by(account, customer.records)
            if put:
                customer = replace(customer, records=staying, past=[*customer.past, *put])
                account = Account(staying, account.now, self.rules, account)
                body = ENCODE(customer)
        value = seal(due, body, is_open=is_open, waiting=waiting)
        if len(self.memo) >= MEMO:
            self.memo.clear()
        self.memo[key] = value, customer, account
        return value, due

    def recall(self, key: bytes, old: bytes | None) -> tuple[Customer, Account]:
        """The decoded state and its account, from the memo if it holds exactly these bytes."""
        known = self.memo.get(key)
        if known is not None and known[0] is old:
            return known[1:]
        customer = CUSTOMER.decode(body_of(old)) if old is not None else Customer(0, [])
        return customer, Account(customer.records, customer.as_of, self.rules)

    def facts(self, value: bytes) -> Facts:
        """The facts that an encoded state stands for: the trial balance adds these up."""
        customer = CUSTOMER.decode(body_of(value))
        records = everything(customer)
        total = Account(records, customer.as_of, self.rules).total()
        return total | dict(conserved(len(records), len(customer.refused)))


def conserved(held: int, refused: int) -> list[Difference]:
    """What conservation must know: how many more interactions are held and refused."""
    return [((name,), number) for name, number in ((HELD, held), (REFUSED, refused)) if number]


def letters(key: bytes, late: Iterable[Interaction], counts: dict[tuple[str, ...], int]) -> list[Output]:
    """Interactions that came for an archived chain: counted by source, and told as dead letters."""
    outputs = []
    for x in late:
        for label in ("too_late_total",), ("dead_letters_total", "too_late"):
            name = label[0], unescaped(x.key.partition(UNIT)[0]), *label[1:]
            counts[name] = counts.get(name, 0) + 1
        told = Late(
            interaction=readable(x.key), version=x.version, customer=readable(key.decode()), start=x.start, active_until=x.active_until,
        )  # fmt: skip
        outputs.append(Output(DEAD_LETTERS, key, json.encode(told), None, TOO_LATE))
    return outputs


def strangers(records: Sequence[Interaction | Moved], customer: Customer) -> set[str]:
    """Interactions that were another customer's before they came here: the first version seen here is not their first."""
    known = {r.key for r in customer.records}.union(*(m.interactions for m in customer.markers))
    versions: dict[str, int] = {}
    for x in records:
        if isinstance(x, Interaction) and x.key not in known:
            versions.setdefault(x.key, x.version)
    return {key for key, version in versions.items() if version > 1}


def archive(
    account: Account, markers: Sequence[Marker], now: int, kept_for: int, counts: dict[tuple[str, ...], int],
) -> tuple[set[str], list[Difference], list[Marker]]:  # fmt: skip
    """Chains whose time in the table is over: their facts go to the archive, a marker stays as long again."""
    kept = [m for m in markers if now < m.until]
    archived: list[Difference] = []
    gone: set[str] = set()
    for chain in account.chains:
        if now < chain.closes_at + kept_for:
            continue
        archived += account.told(chain).facts().items()
        keys = tuple(r.record.key for r in chain.readings)
        gone.update(keys)
        archived += conserved(len(keys), 0)
        if now < (until := chain.closes_at + 2 * kept_for):
            # of a chain that was cut, its case goes on in the next one
            kept.append(Marker("" if chain.full else chain.case_id, chain.start, chain.activity, keys, until))
        counts["chains_archived_total",] = counts.get(("chains_archived_total",), 0) + 1
    return gone, archived, kept


def both(first: Change, then: Change) -> Change:
    """Two changes of one key, one after the other, as one."""
    return Change(
        value=then.value,
        due=then.due,
        bookings=[*first.bookings, *then.bookings],
        archived=[*first.archived, *then.archived],
        outputs=first.outputs + then.outputs,
        counts=dict(Counter(first.counts) + Counter(then.counts)),
    )


def belongs(x: Interaction, marker: Marker) -> bool:
    """Whether an interaction would have joined an archived chain."""
    if x.key in marker.interactions or (x.case_id and x.case_id == marker.case_id):
        return True
    return x.identified and not x.case_id and marker.start - CHAIN_GAP <= x.start <= marker.activity + CHAIN_GAP
