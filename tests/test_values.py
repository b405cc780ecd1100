"""Values by key, most of them compressed on pages: a dictionary, whatever is put where."""

from random import Random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import pages as pages_module
from streams.engine import places as places_module
from streams.engine import values as values_module
from streams.engine.pages import MOST, Pages
from streams.engine.places import Places
from streams.engine.values import SETTLED, SETTLED_BYTES, YOUNG, Values

KEYS = st.integers(0, 60).map(lambda n: b"key %d" % n)
VALUES = st.none() | st.binary(max_size=40) | st.integers(0, 255).map(lambda n: bytes([n]) * 90)
ROWS = st.lists(st.tuples(KEYS, VALUES), max_size=120)
MANY = st.lists(st.tuples(KEYS, VALUES), min_size=40, max_size=120)
READS = st.sampled_from(((12, 12), (16, 8), (160, 10)))
"""Keys of a changelog that are kept, and how many go to pages together."""
Rows = list[tuple[bytes, bytes | None]]


def small(most: int = 3, read: tuple[int, int] = (16, 8)) -> Values:
    """Few are young, pages are small, and what is large begins early: each case meets all of it."""
    return Values(8, 4, Pages(most, large=60), read)


def loaded_with(values: Values, rows: Rows) -> dict[bytes, bytes]:
    """Reads a changelog; what it comes to."""
    expected = dict[bytes, bytes]()
    for key, value in rows:
        values.load(key, value)
        note(expected, key, value)
    values.loaded()
    return expected


def note(expected: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    """A key has another value, or none."""
    expected.pop(key, None)
    if value is not None:
        expected[key] = value


def check(values: Values, expected: dict[bytes, bytes]) -> None:
    """All that can be asked."""
    assert dict(values.items()) == expected
    assert sorted(values) == sorted(expected)
    assert len(values) == len(expected)
    for key in expected | {b"key %d" % n: b"" for n in range(61)}:
        assert values.get(key) == expected.get(key)
    some = [hash(key) for key in list(expected)[::3]]
    assert dict(values.hashed(some)) == dict(list(expected.items())[::3])
    assert len(values.old) == sum(1 for _ in values.old.items()) == sum(there.bit_count() for there in values.old.there)
    assert {hash(key): key for key in values.young} == values.by_hash
    assert {number for number, there in enumerate(values.old.there) if not there} == set(values.old.free)


@given(ROWS, ROWS)
def test_a_changelog_may_be_read_into_values_that_are_not_empty(before: Rows, rows: Rows) -> None:
    """What is young, or on a page already, has the newer value then."""
    values, expected = small(), dict[bytes, bytes]()
    for key, value in before:
        values.put(key, values.get(key), value)
        note(expected, key, value)
    for key, value in rows:
        values.load(key, value)
        note(expected, key, value)
    values.loaded()

    check(values, expected)
    assert dict(values.items()) == expected


@given(MANY, ROWS, st.sampled_from((3, MOST)), READS)
def test_it_is_a_dictionary(loaded: Rows, put: Rows, most: int, read: tuple[int, int]) -> None:
    """First a changelog with what it says twice and takes back, then what steps return."""
    values = small(most, read)
    expected = loaded_with(values, loaded)
    check(values, expected)
    for number, (key, value) in enumerate(put):
        values.put(key, values.get(key), value)
        note(expected, key, value)
        if number % 20 == 0:
            check(values, expected)
    check(values, expected)
    assert len(values) == len(expected)


def is_source(module: ModuleType) -> bool:
    """Whether it can be patched: not where it is compiled."""
    return str(module.__file__).endswith(".py")


def test_keys_may_have_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two young ones do, and all are found by it."""
    for module in (values_module, pages_module):
        monkeypatch.setattr(module, "hash", len, raising=False)
    alike = [1, 2] if is_source(values_module) else map(hash, (b"0", b"1", b"2", b"10", b"11", b"12"))
    hashes = set(alike)
    values, expected = small(), dict[bytes, bytes]()
    for n in (0, 10, 1, 11, 2, 12, 0, 10, 1):
        values.put(b"%d" % n, values.get(b"%d" % n), expected.setdefault(b"%d" % n, b"of %d" % n))
        assert dict(values.items()) == expected
        assert len(values) == len(expected)
        assert dict(values.hashed(hashes)) == expected
        assert len(values.young) == len(values.by_hash)


def alike(key: bytes) -> int:
    """A hash of six, of which the lower halves are one of three."""
    return (sum(key) % 2 << 32) - sum(key) % 3


@given(MANY, ROWS, READS)
def test_it_is_a_dictionary_whatever_the_hashes(loaded: Rows, put: Rows, read: tuple[int, int]) -> None:
    """Many keys have each of six, of which three halves are alike: which one is meant is read on the page."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for module in (values_module, pages_module):
            monkeypatch.setattr(module, "hash", alike, raising=False)
        values = small(read=read)
        expected = loaded_with(values, loaded)
        for key, value in put:
            values.put(key, values.get(key), value)
            note(expected, key, value)
        assert dict(values.items()) == expected
        assert len(values) == len(expected)
        assert {key: values.get(key) for key in expected} == expected
        hashed = alike if is_source(pages_module) else hash
        for one in set(map(hashed, expected)):
            assert dict(values.hashed([one])) == {key: value for key, value in expected.items() if hashed(key) == one}


@given(st.lists(st.tuples(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 40), st.booleans()), max_size=400))
def test_places_are_found_by_hash(changes: list[tuple[int, bool]]) -> None:
    """Over buckets that split: all that were put there and not removed, and nothing else of another half."""
    places, expected = Places(), dict[int, list[int]]()
    for number, (hashed, removed) in enumerate(changes):
        there = expected.setdefault(hashed & places_module.PART, [])
        if removed and there:
            places.remove(hashed, there.pop(0))
        else:
            places.add(hashed, number)
            there.append(number)
    assert places.count == sum(map(len, expected.values()))
    assert {part: sorted(places.of(part)) for part in expected} == {part: sorted(there) for part, there in expected.items()}
    assert len(places.buckets) >= places.count / places_module.FULL


def test_a_page_is_given_up_when_most_of_it_has_gone() -> None:
    """However long keys come and go, pages hold no more than twice what is there; and none is given up before."""
    random = Random(4)
    values, names = Values(8, 16, Pages()), [b"%d" % n for n in range(400)]
    for _ in range(20_000):
        key = random.choice(names)
        values.put(key, values.get(key), random.randbytes(20) if random.random() < 0.9 else None)

    full = [there.bit_count() for there in values.old.there if there]
    assert len(full) <= len(values.old) / (MOST / 2) + 1
    assert len(values.old.pages) < 2 * len(full)
    assert {4, 5, 6, 7, 8} <= set(full)


def test_small_values_do_not_keep_large_ones_that_have_gone() -> None:
    """Who comes back with much is not on a page with many who never do."""
    random = Random(5)
    values = Values(200, 64, Pages())
    for n in range(8_000):
        values.put(b"once %d" % n, None, random.randbytes(100))
        key = b"again %d" % random.randrange(400)
        values.put(key, values.get(key), random.randbytes(4_000))

    held, needed = sum(map(len, values.old.pages)), sum(len(key) + len(value) for key, value in values.old.items())
    assert held < 2 * needed


def test_a_large_value_has_a_page_of_its_own() -> None:
    """Who asks for a neighbour does not read it."""
    pages = Pages(large=60)
    pages.add([(b"a", b"x" * 61), (b"b", b"y" * 60), (b"c", b"z"), (b"d", b"w" * 62)])

    assert sorted(pages.read(number)[::2] for number in range(len(pages.pages))) == [[b"a"], [b"c", b"b"], [b"d"]]


def test_few_large_values_settle_at_a_time() -> None:
    """What settles together is bounded in bytes, too."""
    values = Values(8, 100, Pages())
    for n in range(108):
        values.put(b"%d" % n, None, bytes(SETTLED_BYTES // 4))

    assert len(values.old) == 5


def test_a_copy_stays_as_it_was() -> None:
    """While the other one goes on, over pages that are given up and buckets that split, and the other way round."""
    random = Random(3)
    values = small()
    for n in range(100):
        values.put(b"%d" % n, None, b"x" * random.choice((5, 100)))
    there, before = values.copy(), dict(values.items())
    for n in range(300):
        values.put(b"%d" % n, values.get(b"%d" % n), b"y" * random.choice((5, 100)) if n % 3 else None)
    after = dict(values.items())

    def both() -> None:
        for one, expected in ((there, before), (values, after)):
            assert dict(one.items()) == expected
            assert {key: one.get(key) for key in expected} == expected
            assert dict(one.hashed(map(hash, expected))) == expected
            assert len(one) == len(expected)

    both()
    assert len(there) == 100
    there.put(b"mine", None, b"z")
    assert values.get(b"mine") is None
    for n in range(0, 300, 2):
        there.put(b"%d" % n, there.get(b"%d" % n), None)
        there.put(b"mine %d" % n, None, b"z")
    before = dict(there.items())
    both()


def test_the_last_of_a_changelog_are_young() -> None:
    """Where there are more than may be young; whoever came again is among them, and nobody is there twice."""
    values = small(read=(16, 1))
    for n in [*range(100), 3, 5]:
        values.load(b"%d" % n, b"%d" % n)
    values.loaded()

    assert list(values.young) == [b"%d" % n for n in (94, 95, 96, 97, 98, 99, 3, 5)]
    assert len(values) == 100


def test_who_is_asked_for_lately_is_not_looked_up_on_a_page() -> None:
    """The same object comes back as was put: who remembers what it said knows it again."""
    values = small()
    for n in range(100):
        values.put(b"%d" % n, None, b"%d" % n)
    value = b"new"
    values.put(b"0", values.get(b"0"), value)

    assert values.get(b"0") is value


def test_a_shard_that_is_small_has_no_pages() -> None:
    """Nor where it has been read from its changelog; one that is not has as many as it takes."""
    values = Values()
    young = YOUNG
    for n in range(young):
        values.load(b"%d" % n, b"x" * 200)
    values.loaded()

    assert (len(values.young), len(values.old)) == (young, 0)

    for n in range(young, 3 * young):
        values.put(b"%d" % n, None, b"x" * 200)

    assert young <= len(values.young) < young + SETTLED
    assert len(values.old.pages) == pytest.approx(len(values.old) / MOST, abs=1)
    assert sum(map(len, values.old.pages)) < len(values.old) * 200 / 2
