"""Several policies side by side: on the same random streams, with unique names, in a table."""

from dataclasses import replace

import pytest

from autoscaler.testing import policy, policy_document
from simulations import compare, simulate
from simulations.comparison import comparison_text, figures_text
from simulations.scenario.candidates import Candidate, candidates_in, candidates_of
from simulations.scenario.document import Scenario


def scenario(*policies, requests=40):
    workload = {"renewal": {"interarrival": "gamma(mean=4, cv=2)"}, "serviceTime": "uniform(4, 8)"}
    return Scenario.model_validate(
        {
            "apiVersion": "inflight.dev/v1alpha1",
            "kind": "Scenario",
            "metadata": {"name": "two"},
            "spec": {
                "workloads": [workload | {"requests": requests}],
                "fleet": {"pools": [{"name": "gpu", "pricePerHour": 1.0, "coldStart": {"load": "20s"}}]},
                "policies": list(policies),
                "objective": {"latency": "60s"},
            },
        }
    )


X = policy_document("x")
WARM = {"policy": policy_document("x", minReplicas=4, maxReplicas=4), "name": "warm"}
LEAN = {"policy": policy_document("x", maxReplicas=2), "name": "lean"}


def rows(text):
    """Give the table's cells by the first one of each row."""
    lines = (line.strip().split("  ") for line in text.splitlines())
    return {cells[0]: [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}


def test_every_policy_meets_the_same_requests():
    warm, lean = compare(scenario(WARM, LEAN))
    for column in ("arrival_s", "service_s"):
        assert getattr(warm.history.requests, column).tolist() == getattr(lean.history.requests, column).tolist()
    assert warm.estimates["wait_mean_s"].mean < lean.estimates["wait_mean_s"].mean


def test_a_table_has_a_column_for_each_policy_and_what_the_others_differ_by():
    warm, lean = results = compare(scenario(WARM, LEAN))
    text = comparison_text(results)
    assert text.startswith("two: 2 policies on the same random streams, seed 1, one run each\n")
    found = rows(text.partition("Difference from warm")[0])
    assert found["replicas, peak"] == ["4", "2"]
    assert [float(cell) for cell in found["wait, P95 (s)"]] == [
        pytest.approx(result.estimates["wait_p95_s"].mean, rel=1e-3) for result in (warm, lean)
    ]
    (by,) = rows(text.partition("Difference from warm")[2])["GPU-seconds"]
    assert float(by) == pytest.approx(lean.estimates["gpu_s"].mean - warm.estimates["gpu_s"].mean, rel=1e-3)
    assert "refused" not in text


def test_a_difference_on_the_same_random_streams_has_a_narrower_interval_than_its_figures():
    results = compare(scenario(WARM, LEAN), replications=4)
    _, said = comparison_text(results).split("Difference from warm")
    half_width = float(rows(said)["wait, mean (s)"][0].partition("+- ")[2])
    assert half_width < results[1].estimates["wait_mean_s"].half_width * 1.1
    assert "4 runs each" in comparison_text(results)
    assert "half width of the 95 % confidence interval" in said


def test_two_policies_that_do_the_same_differ_by_nothing():
    results = compare(scenario(WARM, {**WARM, "name": "again"}))
    assert "No difference in waits, GPU-seconds or cost." in comparison_text(results)


def test_one_policy_is_reported_with_all_its_figures():
    result = simulate(scenario(WARM))
    text = figures_text(result)
    assert all(name in text for name in result.estimates)
    assert "+-" not in text


def test_a_figure_that_only_one_has_leaves_a_gap():
    warm, lean = compare(scenario(WARM, LEAN))
    without = {name: value for name, value in lean.replications[0].items() if name != "wait_p95_s"}
    text = comparison_text([warm, replace(lean, replications=(without,))])
    assert rows(text)["wait, P95 (s)"][1] == "-"


def test_the_result_does_not_depend_on_the_number_of_workers():
    one, several = (compare(scenario(WARM, LEAN), replications=3, workers=workers) for workers in (1, 2))
    assert [result.replications for result in one] == [result.replications for result in several]
    assert one[1].requests().equals(several[1].requests())


def written(folder, **policies):
    for name, text in policies.items():
        (folder / f"{name}.yaml").write_text(text)
    return [folder / f"{name}.yaml" for name in policies]


TEXT = """apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: NAME}
spec: {scaleTargetRef: {name: x}}
"""


def test_policies_of_one_service_are_named_by_their_files(tmp_path):
    paths = written(tmp_path, a=TEXT.replace("NAME", "sd"), b=TEXT.replace("NAME", "sd"))
    assert [candidate.name for candidate in candidates_in(paths)] == ["a", "b"]


def test_policies_of_several_services_are_called_by_their_names(tmp_path):
    paths = written(tmp_path, a=TEXT.replace("NAME", "one"), b=TEXT.replace("NAME", "two"))
    assert [candidate.name for candidate in candidates_in(paths)] == ["one", "two"]


def test_policies_with_the_same_names_are_numbered():
    same = [{"policy": X}, {"policy": X}, {"policy": X, "name": "given"}]
    assert [candidate.name for candidate in candidates_of(scenario(*same))] == ["x-1", "x-2", "given-3"]


def test_a_given_policy_replaces_the_scenario_s_own():
    given = policy("y", minReplicas=3, maxReplicas=3)
    assert simulate(scenario(WARM), given).estimates["replicas_peak"].mean == 3.0
    (result,) = compare(scenario(WARM, LEAN), [Candidate("mine", given)])
    assert result.name == "mine"


def test_a_figure_that_differs_by_rounding_alone_has_no_interval():
    (result,) = compare(scenario(LEAN))
    runs = tuple({"gpu_s": 828.463558 * (1 + n * 2**-52)} for n in range(3))
    assert "gpu_s                            828.5 +- 0\n" in figures_text(replace(result, replications=runs))
