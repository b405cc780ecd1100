"""Settings from the environment: one table, printed by `karar settings`, and read at once into `Settings`."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

from msgspec import Struct

from schemas.sources import COMING, FORMATS
from streams.security import MECHANISMS, PLAINTEXT, PROTOCOLS, Security, secured

MASK: Final = "********"
LOCAL_BROKER: Final = "127.0.0.1:9092"
STREAMED: Final = tuple(name for name in FORMATS if name != "csv")
"""Formats that a topic may have: a CSV row means nothing without the file's header."""

Clock: TypeAlias = Literal["wall", "event"] | int
LogFormat: TypeAlias = Literal["", "console", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:,\[\]]+):(\d{1,5})")
TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]+")
SIGNED_IN: Final = re.compile(r"\S*:\S*@")
LONGEST_PREFIX: Final = 200
LONGEST_TOPIC: Final = 249
HIGHEST_PORT: Final = 65_535


class Setting(NamedTuple):
    """One setting. A secret is never printed."""

    name: str
    default: str
    meaning: str
    secret: bool = False


SETTINGS: Final = (
    Setting("KARAR_PEPPER", "karar", "key of the pseudonyms (HMAC-SHA-256) that customers' identifiers become: set your own", secret=True),
    Setting("KARAR_BLOCKED", "", "identifiers that identify nobody, comma-separated, besides anonymous, unknown, restricted, …"),
    Setting("KARAR_TARGETS", "", "targets file (TOML) where a command is given none"),
    Setting("KARAR_BROKER", "", f"host:port of your Kafka; without it {LOCAL_BROKER}, and demo and tests start their own"),
    Setting("KARAR_BROKER_SECURITY", "plaintext", f"how it is talked to: {', '.join(PROTOCOLS)}"),
    Setting("KARAR_BROKER_CA", "", "PEM file of the CA that its certificate is from; without it those that the system trusts"),
    Setting("KARAR_BROKER_CERTIFICATE", "", "PEM file of the certificate that we show it, where it asks for one"),
    Setting("KARAR_BROKER_KEY", "", "PEM file of the key of that certificate"),
    Setting("KARAR_BROKER_SASL", "", f"how we sign in with sasl_…: {', '.join(MECHANISMS)}; without it the first"),
    Setting("KARAR_BROKER_USER", "", "as whom we sign in"),
    Setting("KARAR_BROKER_PASSWORD", "", "the password of that user", secret=True),
    Setting("KARAR_CACHE", "", "folder that keeps the Kafka they fetch; without it karar in XDG_CACHE_HOME or ~/.cache"),
    Setting("KARAR_MAVEN_REPOSITORY", "", "Maven repository that they fetch it from; without it Maven Central, as jgo knows it"),
    Setting("KARAR_PREFIX", "karar", "first part of the name of every topic, consumer group and transactional id"),
    Setting("KARAR_PARTITIONS", "8", "partitions of each topic that is counted: so many workers at most; cannot be changed later"),
    Setting("KARAR_REPLICATION", "1", "copies of each topic that `karar topics` creates; 3 in production"),
    Setting("KARAR_ADAPTERS", "", "formats of topics that are not events: karar.calls=asterisk-queue-log,other.topic=events"),
    Setting("KARAR_CLOCK", "wall", "what now is: wall, event (each partition's newest event's time), or an instant that stays"),
    Setting("KARAR_KEPT_DAYS", "90", "how long a closed chain is kept for what comes late"),
    Setting("KARAR_WEB_HOST", "0.0.0.0", "address that a worker's web server listens at"),  # noqa: S104 - what is private answers locally
    Setting("KARAR_WEB_PORT", "6066", "port of a worker's web server; 0 is any that is free"),
    Setting("KARAR_WEB_TOKEN", "", "opens a worker's chains to other machines: Authorization: Bearer …", secret=True),
    Setting("KARAR_SERIES_BIRTH_SECONDS", "30", "how long a new series is served as 0 before it rises, for Prometheus to see it"),
    Setting("KARAR_SESSION_SECONDS", "10", "how long Kafka waits for a silent worker before others take over its shards"),
    Setting("KARAR_BALANCE_SECONDS", "600", "how often the trial balance runs in the background; 0 is never"),
    Setting(
        "KARAR_ALERTMANAGER",
        "",
        "Alertmanagers, comma-separated, that are told at once of chains with too many transfers",
    ),
    Setting("KARAR_LOG", "", "console or json; without it console on a terminal, else json"),
    Setting("KARAR_LOG_LEVEL", "info", "debug, info, warning or error"),
)
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
OURS: Final = "KARAR_"
OF_TESTS: Final = frozenset({"KARAR_REWRITE_JOURNEYS", "KARAR_SHARED", "KARAR_SHUFFLES", "KARAR_TEST_DRAWN", "KARAR_TEST_SEED"})
INJECTED: Final = re.compile(
    r"KARAR_(?:\w+_)?(?:SERVICE_HOST=.*|SERVICE_PORT(?:_\w+)?=\d+|PORT(?:_\d+_(?:TCP|UDP|SCTP))?=(?:tcp|udp|sctp)://.*"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)=.*)"
)
"""What Kubernetes puts into the environment of whoever runs beside a service named karar or karar-…: NAME=value."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that a worker is told by its environment, checked. ``clock`` is wall, event, or an instant in ms."""

    pepper: str = "karar"
    blocked: frozenset[str] = frozenset()
    targets: str = ""
    broker: str = LOCAL_BROKER
    security: Security = PLAINTEXT
    prefix: str = "karar"
    partitions: int = 8
    replication: int = 1
    adapters: dict[str, str] = {}
    clock: Clock = "wall"
    kept_days: int = 90
    web_host: str = "0.0.0.0"  # noqa: S104 - what is private answers only locally
    web_port: int = 6066
    web_token: str = ""
    birth_seconds: float = 30.0
    session_seconds: float = 10.0
    balance_seconds: float = 600.0
    alertmanagers: tuple[str, ...] = ()
    log: LogFormat = ""
    log_level: LogLevel = "info"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings of an environment. ValueError: one line with the variable, what is wrong with it, and an example."""
        return cls(
            pepper=value(environment, "KARAR_PEPPER"),
            blocked=frozenset(x.strip().lower() for x in value(environment, "KARAR_BLOCKED").split(",")) - {""},
            targets=value(environment, "KARAR_TARGETS"),
            broker=addresses(environment, "KARAR_BROKER"),
            security=secured(environment, one_of),
            prefix=topic_name(value(environment, "KARAR_PREFIX"), "KARAR_PREFIX", "karar", LONGEST_PREFIX),
            partitions=whole(environment, "KARAR_PARTITIONS", 1, 1024),
            replication=whole(environment, "KARAR_REPLICATION", 1, 32),
            adapters=adapters(environment, "KARAR_ADAPTERS"),
            clock=clock(environment, "KARAR_CLOCK"),
            kept_days=whole(environment, "KARAR_KEPT_DAYS", 1, 3650),
            web_host=value(environment, "KARAR_WEB_HOST"),
            web_port=whole(environment, "KARAR_WEB_PORT", 0, HIGHEST_PORT),
            web_token=value(environment, "KARAR_WEB_TOKEN"),
            birth_seconds=seconds(environment, "KARAR_SERIES_BIRTH_SECONDS", 0, 3600),
            session_seconds=seconds(environment, "KARAR_SESSION_SECONDS", 3, 300),
            balance_seconds=seconds(environment, "KARAR_BALANCE_SECONDS", 0, 86_400),
            alertmanagers=sites(environment, "KARAR_ALERTMANAGER"),
            log=cast("LogFormat", one_of(environment, "KARAR_LOG", "console", "json")),
            log_level=cast("LogLevel", one_of(environment, "KARAR_LOG_LEVEL", "debug", "info", "warning", "error")),
        )

    def topic(self, name: str) -> str:
        """The whole name of a topic of Karar's, such as `calls`."""
        return f"{self.prefix}.{name}"

    def format_of(self, topic: str) -> str:
        """The format in which a topic is read."""
        return self.adapters.get(topic, "events")

    def __repr__(self) -> str:
        """Settings hold secrets, and what is printed ends in logs."""
        return "Settings(…)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        """What rich shows instead, which msgspec would make of everything."""
        return []


def value(environment: Mapping[str, str], name: str) -> str:
    """A setting's value: from the environment, else its default."""
    return environment.get(name, "").strip() or BY_NAME[name].default


def rows(environment: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Every setting as (name, value, source, meaning), secrets masked."""
    table = []
    for setting in SETTINGS:
        given = value(environment, setting.name)
        source = "environment" if environment.get(setting.name, "").strip() else "default"
        table.append((setting.name, MASK if setting.secret and given else shown(given), source, setting.meaning))
    return table


def unknown(environment: Mapping[str, str]) -> Iterator[str]:
    """One line for each variable that begins like a setting and is none, with the setting that may have been meant."""
    names = [setting.name.removeprefix(OURS) for setting in SETTINGS]
    for name in sorted(name for name in environment if name.startswith(OURS)):
        if name in BY_NAME or name in OF_TESTS or INJECTED.fullmatch(f"{name}={environment[name]}"):
            continue
        # Without what all names begin with: else any two of them would be near each other.
        meant = get_close_matches(name.removeprefix(OURS), names, 1)
        yield f"{name}: there is no such setting; {f'{OURS}{meant[0]}?' if meant else '`karar settings` prints all'}"


def shown(address: str) -> str:
    """Addresses as they may be told: without user and password, where one has put them there."""
    return SIGNED_IN.sub(f"{MASK}@", address)


def instant_of(text: str, where: str) -> int:
    """An RFC 3339 instant in ms; without an offset it is UTC. ValueError: one line."""
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: {text!r} is not an instant such as 2026-01-31T09:00:00Z") from None


def clock(environment: Mapping[str, str], name: str) -> Clock:
    """What now is: `wall`, `event`, or an instant in ms. ValueError: one line."""
    given = value(environment, name)
    if given in {"wall", "event"}:
        return cast("Clock", given)
    try:
        return instant_of(given, name)
    except ValueError:
        raise ValueError(f"{name}: {given!r} is neither wall nor event nor an instant such as 2026-01-31T09:00:00Z") from None


def whole(environment: Mapping[str, str], name: str, least: int, most: int) -> int:
    """A whole number within bounds. ValueError: one line."""
    given = value(environment, name)
    if given.isascii() and given.isdecimal() and least <= int(given[:20]) <= most:
        return int(given)
    raise ValueError(f"{name}: {given!r} is no whole number from {least} to {most}, such as {BY_NAME[name].default}")


def seconds(environment: Mapping[str, str], name: str, least: int, most: int) -> float:
    """A number of seconds within bounds. ValueError: one line."""
    given = value(environment, name)
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise ValueError(f"{name}: {given!r} is no number of seconds from {least} to {most}, such as {BY_NAME[name].default}")
    return number


def one_of(environment: Mapping[str, str], name: str, *known: str) -> str:
    """One of a few words, or nothing where that is the default. ValueError: one line."""
    given = value(environment, name).lower()
    if given not in {BY_NAME[name].default, *known}:
        raise ValueError(f"{name}: {given!r} does not exist; there are: {', '.join(known)}")
    return given


def addresses(environment: Mapping[str, str], name: str) -> str:
    """One broker's address or several, comma-separated; where `karar broker` listens if there is none. ValueError: one line."""
    given = [address.strip() for address in without_user(environment, name, LOCAL_BROKER).split(",")]
    if given == [""]:
        return LOCAL_BROKER
    for address in given:
        match = ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match[1]) <= HIGHEST_PORT:
            raise ValueError(f"{name}: {address!r} is no host:port such as {LOCAL_BROKER}")
    return ",".join(given)


def without_user(environment: Mapping[str, str], name: str, example: str) -> str:
    """Addresses that name nobody who signs in, because they are logged. ValueError: one line, without them."""
    given = value(environment, name)
    if "@" in given:
        raise ValueError(f"{name}: has a user in it, and logs would tell the password; leave both out, as in {example}")
    return given


def mirror(environment: Mapping[str, str]) -> str:
    """The Maven repository that is named, nothing where none is. ValueError: one line."""
    return without_user(environment, "KARAR_MAVEN_REPOSITORY", "https://maven.example/maven2")


def topic_name(given: str, where: str, example: str, longest: int = LONGEST_TOPIC) -> str:
    """A name that Kafka takes for a topic. ValueError: one line."""
    if TOPIC.fullmatch(given) is None or len(given) > longest or given in {".", ".."}:
        raise ValueError(
            f"{where}: {given[:LONGEST_TOPIC]!r} is no name for a topic: at most {longest} letters, digits, dots, hyphens and "
            f"underscores, such as {example}"
        )
    return given


def sites(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Addresses of web servers, none at all where nothing is set. ValueError: one line."""
    text = without_user(environment, name, "http://alertmanager:9093")
    given = [address.strip().rstrip("/") for address in text.split(",") if address.strip()]
    for address in given:
        if not is_site(address):
            raise ValueError(f"{name}: {address!r} is no address such as http://alertmanager:9093")
        if "/api/" in f"{urlsplit(address).path}/":
            raise ValueError(f"{name}: {address!r} has the path of an API; leave it out, as in http://alertmanager:9093")
    return tuple(given)


def is_site(address: str) -> bool:
    """Whether an address leads to a web server: http or https, a host, and a port that there can be."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and not parts.query and not parts.fragment


def adapters(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """Formats by topic: `topic=format,…`. ValueError: one line."""
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, value(environment, name).split(","))):
        given, equals, format_ = map(str.strip, pair.partition("="))
        if not equals:
            raise ValueError(f"{name}: {pair!r} is no topic=format such as karar.calls=asterisk-queue-log")
        topic_name(given, name, "karar.calls")
        if format_ not in STREAMED:
            problem = "is still to come" if format_ in COMING else "cannot be read from a topic" if format_ in FORMATS else "does not exist"
            raise ValueError(f"{name}: {given}: format {format_} {problem}; there are: {', '.join(STREAMED)}")
        if found.setdefault(given, format_) != format_:
            raise ValueError(f"{name}: {given} has two formats, {found[given]} and {format_}; leave one, as in karar.calls=events")
    return found
