"""The store: values by key, and which keys are due."""

from collections.abc import Iterable
from itertools import islice
from string import ascii_lowercase

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.pages import Pages
from streams.engine.store import AT_ONCE, MANY, NEVER, Store
from streams.engine.values import Values
from tests.cluster import Stored


def due_of(value: bytes) -> int:
    """A value is its due time in digits, nothing for never."""
    return int(value) if value else NEVER


def load(into: Store, *rows: tuple[bytes, bytes | None]) -> dict[bytes, bytes]:
    """Records of a changelog; returns what was the engine's own among them."""
    own: dict[bytes, bytes] = {}
    into.load([Stored("state", 0, n, 1, key, value) for n, (key, value) in enumerate(rows)], own, set())
    into.loaded()
    return own


def store(**values: bytes) -> Store:
    """A store as it is after a recovery."""
    made = Store(due_of)
    load(made, *[(key.encode(), value) for key, value in values.items()])
    made.index()
    return made


def put(into: Store, key: bytes, value: bytes | None, *, ripe: bool = False) -> None:
    """What a step returned for a key."""
    into.put(key, into.values.get(key), value, due_of(value) if value is not None else NEVER, ripe=ripe)


def ripe(of: Store, now: int) -> list[bytes]:
    """The keys whose time has come."""
    return list(of.ripe(now))


def stepped(of: Store, now: int) -> list[bytes]:
    """The keys whose time has come, each stepped as it is found, and then wanting nothing more."""
    found = []
    for key in of.ripe(now):
        found.append(key)
        put(of, key, b"", ripe=True)
    return found


def test_a_key_is_ripe_at_its_instant_and_not_before() -> None:
    """Before, exactly, after; each once."""
    keys = store(a=b"100")

    assert ripe(keys, 99) == []
    assert ripe(keys, 100) == [b"a"]
    assert ripe(keys, 101) == []


def test_keys_come_in_the_order_of_their_instants() -> None:
    """Whoever is due first is stepped first."""
    assert ripe(store(a=b"300", b=b"100", c=b"200"), 300) == [b"b", b"c", b"a"]


def test_a_key_whose_time_has_moved_on_waits_again() -> None:
    """A record came meanwhile: the index still has the old instant, the value the new one."""
    keys = store(a=b"100")
    put(keys, b"a", b"500")

    assert ripe(keys, 100) == []
    assert keys.next_due() == 500
    assert ripe(keys, 500) == [b"a"]


def test_a_key_whose_time_has_moved_nearer_is_ripe_then() -> None:
    """And not a second time at its old instant."""
    keys = store(a=b"500")
    put(keys, b"a", b"100")

    assert ripe(keys, 100) == [b"a"]
    put(keys, b"a", b"", ripe=True)
    assert ripe(keys, 1_000) == []


def test_a_key_that_was_stepped_waits_for_its_next_instant() -> None:
    """It has left the index when it was found ripe, so its next instant is entered, also a later one."""
    keys = store(a=b"100")
    assert ripe(keys, 100) == [b"a"]
    put(keys, b"a", b"200", ripe=True)

    assert ripe(keys, 199) == []
    assert ripe(keys, 200) == [b"a"]


def test_a_key_that_wants_nothing_is_never_ripe() -> None:
    """Neither loaded nor put, nor after its time was taken back."""
    keys = store(a=b"", b=b"100")
    put(keys, b"c", b"")
    put(keys, b"b", b"")

    assert ripe(keys, NEVER - 1) == []
    assert keys.next_due() == NEVER


def test_a_key_that_is_gone_is_not_ripe() -> None:
    """A tombstone takes value and instant."""
    keys = store(a=b"100", b=b"100")
    put(keys, b"a", None)
    load(keys, (b"b", None))
    put(keys, b"never there", None)

    assert dict(keys.values.items()) == {}
    assert ripe(keys, 100) == []


def test_a_tombstone_takes_a_loaded_value_back() -> None:
    """Recovery reads both, in the order in which they were written."""
    keys = Store(due_of)
    own = load(keys, (b"a", b"1"), (b"a", None), (b"b", None), (b"\0mine", b"3"), (b"b", b"2"), (b"\0mine", b"4"), (b"\0mine", None))
    keys.index()

    assert (dict(keys.values.items()), own) == ({b"b": b"2"}, {b"\0mine": b"4"})
    assert ripe(keys, 2) == [b"b"]


@given(
    st.lists(st.tuples(st.sampled_from(ascii_lowercase) | st.sampled_from("abc"), st.integers(1, 30) | st.none()), max_size=60),
    st.lists(st.integers(1, 5), max_size=6),
    st.sampled_from([1, 1 << 8, 1 << 14, 1 << 20, 1 << 26]),
)
def test_no_instant_is_ever_missed(writes: Iterable[tuple[str, int | None]], steps: list[int], unit: int) -> None:
    """Whatever is put while time goes on: who is due by then is found by then, and nobody else; in milliseconds, seconds, minutes, days.

    Few are young, so that most are on pages.
    """
    keys, now = Store(due_of), 0
    keys.values = Values(4, 2, Pages(3))
    pending = iter(writes)
    for step in [*steps, 40]:
        for key, due in [pair for pair, _ in zip(pending, range(12), strict=False)]:
            put(keys, key.encode(), None if due is None else b"%d" % (due * unit))
        now += step * unit
        expected = {key for key, value in keys.values.items() if due_of(value) <= now}
        found = stepped(keys, now)

        assert sorted(found) == sorted(expected)


def test_who_waits_far_away_costs_no_instant_and_is_found_all_the_same() -> None:
    """Until its seconds have come, a key stands in the index without its instant; nobody looks in vain more than once a span for it."""
    keys = store(a=b"900000000", b=b"900000001")
    looked = [0]
    while not keys.near:
        assert looked[-1] < keys.next_due() <= 900_000_000
        looked.append(keys.next_due())
        assert ripe(keys, looked[-1]) == []

    assert looked == [0, *(900_000_000 >> power << power for power in (28, 20, 12))]
    assert keys.next_due() == 900_000_000
    assert ripe(keys, 900_000_000) == [b"a"]
    assert ripe(keys, 900_000_001) == [b"b"]
    assert (keys.next_due(), keys.entries) == (NEVER, 0)


def test_few_of_those_that_are_stepped_at_once_stand_in_the_index() -> None:
    """Of millions there is a hash each. Each is looked at once, whichever of them change, go or come meanwhile; then time goes on."""
    keys = store(**{f"k{n}": b"500" for n in range(3 * MANY)})
    keys.step_all(list(keys.values))
    looked, most = list[bytes](), 0
    while keys.next_due() == AT_ONCE:
        for key in islice(keys.ripe(1), 7):
            looked.append(key)
            put(keys, key, b"600", ripe=True)
        most = max(most, sum(due == AT_ONCE for due, _ in keys.near))
        put(keys, b"k%d" % len(looked), None)
        put(keys, b"new%d" % len(looked), b"500")

    gone = {b"k%d" % n for n in range(3 * MANY)} - set(keys.values)
    assert most <= MANY
    assert len(looked) == len(set(looked))
    assert set(looked) | gone == {b"k%d" % n for n in range(3 * MANY)}
    assert {key for key in ripe(keys, 599) if key.startswith(b"new")} == {key for key in keys.values if key.startswith(b"new")}
    assert set(ripe(keys, 600)) == set(looked) - gone


def test_a_key_may_be_stepped_whatever_its_value_says() -> None:
    """When rules change, due times may be others: those that were far away, nearer, and never are all looked at, once."""
    keys = store(a=b"500", b=b"", c=b"10")
    keys.step_all([b"a", b"b"])

    assert sorted(stepped(keys, 1)) == [b"a", b"b"]
    assert keys.next_due() == NEVER
