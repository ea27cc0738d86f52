"""Only in the reference engine: paths that take no slot, cookies, timeouts at a replica, replicas that fail."""

from math import inf

import numpy as np
import pytest

from algorithms.distributions import Constant, Uniform
from autoscaler.gateway.dispatch.dispatcher import Limits, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.testing import policy
from simulations import simulate
from simulations.model import invariants
from simulations.model.history import HUNG_UP, REFUSED, REPLICA_DIED, REQUEST_TIMEOUT, SERVED
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Arrival, Pool
from simulations.results.figures import figures
from simulations.scenario.document import Scenario
from simulations.scenario.request_sources import source_of
from simulations.scenario.workloads import Workload

FIXED = {"tick_s": inf, "coalesce_s": inf}
RULES = (
    PathRule(("/progress",), SlotUse.PASS, max_per_pod=2),
    PathRule(("/favicon.ico",), SlotUse.PASS, wake=False),
    PathRule(("/slow",), request_timeout_s=100.0),
)


@pytest.fixture
def run(simulate):
    """Run requests and check what must hold in any case."""

    def run(*arrivals, **changes):
        history = simulate(*arrivals, **({"rules": RULES} | changes))
        invariants.check(history, concurrency=1, fifo="cookie_s" not in changes)
        return history

    return run


# Paths that take no slot.


def test_a_request_that_takes_no_slot_is_served_beside_one_that_does(run):
    history = run((0.0, 10.0), Arrival(1.0, 2.0, path="/progress"), initial=1, **FIXED)
    assert history.requests.start_s.tolist() == [0.0]
    assert history.passing.start_s.tolist() == [1.0]
    assert history.replicas.busy_s.tolist() == [10.0]
    assert history.inflight_s == 10.0


def test_no_replica_gets_more_of_them_than_max_per_pod(run):
    polls = [Arrival(1.0, 4.0, path="/progress") for _ in range(3)]
    assert run(*polls, initial=1, **FIXED).passing.start_s.tolist() == [1.0, 1.0, 5.0]


def test_one_that_meets_no_replica_is_held_and_wakes_the_controller(run):
    history = run(Arrival(0.5, 1.0, path="/progress"), script=((0.0, 0), (0.4, 1)))
    woken = next(record.observation for record in history.decisions if record.observation.now_s == 0.5)
    assert (woken.passing, woken.inflight) == (2, 0.0), "it is held, and it has come since the last look"
    assert history.passing.start_s.tolist() == [20.5]


def test_one_that_must_not_wake_is_refused_at_zero_replicas(run):
    history = run(Arrival(0.5, 1.0, path="/favicon.ico"), script=((0.0, 0),), until_s=10.0)
    assert history.passing.status.tolist() == [REFUSED]
    assert not len(history.replicas)


def test_a_draining_replica_stays_until_requests_without_a_slot_have_ended_too(run):
    history = run(Arrival(1.0, 9.0, path="/progress"), initial=1, script=((0.0, 1), (2.0, 0)), until_s=30.0)
    assert history.replicas.leaving_s.tolist() == [2.0]
    assert history.replicas.gone_s.tolist() == [10.0]
    assert history.replicas.draining_s.tolist() == [0.0]


def test_requests_without_a_slot_have_figures_of_their_own(run):
    history = run((0.0, 10.0), Arrival(1.0, 2.0, path="/progress"), initial=1, **FIXED)
    found = figures(history, (Pool("gpu", (Constant(0.0),)),))
    assert (found["requests"], found["passing"], found["passing_served"]) == (1.0, 1.0, 1.0)
    assert found["passing_wait_p95_s"] == 0.0


# Cookies.

SPILL = Limits(concurrency=1, queue_length=10, queue_timeout_s=inf, spill_after_s=3.0)


def test_a_client_that_keeps_its_cookie_waits_for_its_own_replica_though_another_is_idle(run):
    mine = [Arrival(0.0, 5.0, session=1), Arrival(6.0, 5.0, session=1), Arrival(7.0, 1.0, session=1)]
    history = run(*mine, initial=2, cookie_s=1800.0, **FIXED)
    assert history.requests.replica.tolist() == [0, 0, 0]
    assert history.requests.start_s.tolist() == [0.0, 6.0, 11.0]


def test_a_request_that_may_spill_goes_to_an_idle_replica_after_a_while(run):
    mine = [Arrival(0.0, 5.0, session=1), Arrival(6.0, 5.0, session=1), Arrival(7.0, 1.0, session=1)]
    history = run(*mine, initial=2, cookie_s=1800.0, limits=SPILL, **FIXED)
    assert history.requests.replica.tolist() == [0, 0, 1]
    assert history.requests.start_s.tolist() == [0.0, 6.0, 10.0]


def test_a_cookie_is_valid_for_its_lifetime_and_its_own_client_only(run):
    before = [Arrival(0.0, 1.0, session=1), Arrival(2.0, 9.0), Arrival(3.0, 1.0, session=2)]
    others = [*before, Arrival(4.0, 1.0, session=1)]
    assert run(*others, initial=2, cookie_s=1800.0, **FIXED).requests.replica.tolist() == [0, 0, 1, 0]
    assert run(*others, initial=2, cookie_s=3.5, **FIXED).requests.replica.tolist() == [0, 0, 1, 1]


def test_without_cookies_no_request_waits_for_a_certain_replica(run):
    mine = [Arrival(0.0, 5.0, session=1), Arrival(1.0, 1.0, session=1)]
    assert run(*mine, initial=2, **FIXED).requests.replica.tolist() == [0, 1]


def test_requests_are_spread_over_all_clients():
    open_loop = Workload.model_validate({"poisson": {"rate": 1}, "sessions": 5, "requests": 2000})
    sessions = [arrival.session for arrival in source_of([open_loop], RandomStreams(1)).arrivals()]
    assert np.bincount(sessions) == pytest.approx([400] * 5, abs=80)
    loop = Workload.model_validate({"closedLoop": {"requests": 6, "clients": 3}, "sessions": 3})
    assert [arrival.session for arrival in source_of([loop], RandomStreams(1)).arrivals()] == [0, 1, 2]


# Timeouts, and what is broken off.


def test_a_replica_that_takes_too_long_is_given_up_and_takes_the_next(run):
    history = run((0.0, 50.0), (1.0, 2.0), initial=1, request_timeout_s=10.0, **FIXED)
    assert history.requests.status.tolist() == [REQUEST_TIMEOUT, SERVED]
    assert history.requests.end_s.tolist() == [10.0, 12.0]
    found = figures(history, (Pool("gpu", (Constant(0.0),)),))
    assert (found["request_timeouts"], found["queue_timeouts"]) == (1.0, 0.0)


def test_a_path_may_have_a_timeout_of_its_own(run):
    history = run(Arrival(0.0, 50.0, path="/slow"), initial=1, request_timeout_s=10.0, **FIXED)
    assert history.requests.status.tolist() == [SERVED]


def test_if_the_gateway_interrupts_a_replica_stops_when_its_client_disconnects(run):
    history = run(Arrival(0.0, 9.0, timeout_s=5.0), (1.0, 1.0), initial=1, cancel_on_disconnect=True, **FIXED)
    assert history.requests.status.tolist() == [HUNG_UP, SERVED]
    assert history.requests.start_s.tolist() == [0.0, 5.0]


# Replicas.


def test_another_replica_takes_the_place_of_one_that_fails_to_start(run):
    pools = (Pool("gpu", (Constant(20.0),), start_failure=0.5),)
    history = run((0.0, 1.0), script=((0.0, 1),), pools=pools, seed=1, until_s=500.0)
    replicas = history.replicas
    *failed, last = np.isnan(replicas.ready_s).tolist()
    assert all(failed)
    assert not last
    assert replicas.gone_s[:-1].tolist() == replicas.asked_s[1:].tolist()
    assert figures(history, pools)["start_failures"] == len(failed)


def test_replicas_fail_to_start_as_often_as_they_should(run):
    pools = (Pool("gpu", (Constant(1.0),), start_failure=0.3),)
    history = run((0.0, 1.0), script=((0.0, 1000),), pools=pools, until_s=100.0)
    assert figures(history, pools)["start_failures"] / len(history.replicas) == pytest.approx(0.3, abs=0.05)


def test_a_replica_that_dies_is_counted_with_what_it_served(run):
    pools = (Pool("gpu", (Constant(0.0),), lifetime=Constant(5.0)),)
    polled = Arrival(1.0, 30.0, path="/progress")
    history = run((0.0, 30.0), polled, initial=1, script=((0.0, 1),), pools=pools, until_s=7.0)
    assert history.requests.status.tolist() == history.passing.status.tolist() == [REPLICA_DIED]
    assert figures(history, pools)["replicas_died"] == 1.0


def test_a_pool_may_have_service_times_of_its_own(run):
    pools = (Pool("p4", (Constant(0.0),), stock=1, service=Constant(3.0)), Pool("p100", (Constant(0.0),)))
    history = run((0.0, 10.0), (0.0, 10.0), initial=2, pools=pools, **FIXED)
    assert history.requests.end_s.tolist() == [3.0, 10.0]


def test_a_lag_that_varies_never_shows_an_older_sample_after_a_newer_one(run):
    history = run(
        (2.5, 40.0),
        initial=1,
        script=((0.0, 1),),
        scrape_s=1.0,
        metric_lag=Uniform(0.0, 5.0),
        coalesce_s=inf,
        until_s=60.0,
    )
    values = [record.observation.inflight for record in history.decisions if record.observation.now_s < 42.5]
    known = [value for value in values if value is not None]
    assert known == sorted(known), "once the request has been seen, no look misses it"
    assert known[-1] == 1.0


# All of it, from documents.

POLICY = policy(
    "x",
    maxReplicas=4,
    traffic={
        "hosts": ["x.example.com"],
        "requestTimeout": "60s",
        "onAbort": "Interrupt",
        "affinity": {"cookie": {"name": "sd"}, "whenBusy": "Spill", "spillAfter": "5s"},
        "paths": [{"match": ["/progress"], "class": "Pass", "maxPerPod": 3}],
    },
)


def scenario(*workloads, **pool):
    return Scenario.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "x"},
            "spec": {
                "workloads": list(workloads),
                "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": "20s"}, **pool}]},
                "run": {"duration": "20m"},
            },
        }
    )


JOBS = {"poisson": {"rate": 0.2}, "serviceTime": "uniform(5, 15)"}


def test_limits_of_the_queue_by_the_state_of_the_pods_need_the_reference_engine():
    apart = policy("x", traffic={"hosts": ["a"], "queue": {"allBusy": {"maxLength": 0}}})
    assert "limits for the time without" in simulate(scenario(JOBS), apart).history.engine


@pytest.mark.parametrize(
    ("workloads", "pool", "why"),
    [
        ([JOBS, {"poisson": {"rate": 1}, "path": "/progress", "serviceTime": "0.1"}], {}, "take no slot"),
        ([JOBS | {"sessions": 4}], {}, "affinity cookies"),
        ([JOBS | {"timeout": "30s"}], {}, "stop work whose client has left"),
        ([JOBS], {"startFailure": "20%"}, "fail to start"),
        ([JOBS], {"serviceTime": "gamma(8, 0.5)"}, "service times of its own"),
    ],
)
def test_the_run_says_why_it_takes_the_reference_engine(workloads, pool, why):
    result = simulate(scenario(*workloads, **pool), POLICY)
    assert result.history.engine.startswith("reference (not compiled: ")
    assert why in result.history.engine
    assert result.estimates["served"].mean > 100


def test_progress_that_is_polled_does_not_raise_the_number_of_replicas():
    polling = {"poisson": {"rate": 5}, "path": "/progress", "serviceTime": "0.05"}
    alone, polled = (simulate(scenario(*workloads), POLICY) for workloads in ([JOBS], [JOBS, polling]))
    assert polled.estimates["replicas_peak"] == alone.estimates["replicas_peak"]
    assert polled.estimates["served"] == alone.estimates["served"]
    assert polled.estimates["passing_served"].mean > 4000
