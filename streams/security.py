"""How Kafka is talked to: encrypted or not, and as whom. The one place that makes what every client is given for it."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Struct

Protocol: TypeAlias = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism: TypeAlias = Literal["scram-sha-512", "scram-sha-256", "plain"]

PROTOCOLS: Final = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS: Final = ("scram-sha-512", "scram-sha-256", "plain")

PROTOCOL: Final = "KARAR_BROKER_SECURITY"
CA: Final = "KARAR_BROKER_CA"
CERTIFICATE: Final = "KARAR_BROKER_CERTIFICATE"
KEY: Final = "KARAR_BROKER_KEY"
MECHANISM: Final = "KARAR_BROKER_SASL"
USER: Final = "KARAR_BROKER_USER"
PASSWORD: Final = "KARAR_BROKER_PASSWORD"  # noqa: S105 - the name of a setting
FOR_TLS: Final = (CA, CERTIFICATE, KEY)
FOR_SASL: Final = (MECHANISM, USER, PASSWORD)
NAMES: Final = (PROTOCOL, *FOR_TLS, *FOR_SASL)


class Security(Struct, frozen=True, kw_only=True):
    """What a broker is to know of us, and we of it, before anything is said. Files are named, not read."""

    protocol: Protocol = "plaintext"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    mechanism: Mechanism = "scram-sha-512"
    user: str = ""
    password: str = ""

    @property
    def encrypts(self) -> bool:
        """Whether what is said is encrypted, and the broker proves who it is."""
        return self.protocol in {"ssl", "sasl_ssl"}

    @property
    def signs_in(self) -> bool:
        """Whether the broker is told a user, who proves to have the password."""
        return self.protocol in {"sasl_plaintext", "sasl_ssl"}

    def client(self) -> dict[str, Any]:
        """What every client of aiokafka is given. ValueError: one line that names the setting whose file is of no use."""
        given: dict[str, Any] = {"security_protocol": self.protocol.upper()}
        if self.encrypts:
            given["ssl_context"] = self.context()
        if self.signs_in:
            given |= {
                "sasl_mechanism": self.mechanism.upper(), "sasl_plain_username": self.user, "sasl_plain_password": self.password
            }  # fmt: skip
        return given

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, with a certificate that is for the broker's host and from a CA that is trusted. ValueError: one line."""
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            # Who built the interpreter may leave that to the system: Debian's says MINIMUM_SUPPORTED.
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        except OSError as error:
            raise ValueError(f"{CA}: {self.ca}: {wrong_with(error)}; name the PEM file of the broker's CA") from None
        if self.certificate:
            try:
                # Without an answer, OpenSSL would ask a terminal for the passphrase of a key.
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            except OSError as error:
                raise ValueError(
                    f"{CERTIFICATE}, {KEY}: {self.certificate}, {self.key}: {wrong_with(error)}; name PEM files of a certificate and of "
                    "the key that belongs to it, without a passphrase"
                ) from None
        return context

    def __repr__(self) -> str:
        """It holds a password, and what is printed ends in logs."""
        return f"Security({self.protocol})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """What rich shows instead, which msgspec would make of everything."""
        return [("protocol", self.protocol)]


PLAINTEXT: Final = Security()


def wrong_with(error: OSError) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, ssl.SSLError):
        return f"is not what it should be ({error.reason or 'no PEM in it'})"
    return f"cannot be read: {error.strerror}"


def secured(environment: Mapping[str, str], one_of: Callable[..., str]) -> Security:
    """How Kafka is talked to, by an environment. ValueError: one line; what would mean nothing is refused, because it was meant to."""
    given = {name: environment.get(name, "").strip() for name in NAMES}
    protocol = cast("Protocol", one_of(environment, PROTOCOL, *PROTOCOLS))
    mechanism = cast("Mechanism", one_of(environment, MECHANISM, *MECHANISMS) or MECHANISMS[0])
    security = Security(
        protocol=protocol, ca=given[CA], certificate=given[CERTIFICATE], key=given[KEY],
        mechanism=mechanism, user=given[USER], password=given[PASSWORD],
    )  # fmt: skip
    meaningless = (*(() if security.encrypts else FOR_TLS), *(() if security.signs_in else FOR_SASL))
    for name in meaningless:
        if given[name]:
            better = "sasl_ssl" if name in FOR_SASL else "sasl_ssl" if security.signs_in else "ssl"
            raise ValueError(f"{name}: means nothing with {PROTOCOL}={protocol}; set that to {better}, or leave this out")
    if security.signs_in:
        for name in (USER, PASSWORD):
            if not given[name]:
                raise ValueError(f"{name}: is not set, and {PROTOCOL}={protocol} needs it")
    for name, other in ((CERTIFICATE, KEY), (KEY, CERTIFICATE)):
        if given[name] and not given[other]:
            raise ValueError(f"{other}: is not set, and {name} needs it; a PEM file that has both may be named twice")
    return security
