"""Settings from the environment: one table, printed by `karar settings`."""

from collections.abc import Mapping
from typing import Final, NamedTuple

MASK: Final = "********"


class Setting(NamedTuple):
    """One setting. A secret is never printed."""

    name: str
    default: str
    meaning: str
    secret: bool = False


SETTINGS: Final = (
    Setting("KARAR_PEPPER", "karar", "key of the pseudonyms (HMAC-SHA-256) that customers' identifiers become: set your own", secret=True),
    Setting("KARAR_BLOCKED", "", "identifier values that identify nobody, comma-separated, besides anonymous, unknown, restricted, …"),
    Setting("KARAR_TARGETS", "", "targets file (TOML) where a command is given none"),
    Setting("KARAR_BROKER", "", "host:port of your Kafka; without it the demo and the tests start their own"),
    Setting("KARAR_CACHE", "", "folder that keeps the Kafka they fetch; without it karar in XDG_CACHE_HOME or ~/.cache"),
    Setting("KARAR_MAVEN_REPOSITORY", "", "Maven repository that they fetch it from; without it Maven Central, as jgo knows it"),
)
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def value(environment: Mapping[str, str], name: str) -> str:
    """A setting's value: from the environment, else its default."""
    return environment.get(name) or BY_NAME[name].default


def rows(environment: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Every setting as (name, value, source, meaning), secrets masked."""
    table = []
    for setting in SETTINGS:
        given = environment.get(setting.name)
        shown = given or setting.default
        table.append((setting.name, MASK if setting.secret and shown else shown, "environment" if given else "default", setting.meaning))
    return table
