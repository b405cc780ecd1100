"""The core in one call, without host or state: a set of events to its facts. Tests of rules and properties stand on it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from schemas.events import Event, Reset, ordered
from schemas.records import Interaction
from streams.core.assemble import current, key_of, unite
from streams.core.facts import Account
from streams.core.identity import Identity
from streams.core.interaction import fold, is_nothing_yet
from streams.core.reading import Key
from streams.core.targets import Rules


def interactions(events: Iterable[Event], identity: Identity | None = None) -> dict[str, list[Interaction]]:
    """The interactions that events tell of, by customer key."""
    identity = identity or Identity()
    resets: dict[str, list[tuple[int, int, str]]] = {}
    sets: dict[bytes, list[Event]] = {}
    for x in events:
        if isinstance(x, Reset):
            resets.setdefault(x.source, []).append(ordered(x))
        else:
            sets.setdefault(key_of(x), []).append(x)
    customers: dict[str, list[Interaction]] = {}
    for key, group in sets.items():
        united = unite([], group, 0, {})
        if is_nothing_yet(current(united)):
            continue
        folded, customer = fold(key.decode(), current(united), sorted(resets.get(united[0].source, ())), identity)
        customers.setdefault(customer, []).append(folded)
    return customers


def accounts(
    events: Sequence[Event],
    now: int | None = None,
    rules: Rules | None = None,
    identity: Identity | None = None,
) -> list[Account]:
    """The accounts of all customers at ``now`` (the last event unless given)."""
    now = max(x.at for x in events) if now is None else now
    return [Account(records, now, rules or Rules()) for records in interactions(events, identity).values()]


def facts(events: Sequence[Event], now: int | None = None, rules: Rules | None = None, identity: Identity | None = None) -> Counter[Key]:
    """Everything countable about a set of events at ``now``."""
    total: Counter[Key] = Counter()
    for account in accounts(events, now, rules, identity):
        total.update(account.total())
    return total
