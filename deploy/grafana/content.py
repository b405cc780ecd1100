"""What the dashboard *Moments now* shows, row by row. Each text says what is seen, by which rule, and what to do."""

from typing import Final

from deploy.grafana.panels import (
    COUNT,
    EVENTS,
    FEW_WANTED,
    HIGH_WANTED,
    LOW_WANTED,
    NO_DATA,
    NONE_WANTED,
    RATIO,
    SECONDS,
    WAIT,
    bars,
    itself,
    lines,
    matrix,
    number,
    rows,
    today,
    yes_or_no,
)
from deploy.grafana.queries import TODAY, gauge, net, recorded, some

IN_QUEUE: Final = ("channel", "queue")
QUEUE: Final = "{{channel}} {{queue}}"
TEAM: Final = "{{team}}"
SCOPES: Final = 'scope=~"all|channel:$channel|queue:$queue|team:$team|segment:.*"'
IN_TARGET: Final = recorded("queue:contacts_answered_in_target:increase$window", *IN_QUEUE)
ANSWERED: Final = recorded("queue:contacts_answered:increase$window", *IN_QUEUE)
ABANDONED: Final = recorded("queue:contacts_abandoned:increase$window", *IN_QUEUE)
SHORT: Final = recorded("queue:contacts_abandoned_short:increase$window", *IN_QUEUE)
WON: Final = net("moments_judged_total", where='result="won"', window=TODAY)
OPEN: Final = "max by (topic, partition) (karar_shard_up)"
EVER_OPEN: Final = "max by (topic, partition) (max_over_time(karar_shard_up[1d]))"
ZERO: Final = "0 * count(karar_behind_seconds)"
"""None of it, where a worker answers; where none does, nothing is known."""

NOW: Final = (
    number(
        "Customers waiting",
        "Customers in a queue whom nobody has answered yet, also those whose ticket was called but who are not served. "
        "If it rises and stays up, bring people to the queues below.",
        gauge("customers_waiting"),
    ),
    number(
        "Longest wait",
        "How long the customer waits who has waited longest, of those in a queue now. The table below names the queue: answer there next. "
        "In e-mail long waits are normal; choose a channel above.",
        gauge("longest_wait_seconds", operation="max"),
        unit=WAIT,
    ),
    number(
        "In conversation",
        "Contacts that are with a representative and not on hold. Far fewer than people on duty while customers wait: ask why.",
        gauge("in_conversation"),
    ),
    number(
        "On hold",
        "Customers on hold, also those whose representative asks a colleague. Many, for long: find out which knowledge or tool is missing.",
        gauge("on_hold"),
    ),
    today(
        "Moments of truth today",
        "How often a person took a customer on since midnight; a call accepted and then transferred is two. "
        "Counted when it became known, less what was corrected. Nothing to do: it is the size of the day.",
        net("moments_of_truth_total", where='actor="human"', window=TODAY),
    ),
    today(
        "Won of them",
        "Won / (won + lost) since midnight. A moment is won when its touch and the wait, hold and handover that led to it met every "
        "expectation that applied. Below 80 %: the rows below show which expectation fails, and where.",
        f"({WON} or vector(0)) / ({net('moments_judged_total', window=TODAY)} > 0)",
        unit=RATIO,
        steps=HIGH_WANTED,
    ),
    rows(
        "Waiting by queue",
        "Who waits where, and for how long the first in line. Answer where the longest wait comes near the target of that queue.",
        {
            "longest wait": (gauge("longest_wait_seconds", *IN_QUEUE, operation="max"), WAIT),
            "waiting": (gauge("customers_waiting", *IN_QUEUE), COUNT),
        },
        *IN_QUEUE,
    ),
    lines(
        "Customers waiting by queue",
        "How the queues grew and shrank. One that only grows has too few people for what comes in: move some, or offer callbacks.",
        gauge("customers_waiting", *IN_QUEUE),
        QUEUE,
    ),
    lines(
        "In conversation by team",
        "How busy each team is. A team that is at its number of people has nobody free; one far below may help out.",
        gauge("in_conversation", "team"),
        TEAM,
    ),
)

SERVICE: Final = (
    lines(
        "Live service level by target",
        "Met / (met + missed) of the wait targets in the last 30 minutes; each queue entry is judged once: when it is answered, given up, "
        "or its target passes. A queue with a target of its own has its line, the others are in their channel's. Dashed: the objective, "
        "where there is one. Falling towards it: act now, on those who still wait.",
        f"max by (scope) (scope:service_level_live:ratio30m{{{SCOPES}}})",
        "{{scope}}",
        unit=RATIO,
        objective=f'max by (scope) (karar_objective_ratio{{objective=~"wait|service_level", {SCOPES}}})',
    ),
    bars(
        "Service level by queue",
        "Answered within target / (answered + abandoned − short) in the window: of the customers that left the queue, how many in time. "
        "Who waits beyond the target is not in it yet; *Live service level by target* knows them. "
        "Red: the queue lacks people at this hour, or promises more than it is staffed for.",
        f"{IN_TARGET} / ({ANSWERED} + {ABANDONED} - {SHORT} > 0)",
        QUEUE,
        unit=RATIO,
        steps=HIGH_WANTED,
    ),
    lines(
        "Abandon rate by queue",
        "(Abandoned − short) / (offered − short) in the window. Who leaves within 10 s is not held against the queue, and a callback is no "
        "abandon. Above 5 % for long: look at the waits, and at what the waiting are told.",
        recorded("queue:abandon_rate:ratio$window", *IN_QUEUE),
        QUEUE,
        unit=RATIO,
    ),
    rows(
        "Queues",
        "What came, was answered and was given up in the window, and the average speed of answer: waits of the answered / answered. "
        "What was offered and is neither waits still, or left another way.",
        {
            "offered": (recorded("queue:contacts_offered:increase$window", *IN_QUEUE), COUNT),
            "answered": (ANSWERED, COUNT),
            "abandoned": (ABANDONED, COUNT),
            "average wait": (recorded("queue:answer_speed_seconds:mean$window", *IN_QUEUE), WAIT),
        },
        *IN_QUEUE,
    ),
    bars(
        "Moments won by team",
        "Won / (won + lost) of the moments whose touch ended in the window. A low team is not a bad team: the wait before it counts too. "
        "Compare with *What costs most*, below.",
        recorded("team:moments_won:ratio$window", "team"),
        TEAM,
        unit=RATIO,
        steps=HIGH_WANTED,
    ),
    bars(
        "Handle time by channel",
        "(Talk + hold + wrap-up) / touches ended in the window. A jump in one channel: something new keeps people busy; ask them what.",
        recorded("channel:handle_time_seconds:mean$window", "channel"),
        "{{channel}}",
        unit=WAIT,
    ),
    bars(
        "Unserved by queue",
        "Contacts in the window whose last wait ended without a person: given up (not short), timed out, withdrawn, or handed over and "
        "never taken (queue *none*). Each is a customer at risk: call back where you can.",
        some("unserved_total", *IN_QUEUE),
        QUEUE,
        steps=FEW_WANTED,
    ),
    bars(
        "Turned away by queue",
        "Customers in the window who came to a queue that was closed, full or without anybody logged in; they are not among the offered. "
        "Check opening times and logins.",
        some("contacts_blocked_total", *IN_QUEUE, "reason"),
        "{{channel}} {{queue}}: {{reason}}",
        steps=FEW_WANTED,
    ),
    bars(
        "Offers missed by team",
        "Offers in the window that a representative did not take; the customer waited meanwhile. Remind people to say when they are away.",
        some("missed_offers_total", "team"),
        TEAM,
        steps=FEW_WANTED,
    ),
)

TRANSFERS: Final = (
    lines(
        "Transfer rate by team",
        "Transfers started / touches ended of a team in the last 30 minutes; overflow, escalation by a bot and follow-up are none. "
        "Dashed: what the team is permitted. Surely above it, *ExcessiveTransfers* fires: see the runbook.",
        recorded("team:transfer_rate:ratio30m", "team"),
        TEAM,
        unit=RATIO,
        objective=recorded("team:transfer_rate:permitted", "team"),
    ),
    bars(
        "Ping-pong by team",
        "Accepted transfers in the window to a team that had this contact before and now has it again. "
        "Agree with the teams that sent it whose cases these are.",
        some("ping_pongs_total", "team"),
        TEAM,
        steps=FEW_WANTED,
    ),
    bars(
        "Excessive transfers by team",
        "Chains that went over the limit in the window (by default the third accepted transfer within 24 h), by the team that sent it. "
        "Call these customers: a worker's page `/chains?open=1&sort=transfers` names the chains.",
        some("excessive_transfers_total", "team"),
        TEAM,
        steps=FEW_WANTED,
    ),
    matrix(
        "Handovers from team to team",
        "Settled handovers in the window, senders down, receivers across; all kinds but those that leave the house. "
        "A full cell that no process of yours explains is a detour: bring these customers to the receiver at once.",
        some("handovers_total", "from_team", "to_team", where='kind!="external"'),
        "from_team",
        "to_team",
    ),
    bars(
        "Handovers that failed, by sender",
        "(Abandoned + expired) / handovers in the window: passed on, and nobody took the customer. "
        "Has the receiver people? Until then, stay on the line until somebody answers.",
        recorded("from_team:handover_failure:ratio$window", "from_team"),
        "{{from_team}}",
        unit=RATIO,
        steps=LOW_WANTED,
    )
    .span(6)
    .height(9),
    bars(
        "Handovers that nobody has taken yet",
        "Customers between two teams at this moment. They wait for the second time and leave sooner: take these first.",
        f"{gauge('handovers_pending', 'from_team', 'to_team')} > 0",
        "{{from_team}} → {{to_team}}",
        steps=FEW_WANTED,
    )
    .span(6)
    .height(9),
)

CHAINS: Final = (
    number(
        "Chains open",
        "Customers' chains that may still go on: a chain closes a day after its last contact, a case after 30 days. "
        "A worker's page `/chains?open=1&sort=score` lists the weakest first.",
        gauge("chains_open"),
    ).height(8),
    bars(
        "Open chains by weakest link",
        "What was worst so far in chains that can still be saved; *none*: nothing yet. "
        "Many *unserved*: call these customers before the chain closes.",
        gauge("chains_open_weakest", "link"),
        "{{link}}",
    ),
    lines(
        "Chains closed by outcome",
        "Chains that closed in the window. *Served*: a person took the customer on; *abandoned*: the customer went without; *unknown*: "
        "bots only, or an end that nobody saw. More abandoned than usual: yesterday's waits did it, see *What costs most*.",
        net("chains_closed_total", "outcome"),
        "{{outcome}}",
    ).span(12),
    bars(
        "What costs most",
        "By how much the links of chains that closed in the window fell short of a score of 1, summed: which kind of link, of which team, "
        "hurts customers most. Begin at the top. A wait is the queue's, a handover the sender's.",
        f"topk(12, {some('link_shortfall_total', 'team', 'link')})",
        "{{team}}: {{link}}",
    )
    .decimals(1)
    .span(12)
    .height(10),
    rows(
        "Weakest links",
        "Chains that closed in the window by their weakest link, the one that is remembered, and the expectation that it failed. "
        "The same line on top for days: change how this team works, or what is promised.",
        {"chains": (some("weakest_links_total", "team", "link", "reason", where='link!="none"'), COUNT)},
        "team",
        "link",
        "reason",
    )
    .span(12)
    .height(10),
)

ITSELF: Final = (
    itself(
        "Behind",
        "How far the slowest worker is behind what was published; 0: caught up. From 2 minutes on, do not trust what stands above, and see "
        "*KararBehind* in the runbook.",
        "max(karar_behind_seconds)",
        unit=SECONDS,
        steps={None: "green", 30: "orange", 120: "red"},
    ),
    yes_or_no(
        "To be trusted",
        "Yes: in the last 30 minutes no worker was 120 s behind, less than 10 % of what was counted was taken back, and no partition has "
        "been missing for 2 minutes. No: alerts on service are silent; wait, or see *the trustworthy window* in the runbook.",
        "all:window:trustworthy30m",
    ),
    itself(
        "Partitions open",
        "Partitions of topics that a worker has open and serves. A shard has one of each topic that its stage reads: with 8 partitions, 16 "
        "shards read 40. Fewer than usual: see the next figure.",
        f"sum({OPEN})",
    ),
    itself(
        "Partitions missing",
        "Partitions that were open within a day and are nowhere now: their customers are missing above. "
        "A minute of it is a takeover; longer: see *KararShardMissing* in the runbook.",
        f"count({EVER_OPEN} == 1 unless {OPEN} == 1) or {ZERO}",
        steps=NONE_WANTED,
    ),
    itself(
        "Dead letters",
        "Records in the window that could not be taken, and are in no figure. The topic `karar.dead-letters` has each with its reason: "
        "see *KararDeadLetters* in the runbook.",
        f"sum(karar_dead_letters_total - karar_dead_letters_total offset $window >= 0 or karar_dead_letters_total) or {ZERO}",
        steps=FEW_WANTED,
    ),
    itself(
        "Ledger differences",
        "Series whose trial balance was not 0 when it was last drawn. Anything but 0 is a defect of Karar: run `karar audit`, and see "
        "*KararLedgerDifference* in the runbook.",
        "sum(karar_ledger_differences)",
        steps=NONE_WANTED,
    ),
    itself(
        "Counted as other",
        "Series that had no place any more among the named ones and are counted as `other`: totals are right, names are missing. "
        "Not 0: does a publisher send free text as team or queue?",
        f"sum(karar_label_overflow_total) or {ZERO}",
        steps=FEW_WANTED,
    ),
    itself(
        "Alerts firing",
        "Alerts of Prometheus that fire now, without the watchdog, which always does; the runbook has a section for each. "
        "Alerts on single chains are not among them: workers tell Alertmanager of those, look there.",
        'count(ALERTS{alertstate="firing", alertname!="KararWatchdog"}) or vector(0)',
        steps=FEW_WANTED,
    ),
    lines(
        "Events",
        "Events a second by what became of them. *Rejected* ones are dead letters; *duplicate* and *late* ones do no harm. "
        "No line at all: nothing is published; ask those who run the telephony.",
        "sum by (result) (rate(karar_events_total[$__rate_interval]))",
        "{{result}}",
        unit=EVENTS,
    ).no_value(NO_DATA),
    lines(
        "Published to counted",
        "Within which time 95 % of the records were counted, by stage. Above some seconds: workers lack processor time, or Kafka is slow.",
        "histogram_quantile(0.95, sum by (stage, le) (rate(karar_event_lag_seconds_bucket[$__rate_interval])))",
        "{{stage}}",
        unit=SECONDS,
    ).no_value(NO_DATA),
    lines(
        "Booked and retracted",
        "Amounts a second that entered the ledger and that were taken out, also because a customer stopped waiting. "
        "Far more taken out than usual: events come late, or identities become known late.",
        "sum by (result) (rate(karar_bookings_total[$__rate_interval]))",
        "{{result}}",
        unit=EVENTS,
    ).no_value(NO_DATA),
)

ROWS: Final = {"Now": NOW, "Service": SERVICE, "Transfers": TRANSFERS, "Chains": CHAINS, "Karar itself": ITSELF}
