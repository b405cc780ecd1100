"""Karar on a Kafka with TLS, users and ACLs: what docs/security.md allows is enough, and whatever lacks is told in one line."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from aiokafka import TopicPartition

from schemas.codec import encode
from streams.connection import kafka_of
from streams.engine.watch import trim_all
from streams.settings import Settings
from streams.simulate import simulate
from streams.topics import create
from tests.command import BIN, Said, file, karar
from tests.command import PLAIN as ENVIRONMENT
from tests.secured import PASSWORDS, PLAIN, Secured, documented, secured
from tests.worker import working

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EVENTS: Final = list(map(encode, simulate(seed=1, customers=300, days=1)))
WORKER, PUBLISHER, OPERATOR = PASSWORDS
PARTITIONS: Final = {"KARAR_PARTITIONS": "2"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A Kafka on which every user may do what docs/security.md says, and nothing else."""
    with secured(tmp_path_factory.mktemp("secured") / "kafka") as running:
        running.allow(documented("karar"))
        yield running


@pytest.fixture(scope="module")
def counted(broker: Secured, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What workers said, at level debug, that have counted a day on it: half of it signed in by SCRAM, half by a password as it is."""
    folder = tmp_path_factory.mktemp("counted")
    assert said(folder, broker, OPERATOR, "topics").status == 0
    middle = len(EVENTS) // 2
    for mechanism, passwords, events in (("scram-sha-512", PASSWORDS, EVENTS[:middle]), ("plain", PLAIN, EVENTS[middle:])):
        published = said(folder, broker, PUBLISHER, "publish", file(folder, mechanism, *events), "--format", "events")
        assert (published.status, published.err) == (0, [])
        given = broker.environment(
            WORKER, KARAR_CLOCK="event", KARAR_LOG_LEVEL="debug", KARAR_LOG="json",
            KARAR_BROKER_SASL=mechanism, KARAR_BROKER_PASSWORD=passwords[WORKER], **SECRETS,
        )  # fmt: skip
        with working(folder, Settings.read(given | PARTITIONS), **given):
            pass
    return (folder / "worker.log").read_text()


def said(folder: Path, broker: Secured, user: str, *arguments: str, **more: str) -> Said:
    """What a command says to a user."""
    return karar(folder, *arguments, stdin=b"", **(broker.environment(user) | PARTITIONS | more))


def ended(broker: Secured, user: str, **more: str) -> tuple[int, list[str]]:
    """How a worker of a user ends that cannot start: its status, and what it said."""
    given = ENVIRONMENT | broker.environment(user) | PARTITIONS | {"KARAR_WEB_PORT": "0"} | more
    done = subprocess.run([BIN, "worker"], env=given, capture_output=True, check=False, timeout=90)
    return done.returncode, done.stderr.decode().splitlines()


# -- What is allowed is enough -----------------------------------------------------------------------------------------


def test_a_worker_counts_and_an_operator_audits(broker: Secured, counted: str, tmp_path: Path) -> None:
    """TLS, a user for each task, and the ACLs of the page: everything that was published is counted, and the balance is 0."""
    found = said(tmp_path, broker, OPERATOR, "audit")

    assert (found.status, found.err) == (0, [])
    told = re.fullmatch(
        r"trial balance 0 in 4 shards; conservation 0: ([\d,]+) interactions sent, ([\d,]+) held, 0 refused", found.out.splitlines()[-1]
    )
    assert told is not None, found.out
    assert told[1] == told[2]
    assert int(told[1].replace(",", "")) > 40
    assert '"critical"' not in counted
    assert "AuthorizationFailed" not in counted


def test_an_operator_reads_what_is_not_counted_yet(broker: Secured, tmp_path: Path) -> None:
    """Before a worker has been there: a dry run, and an audit, which counts what is behind."""
    given = {"KARAR_PREFIX": "karar-first"}
    broker.allow(documented("karar-first"))
    assert said(tmp_path, broker, OPERATOR, "topics", **given).status == 0
    published = said(tmp_path, broker, PUBLISHER, "publish", file(tmp_path, "events", *EVENTS[:99]), "--format", "events", **given)
    assert (published.status, published.err) == (0, [])
    grown, audited = said(tmp_path, broker, OPERATOR, "labels", **given), said(tmp_path, broker, OPERATOR, "audit", **given)

    assert (grown.status, audited.status, grown.lines + audited.lines) == (0, 0, [])
    assert "time series from 99 events in 2 shards" in grown.out
    assert audited.out.endswith("not at the end: 99 records behind, so conservation cannot be judged\n")


@pytest.mark.parametrize("mechanism", ["scram-sha-512", "scram-sha-256", "plain"])
def test_each_way_to_sign_in_is_one(broker: Secured, counted: str, tmp_path: Path, mechanism: str) -> None:
    """`KARAR_BROKER_SASL`."""
    assert counted
    password = (PLAIN if mechanism == "plain" else PASSWORDS)[OPERATOR]
    found = said(tmp_path, broker, OPERATOR, "topics", "--check", KARAR_BROKER_SASL=mechanism, KARAR_BROKER_PASSWORD=password)

    assert (found.status, found.err) == (0, [])


def test_what_has_been_counted_may_be_deleted(broker: Secured, counted: str) -> None:
    """The one thing that needs Delete, and comes once a minute: the positions are those of nobody, so nothing goes."""
    assert counted
    settings = Settings.read(broker.environment(WORKER) | PARTITIONS)
    shard = SimpleNamespace(spec=SimpleNamespace(trims=True), partition=0, committed={"karar.interactions": 1})
    engine: Any = SimpleNamespace(kafka=kafka_of(settings), shards={"stitch-0": shard})
    asyncio.run(trim_all(engine))

    async def first() -> int:
        consumer = kafka_of(settings).consumer()
        await consumer.start()
        try:
            (offset,) = (await consumer.beginning_offsets([TopicPartition("karar.interactions", 0)])).values()
            return int(offset)
        finally:
            await consumer.stop()

    assert asyncio.run(first()) == 1


def test_no_line_of_the_log_has_a_secret(counted: str) -> None:
    """Not even where everything is told: a password that is sent as it is, the token, the pepper."""
    secrets = {PASSWORDS[WORKER], PLAIN[WORKER], *SECRETS.values()}

    assert '"level": "debug"' in counted
    assert [line for line in counted.splitlines() if any(secret in line for secret in secrets)] == []


def test_a_certificate_of_ours_is_enough_where_kafka_asks_for_one(tmp_path: Path) -> None:
    """TLS on both sides and no password; without the certificate, or in the clear, it is said what this port may want."""
    with secured(tmp_path / "kafka", wants_certificate=True) as broker:
        given = {"KARAR_BROKER": broker.secured, "KARAR_BROKER_SECURITY": "ssl", "KARAR_BROKER_CA": str(broker.ca)} | PARTITIONS
        ours = {
            "KARAR_BROKER_CERTIFICATE": str(broker.home / "certificate.pem"), "KARAR_BROKER_KEY": str(broker.home / "key.pem")
        }  # fmt: skip
        broker.allow(documented("karar", OPERATOR))
        known = karar(tmp_path, "topics", stdin=b"", **given, **ours)
        unknown = karar(tmp_path, "topics", stdin=b"", **given)
        clear = karar(tmp_path, "topics", KARAR_BROKER=broker.secured)

    assert (known.status, known.err) == (0, [])
    assert (unknown.status, len(unknown.lines)) == (1, 1)
    assert "KARAR_BROKER_CERTIFICATE" in unknown.lines[0]
    who = f"karar: {broker.secured}: somebody is there who does not answer as Kafka"
    assert (clear.status, clear.lines) == (1, [f"{who}; is it Kafka, and is KARAR_BROKER_SECURITY=plaintext what this port wants?"])


# -- What lacks is told ------------------------------------------------------------------------------------------------

NOT_KNOWN: Final = "Kafka does not let {user!r} in: another user, or another password; see KARAR_BROKER_USER and KARAR_BROKER_PASSWORD"
WRONG: Final = {"KARAR_BROKER_PASSWORD": "wr0ng-wr0ng"}
SECRETS: Final = {"KARAR_WEB_TOKEN": "tell-nobody", "KARAR_PEPPER": "s4lt-s4lt"}
COMMANDS: Final = (["topics"], ["audit"], ["labels"], ["publish", "events", "--format", "events"], ["demo", "--only-publish"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("mechanism", ["scram-sha-512", "plain"])
def test_a_wrong_password_is_one_line(broker: Secured, tmp_path: Path, command: list[str], mechanism: str) -> None:
    """Exit 1; the password itself is in none."""
    file(tmp_path, "events", *EVENTS[:10])
    found = said(tmp_path, broker, OPERATOR, *command, KARAR_BROKER_SASL=mechanism, **WRONG)

    assert (found.status, found.lines) == (1, [f"karar: {broker.secured}: {NOT_KNOWN.format(user=OPERATOR)}"])
    assert "wr0ng" not in found.out


def test_a_wrong_password_ends_a_worker_for_good(broker: Secured) -> None:
    """Exit 1, not 70: to start it again would change nothing."""
    status, lines = ended(broker, WORKER, **WRONG)

    assert (status, lines) == (1, [f"karar: {broker.secured}: {NOT_KNOWN.format(user=WORKER)}"])


def test_a_traceback_has_no_secret_either(broker: Secured) -> None:
    """`--debug` shows where an error comes from, and everything is told: the password is nowhere."""
    given = ENVIRONMENT | broker.environment(WORKER) | PARTITIONS
    given |= WRONG | {"KARAR_BROKER_SASL": "plain", "KARAR_LOG_LEVEL": "debug"}
    for command in ("worker", "audit"):
        done = subprocess.run([BIN, "--debug", command], env=given, capture_output=True, check=False, timeout=90)

        assert done.returncode == 1
        assert b"Traceback" in done.stderr
        assert b"wr0ng" not in done.stderr + done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_certificate_that_is_not_trusted_is_one_line(broker: Secured, tmp_path: Path, command: list[str]) -> None:
    """Another CA's; and one that is for another host."""
    file(tmp_path, "events", *EVENTS[:10])
    stranger = said(tmp_path, broker, OPERATOR, *command, KARAR_BROKER_CA=str(broker.home / "other-ca.pem"))
    other = said(tmp_path, broker, OPERATOR, *command, KARAR_BROKER=f"localhost:{broker.secured_port}")

    for found, what in (
        (stranger, "unable to get local issuer certificate"),
        (other, "Hostname mismatch, certificate is not valid for 'localhost'"),
    ):
        (line,) = found.lines
        assert found.status == 1
        assert f": its certificate is not trusted: {what}; KARAR_BROKER_CA names the file of the CA" in line


def test_a_certificate_that_is_not_trusted_ends_a_worker_for_good(broker: Secured) -> None:
    """Exit 1."""
    status, (line,) = ended(broker, WORKER, KARAR_BROKER_CA=str(broker.home / "other-ca.pem"))

    assert status == 1
    assert line.startswith(f"karar: {broker.secured}: its certificate is not trusted: ")


LACKING: Final = [
    (["--operation", "Read", "--group"], "consumer group karar-less: this user may not take part in it; allow Read; "),
    (["--transactional-id"], "transactional id karar-less-assemble-0: this user may not have it; allow Write, Describe; "),
    (["--operation", "Delete", "--topic"], "karar-less.interactions: this user may do less than a worker must; allow Delete; "),
    (["--topic", "karar-less.calls"], "karar-less.calls: this user may not see it; "),
    (["--topic", "karar-less.moments"], "karar-less.moments: this user may not see it; "),
]


@pytest.mark.parametrize(("lacking", "line"), LACKING, ids=lambda lacking: lacking[-1] if isinstance(lacking, list) else "")
def test_what_a_worker_may_not_do_is_told_before_it_starts(broker: Secured, lacking: list[str], line: str) -> None:
    """One line says what, and what to allow; exit 1."""
    prefix = "karar-less"
    user = PUBLISHER  # whoever it is that has no right yet
    name = f"{prefix}-{LACKING.index((lacking, line))}"
    line, less = (text.replace(prefix, name) for text in (line, "\0".join(lacking)))
    commands = [[word.replace(WORKER, user) for word in command] for command in documented(name, WORKER) if less not in "\0".join(command)]
    assert len(commands) < len(documented(name, WORKER))
    broker.allow(commands)
    asyncio.run(create_as_admin(broker, name))
    status, lines = ended(broker, user, KARAR_PREFIX=name)

    assert (status, len(lines)) == (1, 1), lines
    assert lines[0].startswith(f"karar: {line}docs/security.md has the ACLs")


def test_a_transactional_id_that_may_be_seen_and_not_had_is_told_as_a_worker_leaves(broker: Secured) -> None:
    """Kafka says in advance only whether one may see it, or the group: status 70, and the log says why."""
    name = "karar-seen"
    commands = [[word.replace(WORKER, PUBLISHER) for word in command] for command in documented(name, WORKER)]
    broker.allow(
        [["Describe" if (word, "--transactional-id" in command) == ("Write", True) else word for word in command] for command in commands]
    )
    asyncio.run(create_as_admin(broker, name))
    status, lines = ended(broker, PUBLISHER, KARAR_PREFIX=name)

    assert status == 70
    assert any('"critical"' in line and "does not open: TransactionalIdAuthorizationFailed(" in line for line in lines), lines


async def create_as_admin(broker: Secured, prefix: str) -> None:
    """The topics, as somebody creates them who may do everything."""
    await create(Settings(broker=broker.address, prefix=prefix, partitions=2))


def test_whoever_may_not_publish_is_told(broker: Secured, counted: str, tmp_path: Path) -> None:
    """Seen, but not to be written; not even seen; and neither counts anything."""
    assert counted
    file(tmp_path, "events", *EVENTS[:10])
    seen = said(tmp_path, broker, OPERATOR, "publish", "events", "--format", "events")
    unseen = said(tmp_path, broker, PUBLISHER, "publish", "events", "--format", "events", "--topic", "karar.moments")

    for found in (seen, unseen):
        (line,) = found.lines
        assert found.status == 1
        assert line.startswith(f"karar: {broker.secured}: Kafka does not allow it: ")
        assert line.endswith("; docs/security.md has the ACLs that each command needs")


def test_whoever_may_not_look_is_told(broker: Secured, counted: str, tmp_path: Path) -> None:
    """A topic that one may not see is not said to be missing, and one that one may not describe is not said to be wrong."""
    assert counted
    audited, checked = said(tmp_path, broker, PUBLISHER, "audit"), said(tmp_path, broker, PUBLISHER, "topics", "--check")

    assert (audited.status, checked.status) == (1, 1)
    (line,) = audited.lines
    assert line.startswith("karar: karar.calls: its cleanup.policy cannot be read; allow DescribeConfigs; docs/security.md ")
    assert checked.out.count("this user may not see it; docs/security.md ") == 8
