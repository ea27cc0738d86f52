"""Which pods a target counts and marks, whose numbers it accepts, and why pods are not ready."""

import random
from contextlib import asynccontextmanager

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, PODS, REPLICA_SETS, ApiServer, controlled, heard, pod, replica_set, workload

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.objects import Scale
from autoscaler.kubernetes.objects import pod as read_pod
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.selectors import from_text
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.workloads import any_of
from autoscaler.ports import ScaleRequest
from autoscaler.targets.kubernetes import KubernetesTarget, Target

WEB = "ns/web"
DEPLOYMENT = Target(NamespacedKind(NAMESPACE, "apps/v1", "Deployment"), "web", 0.0)
COST = "controller.kubernetes.io/pod-deletion-cost"


class World:
    def __init__(self):
        self.api, self.now_s, self.troubles, self.changed = ApiServer(), 1_767_229_200.0, [], []
        self.left = []
        self.target = KubernetesTarget(
            self.api,
            lambda: self.now_s,
            random.Random(1),  # noqa: S311
            running=lambda _service: {},
            on_change=self.changed.append,
            on_left=lambda service, why: self.left.append((service, why)),
            on_not_ready=lambda _service, trouble: self.troubles.append(trouble),
        )

    @asynccontextmanager
    async def running(self):
        async with self.target:
            yield self

    async def follow(self, target=DEPLOYMENT):
        self.target.set_targets({WEB: target})
        await heard()

    async def fleet(self):
        await heard()
        return (await self.target.observe([WEB])).get(WEB)

    async def names(self):
        return [replica.name for replica in (await self.fleet()).replicas]

    async def order(self, replicas):
        (outcome,) = await self.target.scale([ScaleRequest(WEB, replicas, ())])
        await heard()
        return outcome.error

    def scale_by_hand(self, replicas, manager="kubectl-client-side-apply"):
        before = self.api.find(DEPLOYMENTS, "web")
        fields = [{"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
        metadata = {**before["metadata"], "managedFields": fields}
        self.api.put(DEPLOYMENTS, {**before, "metadata": metadata, "spec": {**before["spec"], "replicas": replicas}})

    def marked(self):
        return {item for item in "abcxy" if self.cost(item)}

    def cost(self, name):
        try:
            return (self.api.find(PODS, name)["metadata"].get("annotations") or {}).get(COST)
        except KeyError:
            return None


@pytest.fixture
async def world():
    world = World()
    world.api.put(DEPLOYMENTS, workload("web", replicas=3))
    world.api.put(REPLICA_SETS, replica_set("web-1", "web"))
    for age, name in enumerate("abc"):
        world.api.put(PODS, pod(name, {"app": "web"}, ("ReplicaSet", "web-1"), age=age))
    async with world.running():
        await world.follow()
        yield world


# Whose pods they are.


@pytest.mark.parametrize("age", [0, 59])
@pytest.mark.parametrize("owner", [None, ("Job", "nightly"), ("ReplicaSet", "canary-1"), ("StatefulSet", "web")])
async def test_pods_of_others_are_neither_counted_nor_marked_and_keep_no_mark_on_ours(world, owner, age):
    world.api.put(DEPLOYMENTS, workload("canary", labels={"app": "web", "track": "canary"}))
    world.api.put(REPLICA_SETS, replica_set("canary-1", "canary"))
    for name in "xy":
        world.api.put(PODS, pod(name, {"app": "web", "track": "canary"}, owner, age=age))
    assert await world.names() == ["a", "b", "c"]

    assert await world.order(1) == ""
    assert world.marked() == {"b", "c"}, "the youngest go"
    for name in "bc":
        world.api.delete(PODS, name)
    await world.fleet()
    await heard()
    assert await world.names() == ["a"]
    assert world.marked() == set()


async def test_a_relabelled_pod_is_not_counted_and_its_replacement_is(world):
    world.api.put(PODS, pod("a", {"app": "quarantine"}, ("ReplicaSet", "web-1")))
    assert await world.names() == ["b", "c"]


async def test_pods_are_unknown_until_replica_sets_are_listed_and_the_refusal_is_said():
    world = World()
    world.api.put(DEPLOYMENTS, workload("web"))
    world.api.refusals[REPLICA_SETS] = ApiError(403, "Forbidden", "replicasets.apps is forbidden: cannot list")
    async with world.running():
        await world.follow()
        assert await world.fleet() is None
        assert "cannot list" in world.target.problem(WEB)
        assert "cannot list" in world.target.shared_problem()


async def test_that_pods_may_not_be_listed_is_said_as_the_api_server_said_it():
    world = World()
    world.api.put(DEPLOYMENTS, workload("web"))
    world.api.refusals[PODS] = ApiError(403, "Forbidden", "pods is forbidden: cannot list resource pods")
    async with world.running():
        await world.follow()
        assert await world.fleet() is None
        assert "cannot list resource pods" in world.target.problem(WEB)


@pytest.mark.parametrize(
    ("api_version", "kind", "plural"),
    [("apps/v1", "StatefulSet", "statefulsets"), ("apps/v1", "ReplicaSet", "replicasets")],
)
async def test_what_makes_its_pods_itself_has_those_that_it_controls(world, api_version, kind, plural):
    world.api.put(f"/apis/{api_version}/namespaces/{NAMESPACE}/{plural}", workload("other", labels={"app": "web"}))
    world.api.put(PODS, pod("x", {"app": "web"}, (kind, "other")))
    await world.follow(Target(NamespacedKind(NAMESPACE, api_version, kind), "other", 0.0))
    assert await world.names() == ["x"]


async def test_of_a_kind_that_is_not_known_the_selector_alone_tells(world):
    rollouts = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts"
    resources = [{"name": "rollouts", "kind": "Rollout"}, {"name": "rollouts/scale", "kind": "Scale"}]
    world.api.discovered["/apis/argoproj.io/v1alpha1"] = {"resources": resources}
    world.api.put(rollouts, workload("roll", labels={"app": "web"}))
    await world.follow(Target(NamespacedKind(NAMESPACE, "argoproj.io/v1alpha1", "Rollout"), "roll", 0.0))
    assert await world.names() == ["a", "b", "c"]


async def test_a_replica_set_that_is_adopted_or_orphaned_brings_and_takes_its_pods(world):
    orphan = replica_set("web-1")
    world.api.put(REPLICA_SETS, orphan)
    assert await world.names() == []
    again = {**orphan, "metadata": {**orphan["metadata"], **controlled("Deployment", "web", "uid-of-web")}}
    world.api.put(REPLICA_SETS, again)
    assert await world.names() == ["a", "b", "c"]
    world.api.delete(DEPLOYMENTS, "web")
    world.api.put(DEPLOYMENTS, workload("web", uid="another"))
    assert await world.names() == [], "it has the name of the old one, and adopts its ReplicaSets later"


async def test_a_target_that_the_policy_no_longer_names_keeps_its_replicas_and_that_is_said(world):
    world.api.put(DEPLOYMENTS, workload("other", replicas=1))
    await world.follow(DEPLOYMENT._replace(created_s=1.0))
    assert world.left == [], "the policy was made again"
    await world.follow(DEPLOYMENT._replace(name="other"))
    why = "Deployment ns/web is no longer scaled and keeps its 3 replicas; Deployment ns/other is"
    assert world.left == [(WEB, why)]
    assert world.api.find(DEPLOYMENTS, "web")["spec"]["replicas"] == 3


# What another writer has written.


async def test_another_writers_number_is_held_downwards_only(world):
    assert await world.order(2) == ""
    world.scale_by_hand(1)
    fleet = await world.fleet()
    assert (fleet.asked, fleet.override.rule, fleet.override.yields_to_load) == (1, "foreignWriter", True)
    assert "kubectl-client-side-apply has written 1" in await world.order(0)

    assert await world.order(4) == ""
    fleet = await world.fleet()
    assert fleet.asked == 4
    assert fleet.override.why.startswith("kubectl-client-side-apply has written 1")
    assert "has written 1" in await world.order(3)


async def test_a_second_policy_raises_nothing_whatever_the_load(world):
    old = DEPLOYMENT._replace(created_s=-1.0)
    world.target.set_targets({WEB: DEPLOYMENT, "ns/old": old})
    await heard()
    assert "is scaled by ns/old" in await world.order(9)


# Why pods are missing.

QUOTA = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "web-1-x" is forbidden: exceeded quota: small',
}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
}


def waiting(reason, message="", **more):
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "main", "ready": False, "restartCount": 0, "state": state, **more}]}


RUNS_AGAIN = {"containerStatuses": [{"name": "main", "ready": False, "restartCount": 3, "state": {"running": {}}}]}


async def test_a_full_quota_is_said_as_the_deployment_says_it(world):
    world.api.put(DEPLOYMENTS, workload("web", replicas=4, conditions=[QUOTA]))
    await world.fleet()
    (trouble,) = world.troubles
    assert trouble.reason == "FailedCreate"
    assert trouble.message == '3 of 4 replicas are ready: pods "web-1-x" is forbidden: exceeded quota: small'
    world.api.put(DEPLOYMENTS, workload("web", replicas=3, conditions=[QUOTA]))
    await world.fleet()
    assert world.troubles[1:] == [None], "as many are ready as are asked for"


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ({"conditions": [UNSCHEDULABLE]}, "Unschedulable", "Insufficient nvidia.com/gpu"),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff", "Back-off pulling"),
        (waiting("ErrImagePull", "no such image"), "ImagePullBackOff", "no such image"),
        (waiting("CrashLoopBackOff", "back-off 5m0s"), "CrashLoopBackOff", "back-off 5m0s"),
        (RUNS_AGAIN, "CrashLoopBackOff", "container main has ended"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), "CreateContainerConfigError", 'secret "x"'),
    ],
)
async def test_what_is_in_the_way_of_a_pod_is_said_as_kubernetes_says_it(world, status, reason, said):
    world.api.put(PODS, pod("c", {"app": "web"}, ("ReplicaSet", "web-1"), ready=False, status=status))
    await world.fleet()
    (trouble,) = world.troubles
    assert (trouble.reason, said in trouble.message) == (reason, True)
    assert trouble.message.startswith("2 of 3 replicas are ready; pod c: ")
    world.api.put(PODS, pod("c", {"app": "web"}, ("ReplicaSet", "web-1")))
    await world.fleet()
    assert world.troubles[1:] == [None]


@pytest.mark.parametrize("status", [{}, waiting("ContainerCreating"), waiting("PodInitializing")])
async def test_that_a_pod_starts_is_no_trouble(world, status):
    world.api.put(PODS, pod("c", {"app": "web"}, ("ReplicaSet", "web-1"), ready=False, status=status))
    await world.fleet()
    assert world.troubles == []


async def test_trouble_ends_with_the_target(world):
    world.api.put(DEPLOYMENTS, workload("web", replicas=4, conditions=[QUOTA]))
    await world.fleet()
    world.api.delete(DEPLOYMENTS, "web")
    await world.fleet()
    assert world.troubles[1:] == [None]


async def test_a_pod_that_is_being_deleted_still_occupies_its_gpu_until_its_containers_have_ended(world):
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    for name in "ab":
        item = world.api.find(PODS, name)
        ended = {"phase": "Succeeded"} if name == "b" else {}
        world.api.put(PODS, {**item, "metadata": item["metadata"] | deleted, "status": item["status"] | ended})
    fleet = await world.fleet()
    assert (len(fleet.replicas), fleet.leaving) == (1, 1)


# What people write where it has no effect.


async def test_our_annotations_on_a_target_or_its_pods_are_named_except_the_one_that_we_write(world):
    assert world.target.own_annotations(WEB) == ()
    item = workload("web", replicas=3, annotations={"inflight.dev/paused": "yes", "inflight.dev/policy": "web"})
    item["spec"]["template"] = {"metadata": {"annotations": {"inflight.dev/replicas": "3", "example.com/a": "b"}}}
    world.api.put(DEPLOYMENTS, item)
    await heard()
    assert world.target.own_annotations(WEB) == ("inflight.dev/paused", "inflight.dev/replicas")


async def test_our_annotations_on_an_object_of_another_kind_are_named(world):
    rollouts = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts"
    resources = [{"name": "rollouts", "kind": "Rollout"}, {"name": "rollouts/scale", "kind": "Scale"}]
    world.api.discovered["/apis/argoproj.io/v1alpha1"] = {"resources": resources}
    annotations = {"inflight.dev/pause": ""}
    world.api.put(rollouts, workload("roll", labels={"app": "web"}, annotations=annotations))
    await world.follow(Target(NamespacedKind(NAMESPACE, "argoproj.io/v1alpha1", "Rollout"), "roll", 0.0))
    assert world.target.own_annotations(WEB) == ("inflight.dev/pause",)


def test_nothing_is_wrong_yet_with_a_policy_of_which_the_target_learns_next():
    assert World().target.problem("ns/new") == ""


def test_changed_pods_are_those_of_a_workload_if_its_selector_selects_them_before_or_after():
    mine, other = (read_pod(pod(name, {"app": name})) for name in ("web", "other"))
    scale = Scale(1, "1", from_text("app=web"), "")
    assert any_of(scale, [Change("ns/web", mine, None)])
    assert any_of(scale, [Change("ns/other", None, other), Change("ns/web", other, mine)])
    assert not any_of(scale, [Change("ns/other", other, other)])
    assert not any_of(None, [Change("ns/web", mine, mine)])
