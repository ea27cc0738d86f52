"""The document GpuBudget: what is legal, who is in it, and how much a replica needs."""

import pytest
from pydantic import ValidationError

from autoscaler.documents.document import DocumentError, to_yaml
from autoscaler.policy.loading import read_budgets, read_policies
from autoscaler.testing import budget, budget_document, policy_document


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


def written(tmp_path, *documents):
    file = tmp_path / "documents.yaml"
    file.write_text("---\n".join(map(to_yaml, documents)))
    return [file]


def test_a_budget_stands_in_a_file_beside_policies(tmp_path):
    files = written(tmp_path, policy_document("sd"), budget_document(gpus=4), budget_document("other", gpus=2))
    assert [each.name for each in read_budgets(files)] == ["shared", "other"]
    assert [each.service for each in read_policies(files)] == ["default/sd"]


def test_a_file_need_not_have_a_budget(tmp_path):
    assert read_budgets(written(tmp_path, policy_document("sd"))) == []


def test_the_problems_of_all_budgets_name_file_line_key_and_what_is_legal(tmp_path):
    files = written(tmp_path, budget_document(gpus=-1), budget_document(gpus=4), budget_document(gpus=4))
    with pytest.raises(DocumentError) as error:
        read_budgets(files)
    first, second = error.value.problems
    assert first.startswith(f"{files[0]}:6: spec.gpus: -1: must be")
    assert second.endswith(f'metadata.name: "shared": the budget is there already, at {files[0]}:11')
