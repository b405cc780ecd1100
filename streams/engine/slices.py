"""What travels from the transport to a shard: the records of one fetch, with the consumer's positions around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streams.engine.stage import Record

LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Slice:
    """At most `LONGEST` records of one topic partition.

    ``start`` is the consumer's own position before them and ``end`` the one behind: whatever was lost on the way shows as a start
    beyond what the shard has applied. A slice without records moves over markers and aborted records.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[Record]
