"""What the copy of a Deployment for a pool of GPUs is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.kubernetes.pool_copy import Copies, Deployment, copy_of, deployment, foreign, superfluous, with_replicas
from autoscaler.policy.pools import GpuPool

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
POD = {"containers": [{"name": "sd", "image": "sd", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}


def template(*, pods=None, annotations=None, selector=None, **metadata):
    return deployment(
        {
            "metadata": {"name": "sd", "uid": "uid-of-sd", "resourceVersion": "7", **metadata},
            "spec": {
                "replicas": 3,
                "strategy": {"type": "RollingUpdate"},
                "selector": selector or {"matchLabels": {"app": "sd"}},
                "template": {
                    "metadata": {"labels": {"app": "sd", "team": "art"}, "annotations": annotations or {}},
                    "spec": {**POD, **(pods or {})},
                },
            },
        }
    )


def pool(**settings):
    return GpuPool.model_validate({"name": "a10", **settings})


def made(found, **settings):
    return copy_of(found, "policy", pool(**settings))


def test_a_copy_is_its_template_with_the_pool_in_name_selector_and_pods():
    copy = made(template())

    assert copy["metadata"] == {
        "name": "sd-a10",
        "labels": {"inflight.dev/pool": "a10"},
        "annotations": {"inflight.dev/policy": "policy"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "sd",
                "uid": "uid-of-sd",
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    assert copy["spec"] == {
        "strategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": {"app": "sd", "inflight.dev/pool": "a10"}},
        "template": {
            "metadata": {"labels": {"app": "sd", "team": "art", "inflight.dev/pool": "a10"}, "annotations": {}},
            "spec": POD,
        },
    }


def test_metadata_by_which_other_tools_find_what_they_may_delete_is_not_copied():
    found = template(labels={"app.kubernetes.io/instance": "argo"}, annotations={"example.com/pods": "kept"})
    assert "argo" not in str(made(found))
    assert made(found)["spec"]["template"]["metadata"]["annotations"] == {"example.com/pods": "kept"}


def test_an_annotation_that_asks_the_cloud_for_instances_is_copied_as_it_stands():
    specs = {"k8s.aliyun.com/eci-use-specs": "ecs.gn7i-c8g1.2xlarge,ecs.gn6i-c4g1.xlarge"}
    assert made(template(annotations=specs))["spec"]["template"]["metadata"]["annotations"] == specs


def test_expressions_of_a_selector_stay():
    selector = {"matchLabels": {"app": "sd"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
    copy = made(template(selector=selector))
    assert copy["spec"]["selector"] == {
        "matchLabels": {"app": "sd", "inflight.dev/pool": "a10"},
        "matchExpressions": [{"key": "tier", "operator": "Exists"}],
    }


def test_a_node_selector_is_added_to_that_of_the_pods():
    copy = made(template(pods={"nodeSelector": {"zone": "b", "gpu": "any"}}), nodeSelector={"gpu": "a10"})
    assert copy["spec"]["template"]["spec"]["nodeSelector"] == {"zone": "b", "gpu": "a10"}


def expression(key, *values):
    return {"key": key, "operator": "In", "values": list(values)}


def terms(*expressions):
    return {"nodeSelectorTerms": [{"matchExpressions": list(each)} for each in expressions]}


def node_affinity(copy):
    return copy["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]


def test_instance_types_are_a_required_node_affinity():
    copy = made(template(), instanceTypes=["gn7", "gn8"])
    types = expression("node.kubernetes.io/instance-type", "gn7", "gn8")
    assert node_affinity(copy) == {REQUIRED: terms([types])}


def test_the_pods_own_affinity_and_the_pools_must_both_hold():
    own = {
        "nodeAffinity": {REQUIRED: terms([expression("zone", "a")], [expression("zone", "b")])},
        "podAntiAffinity": {PREFERRED: []},
    }
    preferred = {"weight": 5, "preference": {"matchExpressions": [expression("disk", "ssd")]}}
    copy = made(
        template(pods={"affinity": own}),
        affinity={"nodeAffinity": {REQUIRED: terms([expression("gpu", "a10")]), PREFERRED: [preferred]}},
        instanceTypes=["gn7"],
    )
    gpu, types = expression("gpu", "a10"), expression("node.kubernetes.io/instance-type", "gn7")
    assert node_affinity(copy) == {
        REQUIRED: terms([expression("zone", "a"), gpu, types], [expression("zone", "b"), gpu, types]),
        PREFERRED: [preferred],
    }
    assert copy["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"] == {PREFERRED: []}


def test_a_pool_that_names_no_nodes_leaves_the_pods_as_they_are():
    assert made(template(pods={"affinity": {"podAffinity": {}}}))["spec"]["template"]["spec"] == {
        **POD,
        "affinity": {"podAffinity": {}},
    }


labels = st.dictionaries(st.sampled_from(["zone", "gpu", "disk"]), st.sampled_from(["a", "b"]))
requirements = st.builds(
    expression, st.sampled_from(["zone", "gpu"]), st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"])
)
term_lists = st.lists(st.lists(requirements, min_size=1, max_size=2), max_size=2)


def allows(affinity, node):
    required = (affinity or {}).get(REQUIRED)
    return required is None or any(
        all(node.get(each["key"]) in each["values"] for each in term["matchExpressions"])
        for term in required["nodeSelectorTerms"]
    )


@given(own=term_lists, pools=term_lists, node=labels)
def test_a_copy_runs_on_the_nodes_on_which_template_and_pool_both_may_run(own, pools, node):
    given_own = {"nodeAffinity": {REQUIRED: terms(*own)} if own else {}}
    given_pool = {"affinity": {"nodeAffinity": {REQUIRED: terms(*pools)}}} if pools else {}
    copy = made(template(pods={"affinity": given_own}), **given_pool)
    found = (copy["spec"]["template"]["spec"].get("affinity") or {}).get("nodeAffinity")
    wanted = all(allows({REQUIRED: terms(*each)} if each else None, node) for each in (own, pools))
    assert allows(found, node) == wanted


# The number of replicas.


def existing(name="sd-a10", *, number=2, policy="policy", label="a10", fields=None, manager="inflight-pools"):
    managed = [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": fields or {}}}]
    metadata = {"name": name, "uid": "uid", "resourceVersion": "9", "managedFields": managed}
    if label:
        metadata |= {"labels": {"inflight.dev/pool": label}}
    if policy:
        metadata |= {"annotations": {"inflight.dev/policy": policy}}
    return deployment({"metadata": metadata, "spec": {"replicas": number, "selector": {}}})


def test_a_new_copy_has_no_replicas_and_later_applies_leave_the_number_out():
    copy = made(template())
    assert with_replicas(copy, None)["spec"]["replicas"] == 0
    assert with_replicas(copy, existing()) == copy
    assert with_replicas(copy, existing(fields={"f:replicas": {}}, manager="other")) == copy


def test_while_nobody_else_has_written_the_number_it_is_applied_as_it_is_unless_it_has_just_changed():
    copy = with_replicas(made(template()), existing(number=0, fields={"f:replicas": {}}))
    assert (copy["spec"]["replicas"], copy["metadata"]["resourceVersion"]) == (0, "9")


# Whose copies.

COPIES = Copies("policy", "sd", (pool(), pool(name="l20")))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, ""),
        (existing(), ""),
        (existing(policy="other"), "Deployment ns/sd-a10 is a copy for policy other"),
        (existing(label="", policy=""), "Deployment ns/sd-a10 is no copy of ours"),
        (existing(label=""), "Deployment ns/sd-a10 is no copy of ours"),
    ],
)
def test_a_deployment_that_is_not_ours_is_left_alone(found, why):
    assert foreign(found, COPIES, "ns").startswith(why)
    assert bool(foreign(found, COPIES, "ns")) == bool(why)


def test_copies_of_pools_that_are_gone_are_too_many_and_those_of_others_are_not():
    names = ["sd-a10", "sd-l20", "sd-p100", "old-a10"]
    found = [existing(name) for name in names]
    others = [existing("sd-p4", policy="other"), existing("web", label="", policy="")]
    assert [each.name for each in superfluous([*found, *others], COPIES)] == ["sd-p100", "old-a10"]
    assert COPIES.names == {"sd-a10": "a10", "sd-l20": "l20"}


def test_what_is_read_of_a_deployment():
    item = {
        "metadata": {"name": "sd", "uid": "u", "resourceVersion": "3"},
        "spec": {"selector": {}},
        "status": {"replicas": 2, "readyReplicas": 1},
    }
    assert deployment(item) == Deployment(
        "sd", "u", "3", pool="", policy="", spec={"selector": {}}, replicas=1, pods=2, ready=1, replicas_are_ours=False
    )
