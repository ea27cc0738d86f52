import json
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kpa_cases import decide_at

from algorithms.concurrency import Concurrency
from algorithms.good_time import current_count, seconds_covered
from algorithms.kpa_core import KpaCore, KpaOptions
from algorithms.observation import Observation
from algorithms.types import Average

START_S = 1_700_000_000.0
OPTIONS = KpaOptions(
    target=1.0,
    total=1.0,
    panic_threshold=2.0,
    max_scale_up_rate=1000.0,
    max_scale_down_rate=2.0,
    target_burst_capacity=0.0,
    stable_window_s=60,
    panic_window_s=6,
    scale_down_delay_s=0.0,
    activation_scale=0,
    reachable=True,
    aggregation="linear",
)


@st.composite
def lives(draw):
    """Looks at one service that has replicas all the time, in order of time."""
    now_s = START_S
    observations = []
    for step_s in draw(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=50)):
        since_s, now_s = now_s, now_s + step_s
        counts = st.floats(0.0, 30.0)
        ready = draw(st.integers(0, 10))
        observations.append(
            Observation(now_s, since_s, draw(counts), draw(st.integers(1, 10)), ready, latest=draw(counts))
        )
    return observations


@given(lives())
def test_without_rules_the_recommendation_is_knatives_decision_on_the_same_seconds(observations):
    algorithm = Concurrency(OPTIONS)
    core = KpaCore(OPTIONS, observations[0].now_s, observations[0].ready)
    for observation in observations:
        for second in seconds_covered(observation):
            core.replace(second, observation.inflight)
        core.replace(floor(observation.now_s), current_count(observation))
        assert (
            algorithm.recommend(observation).replicas == decide_at(core, observation.now_s, observation.ready).desired
        )


@given(lives(), st.integers(0, 50))
def test_a_restored_algorithm_continues_decision_for_decision(observations, cut):
    before, after = Concurrency(OPTIONS), Concurrency(OPTIONS)
    for observation in observations[:cut]:
        before.recommend(observation)
    after.restore(json.loads(json.dumps(before.export())))
    for observation in observations[cut:]:
        assert after.recommend(observation) == before.recommend(observation)


def test_an_idle_service_without_replicas_gets_none_and_remembers_nothing():
    algorithm = Concurrency(OPTIONS)
    for tick in range(100):
        assert algorithm.recommend(Observation(START_S + 2 * tick, START_S + 2 * tick - 2, 0.0, 0, 0)).replicas == 0
    assert algorithm.export()["core"] is None


def test_a_burst_after_idle_time_is_not_averaged_with_it():
    algorithm = Concurrency(OPTIONS)
    algorithm.recommend(Observation(START_S, START_S - 2, 0.0, 0, 0))
    burst = algorithm.recommend(Observation(START_S + 0.1, START_S, 2.5, 0, 0, latest=5.0))
    assert burst.replicas == 5


def test_a_recommendation_has_its_averages_and_how_much_of_their_windows_is_known():
    algorithm = Concurrency(OPTIONS)
    for second in range(8):
        seen = Observation(START_S + second, START_S + second - 1, 1.0, 1, 1, latest=1.0)
        recommendation = algorithm.recommend(seen)
    stable, panic = OPTIONS.stable_window_s, OPTIONS.panic_window_s
    assert recommendation.averages == (
        Average("stable", 1.0, stable, min(9, stable)),
        Average("panic", 1.0, panic, min(9, panic)),
    )
    assert (recommendation.per_replica, recommendation.panic) == (OPTIONS.target, False)


def test_in_panic_the_larger_average_is_the_first():
    algorithm = Concurrency(OPTIONS)
    for second in range(30):
        algorithm.recommend(Observation(START_S + second, START_S + second - 1, 1.0, 1, 1, latest=1.0))
    burst = algorithm.recommend(Observation(START_S + 30, START_S + 29, 9.0, 1, 1, latest=9.0))
    assert burst.panic
    assert [average.name for average in burst.averages] == ["panic", "stable"]
    assert burst.averages[0].value > burst.averages[1].value


def test_a_count_that_is_unknown_from_the_start_gives_no_recommendation():
    recommendation = Concurrency(OPTIONS).recommend(
        Observation(START_S, START_S, None, 3, 3, problem="Prometheus is down")
    )
    assert recommendation.replicas is None
    assert "no data" in recommendation.why


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version"):
        Concurrency(OPTIONS).restore({"version": 99})
