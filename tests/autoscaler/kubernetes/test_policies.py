"""Policies as custom resources: what is kept of them, and what is read again."""

from pathlib import Path

import pytest
import yaml

from autoscaler.controller.services import Origins, PolicyEntry, ServiceRegistry
from autoscaler.kubernetes.policies import PolicyReader, stored_policy

ITEM = {
    "metadata": {
        "name": "sd",
        "namespace": "ns",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "resourceVersion": "5",
    },
    "spec": {"scaleTargetRef": {"name": "sd"}},
}


def changed(**metadata):
    return ITEM | {"metadata": ITEM["metadata"] | metadata}


def test_a_status_that_is_written_leaves_the_policy_the_same_object():
    read = PolicyReader()
    first, second = read(ITEM), read(changed(resourceVersion="6") | {"status": {"desiredReplicas": 1}})
    assert second.resource is first.resource
    assert (first.status, second.status) == ({}, {"desiredReplicas": 1})


@pytest.mark.parametrize(
    "metadata",
    [
        {"generation": 2},
        {"annotations": {"inflight.dev/paused": "2099-01-01T00:00:00Z"}},
        {"labels": {"a": "b"}},
        {"uid": "another"},
    ],
    ids=str,
)
def test_whatever_a_policy_is_made_of_has_it_read_again(metadata):
    read = PolicyReader()
    read(ITEM)
    assert read(changed(**metadata)) == stored_policy(changed(**metadata))
    assert read(changed(**metadata)).resource != stored_policy(ITEM).resource


def test_one_that_is_gone_and_comes_again_is_read_again():
    read = PolicyReader()
    first = read(ITEM).resource
    read.forget("ns/sd")
    assert read(ITEM).resource is not first


def test_the_annotations_of_an_illegal_policy_are_kept_for_a_pause_and_those_of_a_legal_one_are_in_the_policy():
    pause = {"inflight.dev/paused-until": "2099-01-01T00:00:00Z"}
    illegal = changed(annotations=pause) | {"spec": {"scaleTargetRef": {"name": "sd"}, "maxReplicas": 0}}
    assert stored_policy(illegal).resource.policy is None
    assert stored_policy(illegal).resource.annotations == pause
    assert stored_policy(changed(annotations=pause)).resource.annotations == {}


def test_parts_that_differ_in_the_defaults_they_spell_out_stay_apart():
    for reference in ({"name": "c"}, {"apiVersion": "apps/v1", "kind": "Deployment", "name": "c"}, {"name": "c"}):
        policy = stored_policy(changed(name="c") | {"spec": {"scaleTargetRef": reference}}).resource.policy
        assert policy.model_dump(mode="json", exclude_unset=True)["spec"]["scaleTargetRef"] == reference


def test_equal_parts_of_policies_are_one_object_and_say_the_same_as_before():
    spec = {
        "algorithm": {"concurrency": {"stableWindow": "6s"}},
        "traffic": {"hosts": ["a.example"], "queue": {"maxLength": 5}},
    }
    first, second = (
        stored_policy(changed(name=name) | {"spec": {"scaleTargetRef": {"name": name}, **spec}}).resource.policy
        for name in ("a", "b")
    )
    assert first.spec.algorithm is second.spec.algorithm
    assert first.spec.traffic is second.spec.traffic
    assert first.spec.scale_target_ref.name == "a"
    written = second.model_dump(mode="json", exclude_unset=True)
    assert written["spec"] == {"scaleTargetRef": {"name": "b"}, **spec}
    assert written["metadata"] == {"name": "b", "namespace": "ns"}


def test_equal_conditions_of_statuses_are_one_object():
    status = {"conditions": [{"type": "Ready", "status": "True"}], "desiredReplicas": 0}
    first, second = (stored_policy(changed(name=name) | {"status": status}).status for name in ("a", "b"))
    assert first == status
    assert first["conditions"][0] is second["conditions"][0]


OLD = Path(__file__).parents[2] / "data" / "releases" / "0.1.0" / "policies"
STORED = [document for file in sorted(OLD.iterdir()) for document in yaml.safe_load_all(file.read_text())]
REFUSED = {"rate", "beyond-its-maximum", "misspelled-pause"}
"""What is refused because of numbers and annotations; other rules refuse some more."""


@pytest.mark.parametrize("document", STORED, ids=lambda document: document["metadata"]["name"])
def test_a_policy_that_an_older_release_has_stored_is_followed_or_invalid_and_then_never_scaled(document):
    resource = stored_policy(document | {"metadata": ITEM["metadata"] | document["metadata"]}).resource
    registry = ServiceRegistry()
    problem = resource.problem
    if resource.policy is not None:
        problem = Origins(registry, ("resources",)).put(
            "resources", resource.policy.service, PolicyEntry(resource.policy)
        )
    assert bool(registry.services) != bool(problem), "one or the other, and an invalid one says why"
    assert not (document["metadata"]["name"] in REFUSED and registry.services)
