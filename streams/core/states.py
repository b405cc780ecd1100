"""What the steps keep, encoded, between two records of a key: MessagePack arrays, private to Karar.

They are apart from the steps because those can be compiled, and what msgspec makes of a class it makes at run time.
"""

from typing import Final

from msgspec import Raw, Struct, msgpack

from schemas.events import AnyEvent
from schemas.records import Interaction


class Assembled(Struct, array_like=True, gc=False):
    """One interaction's event set and what was last said of it; what comes from ``until`` on is too late."""

    version: int
    sent_to: str
    digest: bytes
    until: int
    events: list[AnyEvent]


class Sent(Struct, array_like=True, gc=False):
    """The beginning of `Assembled`: to whom the interaction was sent, empty where to nobody."""

    version: int
    sent_to: str


class Marker(Struct, array_like=True, frozen=True):
    """What stays of an archived chain, so that what comes after it is too late and never a new chain."""

    case_id: str
    start: int
    activity: int
    interactions: tuple[str, ...]
    until: int


class Refused(Struct, array_like=True, frozen=True):
    """An interaction that came for an archived chain: counted once, however often it comes, as long as *assemble* may send it."""

    interaction: str
    version: int
    until: int


class Past(Struct, array_like=True, gc=False):
    """A closed chain that was put by (`streams.core.past`). ``keys``: of its interactions; ``linked``: to what these are linked.

    ``records``: its interactions without their keys, encoded as a list; who does not ask for them does not pay for them.
    """

    start: int
    activity: int
    case_id: str
    keys: list[str]
    linked: list[str]
    records: Raw = Raw()


class Customer(Struct, array_like=True, gc=False):
    """One customer's interactions, and the instant their facts were last booked at. ``past``: closed chains, put by."""

    as_of: int
    records: list[Interaction]
    markers: list[Marker] = []
    refused: list[Refused] = []
    past: list[Past] = []


ASSEMBLED: Final = msgpack.Decoder(Assembled)
BEGINNING: Final = msgpack.Decoder(Sent)
CUSTOMER: Final = msgpack.Decoder(Customer)
INTERACTIONS: Final = msgpack.Decoder(list[Interaction])
ENCODE: Final = msgpack.Encoder().encode
