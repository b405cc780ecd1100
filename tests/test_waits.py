"""Who waits since when: whatever comes and goes, what is served is the earliest of each series."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.pages import Pages
from streams.engine.values import Values
from streams.engine.waits import FEW, Read, Waiting, Waits

KEYS = st.sampled_from([b"%d" % n for n in range(12)])
WAITS = st.dictionaries(st.sampled_from(["sales", "claims", "doors"]), st.integers(0, 9), max_size=3)
TURNS = st.lists(st.dictionaries(KEYS, WAITS | st.none(), min_size=1), max_size=12)
Said = dict[str, int]


def read(value: bytes) -> Waits:
    """A value says in JSON who waits."""
    return list(json.loads(value).items())


def told(values: Values, waiting: Waiting, rows: dict[bytes, Said | None], read: Read = read) -> Said:
    """What is served when these keys say something else; None is gone."""
    for key, said in rows.items():
        values.put(key, values.get(key), json.dumps(said).encode() if said is not None else None)
    return waiting.take({key: values.get(key) for key in rows}, values, read)


def expected(values: Values) -> Said:
    """Against all that is known, looked at anew."""
    found: Said = {}
    for key in values:
        for series, since in read(values[key]):
            found[series] = min(since, found.get(series, since))
    return found


@given(st.sampled_from([1, 2, 256]), st.sampled_from([0, 3, 10_000]), TURNS, st.integers(0, 11))
def test_the_earliest_of_each_series_is_served(few: int, spare: int, turns: list[dict[bytes, Said | None]], opened: int) -> None:
    """However few are known by name, however soon it is cleared up, and also where a shard has been opened in between."""
    waiting, values = Waiting(few, spare), Values(2, 1, Pages(2))
    for number, rows in enumerate(turns):
        if number == opened:
            waiting = Waiting(few, spare)
            waiting.note(values.items(), read)
            assert waiting.settle_all() == expected(values)

        assert told(values, waiting, rows) == expected(values)
        assert waiting.since.keys() == expected(values).keys()
        assert waiting.later.keys() <= waiting.since.keys()
        known = {(key, series) for series, held in waiting.since.items() for key in held}
        assert known == {(key, series) for key, names in waiting.names.items() for series in names}
        assert all(len(held) < 2 * few for held in waiting.since.values())
        chunks = [hashes for later in waiting.later.values() for _, hashes in later.chunks]
        assert all(0 < len(hashes) < 2 * few for hashes in chunks)
        assert waiting.entries == sum(map(len, chunks)) <= 2 * max(len(values), waiting.needed) + spare


def test_of_many_who_wait_few_are_known_by_name() -> None:
    """Those who have waited longest, and the next ones when these have gone, for whom nobody looks at all who wait."""
    waiting, values, looks = Waiting(), Values(), list[bytes]()

    def looked(value: bytes) -> Waits:
        looks.append(value)
        return read(value)

    many = {b"%d" % n: {"sales": n} for n in range(20_000)}
    assert told(values, waiting, {**many}, looked) == {"sales": 0}
    assert len(waiting.names) < 2 * FEW

    looks.clear()
    for first in range(0, 20_000, 100):
        left = {"sales": first + 100} if first < 19_900 else {}
        assert told(values, waiting, dict.fromkeys(list(many)[first : first + 100]), looked) == left
    assert (waiting.names, waiting.later, waiting.entries) == ({}, {}, 0)
    assert len(looks) < 20_000


def test_who_waits_the_longer_the_later_he_is_heard_of() -> None:
    """In whatever order they come, the next one is always the one who has waited longest."""
    waiting, values = Waiting(few=3), Values()
    since = {b"%d" % n: n * 7919 % 500 // 3 for n in range(500)}
    for key, instant in since.items():
        told(values, waiting, {key: {"sales": instant}})

    for key in sorted(since, key=lambda key: since[key])[:-1]:
        del since[key]
        assert told(values, waiting, {key: None}) == {"sales": min(since.values())}


def test_entries_of_those_who_wait_no_more_are_cleared() -> None:
    """While some never leave, thousands come and go behind them: what is noted of these does not grow for ever."""
    waiting, values = Waiting(few=2, spare=100), Values()
    told(values, waiting, {b"ever-%d" % n: {"sales": n} for n in range(10)})
    most = 0
    for n in range(2_000):
        told(values, waiting, {b"%d" % n: {"sales": 100 + n}})
        told(values, waiting, {b"%d" % n: None})
        most = max(most, waiting.entries)
    assert 100 < most <= 2 * 11 + 100
    assert told(values, waiting, {b"ever-0": None}) == {"sales": 1}


def test_who_waits_on_is_noted_once() -> None:
    """However often something else of him changes."""
    waiting, values = Waiting(few=2, spare=0), Values()
    told(values, waiting, {b"%d" % n: {"sales": n} for n in range(40)})
    for _ in range(50):
        told(values, waiting, {b"%d" % n: {"sales": n} for n in range(40)})
        assert waiting.entries < 3 * 40


def test_to_find_the_next_one_takes_no_longer_than_to_look_at_all() -> None:
    """Thousands who have come and gone stand before him."""
    waiting, values, looks = Waiting(few=2), Values(), list[bytes]()

    def looked(value: bytes) -> Waits:
        looks.append(value)
        return read(value)

    told(values, waiting, {b"first": {"sales": 0}, **{b"ever-%d" % n: {"sales": 1} for n in range(3)}})
    told(values, waiting, {b"%d" % n: {"sales": 2 + n} for n in range(9_000)})
    told(values, waiting, {b"%d" % n: {"claims": 1} for n in range(8_999)})
    assert waiting.entries > 8_000
    looks.clear()
    gone = dict.fromkeys([b"first", *[b"ever-%d" % n for n in range(3)]])
    assert told(values, waiting, gone, looked) == {"sales": 9_001, "claims": 1}
    assert len(looks) < 9_000 * 1.2


def test_those_who_wait_alike_share_their_names() -> None:
    """All who wait in the same queue take one tuple."""
    waiting = Waiting()
    told(Values(), waiting, {b"a": {"sales": 1}, b"b": {"sales": 2}})

    assert waiting.names[b"a"] is waiting.names[b"b"]
