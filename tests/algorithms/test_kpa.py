"""Knative's autoscaler behind our gateway, look by look."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kpa_cases import SCALE, START_S

from algorithms.kpa import Kpa
from algorithms.observation import Observation

TICK_S = 2.0


class Service:
    """A service whose replicas are what was wished for, ready a number of ticks later."""

    def __init__(self, kpa, replicas=0, start_ticks=0):
        self.kpa = kpa
        self.now_s = START_S
        self.asked = [replicas] * (start_ticks + 1)

    def observe(self, inflight):
        self.now_s += TICK_S
        replicas, ready = self.asked[-1], min(self.asked[-1], self.asked[0])
        return Observation(self.now_s, self.now_s - TICK_S, inflight, replicas, ready, latest=inflight or 0.0)

    def tick(self, inflight):
        observation = self.observe(inflight)
        recommendation = self.kpa.recommend(observation)
        self.asked = [
            *self.asked[1:],
            observation.replicas if recommendation.replicas is None else recommendation.replicas,
        ]
        return recommendation

    def run(self, inflight, seconds):
        return [self.tick(inflight).replicas for _ in range(int(seconds / TICK_S))]


def service(replicas=0, start_ticks=0, **changed):
    return Service(Kpa(replace(SCALE, **changed)), replicas, start_ticks)


def test_the_first_requests_at_zero_are_given_replicas_at_once():
    assert service().run(3.0, 2) == [3]


def test_a_constant_load_is_followed_exactly():
    assert set(service(replicas=4).run(4.0, 300)) == {4}


def test_an_idle_service_at_zero_asks_for_nothing():
    idle = service()
    assert idle.tick(0.0).replicas is None
    assert idle.asked == [0]


def test_a_service_without_load_goes_to_zero_after_window_and_stays_there():
    busy = service(replicas=2)
    busy.run(2.0, 120)
    found = busy.run(0.0, 90)
    assert found.index(0) * TICK_S >= 60
    assert set(found[found.index(0) :]) == {0}


def test_the_last_replica_is_retained():
    busy = service(replicas=1, scale_to_zero_pod_retention_period_s=120.0)
    busy.run(1.0, 120)
    assert set(busy.run(0.0, 150)) == {1}
    assert busy.run(0.0, 60)[-1] == 0


def test_bounds_are_kept():
    assert service(replicas=1, max_scale=3).run(9.0, 2) == [3]
    idle = service(replicas=2, min_scale=2)
    assert set(idle.run(0.0, 300)) == {2}


def test_the_initial_scale_is_for_a_service_that_is_starting():
    assert service(replicas=1, start_ticks=3).asked[-1] == 1
    starting = service(replicas=1, initial_scale=4)
    starting.asked = [0, 1]
    assert starting.tick(0.0).replicas == 4
    assert service(replicas=1, initial_scale=4).run(1.0, 60)[-1] == 1
    assert service(replicas=0, initial_scale=4).run(0.0, 4) == [None, None]


def test_an_unknown_count_is_not_recorded_so_the_average_holds_for_a_window():
    busy = service(replicas=3)
    busy.run(3.0, 120)
    assert set(busy.run(None, 58)) == {3}


def test_a_count_unknown_for_a_whole_window_is_zero_for_one_second_as_in_knative():
    busy = service(replicas=3)
    busy.run(3.0, 120)
    busy.run(None, 58)
    assert busy.run(None, 60) == [1] * 30
    assert busy.tick(None).why == "no data, the last decision holds"


def test_the_recommendation_says_what_was_seen():
    busy = service(replicas=1)
    assert busy.tick(4.0).why == "stable 4, panic 4 in flight, in panic"
    assert service(replicas=1).tick(None).why == "no data, the last decision holds"
    assert service(replicas=3).tick(0.0).why == "stable 0, panic 0 in flight, in panic"
    idle = service(replicas=1)
    assert idle.tick(0.0).why == "stable 0, panic 0 in flight; 0 desired while ACTIVE"


def test_after_a_restart_without_its_state_nothing_falls_for_a_stable_window():
    assert set(service(replicas=9).run(1.0, 60)) == {9}


def test_a_state_of_another_version_is_refused():
    kpa = Kpa(SCALE)
    with pytest.raises(ValueError, match="Kpa: version None "):
        kpa.restore({})


counts = st.lists(st.one_of(st.none(), st.floats(0, 12, allow_nan=False)), max_size=60)


@given(
    delay_s=st.sampled_from([0, 20]),
    replicas=st.integers(0, 4),
    start_ticks=st.integers(0, 8),
    before=counts,
    after=counts,
)
def test_a_restored_policy_continues_decision_for_decision(delay_s, replicas, start_ticks, before, after):
    lived = service(replicas, start_ticks, scale_down_delay_s=delay_s)
    for count in before:
        lived.tick(count)
    restored = service(scale_down_delay_s=delay_s)
    restored.kpa.restore(json.loads(json.dumps(lived.kpa.export())))
    restored.now_s, restored.asked = lived.now_s, lived.asked
    assert [restored.tick(count) for count in after] == [lived.tick(count) for count in after]
