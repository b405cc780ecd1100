"""Chains for people who ask: found by what identifies a customer, ranked over all that are kept."""

import re
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from msgspec import to_builtins

from streams.core.chain import Chain
from streams.core.facts import Account
from streams.core.identity import STRONGEST_FIRST, Identity, interaction_key
from streams.core.links import Link, weakest
from streams.core.past import everything
from streams.core.public import service_chain
from streams.core.sealed import body_of, open_of
from streams.core.states import CUSTOMER
from streams.core.targets import Rules
from streams.core.words import why

PSEUDONYM: Final = re.compile(r"(?:customer|account|email|phone|device|ticket):[0-9a-f]{32}")
UNNAMED: Final = re.compile(r"(case|interaction):(.*/.*)")
"""What a customer is called by source and id where nothing else is known; either may have a slash itself."""
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
    """Under which keys a customer may be kept, by kind, strongest first; what chains and alerts call the customer is a key already."""
    if not kind and PSEUDONYM.fullmatch(identifier):
        return [(identifier.partition(":")[0], identifier)]
    if not kind and (unnamed := UNNAMED.fullmatch(identifier)):
        name, parts = unnamed[1], unnamed[2].split("/")
        return [(name, f"{name}:{interaction_key('/'.join(parts[:n]), '/'.join(parts[n:]))}") for n in range(1, len(parts))]
    return [(name, identity.pseudonym(name, identifier)) for name in STRONGEST_FIRST if kind in {"", name}]


def account_of(value: bytes, now: int, rules: Rules) -> Account:
    """The chains of an encoded customer state, never earlier than it was last booked."""
    customer = CUSTOMER.decode(body_of(value))
    return Account(everything(customer), max(now, customer.as_of), rules)


def liveliest(account: Account) -> Chain | None:
    """The open chain that was active last, else the closed one; None where only archived ones were."""
    return max(account.chains, key=lambda chain: (account.now < chain.closes_at, chain.activity, chain.id), default=None)


def told(customer: str, chain: Chain, now: int) -> Told:
    """A chain's public record, and one sentence why its weakest link is the weakest."""
    record: Told = to_builtins(service_chain(customer, chain, now))
    return record | {"why": why(links_of(chain))}


class States(Protocol):
    """Encoded states by key."""

    def get(self, key: bytes, /) -> bytes | None:
        """The state of a key."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """All keys with their states."""

    def copy(self) -> "States":
        """The same, apart from what becomes of these."""


class Ranking:
    """The first chains of many by one order, found piece by piece; ``read`` counts the customers that were looked at."""

    def __init__(self, sort: str, limit: int, rules: Rules, *, only_open: bool) -> None:
        self.rank, self.limit, self.rules, self.only_open = SORTS[sort], limit, rules, only_open
        self.best: list[tuple[tuple[float, str], str, Chain, int]] = []
        self.read = 0

    def look(self, states: States, now: int) -> Iterator[None]:
        """Looks through states as they are at the beginning; between pieces the caller may do something else, and they may change."""
        effort = 0
        for key, value in states.copy().items():
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
            chain.read()
            insort(self.best, ((self.rank(chain), chain.id), customer, chain, account.now), key=lambda entry: entry[0])
            del self.best[self.limit :]

    def told(self) -> list[Told]:
        """The first chains, in order."""
        return [told(customer, chain, now) for _, customer, chain, now in self.best]
