"""The ledger's series, one table: name → labels in order, kind, bounds of histograms (docs/counting.md, 5, 7, 8).

Bounds never change: a new one would make old counts unreadable.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from streams.core.identity import UNIT, escaped, unescaped

SENT: Final = "_interactions_sent"
HELD: Final = "_interactions_held"
REFUSED: Final = "_interactions_refused"
"""Conservation, over all shards: sent = held + refused, net, once nothing is under way. Private: a name with `_` first is never served."""

SUM: Final = "sum"
LONGEST_WAIT: Final = "longest_wait_seconds"

Unit = Literal["seconds", "ratio", "count"]


class Series(Struct, frozen=True):
    """One family. ``bounds`` in the unit of the amounts (ms, thousandths, counts); ``scale`` divides for the exposition.

    ``booked`` is false for what is no fact and in no ledger: it is rendered from what stands in front of the encoded states.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    bounds: tuple[int, ...] = ()
    scale: int = 1
    booked: bool = True

    @property
    def retracted(self) -> str:
        """The name of the twin that holds what is no longer true."""
        for suffix in ("_total", "_seconds", "_ratio"):
            if self.name.endswith(suffix):
                return self.name.removesuffix(suffix) + "_retracted" + suffix
        return self.name + "_retracted"


def seconds(*bounds: int) -> tuple[int, ...]:
    """Bounds in ms."""
    return tuple(b * 1000 for b in bounds)


SECONDS: Final = seconds(
    1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 28800, 86400,
)  # fmt: skip
CHAIN_SECONDS: Final = seconds(
    10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 28800, 86400, 172800, 259200, 604800, 1209600, 2592000,
)  # fmt: skip
COUNTS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
TENTHS: Final = tuple(range(0, 1001, 100))


def counter(name: str, text: str, *labels: str, scale: int = 1) -> Series:
    """A counter with a retracted twin."""
    return Series(name, text, labels, "counter", (), scale)


def gauge(name: str, text: str, *labels: str) -> Series:
    """A state that facts enter and leave."""
    return Series(name, text, labels, "gauge")


def histogram(name: str, text: str, *labels: str, bounds: tuple[int, ...] = SECONDS, scale: int = 1000) -> Series:
    """A histogram with a retracted twin."""
    return Series(name, text, labels, "histogram", bounds, scale)


TABLE: Final = (
    counter("moments_of_truth_total", "Touches accepted, by a person or a bot.", "channel", "team", "actor"),
    counter("moments_judged_total", "Moments won or lost against what was expected.", "channel", "team", "result"),
    counter("contacts_total", "Interactions in which the customer was present.", "channel", "direction", "identified", "need"),
    counter("contacts_offered_total", "Queue entries.", "channel", "queue"),
    counter("contacts_answered_total", "Queue entries that a person answered.", "channel", "queue"),
    counter("contacts_answered_in_target_total", "Queue entries answered within the wait target.", "channel", "queue"),
    counter("contacts_abandoned_total", "Queue entries that the customer gave up.", "channel", "queue", "stage", "kind"),
    counter("queue_exits_total", "Queue entries by the one way they ended.", "channel", "queue", "exit"),
    counter("contacts_dropped_total", "Contacts lost while talking or on hold.", "channel", "team", "stage"),
    counter("contacts_blocked_total", "Customers turned away before a queue.", "channel", "queue", "reason"),
    counter("callbacks_total", "Callbacks by state.", "channel", "queue", "state"),
    counter("outbound_attempts_total", "Outbound attempts by result.", "channel", "team", "result"),
    counter("missed_offers_total", "Offers that a representative did not take.", "channel", "queue", "team"),
    counter("touches_ended_total", "Touches released.", "channel", "team"),
    counter("handovers_total", "Settled handovers.", "from_team", "to_team", "kind", "outcome"),
    counter("transfers_started_total", "Transfers begun, by the sender's team.", "channel", "team", "kind"),
    counter("consults_total", "Colleagues asked with the customer off the line.", "from_team", "to_team"),
    counter("ping_pongs_total", "Transfers back to a team that had the contact before.", "team"),
    counter("excessive_transfers_total", "Crossings of the transfer limit within a chain and a day.", "channel", "team"),
    counter("unserved_total", "Contacts whose last wait ended without a person.", "channel", "queue"),
    counter("presumed_ended_total", "Open phases that ended unseen.", "channel", "phase"),
    counter("chains_opened_total", "Service chains opened."),
    counter("chains_served_total", "Service chains with a person's touch in an inbound contact or callback."),
    counter("chains_closed_total", "Service chains closed, by outcome.", "outcome"),
    counter("chains_unscored_total", "Closed chains that no expectation applied to."),
    counter("weakest_links_total", "Closed chains by their weakest link.", "team", "link", "reason"),
    counter("link_shortfall_total", "What links fell short of 1, summed.", "team", "link", scale=1000),
    counter("target_evaluations_total", "Targets met and missed.", "target", "scope", "segment", "result"),
    histogram("wait_seconds", "Waits that ended in an answer.", "channel", "queue"),
    histogram("abandon_wait_seconds", "Waits that the customer gave up.", "channel", "queue"),
    histogram("contact_wait_seconds", "All waiting before the first human touch.", "channel"),
    histogram("talk_seconds", "Talk per touch, holds excluded.", "channel", "team"),
    histogram("hold_seconds", "Hold per touch that had any.", "channel", "team"),
    histogram("wrap_up_seconds", "Work after a touch.", "channel", "team"),
    histogram("chain_experience_seconds", "Union of the chain's waits and touches.", bounds=CHAIN_SECONDS),
    histogram("chain_resolution_seconds", "First start to last end of a chain.", bounds=CHAIN_SECONDS),
    histogram("moments_per_chain", "Human moments of truth per closed chain.", bounds=COUNTS, scale=1),
    histogram("transfers_per_chain", "Accepted transfers per closed chain.", bounds=COUNTS, scale=1),
    histogram("representatives_per_chain", "Different representatives per closed chain.", bounds=COUNTS, scale=1),
    histogram("link_score_ratio", "Scores of the links of closed chains.", "link", bounds=TENTHS),
    histogram("chain_score_ratio", "Scores of closed chains: that of the weakest link.", bounds=TENTHS),
    gauge("customers_waiting", "Customers waiting in a queue.", "channel", "queue"),
    Series(LONGEST_WAIT, "How long the customer waits who has waited longest.", ("channel", "queue"), "gauge", scale=1000, booked=False),
    gauge("in_conversation", "Contacts in conversation.", "channel", "team"),
    gauge("on_hold", "Contacts on hold.", "channel", "team"),
    gauge("chains_open", "Service chains not closed."),
    gauge("chains_open_weakest", "Open chains by the kind of their weakest link so far.", "link"),
    gauge("handovers_pending", "Handovers that nobody has taken yet.", "from_team", "to_team"),
)
SERIES: Final = {series.name: series for series in TABLE}
HISTOGRAMS: Final[dict[str | int, tuple[int, ...]]] = {series.name: series.bounds for series in TABLE if series.bounds}


def is_private(series: str) -> bool:
    """Whether a series is for the books alone."""
    return series.startswith("_")


def joined(names: Iterable[str | int]) -> str:
    """A series as the ledger names it: its family and label values."""
    return UNIT.join(escaped(str(name)) for name in names)


def parted(series: str) -> tuple[str, ...]:
    """The family and label values of a series."""
    return tuple(unescaped(name) for name in series.split(UNIT))
