"""What a command or a worker is given besides data: what is expected, and how identifiers become keys."""

from pathlib import Path

from streams.core.identity import BLOCKED, Identity
from streams.core.targets import Rules, parse
from streams.settings import Settings


def rules_of(path: Path | None) -> Rules:
    """The rules of a targets file; the defaults without one. ValueError: one line that names the file."""
    if path is None:
        return Rules()
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def settled_rules(settings: Settings) -> Rules:
    """The rules of a worker."""
    return rules_of(Path(settings.targets) if settings.targets else None)


def identity_of(settings: Settings) -> Identity:
    """How identifiers become keys, from the settings."""
    return Identity(blocked=BLOCKED | settings.blocked, pepper=settings.pepper.encode())
