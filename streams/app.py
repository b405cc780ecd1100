"""The one place where topics, stages and agents are declared: what flows where, and what each shard is made of."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from schemas.sources import Source, open_source
from streams.agents import FORWARD, AssembleStage, StitchStage
from streams.alerts import Alerts
from streams.connection import kafka_of
from streams.core.alerts import ALERTS
from streams.core.assemble import INTERACTIONS
from streams.core.moments import MOMENTS
from streams.core.public import CHAINS
from streams.core.series import SERIES, parted
from streams.core.step import DEAD_LETTERS
from streams.core.targets import DAY, Rules
from streams.engine.engine import Engine
from streams.engine.folding import Row
from streams.engine.host import KararApp, build
from streams.engine.ledger import Ledger
from streams.engine.spec import Clock, Spec
from streams.engine.watch import balance
from streams.given import identity_of, settled_rules
from streams.metrics import Configured, other
from streams.settings import Settings
from streams.topics import inputs

ASSEMBLE: Final = "assemble"
STITCH: Final = "stitch"


def ledger_of(settings: Settings, rules: Rules) -> Ledger:
    """An empty ledger. What may fall needs no birth: nobody asks how much it has increased."""
    names = Configured(rules)
    return Ledger(other, named=names.zeros(), free=names.free, birth=settings.birth_seconds, at_once=may_fall)


def may_fall(series: str) -> bool:
    """Whether a series is a gauge, or one that is never served."""
    family = SERIES.get(parted(series)[0])
    return family is None or family.kind == "gauge"


def clock_of(settings: Settings) -> Clock:
    """What a shard takes for now."""
    match settings.clock:
        case "wall":
            return Clock()
        case "event":
            return Clock(by_events=True)
        case instant:
            return Clock(fixed=int(instant))


def specs(settings: Settings, hear: Callable[[Sequence[Row]], None] | None = None) -> tuple[Spec, Spec]:
    """The two stages of the flow. ``hear`` is told of alerts that have committed."""
    rules, identity, partitions = settled_rules(settings), identity_of(settings), settings.partitions
    kept = settings.kept_days * DAY
    read, forward = inputs(settings), settings.topic("assemble.forward")

    def adapters() -> Mapping[str, Source]:
        return {topic: open_source(form) for topic, form in read.items()}

    def outputs(*names: str) -> dict[str, int]:
        return dict.fromkeys(names, partitions)

    assemble = Spec(
        name=ASSEMBLE,
        sources=(*read, forward),
        changelog=settings.topic("assemble.state"),
        partitions=partitions,
        make=lambda n: AssembleStage(identity, adapters(), partition=n, partitions=partitions, forward=forward, kept=kept),
        ledger=lambda: Ledger(other),
        topics={INTERACTIONS: settings.topic("interactions"), FORWARD: forward, DEAD_LETTERS: settings.topic("dead-letters")},
        outputs=outputs(INTERACTIONS, FORWARD, DEAD_LETTERS),
        feeds=frozenset({INTERACTIONS}),
    )
    stitch = Spec(
        name=STITCH,
        sources=(settings.topic("interactions"),),
        changelog=settings.topic("stitch.state"),
        partitions=partitions,
        make=lambda _: StitchStage(rules, kept),
        ledger=lambda: ledger_of(settings, rules),
        topics={name: settings.topic(name) for name in (MOMENTS, CHAINS, ALERTS, DEAD_LETTERS)},
        outputs=outputs(MOMENTS, CHAINS, ALERTS, DEAD_LETTERS),
        aligned=frozenset({ALERTS}),
        heard={ALERTS: hear} if hear is not None else {},
        after=ASSEMBLE,
        trims=True,
    )
    return assemble, stitch


def engine_of(settings: Settings, hear: Callable[[Sequence[Row]], None] | None = None) -> Engine:
    """The engine of a worker. ValueError: one line."""
    return Engine(specs(settings, hear), kafka_of(settings), settings.prefix, clock_of(settings))


def app_of(settings: Settings, web: Mapping[str, Any]) -> KararApp:
    """The Faust app of a worker; ``web`` are Faust's settings of its web server."""
    alerts = Alerts(settings.alertmanagers, lambda result: app.engine.meters.counters["alerts_total"].labels(result).inc())
    app = build(engine_of(settings, alerts.hear if alerts.managers else None), name=settings.prefix, web=web)
    if alerts.managers:
        app.task()(alerts.run)
        app.task()(partial(alerts.follow, app.engine, STITCH, settings.topic("alerts")))
    app.task()(partial(balance, app.engine, settings.balance_seconds))
    return app
