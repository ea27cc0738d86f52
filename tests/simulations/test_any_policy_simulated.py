"""Any legal policy in the simulator: it is run to its end, and asks for no more than its maximum."""

import pytest
from hypothesis import given, settings
from legal_policies import legal_policies

from autoscaler.testing import policy
from simulations import simulate
from simulations.scenario.document import Scenario

SCENARIO = Scenario.model_validate(
    {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": {
            "workloads": [{"renewal": {"interarrival": "gamma(mean=4, cv=2)"}, "serviceTime": "5", "requests": 20}],
            "fleet": {"pools": [{"name": "gpu", "coldStart": {"load": "20s"}}]},
            "run": {"duration": "5m"},
        },
    }
)


@pytest.mark.slow
@given(legal_policies())
@settings(max_examples=40)
def test_any_policy_is_simulated_within_its_bounds(policy):
    decisions = simulate(SCENARIO, policy).history.decisions
    assert decisions
    assert all(0 <= record.decision.desired <= policy.spec.max_replicas for record in decisions)


def test_a_decider_that_fails_ends_a_simulation_as_its_figures_would_hide_a_defect(monkeypatch):
    monkeypatch.setattr("algorithms.concurrency.Concurrency.recommend", None)
    with pytest.raises(TypeError):
        simulate(SCENARIO, policy("x"))
