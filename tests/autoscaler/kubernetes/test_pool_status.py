"""What a status says of pools, and which events come when that changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import PoolState
from autoscaler.kubernetes.pool_status import PoolReport

NOON_S = 1795435380.0
"""12:03 UTC on 2026-11-23."""
WHY = "Unschedulable: 0/3 nodes are available"


def states(a10, l20=0, *, unplaced=0, ready=None, why=WHY):
    """Give two pools, of which the first may lack room."""
    placed = a10 - unplaced
    return (
        PoolState("a10", a10, placed if ready is None else ready, unplaced=unplaced, why=why if unplaced else ""),
        PoolState("l20", l20, l20),
    )


@pytest.fixture
def report():
    report = PoolReport()
    assert report.take(states(3), NOON_S - 60) == []
    return report


def test_while_all_have_room_the_line_says_where_the_replicas_run(report):
    assert (report.is_exhausted, report.reason, report.message) == (False, "PoolsHaveRoom", "3 in a10")
    report.take(states(3, 2), NOON_S)
    assert report.message == "3 in a10, 2 in l20"
    report.take(states(0), NOON_S)
    assert report.message == "no replicas"


def test_a_pool_without_room_is_named_with_its_numbers_and_the_time(report):
    line = "asked for 5, 2 cannot be placed since 12:03 UTC, pool a10"
    (event,) = report.take(states(5, unplaced=2), NOON_S)

    assert (event.reason, event.note, event.warning) == ("PoolExhausted", line, True)
    assert (report.is_exhausted, report.lacks, report.reason, report.message) == (True, True, "Unschedulable", line)
    assert report.take(states(5, unplaced=2), NOON_S + 600) == []
    assert report.message == line


def test_it_stays_exhausted_while_another_pool_has_taken_the_rest_and_recovers_when_it_has_more(report):
    report.take(states(5, unplaced=2), NOON_S)

    (event,) = report.take(states(3, 2), NOON_S + 60)
    assert (event.reason, event.note) == ("PoolSpilled", "2 in pool l20: pool a10 has no room")
    assert (report.is_exhausted, report.lacks) == (True, False)
    assert report.message == "no room for more than 3 since 12:03 UTC, pool a10; 2 in l20"
    assert report.take(states(4, 2, ready=3), NOON_S + 120) == []

    (event,) = report.take(states(4, 2), NOON_S + 180)
    assert (event.reason, event.note, event.warning) == ("PoolRecovered", "pool a10 has room again", False)
    assert not report.is_exhausted


@pytest.mark.parametrize("after", [states(2, 2), states(3, 0), states(5)])
def test_it_is_over_when_it_needs_fewer_or_the_others_have_none_or_all_have_a_place(report, after):
    report.take(states(5, unplaced=2), NOON_S)
    report.take(states(3, 2), NOON_S + 60)
    assert [event.reason for event in report.take(after, NOON_S + 120)] == ["PoolRecovered"]


def test_a_day_later_the_line_has_the_date(report):
    report.take(states(5, unplaced=2), NOON_S)
    report.take(states(5, unplaced=2), NOON_S + 86_400)
    assert report.message == "asked for 5, 2 cannot be placed since 2026-11-23 12:03 UTC, pool a10"


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("FailedCreate: exceeded quota", "FailedCreate"),
        ("Deployment ns/sd-a10 cannot be applied: forbidden", "NoRoom"),
        ("", "NoRoom"),
    ],
)
def test_the_reason_is_kubernetes_own_word_if_it_has_one(report, why, reason):
    report.take(states(5, unplaced=2, why=why), NOON_S)
    assert report.reason == reason


def test_the_next_controller_goes_on_with_the_times_of_the_status(report):
    report.take(states(5, unplaced=2), NOON_S)
    assert report.pools == [
        {"name": "a10", "desired": 5, "ready": 3, "unplaced": 2, "exhaustedSince": "2026-11-23T12:03:00Z"},
        {"name": "l20", "desired": 0, "ready": 0, "unplaced": 0},
    ]

    after = PoolReport(report.pools)
    assert after.take(states(5, unplaced=2), NOON_S + 3600) == []
    assert after.message == report.message


def test_two_exhausted_pools_are_both_named_and_the_third_takes_the_rest():
    report = PoolReport()
    full = [PoolState(name, 2, 1, unplaced=1, why=WHY) for name in ("a10", "l20")]
    report.take([*full, PoolState("p100", 0)], NOON_S)
    kept = [PoolState(name, 1, 1) for name in ("a10", "l20")]
    (event,) = report.take([*kept, PoolState("p100", 2)], NOON_S)
    assert (event.reason, event.note) == ("PoolSpilled", "2 in pool p100: pool a10 has no room")
    assert report.message == (
        "no room for more than 1 since 12:03 UTC, pool a10; 1 in l20, 2 in p100; "
        "no room for more than 1 since 12:03 UTC, pool l20; 2 in p100"
    )


pool = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


@given(story=st.lists(st.lists(pool, min_size=3, max_size=3), max_size=8))
def test_each_end_of_an_exhaustion_follows_its_begin_and_a_lack_is_always_one(story):
    report, exhausted = PoolReport(), set()
    for number, pools in enumerate(story):
        seen = [
            PoolState(f"p{place}", asked, min(ready, asked), unplaced=min(unplaced, max(asked - ready, 0)))
            for place, (asked, ready, unplaced) in enumerate(pools)
        ]
        for event in report.take(seen, NOON_S + number):
            name = event.note.rpartition("pool ")[2].partition(" ")[0].rstrip(",")
            if event.reason == "PoolExhausted":
                assert name not in exhausted
                exhausted.add(name)
            elif event.reason == "PoolRecovered":
                exhausted.remove(name)
        assert exhausted == {each["name"] for each in report.pools if "exhaustedSince" in each}
        assert exhausted >= {each.name for each in seen if each.unplaced}
        assert report.is_exhausted == bool(exhausted)
