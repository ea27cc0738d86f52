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
            "fleet": {
                "pools": [
                    {"name": name, "coldStart": {"load": "20s"}, "stock": stock, "stockChanges": [{"at": "60s"}]}
                    for name, stock in (("pool-0", 3), ("pool-1", 1), ("pool-2", None))
                ]
            },
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
    spec = policy.spec
    most = max(spec.max_replicas, *(window.max_replicas or 0 for window in spec.schedule), 0)
    most += spec.pools is not None  # one more while one moves
    assert all(0 <= record.decision.desired <= most for record in decisions)


def test_a_decider_that_fails_ends_a_simulation_as_its_figures_would_hide_a_defect(monkeypatch):
    monkeypatch.setattr("algorithms.concurrency.Concurrency.recommend", None)
    with pytest.raises(TypeError):
        simulate(SCENARIO, policy("x"))
