"""`spec.candidates`: what a candidate may change, and what it follows then."""

import pytest

from autoscaler.documents.document import DocumentError, read_text
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.testing import policy

TEXT = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  candidates:
  - name: short
    algorithm: {concurrency: {stableWindow: 30s}}
  - name: other
"""


def refused(text):
    (read,) = read_text(text, "policy.yaml")
    with pytest.raises(DocumentError) as error:
        validated(read, ScalingPolicy)
    return str(error.value)


def test_a_candidate_follows_the_policy_where_it_says_nothing():
    whole = policy(minReplicas=1, schedule=[], scaleDown={"delay": "2m"}, candidates=[{"name": "a", "maxReplicas": 3}])
    spec = whole.candidates["a"].spec
    assert (spec.min_replicas, spec.max_replicas, spec.scale_down.delay) == (1, 3, 120.0)
    assert (spec.candidates, whole.candidates["a"].service) == ((), "default/sd")


def test_what_a_candidate_says_replaces_the_policys_as_a_whole():
    given = {"concurrency": {"stableWindow": "90s", "panicThreshold": "300%"}}
    short = {"name": "short", "algorithm": {"concurrency": {"stableWindow": "30s"}}}
    chosen = policy(algorithm=given, candidates=[short]).candidates["short"].spec.algorithm.concurrency
    assert (chosen.stable_window, chosen.panic_threshold) == (30.0, 2.0)


def test_null_in_a_candidate_is_the_policys():
    candidate = {"name": "a", "minReplicas": None, "standby": 1}
    assert policy(minReplicas=2, candidates=[candidate]).candidates["a"].spec.min_replicas == 2


@pytest.mark.parametrize("key", ["traffic", "scaleTargetRef", "mode", "containerConcurrency", "candidates", "metrics"])
def test_what_does_not_decide_is_refused_with_what_is_legal(key):
    told = refused(f"{TEXT}    {key}: null\n    {key}x: 1\n    standby: 1\n".replace(f"    {key}: null\n", ""))
    assert f"policy.yaml:10: spec.candidates[1].{key}x: unknown key; legal here: name, minReplicas, maxReplicas" in told
    assert f"spec.candidates[1].{key}: unknown key" in refused(f"{TEXT}    {key}: {{}}\n    standby: 1\n")


def test_a_candidate_that_is_the_policy_itself_is_refused():
    assert "policy.yaml:9: spec.candidates[1]: must have at least one of minReplicas" in refused(TEXT)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "minReplicas: 11",
            "policy.yaml:10: spec.candidates[1].minReplicas: 11: must be at most maxReplicas, which is 10",
        ),
        ("maxReplicas: 0", "policy.yaml:10: spec.candidates[1].maxReplicas: 0: must be 1 to 10000"),
        (
            "algorithm: {kpa: {minScale: 11}}",
            "policy.yaml:10: spec.candidates[1].algorithm.kpa.minScale: 11: must be at most 10, the max-scale",
        ),
        ("targetPerReplica: 2", "[1].targetPerReplica: 2: must not be above containerConcurrency, which is 1"),
    ],
)
def test_a_problem_of_a_candidate_names_line_key_and_value(line, problem):
    assert problem in refused(f"{TEXT}    {line}\n")


def test_two_candidates_of_one_name_are_refused():
    told = refused(TEXT.replace("other", "short") + "    standby: 1\n")
    assert "spec.candidates: " in told
    assert "must have each name once" in told
