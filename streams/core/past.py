"""Closed chains put by: kept for as long as any, but not decoded, placed and read again in every step of their customer.

What is put by must be what it would be if it were not. Who is placed where depends on chains and contacts that are near one another
(`streams.core.chain.place`): in the same case, linked, or with no more than a day between them. So a closed chain is put by where no
contact that stays is near it, nor near to what is near it, and so on; and it comes back, with all that is near to it, as soon as a record
is. Its facts hang on no clock any more.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from schemas.records import Interaction, Moved
from streams.core.chain import Chain
from streams.core.facts import Account
from streams.core.states import ENCODE, INTERACTIONS, Customer, Past
from streams.core.step import NEVER
from streams.core.targets import CASE_GAP, CHAIN_GAP

NONE: Final[list[Past]] = []


def closes_at(past: Past) -> int:
    """When a chain that was put by closed."""
    return past.activity + (CASE_GAP if past.case_id else CHAIN_GAP)


def called_back(customer: Customer, records: Sequence[Interaction | Moved], gone: int) -> Customer:
    """The customer with those chains among the others again that records may change, or that have closed by ``gone`` (ms)."""
    concerned = {n for n, past in enumerate(customer.past) if closes_at(past) <= gone or is_concerned(past, records)}
    if not concerned:
        return customer
    back: list[Past] = []
    staying: list[Past] = []
    for group in near_one_another(customer.past):
        (staying if concerned.isdisjoint(group) else back).extend([customer.past[n] for n in group])
    return replace(customer, records=[*customer.records, *recalled(back)], past=staying)


def is_concerned(past: Past, records: Sequence[Interaction | Moved]) -> bool:
    """Whether any of some records concerns a chain that was put by."""
    for x in records:  # noqa: SIM110 - a generator costs more than all that it asks, where this is compiled
        if concerns(x, past):
            return True
    return False


def concerns(x: Interaction | Moved, past: Past) -> bool:
    """Whether a record may change who is placed in a chain, or be placed there itself."""
    if isinstance(x, Moved):
        return x.interaction in past.keys
    if x.start <= past.activity + CHAIN_GAP and past.start <= x.active_until + CHAIN_GAP:
        return True
    if x.case_id and x.case_id == past.case_id:
        return True
    return x.key in past.keys or x.key in past.linked or (bool(x.linked) and not set(x.linked).isdisjoint(past.keys))


def everything(customer: Customer) -> list[Interaction]:
    """All interactions of a customer, also those of chains that were put by."""
    return [*customer.records, *recalled(customer.past)] if customer.past else customer.records


def recalled(chains: Iterable[Past]) -> list[Interaction]:
    """The interactions of chains that were put by."""
    found: list[Interaction] = []
    for past in chains:
        for key, record in zip(past.keys, INTERACTIONS.decode(past.records), strict=True):
            record.key = key
            found.append(record)
    return found


def put_by(account: Account, kept: list[Interaction]) -> tuple[list[Past], list[Interaction]]:
    """The chains of an account that no step need touch until something concerns them, and those of ``kept`` that are in none of them."""
    closed = [chain for chain in account.chains if account.now >= chain.closes_at]
    if not closed:
        return NONE, kept
    closing = {reading.record.key for chain in closed for reading in chain.readings}
    outlines = [outline(chain) for chain in closed]
    outlines += [outline_of([record], record.case_id) for record in kept if record.key not in closing]
    found: list[Past] = []
    away: set[str] = set()
    for group in near_one_another(outlines):
        if max(group) < len(closed) and min([account.told(closed[n]).due for n in group]) == NEVER:
            for n in group:
                past, given = outlines[n], [reading.given for reading in closed[n].readings]
                past.records = Raw(ENCODE([replace(record, key="") for record in given]))
                found.append(past)
                away.update(past.keys)
    return found, [record for record in kept if record.key not in away] if found else kept


def outline(chain: Chain) -> Past:
    """A chain as it is put by, without its interactions."""
    return outline_of([reading.given for reading in chain.readings], chain.case_id)


def outline_of(records: Sequence[Interaction], case_id: str) -> Past:
    """Interactions as a chain of them is put by, without them."""
    start, activity = min([x.start for x in records]), max([x.active_until for x in records])
    return Past(start, activity, case_id, [x.key for x in records], [name for x in records for name in x.linked])


def near_one_another(chains: Sequence[Past]) -> list[list[int]]:
    """Chains by their numbers, in groups: who is near to somebody is in his group."""
    group = list(range(len(chains)))
    seen: dict[str, int] = {}
    until = last = -1
    for n in sorted(range(len(chains)), key=lambda n: chains[n].start):
        past = chains[n]
        if last >= 0 and past.start <= until + CHAIN_GAP:
            unite(group, last, n)
        until, last = max(until, past.activity), n
        for name in (*past.keys, *past.linked, *([f"\x1e{past.case_id}"] if past.case_id else [])):
            unite(group, seen.setdefault(name, n), n)
    found: dict[int, list[int]] = {}
    for n in range(len(chains)):
        found.setdefault(first_of(group, n), []).append(n)
    return list(found.values())


def first_of(group: list[int], n: int) -> int:
    """Who stands for the group of a number; the way there is shortened."""
    while group[n] != n:
        group[n] = group[group[n]]
        n = group[n]
    return n


def unite(group: list[int], a: int, b: int) -> None:
    """Makes one group of two."""
    group[first_of(group, b)] = first_of(group, a)
