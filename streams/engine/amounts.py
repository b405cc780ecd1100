"""What the ledger keeps of one slot of one series, as the changelog has it."""

from typing import Final

from msgspec import Struct, msgpack


class Amounts(Struct, array_like=True):
    """One slot of one series. Net is total − retracted; ``archived`` is the part that no live chain carries any more."""

    total: int = 0
    retracted: int = 0
    archived: int = 0
    shown: bool = False

    @property
    def net(self) -> int:
        """What is true now."""
        return self.total - self.retracted


AMOUNTS: Final = msgpack.Decoder(Amounts)
ENCODE: Final = msgpack.Encoder().encode
