"""What one interaction tells at an instant: its facts, and what its chain needs of it (docs/counting.md, 4 to 6).

A fact is a key (series name, label values…) with an integer amount; an observation of a histogram is a key that ends in the
observed value (ms, thousandths or a count), with the number of times it was observed.
"""

from typing import Final, NamedTuple

from schemas.records import Entry, Guest, Handover, Interaction, Touch
from streams.core.contact import NO_SHOW
from streams.core.interaction import settle
from streams.core.links import Link, counted, timed
from streams.core.step import NEVER
from streams.core.targets import JOINED, SHORT, Expected, Rules
from streams.core.waits import GIVEN_UP, Wait

Key = tuple[str | int, ...]
Facts = dict[Key, int]

TRANSFERS: Final = frozenset({"blind", "consult", "introduced", "requeue", "external"})
UNSERVED: Final = {"abandoned": "abandoned", NO_SHOW: NO_SHOW, "timeout": "left", "opt_out": "left", "withdrawn": "left"}
BLAMELESS: Final = frozenset({"callback", "unknown"})
FAILED: Final = frozenset({"abandoned", "expired"})


class Transfer(NamedTuple):
    """An accepted transfer, in the order of a chain's transfers: when it was accepted, then its contact's place."""

    at: int
    key: str
    ordinal: int
    channel: str
    queue: str
    sender: str
    segment: str


class Reading:
    """One interaction at one instant. What it tells is there once it has been `read`; a chain that has closed is mostly not.

    ``given`` is the interaction as it was given, ``record`` as it stands at ``now``. ``due`` is the next instant at which it will read
    differently if nothing comes, exact when it has been read: a reading of an interaction that is over is never due.
    """

    __slots__ = (
        "due",
        "given",
        "is_read",
        "links",
        "moments",
        "now",
        "ordinals",
        "record",
        "rules",
        "short",
        "spans",
        "teams",
        "told",
        "transfers",
        "unserved",
        "waiting",
        "waits",
    )  # fmt: skip

    def __init__(self, record: Interaction, now: int, rules: Rules) -> None:
        self.due = NEVER if record.over or now >= record.active_until else record.active_until
        if now < record.pending_until < self.due:
            self.due = record.pending_until
        self.given, self.record = record, settle(record, now)
        self.now, self.rules, self.is_read = now, rules, False

    @property
    def representatives(self) -> set[str]:
        """Everybody who touched it: touches, joins that count, works."""
        record = self.record
        names = {t.representative for t in record.touches} | {w.representative for w in record.works}
        return names | {g.representative for g in record.guests if self.joined(g)}

    def joined(self, guest: Guest) -> bool:
        """Whether a guest has been with the customer for long enough."""
        return guest.end - guest.start >= JOINED if guest.end else self.has_come(guest.start + JOINED)

    def has_come(self, instant: int) -> bool:
        """Whether an instant has come; otherwise it is a due time."""
        if self.now >= instant:
            return True
        self.due = min(self.due, instant)
        return False

    def evaluate(self, name: str, expected: Expected, *, met: bool) -> None:
        """One evaluation of a target."""
        segment = self.record.segment or "none"
        self.told.append(("target_evaluations_total", name, expected.scope, segment, "met" if met else "missed"))

    def read(self) -> None:
        """Everything that the interaction tells."""
        rules, self.is_read = self.rules, True
        self.told: list[Key] = []
        self.links: list[Link] = []
        self.spans: list[tuple[int, int]] = []
        self.transfers: list[Transfer] = []
        self.ordinals: dict[int, int] = {}
        # `Rules.team` is asked only where it has something to say: a call of what is not compiled for each touch.
        self.teams = [t.team or rules.team("", t.representative, t.queue) for t in self.record.touches]
        self.waits: dict[int, Wait] = {}
        self.waiting: list[Entry] = []
        self.moments = 0
        self.unserved = self.short = False
        record = self.record
        if record.present:
            known = "true" if record.identified else "false"
            self.told.append(("contacts_total", record.channel, record.direction, known, record.need or "unknown"))
        if record.entries:
            self.read_entries()
        if record.handovers:
            self.read_handovers()
        if record.touches:
            self.read_touches()
        if record.guests:
            self.read_guests()
        self.read_rest()
        if record.over:
            self.read_unserved()
        self.read_wait_links()

    # -- queue entries -------------------------------------------------------------------------------------------------

    def read_entries(self) -> None:
        """Offered, exits, waits and their evaluation, entry by entry; the joined waits."""
        record, rules = self.record, self.rules
        groups: dict[int, list[Entry]] = {}
        firsts: dict[int, Expected | None] = {}
        for entry in record.entries:
            team = rules.queue_team(entry.queue)
            expected = rules.expected("wait", record.channel, entry.queue, team, record.segment, entry.start)
            groups.setdefault(entry.group, []).append(entry)
            firsts.setdefault(entry.group, expected)
            if entry.end and entry.observed:
                self.spans.append((entry.start, entry.start + entry.waited))
            if record.direction == "inbound":
                self.read_entry(entry, expected)
        self.waits = {group: Wait(entries, firsts[group]) for group, entries in groups.items()}
        self.short = any(wait.short for wait in self.waits.values())

    def read_entry(self, entry: Entry, expected: Expected | None) -> None:
        """One entry: exactly one exit, evaluated once."""
        c, q, tell = self.record.channel, entry.queue, self.told.append
        tell(("contacts_offered_total", c, q))
        waited, exit_ = entry.waited, entry.exit
        if not exit_:
            self.read_waiting(entry, expected)
            return
        in_target = expected is not None and waited <= expected.amount
        if exit_ == "answered":
            tell(("contacts_answered_total", c, q))
            tell(("wait_seconds", c, q, waited))
            if in_target:
                tell(("contacts_answered_in_target_total", c, q))
            if expected is not None:
                self.evaluate("wait", expected, met=in_target)
        elif exit_ in GIVEN_UP:
            exit_ = "abandoned"
            kind = "short" if waited < SHORT else "in_target" if in_target else "long"
            tell(("contacts_abandoned_total", c, q, "transfer" if entry.group else "queue", kind))
            tell(("abandon_wait_seconds", c, q, waited))
            if expected is not None and kind != "short":
                self.evaluate("wait", expected, met=False)
        elif expected is not None and not in_target:
            self.evaluate("wait", expected, met=False)
        tell(("queue_exits_total", c, q, exit_))

    def read_waiting(self, entry: Entry, expected: Expected | None) -> None:
        """An open entry: the customer waits, or has been called; the target may have run out."""
        self.told.append(("customers_waiting", self.record.channel, entry.queue))
        self.waiting.append(entry)
        if expected is None:
            return
        if entry.waited > expected.amount or (not entry.called_at and self.has_come(entry.start + expected.amount + 1)):
            self.evaluate("wait", expected, met=False)

    # -- touches and handovers -----------------------------------------------------------------------------------------

    def sender(self, handover: Handover) -> str:
        """The team that passed the contact on."""
        if handover.sender >= 0:
            return self.teams[handover.sender]
        if handover.kind == "overflow":
            return self.rules.queue_team(handover.from_queue)
        return self.rules.team(handover.from_team, handover.from_bot, "")

    def receiver(self, handover: Handover) -> str:
        """The team that took it, or that was to take it."""
        if handover.touch >= 0:
            return self.teams[handover.touch]
        return self.asked(handover.to_team, handover.to_representative, handover.to_queue or handover.entry_queue)

    def asked(self, team: str, representative: str, queue: str) -> str:
        """The team of somebody addressed: named, the person's, the queue's."""
        return team or self.rules.representatives.get(representative) or self.rules.queue_team(queue)

    def read_handovers(self) -> None:
        """Handovers by kind and outcome; transfers started, judged by ordinal, ping-pongs."""
        record, rules = self.record, self.rules
        for index, handover in enumerate(record.handovers):
            sender, receiver, kind = self.sender(handover), self.receiver(handover), handover.kind
            if not handover.outcome:
                self.told.append(("handovers_pending", sender, receiver))
            else:
                self.told.append(("handovers_total", sender, receiver, kind, handover.outcome))
            if kind not in TRANSFERS:
                continue
            touch = record.touches[handover.sender]
            if touch.end:
                self.told.append(("transfers_started_total", record.channel, sender, kind))
            if handover.outcome != "accepted":
                continue
            ordinal = self.ordinals[index] = len(self.ordinals) + 1
            self.transfers.append(Transfer(handover.settled_at, record.key, index, record.channel, touch.queue, sender, record.segment))
            expected = rules.expected("transfers", record.channel, touch.queue, sender, record.segment, handover.at)
            if expected is not None:
                self.evaluate("transfers", expected, met=ordinal <= expected.amount)
                met, asked = counted(expected.amount, ordinal)
                self.links.append(Link("handover", sender, "transfers", met, asked, 0, handover.at, (record.key, 3, index)))
            if kind != "external" and receiver != sender and receiver in self.teams[: handover.touch]:
                self.told.append(("ping_pongs_total", receiver))

    def read_touches(self) -> None:
        """Moments of truth: accepted, ended, judged; talk and hold."""
        record, rules, c = self.record, self.rules, self.record.channel
        for index, touch in enumerate(record.touches):
            team = self.teams[index]
            self.moments += 1
            self.told.append(("moments_of_truth_total", c, team, "human"))
            if not touch.end:
                on_hold = touch.holds and not touch.holds[-1]
                self.told.append(("on_hold" if on_hold else "in_conversation", c, team))
                continue
            self.told.append(("touches_ended_total", c, team))
            hold = length(touch.holds)
            if touch.observed and touch.timed:
                self.told.append(("talk_seconds", c, team, length(touch.spans) - hold))
                self.spans += zip(touch.spans[::2], touch.spans[1::2], strict=True)
            verdicts = []
            if hold and touch.observed:
                self.told.append(("hold_seconds", c, team, hold))
                expected = rules.expected("hold", c, touch.queue, team, record.segment, touch.start)
                if expected is not None:
                    self.evaluate("hold", expected, met=hold <= expected.amount)
                    verdicts.append(hold <= expected.amount)
                    met, asked = timed(expected.amount, hold)
                    overrun = max(0, hold - expected.amount)
                    self.links.append(Link("hold", team, "hold", met, asked, overrun, touch.start, (record.key, 2, index)))
            self.judge(touch, team, verdicts)
        wait = self.waits.get(0)
        if wait is not None and record.direction == "inbound" and record.touches[0].group == 0:
            self.told.append(("contact_wait_seconds", c, wait.length))

    def judge(self, touch: Touch, team: str, verdicts: list[bool]) -> None:
        """Won when every expectation that applied was met, lost otherwise, not judged where none applied."""
        wait = self.waits.get(touch.group)
        if wait is not None and wait.expected is not None and wait.scored and self.record.direction == "inbound":
            verdicts.append(wait.length <= wait.expected.amount)
        if touch.handover in self.ordinals:
            handover = self.record.handovers[touch.handover]
            sender = self.record.touches[handover.sender]
            expected = self.rules.expected(
                "transfers",
                self.record.channel,
                sender.queue,
                self.sender(handover),
                self.record.segment,
                handover.at,
            )
            if expected is not None:
                verdicts.append(self.ordinals[touch.handover] <= expected.amount)
        if verdicts:
            self.told.append(("moments_judged_total", self.record.channel, team, "won" if all(verdicts) else "lost"))

    def read_guests(self) -> None:
        """A second employee with the customer for long enough is a moment of truth."""
        for guest in self.record.guests:
            team = self.rules.team(guest.team, guest.representative, guest.queue)
            if not self.joined(guest):
                continue
            self.moments += 1
            self.told.append(("moments_of_truth_total", self.record.channel, team, "human"))
            if guest.end:
                self.told.append(("touches_ended_total", self.record.channel, team))
                if guest.observed:
                    self.told.append(("talk_seconds", self.record.channel, team, guest.end - guest.start))
                    self.spans.append((guest.start, guest.end))

    def read_rest(self) -> None:
        """Missed offers, consults, blocked customers, callbacks, drops, attempts, bots, presumed ends."""
        record, rules, c, tell = self.record, self.rules, self.record.channel, self.told.append
        for missed in record.missed:
            tell(("missed_offers_total", c, missed.queue or "none", rules.team(missed.team, missed.representative, missed.queue)))
        for consult in record.consults:
            asked = self.asked(consult.to_team, consult.to_representative, consult.to_queue)
            tell(("consults_total", self.teams[consult.touch], asked))
        for blocked in record.blocked:
            tell(("contacts_blocked_total", c, blocked.queue, blocked.reason))
        for callback in record.callbacks:
            self.read_callback(callback.queue or "none", callback.entry, callback.state)
        for drop in record.drops:
            tell(("contacts_dropped_total", c, self.teams[drop.touch], drop.stage))
        for bot in record.bots:
            if bot.end and bot.observed:
                self.spans.append((bot.start, bot.end))
            tell(("moments_of_truth_total", c, rules.team(bot.team, bot.representative, ""), "bot"))
        if record.direction == "outbound" and c != "back_office":
            if record.touches:
                tell(("outbound_attempts_total", c, self.teams[0], "answered"))
            elif record.attempt is not None:
                team = rules.team(record.attempt.team, record.attempt.representative, "")
                tell(("outbound_attempts_total", c, team, record.attempt.result))
        if record.presumed:
            tell(("presumed_ended_total", c, record.presumed))

    def read_callback(self, queue: str, entry: int, state: str) -> None:
        """A callback requested, in time or not, connected or not."""
        c = self.record.channel
        self.told.append(("callbacks_total", c, queue, "requested"))
        if entry >= 0:
            left = self.record.entries[entry]
            team = self.rules.queue_team(left.queue)
            expected = self.rules.expected("wait", c, left.queue, team, self.record.segment, left.start)
            if expected is not None and left.waited <= expected.amount:
                self.told.append(("callbacks_total", c, queue, "requested_in_target"))
        if state:
            self.told.append(("callbacks_total", c, queue, state))

    # -- links ---------------------------------------------------------------------------------------------------------

    def read_wait_links(self) -> None:
        """Joined waits that are settled and that an expectation applies to."""
        record = self.record
        inbound = record.direction == "inbound"
        for group, wait in self.waits.items():
            expected = wait.expected
            if not inbound or expected is None or not wait.scored:
                continue
            met, asked = timed(expected.amount, wait.length)
            overrun = max(0, wait.length - expected.amount)
            team = self.rules.queue_team(wait.queue)
            self.links.append(Link("wait", team, "wait", met, asked, overrun, wait.entries[0].start, (record.key, 1, group)))

    def read_unserved(self) -> None:
        """The last wait of the contact ended without a person: its link replaces the wait or the handover."""
        record, wait = self.record, self.waits.get(self.record.accepts)
        exit_ = wait.entries[-1].exit if wait is not None else ""
        if wait is not None and not wait.short and exit_ in UNSERVED and record.direction == "inbound":
            del self.waits[record.accepts]
            overrun = max(0, wait.length - wait.expected.amount) if wait.expected is not None else 0
            team = self.teams[-1] if record.touches else self.rules.queue_team(wait.queue)
            self.fail(wait.queue, team, UNSERVED[exit_], overrun, wait.entries[0].start)
            return
        if (wait is not None and wait.short) or exit_ in BLAMELESS:
            return
        failed = [h for h in record.handovers if h.group == record.accepts and h.outcome in FAILED]
        if failed and all(blocked.at < failed[-1].at for blocked in record.blocked):
            team = self.teams[-1] if record.touches else self.sender(failed[-1])
            self.fail("none", team, "handover", 0, failed[-1].at)

    def fail(self, queue: str, team: str, reason: str, overrun: int, start: int) -> None:
        """The unserved link, score 0."""
        self.unserved = True
        self.told.append(("unserved_total", self.record.channel, queue))
        self.links.append(Link("unserved", team, reason, 0, 1, overrun, start, (self.record.key, 0, 0)))


def length(flat: list[int]) -> int:
    """The sum of from-to pairs."""
    return sum(flat[1::2]) - sum(flat[::2])
