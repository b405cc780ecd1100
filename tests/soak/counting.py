"""A worker whose stages count and are not idempotent: `python -m tests.soak.counting`, with the settings of a real one.

Two stages, one after the other: `in` is counted by key and sent on to `middle`, that is counted by key and sent on to `out`.
SOAK_CHANGES names what is done to this process on purpose (tests/soak/sabotage.py); the product has no switch for it.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from streams.commands.worker import run, use_uvloop
from streams.engine.engine import Engine
from streams.engine.host import KararApp, build
from streams.engine.kafka import Kafka
from streams.engine.ledger import Ledger
from streams.engine.spec import Spec
from streams.engine.stage import Origin
from streams.logs import configure
from streams.settings import Settings
from tests.counting import ENCODE, FRONT, HEADER, READ_STATE, Counted, Counting, Output

FIRST: Final = "first"
SECOND: Final = "second"
IN: Final = "in"
MIDDLE: Final = "middle"
OUT: Final = "out"
DEAD: Final = "dead"
STATES: Final = {FIRST: "first.state", SECOND: "second.state"}
TOPICS: Final = (IN, MIDDLE, OUT, DEAD, *STATES.values())
CHANGES: Final = "SOAK_CHANGES"
ARCHIVED_AT: Final = "SOAK_ARCHIVED_AT"
FANS_OUT: Final = "SOAK_FANS_OUT"
FANNED: Final = 997
SERIES: Final = "events_counted"


class Tolerant(Counting):
    """Counts numbers, and those below 0 are what no step can take. What is counted of `middle` stands there without a name.

    ``archived_at``: so many events of a key are archived together, and its state goes; 0: never. ``fans_out``: outputs have other keys.
    """

    def __init__(self, *, output: str, archived_at: int = 0, fans_out: bool = False) -> None:
        super().__init__(series=SERIES, output=output)
        self.archived_at, self.fans_out = archived_at, fans_out

    def read(self, origin: Origin, records: Any, wall: int) -> Any:
        """Values by key, the number alone."""
        batch = super().read(origin, records, wall)
        batch.groups = {key: [named(value) for value in group] for key, group in batch.groups.items()}
        return batch

    def step(self, key: bytes, old: bytes | None, records: Any, now: int) -> Any:
        """Adds one for each event."""
        if any(value.startswith(b'{"i":-') for value in records):
            raise ValueError("poison")
        change = Counted(*super().step(key, old, records, now))
        if self.fans_out:
            sent = [Output(*output) for output in change.outputs]
            change = change._replace(outputs=[one._replace(key=b"fan-%d" % (int(one.value or b"") % FANNED)) for one in sent])
        return self.archiving(change) if self.archived_at else change

    def archiving(self, change: Counted) -> Counted:
        """The same, with what is complete put away."""
        assert change.value is not None
        state = READ_STATE.decode(change.value[HEADER:])
        if done := state.n - state.n % self.archived_at:
            state.n -= done
            return change._replace(value=FRONT + ENCODE(state) if state.n else None, archived=((self.series, done),))
        return change


def named(value: bytes) -> bytes:
    """A number as an event."""
    return value if value.startswith(b"{") else b'{"i":%s}' % value


def spec(settings: Settings, name: str, source: str, output: str, after: str = "") -> Spec:
    """One stage."""
    archived_at = int(os.environ.get(ARCHIVED_AT) or 0)
    fans_out = name == FIRST and bool(os.environ.get(FANS_OUT))
    return Spec(
        name=name,
        sources=(settings.topic(source),),
        changelog=settings.topic(STATES[name]),
        partitions=settings.partitions,
        make=lambda _: Tolerant(output=output, archived_at=archived_at, fans_out=fans_out),
        ledger=lambda: Ledger(lambda series: series, birth=settings.birth_seconds),
        topics={output: settings.topic(output), "dead": settings.topic(DEAD)},
        outputs=dict.fromkeys((output, "dead"), settings.partitions),
        after=after,
    )


def app_of(settings: Settings) -> KararApp:
    """The Faust app."""
    specs = [spec(settings, FIRST, IN, MIDDLE), spec(settings, SECOND, MIDDLE, OUT, after=FIRST)]
    engine = Engine(specs, Kafka(settings.broker, session=settings.session_seconds), settings.prefix)
    return build(engine, name=settings.prefix, web={"web_port": settings.web_port, "web_bind": settings.web_host, "web_cors_options": None})


def served(engine: Engine) -> str:
    """What may be served of each shard."""
    lines = [f"# TYPE karar_{SERIES}_total counter"]
    lines += [
        f'karar_{SERIES}_total{{shard="{name}"}} {shard.series[SERIES][""][0]}'
        for name, shard in engine.served().items()
        if SERIES in shard.series
    ]
    return "\n".join(lines) + "\n"


def attach(web_app: web.Application, engine: Engine) -> None:
    """Answers every request with the totals, within the lease."""

    @web.middleware
    async def answer(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Response:
        del request, handler
        text = served(engine) if engine.holds() else ""
        return web.Response(text=text) if engine.holds() else web.Response(status=503)

    web_app.middlewares.insert(0, answer)


def main() -> int:
    """Runs until a signal; the exit status."""
    settings = Settings.read(os.environ)
    configure(settings.log, settings.log_level, lambda _: None)
    app = app_of(settings)
    pages: Any = app.web
    attach(pages.web_app, app.engine)
    if changes := os.environ.get(CHANGES):
        from tests.soak.sabotage import change  # noqa: PLC0415 - only where something is to be changed

        change(changes.split(","))
    use_uvloop()
    return asyncio.run(run(app, app.engine))


if __name__ == "__main__":
    sys.exit(main())
