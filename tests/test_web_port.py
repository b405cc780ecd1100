"""A worker's port: it is had before anything else is done, or one line says why not, and it is told when it answers."""

import asyncio
import errno
import logging
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from streams import doors
from streams.broker.kafka import PORTS
from streams.doors import Entrance, Runner, TakenError, listening, site
from streams.topics import create
from tests.command import BIN, karar
from tests.topics import fresh
from tests.worker import at_the_end, environment, free_port, page, wait_for, working

NOBODY: Final = "127.0.0.1:1"
"""Whoever asks this Kafka first waits a minute for it."""
TOLD: Final = re.compile(r"answers at http://127\.0\.0\.1:(\d+)/")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104 - the default
def test_a_port_that_is_taken_is_one_line_before_a_worker_asks_kafka(tmp_path: Path, host: str) -> None:
    """Exit 2, as for every setting that cannot be: to start it again and again would not help."""
    with socket.create_server((host, 0)) as other:
        taken = other.getsockname()[1]
        said = karar(tmp_path, "worker", KARAR_WEB_HOST=host, KARAR_WEB_PORT=f"{taken}", KARAR_BROKER=NOBODY)

    assert said == (2, "", [f"karar: KARAR_WEB_PORT: {taken} is taken on {host}; another port, or 0 for any that is free"])


@pytest.mark.parametrize("host", ["192.0.2.1", "..", "x" * 64])
@pytest.mark.parametrize("port", ["0", "6066"])
def test_a_host_that_is_not_this_machine_is_one_line(tmp_path: Path, host: str, port: str) -> None:
    """An address of others, and what is no name."""
    said = karar(tmp_path, "worker", KARAR_WEB_HOST=host, KARAR_WEB_PORT=port, KARAR_BROKER=NOBODY)

    assert said == (2, "", [f"karar: KARAR_WEB_HOST: {host!r} is no address of this machine; 0.0.0.0 is all that it has"])


def test_a_port_that_this_user_may_not_have_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 1024, where the system reserves them."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "(while attempting to bind)")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(ValueError, match=r"\AKARAR_WEB_PORT: 80 cannot be had on ::: Permission denied; another port, or 0 for"):
        doors.opened("::", 80)


def test_a_name_that_nobody_has_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever says who has which name need not be there."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ValueError, match=r"\AKARAR_WEB_HOST: 'nobody' is no address of this machine; 0.0.0.0 is all that it has\Z"):
        doors.opened("nobody", 6066)


def named(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Lets any name have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_name_may_have_addresses_that_this_machine_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` has one of IPv6 everywhere, also where there is no IPv6."""
    named(monkeypatch, ("192.0.2.1", 0), ("127.0.0.1", 0))
    with listening("name", 6066) as sockets:
        assert [x.getsockname()[0] for x in sockets] == ["127.0.0.1"]


def test_who_cannot_have_every_address_has_none(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """What was opened before is closed again."""
    free = free_port()
    named(monkeypatch, ("127.0.0.1", free), ("127.0.0.1", taken))
    with pytest.raises(TakenError):
        doors.opened("name", taken)
    socket.create_server(("127.0.0.1", free)).close()


def test_a_port_is_ours_from_the_start_to_the_end() -> None:
    """Before anybody answers there, nobody else can have it."""
    with listening("127.0.0.1", 0) as (ours,):
        port = ours.getsockname()[1]
        with pytest.raises(TakenError):
            doors.opened("127.0.0.1", port)
    socket.create_server(("127.0.0.1", port)).close()

    assert port in PORTS


def test_any_port_is_one_that_nobody_has_taken_meanwhile(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """Others look for a free one at the same moment; where all are gone, that is said."""
    found = iter([taken, taken, free := free_port()])
    monkeypatch.setattr(doors, "free_port", lambda: next(found))
    with listening("127.0.0.1", 0) as (ours,):
        assert ours.getsockname()[1] == free

    monkeypatch.setattr(doors, "free_port", lambda: taken)
    with pytest.raises(TakenError), listening("127.0.0.1", 0):
        pass


def test_a_socket_that_was_not_inherited_is_one_line(tmp_path: Path) -> None:
    """Only the demo says `--socket`, to its worker."""
    said = karar(tmp_path, "worker", "--socket=1000000", KARAR_BROKER=NOBODY)

    assert said == (2, "", ["karar: --socket: 1000000: Bad file descriptor; leave it out"])


@pytest.mark.asyncio
async def test_it_is_said_where_a_worker_answers_when_it_does(caplog: pytest.LogCaptureFixture) -> None:
    """Not before; and whoever asked before is answered then."""
    caplog.set_level(logging.INFO, "streams.doors")
    app = web.Application()

    async def brief(_: web.Request) -> web.Response:
        return web.Response(text="brief")

    app.router.add_get("/", brief)
    runner = Runner(app)
    with listening("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        entrance = Entrance(runner, sockets, site("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port)) as early:
            early.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert caplog.messages == []
            await runner.setup()
            await entrance.start()
            assert caplog.messages == [f"answers at http://127.0.0.1:{port}/"]
            reader, writer = await asyncio.open_connection(sock=early)
            assert (await reader.read()).endswith(b"brief")
            writer.close()
        await runner.cleanup()


def test_an_address_of_ipv6_is_told_as_browsers_take_it() -> None:
    """In brackets, because it is full of colons."""
    assert (site("::1", 6066), site("localhost", 80)) == ("http://[::1]:6066", "http://localhost:80")


@pytest.mark.slow
def test_a_second_worker_on_a_machine_says_where_it_answers(tmp_path: Path, kafka: str) -> None:
    """With port 0; with the port of the first one it ends before it joins their group."""
    settings = fresh(kafka, 2)
    asyncio.run(create(settings))
    with working(tmp_path, settings, KARAR_WEB_HOST="127.0.0.1") as port:
        given = environment(settings, KARAR_WEB_HOST="127.0.0.1")
        same = subprocess.run([BIN, "worker"], env=given | {"KARAR_WEB_PORT": f"{port}"}, capture_output=True, check=False, timeout=60)
        assert (same.returncode, same.stderr.count(b"\n")) == (2, 1)
        log = tmp_path / "second.log"
        with log.open("ab") as out, subprocess.Popen([BIN, "worker"], env=given | {"KARAR_WEB_PORT": "0"}, stderr=out) as second:
            try:
                wait_for(lambda: TOLD.search(log.read_text()) or second.poll() is not None)
                told = TOLD.search(log.read_text())
                assert told is not None, log.read_text()
                assert page(int(told[1]), "/healthz")
                wait_for(lambda: at_the_end(int(told[1])))
            finally:
                second.terminate()
        assert second.returncode == 0, log.read_text()
