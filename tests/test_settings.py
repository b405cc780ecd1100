"""Settings: what each is where nothing is said, how it is read, and every refusal in one line with an example."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from streams.engine.engine import START_AGAIN
from streams.security import Security
from streams.settings import BY_NAME, OF_TESTS, SETTINGS, Settings, rows, unknown
from tests.command import PLAIN, karar
from tests.shared import ROOT

KUBERNETES: Final = {
    f"{service}_{name}": value
    for service in ("KARAR", "KARAR_WORKER", "KARAR_BROKER")
    for name, value in {
        "SERVICE_HOST": "10.96.7.1", "SERVICE_PORT": "6066", "SERVICE_PORT_HTTP_METRICS": "6066", "PORT": "tcp://10.96.7.1:6066",
        "PORT_6066_TCP": "tcp://10.96.7.1:6066", "PORT_6066_TCP_PROTO": "tcp", "PORT_6066_TCP_PORT": "6066",
        "PORT_6066_TCP_ADDR": "10.96.7.1",
    }.items()
}  # fmt: skip
"""What it gives every container of a namespace that has services of these names."""
NOON: Final = 1_767_614_400_000


def test_nothing_said_is_every_default() -> None:
    """The defaults of the table and those of the struct are the same."""
    assert Settings.read({}) == Settings()


def test_an_empty_variable_is_none() -> None:
    """`KARAR_PORT=` in a compose file says nothing."""
    assert Settings.read({setting.name: " " for setting in SETTINGS}) == Settings()


def test_everything_is_read() -> None:
    """Each variable reaches its field."""
    given = {
        "KARAR_PEPPER": "hush",
        "KARAR_BLOCKED": "0800, Front Desk,",
        "KARAR_TARGETS": "t.toml",
        "KARAR_BROKER": "one:9092, [::1]:9093",
        "KARAR_BROKER_SECURITY": "sasl_ssl",
        "KARAR_BROKER_CA": "ca.pem",
        "KARAR_BROKER_CERTIFICATE": "us.pem",
        "KARAR_BROKER_KEY": "key.pem",
        "KARAR_BROKER_SASL": "plain",
        "KARAR_BROKER_USER": "karar",
        "KARAR_BROKER_PASSWORD": "silence",
        "KARAR_PREFIX": "test.eu",
        "KARAR_PARTITIONS": "64",
        "KARAR_REPLICATION": "3",
        "KARAR_ADAPTERS": "test.eu.calls=asterisk-queue-log, more=events,",
        "KARAR_CLOCK": "2026-01-05T13:00:00+01:00",
        "KARAR_KEPT_DAYS": "30",
        "KARAR_WEB_HOST": "127.0.0.1",
        "KARAR_WEB_PORT": "0",
        "KARAR_WEB_TOKEN": "open",
        "KARAR_SERIES_BIRTH_SECONDS": "0.5",
        "KARAR_SESSION_SECONDS": "6",
        "KARAR_BALANCE_SECONDS": "0",
        "KARAR_ALERTMANAGER": "http://one:9093/, https://two/alertmanager,",
        "KARAR_LOG": "JSON",
        "KARAR_LOG_LEVEL": "debug",
    }

    assert Settings.read(given) == Settings(
        pepper="hush", blocked=frozenset({"0800", "front desk"}), targets="t.toml", broker="one:9092,[::1]:9093", prefix="test.eu",
        security=Security(
            protocol="sasl_ssl", ca="ca.pem", certificate="us.pem", key="key.pem", mechanism="plain", user="karar",
            password=given["KARAR_BROKER_PASSWORD"],
        ),
        partitions=64, replication=3, adapters={"test.eu.calls": "asterisk-queue-log", "more": "events"}, clock=NOON, kept_days=30,
        web_host="127.0.0.1", web_port=0, web_token=given["KARAR_WEB_TOKEN"], birth_seconds=0.5, session_seconds=6.0,
        balance_seconds=0.0, alertmanagers=("http://one:9093", "https://two/alertmanager"), log="json", log_level="debug",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("wall", "wall"),
        ("event", "event"),
        ("2026-01-05T12:00:00Z", NOON),
        ("2026-01-05 12:00", NOON),
        ("2026-01-05T12:00:00.5Z", NOON + 500),
    ],
)
def test_the_clock_is_the_wall_events_or_an_instant(text: str, clock: str | int) -> None:
    """`KARAR_CLOCK=wall|event|<instant>`; an instant without an offset is UTC."""
    assert Settings.read({"KARAR_CLOCK": text}).clock == clock


def test_a_topic_that_is_mapped_to_nothing_has_events() -> None:
    """`KARAR_ADAPTERS`: default `events`."""
    settings = Settings.read({"KARAR_ADAPTERS": "karar.calls=asterisk-queue-log"})

    assert (settings.format_of("karar.calls"), settings.format_of("karar.visits")) == ("asterisk-queue-log", "events")


WHOLE: Final = "is no whole number from"
REFUSED: Final = [
    ("KARAR_BROKER", "kafka", "'kafka' is no host:port such as 127.0.0.1:9092"),
    ("KARAR_BROKER", "kafka:9092,", "'' is no host:port such as 127.0.0.1:9092"),
    ("KARAR_BROKER", "kafka:0", "'kafka:0' is no host:port such as 127.0.0.1:9092"),
    ("KARAR_BROKER", "kafka:65536", "'kafka:65536' is no host:port such as 127.0.0.1:9092"),
    ("KARAR_BROKER", "http://kafka:9092", "'http://kafka:9092' is no host:port such as 127.0.0.1:9092"),
    (
        "KARAR_PREFIX", "kärar",
        "'kärar' is no name for a topic: at most 200 letters, digits, dots, hyphens and underscores, such as karar",
    ),
    ("KARAR_PARTITIONS", "0", f"'0' {WHOLE} 1 to 1024, such as 8"),
    ("KARAR_PARTITIONS", "1025", f"'1025' {WHOLE} 1 to 1024, such as 8"),
    ("KARAR_PARTITIONS", "8.0", f"'8.0' {WHOLE} 1 to 1024, such as 8"),
    ("KARAR_PARTITIONS", "٨", f"'٨' {WHOLE} 1 to 1024, such as 8"),
    ("KARAR_REPLICATION", "-1", f"'-1' {WHOLE} 1 to 32, such as 1"),
    ("KARAR_KEPT_DAYS", "0", f"'0' {WHOLE} 1 to 3650, such as 90"),
    ("KARAR_WEB_PORT", "65536", f"'65536' {WHOLE} 0 to 65535, such as 6066"),
    ("KARAR_ADAPTERS", "karar.calls", "'karar.calls' is no topic=format such as karar.calls=asterisk-queue-log"),
    ("KARAR_ADAPTERS", "a=morse", "a: format morse does not exist; there are: events, asterisk-queue-log"),
    ("KARAR_ADAPTERS", "a=csv", "a: format csv cannot be read from a topic; there are: events, asterisk-queue-log"),
    ("KARAR_ADAPTERS", "a=qmatic", "a: format qmatic is still to come; there are: events, asterisk-queue-log"),
    (
        "KARAR_ADAPTERS", "a=events,a=asterisk-queue-log",
        "a has two formats, events and asterisk-queue-log; leave one, as in karar.calls=events",
    ),
    ("KARAR_CLOCK", "noon", "'noon' is neither wall nor event nor an instant such as 2026-01-31T09:00:00Z"),
    ("KARAR_SERIES_BIRTH_SECONDS", "soon", "'soon' is no number of seconds from 0 to 3600, such as 30"),
    ("KARAR_SERIES_BIRTH_SECONDS", "nan", "'nan' is no number of seconds from 0 to 3600, such as 30"),
    ("KARAR_SESSION_SECONDS", "2.9", "'2.9' is no number of seconds from 3 to 300, such as 10"),
    ("KARAR_BALANCE_SECONDS", "-1", "'-1' is no number of seconds from 0 to 86400, such as 600"),
    *(
        ("KARAR_ALERTMANAGER", address, f"{address!r} is no address such as http://alertmanager:9093")
        for address in (
            "alertmanager:9093", "http:", "http://a:0", "http://a:abc", "http://a:65536", "http://[::1:9093", "http://a/?b=c", "http://a/#b",
        )
    ),
    *(
        ("KARAR_ALERTMANAGER", address, f"{address!r} has the path of an API; leave it out, as in http://alertmanager:9093")
        for address in ("http://a:9093/api/v2/alerts", "https://a/prefix/api/v1", "http://a/api")
    ),
    *(
        (name, address, f"has a user in it, and logs would tell the password; leave both out, as in {example}")
        for name, address, example in (
            ("KARAR_ALERTMANAGER", "http://one:9093,http://u:p,w@two:9093", "http://alertmanager:9093"),
            ("KARAR_BROKER", "sasl_ssl://u:p@kafka:9092", "127.0.0.1:9092"),
        )
    ),
    ("KARAR_LOG", "xml", "'xml' does not exist; there are: console, json"),
    ("KARAR_LOG_LEVEL", "loud", "'loud' does not exist; there are: debug, info, warning, error"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "problem"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line_with_an_example(name: str, text: str, problem: str) -> None:
    """Each refusal names the variable, what is wrong, and what would be right."""
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as refused:
        Settings.read({name: text})

    assert str(refused.value) == f"{name}: {problem}"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("settings", "KARAR_BROKER"), ("settings", "KARAR_ALERTMANAGER"), ("settings", "KARAR_MAVEN_REPOSITORY"),
        ("broker", "KARAR_BROKER"), ("broker", "KARAR_MAVEN_REPOSITORY"),
    ],
)  # fmt: skip
def test_an_address_with_a_password_in_it_is_refused_without_it(tmp_path: Path, command: str, name: str) -> None:
    """By whoever reads it: one line, exit 2, and the password in none."""
    said = karar(tmp_path, command, stdin=b"", **{"KARAR_CACHE": str(tmp_path), name: "https://user:hush@localhost/m"})

    assert (said.status, len(said.lines)) == (2, 1)
    assert said.lines[0].startswith(f"karar: {name}: has a user in it, and logs would tell the password; leave both out, as in ")
    assert "hush" not in said.out + said.lines[0]


def test_secrets_are_never_shown() -> None:
    """Neither by `karar settings` nor where the settings end up in a log."""
    given = {setting.name: "hush" for setting in SETTINGS if setting.secret}
    given |= {"KARAR_BROKER_SECURITY": "sasl_ssl", "KARAR_BROKER_USER": "karar"}

    assert [shown for name, shown, *_ in rows(given) if BY_NAME[name].secret] == ["********"] * 3
    assert "hush" not in repr(Settings.read(given))


@pytest.mark.parametrize("name", ["KARAR_BROKER", "KARAR_ALERTMANAGER", "KARAR_MAVEN_REPOSITORY"])
@pytest.mark.parametrize("password", ["hush", "hu,sh", "hu@sh", "hu/sh"])
def test_a_password_in_an_address_is_not_shown(name: str, password: str) -> None:
    """Where it does not belong it may stand all the same: `karar settings` prints its table before it refuses."""
    (told,) = [value for row, value, *_ in rows({name: f"http://one/,https://user:{password}@two/x"}) if row == name]

    assert told == "********@two/x"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KARAR_BROKRE", "KARAR_BROKER?"), ("KARAR_PARTITION", "KARAR_PARTITIONS?"), ("KARAR_PORT", "KARAR_WEB_PORT?"),
        ("KARAR_LOGLEVEL", "KARAR_LOG_LEVEL?"), ("KARAR_KAFKA", "`karar settings` prints all"), ("KARAR_", "`karar settings` prints all"),
    ],
)  # fmt: skip
def test_what_begins_like_a_setting_and_is_none_is_told_with_the_nearest(name: str, meant: str) -> None:
    """Who mistypes a name would get the default, and look for the reason elsewhere. Its value may be a secret."""
    assert list(unknown({name: "hush"})) == [f"{name}: there is no such setting; {meant}"]


def test_what_is_a_setting_or_somebody_elses_is_not_told() -> None:
    """All settings, the names of others, and what Kubernetes gives every container beside a service that is named karar."""
    assert list(unknown(dict.fromkeys(BY_NAME, "x") | {"PATH": "/bin", "karar_broker": "x", "NOT_KARAR_BROKRE": "x"})) == []
    assert list(unknown(KUBERNETES)) == []


def test_what_only_tests_are_told_by_is_not_told() -> None:
    """`KARAR_TEST_SEED=… make test`: such names are known wherever they are read or set."""
    tests = "\n".join(path.read_text("utf-8") for path in (*(ROOT / "tests").rglob("*.py"), ROOT / "Makefile"))
    names = set(re.findall(r"environ(?:\.get|\.setdefault)?[\[(]\"(KARAR_\w+)|^\t@?(KARAR_\w+)=", tests, re.MULTILINE))
    found = {name for pair in names for name in pair} - {"", *BY_NAME}

    assert found == OF_TESTS
    assert list(unknown(dict.fromkeys(OF_TESTS, "1"))) == []


@pytest.mark.parametrize(("arguments", "status"), [(("settings",), 0), (("convert", "-", "--format", "events"), 0), (("forget",), 2)])
def test_every_command_tells_of_it_and_goes_on(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    """A fleet may share an environment: one line each on standard error, in their order, and nothing else changes."""
    plain, said = karar(tmp_path, *arguments), karar(
        tmp_path, *arguments, stdin=b"", KARAR_SPEED="1", KARAR_BROKRE="127.0.0.1:1", **KUBERNETES
    )  # fmt: skip

    assert (said.status, said.out) == (plain.status, plain.out) == (status, plain.out)
    assert said.lines == [
        "karar: KARAR_BROKRE: there is no such setting; KARAR_BROKER?",
        "karar: KARAR_SPEED: there is no such setting; `karar settings` prints all",
        *plain.lines,
    ]


def test_a_worker_tells_of_it_in_its_log() -> None:
    """As a warning: who looks for why it is at another broker looks there. Here it ends at once, because its Kafka is nobody's."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    command = "from streams.commands import worker; worker.PATIENCE_SECONDS = -1; import os, sys; sys.exit(worker.worker(os.environ))"
    given = PLAIN | {"KARAR_BROKER": f"127.0.0.1:{port}", "KARAR_BROKRE": "x", "KARAR_LOG": "json", "KARAR_WEB_PORT": "0"}
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=given, capture_output=True, text=True, check=False, timeout=60)
    first, *_ = map(json.loads, done.stderr.splitlines())

    assert done.returncode == START_AGAIN, done.stderr
    assert (first["level"], first["message"]) == ("warning", "KARAR_BROKRE: there is no such setting; KARAR_BROKER?")
    assert "karar: " not in done.stderr
