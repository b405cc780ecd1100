"""Who waits since when: whatever comes and goes, what is served is the earliest of each series."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.values import Values
from streams.engine.waits import FEW, Waiting, Waits

KEYS = st.sampled_from([b"%d" % n for n in range(12)])
WAITS = st.dictionaries(st.sampled_from(["sales", "claims", "doors"]), st.integers(0, 9), max_size=3)
Said = dict[str, int]


def read(value: bytes) -> Waits:
    """A value says in JSON who waits."""
    return list(json.loads(value).items())


def told(values: Values, waiting: Waiting, rows: dict[bytes, Said | None]) -> Said:
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


@given(st.sampled_from([1, 2, 256]), st.lists(st.dictionaries(KEYS, WAITS | st.none(), min_size=1), max_size=12), st.integers(0, 11))
def test_the_earliest_of_each_series_is_served(few: int, turns: list[dict[bytes, Said | None]], opened: int) -> None:
    """However few are known by name, and also where a shard has been opened in between."""
    waiting, values = Waiting(few), Values()
    for number, rows in enumerate(turns):
        if number == opened:
            waiting = Waiting(few)
            waiting.note(values.items(), read)
            assert waiting.settle_all() == expected(values)

        assert told(values, waiting, rows) == expected(values)
        assert waiting.since.keys() == expected(values).keys()
        assert waiting.beyond.keys() <= waiting.since.keys()
        known = {(key, series) for series, held in waiting.since.items() for key in held}
        assert known == {(key, series) for key, names in waiting.names.items() for series in names}
        assert all(len(held) < 2 * few for held in waiting.since.values())


def test_of_many_who_wait_few_are_known_by_name() -> None:
    """Those who have waited longest, and the next ones when these have gone."""
    waiting, values = Waiting(), Values()
    many = {b"%d" % n: {"sales": n} for n in range(2_000)}
    assert told(values, waiting, {**many}) == {"sales": 0}
    assert len(waiting.names) < 2 * FEW

    for first in range(0, 2_000, 100):
        left = {"sales": first + 100} if first < 1_900 else {}
        assert told(values, waiting, dict.fromkeys(list(many)[first : first + 100])) == left
    assert (waiting.names, waiting.beyond) == ({}, {})


def test_those_who_wait_alike_share_their_names() -> None:
    """All who wait in the same queue take one tuple."""
    waiting = Waiting()
    told(Values(), waiting, {b"a": {"sales": 1}, b"b": {"sales": 2}})

    assert waiting.names[b"a"] is waiting.names[b"b"]
