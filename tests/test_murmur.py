"""Partitions by key: as Kafka's Java client has them, to the last bit."""

from typing import Final

import pytest
from aiokafka.partitioner import murmur2 as client_murmur2
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.murmur import HASHES, MEMO, murmur2, partition_of

JAVA: Final = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}
"""The first six are the vectors of Kafka's own test, `UtilsTest.testMurmur2`."""


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_a_key_is_hashed_as_kafka_hashes_it(key: bytes, hashed: int) -> None:
    """Outputs go by Java-compatible murmur2 to the partition of their key."""
    assert murmur2(key) == hashed % (1 << 32)


def obvious(key: bytes) -> int:
    """The hash byte by byte, as it is published."""
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        k = (key[start] | key[start + 1] << 8 | key[start + 2] << 16 | key[start + 3] << 24) * 0x5BD1E995 % (1 << 32)
        k = (k ^ (k >> 24)) * 0x5BD1E995 % (1 << 32)
        h = h * 0x5BD1E995 % (1 << 32) ^ k
    for shift, byte in reversed(list(enumerate(key[whole:]))):
        h ^= byte << 8 * shift
    if key[whole:]:
        h = h * 0x5BD1E995 % (1 << 32)
    h = (h ^ (h >> 13)) * 0x5BD1E995 % (1 << 32)
    return h ^ (h >> 15)


@given(st.binary(max_size=40))
def test_the_quick_hash_is_the_obvious_one(key: bytes) -> None:
    """Words at a time or byte by byte: the same."""
    assert murmur2(key) == obvious(key)


@given(st.binary(max_size=40))
def test_the_quick_hash_is_the_clients(key: bytes) -> None:
    """Publishers that use the same client as we do send to where we look."""
    assert murmur2(key) == client_murmur2(key) % (1 << 32)


@given(st.text(max_size=40), st.integers(1, 64))
def test_a_text_belongs_where_its_bytes_do(name: str, partitions: int) -> None:
    """The sign does not count; UTF-8 is what publishers send."""
    assert partition_of(name, partitions) == partition_of(name.encode(), partitions) == (murmur2(name.encode()) % (1 << 31)) % partitions


def test_what_is_remembered_is_bounded() -> None:
    """However many keys come."""
    for number in range(MEMO + 10):
        partition_of(b"key %d" % number, 8)

    assert len(HASHES) <= MEMO
    assert partition_of(b"key 3", 8) == murmur2(b"key 3") % (1 << 31) % 8
