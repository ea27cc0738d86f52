"""Which objects a policy scales, and whose pods serve."""

from autoscaler.app.scaled_objects import copies_of, scaled_objects, serving_objects
from autoscaler.testing import policy

NO_REFERENCE = [{"name": "a10", "instanceTypes": ["gn7"]}, {"name": "l20", "nodeSelector": {"gpu": "l20"}}]
REFERENCES = [{"name": "a10", "scaleTargetRef": {"name": "fast", "kind": "StatefulSet"}}]


def named(objects):
    return {member: str(found.kind.kind) + " " + found.name for member, found in objects.items()}


def test_a_policy_without_pools_scales_its_target():
    found = policy("ns/sd")
    assert named(scaled_objects(found)) == named(serving_objects(found)) == {"ns/sd": "Deployment sd"}
    assert scaled_objects(found)["ns/sd"].kind.namespace == "ns"
    assert copies_of(found) is None


def test_a_policy_with_backends_scales_nothing():
    assert scaled_objects(policy("sd", backends=["10.0.0.1:80"])) == {}


def test_pools_scale_copies_and_the_pods_of_the_template_serve_while_there_are_some():
    found = policy("ns/sd", pools=NO_REFERENCE)
    copies = {"ns/sd#a10": "Deployment sd-a10", "ns/sd#l20": "Deployment sd-l20"}
    assert named(scaled_objects(found)) == copies
    assert named(serving_objects(found)) == {**copies, "ns/sd#": "Deployment sd"}
    assert copies_of(found).names == {"sd-a10": "a10", "sd-l20": "l20"}
    assert copies_of(found).writes
    assert not copies_of(policy("ns/sd", pools=NO_REFERENCE, mode="DryRun")).writes


def test_pools_with_targets_of_their_own_scale_these_and_have_no_copies():
    found = policy("ns/sd", pools=REFERENCES)
    assert named(scaled_objects(found)) == named(serving_objects(found)) == {"ns/sd#a10": "StatefulSet fast"}
    assert copies_of(found, had_pools=True) is None


def test_a_policy_that_had_pools_asks_for_no_copies_any_more():
    assert copies_of(policy("ns/sd"), had_pools=True).names == {}
