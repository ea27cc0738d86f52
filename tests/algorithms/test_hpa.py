"""An HPA on live looks: its own period, what it makes of an unknown count, and which writes it believes."""

import json

import pytest
from hpa_cases import FREE, hpa_options, observe, pods, rules
from hypothesis import given
from hypothesis import strategies as st

from algorithms.hpa import Hpa
from algorithms.hpa_behavior import Behavior
from algorithms.types import Average, Recommendation

TWO_A_MINUTE = Behavior(rules(pods(2, 60)), rules())


def replay(hpa, observations, replicas, *, write=lambda _turn: True):
    """Give the HPA looks as pairs of time and count, and let its wishes come true where the write succeeds."""
    numbers = []
    for turn, (now_s, inflight) in enumerate(observations):
        recommendation = hpa.recommend(observe(now_s, inflight, replicas))
        if recommendation.replicas is not None and write(turn):
            replicas = recommendation.replicas
        numbers.append(replicas)
    return numbers


def test_it_decides_at_the_first_observation_and_then_once_per_sync_period():
    observations = [(1000 + second, 10) for second in range(32)]
    assert replay(Hpa(hpa_options()), observations, 1) == [4] * 15 + [8] * 15 + [10] * 2


def test_a_tick_that_does_not_divide_the_period_makes_it_longer():
    observations = [(1000.0 + 4 * turn, 10) for turn in range(9)]
    assert replay(Hpa(hpa_options()), observations, 1) == [4] * 4 + [8] * 4 + [10]


def test_between_two_syncs_it_holds_what_is_asked_for_whoever_asked():
    hpa = Hpa(hpa_options())
    hpa.recommend(observe(0, 5, 5))
    assert hpa.recommend(observe(2, 5, 7)) == Recommendation(7, "between two syncs")


@pytest.mark.parametrize(("count", "problem"), [(None, "stale"), (3.0, "2 of 3 gateways")], ids=["unknown", "part"])
def test_a_count_that_is_not_good_is_a_failed_metric(count, problem):
    hpa = Hpa(hpa_options(behavior=FREE))
    assert hpa.recommend(observe(0, count, 5, problem)) == Recommendation(None, "FailedGetExternalMetric")


def test_at_zero_it_has_no_opinion():
    assert Hpa(hpa_options()).recommend(observe(0, 9, 0)) == Recommendation(None, "ScalingDisabled")


@pytest.mark.parametrize(
    ("options", "replicas", "load", "recommendation"),
    [
        ({"behavior": FREE}, 4, 7, Recommendation(7, "the metric asks for 7")),
        ({}, 4, 2, Recommendation(4, "the metric asks for 2, ScaleDownStabilized 4")),
        ({}, 1, 10, Recommendation(4, "the metric asks for 10, ScaleUpLimit 4")),
        ({}, 12, 10, Recommendation(10, "Current number of replicas above Spec.MaxReplicas")),
    ],
    ids=["free", "stabilised", "limited", "clamped"],
)
def test_a_recommendation_says_what_made_it(options, replicas, load, recommendation):
    assert Hpa(hpa_options(**options)).recommend(observe(0, load, replicas)) == recommendation._replace(
        averages=(Average("latest", load, 0.0, 0.0),), per_replica=1.0
    )


def test_a_write_that_is_seen_counts_in_the_policies():
    observations = [(15.0 * turn, 9) for turn in range(6)]
    assert replay(Hpa(hpa_options(behavior=TWO_A_MINUTE)), observations, 1) == [3, 3, 3, 3, 5, 5]


def test_a_write_that_is_never_seen_does_not_count():
    observations = [(15.0 * turn, 9) for turn in range(6)]
    numbers = replay(Hpa(hpa_options(behavior=TWO_A_MINUTE)), observations, 1, write=lambda turn: turn != 0)
    assert numbers == [1, 3, 3, 3, 3, 5]


def test_a_write_that_is_seen_late_counts_from_when_it_was_decided():
    hpa = Hpa(hpa_options(behavior=TWO_A_MINUTE))
    assert hpa.recommend(observe(0, 9, 1)).replicas == 3
    for now_s, replicas in ((2, 1), (4, 3)):
        hpa.recommend(observe(now_s, 9, replicas))
    assert replay(hpa, [(15.0 * turn, 9) for turn in range(1, 5)], 3) == [3, 3, 3, 5]


def test_with_the_gate_it_goes_to_zero_and_back():
    hpa = Hpa(hpa_options(min_replicas=0, scale_to_zero=True, behavior=FREE))
    assert replay(hpa, [(0, 0), (15, 0), (30, 0.4)], 1) == [0, 0, 1]


@pytest.mark.parametrize(("gate", "numbers"), [(True, [0, 0, 0, 2]), (False, [0, 0, 0, 0])])
def test_with_the_gate_a_zero_that_it_finds_at_the_start_is_its_own(gate, numbers):
    hpa = Hpa(hpa_options(min_replicas=0, scale_to_zero=gate, behavior=FREE))
    assert replay(hpa, [(0, 0), (15, None), (20, 2), (30, 2)], 0) == numbers


def test_with_the_gate_a_zero_that_someone_else_writes_later_stays():
    hpa = Hpa(hpa_options(min_replicas=0, scale_to_zero=True, behavior=FREE))
    assert replay(hpa, [(0, 2)], 2) == [2]
    assert replay(hpa, [(15, 2), (30, 9)], 0) == [0, 0]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.none() | st.floats(0, 20)), min_size=1, max_size=30),
    st.sampled_from([None, TWO_A_MINUTE, FREE]),
    st.data(),
)
def test_a_restored_hpa_recommends_as_it_would_have(steps, behavior, data):
    cut = data.draw(st.integers(0, len(steps)))
    options = hpa_options(behavior=behavior)
    first, second = Hpa(options), Hpa(options)
    now_s, replicas = 1.7e9, 3
    for turn, (seconds, inflight) in enumerate(steps):
        if turn == cut:
            second.restore(json.loads(json.dumps(first.export())))
        now_s += seconds
        seen = observe(now_s, inflight, replicas)
        recommendation = first.recommend(seen)
        if turn >= cut:
            assert second.recommend(seen) == recommendation
        replicas = replicas if recommendation.replicas is None else recommendation.replicas


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version 2"):
        Hpa(hpa_options()).restore({"version": 2})
