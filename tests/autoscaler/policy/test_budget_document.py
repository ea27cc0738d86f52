"""The document GpuBudget: what is legal, who is in it, and how much a replica needs."""

import pytest
from pydantic import ValidationError

from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.spec import API_VERSION


def budget(**spec):
    return GpuBudget.model_validate(
        {"apiVersion": API_VERSION, "kind": "GpuBudget", "metadata": {"name": "shared"}, "spec": spec}
    )


def test_without_services_all_services_share_it_on_equal_terms():
    terms = budget(gpus=8).terms("team-a/sd")
    assert (terms.priority, terms.weight, terms.guaranteed, terms.cost) == (0, 1, 0, 1)


def test_the_first_entry_that_names_a_service_has_its_terms():
    services = [{"namespace": "a", "name": "sd-*", "priority": 3}, {"name": "sd-1", "priority": 2}, {"priority": 1}]
    shared = budget(gpus=8, services=services)
    names = ["a/sd-1", "b/sd-1", "b/sd-2", "a/llm"]
    assert [shared.terms(name).priority for name in names] == [3, 2, 1, 1]


def test_a_service_that_no_entry_names_is_not_in_the_budget():
    shared = budget(gpus=8, namespaces=["a"], services=[{"name": "sd"}, {"namespace": "b", "name": "llm"}])
    assert [shared.terms(name) is None for name in ("a/sd", "b/sd", "a/llm", "b/llm")] == [False, True, True, True]


def test_money_is_counted_without_rounding_errors():
    shared = budget(costPerHour=0.3, services=[{"pricePerHour": 0.1}])
    assert shared.terms("a/sd").cost * 3 == shared.total
    assert shared.amount(shared.total) == pytest.approx(0.3)


def test_gpus_are_counted_by_the_replica():
    assert budget(gpus=8, services=[{"gpusPerReplica": 4}]).terms("a/sd").cost == 4


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "exactly one of gpus, costPerHour; has none"),
        ({"gpus": 1, "costPerHour": 1}, "exactly one of gpus, costPerHour"),
        ({"costPerHour": 1}, "needs services, each with pricePerHour"),
        ({"costPerHour": 1, "services": [{"pricePerHour": 1}, {}]}, "needs services, each with pricePerHour"),
        ({"costPerHour": 1, "services": [{"pricePerHour": 1, "gpusPerReplica": 2}]}, "without gpusPerReplica"),
        ({"gpus": 1, "services": [{"pricePerHour": 1}]}, "pricePerHour is for a budget of costPerHour only"),
        ({"gpus": -1}, "greater than or equal to 0"),
        ({"gpus": 1, "services": []}, "at least 1 item"),
        ({"gpus": 1, "services": [{"name": "SD"}]}, "match pattern"),
        ({"gpus": 1, "services": [{"weight": 0}]}, "greater than or equal to 1"),
    ],
)
def test_what_is_not_legal_is_refused(spec, problem):
    with pytest.raises(ValidationError, match=problem):
        budget(**spec)
