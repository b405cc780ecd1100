"""Chains for people who ask: found by what identifies a customer, ranked over all that are kept, the weakest link explained."""

import re
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import to_builtins

from streams.core.chain import Chain
from streams.core.facts import Account
from streams.core.identity import STRONGEST_FIRST, Identity
from streams.core.links import Link, weakest
from streams.core.public import service_chain
from streams.core.step import body_of, open_of
from streams.core.stitch import STATE
from streams.core.targets import Rules

PSEUDONYM: Final = re.compile(r"(?:customer|account|email|phone|device|ticket):[0-9a-f]{32}")
PIECE: Final = 20
UNREAD: Final = 2_000
"""How many states are passed over, by the open flag in front of each, in the time that one takes to be read."""

Rank = Callable[[Chain], float]
Told = dict[str, Any]


def moments(chain: Chain) -> int:
    """Moments of truth of a chain."""
    return sum(r.moments for r in chain.readings)


def transfers(chain: Chain) -> int:
    """Accepted transfers of a chain."""
    return sum(len(r.transfers) for r in chain.readings)


def score(chain: Chain) -> float:
    """The score of a chain; one without scored links comes last."""
    worst = weakest(links_of(chain))
    return 2.0 if worst is None else worst.met / worst.asked


def links_of(chain: Chain) -> list[Link]:
    """The links of a chain that were scored so far."""
    return [link for r in chain.readings for link in r.links]


SORTS: Final[dict[str, Rank]] = {
    "transfers": lambda chain: -transfers(chain),
    "moments": lambda chain: -moments(chain),
    "score": score,
    "start": lambda chain: -chain.start,
}
"""Most first; the weakest chain, the newest start first."""


def keys_of(identifier: str, kind: str, identity: Identity) -> list[tuple[str, str]]:
    """Under which keys a customer may be kept, by kind, strongest first; a pseudonym is a key already."""
    if not kind and PSEUDONYM.fullmatch(identifier):
        return [(identifier.partition(":")[0], identifier)]
    return [(name, identity.pseudonym(name, identifier)) for name in STRONGEST_FIRST if kind in {"", name}]


def account_of(value: bytes, now: int, rules: Rules) -> Account:
    """The chains of an encoded customer state, never earlier than it was last booked."""
    customer = STATE.decode(body_of(value))
    return Account(customer.records, max(now, customer.as_of), rules)


def liveliest(account: Account) -> Chain | None:
    """The open chain that was active last, else the closed one; None where only archived ones were."""
    return max(account.chains, key=lambda chain: (account.now < chain.closes_at, chain.activity, chain.id), default=None)


def told(customer: str, chain: Chain, now: int) -> Told:
    """A chain's public record, and one sentence why its weakest link is the weakest."""
    record: Told = to_builtins(service_chain(customer, chain, now))
    return record | {"why": why(links_of(chain))}


class Ranking:
    """The first chains of many by one order, found piece by piece; ``read`` counts the customers that were looked at."""

    def __init__(self, sort: str, limit: int, rules: Rules, *, only_open: bool) -> None:
        self.rank, self.limit, self.rules, self.only_open = SORTS[sort], limit, rules, only_open
        self.best: list[tuple[tuple[float, str], str, Chain, int]] = []
        self.read = 0

    def look(self, states: Mapping[bytes, bytes], now: int) -> Iterator[None]:
        """Looks through states that may change meanwhile; between pieces the caller may do something else."""
        effort = 0
        for key in list(states):
            value = states.get(key)
            if value is None:
                continue
            effort += 1
            if not self.only_open or open_of(value):
                self.take(key.decode(), account_of(value, now, self.rules))
                effort += UNREAD // PIECE
            if effort >= UNREAD:
                effort = 0
                yield

    def take(self, customer: str, account: Account) -> None:
        """One customer's chains, if they are among the first."""
        self.read += 1
        for chain in account.chains:
            if self.only_open and account.now >= chain.closes_at:
                continue
            insort(self.best, ((self.rank(chain), chain.id), customer, chain, account.now), key=lambda entry: entry[0])
            del self.best[self.limit :]

    def told(self) -> list[Told]:
        """The first chains, in order."""
        return [told(customer, chain, now) for _, customer, chain, now in self.best]


def why(links: Iterable[Link]) -> str:
    """One sentence why the weakest link is the weakest, so far."""
    rest = list(links)
    worst = weakest(rest)
    if worst is None:
        return "No link has been judged yet: no expectation applied so far."
    if worst.met == worst.asked:
        return "Every link that was judged met what was expected, so none is the weakest."
    rest.remove(worst)
    return f"{capital(named(worst))} is the weakest link with a score of {shown(worst)}: {cause(worst)}; {compared(worst, weakest(rest))}."


def capital(text: str) -> str:
    """A text as a sentence begins."""
    return text[0].upper() + text[1:]


def shown(link: Link) -> str:
    """A score as it is published: thousandths, rounded down."""
    return f"{link.score / 1000:g}"


def named(link: Link) -> str:
    """A link in words."""
    match link.kind:
        case "wait":
            return f"the wait for {link.team}"
        case "hold":
            return f"the hold of {link.team}"
        case "handover":
            return f"the transfer by {link.team}"
        case "unserved":
            return f"the contact that {link.team} did not serve"
        case _:
            return f"the {link.kind} of {link.team}"


def cause(link: Link) -> str:
    """What a link fell short of."""
    match link.reason:
        case "wait" | "hold" | "response" | "owed_gap":
            return f"it took {link.asked / 1000:g} s where {link.met / 1000:g} s were expected"
        case "transfers":
            return f"it was transfer {link.asked - 1} of its contact where {link.met - 1} may be expected"
        case "abandoned":
            return f"the customer gave up, {link.overrun / 1000:g} s past what was expected" if link.overrun else "the customer gave up"
        case "no_show":
            return "the customer was called and did not come"
        case "left":
            return "the customer left the queue without an answer"
        case "handover":
            return "it was passed on and nobody took it"
        case _:
            return f"what was expected of it ({link.reason}) was not met"


def compared(worst: Link, second: Link | None) -> str:
    """Why the next one is not weaker."""
    if second is None:
        return "no other link was judged"
    if worst.met * second.asked != second.met * worst.asked:
        return f"next comes {named(second)} with {shown(second)}"
    if worst.kind != second.kind:
        return f"{named(second)} scored the same, but {worst.kind} counts before {second.kind}"
    if worst.overrun != second.overrun:
        return f"{named(second)} scored the same, but ran over by less"
    return f"{named(second)} scored the same, but began no earlier"
