"""`karar broker`: the demo's Kafka alone, in the foreground."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import typer

from streams.broker import BrokerError
from streams.broker.kafka import Broker
from streams.settings import LOCAL_BROKER, without_user


def interrupt(*_: object) -> NoReturn:
    """Whoever ends us, ends us as Ctrl-C does."""
    raise KeyboardInterrupt


def run(environment: Mapping[str, str], port: int, data: Path | None) -> None:
    """Keeps Kafka going until somebody ends it. BrokerError, ValueError: one line."""
    if given := without_user(environment, "KARAR_BROKER", LOCAL_BROKER):
        message = f"KARAR_BROKER is {given}, which replaces the Kafka that would start here everywhere; unset it to start one"
        raise ValueError(message)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, interrupt)
    try:
        with Broker(environment, port=port, data=data) as broker:
            typer.echo(f"Apache Kafka {broker.version} answers at {broker.address}, data in {broker.home}; Ctrl-C ends it")
            broker.wait()
    except KeyboardInterrupt:
        return
    except BrokerError as error:
        for note in getattr(error, "__notes__", ()):
            typer.echo(note, err=True)
        raise
