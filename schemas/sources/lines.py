"""What every source has in common: a stream of lines, read in bounded memory, each line decoded or refused."""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, Protocol

from msgspec import Struct

from schemas.codec import Decoded, Rejected

LONGEST_LINE: Final = 1 << 20
KEPT_OF_TOO_LONG: Final = 4096

Headers = Iterable[tuple[str, bytes | None]]


class Read(Struct, frozen=True, kw_only=True):
    """One record of a file: its 1-based line number, its bytes without the end of line, and what it says.

    Of a line that is too long, `raw` is the beginning.
    """

    number: int
    raw: bytes
    decoded: list[Decoded]


class Source(Protocol):
    """One publisher's format: bytes in, canonical events out; bad data is an outcome, never an exception."""

    @property
    def name(self) -> str:
        """The format's name, as in `--format`."""

    @property
    def remembers(self) -> int:
        """How many records before it the reading of a record depends on: who begins in the middle reads so many again first."""

    def decode(self, raw: bytes | None, number: int, headers: Headers = ()) -> list[Decoded]:
        """One record; `number` is its place in the file or partition. Blank: nothing; None (a tombstone): ignored."""

    def read(self, stream: BinaryIO) -> Iterator[Read]:
        """Every record of a stream that is not blank, in order, in bounded memory."""


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Every line as (1-based number, bytes without the end of line, whole); not whole: longer than 1 MiB, only its beginning."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
            yield number, line.rstrip(b"\r\n"), True
            continue
        yield number, line[:KEPT_OF_TOO_LONG], False
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)


def read_lines(stream: BinaryIO, decode: Callable[[bytes, int], list[Decoded]]) -> Iterator[Read]:
    """Decodes a stream line by line; blank lines are skipped, lines over 1 MiB refused as `too_long`."""
    for number, raw, whole in lines(stream):
        if raw and not raw.isspace():
            yield Read(number=number, raw=raw, decoded=decode(raw, number) if whole else [too_long()])


def too_long() -> Rejected:
    """The refusal of a line over the limit."""
    return Rejected("too_long", f"a line of more than {LONGEST_LINE} bytes")
