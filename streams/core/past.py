"""Closed chains put by: kept for as long as any, but not decoded, placed and read again in every step of their customer.

What is put by must be what it would be if it were not. Who is placed where depends on chains and contacts that are near one another
(`streams.core.chain.place`): in the same case, linked, or with no more than a day between them. So a closed chain is put by where no
contact that stays is near it, and comes back, with all that is near to it, as soon as a record is. Its facts hang on no clock any more.
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
from streams.core.targets import CHAIN_GAP

NONE: Final[list[Past]] = []


def called_back(customer: Customer, records: Sequence[Interaction | Moved], gone: int) -> Customer:
    """The customer with those chains among the others again that records may change, or that have closed by ``gone`` (ms)."""
    back = [past for past in customer.past if past.closes_at <= gone or is_concerned(past, records)]
    if not back:
        return customer
    staying = [past for past in customer.past if past not in back]
    for past in back:  # grows meanwhile
        near = [other for other in staying if are_near(past, other)]
        staying = [other for other in staying if other not in near]
        back += near
    return replace(customer, records=[*customer.records, *recalled(back)], past=staying)


def is_concerned(past: Past, records: Sequence[Interaction | Moved]) -> bool:
    """Whether any of some records concerns a chain that was put by."""
    for x in records:  # noqa: SIM110 - a generator costs more than all that it asks, where this is compiled
        if concerns(x, past):
            return True
    return False


def everything(customer: Customer) -> list[Interaction]:
    """All interactions of a customer, also those of chains that were put by."""
    return [*customer.records, *recalled(customer.past)]


def recalled(chains: Iterable[Past]) -> list[Interaction]:
    """The interactions of chains that were put by."""
    return [record for past in chains for record in INTERACTIONS.decode(past.records)]


def put_by(account: Account, kept: list[Interaction]) -> tuple[list[Past], list[Interaction]]:
    """The chains of an account that no step need touch until something concerns them, and those of ``kept`` that are in none of them."""
    closed = [chain for chain in account.chains if account.now >= chain.closes_at and account.told(chain).due == NEVER]
    if not closed:
        return NONE, kept
    found = [(outline(chain), [reading.given for reading in chain.readings]) for chain in closed]
    away = {record.key for _, records in found for record in records}
    staying = [record for record in kept if record.key not in away]
    for record in staying:  # grows meanwhile
        near = [pair for pair in found if concerns(record, pair[0])]
        if near:
            found = [pair for pair in found if pair not in near]
            staying += [other for _, records in near for other in records]
    for past, records in found:
        past.records = Raw(ENCODE(records))
    return [past for past, _ in found], staying


def outline(chain: Chain) -> Past:
    """A chain as it is put by, without its interactions."""
    records = [reading.given for reading in chain.readings]
    names = [name for record in records for name in (record.key, *record.linked)]
    return Past(chain.start, chain.activity, chain.closes_at, chain.case_id, names)


def concerns(x: Interaction | Moved, past: Past) -> bool:
    """Whether a record may change who is placed in a chain, or be placed there itself."""
    if isinstance(x, Moved):
        return x.interaction in past.names
    if x.start <= past.activity + CHAIN_GAP and past.start <= x.active_until + CHAIN_GAP:
        return True
    if x.case_id and x.case_id == past.case_id:
        return True
    return x.key in past.names or (bool(x.linked) and not set(x.linked).isdisjoint(past.names))


def are_near(a: Past, b: Past) -> bool:
    """Whether what becomes of one chain may change who is placed in the other."""
    if a.start <= b.activity + CHAIN_GAP and b.start <= a.activity + CHAIN_GAP:
        return True
    return bool(a.case_id and a.case_id == b.case_id) or not set(a.names).isdisjoint(b.names)
