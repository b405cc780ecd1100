"""The oracle itself, held to cases computed by hand from METRICS.md."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from schemas import events as ev
from tests import oracle

T = 1_700_000_000_000
S, M, H = oracle.SECOND, oracle.MINUTE, oracle.HOUR
LATER = T + 400 * oracle.DAY


Step = tuple[float, Any, dict[str, Any]]  # seconds after T, event type, fields


def journey(*steps: Step, interaction: str = "i1", **common: Any) -> list[ev.Event]:
    """Events of one interaction, each (seconds after T, type, fields)."""
    return [
        kind(
            **{"id": f"{interaction}-{n}", "source": "pbx", "interaction_id": interaction, "at": T + int(at * S), "sequence": n}
            | common
            | rest
        )
        for n, (at, kind, rest) in enumerate(steps)
    ]


def of(found: Counter[tuple], name: str) -> dict[tuple, int]:
    """One series: labels (and value) → amount."""
    return {key[1:]: amount for key, amount in found.items() if key[0] == name}


SALES = {"queue": "sales"}
ANN, BEN, CIA = ({"representative": r, "team": t} for r, t in (("ann", "A"), ("ben", "B"), ("cia", "C")))
QUEUED_15_S: tuple[Step, ...] = ((0, ev.Queued, SALES), (15, ev.Answered, ANN))


def test_an_answered_call_is_one_moment_and_one_wait() -> None:
    """Queued, answered after 15 s, on hold 70 s, ended: every number of a plain call."""
    found = oracle.facts(
        journey(*QUEUED_15_S, (20, ev.Held, {}), (90, ev.Retrieved, {}), (115, ev.Ended, {}), (125, ev.WrappedUp, {})), LATER
    )
    assert found == Counter(
        {
            ("contacts_total", "call", "inbound", "false", "unknown"): 1,
            ("contacts_offered_total", "call", "sales"): 1,
            ("contacts_answered_total", "call", "sales"): 1,
            ("contacts_answered_in_target_total", "call", "sales"): 1,
            ("queue_exits_total", "call", "sales", "answered"): 1,
            ("wait_seconds", "call", "sales", 15 * S): 1,
            ("contact_wait_seconds", "call", 15 * S): 1,
            ("target_evaluations_total", "wait", "channel:call", "none", "met"): 1,
            ("moments_of_truth_total", "call", "A", "human"): 1,
            ("touches_ended_total", "call", "A"): 1,
            ("talk_seconds", "call", "A", 30 * S): 1,
            ("hold_seconds", "call", "A", 70 * S): 1,
            ("target_evaluations_total", "hold", "all", "none", "missed"): 1,
            ("moments_judged_total", "call", "A", "lost"): 1,
            ("wrap_up_seconds", "call", "A", 10 * S): 1,
            ("chains_opened_total",): 1,
            ("chains_served_total",): 1,
            ("chains_closed_total", "served"): 1,
            ("weakest_links_total", "A", "hold", "hold"): 1,
            ("link_shortfall_total", "A", "hold"): 143,
            ("link_score_ratio", "wait", 1000): 1,
            ("link_score_ratio", "hold", 857): 1,
            ("chain_score_ratio", 857): 1,
            ("chain_experience_seconds", 115 * S): 1,
            ("chain_resolution_seconds", 115 * S): 1,
            ("moments_per_chain", 1): 1,
            ("transfers_per_chain", 0): 1,
            ("representatives_per_chain", 1): 1,
        }
    )


def test_an_open_call_is_a_gauge() -> None:
    """While waiting the customer waits, while talking the call is in conversation; X passing is found by the clock."""
    waiting = journey((0, ev.Queued, SALES))
    assert of(oracle.facts(waiting, T + 20 * S), "customers_waiting") == {("call", "sales"): 1}
    assert of(oracle.facts(waiting, T + 20 * S), "target_evaluations_total") == {}
    assert of(oracle.facts(waiting, T + 20 * S + 1), "target_evaluations_total") == {("wait", "channel:call", "none", "missed"): 1}
    talking = oracle.facts(journey(*QUEUED_15_S), T + 60 * S)
    assert of(talking, "in_conversation") == {("call", "A"): 1}
    assert of(talking, "chains_open_weakest") == {("none",): 1}


@pytest.mark.parametrize(
    ("seconds", "kind", "outcome", "evaluated"),
    [(9.999, "short", "short", 0), (10, "in_target", "abandoned", 1), (20, "in_target", "abandoned", 1), (20.001, "long", "abandoned", 1)],
)
def test_abandon_kinds(seconds: float, kind: str, outcome: str, evaluated: int) -> None:
    """Short exclusive, X inclusive; short abandons are neither evaluated nor scored nor unserved."""
    found = oracle.facts(journey((0, ev.Queued, SALES), (seconds, ev.Abandoned, {})), LATER)
    assert of(found, "contacts_abandoned_total") == {("call", "sales", "queue", kind): 1}
    assert of(found, "chains_closed_total") == {(outcome,): 1}
    assert sum(of(found, "target_evaluations_total").values()) == evaluated
    assert sum(of(found, "unserved_total").values()) == evaluated
    assert of(found, "chains_unscored_total") == ({} if evaluated else {(): 1})


def test_the_overflow_vector() -> None:
    """A 60 s, overflow to B, answered after 5 s more: exits overflow and answered; missed A, met B; one link of 65 s, 0.307."""
    steps: tuple[Step, ...] = (
        (0, ev.Queued, {"queue": "A"}),
        (60, ev.LeftQueue, {"queue": "A", "reason": "timeout"}),
        (60, ev.Queued, {"queue": "B"}),
        (65, ev.Answered, ANN),
        (100, ev.Ended, {}),
    )
    found = oracle.facts(journey(*steps), LATER)
    assert of(found, "contacts_offered_total") == {("call", "A"): 1, ("call", "B"): 1}
    assert of(found, "queue_exits_total") == {("call", "A", "overflow"): 1, ("call", "B", "answered"): 1}
    results = {("wait", "channel:call", "none", "missed"): 1, ("wait", "channel:call", "none", "met"): 1}
    assert of(found, "target_evaluations_total") == results
    assert of(found, "handovers_total") == {("A", "B", "overflow", "accepted"): 1}
    assert of(found, "contact_wait_seconds") == {("call", 65 * S): 1}
    assert of(found, "link_score_ratio") == {("wait", 307): 1}
    assert of(found, "weakest_links_total") == {("A", "wait", "wait"): 1}
    assert of(found, "moments_judged_total") == {("call", "A", "lost"): 1}


def test_a_transfer_accepted_is_two_moments() -> None:
    """A call accepted and then transferred = 2; the second transfer misses the target and returns to an earlier team."""
    steps: tuple[Step, ...] = (
        *QUEUED_15_S,
        (30, ev.Transferred, {"kind": "blind", "to_team": "B"}),
        (35, ev.Answered, BEN),
        (60, ev.Transferred, {"kind": "blind"}),
        (65, ev.Answered, {"representative": "amy", "team": "A"}),
        (90, ev.Ended, {}),
    )
    found = oracle.facts(journey(*steps), LATER)
    assert of(found, "moments_of_truth_total") == {("call", "A", "human"): 2, ("call", "B", "human"): 1}
    assert of(found, "handovers_total") == {("A", "B", "blind", "accepted"): 1, ("B", "A", "blind", "accepted"): 1}
    assert of(found, "transfers_started_total") == {("call", "A", "blind"): 1, ("call", "B", "blind"): 1}
    assert of(found, "ping_pongs_total") == {("A",): 1}
    assert of(found, "moments_judged_total") == {("call", "A", "won"): 1, ("call", "B", "won"): 1, ("call", "A", "lost"): 1}
    assert of(found, "chain_score_ratio") == {(666,): 1}
    assert of(found, "weakest_links_total") == {("B", "handover", "transfers"): 1}


def test_a_transfer_taken_back_is_returned() -> None:
    """The same person took it again: 0; one touch with two spans."""
    steps: tuple[Step, ...] = (
        *QUEUED_15_S,
        (30, ev.Transferred, {"kind": "blind", "to_team": "B"}),
        (40, ev.Answered, ANN),
        (60, ev.Ended, {}),
    )
    found = oracle.facts(journey(*steps), LATER)
    assert of(found, "moments_of_truth_total") == {("call", "A", "human"): 1}
    assert of(found, "handovers_total") == {("A", "B", "blind", "returned"): 1}
    assert of(found, "talk_seconds") == {("call", "A", 35 * S): 1}
    assert of(found, "transfers_per_chain") == {(0,): 1}


def test_a_consult_is_hold() -> None:
    """From the consult to the transfer, with or without a held event; overlapping spans count once."""
    steps: tuple[Step, ...] = (
        *QUEUED_15_S,
        (30, ev.Consulted, {"to_team": "B"}),
        (35, ev.Held, {}),
        (50, ev.Transferred, {"kind": "consult", "to_team": "B"}),
        (50, ev.Answered, BEN),
        (80, ev.Ended, {}),
    )
    found = oracle.facts(journey(*steps), LATER)
    assert of(found, "consults_total") == {("A", "B"): 1}
    assert of(found, "hold_seconds") == {("call", "A", 20 * S): 1}
    assert of(found, "talk_seconds") == {("call", "A", 15 * S): 1, ("call", "B", 30 * S): 1}


@pytest.mark.parametrize(("seconds", "moments"), [(9.999, 0), (10, 1)])
def test_a_conference_counts_from_ten_seconds(seconds: float, moments: int) -> None:
    """Second employee with the customer ≥ 10 s: +1."""
    joined = (20, ev.Joined, BEN | {"mode": "conference"})
    found = oracle.facts(journey(*QUEUED_15_S, joined, (20 + seconds, ev.Left, BEN), (60, ev.Ended, {})), LATER)
    assert of(found, "moments_of_truth_total").get(("call", "B", "human"), 0) == moments
    assert of(found, "talk_seconds").get(("call", "B", int(seconds * S)), 0) == moments
    assert of(found, "handovers_total") == {}


def test_the_one_who_invited_leaves() -> None:
    """It becomes an introduced handover to the earliest joined, before 10 s all the same; the others remain joins."""
    steps: tuple[Step, ...] = (
        *QUEUED_15_S,
        (50, ev.Joined, BEN | {"mode": "conference"}),
        (51, ev.Joined, CIA | {"mode": "conference"}),
        (52, ev.Left, ANN),
        (90, ev.Ended, {}),
    )
    found = oracle.facts(journey(*steps), LATER)
    assert of(found, "moments_of_truth_total") == {("call", team, "human"): 1 for team in "ABC"}
    assert of(found, "handovers_total") == {("A", "B", "introduced", "accepted"): 1}
    assert of(found, "talk_seconds") == {("call", "A", 37 * S): 1, ("call", "B", 40 * S): 1, ("call", "C", 39 * S): 1}
    assert of(found, "moments_per_chain") == {(3,): 1}


def test_a_no_show_served_later() -> None:
    """The abandon is retracted and the entry is answered with the same wait."""
    steps: tuple[Step, ...] = ((0, ev.Queued, SALES), (500, ev.Called, {}), (560, ev.NoShow, {}))
    gone = oracle.facts(journey(*steps), T + H)
    assert of(gone, "contacts_abandoned_total") == {("visit", "sales", "queue", "in_target"): 1}
    assert of(gone, "unserved_total") == {("visit", "sales"): 1}
    served = oracle.facts(journey(*steps, (900, ev.ServingStarted, ANN), (960, ev.Ended, {})), T + H)
    assert of(served, "contacts_abandoned_total") == {}
    assert of(served, "unserved_total") == {}
    assert of(served, "wait_seconds") == {("visit", "sales", 500 * S): 1}
    assert of(served, "moments_judged_total") == {("visit", "A", "won"): 1}


def test_a_reset_ends_at_once_and_only_what_is_open() -> None:
    """A publisher's reset ends open interactions as unknown, length not observed; another source's does nothing."""
    call = journey(*QUEUED_15_S)
    reset = ev.Reset(id="r", source="pbx", interaction_id="", at=T + 40 * S)
    found = oracle.facts([*call, reset], T + 40 * S)
    assert of(found, "presumed_ended_total") == {("call", "talk"): 1}
    assert of(found, "touches_ended_total") == {("call", "A"): 1}
    assert of(found, "talk_seconds") == {}
    other = ev.Reset(id="r", source="crm", interaction_id="", at=T + 40 * S)
    assert of(oracle.facts([*call, other], T + 40 * S), "presumed_ended_total") == {}
    corrected = [*call, reset, ev.Ended(id="late", source="pbx", interaction_id="i1", at=T + 50 * S)]
    assert of(oracle.facts(corrected, LATER), "talk_seconds") == {("call", "A", 35 * S): 1}


@pytest.mark.parametrize(
    ("steps", "limit", "phase"),
    [
        (((0, ev.Offered, {}),), 5 * M, "ring"),
        (((0, ev.Queued, SALES),), 2 * H, "queue"),
        (((0, ev.Answered, ANN),), 8 * H, "talk"),
        (((0, ev.Answered, ANN), (0, ev.Held, {})), 8 * H, "hold"),
        (((0, ev.Offered, {"channel": "visit"}),), 14 * H, "ring"),
    ],
)
def test_presumed_end(steps: tuple, limit: int, phase: str) -> None:
    """An open phase without an event for its limit ends as unknown."""
    events = journey(*steps)
    channel = events[0].channel or "call"
    assert of(oracle.facts(events, T + limit - 1), "presumed_ended_total") == {}
    found = oracle.facts(events, T + limit)
    assert of(found, "presumed_ended_total") == {(channel, phase): 1}
    assert of(found, "unserved_total") == {}


def test_a_pending_handover_expires_but_never_while_its_entry_waits() -> None:
    """After 10 min (call) it is expired, the contact over and unserved by the sender; with queues_only it is external."""
    steps: tuple[Step, ...] = (*QUEUED_15_S, (30, ev.Transferred, {"kind": "requeue", "to_queue": "B"}))
    due = T + 30 * S + 10 * M
    assert of(oracle.facts(journey(*steps), due - 1), "handovers_pending") == {("A", "B"): 1}
    found = oracle.facts(journey(*steps), due)
    assert of(found, "handovers_total") == {("A", "B", "requeue", "expired"): 1}
    assert of(found, "unserved_total") == {("call", "none"): 1}
    assert of(oracle.facts(journey(*steps), due + 24 * H), "weakest_links_total") == {("A", "unserved", "handover"): 1}
    waiting = oracle.facts(journey(*steps, (31, ev.Queued, {"queue": "B"})), due + M)
    assert of(waiting, "handovers_pending") == {("A", "B"): 1}
    late = oracle.facts(journey(*steps, (30 + 600, ev.Answered, BEN)), due)
    assert of(late, "handovers_total") == {("A", "B", "requeue", "expired"): 1, ("A", "B", "reroute", "accepted"): 1}
    seen = oracle.facts(journey(*QUEUED_15_S, (30, ev.Transferred, {"kind": "blind", "queues_only": True})), due)
    assert of(seen, "handovers_total") == {("A", "unknown", "external", "accepted"): 1}


def test_the_next_contact_of_a_case_is_a_followup() -> None:
    """Next contact or piece of work of the same case, another representative: a handover without a moment of its own."""
    two_days, three_days = 48 * 3600, 72 * 3600
    events = [
        *journey((0, ev.Answered, ANN), (60, ev.Ended, {}), case_id="k", identifiers={"customer": "7"}),
        *journey(
            (two_days, ev.WorkStarted, BEN),
            (two_days + 60, ev.WorkCompleted, {}),
            interaction="i2",
            case_id="k",
            identifiers={"customer": "7"},
        ),
        *journey((three_days, ev.Answered, BEN), interaction="i3", case_id="k", identifiers={"customer": "7"}),
    ]
    found = oracle.facts(events, T + 73 * H)
    assert of(found, "handovers_total") == {("A", "B", "followup", "accepted"): 1}
    assert of(found, "chains_opened_total") == {(): 1}
    assert of(found, "moments_of_truth_total") == {("call", "A", "human"): 1, ("call", "B", "human"): 1}


def test_the_third_transfer_within_a_day_is_excessive() -> None:
    """Booked once per crossing to the team that sent it."""
    names = [{"representative": f"r{n}", "team": f"T{n}"} for n in range(5)]
    steps: list[Step] = [(0, ev.Answered, names[0])]
    for n, who in enumerate(names[1:], start=1):
        steps += [(n * 60, ev.Transferred, {"kind": "blind"}), (n * 60 + 5, ev.Answered, who)]
    found = oracle.facts(journey(*steps), T + H)
    assert of(found, "excessive_transfers_total") == {("call", "T2"): 1}


def test_ties_of_the_weakest_link() -> None:
    """Equal scores: wait before hold; of two waits the larger overrun; all at 1 → none."""
    steps: tuple[Step, ...] = (
        (0, ev.Queued, SALES),
        (40, ev.Answered, ANN),
        (40, ev.Held, {}),
        (160, ev.Retrieved, {}),
        (200, ev.Ended, {}),
    )
    (chain,) = oracle.chains(journey(*steps), LATER)
    assert chain["weakest"] == {"kind": "wait", "reason": "wait", "team": "sales", "score": Fraction(1, 2)}
    (fine,) = oracle.chains(journey(*QUEUED_15_S, (60, ev.Ended, {})), LATER)
    assert fine["weakest"] == {"kind": "none", "reason": "none", "team": "none", "score": Fraction(1)}


def test_the_law_of_moments_holds_when_a_bot_comes_between_two_persons() -> None:
    """Human moments = contacts with a human touch + handovers from person to person + joins: a bot between two adds a reroute."""
    bot = {"representative": "ivr", "actor": "bot", "team": "bots"}
    steps: tuple[Step, ...] = (
        (0, ev.Answered, ANN),
        (30, ev.Left, ANN),
        (31, ev.Answered, bot),
        (40, ev.Transferred, bot | {"kind": "blind"}),
        (45, ev.Answered, BEN),
    )
    found = oracle.facts(journey(*steps), T + M)
    assert of(found, "handovers_total") == {("A", "B", "reroute", "accepted"): 1, ("bots", "B", "escalation", "accepted"): 1}
    assert of(found, "moments_of_truth_total") == {("call", "A", "human"): 1, ("call", "B", "human"): 1, ("call", "bots", "bot"): 1}


def test_totals_put_observations_into_buckets() -> None:
    """Upper bounds are inclusive; beyond the last is the overflow; counters pass unchanged."""
    observed: Counter[tuple] = Counter(
        {("hold_seconds", "call", "A", 2 * S): 2, ("chain_score_ratio", 307): 1, ("hold_seconds", "call", "A", 86401 * S): 1}
    )
    observed["chains_open",] = 3
    assert oracle.totals(observed) == Counter(
        {
            ("hold_seconds", "call", "A", "bucket", 1): 2,
            ("hold_seconds", "call", "A", "bucket", 22): 1,
            ("hold_seconds", "call", "A", "sum"): 86405 * S,
            ("chain_score_ratio", "bucket", 4): 1,
            ("chain_score_ratio", "sum"): 307,
            ("chains_open",): 3,
        }
    )


BOT = {"representative": "ivr", "actor": "bot", "team": "bots"}


def test_a_revision_belongs_to_its_interaction() -> None:
    """The same id in two interactions is two events; of one, the higher content is folded, with the smallest sequence of it."""
    one, other = (ev.Queued(id="q", source="pbx", interaction_id=i, at=T, queue="sales") for i in ("i1", "i2"))
    assert of(oracle.facts([one, other], T), "customers_waiting") == {("call", "sales"): 2}
    content = b'{"at":1700000000000,"id":"q","interaction_id":"i1","queue":"sales","source":"pbx","type":"queued"}'
    assert oracle.content(one) == content
    same = [
        ev.Queued(id="q", source="pbx", interaction_id="i1", at=T, queue=queue, sequence=n) for queue, n in (("a", 1), ("b", 7), ("b", 5))
    ]
    assert oracle.selected(same) == [same[2]]


def test_without_a_lifecycle_event_it_is_over_from_its_start() -> None:
    """A message of the customer is a contact, and its chain closes 24 h after it."""
    events = journey((0, ev.MessageSent, {"by": "customer"}), channel="chat")
    assert of(oracle.facts(events, T + 24 * H - 1), "chains_open") == {(): 1}
    found = oracle.facts(events, T + 24 * H)
    assert of(found, "contacts_total") == {("chat", "inbound", "false", "unknown"): 1}
    assert of(found, "chains_closed_total") == {("unknown",): 1}
    assert of(found, "chain_resolution_seconds") == {(0,): 1}


def test_an_outbound_contact_is_one_once_a_person_answers() -> None:
    """Nobody there: no contact, and the first failed end is the attempt."""
    tries = journey((0, ev.Offered, {}), (9, ev.Ended, {"reason": "busy"}), (20, ev.Ended, {"reason": "machine"}), direction="outbound")
    found = oracle.facts(tries, T + M)
    assert of(found, "contacts_total") == {}
    assert of(found, "outbound_attempts_total") == {("call", "unknown", "busy"): 1}
    found = oracle.facts([*tries, *journey((30, ev.Answered, ANN), interaction="i2", direction="outbound")], T + M)
    assert of(found, "contacts_total") == {("call", "outbound", "false", "unknown"): 1}


@pytest.mark.parametrize(
    ("after", "phases"),
    [
        ((ev.Rang, {}), ["over", "over"]),
        ((ev.Queued, SALES), ["over", "queue"]),
        ((ev.Answered, BOT), ["over", "talk"]),
        ((ev.WorkStarted, ANN), ["over", "talk"]),
        ((ev.Answered, ANN), ["over", "talk"]),
    ],
)
def test_over_stays_and_decides_while_nothing_is_open(after: tuple, phases: list[str]) -> None:
    """Once said, *over* is never cleared; what is open goes before it."""
    events = journey(*QUEUED_15_S, (60, ev.Ended, {}), (70, *after), (80, ev.Rang, {}))
    assert [oracle.phase_before(events, n) for n in (3, 4)] == phases
    presumed = {} if phases[1] == "over" else {("call", phases[1]): 1}
    assert of(oracle.facts(events, LATER), "presumed_ended_total") == presumed


def test_the_order_of_phases() -> None:
    """Parked before an entry, an entry before a bot or work, those before a pending handover."""
    steps: tuple[Step, ...] = (
        (0, ev.Answered, ANN),
        (10, ev.Parked, {}),
        (20, ev.Queued, SALES),
        (30, ev.Transferred, {"kind": "blind"}),  # the entry leaves, parked ends, over
        (40, ev.Answered, BOT),
        (50, ev.Queued, SALES),
        (60, ev.Transferred, BOT | {"kind": "blind"}),
        (70, ev.LeftQueue, SALES | {"reason": "key"}),
        (80, ev.WorkStarted, ANN),
    )
    events = journey(*steps)
    phases = ["over", "talk", "hold", "hold", "over", "talk", "queue", "queue", "pending", "talk"]
    assert [oracle.phase_before(events, n) for n in range(10)] == phases


@pytest.mark.parametrize(
    "release",
    [
        (ev.Queued, {"queue": "B"}),
        (ev.Answered, CIA),
        (ev.Parked, {}),
        (ev.Transferred, {"kind": "blind"}),
        (ev.Ended, {}),
    ],
)
def test_guests_leave_when_main_is_released(release: tuple) -> None:
    """Whatever released it, but an introduction."""
    guest = (20, ev.Joined, {"representative": "ben", "mode": "conference"})
    found = oracle.facts(journey(*QUEUED_15_S, guest, (50, *release)), T + M)
    assert of(found, "talk_seconds") == {("call", "A", 35 * S): 1, ("call", "sales", 30 * S): 1}  # a guest's queue is main's


def test_a_no_show_is_served_only_by_the_first_to_accept() -> None:
    """Somebody accepted since: a no-show it was not, and is not again; a resumption accepts like anybody."""
    steps: tuple[Step, ...] = ((0, ev.Answered, ANN), (10, ev.Parked, {}), (20, ev.Queued, SALES), (30, ev.Called, {}), (40, ev.NoShow, {}))
    gone = oracle.facts(journey(*steps), T + M)
    assert of(gone, "queue_exits_total") == {("visit", "sales", "abandoned"): 1}
    served = oracle.facts(journey(*steps, (50, ev.Resumed, {})), T + M)
    assert of(served, "queue_exits_total") == {("visit", "sales", "answered"): 1}
    assert of(served, "moments_of_truth_total") == {("visit", "A", "human"): 1}
    # A later no_show finds no entry; the answered one stays what it is.
    again = oracle.facts(journey(*steps, (50, ev.Resumed, {}), (52, ev.Left, ANN), (55, ev.NoShow, {})), T + M)
    assert of(again, "queue_exits_total") == {("visit", "sales", "answered"): 1}


def test_every_callback_has_one_outcome() -> None:
    """Unreachable goes to each without one; an accept connects all, also those that were unreachable."""
    steps: tuple[Step, ...] = (
        (0, ev.Queued, SALES),
        (5, ev.CallbackRequested, {}),
        (9, ev.CallbackRequested, {"queue": "B"}),
        (60, ev.Ended, {"reason": "busy"}),
    )
    states = {("call", "sales", "requested"): 1, ("call", "sales", "requested_in_target"): 1, ("call", "B", "requested"): 1}
    failed = oracle.facts(journey(*steps), T + M)
    assert of(failed, "callbacks_total") == states | {("call", queue, "unreachable"): 1 for queue in ("sales", "B")}
    reached = oracle.facts(journey(*steps, (90, ev.Answered, ANN), (99, ev.Ended, {"reason": "busy"})), T + 2 * M)
    assert of(reached, "callbacks_total") == states | {("call", queue, "connected"): 1 for queue in ("sales", "B")}


def test_a_resumed_touch_is_wrapped_up_anew() -> None:
    """An earlier wrapped_up of it no longer counts."""
    steps: tuple[Step, ...] = (
        (0, ev.Answered, ANN),
        (30, ev.Parked, {}),
        (35, ev.WrappedUp, ANN),
        (60, ev.Resumed, {}),
        (90, ev.Ended, {}),
    )
    assert of(oracle.facts(journey(*steps), LATER), "wrap_up_seconds") == {("call", "A", 0): 1}
    found = oracle.facts(journey(*steps, (97, ev.WrappedUp, {})), LATER)
    assert of(found, "wrap_up_seconds") == {("call", "A", 7 * S): 1}


def test_a_transfer_ends_parked() -> None:
    """What was parked is handed over; nobody is left to resume without a name."""
    steps: tuple[Step, ...] = ((0, ev.Answered, ANN), (30, ev.Parked, {}), (40, ev.Transferred, {"kind": "blind"}), (50, ev.Resumed, {}))
    found = oracle.facts(journey(*steps), T + M)
    assert of(found, "handovers_pending") == {("A", "unknown"): 1}
    assert of(found, "on_hold") == of(found, "in_conversation") == {}


def test_a_second_line_about_one_fact_is_ignored() -> None:
    """`ended` or a bot in between does not matter; a person, another reason or queue does."""
    steps: tuple[Step, ...] = (
        (0, ev.Queued, SALES),
        (15, ev.LeftQueue, SALES | {"reason": "empty"}),
        (16, ev.Ended, {}),
        (17, ev.Answered, BOT),
    )
    same: Step = (20, ev.LeftQueue, SALES | {"reason": "empty"})
    assert of(oracle.facts(journey(*steps, same), T + M), "contacts_blocked_total") == {}
    blocked = {("call", "sales", "empty"): 1}
    assert of(oracle.facts(journey(*steps, (18, ev.Answered, ANN), same), T + M), "contacts_blocked_total") == blocked
    other: Step = (20, ev.LeftQueue, SALES | {"reason": "full"})
    assert of(oracle.facts(journey(*steps, other), T + M), "contacts_blocked_total") == {("call", "sales", "full"): 1}


def test_an_entry_open_at_a_bots_transfer_waits_with_the_handover() -> None:
    """It names the receiver and holds the expiry back until it exits; a returned one is named by the same rule."""
    steps: tuple[Step, ...] = (
        (0, ev.Answered, BOT),
        (5, ev.Queued, SALES),
        (6, ev.Transferred, BOT | {"kind": "blind", "queues_only": True}),
        (1000, ev.LeftQueue, SALES | {"reason": "timeout"}),
    )
    due = T + 1000 * S + 10 * M
    assert of(oracle.facts(journey(*steps), due - 1), "handovers_pending") == {("bots", "sales"): 1}
    assert of(oracle.facts(journey(*steps), due), "handovers_total") == {("bots", "sales", "escalation", "expired"): 1}
    back: tuple[Step, ...] = (
        *QUEUED_15_S,
        (30, ev.Transferred, {"kind": "requeue"}),
        (31, ev.Queued, {"queue": "B"}),
        (40, ev.Answered, ANN),
    )
    assert of(oracle.facts(journey(*back), T + M), "handovers_total") == {("A", "B", "requeue", "returned"): 1}


def test_a_handover_expires_beside_a_bot_and_before_any_later_event() -> None:
    """At its own limit; the bot goes on until its presumed end. A reset matters only as the presumed end of the interaction."""
    given: tuple[Step, ...] = (*QUEUED_15_S, (30, ev.Transferred, {"kind": "blind"}), (40, ev.Answered, BOT))
    due = T + 30 * S + 10 * M
    expired = {("A", "unknown", "blind", "expired"): 1}
    found = oracle.facts(journey(*given), due)
    assert of(found, "handovers_total") == expired
    assert of(found, "presumed_ended_total") == of(found, "unserved_total") == {}
    found = oracle.facts(journey(*given), T + 40 * S + 8 * H)
    assert of(found, "presumed_ended_total") == {("call", "talk"): 1}
    assert of(found, "unserved_total") == {("call", "none"): 1}
    assert of(oracle.facts(journey(*given, (630, ev.Ended, {})), LATER), "handovers_total") == expired
    assert of(oracle.facts(journey(*given, (629, ev.Ended, {})), LATER), "handovers_total") == {("A", "unknown", "blind", "abandoned"): 1}
    reset = ev.Reset(id="r", source="pbx", at=T + 35 * S)
    taken = (*QUEUED_15_S, (30, ev.Transferred, {"kind": "blind"}), (45, ev.Answered, BEN))
    assert of(oracle.facts([*journey(*taken[:3]), reset], T + 35 * S), "handovers_total") == expired
    assert of(oracle.facts([*journey(*taken), reset], T + M), "handovers_total") == {("A", "B", "blind", "accepted"): 1}


def test_queues_only_left_karar_only_without_an_entry() -> None:
    """An entry of the contact since the transfer was seen: expired, not external."""
    steps: tuple[Step, ...] = (
        *QUEUED_15_S,
        (30, ev.Transferred, {"kind": "blind", "queues_only": True}),
        (31, ev.Queued, {"queue": "B"}),
        (32, ev.LeftQueue, {"queue": "B", "reason": "key"}),
    )
    assert of(oracle.facts(journey(*steps), LATER), "handovers_total") == {("A", "B", "blind", "expired"): 1}


def test_of_several_failed_handovers_the_last_is_unserved() -> None:
    """The link starts with it and is charged to the last main touch."""
    steps: tuple[Step, ...] = (
        (0, ev.Answered, ANN),
        (30, ev.Transferred, {"kind": "blind"}),
        (1000, ev.Answered, BOT),
        (1010, ev.Transferred, BOT | {"kind": "blind"}),
    )
    (chain,) = oracle.chains(journey(*steps), LATER)
    assert chain["links"] == [("unserved", "handover", "A", Fraction(0), 0, T + 1010 * S)]


def test_nobody_known_is_joined_by_time() -> None:
    """The same ticket twice is two chains; `linked` makes them one."""
    events = [
        e for i in ("i1", "i2") for e in journey((0, ev.Answered, ANN), (60, ev.Ended, {}), interaction=i, identifiers={"ticket": "7"})
    ]
    assert of(oracle.facts(events, LATER), "chains_opened_total") == {(): 2}
    link = ev.Linked(id="l", source="pbx", interaction_id="i2", at=T + M, to_interaction_id="i1")
    assert of(oracle.facts([*events, link], LATER), "chains_opened_total") == {(): 1}


def test_experience_knows_what_was_not_presumed() -> None:
    """Bots and a lost wait are of known length; what a presumed end cut off is not."""
    steps: tuple[Step, ...] = ((0, ev.Answered, BOT), (10, ev.Left, BOT), (20, ev.Queued, SALES))
    lost = oracle.facts(journey(*steps, (50, ev.Ended, {"reason": "lost"})), LATER)
    assert of(lost, "queue_exits_total") == {("call", "sales", "unknown"): 1}
    assert of(lost, "chain_experience_seconds") == {(40 * S,): 1}
    assert of(oracle.facts(journey(*steps), LATER), "chain_experience_seconds") == {(10 * S,): 1}
