"""Replicas that follow the requests in flight directly."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.mpa import Mpa, replicas_for
from algorithms.observation import Observation
from algorithms.types import Average, Recommendation


def observe(inflight, **more):
    return Observation(1002.0, 1000.0, inflight, 3, 3, **more)


@pytest.mark.parametrize(
    ("count", "target", "replicas"),
    [
        (0.0, 1.0, 0),
        (1.0, 1.0, 1),
        (1.2, 1.0, 2),
        (5.0, 1.0, 5),
        (5.0, 2.0, 3),
        (7.0, 0.7, 10),
        (100.0, 100.0, 1),
        (101.0, 100.0, 2),
    ],
)
def test_just_as_many_as_the_requests_need(count, target, replicas):
    assert replicas_for(count, target) == replicas


def test_what_is_left_of_rounding_a_mean_asks_for_nobody():
    assert replicas_for(5.0 + 1e-9, 1.0) == 5
    assert replicas_for(1e-9, 1.0) == 0
    assert replicas_for(2.1 / 0.7 * 0.7, 0.7) == 3


def test_a_millionth_more_is_more():
    assert replicas_for(5.000001, 1.0) == 6


@given(st.integers(0, 10_000), st.integers(1, 1000), st.integers(1, 100))
def test_whole_requests_get_the_exact_ceiling(count, concurrency, percent):
    target = concurrency * (percent / 100)
    assert replicas_for(count, target) == -(-count * 100 // (concurrency * percent))


@given(st.floats(0, 1e5), st.floats(0.01, 1000))
def test_no_replica_has_more_than_its_target_and_one_fewer_would_not_do(count, target):
    replicas = replicas_for(count, target)
    assert replicas >= count / target - 1e-6
    assert replicas == 0 or replicas - 1 < count / target + 1e-6
    assert replicas <= ceil(count / target)


def recommendation(count, why):
    return Recommendation(count, why, (Average("latest", count, 0.0, 0.0),), 1.0)


def test_the_recommendation_follows_the_mean_or_the_newest_count_if_it_is_higher():
    mpa = Mpa(target=1.0)
    assert mpa.recommend(observe(3.0)) == recommendation(3, "3 in flight / 1")
    assert mpa.recommend(observe(3.0, latest=7.0)) == recommendation(7, "7 in flight / 1")
    assert mpa.recommend(observe(3.0, latest=1.0)) == recommendation(3, "3 in flight / 1")
    assert mpa.recommend(observe(0.0)) == recommendation(0, "0 in flight / 1")


def test_an_unknown_count_gives_no_recommendation():
    assert Mpa(target=1.0).recommend(observe(None, problem="no gateway is known")) == Recommendation(
        None, "no gateway is known"
    )


def test_it_remembers_nothing():
    mpa = Mpa(target=1.0)
    empty = mpa.export()
    mpa.recommend(observe(3.0))
    assert mpa.export() == empty
    mpa.restore(empty)
    with pytest.raises(ValueError, match="version"):
        mpa.restore({"version": 99})
