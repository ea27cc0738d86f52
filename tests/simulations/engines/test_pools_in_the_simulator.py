"""Replicas in pools of GPUs whose stock changes: the live rules place them."""

from math import inf

import numpy as np
import pytest

from algorithms.distributions import Constant
from algorithms.pools import Placement
from algorithms.pools import Pool as GpuPool
from autoscaler.documents.document import DocumentError
from autoscaler.testing import policy
from simulations import simulate as simulate_scenario
from simulations.model.run_inputs import Pool
from simulations.scenario.document import Scenario

COLD_START = (Constant(5.0),)


@pytest.fixture
def in_pools(simulate):
    """Run one request while a script scales a service whose policy has these pools."""

    def run(*pools, until_s=400.0, **changes):
        placement = Placement([GpuPool(pool.name) for pool in pools], spill_after_s=20.0)
        numbers = tuple(range(len(pools)))
        return simulate((0.0, 1.0), pools=pools, policy_pools=numbers, placement=placement, until_s=until_s, **changes)

    return run


def test_replicas_beyond_the_stock_of_a_policy_s_pool_go_to_the_next_one_and_come_back_when_there_is_more(in_pools):
    p100 = Pool("p100", COLD_START, stock=2, stock_changes=((100.0, 3),))
    history = in_pools(p100, Pool("p4", COLD_START), script=((0.0, 3),))
    assert history.replicas.gone_s[2] == 20.0  # it had no GPU for 20 s
    first, second, spilled, back = placed = np.flatnonzero(history.replicas.pool >= 0)
    assert history.replicas.pool[placed].tolist() == [0, 0, 1, 0]
    assert history.replicas.asked_s[spilled] == 20.0
    assert history.replicas.placed_s[back] >= 100.0
    assert history.replicas.leaving_s[spilled] >= history.replicas.ready_s[back]
    assert np.isnan(history.replicas.leaving_s[[first, second, back]]).all()


def test_a_stock_that_falls_leaves_running_replicas_alone(in_pools):
    p100 = Pool("p100", COLD_START, stock=2, stock_changes=((50.0, 0),))
    history = in_pools(p100, Pool("p4", COLD_START), script=((0.0, 2), (100.0, 3)))
    assert sorted(history.replicas.pool[history.replicas.pool >= 0]) == [0, 0, 1]
    assert np.isnan(history.replicas.gone_s[:2]).all()


def test_a_stock_that_grows_starts_what_is_pending_for_a_policy_without_pools_too(simulate):
    pools = (Pool("gpu", COLD_START, stock=0, stock_changes=((50.0, 1),)),)
    assert simulate((0.0, 1.0), script=((0.0, 1),), pools=pools, until_s=100.0).replicas.ready_s.tolist() == [55.0]


def test_a_run_waits_for_the_stock_that_its_requests_need(in_pools):
    p100 = Pool("p100", COLD_START, stock=0, stock_changes=((9000.0, 1),))
    history = in_pools(p100, script=((0.0, 1), (9100.0, 0)), until_s=inf)
    assert history.requests.start_s.tolist() == [9005.0]


def test_replicas_that_are_there_at_the_beginning_are_in_the_first_pools_with_gpus(in_pools):
    pools = Pool("p100", COLD_START, stock=1), Pool("p4", COLD_START)
    assert in_pools(*pools, script=((0.0, 3),), initial=3).replicas.pool[:3].tolist() == [0, 1, 1]


# Documents.

NODES = {"pools": [{"name": "p100"}, {"name": "p4"}]}


def scenario(*pools, **controller):
    return Scenario.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "x"},
            "spec": {
                "workloads": [{"poisson": {"rate": 0.2}, "serviceTime": "8s", "requests": 200}],
                "fleet": {"pools": [{"coldStart": {"load": "20s"}, **pool} for pool in pools]},
                "controller": controller,
                "run": {"duration": "30m"},
            },
        }
    )


def test_a_policy_s_pools_are_found_by_name_and_its_order_is_the_order_of_preference():
    fleet = scenario({"name": "p4", "pricePerHour": 0.6}, {"name": "p100", "stock": 1, "pricePerHour": 1.5})
    result = simulate_scenario(fleet, policy(**NODES))
    reasons = [reason for each in result.history.decisions for reason in each.decision.reasons]
    assert any("in p4; p100 has no room for more" in reason.why for reason in reasons)
    assert result.estimates["cost_p100"].mean > 0
    assert result.estimates["cost_p4"].mean > 0
    assert "the policy has pools" in result.history.engine


def test_a_pool_that_the_fleet_does_not_have_is_named():
    with pytest.raises(DocumentError, match=r"default/sd: spec\.pools: p4: the scenario's fleet has p100, t4"):
        simulate_scenario(scenario({"name": "p100"}, {"name": "t4"}), policy(**NODES))


def test_a_scenario_without_delay_has_no_policy_with_pools():
    with pytest.raises(DocumentError, match=r"default/sd: spec\.pools: a scenario with controller\.immediate"):
        simulate_scenario(scenario({"name": "p100"}, {"name": "p4"}, immediate=True), policy(**NODES))


def test_changes_of_a_stock_must_be_in_order():
    with pytest.raises(ValueError, match="stockChanges: must be in order of time, each at a time of its own"):
        scenario({"name": "p100", "stockChanges": [{"at": "2m"}, {"at": "1m"}]})


def test_a_stock_that_changes_needs_the_reference_engine():
    result = simulate_scenario(scenario({"name": "gpu", "stockChanges": [{"at": "1m", "stock": 1}]}), policy())
    assert "the stock of a pool changes" in result.history.engine
