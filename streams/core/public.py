"""A chain as others read it: `ServiceChain`, the record of the chains topic and of `--chains`."""

from collections.abc import Iterator
from itertools import groupby

from schemas.records import ChainContact, ScoredLink, ServiceChain
from streams.core.chain import Chain
from streams.core.facts import Account, outcome
from streams.core.identity import UNIT, readable
from streams.core.links import Link, weakest
from streams.core.reading import Reading


def service_chains(customer: str, account: Account) -> Iterator[ServiceChain]:
    """The public records of a customer's chains."""
    for chain in account.chains:
        yield service_chain(customer, chain, account.now)


def service_chain(customer: str, chain: Chain, now: int) -> ServiceChain:
    """One chain. ``weakest`` is the weakest of the links settled so far; ``path`` the teams in order, repeats left out."""
    links = [link for r in chain.readings for link in r.links]
    worst = weakest(links)
    teams = [team for r in chain.readings for team in r.teams]
    return ServiceChain(
        id=readable(chain.id),
        customer=readable(customer),
        case_id=chain.case_id,
        start=chain.start,
        activity=chain.activity,
        closed=now >= chain.closes_at,
        outcome=outcome(chain),
        moments=sum(r.moments for r in chain.readings),
        transfers=sum(len(r.transfers) for r in chain.readings),
        score=worst.score / 1000 if worst is not None else None,
        weakest=public(worst) if worst is not None and worst.met < worst.asked else None,
        links=[public(link) for link in sorted(links, key=lambda link: (link.start, link.id))],
        path=[team for team, _ in groupby(teams)],
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
