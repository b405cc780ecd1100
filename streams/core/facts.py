"""Everything countable about a customer's chains at an instant, and the difference that a change makes (docs/counting.md, 7)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from schemas.records import Interaction, Touch, Work
from streams.core.chain import Chain, Told, place, tally
from streams.core.links import Link, weakest
from streams.core.reading import Facts, Key, Reading, Transfer
from streams.core.sealed import Waiting
from streams.core.series import LONGEST_WAIT, joined
from streams.core.step import NEVER, Difference
from streams.core.targets import DAY, WRAP_UP, Rules

PERFECT: Final = 1000


class Account:
    """The chains of one customer at an instant. ``due`` is the next instant at which their facts will differ by time alone.

    Time changes nothing of a chain that has closed, so it is read only where it is asked for. ``before``: the customer's account at an
    instant not after this one; what reads as it did there is taken from it, a chain of which all does as the very same object.
    ``cuts``: how often something stayed outside a chain that was too long for it.
    """

    __slots__ = ("chains", "cuts", "due", "now", "readings", "rules")

    def __init__(self, records: Iterable[Interaction], now: int, rules: Rules, before: "Account | None" = None) -> None:
        self.now, self.rules, self.due = now, rules, NEVER
        self.readings: dict[str, Reading] = {}
        known = before.readings if before is not None else self.readings
        for record in records:
            reading = known.get(record.key)
            if reading is None or reading.given is not record or now >= reading.due:
                reading = Reading(record, now, rules)
            self.readings[record.key] = reading
        self.chains = place(self.readings.values(), rules.max_links)
        self.cuts = sum([chain.cuts for chain in self.chains])
        if before is not None:
            former = {chain.id: chain for chain in before.chains}
            self.chains = [self.as_before(chain, former.get(chain.id)) for chain in self.chains]
        for chain in self.chains:
            if now < chain.closes_at:
                self.due = min(self.due, self.told(chain).due)

    def as_before(self, chain: Chain, former: Chain | None) -> Chain:
        """A chain, or what it was before if that tells the same."""
        if former is None or former.readings != chain.readings or (former.told is not None and self.now >= former.told.due):
            return chain
        former.cuts = chain.cuts
        return former

    def told(self, chain: Chain) -> Told:
        """What one of these chains tells."""
        if chain.told is None:
            chain.told = self.read(chain)
        return chain.told

    def total(self) -> Facts:
        """The facts of all chains together."""
        return self.facts(self.chains)

    def facts(self, chains: Iterable[Chain]) -> Facts:
        """The facts of some of these chains together."""
        return summed({}, [self.told(chain).facts() for chain in chains])

    def waiting(self) -> list[Waiting]:
        """Everybody who waits in a queue (whom the gauge `customers_waiting` counts), and since when that wait counts."""
        return [
            (joined((LONGEST_WAIT, reading.record.channel, entry.queue)), entry.start)
            for chain in self.chains
            if self.now < chain.closes_at
            for reading in chain.readings
            for entry in reading.waiting
        ]

    def read(self, chain: Chain) -> Told:
        """What one chain tells: the facts of its interactions, and those that only the chain has."""
        told: list[Key] = [("chains_opened_total",)]
        chain.read()
        for reading in chain.readings:
            told += reading.told
        if any(r.record.touches and r.record.direction != "outbound" for r in chain.readings):
            told.append(("chains_served_total",))
        if chain.case_id and len(chain.readings) > 1:
            followups(chain, told)
        transfers = sorted(t for r in chain.readings for t in r.transfers)
        excessive(transfers, self.rules, told)
        due = self.wrap_ups(chain, told)
        links = [link for r in chain.readings for link in r.links]
        worst = weakest(links)
        due = min(due, *(r.due for r in chain.readings))
        if self.now >= chain.closes_at:
            closing(chain, links, worst, len(transfers), told)
            return Told(told, worst, due, shortfall(links))
        told.append(("chains_open",))
        if worst is not None:
            told.append(("chains_open_weakest", worst.kind if worst.met < worst.asked else "none"))
        return Told(told, worst, min(due, chain.closes_at))

    def wrap_ups(self, chain: Chain, told: list[Key]) -> int:
        """The work after each touch: to its end, or to the same representative's next accept in the chain; else 0.

        Returns the next instant at which one of them will be known to be 0.
        """
        due = NEVER
        accepts: dict[str, list[int]] = {}
        for r in chain.readings:
            pieces: list[Touch | Work] = [*r.record.touches, *r.record.works]
            for piece in pieces:
                accepts.setdefault(piece.representative, []).append(piece.start)
        for starts in accepts.values():
            starts.sort()
        for reading in chain.readings:
            for index, touch in enumerate(reading.record.touches):
                end = touch.end
                if not end or not touch.observed or not touch.timed:
                    continue
                starts = accepts[touch.representative]
                place = bisect_left(starts, end)
                if place < len(starts) and starts[place] == end == touch.start:
                    place += 1
                until = min(touch.wrapped_up_at or NEVER, starts[place] if place < len(starts) else NEVER)
                if until <= end + WRAP_UP:
                    length = until - end
                elif self.now >= end + WRAP_UP:
                    length = 0
                else:
                    due = min(due, end + WRAP_UP)
                    continue
                told.append(("wrap_up_seconds", reading.record.channel, reading.teams[index], length))
        return due


class Differing:
    """Two accounts of one customer, the later one made from the earlier: the chains of each that are not the same in the other."""

    __slots__ = ("after", "before", "ended", "new")

    def __init__(self, before: Account, after: Account) -> None:
        self.before, self.after = before, after
        here, there = set(map(id, after.chains)), set(map(id, before.chains))
        self.ended = [chain for chain in before.chains if id(chain) not in here]
        self.new = [chain for chain in after.chains if id(chain) not in there]

    def facts(self) -> list[Difference]:
        """What is true now and was not, and the other way round."""
        new = [self.after.told(chain) for chain in self.new]
        ended = [self.before.told(chain) for chain in self.ended]
        after, before = apart([key for told in new for key in told.keys], [key for told in ended for key in told.keys])
        return difference(summed(tally(after), [told.more for told in new]), summed(tally(before), [told.more for told in ended]))


def followups(chain: Chain, told: list[Key]) -> None:
    """The next contact or piece of work of the same case by another representative."""
    before: tuple[str, str] | None = None
    for reading in chain.readings:
        record = reading.record
        responders = [(t.start, t.representative, reading.teams[i]) for i, t in enumerate(record.touches)]
        responders += [(w.start, w.representative, reading.rules.team(w.team, w.representative, w.queue)) for w in record.works]
        if not responders or record.case_id != chain.case_id:
            continue
        ordered = sorted(responders, key=lambda r: r[0])
        _, first, team = ordered[0]
        if before is not None and before[0] != first:
            told.append(("handovers_total", before[1], team, "followup", "accepted"))
        _, last, last_team = ordered[-1]
        before = last, last_team


def excessive(transfers: Sequence[Transfer], rules: Rules, told: list[Key]) -> None:
    """Each crossing of the limit of accepted transfers within a day, to the team that sent it."""
    told += [("excessive_transfers_total", transfer.channel, transfer.sender) for transfer, _ in crossings(transfers, rules)]


def crossings(transfers: Sequence[Transfer], rules: Rules) -> Iterator[tuple[Transfer, int]]:
    """Transfers that crossed the limit of accepted transfers within a day, with that limit; ``transfers`` are a chain's, in order."""
    for place_, transfer in enumerate(transfers):
        limit = rules.expected(
            "excessive_transfers", transfer.channel, transfer.queue, transfer.sender, transfer.segment, transfer.at,
        )  # fmt: skip
        if limit is None or place_ + 1 < limit.amount:
            continue
        within = place_ + 1 - bisect_right(transfers, transfer.at - DAY, hi=place_ + 1, key=attrgetter("at"))
        if within == limit.amount:
            yield transfer, within


def closing(chain: Chain, links: Sequence[Link], worst: Link | None, transfers: int, told: list[Key]) -> None:
    """What is booked when a chain closes: outcome, scores, weakest link, lengths."""
    told.append(("chains_closed_total", outcome(chain)))
    scored(links, worst, told)
    spans = sorted(span for r in chain.readings for span in r.spans)
    told.append(("chain_experience_seconds", union(spans)))
    told.append(("chain_resolution_seconds", chain.activity - chain.start))
    told.append(("moments_per_chain", sum(r.moments for r in chain.readings)))
    told.append(("transfers_per_chain", transfers))
    told.append(("representatives_per_chain", len({name for r in chain.readings for name in r.representatives})))


def scored(links: Sequence[Link], worst: Link | None, told: list[Key]) -> None:
    """The scores of a closed chain's links, and its weakest."""
    if worst is None:
        told.append(("chains_unscored_total",))
        return
    told.append(("chain_score_ratio", worst.score))
    if worst.met < worst.asked:
        told.append(("weakest_links_total", worst.team, worst.kind, worst.reason))
    else:
        told.append(("weakest_links_total", "none", "none", "none"))
    told += [("link_score_ratio", link.kind, link.score) for link in links]


def shortfall(links: Iterable[Link]) -> Facts:
    """What links fell short of 1, in thousandths: which weakness costs most."""
    facts: Facts = {}
    for link in links:
        if link.score < PERFECT:
            key = ("link_shortfall_total", link.team, link.kind)
            facts[key] = facts.get(key, 0) + PERFECT - link.score
    return facts


def outcome(chain: Chain) -> str:
    """How a chain ended, the first that applies."""
    touched = False
    for reading in chain.readings:
        if reading.record.touches:
            if reading.record.direction != "outbound":
                return "served"
            touched = True
    if touched:
        return "outbound"
    if any(r.unserved for r in chain.readings):
        return "abandoned"
    if any(r.record.presumed for r in chain.readings):
        return "unknown"
    if any(r.short for r in chain.readings):
        return "short"
    return "back_office" if any(r.record.works for r in chain.readings) else "unknown"


def union(spans: Iterable[tuple[int, int]]) -> int:
    """The length of the union of sorted spans."""
    total, until = 0, 0
    for start, end in spans:
        if end > until:
            total += end - max(start, until)
            until = end
    return total


def summed(total: Facts, more: Iterable[Facts]) -> Facts:
    """Facts with more of them added, in place."""
    for facts in more:
        for key, amount in facts.items():
            total[key] = total.get(key, 0) + amount
    return total


def apart(after: list[Key], before: list[Key]) -> tuple[list[Key], list[Key]]:
    """Both without what they begin and end with alike: mostly a chain tells again what it told, in the same order."""
    begin, ends, shorter = 0, 0, min(len(after), len(before))
    while begin < shorter and after[begin] == before[begin]:
        begin += 1
    while ends < shorter - begin and after[-1 - ends] == before[-1 - ends]:
        ends += 1
    return after[begin : len(after) - ends], before[begin : len(before) - ends]


def difference(after: Facts, before: Facts) -> list[Difference]:
    """What is new (above 0) and what is no longer true (below 0)."""
    if not before:
        return list(after.items())
    changes = [(key, amount - before.get(key, 0)) for key, amount in after.items() if amount != before.get(key, 0)]
    changes += [(key, -amount) for key, amount in before.items() if key not in after]
    return changes
