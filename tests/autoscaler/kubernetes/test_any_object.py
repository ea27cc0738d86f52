"""Objects that lack fields, or have another type in them: each is read or left out, and all others are followed."""

import asyncio
import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.gateways import metrics_address
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.namespaces import granted_namespaces
from autoscaler.kubernetes.objects import is_marked, owner_uid, pod, workload
from autoscaler.kubernetes.policies import PolicyReader
from autoscaler.kubernetes.policy_status import last_rescale
from autoscaler.kubernetes.scales import _as_scale, _without_scale
from autoscaler.kubernetes.selectors import matches
from autoscaler.testing import VirtualTimeLoop

METADATA = {
    "name": "web",
    "namespace": "ns",
    "uid": "u1",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "labels": {"app": "web"},
    "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-999999"},
    "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u2", "controller": True}
    ],
    "managedFields": [
        {"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ],
}
POD = {
    "metadata": METADATA,
    "spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": 9090}]}]},
    "status": {
        "podIP": "10.0.0.1",
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}],
        "containerStatuses": [{"name": "web", "ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}}],
    },
}
DEPLOYMENT = {
    "metadata": METADATA,
    "spec": {
        "replicas": 3,
        "selector": {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a"]}],
        },
    },
    "status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
}
POLICY = {
    "metadata": METADATA,
    "spec": {"scaleTargetRef": {"name": "web"}, "traffic": {"hosts": ["a.example.com"]}},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "ScalingActive"}],
        "lastScaleTime": "2026-01-01T00:00:00Z",
        "lastDecision": {"time": "2026-01-01T00:00:00Z", "written": True, "before": 3},
    },
}
KINDS = {
    "pods": (pod, POD),
    "gateways": (metrics_address, POD),
    "deployments": (workload, DEPLOYMENT),
    "other kinds": (_without_scale, DEPLOYMENT),
    "replica sets": (owner_uid, DEPLOYMENT),
    "namespaces": (granted_namespaces, {"metadata": METADATA}),
    "policies": (PolicyReader(), POLICY),
}
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.just(1.5) | st.text("a1-", max_size=2)
ODD = SCALARS | st.lists(SCALARS, max_size=1) | st.dictionaries(st.just("a"), SCALARS, max_size=1)


def _places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _places(each, (*path, key))


@st.composite
def garbled(draw, good):
    """Draw an object of which up to three fields are missing, or are something else."""
    odd = copy.deepcopy(good)
    for *way, last in draw(st.lists(st.sampled_from([*_places(good)][1:]), min_size=1, max_size=3)):
        at = odd
        for key in way:
            at = at[key] if isinstance(at, dict) and key in at else at[0] if isinstance(at, list) and at else {}
        if isinstance(at, dict) and draw(st.booleans()):
            at.pop(last, None)
        elif isinstance(at, dict):
            at[last] = draw(ODD)
    return odd


class Server:
    """Lists its objects, and then tells of some."""

    def __init__(self, items):
        self.items, self.events = items, []
        self.listed = 0

    async def get(self, _path, _query=None, **_options):
        self.listed += 1
        return json.loads(json.dumps({"metadata": {"resourceVersion": "9"}, "items": self.items}))

    async def lines(self, _path, _query, **_options):
        while True:
            while self.events:
                yield json.dumps({"type": "MODIFIED", "object": self.events.pop(0)}).encode()
            await asyncio.sleep(1)


def named(item, name, version):
    """Give an object a name and a version, which each has: else it would be no object at all."""
    metadata = item.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    return {**item, "metadata": {**known, "name": name, "namespace": "ns", "resourceVersion": str(version)}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60)
def test_one_object_that_cannot_be_read_keeps_no_other_from_being_followed(kind, data):
    keep, good = KINDS[kind]
    in_the_list, in_an_event = (named(data.draw(garbled(good)), "odd", version) for version in (5, 11))

    async def follow():
        server = Server([named(good, "a", 1), in_the_list, named(good, "b", 2)])
        informer = Informer(server, "/x", keep, random.Random(1))  # noqa: S311
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(30)
        assert {"ns/a", "ns/b"} <= informer.store.items().keys()
        assert server.listed <= 2
        assert ("ns/odd" in informer.store.items()) != ("ns/odd" in informer.store.unreadable)
        server.events += [in_an_event, named(good, "a", 12)]
        await asyncio.sleep(30)
        assert ("ns/odd" in informer.store.items()) != ("ns/odd" in informer.store.unreadable)
        server.events += [named(good, "odd", 13)]
        await asyncio.sleep(30)
        assert informer.store.items().keys() == {"ns/a", "ns/b", "ns/odd"}
        assert (informer.store.unreadable, informer.problem, task.done()) == ({}, "", False)
        task.cancel()
        await asyncio.wait([task])

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(follow())


@given(garbled(POD))
def test_what_is_read_of_a_pod_can_be_used(item):
    try:
        found = pod(item)
    except (ValueError, LookupError, TypeError, AttributeError):
        return
    assert matches(workload(named(DEPLOYMENT, "a", 1)).selector, found.labels) in {True, False}
    assert is_marked(found) in {True, False}
    assert sorted([(found.created_s, found.name), (1.0, "b")])


@given(garbled({**DEPLOYMENT, "status": {"selector": "app=web"}}))
def test_what_is_read_of_a_scale_can_be_used(item):
    try:
        found = _as_scale(named(item, "a", 1))
    except ApiError:
        return
    assert type(found.replicas) is int
    assert matches(found.selector, {"app": "web"}) in {True, False}


@given(garbled({"status": POLICY["status"]}))
def test_what_is_read_of_a_status_is_the_last_change_or_none(item):
    status = item.get("status")
    assert last_rescale(status if isinstance(status, dict) else {}) is None or status["lastScaleTime"]
