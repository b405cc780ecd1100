"""Moments of truth as records: one for each unit of `moments_of_truth_total` that is booked or retracted.

For each (channel, team, actor): booked − retracted = the net of that series, always.

(id, revision) occurs once over the whole topic, and of one id the highest revision says what is true. A revision is twice the
version of the interaction (or of the `Moved`) that caused the record, plus 1 where it is booked. Versions are given by *assemble*,
one after the other, whatever customer they go to. Therefore:

- A version comes to a customer: what it makes untrue is retracted with 2v, what it makes true is booked with 2v + 1. What it leaves
  as it was keeps its older record.
- An interaction moves at version w: its former customer retracts all of it with 2w (that of the `Moved`), the new one books with
  2w + 1; in whatever order the two are written, the booking is the higher. Who has had it before retracted with a smaller w, who
  gets it back books with a larger one. Where it leaves and comes back within one step, both are told all the same, because
  the other customer tells of it too.
- By time alone a conference join becomes true, and nothing else: team, kind and the rest depend on no clock. It is booked with
  2v + 1 of the version that is held. That was not used for it before, or it would be booked; and it does not become untrue again
  under that version, for now never goes back, and a presumed end before the join had lasted long enough comes before it counts.
- Archives retract nothing, and what is refused books nothing. Every record is part of the transaction of its step, so that nothing is
  told twice after a restart.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec import json

from schemas.events import Actor
from schemas.records import Interaction, MomentKind, MomentOfTruth, MomentState, Moved
from streams.core.identity import readable
from streams.core.interaction import settle
from streams.core.reading import TRANSFERS
from streams.core.step import Output
from streams.core.targets import JOINED, Rules

MOMENTS: Final = "moments"
KINDS: Final[dict[str, MomentKind]] = {
    **dict.fromkeys(TRANSFERS, "transfer"),
    "reroute": "reroute",
    "next_service": "next_service",
    "escalation": "escalation",
}
ENCODE: Final = json.Encoder().encode


class Moment(NamedTuple):
    """One unit of `moments_of_truth_total`: ``number`` tells apart those of one representative and sort at the same instant."""

    what: str
    representative: str
    at: int
    number: int
    channel: str
    team: str
    actor: Actor
    kind: MomentKind

    def id(self, interaction: str) -> str:
        """What stays the same whatever becomes known of it later: whose it is, and when."""
        return blake2b(ENCODE((interaction, self.what, self.representative, self.at, self.number)), digest_size=16).hexdigest()


def moments(record: Interaction, now: int, rules: Rules) -> list[Moment]:
    """The moments of truth of an interaction: touches, joins that have lasted long enough, bots (docs/counting.md, 5)."""
    found: list[Moment] = []
    c = record.channel
    for t in record.touches:
        kind = KINDS[record.handovers[t.handover].kind] if t.handover >= 0 else "accept"
        team = t.team or rules.team("", t.representative, t.queue)
        found.append(Moment("touch", t.representative, t.spans[0], 0, c, team, "human", kind))
    if record.guests:
        stayed = [g for g in settle(record, now).guests if (g.end or now) - g.start >= JOINED]
        teams = [rules.team(g.team, g.representative, g.queue) for g in stayed]
        found += [Moment("join", g.representative, g.start, 0, c, t, "human", "join") for g, t in zip(stayed, teams, strict=True)]
    for b in record.bots:
        found.append(Moment("bot", b.representative, b.start, 0, c, rules.team(b.team, b.representative, ""), "bot", "accept"))
    return numbered(found) if len(found) > 1 else found


def numbered(found: list[Moment]) -> list[Moment]:
    """Those that only their number tells apart, told apart."""
    seen: dict[tuple[str, str, int], int] = {}
    for place, m in enumerate(found):
        same = m.what, m.representative, m.at
        number = seen[same] = seen.get(same, -1) + 1
        if number:
            found[place] = m._replace(number=number)
    return found


def told(
    key: bytes, touched: Mapping[str, Interaction | None], after: Mapping[str, Interaction], moved: Mapping[str, Moved],
    then: int, now: int, rules: Rules,
) -> list[Output]:  # fmt: skip
    """The records of one step: of interactions that arrived or moved away, and of those in which a guest may have stayed for long enough.

    ``touched``: these as they were before, at ``then``; ``moved``: what took some away, whether they came back in this step or not.
    """
    outputs: list[Output] = []
    for name, old in touched.items():
        new, gone = after.get(name), moved.get(name)
        if gone is None and old is not None and new is not None and alike(old, new):
            continue
        was = moments(old, then, rules) if old is not None else []
        found = moments(new, now, rules) if new is not None else []
        if gone is None and found[: len(was)] == was:
            was, found = [], found[len(was) :]
        elif gone is None:
            same = set(was).intersection(found)
            was, found = [m for m in was if m not in same], [m for m in found if m not in same]
        if (cause := gone or new) is not None:
            outputs += [output(key, name, m, 2 * cause.version, "retracted") for m in was]
        if new is not None:
            outputs += [output(key, name, m, 2 * new.version + 1, "booked") for m in found]
    return outputs


def alike(old: Interaction, new: Interaction) -> bool:
    """Whether two versions obviously have the same moments: no clock is asked, and nothing that makes one differs."""
    if old.guests or new.guests or old.channel != new.channel:
        return False
    return old.touches == new.touches and old.bots == new.bots and old.handovers == new.handovers


def output(key: bytes, interaction: str, moment: Moment, revision: int, state: MomentState) -> Output:
    """One moment as a record, by its id."""
    name = moment.id(interaction)
    record = MomentOfTruth(
        id=name,
        revision=revision,
        state=state,
        at=moment.at,
        customer=readable(key.decode()),
        interaction=readable(interaction),
        channel=moment.channel,
        team=moment.team,
        representative=moment.representative,
        actor=moment.actor,
        kind=moment.kind,
    )
    return Output(MOMENTS, name.encode(), ENCODE(record))
