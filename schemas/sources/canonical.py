"""Format `events`: canonical events, one JSON object a line, flat or as CloudEvents."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from schemas import codec
from schemas.codec import Decoded
from schemas.sources.lines import Headers, Read, read_lines


class CanonicalEvents:
    """Canonical events as they are: source, id and sequence are the publisher's."""

    name: Final = "events"
    remembers: Final = 0

    def decode(self, raw: bytes | None, number: int, headers: Headers = ()) -> list[Decoded]:  # noqa: ARG002 - a Source's signature
        """As `codec.decode`; a blank line is nothing."""
        return [] if raw is not None and (not raw or raw.isspace()) else codec.decode(raw, headers)

    def read(self, stream: BinaryIO) -> Iterator[Read]:
        """Every line that is not blank."""
        return read_lines(stream, self.decode)
