"""A chain as others read it: `ServiceChain`, the record of the chains topic and of `--chains`."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import Final

from msgspec import json

from schemas.records import ChainContact, Moved, ScoredLink, ServiceChain
from streams.core.chain import Chain, Signature
from streams.core.facts import Account, Differing, outcome
from streams.core.identity import UNIT, readable
from streams.core.links import Link, weakest
from streams.core.reading import Reading
from streams.core.step import Output

CHAINS: Final = "chains"
PERFECT: Final = Link("none", "none", "none", 1, 1, 0, 0, ("", 0, 0))
ENCODE: Final = json.Encoder().encode


def signatures(account: Account, chains: Iterable[Chain]) -> dict[str, Signature]:
    """The signatures of some of an account's chains, by chain."""
    found: dict[str, Signature] = {}
    for chain in chains:
        if chain.signed is None:
            chain.signed = signature(chain, account.told(chain).weakest, account.now)
        found[chain.id] = chain.signed
    return found


def signature(chain: Chain, link: Link | None, now: int) -> Signature:
    """The signature of one chain, whose weakest link is known."""
    worst = PERFECT if link is not None and link.met >= link.asked else link
    chain.read()
    readings, ended, closed = chain.readings, outcome(chain), now >= chain.closes_at
    if len(readings) == 1:
        only = readings[0]
        return only.moments, len(only.transfers), worst, ended, closed, only.record.key
    moments, transfers = sum([r.moments for r in readings]), sum([len(r.transfers) for r in readings])
    return moments, transfers, worst, ended, closed, tuple([r.record.key for r in readings])


def told(
    key: bytes, differing: Differing, moved: Mapping[str, Moved], strangers: AbstractSet[str],
) -> list[Output]:  # fmt: skip
    """The public records of chains that changed, and tombstones of those that are no more: joined to others, or taken back.

    A chain is named after an interaction. Where that has moved to another customer, the record of that name is for the new customer
    to replace, or to delete (``strangers``: those that came from elsewhere), so that it does not matter who writes first.
    """
    before, after = signatures(differing.before, differing.ended), signatures(differing.after, differing.new)
    if before == after and not moved and not strangers:
        return []
    customer = readable(key.decode())
    outputs = [
        Output(CHAINS, name(chain.id), ENCODE(described(customer, chain, after[chain.id])))
        for chain in differing.new
        if after[chain.id] != before.get(chain.id) or chain.id in moved
    ]
    gone = {key for key in before if key not in after and (key not in moved or not moved[key].to)}
    gone.update(key for key in strangers if key not in after)
    return outputs + [Output(CHAINS, name(key), None) for key in sorted(gone)] if gone else outputs


def name(chain: str) -> bytes:
    """The key of a chain's record: its id as people read it."""
    return readable(chain).encode()


def service_chains(customer: str, account: Account) -> Iterator[ServiceChain]:
    """The public records of a customer's chains."""
    for chain in account.chains:
        yield described(readable(customer), chain, signature(chain, account.told(chain).weakest, account.now))


def service_chain(customer: str, chain: Chain, now: int) -> ServiceChain:
    """The public record of one chain."""
    chain.read()  # before its links are asked for
    return described(readable(customer), chain, signature(chain, weakest(link for r in chain.readings for link in r.links), now))


def described(customer: str, chain: Chain, signed: Signature) -> ServiceChain:
    """A chain. ``weakest`` is the weakest of the links settled so far; ``path`` the teams in order, repeats left out."""
    links = [link for r in chain.readings for link in r.links]
    if len(links) > 1:
        links.sort(key=lambda link: (link.start, link.id))
    teams = [team for r in chain.readings for team in r.teams]
    moments, transfers, worst, ended, closed, _ = signed
    return ServiceChain(
        id=readable(chain.id),
        customer=customer,
        case_id=chain.case_id,
        start=chain.start,
        activity=chain.activity,
        closed=closed,
        outcome=ended,
        moments=moments,
        transfers=transfers,
        score=worst.score / 1000 if worst is not None else None,
        weakest=public(worst) if worst is not None and worst.met < worst.asked else None,
        links=[public(link) for link in links],
        path=[team for team, _ in groupby(teams)] if len(teams) > 1 else teams,
        contacts=[contact(r) for r in chain.readings],
    )


def public(link: Link) -> ScoredLink:
    """A link in seconds and ratios."""
    return ScoredLink(
        kind=link.kind, team=link.team, reason=link.reason, score=link.score / 1000, overrun_seconds=link.overrun / 1000, at=link.start,
    )  # fmt: skip


def contact(reading: Reading) -> ChainContact:
    """An interaction as part of its chain."""
    record = reading.record
    return ChainContact(
        interaction=record.key.partition(UNIT)[2],
        channel=record.channel,
        direction=record.direction,
        start=record.start,
        active_until=record.active_until,
        over=record.over,
        teams=reading.teams,
        representatives=[t.representative for t in record.touches] or [w.representative for w in record.works],
    )
