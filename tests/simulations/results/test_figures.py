"""The figures of a run, against hand-made histories and textbook values."""

from math import inf

import pytest

from algorithms.distributions import Constant
from autoscaler.gateway.dispatch.dispatcher import Limits
from simulations.model.run_inputs import Arrival, Pool
from simulations.results.figures import Estimate, estimates, figures, states, student_95

POOLS = (Pool("gpu", (Constant(20.0),), price_per_hour=3.6),)


def test_a_wait_is_split_where_the_replica_became_ready(simulate):
    history = simulate((0.0, 5.0), (1.0, 2.0), (26.0, 1.0), script=((0.0, 1),), until_s=60.0)
    found = figures(history, POOLS)
    assert history.requests.start_s.tolist() == [20.0, 25.0, 27.0]
    assert found["wait_cold_start_mean_s"] == pytest.approx((20 + 19 + 0) / 3)
    assert found["wait_load_mean_s"] == pytest.approx((0 + 5 + 1) / 3)
    assert found["cold_start_probability"] == pytest.approx(2 / 3)
    assert found["wait_mean_s"] == pytest.approx(45 / 3)


def test_replica_seconds_are_those_of_each_state_and_cost_what_their_pool_costs(simulate):
    history = simulate((0.0, 10.0), initial=1, script=((0.0, 1), (2.0, 2), (4.0, 0)), until_s=100.0)
    found = figures(history, POOLS)
    assert found["busy_replica_s"] == 4.0
    assert found["draining_replica_s"] == 6.0
    assert found["starting_replica_s"] == 2.0
    assert found["idle_replica_s"] == 0.0
    assert found["gpu_s"] == 12.0
    assert found["cost_gpu"] == pytest.approx(0.012)
    assert found["replicas_peak"] == 2.0
    assert found["replicas_mean"] == pytest.approx((2 * 1 + 2 * 2) / 100)


def test_a_replica_that_is_asked_for_at_the_very_beginning_has_a_cold_start_and_an_initial_one_has_none(simulate):
    history = simulate((0.0, 10.0), initial=1, script=((0.0, 3), (30.0, 4)), until_s=100.0)
    assert figures(history, POOLS)["cold_starts"] == 3


def test_every_outcome_is_counted(simulate):
    limits = Limits(concurrency=1, queue_length=1, queue_timeout_s=inf)
    arrivals = [Arrival(0.0, 5.0), Arrival(0.5, 1.0, patience_s=2.0), Arrival(1.0, 1.0), Arrival(4.0, 99.0)]
    found = figures(simulate(*arrivals, initial=1, script=((0.0, 1),), limits=limits, until_s=9.0), POOLS)
    assert (found["served"], found["hung_up"], found["refused"], found["still_in"]) == (1, 1, 1, 1)
    assert found["requests"] == 4


def test_requests_during_the_warm_up_are_not_counted(simulate):
    history = simulate((0.0, 5.0), (1.0, 1.0), initial=1, script=((0.0, 1),), until_s=20.0)
    found = figures(history, POOLS, warm_up_s=0.5)
    assert found["requests"] == 1
    assert found["wait_mean_s"] == 4.0


def test_a_request_that_was_not_answered_in_time_or_not_at_all_misses_the_objective(simulate):
    arrivals = (0.0, 5.0), (1.0, 1.0), (19.0, 5.0)
    history = simulate(*arrivals, initial=1, script=((0.0, 1),), until_s=20.0)
    assert figures(history, POOLS, objective_s=5.0)["slo_attainment"] == pytest.approx(2 / 3)
    assert figures(history, POOLS, objective_s=4.99)["slo_attainment"] == 0.0


def test_a_run_without_answers_has_no_waits(simulate):
    found = figures(simulate((0.0, 1.0), settle_s=10.0), POOLS, objective_s=1.0)
    assert "wait_mean_s" not in found
    assert found["still_in"] == 1.0
    assert found["slo_attainment"] == 0.0


def test_the_states_of_a_replica_add_up_to_its_life(simulate):
    history = simulate((0.0, 3.0), (1.0, 2.0), script=((0.0, 1), (30.0, 0)))
    total = sum(seconds.sum() for seconds in states(history).values())
    assert total == pytest.approx(history.replicas.gone_s[0])


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045)])
def test_the_confidence_interval_is_student_s(freedom, quantile):
    assert student_95(freedom) == pytest.approx(quantile, rel=0.01)


def test_an_estimate_is_the_mean_with_its_half_width():
    found = estimates([{"x": 1.0, "rare": 1.0}, {"x": 3.0}])
    assert found["x"].mean == 2.0
    assert found["x"].half_width == pytest.approx(12.706 * 2**0.5 / 2**0.5, rel=1e-3)
    assert set(found) == {"x"}
    assert estimates([{"x": 1.0}]) == {"x": Estimate(1.0, inf)}
