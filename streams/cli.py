"""`karar`: the command line. Every error is one line that says what, where and what to do; exit 2 wrong usage, 1 bad data."""

import os
import sys
import time
from contextlib import suppress
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from msgspec import json as json_of
from rich.console import Console

from schemas.sources import FORMATS
from streams.broker import BrokerError
from streams.commands.files import BadDataError, Intake, check_outputs, open_format, opened, reading, standard_output, telling, writing
from streams.core.targets import CASE_GAP, FOREVER
from streams.demo import WorkerError
from streams.engine.ledger import LIMIT
from streams.given import identity_of, rules_of, settled_rules
from streams.replay import Replay
from streams.settings import Settings, instant_of, mirror, rows, topic_name, unknown

app = typer.Typer(
    name="karar",
    help="Follows every customer's service chain and counts moments of truth, exact to the last one.",
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip

COMING: Final = {
    "forget": "erases a customer",
}
DEBUG: Final = "--debug"
PIPE_WIDTH: Final = 160

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to read; - is standard input.")]
Format = Annotated[str, typer.Option("--format", metavar="F", help=f"One of: {', '.join(FORMATS)}.")]
Mapped = Annotated[
    Path | None, typer.Option("--mapping", metavar="M.toml", help="Columns to fields (csv); the time zone (asterisk-queue-log).")
]


@app.callback(invoke_without_command=True)
def karar(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks.")] = False,  # noqa: ARG001 - read by main, before parsing can fail
) -> None:
    """Follows every customer's service chain and counts moments of truth, exact to the last one."""
    if version:
        typer.echo(f"karar {version_of('karar')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    if context.invoked_subcommand != worker.__name__:  # which has a log
        for line in unknown(os.environ):
            typer.echo(f"karar: {line}", err=True)


@app.command()
def replay(
    files: Files,
    *,
    format_: Format,
    mapping: Mapped = None,
    targets: Annotated[
        list[Path] | None, typer.Option("--targets", metavar="T", help="Targets (TOML); a second file prints what differs.")
    ] = None,
    now: Annotated[str, typer.Option("--now", metavar="INSTANT", help="RFC 3339, fixes the clock; default: the last event.")] = "",
    chains: Annotated[Path | None, typer.Option("--chains", metavar="OUT.jsonl", help="Write every chain.")] = None,
    metrics: Annotated[Path | None, typer.Option("--metrics", metavar="OUT.prom", help="Write the ledger as a worker serves it.")] = None,
    partitions: Annotated[int, typer.Option("--partitions", min=1, max=1024, help="In-memory partitions.")] = 1,
) -> None:
    """Read files through the same path as a worker, without Kafka; write exact metrics and print a summary."""
    from streams.commands import replay as command  # noqa: PLC0415 - the others start without it

    if targets is None and (given := os.environ.get("KARAR_TARGETS")):
        targets = [Path(given)]
    rules = [rules_of(path) for path in targets] if targets else [rules_of(None)]
    if len(rules) > 2:  # noqa: PLR2004 - a difference has two sides
        message = f"--targets: at most two files can be compared, not {len(rules)}"
        raise ValueError(message)
    sources = [(path, open_format(format_, mapping, Path(path).stem if len(files) > 1 else "")) for path in files]
    until = instant_of(now, "--now") if now else None
    check_outputs(files, filter(None, (metrics, chains)))
    identity = identity_of(Settings.read(os.environ))
    run = command.Run(sources, [Replay(r, identity, partitions, FOREVER, until) for r in rules])
    run.read(wall_clock(), Console(stderr=True))
    if not run.events:
        message = (
            f"{', '.join(files)}: no event in {sum(i.rejected + i.ignored.total() for i in run.intakes):,} records; is --format right?"
        )
        raise BadDataError(message)
    run.finish()
    if metrics is not None:
        written(metrics, run.replays[0].metrics())
    if chains is not None:
        command.write_chains(chains, run.replays[0])
    run.report(terminal())
    if run.rejected:
        raise typer.Exit(1)


@app.command()
def labels(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE...]", help="Files to read; - is standard input. None: the topics as they stand.")
    ] = None,
    *,
    format_: Annotated[str, typer.Option("--format", metavar="F", help=f"Of the files, one of: {', '.join(FORMATS)}.")] = "",
    mapping: Mapped = None,
    targets: Annotated[Path | None, typer.Option("--targets", metavar="T", help="Targets (TOML): teams and scopes are labels.")] = None,
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, max=1024, help="Shards that the customers are on; default: KARAR_PARTITIONS.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Series that a family may have in a shard.")] = LIMIT,
    json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Say how many series files or topics would make, of which labels, and what they cost Prometheus, before a worker makes them."""
    from streams.commands import labels as command  # noqa: PLC0415 - the others start without it
    from streams.growth import UNLIMITED, growth  # noqa: PLC0415

    if bool(files) != bool(format_):
        message = "--format: files need a format such as events; topics have theirs (KARAR_ADAPTERS)"
        raise ValueError(message)
    settings, errors = Settings.read(os.environ), Console(stderr=True)
    identity, given = identity_of(settings), targets or (Path(settings.targets) if settings.targets else None)
    made = Replay(rules_of(given), identity, partitions or settings.partitions, FOREVER, limit=UNLIMITED)
    if files:
        from streams.commands.replay import Run  # noqa: PLC0415

        run = Run([(path, open_format(format_, mapping, Path(path).stem if len(files) > 1 else "")) for path in files], [made])
        run.read(wall_clock(), errors)
        events, refused = run.events, run.rejected
    else:
        events, refused = command.read_topics(settings, identity, made)
    made.finish()
    made.finish(made.now + 3 * CASE_GAP)  # every chain has closed by then
    if not events:
        message = f"{', '.join(files) if files else settings.broker}: no event, {refused:,} records refused"
        raise BadDataError(message)
    grown = growth(made, events, limit)
    if json:
        typer.echo(encode_json(grown))
    else:
        command.show(terminal(), grown)
    if refused:
        raise typer.Exit(1)


@app.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to read; - is standard input.")],
    *,
    format_: Format,
    mapping: Mapped = None,
) -> None:
    """Write canonical events as JSON lines to standard output; what is rejected goes to standard error with line and reason."""
    from schemas.codec import encode  # noqa: PLC0415

    source = open_format(format_, mapping)
    with telling(Console(stderr=True), every=True) as refusals, opened(file) as stream, standard_output() as write:
        intake = Intake(source, wall_clock(), partial(refusals.tell, file))
        for event in reading(file, intake.read(stream)):
            write(encode(event) + b"\n")
    if intake.rejected:
        raise typer.Exit(1)


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to send; - is standard input.")],
    *,
    format_: Format,
    mapping: Mapped = None,
    source_name: Annotated[
        str, typer.Option("--source-name", metavar="NAME", help="The events' source (csv), instead of the mapping.")
    ] = "",
    topic: Annotated[str, typer.Option("--topic", metavar="T", help="One topic for everything, by its whole name.")] = "",
    speed: Annotated[
        float | None,
        typer.Option("--speed", metavar="X", min=0.001, help="Event time runs X times as fast as the clock; default: no waiting."),
    ] = None,
) -> None:
    """Send a file to Kafka as its publisher would: queue logs line by line, everything else as CloudEvents."""
    from streams.commands import publish as command  # noqa: PLC0415 - the others start without it

    settings = Settings.read(os.environ)
    command.check(format_, mapping, source_name)
    source = open_format(format_, mapping, source_name=source_name)
    topics = command.destinations(settings, format_, topic and topic_name(topic, "--topic", "karar.calls"))
    for line in command.misread(settings, format_, topics):
        typer.echo(f"karar: note: {line}", err=True)
    with telling(Console(stderr=True)) as refusals:
        intake = Intake(source, wall_clock(), partial(refusals.tell, file))
        outcome = command.run(settings, file, intake, topics, speed)
    typer.echo(command.summary(outcome, intake))
    if outcome.stopped or intake.rejected:
        raise typer.Exit(130 if outcome.stopped else 1)


@app.command()
def simulate(
    *,
    seed: Annotated[int, typer.Option(help="The same seed, the same events.")] = 1,
    customers: Annotated[int, typer.Option(min=1, help="How many customers there are; staff follows.")] = 2000,
    days: Annotated[float, typer.Option(min=0.01, help="For how long.")] = 1.0,
    disorder: Annotated[bool, typer.Option(help="Events late, twice and out of order, as real ones are.")] = True,
) -> None:
    """Write canonical events of a believable contact center with branches, deterministic by seed."""
    from schemas.codec import encode  # noqa: PLC0415
    from streams.simulate import simulate as events  # noqa: PLC0415

    with standard_output() as write:
        for event in events(seed=seed, customers=customers, days=days, disorder=disorder):
            write(encode(event) + b"\n")


@app.command()
def worker(
    *,
    sockets: Annotated[list[int] | None, typer.Option("--socket", min=0, hidden=True, help="One that listens and is inherited.")] = None,
) -> None:
    """Run one worker until a signal ends it; exit 70 means: start me again. Settings come from the environment."""
    from streams.commands.worker import worker as run  # noqa: PLC0415 - takes a while to import

    raise typer.Exit(run(os.environ, sockets or ()))


@app.command()
def demo(
    *,
    seconds: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="End so long after it has caught up; default: at Ctrl-C."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same days.")] = 1,
    only_publish: Annotated[
        bool, typer.Option("--only-publish", help="Only the contact center, for workers that run elsewhere; until Ctrl-C.")
    ] = False,
) -> None:
    """Show it all at work: real Kafka, one worker, and a contact center with branches, two days of it and then live."""
    from streams.commands import demo as command  # noqa: PLC0415 - the others start without it

    if only_publish and seconds is not None:
        message = "--for: with --only-publish nobody sees when it has caught up; end it with Ctrl-C"
        raise ValueError(message)
    if only_publish:
        command.publish(os.environ, terminal(), seed)
    else:
        command.run(os.environ, terminal(), seconds, seed)


@app.command()
def schemas(*, check: Annotated[bool, typer.Option("--check", help="Only compare; exit 1 when they drift.")] = False) -> None:
    """Write JSON Schema and AsyncAPI to schemas/published, or check them."""
    import schemas as package  # noqa: PLC0415
    from schemas.publish import documents  # noqa: PLC0415

    folder = Path(package.__file__).parent / "published"
    drifted = [name for name, text in documents().items() if not (folder / name).is_file() or (folder / name).read_bytes() != text]
    if check:
        if drifted:
            message = f"{folder.name}/{drifted[0]} does not match the code; run `karar schemas` and commit what it writes"
            raise BadDataError(message)
        typer.echo(f"{len(documents())} documents match the code")
        return
    for name, text in documents().items():
        written(folder / name, text)
    typer.echo(f"{len(documents())} documents, {len(drifted)} of them changed")


@app.command()
def settings() -> None:
    """Print every setting with its value, meaning and source, and say which cannot be; secrets are masked."""
    from rich.table import Table  # noqa: PLC0415

    table = Table("setting", "value", "from", "meaning", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for row in rows(os.environ):
        table.add_row(*row)
    terminal().print(table)
    mirror(os.environ)
    told = Settings.read(os.environ)
    told.security.client()
    settled_rules(told)


@app.command()
def topics(*, check: Annotated[bool, typer.Option("--check", help="Create nothing; exit 1 when something is wrong.")] = False) -> None:
    """Create the topics that do not exist, and say what is wrong with those that do."""
    from streams.commands import topics as command  # noqa: PLC0415 - the others start without it

    if not command.run(Settings.read(os.environ), terminal(), only_check=check):
        raise typer.Exit(1)


@app.command()
def audit(
    *, strict: Annotated[bool, typer.Option("--strict", help="Exit 1, too, where it cannot be judged what was lost.")] = False
) -> None:
    """Draw the trial balance of every shard and prove that no interaction was lost; exit 1 on any difference.

    Whether one was lost can be judged when all has been counted and nobody commits.
    """
    from streams.commands import audit as command  # noqa: PLC0415 - the others start without it

    if not command.run(Settings.read(os.environ), terminal(), Console(stderr=True), strict=strict):
        raise typer.Exit(1)


@app.command()
def broker(
    *,
    port: Annotated[int, typer.Option("--port", metavar="P", min=0, max=65535, help="Its port on 127.0.0.1; 0: any that is free.")] = 9092,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Keep its data there; default: gone when it ends.")] = None,
) -> None:
    """Run the demo's Kafka alone in the foreground, for trying things out."""
    from streams.commands import broker as command  # noqa: PLC0415 - the others start without it

    command.run(os.environ, port, data)


def coming(name: str, text: str) -> None:
    """A command that is still to come says so in one line."""

    @app.command(name, help=f"Still to come: {text}.", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def command() -> None:
        message = f"{name} ({text}) is still to come; `karar replay` does its counting without Kafka"
        raise ValueError(message)


for _name, _text in COMING.items():
    coming(_name, _text)


def encode_json(content: object) -> str:
    """JSON that people can read, too."""
    return json_of.format(json_of.encode(content), indent=2).decode()


def wall_clock() -> int:
    """The wall clock in ms: what is ahead of it by more than 5 minutes is refused."""
    return time.time_ns() // 1_000_000


def written(path: Path, content: bytes) -> None:
    """Writes a file. ValueError: one line."""
    with writing(path) as out:
        out.write(content)


def terminal() -> Console:
    """Where people read tables; a pipe has room for them."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=PIPE_WIDTH)


def main() -> NoReturn:
    """Runs a command and turns every error into one line and an exit status."""
    arguments = sys.argv[1:]
    debug = DEBUG in arguments
    if debug:
        arguments.remove(DEBUG)
    try:
        status = app(arguments, standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        status = failed(error)
    except KeyboardInterrupt:
        status = 130
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(status if isinstance(status, int) else 0)


def failed(error: Exception) -> int:
    """Says what went wrong in one line; the exit status."""
    if isinstance(error, OSError):
        typer.echo(f"karar: {error.filename or 'standard output'}: {error.strerror}", err=True)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what is still buffered cannot be written either
        return 1
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    typer.echo(f"karar: {' '.join(text.split())}", err=True)
    if isinstance(error, BadDataError | BrokerError | WorkerError):
        return 1
    if isinstance(error, ValueError) or hasattr(error, "format_message"):
        return 2
    typer.echo(f"karar: {type(error).__name__}: this is a defect; run it again with {DEBUG} and report what it prints", err=True)
    return 1
