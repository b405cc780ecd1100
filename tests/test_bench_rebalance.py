"""What is called a standstill of a shard (`make bench-rebalance`)."""

from tests.bench.rebalance import Standstill, counted


def test_a_standstill_is_from_one_change_to_the_next() -> None:
    """The longest of them, or the one that lasts; time in which the shard is not served belongs to it."""
    still = Standstill({"a": 1, "b": 1, "c": 1}, 0.0)
    still.look({"a": 2, "b": 1, "c": 2}, 1.0)
    still.look({"a": 3, "c": 2}, 2.0)
    still.look({"a": 4, "b": 2, "c": 3}, 4.0)

    assert still.stayed(4.5) == [2.0, 4.0, 3.0]
    assert still.stayed(9.0) == [5.0, 5.0, 5.0]


def test_a_shard_that_has_moved_is_left_out() -> None:
    """It is served elsewhere, after the time in which nobody may be sure."""
    still = Standstill({"a": 1, "b": 1}, 0.0)
    still.look({"a": 2}, 1.0)

    assert still.stayed(1.0) == [1.0]


def test_what_a_shard_has_counted_is_the_sum_of_its_series() -> None:
    """As they stand in the text; others have no shard, or another name."""
    text = """# TYPE karar_contacts_offered_total counter
karar_contacts_offered_total{channel="call",queue="A",shard="stitch-0"} 3
karar_contacts_offered_total{channel="call",queue="B",shard="stitch-0"} 4
karar_contacts_offered_total{channel="call",queue="A",shard="stitch-1"} 5.0
karar_contacts_handled_total{channel="call",queue="A",shard="stitch-1"} 6
"""
    assert counted(text) == {"stitch-0": 7, "stitch-1": 5}
