"""Who waits since when: whatever comes and goes, what is served is the earliest of each series."""

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.waits import Waiting

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
WAITS = st.dictionaries(st.sampled_from(["sales", "claims", "doors"]), st.integers(0, 5), max_size=3)


@given(st.lists(st.dictionaries(KEYS, WAITS, min_size=1), max_size=12))
def test_the_earliest_of_each_series_is_served(turns: list[dict[bytes, dict[str, int]]]) -> None:
    """Against all that is known, looked at anew."""
    waiting, earliest, known = Waiting(), dict[str, int](), dict[bytes, dict[str, int]]()
    for rows in turns:
        waiting.take({key: list(waits.items()) for key, waits in rows.items()}, earliest)
        known |= rows
        expected: dict[str, int] = {}
        for waits in known.values():
            for series, since in waits.items():
                expected[series] = min(since, expected.get(series, since))

        assert earliest == expected
        assert waiting.since.keys() == expected.keys()
        assert {key for key, names in waiting.names.items() if names} == {key for key, waits in known.items() if waits}


def test_those_who_wait_alike_share_their_names() -> None:
    """A hundred thousand who wait in the same queue take one tuple."""
    waiting = Waiting()
    waiting.take({b"a": [("sales", 1)], b"b": [("sales", 2)]}, {})

    assert waiting.names[b"a"] is waiting.names[b"b"]


def test_only_who_waits_or_has_waited_is_looked_up() -> None:
    """Of a key that is gone, that it waits no more."""
    waiting = Waiting()
    waiting.take({b"a": [("sales", 1)], b"b": [("sales", 2)]}, {})

    found = waiting.find([b"a", b"b", b"c", b"d"], {b"a": b"x", b"c": b"y"}, lambda value: [("sales", 3)] if value == b"x" else ())

    assert found == {b"a": [("sales", 3)], b"b": ()}
