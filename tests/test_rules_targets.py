"""What was expected of whom: the targets file, effective dates, and whose team somebody is."""

import re
from typing import Final

import pytest
from msgspec.structs import replace

from streams.core.targets import Rules, parse
from tests.shared import ROOT
from tests.story import BASE, DAY, HOUR, LATER, MS, Labels, Story, call, counted, email, visit

MIDNIGHT: Final = -8 * HOUR  # 2026-03-02 00:00 UTC


def row(kind: str, amount: float, **conditions: str) -> str:
    """One row of a targets file; `since` is a date."""
    unit = "count" if kind in {"transfers", "excessive_transfers"} else "seconds"
    day = f"from = {conditions.pop('since')}\n" if "since" in conditions else ""
    return f'[[target]]\nkind = "{kind}"\n{unit} = {amount}\n{day}' + "".join(f'{k} = "{v}"\n' for k, v in conditions.items())


def evaluations(text: str, *stories: Story) -> dict[Labels, int]:
    """Evaluations under a targets file."""
    return counted("target_evaluations_total", *stories, rules=parse(text))


def waited(seconds: float, **common: str) -> Story:
    """A call to queue A, answered after so many seconds."""
    return call("c1", **common).queued(0, "A").answered(seconds, "ann").ended(seconds + 60)


EVERYTHING: Final = row("wait", 31)
CHANNEL: Final = row("wait", 32, channel="call")
TEAM: Final = row("wait", 33, team="A")
QUEUE: Final = row("wait", 34, queue="A")
SEGMENT: Final = row("wait", 35, segment="vip")
BOTH: Final = row("wait", 36, queue="A", segment="vip")


@pytest.mark.parametrize(
    ("text", "segment", "limit", "scope"),
    [
        (EVERYTHING, "", 31, "all"),
        (EVERYTHING + CHANNEL, "", 32, "channel:call"),
        (EVERYTHING + CHANNEL + TEAM, "", 33, "team:A"),
        (EVERYTHING + CHANNEL + TEAM + QUEUE, "", 34, "queue:A"),
        (EVERYTHING + CHANNEL + TEAM + SEGMENT, "vip", 35, "segment:vip"),
        (QUEUE + SEGMENT + BOTH, "vip", 36, "segment:vip"),
        (QUEUE + SEGMENT + BOTH, "", 34, "queue:A"),
        (TEAM + row("wait", 37, channel="call", team="A"), "", 37, "team:A"),
    ],
)
def test_the_most_specific_row_wins_in_any_order(text: str, segment: str, limit: int, scope: str) -> None:
    """`scope` is `all`, `channel:X`, `queue:X`, `team:X` or `segment:X`: the matched row's."""
    backwards = "".join("[[target]]" + part for part in reversed(text.split("[[target]]")[1:]))
    for order in (text, backwards):
        for seconds, result in ((limit - MS, "met"), (limit, "met"), (limit + MS, "missed")):
            expected = {("wait", scope, segment or "none", result): 1}
            assert evaluations(order, waited(seconds, segment=segment)) == expected


@pytest.mark.parametrize(
    "text",
    [
        row("wait", 30, channel="visit"),
        row("wait", 30, queue="B"),
        row("wait", 30, team="B"),
        row("wait", 30, segment="vip"),
        row("hold", 30),
    ],
)
def test_a_row_whose_conditions_do_not_hold_changes_nothing(text: str) -> None:
    """Defaults until a targets file says otherwise: wait call 20 s."""
    assert evaluations(text, waited(20)) == {("wait", "channel:call", "none", "met"): 1}
    assert evaluations(text, waited(20 + MS)) == {("wait", "channel:call", "none", "missed"): 1}


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        (QUEUE + SEGMENT, "queue=A", "segment=vip"),
        (QUEUE + row("wait", 40, queue="A"), "queue=A", "queue=A"),
        (row("hold", 40) + row("hold", 50), "hold for everything", "hold for everything"),
        (row("wait", 40, queue="A", team="X") + row("wait", 40, segment="vip", team="X"), "queue=A", "segment=vip"),
    ],
)
def test_rows_that_tie_for_the_same_contact_are_refused_and_both_named(text: str, first: str, second: str) -> None:
    """Rows that tie for the same contact are refused, both named."""
    with pytest.raises(ValueError, match="tie") as refusal:
        parse(text)

    one, other = str(refusal.value).split(", and ")
    assert first in one
    assert second in other


@pytest.mark.parametrize(
    "text",
    [
        QUEUE + row("wait", 40, queue="B"),
        QUEUE + row("hold", 40, queue="A"),
        QUEUE + TEAM,
        QUEUE + SEGMENT + BOTH,
        QUEUE + row("wait", 40, queue="A", since="2026-03-02"),
    ],
)
def test_rows_that_cannot_tie_are_accepted(text: str) -> None:
    """Rows that tie for the same contact are refused."""
    assert parse(text).targets[-1].kind in {"wait", "hold"}


@pytest.mark.parametrize("seconds", [0.001, 9.999, 10])
def test_a_wait_target_not_above_short_is_refused(seconds: float) -> None:
    """X ≤ short is refused."""
    with pytest.raises(ValueError, match="short"):
        parse(row("wait", seconds))


def test_a_wait_target_above_short_is_accepted() -> None:
    """X ≤ short is refused."""
    assert evaluations(row("wait", 10.001), waited(10.001)) == {("wait", "all", "none", "met"): 1}


@pytest.mark.parametrize("kind", ["wait", "hold", "excessive_transfers"])
@pytest.mark.parametrize("amount", [0, -1])
def test_a_target_of_zero_is_refused(kind: str, amount: int) -> None:
    """Time: … target 0 refused."""
    with pytest.raises(ValueError, match=kind):
        parse(row(kind, amount))


def test_no_transfer_at_all_may_be_expected() -> None:
    """Counts: (target+1) / (max(actual, target)+1): with target 0 the first transfer scores 1/2."""
    transferred = call("c1", phone="1").answered(0, "ann", team="A").transferred(10, "blind").answered(20, "bob", team="B").ended(30)

    assert evaluations(row("transfers", 0), transferred) == {("transfers", "all", "none", "missed"): 1}
    assert counted("link_score_ratio", transferred, now=LATER, rules=parse(row("transfers", 0))) == {("handover", 500): 1}


@pytest.mark.parametrize(
    ("begun", "result"), [(MIDNIGHT - MS, "missed"), (MIDNIGHT, "met"), (MIDNIGHT + MS, "met")]
)  # fmt: skip
def test_a_target_applies_by_its_effective_date_at_the_links_start(begun: float, result: str) -> None:
    """A target applies by its effective date at the link's start and is never judged again."""
    text = row("wait", 60, channel="call", since="2026-03-02")
    story = call("c1").queued(begun, "A").answered(begun + 30, "ann").ended(begun + 60)

    assert evaluations(text, story) == {("wait", "channel:call", "none", result): 1}


@pytest.mark.parametrize(("begun", "score"), [(MIDNIGHT - MS, 500), (MIDNIGHT, 750)])
def test_a_hold_target_applies_by_its_effective_date_at_the_touchs_start(begun: float, score: int) -> None:
    """A target applies by its effective date at the link's start."""
    text = row("hold", 90, since="2026-03-02")
    story = call("c1").answered(begun, "ann", team="A").held(begun + 10).retrieved(begun + 130).ended(begun + 200)

    assert counted("link_score_ratio", story, now=LATER, rules=parse(text)) == {("hold", score): 1}


def test_an_effective_date_ends_the_row_before_it() -> None:
    """A target applies by its effective date."""
    text = row("wait", 40, queue="A", since="2026-03-01") + row("wait", 50, queue="A", since="2026-03-03")
    stories = [call(f"c{n}").queued(n * DAY, "A").answered(n * DAY + 45, "ann").ended(n * DAY + 60) for n in (-2, 0, 2)]

    assert [evaluations(text, story) for story in stories] == [
        {("wait", "channel:call", "none", "missed"): 1},
        {("wait", "queue:A", "none", "missed"): 1},
        {("wait", "queue:A", "none", "met"): 1},
    ]


def test_a_change_of_targets_is_a_new_rules_version() -> None:
    """A change of targets or counting rules is a new `rules_version`."""
    versions = [parse(text).version for text in ("", EVERYTHING, CHANNEL, row("wait", 60), '[queues]\nA = "sales"\n')]

    assert len(set(versions)) == 5
    assert parse("").version == Rules().version
    assert parse(EVERYTHING).version == parse(EVERYTHING).version


def test_the_runbook_says_how_to_go_back() -> None:
    """Its line makes an older file new, and nothing is counted otherwise by it; a comment, or an objective, does not."""
    section = (ROOT / "docs" / "runbook.md").read_text("utf-8").split("\n## Going back to older targets\n")[1].split("\n## ")[0]
    (lines,) = re.findall(r"```toml\n(.+?)```", section, re.DOTALL)
    older = parse(EVERYTHING)
    again = parse(EVERYTHING + lines)
    same = parse(EVERYTHING + '# older\n[[objective]]\nname = "wait"\nratio = 0.8\n')

    assert again.version != older.version == same.version
    assert replace(again, queues={}).version == older.version
    assert [again.queue_team(queue) for queue in ("A", "")] == ["A", "unknown"]


@pytest.mark.parametrize(
    "text",
    [
        "wait = ",
        '[[targets]]\nkind = "wait"\n',
        row("patience", 30),
        row("wait", 30, mood="good"),
        row("wait", 30, since='"soon"'),
        '[[target]]\nkind = "wait"\nseconds = true\n',
        '[[target]]\nkind = "wait"\n',
        '[[objective]]\nname = "wait"\nratio = 1.0\n',
        '[queues]\nA = ""\n',
    ],
)
def test_what_a_targets_file_cannot_mean_is_refused_in_one_line(text: str) -> None:
    """Raises ValueError, one line: what, where, what to do."""
    with pytest.raises(ValueError, match=r"\Atargets: [^\n]+\Z"):
        parse(text)


CONFIGURED: Final = parse('[representatives]\nann = "sales"\n[queues]\nA = "service"\n')


def team_of(story: Story, rules: Rules | None = None) -> str:
    """The team of the story's only moment."""
    ((_, team, _),) = counted("moments_of_truth_total", story, rules=rules)
    return str(team)


@pytest.mark.parametrize(
    ("story", "rules", "team"),
    [
        (call("c1").queued(0, "A").answered(5, "ann", team="loans"), CONFIGURED, "loans"),
        (call("c1").queued(0, "A").answered(5, "ann"), CONFIGURED, "sales"),
        (call("c1").queued(0, "A").answered(5, "bob"), CONFIGURED, "service"),
        (call("c1").queued(0, "A").answered(5, "bob"), None, "A"),
        (call("c1").answered(5, "bob"), CONFIGURED, "unknown"),
        (call("c1").queued(0, "A").queued(5, "B").answered(9, "bob"), None, "B"),
    ],
)
def test_a_team_is_published_configured_of_the_queue_or_unknown(story: Story, rules: Rules | None, team: str) -> None:
    """The published one, otherwise the one configured, otherwise the team of the queue entry that brought the contact, or `unknown`."""
    assert team_of(story, rules) == team


def test_a_rerouted_contact_was_still_brought_by_its_queue_entry() -> None:
    """… otherwise the team of the queue entry that brought the contact, otherwise `unknown`."""
    story = call("c1").queued(0, "A").answered(5, "ann").left(20, "ann").answered(30, "bob").ended(60)

    assert counted("moments_of_truth_total", story) == {("call", "A", "human"): 2}


def test_a_wait_belongs_to_the_queues_team() -> None:
    """A wait belongs to the queue's team (default: the queue's name)."""
    late = call("c1").queued(0, "A").answered(40, "ann", team="loans").ended(60)

    assert counted("weakest_links_total", late, now=LATER) == {("A", "wait", "wait"): 1}
    assert counted("weakest_links_total", late, now=LATER, rules=CONFIGURED) == {("service", "wait", "wait"): 1}


def test_a_failed_handover_belongs_to_the_sender_with_the_receiver_as_second_label() -> None:
    """A failed handover to the sender (receiver as second label)."""
    story = call("c1").answered(5, "ann", team="A").transferred(60, "blind", to_team="B").ended(90)

    assert counted("handovers_total", story) == {("A", "B", "blind", "abandoned"): 1}
    assert counted("weakest_links_total", story, now=LATER) == {("A", "unserved", "handover"): 1}


def test_answered_is_booked_when_it_happens_and_handle_time_when_it_ends() -> None:
    """Answered is booked when it happens, handle time when it ends."""
    talk = call("c1").queued(0, "A").answered(5, "ann")

    assert counted("contacts_answered_total", talk) == {("call", "A"): 1}
    assert counted("touches_ended_total", talk) == {}
    assert counted("talk_seconds", talk) == {}
    assert counted("touches_ended_total", talk.ended(60)) == {("call", "A"): 1}
    assert counted("talk_seconds", talk.ended(60)) == {("call", "A", 55_000): 1}


def test_a_transfer_is_started_when_the_senders_touch_ends() -> None:
    """Transfers it started / its touches ended, both booked when the sender's touch ends."""
    talk = call("c1").queued(0, "A").answered(5, "ann")
    gone = talk.transferred(60, "blind", "B")

    assert (counted("transfers_started_total", talk), counted("touches_ended_total", talk)) == ({}, {})
    assert counted("transfers_started_total", gone) == {("call", "A", "blind"): 1}
    assert counted("touches_ended_total", gone) == {("call", "A"): 1}


def test_work_of_unknown_time_is_a_touch_without_talk_time() -> None:
    """E-mail rows of unknown working time (a CSV row that lasts days) are touches without talk time."""
    story = email("e1").answered(0, "ann", team="A", timed=False).ended(3 * DAY)

    assert counted("moments_of_truth_total", story) == {("email", "A", "human"): 1}
    assert counted("touches_ended_total", story) == {("email", "A"): 1}
    assert counted("talk_seconds", story) == {}
    assert counted("wrap_up_seconds", story, now=LATER) == {}
    assert counted("chain_experience_seconds", story, now=LATER) == {(0,): 1}


def test_the_stories_begin_where_the_effective_dates_say() -> None:
    """2026-03-02 08:00 UTC is 1,772,438,400 s after 1970."""
    assert BASE + MIDNIGHT * 1000 == 1_772_409_600_000
    assert parse(row("wait", 60, since="2026-03-02")).targets[-1].since == 1_772_409_600_000


def test_a_visit_has_a_target_of_its_own() -> None:
    """Expected by channel, queue, team and segment."""
    text = row("wait", 120, channel="visit", queue="A")
    story = visit("v1").queued(0, "A").called(121).serving_started(130, "ann").ended(200)

    assert evaluations(text, story) == {("wait", "queue:A", "none", "missed"): 1}
    assert evaluations(text, waited(20)) == {("wait", "channel:call", "none", "met"): 1}
