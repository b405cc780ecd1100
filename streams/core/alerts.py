"""The alert on a chain: the limit of transfers was crossed in a contact that goes on, so that somebody can still step in.

Which alerts are live follows from the state alone, so what is told is the difference of two states: a crossing is told once, in the
transaction that books it, and its end once, and nothing again after a restart.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import groupby
from typing import Final

from msgspec import json
from msgspec.structs import replace

from schemas.records import Alert, Moved
from streams.core.chain import Chain
from streams.core.facts import Account, Differing, crossings
from streams.core.identity import readable
from streams.core.public import public
from streams.core.step import Output
from streams.core.words import why

ALERTS: Final = "alerts"
STALE: Final = 60_000
"""Told later than this (ms), it is for the record only: it helps nobody any more, and a replay must not wake anybody."""
ENCODE: Final = json.Encoder().encode

Alerts = dict[str, Alert]
"""By id, as `firing`."""


def live(key: bytes, account: Account, chains: Iterable[Chain]) -> Alerts:
    """The crossings in contacts that go on, of some of an account's chains."""
    found: Alerts = {}
    for chain in chains:
        weakest = account.told(chain).weakest
        going_on = {r.record.key: r for r in chain.readings if not r.record.over and r.transfers}
        if not going_on:
            continue
        transfers = sorted(t for r in chain.readings for t in r.transfers)
        teams = [team for r in chain.readings for team in r.teams]
        for transfer, within in crossings(transfers, account.rules):
            if (reading := going_on.get(transfer.key)) is None:
                continue
            name = blake2b(ENCODE((key.decode(), transfer.key, transfer.at, transfer.ordinal)), digest_size=16).hexdigest()
            found[name] = Alert(
                id=name,
                state="firing",
                stale=False,
                at=transfer.at,
                until=reading.record.active_until,
                customer=readable(key.decode()),
                chain=readable(chain.id),
                interaction=readable(transfer.key),
                channel=transfer.channel,
                team=transfer.sender,
                transfers=within,
                path=[team for team, _ in groupby(teams)],
                weakest=public(weakest) if weakest is not None and weakest.met < weakest.asked else None,
                why=why(link for r in chain.readings for link in r.links),
            )
    return found


def labels(alert: Alert) -> tuple[str, str, str, str]:
    """What an alert is known by: where one of these turns out to be another, the former ends and the new one begins."""
    return alert.id, alert.chain, alert.team, alert.channel


def told(key: bytes, differing: Differing, moved: Mapping[str, Moved], wall: int) -> list[Output]:
    """What a step tells: crossings that are new, with how late that is by the clock on the wall (ms), and what has ended."""
    before, after = live(key, differing.before, differing.ended), live(key, differing.after, differing.new)
    if not before and not after:
        return []
    elsewhere = {readable(name) for name, to in moved.items() if to.to}
    was, now = {labels(a) for a in before.values()}, {labels(a) for a in after.values()}
    found = [replace(a, state="ended", moved=a.interaction in elsewhere) for a in before.values() if labels(a) not in now]
    found += [replace(alert, stale=wall - alert.at > STALE) for alert in after.values() if labels(alert) not in was]
    return [Output(ALERTS, alert.id.encode(), ENCODE(alert)) for alert in found]
