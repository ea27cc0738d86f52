"""The reference engine, one behaviour at a time, by hand-made requests and scripted replicas."""

from math import inf

import numpy as np
import pytest

from algorithms.distributions import Constant, Exponential
from algorithms.types import Recommendation
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.types import QueueLimits
from simulations.engines import reference
from simulations.model import invariants
from simulations.model.history import HUNG_UP, QUEUE_TIMEOUT, REFUSED, REPLICA_DIED, SERVED, STILL_IN
from simulations.model.run_inputs import Arrival, Pool, next_on_grid

FIXED = {"tick_s": inf, "coalesce_s": inf}


def starts(history):
    return history.requests.start_s.tolist()


def test_one_replica_serves_one_after_the_other_in_order(simulate):
    history = simulate((0.0, 5.0), (1.0, 2.0), (9.0, 1.0), initial=1, **FIXED)
    assert starts(history) == [0.0, 5.0, 9.0]
    assert history.requests.end_s.tolist() == [5.0, 7.0, 10.0]


def test_a_replica_asked_for_at_a_tick_serves_when_its_cold_start_is_over(simulate):
    history = simulate((0.5, 5.0), script=((0.0, 0), (2.0, 1)))
    assert starts(history) == [22.0]
    assert history.replicas.asked_s.tolist() == [2.0]
    assert history.replicas.ready_s.tolist() == [22.0]


def test_a_draining_replica_finishes_its_requests_and_gets_no_new_one(simulate):
    history = simulate((0.0, 10.0), (3.0, 1.0), initial=1, script=((0.0, 1), (2.0, 0), (4.0, 1)))
    assert history.requests.end_s[0] == 10.0
    assert history.replicas.leaving_s[0] == 2.0
    assert history.replicas.gone_s[0] == 10.0
    assert starts(history)[1] == 24.0
    assert history.replicas.draining_s[0] == 8.0


def test_a_starting_replica_goes_before_an_idle_one_and_an_idle_one_before_a_busy_one(simulate):
    history = simulate((0.0, 100.0), initial=2, script=((0.0, 2), (2.0, 3), (4.0, 2), (6.0, 1), (8.0, 0)))
    assert history.replicas.leaving_s.tolist() == [8.0, 6.0, 4.0]
    assert history.replicas.gone_s.tolist() == [100.0, 6.0, 4.0]
    assert np.isnan(history.replicas.ready_s[2])


def test_several_stages_of_a_cold_start_come_one_after_the_other(simulate):
    pools = (Pool("gpu", (Constant(1.0), Constant(2.0), Constant(4.0))),)
    history = simulate((0.0, 1.0), script=((0.0, 1),), pools=pools)
    assert history.replicas.ready_s.tolist() == [7.0]


def test_if_a_pool_is_out_of_stock_the_next_is_used_and_then_a_replica_is_pending(simulate):
    pools = (Pool("fast", (Constant(0.0),), speed=2.0, stock=1), Pool("slow", (Constant(0.0),), stock=1))
    history = simulate((0.0, 8.0), (0.0, 3.0), (0.0, 1.0), script=((0.0, 3), (4.0, 2)), pools=pools)
    assert history.replicas.pool.tolist() == [0, 1, -1]
    assert history.requests.end_s.tolist() == [4.0, 3.0, 4.0]


def test_a_replica_without_a_gpu_gets_the_one_that_becomes_free(simulate):
    pools = (Pool("only", (Constant(5.0),), stock=1),)
    dying = (Pool("only", (Constant(5.0),), stock=1, lifetime=Constant(10.0)),)
    waiting = simulate((0.0, 30.0), script=((0.0, 2),), pools=pools, until_s=50.0)
    replaced = simulate((0.0, 30.0), (1.0, 1.0), script=((0.0, 2),), pools=dying, until_s=30.0)
    assert waiting.replicas.pool.tolist() == [0, -1]
    assert replaced.replicas.placed_s[:2].tolist() == [0.0, 15.0]


def test_a_replica_that_dies_loses_its_request_and_is_replaced(simulate):
    pools = (Pool("gpu", (Constant(20.0),), lifetime=Constant(3.0)),)
    history = simulate((0.0, 10.0), (1.0, 2.0), script=((0.0, 1),), pools=pools, until_s=60.0)
    assert history.requests.status.tolist() == [REPLICA_DIED, SERVED]
    assert history.requests.end_s[0] == 23.0
    assert starts(history)[1] == 43.0
    assert history.replicas.asked_s[:2].tolist() == [0.0, 23.0]


def test_a_full_queue_refuses(simulate):
    limits = Limits(concurrency=1, queue_length=1, queue_timeout_s=inf)
    history = simulate((0.0, 5.0), (1.0, 5.0), (2.0, 5.0), initial=1, limits=limits, **FIXED)
    assert history.requests.status.tolist() == [SERVED, SERVED, REFUSED]
    assert history.requests.latency_s.tolist() == [5.0, 9.0, 0.0]


def test_requests_that_wait_for_a_start_have_limits_of_their_own(simulate):
    limits = Limits(1, 0, inf, none_ready=QueueLimits(1, 30.0), all_busy=QueueLimits(1, 5.0))
    arrivals = ((0.0, 10.0), (1.0, 1.0), (21.0, 1.0), (22.0, 1.0))
    history = simulate(*arrivals, script=((0.0, 1),), pools=(Pool("gpu", (Constant(20.0),)),), limits=limits)
    assert history.requests.status.tolist() == [SERVED, REFUSED, QUEUE_TIMEOUT, REFUSED]
    assert history.requests.end_s[2] == 26.0


def test_the_queue_s_timeout_ends_a_wait(simulate):
    limits = Limits(concurrency=1, queue_length=10, queue_timeout_s=3.0)
    history = simulate((0.0, 10.0), (1.0, 5.0), (8.0, 1.0), initial=1, limits=limits, **FIXED)
    assert history.requests.status.tolist() == [SERVED, QUEUE_TIMEOUT, SERVED]
    assert history.requests.end_s[1] == 4.0


def test_an_impatient_client_leaves_the_queue_and_never_a_replica(simulate):
    history = simulate(Arrival(0.0, 9.0, patience_s=2.0), Arrival(1.0, 1.0, patience_s=3.0), initial=1, **FIXED)
    assert history.requests.status.tolist() == [SERVED, HUNG_UP]
    assert history.requests.end_s.tolist() == [9.0, 4.0]


def test_a_replica_goes_on_with_a_running_request_when_the_client_disconnects(simulate):
    history = simulate(Arrival(0.0, 9.0, timeout_s=5.0), (1.0, 1.0), initial=1, **FIXED)
    assert history.requests.status.tolist() == [HUNG_UP, SERVED]
    assert history.requests.latency_s[0] == 5.0
    assert starts(history) == [0.0, 9.0]


def test_a_replica_with_two_slots_serves_two_at_a_time(simulate):
    limits = Limits(concurrency=2, queue_length=10, queue_timeout_s=inf)
    history = simulate((0.0, 4.0), (0.0, 6.0), (0.0, 1.0), initial=1, limits=limits, **FIXED)
    assert starts(history) == [0.0, 0.0, 4.0]
    assert history.replicas.busy_s.tolist() == [6.0]


def test_an_update_with_a_request_at_zero_replicas_wakes_the_controller(simulate):
    history = simulate((0.5, 1.0), script=((0.0, 0), (0.4, 1)))
    assert history.replicas.asked_s.tolist() == [0.5]


def test_without_wake_ups_it_waits_for_the_tick(simulate):
    history = simulate((0.5, 1.0), script=((0.0, 0), (0.51, 1)), wakes=False)
    assert history.replicas.asked_s.tolist() == [2.0]


def test_the_first_request_is_sent_immediately_and_those_right_after_it_share_one_update(simulate):
    history = simulate((0.5, 1.0), (0.51, 1.0), (0.515, 1.0), (0.6, 1.0), script=((0.0, 0), (30.0, 1)))
    woken = [
        (record.observation.now_s, record.observation.latest)
        for record in history.decisions
        if record.observation.now_s % 2
    ]
    assert woken == [(0.5, 1), (pytest.approx(0.52), 3), (0.6, 4)]


def test_the_first_request_without_a_ready_replica_is_sent_right_after_another_update(simulate):
    gives_up, comes = (1.0, 1.0, 0.005), (1.03, 1.0)
    history = simulate(gives_up, comes, script=((0.0, 0), (30.0, 1)))
    woken = [record.observation.now_s for record in history.decisions if record.observation.now_s % 2]
    assert woken == [1.0, 1.03], "the line of 1.02 told that nobody waits"


def test_an_observation_has_the_exact_mean_since_the_one_before(simulate):
    history = simulate((2.5, 1.0), (3.0, 0.25), initial=1, script=((0.0, 1),), wakes=False, coalesce_s=0.0)
    observations = {record.observation.now_s: record.observation for record in history.decisions}
    assert observations[4.0].inflight == pytest.approx((1.0 + 0.75) / 2)
    assert observations[4.0].latest == 0


def test_with_prometheus_a_tick_decides_on_the_newest_sample_whose_lag_is_over(simulate):
    history = simulate(
        (2.5, 10.0), initial=1, script=((0.0, 1),), scrape_s=1.0, metric_lag=Constant(1.5), coalesce_s=inf, until_s=8.0
    )
    values = [(record.observation.now_s, record.observation.inflight) for record in history.decisions]
    assert values[1:] == [(2.0, 0.0), (4.0, 0.0), (6.0, 1.0), (8.0, 1.0)]


def test_before_the_first_sample_has_arrived_the_count_is_unknown_and_not_zero(simulate):
    history = simulate((0.0, 1.0), script=((0.0, 1),), scrape_s=1.0, metric_lag=Constant(3.0), coalesce_s=inf)
    assert history.decisions[1].observation.inflight is None
    assert "no sample yet" in history.decisions[1].observation.problem


def test_a_run_with_a_fixed_end_says_which_requests_are_still_in_flight(simulate):
    history = simulate((0.0, 100.0), (1.0, 1.0), initial=1, script=((0.0, 1),), until_s=10.0)
    assert history.requests.status.tolist() == [STILL_IN, STILL_IN]
    assert history.end_s == 10.0
    assert history.inflight_s == 19.0
    assert history.replicas.busy_s.tolist() == [10.0]


def test_a_run_ends_although_its_requests_can_never_be_served(simulate):
    history = simulate((0.0, 1.0), settle_s=100.0)
    assert history.requests.status.tolist() == [STILL_IN]
    assert history.end_s == pytest.approx(102.0, abs=2.0)


def test_replicas_do_not_die_after_the_last_request(simulate):
    pools = (Pool("gpu", (Constant(1.0),), lifetime=Exponential(2.0)),)
    history = simulate((0.0, 1.0), script=((0.0, 1),), pools=pools, min_replicas=1)
    assert history.end_s < 100.0


def test_ctrl_c_gives_what_has_happened_so_far(simulate, monkeypatch):
    def interrupted(_self, metered):
        raise KeyboardInterrupt

    monkeypatch.setattr(reference.ReferenceEngine, "_tick", interrupted)
    history = simulate((0.0, 1.0), (5.0, 1.0), initial=1)
    assert history.partial
    assert len(history.requests) == 1


def test_a_time_that_never_came_is_nan(simulate):
    history = simulate((0.0, 1.0), settle_s=10.0)
    assert np.isnan(history.requests.start_s[0])
    assert not np.isnan(history.requests.arrival_s).any()


def test_the_record_of_a_decision_is_that_of_the_live_controller(simulate):
    history = simulate((0.5, 1.0), script=((0.0, 0), (2.0, 1)))
    record = next(record for record in history.decisions if record.outcome is not None)
    assert record.service == "default/x"
    assert record.decision.desired == 1
    assert record.decision.recommendation == Recommendation(1, "as written")
    invariants.check(history, concurrency=1)


@pytest.mark.parametrize("every_s", [0.77, 0.1, 1 / 3, 2.0])
def test_a_grid_advances_in_spite_of_rounding(every_s):
    points = [0.0]
    for _ in range(1000):
        points.append(next_on_grid(points[-1], every_s))
    assert points == [number * every_s for number in range(1001)]
