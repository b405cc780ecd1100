"""Who the customer is: identifiers by kind, blocked values, the key of a chain, pseudonyms (DESIGN.md, Events: identity)."""

import hmac
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

STRONGEST_FIRST: Final = ("customer", "account", "email", "phone", "device")
BLOCKED: Final = frozenset({"", "anonymous", "unknown", "restricted", "<unknown>", "unavailable", "private"})
UNIT: Final = "\x1f"
ESCAPE: Final = "\x1e"
MEMO: Final = 100_000


def interaction_key(source: str, interaction_id: str) -> str:
    """The identity of an interaction: its id is the publisher's, so the source belongs to it."""
    return f"{escaped(source)}{UNIT}{interaction_id}"


def escaped(name: str) -> str:
    """A name that can stand before a separator: one that holds the separator itself cannot be taken for two."""
    return name.replace(ESCAPE, f"{ESCAPE}0").replace(UNIT, f"{ESCAPE}1") if ESCAPE in name or UNIT in name else name


def unescaped(name: str) -> str:
    """The name as it was."""
    return name.replace(f"{ESCAPE}1", UNIT).replace(f"{ESCAPE}0", ESCAPE) if ESCAPE in name else name


def readable(key: str) -> str:
    """A key as people read it: source/id."""
    return "/".join([unescaped(part) for part in key.split(UNIT)]) if ESCAPE in key else key.replace(UNIT, "/")


class Identity(Struct, frozen=True):
    """How identifiers become keys: values that identify nobody, and the pepper of the pseudonyms.

    Raw identifiers never travel further than the stage that has this.
    """

    blocked: frozenset[str] = BLOCKED
    pepper: bytes = b"karar"
    memo: dict[tuple[str, str], str] = field(default_factory=dict)

    def is_blocked(self, value: str) -> bool:
        """Whether a value identifies nobody: anonymous, unknown, restricted, empty, configured ones."""
        return value.strip().lower() in self.blocked

    def pseudonym(self, kind: str, value: str) -> str:
        """``kind:`` and 32 hex digits of HMAC-SHA-256 over the identifier."""
        name = self.memo.get((kind, value))
        if name is None:
            if len(self.memo) >= MEMO:
                self.memo.clear()
            digest = hmac.digest(self.pepper, f"{kind}{UNIT}{value.strip()}".encode(), "sha256")
            name = self.memo[kind, value] = f"{kind}:{digest.hex()[:32]}"
        return name

    def customer_key(self, identifiers: Mapping[str, str], case_id: str, key: str) -> str:
        """The key of the chain's customer: the strongest identifier, else the case, else the ticket, else the interaction."""
        for kind in STRONGEST_FIRST:
            if kind in identifiers:
                return self.pseudonym(kind, identifiers[kind])
        source = key.partition(UNIT)[0]
        if case_id:
            return f"case:{source}{UNIT}{case_id}"
        if "ticket" in identifiers:
            return self.pseudonym("ticket", f"{source}{UNIT}{identifiers['ticket']}")
        return f"interaction:{key}"


def is_known(identifiers: Mapping[str, str]) -> bool:
    """Whether the customer is identified: by anything stronger than a ticket."""
    return not identifiers.keys().isdisjoint(STRONGEST_FIRST)
