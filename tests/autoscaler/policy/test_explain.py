"""`explain-policy`: what is in force, and why."""

import re
from pathlib import Path

import pytest
import yaml

from autoscaler.commands import explain_policy as command
from autoscaler.documents import document as documents
from autoscaler.documents.document import read_text
from autoscaler.policy.explain import Value, explained, to_yaml
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.testing import budget_document

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
MINIMAL = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  maxReplicas: 3
  mode: null
"""


def explanation(text=MINIMAL):
    (read,) = read_text(text, "policy.yaml")
    return explained(read, validated(read, ScalingPolicy))


def with_algorithm(text):
    return explanation(f"{MINIMAL}  algorithm: {text}\n")["derived"]


def test_a_value_that_was_written_is_given_and_the_line_is_named():
    assert explanation()["spec"]["maxReplicas"] == Value(3, "given, line 6")


def test_a_value_that_was_not_written_is_a_default():
    spec = explanation()["spec"]
    assert spec["minReplicas"] == Value(0, "default")
    assert spec["algorithm"]["concurrency"]["stableWindow"] == Value("1m", "default")


def test_null_gives_nothing():
    assert explanation()["spec"]["mode"] == Value("Active", "default")


def test_a_candidate_is_shown_with_its_own_values_and_the_policys():
    told = explanation(
        f"{MINIMAL}  targetUtilization: 70%\n  candidates:\n  - name: slow\n    algorithm: {{kpa: {{window: 2m}}}}\n"
    )
    (candidate,) = told["spec"]["candidates"]
    assert candidate["algorithm"]["kpa"]["window"] == Value("2m", "given, line 11")
    assert (candidate["minReplicas"], candidate["maxReplicas"]) == (Value(0, "the policy's"), Value(3, "the policy's"))
    assert candidate["scaleDown"]["toZeroDelay"] == Value("30s", "the policy's")
    assert "traffic" not in candidate
    assert told["derived"]["candidates"]["slow"]["requestsPerReplica"].value == pytest.approx(0.7)
    assert told["derived"]["candidates"]["slow"]["kpa"]["stable_window_s"].value == 120


def test_each_rule_of_a_list_is_told_apart():
    traffic = "  traffic:\n    hosts: [a, b]\n    paths:\n    - match: [/a]\n      class: Pass\n"
    told = explanation(MINIMAL + traffic)["spec"]["traffic"]
    assert told["hosts"] == Value(["a", "b"], "given, line 9")
    assert told["paths"] == [
        {
            "match": Value(["/a"], "given, line 11"),
            "class": Value("Pass", "given, line 12"),
            "wake": Value(value=True, origin="default"),
            "maxPerPod": Value(64, "default"),
        }
    ]


def test_the_price_of_the_same_work_is_told_for_each_pool_that_has_a_price():
    pools = (
        "  pools:\n  - {name: p100, pricePerHour: 1.5}\n  - {name: p4, pricePerHour: 1, speed: 0.6}\n  - {name: t4}\n"
    )
    told = explanation(MINIMAL + pools)
    why = "pricePerHour / speed: an hour of work of a pool with speed 1"
    assert told["derived"]["pricePerWork"] == {"p100": Value(1.5, why), "p4": Value(1.667, why)}
    assert told["spec"]["pools"][1]["speed"] == Value(0.6, "given, line 10")


@pytest.mark.parametrize(
    ("settings", "requests", "why"),
    [
        ("containerConcurrency: 4, targetUtilization: 50%", 2.0, "containerConcurrency x targetUtilization"),
        ("containerConcurrency: 0, targetPerReplica: 150", 150.0, "targetPerReplica x targetUtilization"),
        ("containerConcurrency: 0", 100.0, "100 because there is no limit x targetUtilization"),
    ],
)
def test_what_a_replica_should_have_follows_from_limit_and_utilisation(settings, requests, why):
    text = MINIMAL.partition("spec:")[0] + f"spec: {{scaleTargetRef: {{name: web}}, {settings}}}\n"
    assert explanation(text)["derived"]["requestsPerReplica"] == Value(requests, why)


def test_the_panic_window_is_told_in_seconds():
    assert with_algorithm("{concurrency: {stableWindow: 25s}}")["panicWindow"].value == "3s"


def test_the_series_is_read_from_the_query():
    told = explanation(MINIMAL + "  metrics: {prometheus: {}}\n")["derived"]
    assert told["series"].value == "inflight_requests"
    named = explanation(MINIMAL + "  metrics: {prometheus: {series: a}}\n")["derived"]
    assert "series" not in named


def test_knatives_settings_are_told_as_they_are_resolved():
    told = with_algorithm("{kpa: {window: 30s}}")["kpa"]
    assert told["stable_window_s"] == Value(30, "Knative's rules")
    assert told["max_scale"].value == 3


def test_the_hpas_rules_are_told_with_its_defaults():
    told = with_algorithm("{hpa: {behavior: {}}}")["hpa"]
    assert told["min_replicas"].value == 1
    assert told["behavior"].value["scale_up"]["policies"] == [
        {"type": "Pods", "value": 4, "period_s": 15},
        {"type": "Percent", "value": 100, "period_s": 15},
    ]


def test_a_scaled_objects_settings_are_told():
    assert with_algorithm("{keda: {}}")["keda"]["cooldown_period_s"].value == 300.0


def test_an_algorithm_without_settings_derives_nothing_of_its_own():
    assert set(with_algorithm("{mpa: {}}")) == {"requestsPerReplica"}


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_what_is_told_of_an_example_is_a_policy_that_means_the_same(file):
    for document in read_text(file.read_text(), file.name):
        if document.value["kind"] == "ScalingPolicy":
            policy = validated(document, ScalingPolicy)
            told = yaml.safe_load(to_yaml(explained(document, policy)))
            del told["derived"]
            assert ScalingPolicy.model_validate(told) == policy


def test_every_line_with_a_value_says_where_it_came_from():
    for line in to_yaml(explanation()).splitlines():
        assert line.endswith(":") or " # " in line


def test_the_command_tells_every_policy_of_a_file(tmp_path, capsys):
    file = tmp_path / "policies.yaml"
    file.write_text(f"{MINIMAL}---\n{MINIMAL}")
    assert command.run(command.argparse.Namespace(file=file)) == 0
    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == 2


def test_the_command_shows_a_budget_with_its_defaults(tmp_path, capsys):
    file = tmp_path / "budget.yaml"
    file.write_text(documents.to_yaml(budget_document(gpus=4, services=[{"priority": 2}])))
    assert command.run(command.argparse.Namespace(file=file)) == 0
    printed = capsys.readouterr().out
    assert "  gpus: 4 " in printed
    assert "# given" in printed
    assert re.search(r"weight: 1 +# default", printed)


def test_the_command_tells_what_is_wrong(tmp_path, capsys):
    file = tmp_path / "policy.yaml"
    file.write_text(MINIMAL.replace("3", "0"))
    assert command.run(command.argparse.Namespace(file=file)) == 2
    assert f"{file}:6: spec.maxReplicas" in capsys.readouterr().err
