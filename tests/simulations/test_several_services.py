"""Several services on one fleet: they share GPUs and budgets, and each is simulated as if it were alone otherwise."""

import copy
import json

import numpy as np
import pytest

from autoscaler.cli import main
from autoscaler.documents.document import DocumentError, to_yaml
from autoscaler.testing import budget_document, policy, policy_document
from simulations import Scenario, compare, read_scenario, simulate
from simulations.study import ALL_SERVICES

CHAT = [{"poisson": {"rate": 0.5}, "serviceTime": "8s", "requests": 120}]
BATCH = [{"closedLoop": {"requests": 24, "clients": 6}, "start": "1m", "serviceTime": "20s"}]


def service(name, workloads, **more):
    return {"workloads": workloads, "policy": policy_document(name), **more}


def document(*services, pool=(), **spec):
    return {
        "apiVersion": "inflight.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "one-fleet"},
        "spec": {
            "fleet": {"pools": [{"name": "gpu", "pricePerHour": 1.2, "coldStart": {"load": "20s"}, **dict(pool)}]},
            "services": list(services),
            "run": {"duration": "10m"},
            **spec,
        },
    }


def scenario(*services, **spec):
    return Scenario.model_validate(document(*services, **spec))


def budget(**spec):
    return [{"budget": budget_document(**spec)}]


def occupied(results, moments, begins="asked_s"):
    """Give how many replicas of all services there are at each moment."""
    there = np.zeros(len(moments), dtype=int)
    for result in results[:-1]:
        replicas = result.history.replicas
        begin_s, gone_s = getattr(replicas, begins), np.nan_to_num(replicas.gone_s, nan=np.inf)
        there += ((begin_s <= moments[:, None]) & (moments[:, None] < gone_s)).sum(axis=1)
    return there


MOMENTS = np.arange(0.0, 600.0, 0.05)


def test_a_service_alone_on_the_fleet_is_simulated_as_a_scenario_of_one_service():
    several = compare(scenario(service("chat", CHAT, initialReplicas=1)))
    one = copy.deepcopy(document())
    del one["spec"]["services"]
    one["spec"] |= {"workloads": CHAT, "policies": [{"policy": policy_document("chat")}]}
    one["spec"]["fleet"]["initialReplicas"] = 1
    alone = simulate(Scenario.model_validate(one), engine="reference")
    assert several[0].replications == alone.replications
    assert several[1].replications == alone.replications


def test_what_runs_never_exceeds_the_budget_and_the_higher_priority_waits_less():
    services = (service("chat", CHAT), service("batch", BATCH))
    terms = [{"name": "chat", "priority": 1}, {"guaranteed": 1}]
    limited = compare(scenario(*services, budgets=budget(gpus=6, services=terms)))
    free = compare(scenario(*services))
    assert occupied(limited, MOMENTS).max() == 6
    assert occupied(free, MOMENTS).max() > 6
    waits = [result.estimates["wait_mean_s"].mean for result in limited]
    assert waits[0] < waits[1]


def test_the_decisions_say_which_budget_limits_them():
    services = (service("chat", CHAT), service("batch", BATCH))
    results = compare(scenario(*services, budgets=budget(gpus=4)))
    reasons = [reason for record in results[-1].history.decisions for reason in record.decision.reasons]
    assert any(reason.rule == "budget" and "default/batch has" in reason.why for reason in reasons)


def test_services_without_a_budget_share_the_stock_and_a_freed_gpu_goes_to_who_waits():
    steady = [{"closedLoop": {"requests": 6, "clients": 2}, "serviceTime": "30s"}]
    later = [{"closedLoop": {"requests": 4, "clients": 2}, "start": "10s", "serviceTime": "10s"}]
    results = compare(scenario(service("first", steady), service("second", later), pool={"stock": 2}.items()))
    assert occupied(results, MOMENTS, "placed_s").max() == 2
    assert [result.estimates["served"].mean for result in results] == [6, 4, 10]
    first, second = (result.history.replicas for result in results[:2])
    assert second.placed_s.min() == np.nanmin(first.gone_s)


def test_the_last_result_is_the_sum():
    *services, whole = compare(scenario(service("chat", CHAT), service("batch", BATCH)), replications=2)
    assert (whole.name, whole.policy) == (ALL_SERVICES, None)
    for name in ("served", "gpu_s", "cost", "replicas_mean", "decisions"):
        parts = sum(result.estimates[name].mean for result in services)
        assert whole.estimates[name].mean == pytest.approx(parts)
    assert np.all(np.diff(whole.history.requests.arrival_s) >= 0)


def test_services_with_equal_workloads_have_different_arrivals():
    one, two, _ = compare(scenario(service("one", CHAT), service("two", CHAT)))
    assert set(one.history.requests.arrival_s).isdisjoint(two.history.requests.arrival_s)


def test_the_result_does_not_depend_on_the_number_of_workers():
    given = scenario(service("chat", CHAT), service("batch", BATCH), budgets=budget(gpus=5))
    both = [compare(given, replications=2, workers=workers) for workers in (1, 2)]
    assert [each.replications for each in both[0]] == [each.replications for each in both[1]]


def test_a_run_without_a_duration_ends_when_all_services_are_done():
    given = document(service("batch", BATCH), service("other", BATCH), budgets=budget(gpus=8))
    del given["spec"]["run"]
    *_, whole = compare(Scenario.model_validate(given))
    assert whole.estimates["served"].mean == 48
    assert whole.estimates["replicas_peak"].mean == 8
    assert whole.history.changes[-1].asked == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"workloads": CHAT}, "must have exactly one of workloads, services"),
        ({"services": None}, "must have exactly one of workloads, services"),
        (
            {"services": None, "workloads": CHAT, "budgets": budget(gpus=1)},
            "spec.budgets: .*needs services",
        ),
        ({"policies": [{"policy": policy_document("x")}]}, "spec.policies: .*is not allowed beside services"),
        ({"expect": {"answers": 1, "peakReplicas": 1}}, "spec.expect: .*is not allowed beside services"),
        ({"controller": {"immediate": True}}, "spec.controller.immediate: true: is not allowed beside services"),
        (
            {"fleet": {"initialReplicas": 1, "pools": [{"name": "gpu"}]}},
            "spec.fleet.initialReplicas: 1: ",
        ),
        ({"run": {}, "services": [service("a", [{"poisson": {"rate": 1}}])]}, "run.duration: is required"),
        ({"services": [service("chat", CHAT), service("chat", CHAT)]}, "spec.services: has default/chat twice"),
        ({"budgets": budget(gpus=1) * 2}, "spec.budgets: has shared twice"),
    ],
)
def test_what_is_not_legal_is_refused(change, problem, tmp_path):
    given = document(service("chat", CHAT))
    given["spec"] = {key: value for key, value in (given["spec"] | change).items() if value is not None}
    file = tmp_path / "scenario.yaml"
    file.write_text(to_yaml(given))
    with pytest.raises(DocumentError, match=problem):
        compare(file)


def test_policies_and_budgets_are_found_from_the_folder_of_the_scenario(tmp_path):
    (tmp_path / "policy.yaml").write_text(to_yaml(policy_document("chat")))
    (tmp_path / "budget.yaml").write_text(to_yaml(budget_document(gpus=1)))
    file = tmp_path / "scenario.yaml"
    given = document({"workloads": CHAT, "file": "policy.yaml"}, budgets=[{"file": "budget.yaml"}])
    file.write_text(to_yaml(given))
    result, _ = compare(file)
    assert (result.name, result.estimates["replicas_peak"].mean) == ("default/chat", 1)
    (tmp_path / "policy.yaml").write_text("---\n".join(to_yaml(policy_document(name)) for name in ("a", "b")))
    with pytest.raises(DocumentError, match=r"spec.services\[0\].file: .*must have one policy, has 2"):
        compare(file)


def test_one_policy_for_several_services_is_refused():
    given = scenario(service("chat", CHAT))
    with pytest.raises(DocumentError, match="each has its policy"):
        compare(given, [policy("other")])
    with pytest.raises(DocumentError, match="use compare"):
        simulate(given)


def test_the_command_prints_each_service_and_the_sum_and_writes_the_decisions_of_all(tmp_path, capsys):
    file, out, log = (tmp_path / name for name in ("scenario.yaml", "out.json", "decisions.jsonl"))
    file.write_text(to_yaml(document(service("chat", CHAT), service("batch", BATCH), budgets=budget(gpus=5))))
    assert main(["simulate", str(file), "--json", str(out), "--decisions", str(log)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("one-fleet: 2 services on one fleet, seed 1, one run\n")
    assert "default/chat   default/batch   all services" in printed
    assert [each["policy"] for each in json.loads(out.read_text())] == ["default/chat", "default/batch", ALL_SERVICES]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines if "policy" in line} == {"default/chat", "default/batch"}
    times = [line["observation"]["now_s"] for line in lines if "observation" in line]
    assert times == sorted(times)
    assert read_scenario(file).spec.services
