"""When another replica is worth its start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import ColdStart, Observation, PoolState
from algorithms.starts.worth_a_start import WorthAStart


def seen(inflight, replicas, *, now_s=1.0, starts=(), pools=(), served_s=None, finished=None):
    return Observation(
        now_s,
        now_s - 1.0,
        inflight,
        replicas,
        replicas,
        latest=inflight,
        starts=tuple(starts),
        pools=pools,
        served_s=served_s,
        finished=finished,
    )


def rule_that_knows(*starts, service_s=24.0, **settings):
    """Give the rule after one observation of starts and of ten requests."""
    rule = WorthAStart(**{"share": 0.25, "capacity": 1.0, **settings})
    rule(seen(0.0, 0, starts=map(ColdStart, starts), served_s=10 * service_s, finished=10), 0)
    return rule


def test_a_replica_starts_until_those_asked_for_clear_the_queue_in_a_share_of_a_start():
    rule = rule_that_knows(60.0)
    # With 4 of 5 replicas one waits 24 / 4 = 6 s, which is no more than 15 s; with 3, two wait 16 s.
    assert rule(seen(5.0, 0), 5) == 4
    assert rule.why(seen(5.0, 0)) == "1 wait, 4 replicas clear them in 6 s, a start takes 60 s"


def test_a_longer_start_is_worth_less():
    assert rule_that_knows(10.0)(seen(5.0, 1), 5) == 5
    assert rule_that_knows(180.0)(seen(5.0, 1), 5) == 2
    assert rule_that_knows(10_000.0)(seen(5.0, 1), 5) == 1


def test_the_first_replica_always_starts():
    assert rule_that_knows(10_000.0)(seen(1.0, 0), 1) == 1


@pytest.mark.parametrize("recommended", [0, 2, 4])
def test_what_is_asked_for_already_stays_and_nothing_is_added(recommended):
    assert rule_that_knows(60.0)(seen(9.0, 4), recommended) == recommended


def test_while_nothing_was_measured_each_start_is_worth_it():
    nothing = WorthAStart(share=0.25, capacity=1.0)
    assert nothing(seen(5.0, 1), 5) == 5
    assert nothing(seen(5.0, 1, starts=[ColdStart(600.0)]), 5) == 5
    assert WorthAStart(share=0.25, capacity=1.0)(seen(5.0, 1, served_s=24.0, finished=1), 5) == 5


def test_half_of_the_starts_count_and_one_slow_node_does_not():
    assert rule_that_knows(20.0, 21.0, 22.0, 9000.0, 19.0)(seen(5.0, 1), 5) == 5


def test_the_starts_of_the_pool_with_room_count():
    cached, far = PoolState("cached", 1, 1), PoolState("far", 0, 0)
    starts = [ColdStart(4.0, "cached"), ColdStart(4.0, "cached"), ColdStart(900.0, "far")]
    rule = WorthAStart(share=0.25, capacity=1.0)
    rule(seen(0.0, 0, starts=starts, served_s=240.0, finished=10), 0)
    assert rule(seen(5.0, 1, pools=(cached, far)), 5) == 5
    full = cached._replace(unplaced=1)
    assert rule(seen(5.0, 1, pools=(full, far)), 5) == 1


def test_spare_replicas_serve_none_of_the_queue():
    assert rule_that_knows(60.0, standby=2)(seen(5.0, 2), 5) == 4


RULES = st.builds(
    lambda starts, service_s, share, capacity: rule_that_knows(
        *starts, service_s=service_s, share=share, capacity=capacity
    ),
    st.lists(st.floats(0, 1e6), max_size=5),
    st.floats(0, 1e6),
    st.floats(0.01, 10),
    st.floats(0.01, 1000),
)


@given(RULES, st.floats(0, 2.0**53), st.integers(0, 100), st.integers(0, 100))
def test_it_gives_no_more_than_is_recommended_and_takes_nothing_away(rule, inflight, replicas, recommended):
    number = rule(seen(inflight, replicas), recommended)
    assert min(replicas, recommended) <= number <= recommended
    assert number or not recommended


def test_another_process_decides_on_with_what_was_measured():
    before, after = rule_that_knows(60.0), WorthAStart(share=0.25, capacity=1.0)
    after.restore(before.export())
    assert after(seen(5.0, 0), 5) == before(seen(5.0, 0), 5) == 4
