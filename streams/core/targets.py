"""What was expected: targets by channel, queue, team and segment with effective dates, and whose team somebody is.

A targets file is TOML: ``[[target]]`` rows (``kind``, ``seconds`` or ``count``, conditions, ``from``), ``[[objective]]`` rows,
``[representatives]`` and ``[queues]`` (name → team). The most specific row wins: a condition on segment or queue outweighs one
on team, that one on channel; rows that tie for the same contact are refused, both named (METRICS.md, Rules: Defaults).
"""

import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from hashlib import blake2b
from itertools import combinations
from math import inf
from typing import Final, NamedTuple, get_args

from msgspec import Struct, field, json

from schemas.events import Channel

COUNTING_RULES: Final = "3"
"""Another number where counting changes, or where a state has what an older worker would not see: he is refused then."""
WEIGHTS: Final = {"channel": 1, "team": 2, "queue": 4, "segment": 4}
KINDS: Final = {"wait": "seconds", "hold": "seconds", "transfers": "count", "excessive_transfers": "count"}
SECOND: Final = 1_000
DAY: Final = 86_400 * SECOND
FOREVER: Final = 1 << 60
MEMO: Final = 10_000

SHORT: Final = 10 * SECOND
JOINED: Final = 10 * SECOND
WRAP_UP: Final = 900 * SECOND
CHAIN_GAP: Final = DAY
CASE_GAP: Final = 30 * DAY
KEPT: Final = 90 * DAY
MAX_LINKS: Final = 1_000


class Expected(NamedTuple):
    """What applies: ``amount`` in ms or a count, and the scope of the row that said so."""

    amount: int
    scope: str


class Target(Struct, frozen=True, kw_only=True):
    """One row: what is expected where all its conditions hold, from an instant on."""

    kind: str
    amount: int
    channel: str = ""
    queue: str = ""
    team: str = ""
    segment: str = ""
    since: int = 0
    default: bool = False

    @property
    def conditions(self) -> dict[str, str]:
        """The dimensions that the row names."""
        return {name: value for name in WEIGHTS if (value := getattr(self, name))}

    @property
    def weight(self) -> int:
        """How specific the row is."""
        return sum(WEIGHTS[name] for name in self.conditions)

    @property
    def scope(self) -> str:
        """The row's most specific condition as a label value."""
        for name in ("segment", "queue", "team", "channel"):
            if value := getattr(self, name):
                return f"{name}:{value}"
        return "all"

    def __str__(self) -> str:
        """The row as a reader of the file would name it."""
        where = ", ".join(f"{k}={v}" for k, v in self.conditions.items()) or "everything"
        return f"{self.kind} for {where} from {datetime.fromtimestamp(self.since / SECOND, UTC):%Y-%m-%d}"


class Objective(Struct, frozen=True, kw_only=True):
    """How often a target must be met, or how high a team's transfer rate may be (0..1)."""

    name: str
    ratio: float
    team: str = ""
    channel: str = ""
    queue: str = ""

    @property
    def scope(self) -> str:
        """Its most specific condition as a label value."""
        return next((f"{name}:{value}" for name in ("queue", "team", "channel") if (value := getattr(self, name))), "all")


DEFAULTS: Final = (
    *(
        Target(kind="wait", amount=seconds * SECOND, channel=channel, default=True)
        for channel, seconds in (
            ("call", 20), ("video", 20), ("visit", 600), ("chat", 60), ("email", 86_400), ("back_office", 259_200),
        )
    ),
    Target(kind="hold", amount=60 * SECOND, default=True),
    Target(kind="transfers", amount=1, default=True),
    Target(kind="excessive_transfers", amount=3, default=True),
)  # fmt: skip


class Rules(Struct, frozen=True, kw_only=True):
    """Everything that a count depends on besides events and now. ``max_links``: with so many a chain is full."""

    targets: tuple[Target, ...] = DEFAULTS
    objectives: tuple[Objective, ...] = ()
    representatives: dict[str, str] = {}
    queues: dict[str, str] = {}
    max_links: int = MAX_LINKS
    memo: dict[tuple[str, str, str, str, str, int], Expected | None] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the instants at which some row begins to apply."""
        self.epochs.extend(sorted({t.since for t in self.targets}))

    @property
    def version(self) -> str:
        """The counting code and the targets in one short name."""
        parts = (self.targets, sorted(self.representatives.items()), sorted(self.queues.items()), self.max_links)
        return f"{COUNTING_RULES}-{blake2b(json.encode(parts), digest_size=4).hexdigest()}"

    def expected(self, kind: str, channel: str, queue: str, team: str, segment: str, at: int) -> Expected | None:
        """The most specific target of that kind that applied at an instant, None where none did."""
        key = (kind, channel, queue, team, segment, bisect_right(self.epochs, at) if len(self.epochs) > 1 else 0)
        try:
            return self.memo[key]
        except KeyError:
            if len(self.memo) >= MEMO:
                self.memo.clear()
            found = self.memo[key] = self.find(kind, {"channel": channel, "queue": queue, "team": team, "segment": segment}, at)
            return found

    def find(self, kind: str, where: Mapping[str, str], at: int) -> Expected | None:
        """The same, looked up."""
        rows = [
            t for t in self.targets
            if t.kind == kind and t.since <= at and all(where[name] == value for name, value in t.conditions.items())
        ]  # fmt: skip
        if not rows:
            return None
        best = max(rows, key=lambda t: (not t.default, t.weight, t.since))
        return Expected(best.amount, best.scope)

    def queue_team(self, queue: str) -> str:
        """The team of a queue: configured, else the queue's name; unknown without a queue."""
        return self.queues.get(queue, queue) if queue else "unknown"

    def team(self, published: str, representative: str, queue: str) -> str:
        """A representative's team: published, configured, the queue's that brought the contact, unknown."""
        return published or self.representatives.get(representative) or self.queue_team(queue)


def parse(text: str) -> Rules:
    """The rules of a targets file over the defaults. Raises ValueError, one line: what, where, what to do."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"targets: not TOML: {error}"
        raise ValueError(message) from None
    known = {"target", "objective", "representatives", "queues"}
    if unknown := set(document) - known:
        message = f"targets: unknown table {min(unknown)!r}; known are {', '.join(sorted(known))}"
        raise ValueError(message)
    rows = tuple(target(row, number) for number, row in enumerate(tables(document, "target"), 1))
    check(rows)
    replaced = {(t.kind, t.scope) for t in rows if not t.since and len(t.conditions) <= 1} | {
        (t.kind, d.scope) for t in rows if not t.conditions and not t.since for d in DEFAULTS if d.kind == t.kind
    }
    defaults = tuple(d for d in DEFAULTS if (d.kind, d.scope) not in replaced)
    return Rules(
        targets=defaults + rows,
        objectives=tuple(objective(row, number) for number, row in enumerate(tables(document, "objective"), 1)),
        representatives=names(document, "representatives"),
        queues=names(document, "queues"),
    )


def tables(document: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The rows of an array of tables."""
    rows = document.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        message = f"targets: {name} must be written as [[{name}]], one for each row"
        raise ValueError(message)
    return rows


def target(row: Mapping[str, object], number: int) -> Target:
    """One ``[[target]]`` row."""
    where = f"targets: target {number}"
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        message = f"{where}: kind {kind!r} is not one of {', '.join(KINDS)}"
        raise ValueError(message)
    unit = KINDS[kind]
    if unknown := set(row) - {"kind", unit, "from", *WEIGHTS}:
        message = f"{where} ({kind}): unknown key {min(unknown)!r}; a {kind} row has {unit}, from, {', '.join(WEIGHTS)}"
        raise ValueError(message)
    value = row.get(unit)
    least = 0 if kind == "transfers" else 1 if unit == "count" else 0.001
    number_ = int if unit == "count" else int | float
    if isinstance(value, bool) or not isinstance(value, number_) or not least <= value < inf:
        wanted = f"a whole number from {least}" if unit == "count" else "a number above 0"
        message = f"{where} ({kind}): {unit} must be {wanted}, not {value!r}"
        raise ValueError(message)
    amount = round(value * SECOND) if unit == "seconds" else int(value)
    if kind == "wait" and amount <= SHORT:
        message = f"{where} (wait): {value} s is not above the short abandon limit of {SHORT // SECOND} s; raise it"
        raise ValueError(message)
    conditions = {name: row[name] for name in WEIGHTS if name in row}
    for name, condition in conditions.items():
        if not isinstance(condition, str) or not condition:
            message = f"{where} ({kind}): {name} must be a name, not {condition!r}"
            raise ValueError(message)
    if "channel" in row and row["channel"] not in get_args(Channel):
        message = f"{where} ({kind}): there is no channel {row['channel']!r}; there are {', '.join(filter(None, get_args(Channel)))}"
        raise ValueError(message)
    names_ = {name: str(row.get(name, "")) for name in WEIGHTS}
    return Target(kind=kind, amount=amount, since=since(row.get("from"), where), default=False, **names_)


def since(value: object, where: str) -> int:
    """An effective date, midnight UTC unless it says otherwise; absent: always."""
    if value is None:
        return 0
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * SECOND)
    if isinstance(value, date):
        return round(datetime.combine(value, time(), UTC).timestamp() * SECOND)
    message = f"{where}: from must be a TOML date such as 2026-01-31, not {value!r}"
    raise ValueError(message)


def check(rows: Iterable[Target]) -> None:
    """Refuses rows that tie for the same contact: same kind and weight, conditions that can hold together."""
    rows = tuple(rows)
    for a, b in combinations(rows, 2):
        if a.kind == b.kind and a.weight == b.weight and tie(a, b, rows):
            message = f"targets: two rows tie: {a}, and {b}; remove one or add a row with the conditions of both"
            raise ValueError(message)


def tie(a: Target, b: Target, rows: Iterable[Target]) -> bool:
    """Whether two rows of one kind and weight may apply to the same contact with nothing to choose between them."""
    if a.conditions == b.conditions:
        return a.since == b.since
    if any(a.conditions[name] != b.conditions[name] for name in a.conditions.keys() & b.conditions.keys()):
        return False
    both = a.conditions | b.conditions
    return all(t.kind != a.kind or t.conditions != both or t.since > max(a.since, b.since) for t in rows)


def objective(row: Mapping[str, object], number: int) -> Objective:
    """One ``[[objective]]`` row."""
    ratio, name = row.get("ratio"), row.get("name")
    if not isinstance(name, str) or not isinstance(ratio, int | float) or not 0 < ratio < 1:
        message = f"targets: objective {number}: needs a name and a ratio between 0 and 1, not {name!r} and {ratio!r}"
        raise ValueError(message)
    if unknown := set(row) - {"name", "ratio", "team", "channel", "queue"}:
        message = f"targets: objective {number}: unknown key {min(unknown)!r}; known are name, ratio, team, channel, queue"
        raise ValueError(message)
    conditions = {k: row[k] for k in ("team", "channel", "queue") if k in row}
    if wrong := [k for k, v in conditions.items() if not isinstance(v, str)]:
        message = f"targets: objective {number}: {wrong[0]} must be a name, not {conditions[wrong[0]]!r}"
        raise ValueError(message)
    return Objective(name=name, ratio=float(ratio), **{k: str(v) for k, v in conditions.items()})


def names(document: Mapping[str, object], table: str) -> dict[str, str]:
    """A table of names to teams."""
    entries = document.get(table, {})
    if not isinstance(entries, dict) or not all(isinstance(v, str) and v for v in entries.values()):
        message = f"targets: [{table}] must map names to team names"
        raise ValueError(message)
    return entries
