"""Which partition a key belongs to: murmur2 as Kafka's Java client has it, so that we and every publisher who keeps to it agree.

Source: Apache Kafka, `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey`.
"""

from struct import unpack_from
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

SEED: Final = 0x9747B28C
FACTOR: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF
POSITIVE: Final = 0x7FFFFFFF
MEMO: Final = 1 << 16
HASHES: Final[dict[bytes, int]] = {}
"""Hashes of keys, without their sign: a key comes again, and to hash it takes several times as long as to find it."""


def murmur2(key: bytes) -> int:
    """The hash of a key, 32 bits without sign."""
    length = len(key)
    h: i64 = SEED ^ length
    word: i64  # of the machine, where this is compiled: no product has more than 63 bits
    for word in unpack_from(f"<{length // 4}I", key):
        k: i64 = word * FACTOR & MASK
        h = (h * FACTOR & MASK) ^ ((k ^ k >> 24) * FACTOR & MASK)
    if rest := length % 4:
        h = (h ^ int.from_bytes(key[length - rest :], "little")) * FACTOR & MASK
    h = (h ^ h >> 13) * FACTOR & MASK
    return h ^ h >> 15


def partition_of(key: bytes | str, partitions: int) -> int:
    """The partition that a key (a text: its UTF-8) belongs to."""
    given = key.encode() if isinstance(key, str) else key
    known = HASHES.get(given)
    if known is None:
        if len(HASHES) >= MEMO:
            HASHES.clear()
        known = HASHES[given] = murmur2(given) & POSITIVE
    return known % partitions
