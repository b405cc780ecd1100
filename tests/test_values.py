"""Values by key, most of them compressed on pages: a dictionary, whatever is put where."""

from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import values as values_module
from streams.engine.values import SIZES, Sizes, Values

KEYS = st.integers(0, 60).map(lambda n: b"key %d" % n)
VALUES = st.none() | st.binary(max_size=40) | st.integers(0, 255).map(lambda n: bytes([n]) * 90)
Rows = list[tuple[bytes, bytes | None]]


SMALL: Final = Sizes(young=8, settled=4, loaded=16, paged=3, large=60)
"""Few are young, pages are small, and what is large begins early: each case meets all of it."""


def check(values: Values, expected: dict[bytes, bytes]) -> None:
    """All that can be asked."""
    assert dict(values.items()) == expected
    assert sorted(values) == sorted(expected)
    assert len(values) == len(expected)
    for key in expected | {b"key %d" % n: b"" for n in range(61)}:
        assert values.get(key) == expected.get(key)
    some = [hash(key) for key in list(expected)[::3]]
    assert dict(values.hashed(some)) == dict(list(expected.items())[::3])
    assert values.old.keys == sum(1 for _ in values.old.items())
    assert {hash(key): key for key in values.young} == values.by_hash


@given(st.lists(st.tuples(KEYS, VALUES), max_size=120), st.lists(st.tuples(KEYS, VALUES), max_size=120))
def test_it_is_a_dictionary(loaded: Rows, put: Rows) -> None:
    """First a changelog with what it says twice and takes back, then what steps return."""
    values, expected = Values(SMALL), dict[bytes, bytes]()
    for key, value in loaded:
        values.load(key, value)
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
    values.loaded()
    check(values, expected)
    for number, (key, value) in enumerate(put):
        values.put(key, values.get(key), value)
        expected.pop(key, None)
        if value is not None:
            expected[key] = value
        if number % 20 == 0:
            check(values, expected)
    check(values, expected)


def test_keys_may_have_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two young ones do, and all are found by it."""
    monkeypatch.setattr(values_module, "hash", len, raising=False)
    alike = (
        [1, 2] if str(values_module.__file__).endswith(".py") else map(hash, (b"0", b"1", b"2", b"10", b"11", b"12"))
    )  # compiled: not patched
    hashes = set(alike)
    values, expected = Values(SMALL), dict[bytes, bytes]()
    for n in (0, 10, 1, 11, 2, 12, 0, 10, 1):
        values.put(b"%d" % n, values.get(b"%d" % n), expected.setdefault(b"%d" % n, b"of %d" % n))
        assert dict(values.items()) == expected
        assert len(values) == len(expected)
        assert dict(values.hashed(hashes)) == expected
        assert len(values.young) == len(values.by_hash)


def test_a_copy_stays_as_it_was() -> None:
    """While the other one goes on, over pages that split, and the other way round."""
    random = Random(3)
    values = Values(SMALL)
    for n in range(100):
        values.put(b"%d" % n, None, b"x" * random.choice((5, 100)))
    there, before = values.copy(), dict(values.items())
    for n in range(300):
        values.put(b"%d" % n, values.get(b"%d" % n), b"y" * random.choice((5, 100)) if n % 3 else None)

    assert dict(there.items()) == before
    assert len(there) == 100
    there.put(b"mine", None, b"z")
    assert values.get(b"mine") is None


def test_who_is_asked_for_lately_is_not_looked_up_on_a_page() -> None:
    """The same object comes back as was put: who remembers what it said knows it again."""
    values = Values(SMALL)
    for n in range(100):
        values.put(b"%d" % n, None, b"%d" % n)
    value = b"new"
    values.put(b"0", values.get(b"0"), value)

    assert values.get(b"0") is value


def test_a_shard_that_is_small_has_no_pages() -> None:
    """Nor where it has been read from its changelog; one that is not has as many as it takes."""
    values = Values()
    young = SIZES.young
    for n in range(young):
        values.load(b"%d" % n, b"x" * 200)
    values.loaded()
    assert (len(values.young), values.old.keys) == (young, 0)
    for n in range(young, 3 * young):
        values.put(b"%d" % n, None, b"x" * 200)

    assert young <= len(values.young) < young + SIZES.settled
    assert len(values.old.pages) == pytest.approx(values.old.keys / SIZES.paged, abs=1)
    assert sum(map(len, values.old.pages)) < values.old.keys * 200 / 2
