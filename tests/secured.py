"""A Kafka as companies run it: TLS, users with passwords, and nothing allowed to anybody that no ACL allows."""

import asyncio
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trustme
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from streams.broker.kafka import HOST, Broker, free_port
from streams.connection import administrator
from streams.security import Security
from tests.shared import ROOT

PAGE: Final = ROOT / "docs" / "security.md"
OWN: Final = {name: value for name, value in os.environ.items() if name != "KARAR_BROKER"}

# The numbers of Kafka's protocol.
RESOURCES: Final = {"topic": 2, "group": 3, "transactional-id": 5}
OPERATIONS: Final = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8, "DescribeConfigs": 10}
PATTERNS: Final = {"literal": 3, "prefixed": 4}
ALLOW: Final = 3

PASSWORDS: Final = {"karar-worker": "w0rk & sons", "karar-publisher": "pub-lisher/7", "karar-operator": "0perator"}
PLAIN: Final = {user: f"plain-{password}" for user, password in PASSWORDS.items()}

# Nobody but the broker itself, on a listener of its own, is let in without a password.
PROPERTIES: Final = """\
listeners=PLAINTEXT://{host}:{own},{protocol}://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{own},{protocol}://{host}:{port}
controller.quorum.voters=1@{host}:{controller}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{protocol}:{protocol}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.{lower}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{lower}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{lower}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {plain};
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth={client}
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
"""


class Secured(Broker):
    """A Kafka of our own with users and ACLs. ``secured`` is where clients find it; its certificates are in its folder.

    ``wants_certificate``: TLS with a certificate of the client's, instead of users.
    """

    def __init__(self, folder: Path, *, wants_certificate: bool = False) -> None:
        super().__init__(OWN, data=folder)
        self.protocol, self.client = ("SSL", "required") if wants_certificate else ("SASL_SSL", "none")
        self.secured_port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        broker = authority.issue_cert(HOST)
        (folder / "broker.pem").write_bytes(pkcs8(broker.private_key_pem.bytes()) + broker.cert_chain_pems[0].bytes())
        mine = authority.issue_cert("karar.example", common_name="karar-operator")
        mine.private_key_pem.write_to_path(folder / "key.pem")
        mine.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")

    @property
    def ca(self) -> Path:
        """The certificate of who signed the broker's."""
        return self.home / "ca.pem"

    @property
    def secured(self) -> str:
        """Where clients find it that are who they say."""
        return f"{HOST}:{self.secured_port}"

    def properties(self, controller: int) -> str:
        """The later of two lines with the same name counts."""
        plain = " ".join(f'user_{user}="{password}"' for user, password in PLAIN.items())
        return super().properties(controller) + PROPERTIES.format(
            host=HOST, own=self.port, port=self.secured_port, controller=controller, protocol=self.protocol,
            lower=self.protocol.lower(), plain=plain, folder=self.home, client=self.client,
        )  # fmt: skip

    def users(self) -> Sequence[str]:
        """Everybody has both kinds of SCRAM."""
        kinds = ("SCRAM-SHA-512", "SCRAM-SHA-256")
        return [part for kind in kinds for user, password in PASSWORDS.items()
                for part in ("--add-scram", f'{kind}=[name="{user}",password="{password}"]')]  # fmt: skip

    def environment(self, user: str, **more: str) -> dict[str, str]:
        """The settings of a user."""
        given = {
            "KARAR_BROKER": self.secured, "KARAR_BROKER_SECURITY": "sasl_ssl", "KARAR_BROKER_CA": str(self.ca),
            "KARAR_BROKER_USER": user, "KARAR_BROKER_PASSWORD": PASSWORDS[user],
        }  # fmt: skip
        return given | more

    def security(self, user: str) -> Security:
        """The same, for a client."""
        return Security(protocol="sasl_ssl", ca=str(self.ca), user=user, password=PASSWORDS[user])

    def allow(self, commands: Sequence[Sequence[str]]) -> None:
        """Does what `kafka-acls.sh` would."""
        asyncio.run(allow(self.address, [entry for command in commands for entry in entries(command)]))


def pkcs8(key: bytes) -> bytes:
    """A private key as Kafka reads it."""
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def documented(prefix: str, *users: str) -> list[list[str]]:
    """The arguments of the page's commands that allow something, for a prefix; of these users where some are named."""
    found = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("$acls "):
            command = [re.sub(r"^karar(?=[.-]|$)", prefix, word) for word in shlex.split(line)[1:]]
            if not users or command[command.index("--allow-principal") + 1].removeprefix("User:") in users:
                found.append(command)
    return found


def entries(command: Sequence[str]) -> Iterator[tuple[int, str, int, str, int]]:
    """The ACLs that one command adds: resource, its name, pattern, user, operation."""
    given: dict[str, list[str]] = {}
    for option, value in zip(command[::2], command[1::2], strict=True):
        given.setdefault(option.removeprefix("--"), []).append(value)
    (user,), (pattern,) = given.pop("allow-principal"), given.pop("resource-pattern-type", ["literal"])
    operations = given.pop("operation")
    for resource, names in given.items():
        for name in names:
            for operation in operations:
                yield RESOURCES[resource], name, PATTERNS[pattern], user, OPERATIONS[operation]


async def allow(address: str, wanted: Sequence[tuple[int, str, int, str, int]]) -> None:
    """Adds ACLs, as somebody who may."""
    async with administrator(address) as admin:
        for resource, name, pattern, user, operation in wanted:
            request = CreateAclsRequest(resource, name, pattern, user, "*", operation, ALLOW)
            answer: Any = await admin._client.send(admin._client.get_random_node(), request)  # noqa: SLF001 - it has no word for this
            assert [code for code, _ in answer.creation_responses] == [0], answer


@contextmanager
def secured(folder: Path, *, wants_certificate: bool = False) -> Iterator[Secured]:
    """Such a Kafka, for as long as the block lasts."""
    with Secured(folder, wants_certificate=wants_certificate) as broker:
        yield broker
