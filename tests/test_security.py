"""How Kafka is talked to: what the settings come to, what is refused, and that every client is given it and no log a secret."""

import ast
import io
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from aiokafka.protocol.admin import SaslAuthenticateRequest_v1
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from rich.pretty import pretty_repr

from streams.connection import kafka_of
from streams.engine.host import credentials
from streams.logs import configure
from streams.security import FOR_SASL, FOR_TLS, MECHANISMS, NAMES, PROTOCOLS, Security
from streams.settings import BY_NAME, Settings
from tests.command import karar
from tests.shared import ROOT

SECRET: Final = "p=,ä"  # noqa: S105 - nobody's
SASL: Final = {"KARAR_BROKER_USER": "u", "KARAR_BROKER_PASSWORD": "hush"}
CLIENTS: Final = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaConnection"}
GIVEN: Final = {"administrator": 2, "sending": 3}


def read(**given: str) -> Security:
    """The security of an environment."""
    return Settings.read({f"KARAR_BROKER_{name}": text for name, text in given.items()}).security


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PEM files: a CA, a certificate with its key, another key, and the key with a passphrase."""
    folder, authority = tmp_path_factory.mktemp("pem"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("one", "two"):
        made = authority.issue_cert(f"{name}.example")
        made.private_key_pem.write_to_path(folder / f"{name}-key.pem")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    key = load_pem_private_key((folder / "one-key.pem").read_bytes(), None)
    (folder / "locked.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")))
    (folder / "empty.pem").write_bytes(b"")
    return folder


# -- What the settings come to -----------------------------------------------------------------------------------------


def test_nothing_said_is_plaintext() -> None:
    """As it was: nobody is asked for anything."""
    assert read() == Security()
    assert read().client() == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
def test_a_user_signs_in(protocol: str, mechanism: str) -> None:
    """With each mechanism, with and without encryption, whatever the case of the words."""
    client = read(SECURITY=protocol.upper(), SASL=mechanism.upper(), USER="u", PASSWORD=SECRET).client()
    context = client.pop("ssl_context", None)

    assert client == {
        "security_protocol": protocol.upper(), "sasl_mechanism": mechanism.upper(), "sasl_plain_username": "u",
        "sasl_plain_password": SECRET,
    }  # fmt: skip
    assert (context is not None) == (protocol == "sasl_ssl")


def test_who_signs_in_does_so_by_scram_unless_told_otherwise() -> None:
    """The password itself is not sent then."""
    assert read(SECURITY="sasl_ssl", USER="u", PASSWORD=SECRET).mechanism == "scram-sha-512"


def test_encryption_proves_who_the_broker_is(files: Path) -> None:
    """Its certificate is checked, and for its host; nothing older than TLS 1.2; a CA of one's own replaces those of the system."""
    context: ssl.SSLContext = read(SECURITY="ssl", CA=str(files / "ca.pem")).client()["ssl_context"]

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_faust_gives_its_clients_the_same(protocol: str) -> None:
    """Faust has words of its own for it, and makes of them what all others are given."""
    client = Security(protocol=protocol, user="u", password=SECRET, mechanism="scram-sha-256").client()  # type: ignore[arg-type] # one of them
    made = credentials_to_aiokafka_auth(credentials(client))

    assert {name: value for name, value in made.items() if value is not None} == client


def test_an_engine_without_a_word_about_it_talks_in_plaintext() -> None:
    """As the engine's own tests do."""
    assert credentials({}) is None


# -- What is refused ---------------------------------------------------------------------------------------------------

MEANINGLESS: Final = [
    *(("plaintext", name, "ssl") for name in FOR_TLS),
    *(("plaintext", name, "sasl_ssl") for name in FOR_SASL),
    *(("ssl", name, "sasl_ssl") for name in FOR_SASL),
    *(("sasl_plaintext", name, "sasl_ssl") for name in FOR_TLS),
]


@pytest.mark.parametrize(("protocol", "name", "better"), MEANINGLESS)
def test_what_would_mean_nothing_is_refused(protocol: str, name: str, better: str) -> None:
    """Who names a password, or a CA, means it to be used."""
    needed = SASL if protocol.startswith("sasl") else {}
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as refused:
        Settings.read(needed | {"KARAR_BROKER_SECURITY": protocol, name: "plain" if name == "KARAR_BROKER_SASL" else "x"})

    assert str(refused.value) == f"{name}: means nothing with KARAR_BROKER_SECURITY={protocol}; set that to {better}, or leave this out"


@pytest.mark.parametrize("missing", SASL)
def test_who_signs_in_has_a_name_and_a_password(missing: str) -> None:
    """One without the other is forgotten, not meant."""
    given = {name: text for name, text in SASL.items() if name != missing} | {"KARAR_BROKER_SECURITY": "sasl_ssl"}
    with pytest.raises(ValueError, match=f"^{missing}: is not set, and KARAR_BROKER_SECURITY=sasl_ssl needs it$"):
        Settings.read(given)


@pytest.mark.parametrize(("given", "missing"), [("CERTIFICATE", "KEY"), ("KEY", "CERTIFICATE")])
def test_a_certificate_has_a_key(given: str, missing: str) -> None:
    """Neither is of use alone."""
    with pytest.raises(ValueError, match=f"^KARAR_BROKER_{missing}: is not set, and KARAR_BROKER_{given} needs it; "):
        read(SECURITY="ssl", **{given: "x"})


@pytest.mark.parametrize(("name", "known"), [("KARAR_BROKER_SECURITY", PROTOCOLS), ("KARAR_BROKER_SASL", MECHANISMS)])
def test_other_words_are_refused(name: str, known: tuple[str, ...]) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=f"^{name}: 'kerberos' does not exist; there are: {', '.join(known)}$"):
        Settings.read({name: "kerberos"})


FILES: Final = [
    ({"CA": "none.pem"}, "KARAR_BROKER_CA: ", "cannot be read: No such file or directory"),
    ({"CA": "empty.pem"}, "KARAR_BROKER_CA: ", "is not what it should be"),
    ({"CA": "one-key.pem"}, "KARAR_BROKER_CA: ", "is not what it should be"),
    ({"CERTIFICATE": "one.pem", "KEY": "two-key.pem"}, "KARAR_BROKER_CERTIFICATE, KARAR_BROKER_KEY: ", "KEY_VALUES_MISMATCH"),
    ({"CERTIFICATE": "none.pem", "KEY": "one-key.pem"}, "KARAR_BROKER_CERTIFICATE, KARAR_BROKER_KEY: ", "No such file or directory"),
    ({"CERTIFICATE": "one.pem", "KEY": "locked.pem"}, "KARAR_BROKER_CERTIFICATE, KARAR_BROKER_KEY: ", "without a passphrase"),
]


@pytest.mark.parametrize(("given", "where", "what"), FILES)
def test_a_file_that_is_of_no_use_is_refused_in_one_line(files: Path, given: dict[str, str], where: str, what: str) -> None:
    """And nobody is asked for the passphrase of a key: a worker has no terminal."""
    security = read(SECURITY="ssl", **{name: str(files / file) for name, file in given.items()})
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as refused:
        security.client()

    assert str(refused.value).startswith(where)
    assert what in str(refused.value)


@pytest.mark.parametrize("command", [["settings"], ["topics"], ["audit"], ["worker"]])
def test_commands_refuse_such_a_file_before_they_talk_to_anybody(tmp_path: Path, command: list[str]) -> None:
    """One line, exit 2: it is a setting that is wrong. `karar settings` says so as well, below its table."""
    said = karar(tmp_path, *command, KARAR_BROKER_SECURITY="ssl", KARAR_BROKER_CA="none.pem")

    assert (said.status, len(said.lines)) == (2, 1)
    assert said.lines[0].startswith("karar: KARAR_BROKER_CA: none.pem: cannot be read: No such file or directory; ")


# -- Every client is given it ------------------------------------------------------------------------------------------


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Everything that is called in the product, with where."""
    for path in sorted((ROOT / "streams").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def name_of(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def test_every_client_is_given_how_to_talk() -> None:
    """One that was forgotten would not be let in, or would say in the clear what others encrypt."""
    made = [(where, call) for where, call in calls() if name_of(call) in CLIENTS]
    without = [where for where, call in made if not any(keyword.arg is None for keyword in call.keywords)]
    asked = [(where, call) for where, call in calls() if isinstance(call.func, ast.Name) and name_of(call) in GIVEN]
    short = [where for where, call in asked if len(call.args) < GIVEN[name_of(call)]]

    assert (without, short) == ([], [])
    assert len(made) >= 7
    assert len(asked) >= 4


def test_the_engine_is_given_it_in_one_place() -> None:
    """Who makes a `Kafka` says how it is talked to."""
    assert [where.partition(":")[0] for where, call in calls() if name_of(call) == "Kafka"] == ["streams/connection.py"]


# -- Secrets -----------------------------------------------------------------------------------------------------------


def test_nothing_that_is_printed_has_the_password() -> None:
    """Not the settings, not the security, not what Faust and the engine are given."""
    settings = Settings.read(SASL | {"KARAR_BROKER_SECURITY": "sasl_ssl"})
    shown: list[Any] = [settings, settings.security, credentials(settings.security.client()), kafka_of(settings)]

    assert BY_NAME["KARAR_BROKER_PASSWORD"].secret
    assert [text for thing in shown for text in (repr(thing), str(thing), f"{thing}", pretty_repr(thing)) if "hush" in text] == []


def test_a_log_that_tells_everything_does_not_tell_what_signs_in() -> None:
    """The client tells its requests at level debug, and one of them has the password in it: as it is, where it is sent as it is."""
    root, conn, stream = logging.getLogger(), logging.getLogger("aiokafka.conn"), io.StringIO()
    before = root.level, root.handlers[:]
    request = SaslAuthenticateRequest_v1(b"\0u\0hush")
    assert "hush" in str(request)  # or there would be nothing to keep out
    try:
        configure("json", "debug", lambda _: None, stream)
        conn.debug("Request to %s:%d %d: %s", "kafka", 9092, 1, request)
        conn.warning("told")
        logging.getLogger("aiokafka.consumer").debug("told, too")
    finally:
        root.level, root.handlers[:] = before
        root.setLevel(before[0])

    assert "hush" not in stream.getvalue()
    assert ["told" in line for line in stream.getvalue().splitlines()] == [True, True]


def test_the_page_has_every_setting() -> None:
    """docs/security.md is where one looks."""
    page = (ROOT / "docs" / "security.md").read_text()

    assert [name for name in (*NAMES, "KARAR_WEB_TOKEN", "KARAR_PEPPER") if name not in page] == []
