"""The target against a real API server, real controllers and real pods."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from cluster_kit import Cluster, is_going, is_ready, toy_kind, until, workload

from autoscaler.kubernetes.client import connected
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.ports import Fleet, ScaleRequest
from autoscaler.removal_order import replicas_to_remove
from autoscaler.targets.kubernetes import KubernetesTarget, Target
from autoscaler.targets.kubernetes_ownership import Ownership

pytestmark = [pytest.mark.program, pytest.mark.real_time]

SERVICE = "team/sd"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class World(Cluster):
    def __init__(self, control_plane, namespace):
        super().__init__(control_plane, namespace)
        self.now_s = 0.0
        self.running = {}
        self.rivals = []
        self.troubles = []
        self.leads = True
        self.target = None

    @asynccontextmanager
    async def open(self, *, hold_s=300):
        async with (
            connected() as api,
            KubernetesTarget(
                api,
                lambda: self.now_s,
                random.Random(1),  # noqa: S311
                running=lambda _service: self.running,
                leads=lambda: self.leads,
                hold_s=hold_s,
                on_foreign_writer=lambda service, what: self.rivals.append((service, what)),
                on_not_ready=lambda _service, trouble: self.troubles.append(trouble),
            ) as self.target,
        ):
            yield self

    def of(self, name="web", *, kind="Deployment", api_version="apps/v1", created_s=0):
        return Target(NamespacedKind(self.namespace, api_version, kind), name, created_s)

    async def follow(self, **targets):
        self.target.set_targets({f"team/{name}": target for name, target in targets.items()})
        for name in targets:
            await self.sees(lambda _fleet: True, f"team/{name}")

    async def fleet(self, service=SERVICE):
        return (await self.target.observe([service])).get(service)

    async def sees(self, condition, service=SERVICE):
        seen = []

        def holds():
            coroutine = self.fleet(service)
            try:
                coroutine.send(None)
            except StopIteration as answer:
                seen.append(answer.value)
            return seen[-1] is not None and condition(seen[-1])

        await until(holds)
        return seen[-1]

    async def ready(self, number, service=SERVICE):
        fleet = await self.sees(lambda fleet: sum(r.ready for r in fleet.replicas) == number, service)
        return [replica.name for replica in fleet.replicas]

    async def troubled(self, condition):
        await self.sees(lambda _fleet: bool(self.troubles) and self.troubles[-1] and condition(self.troubles[-1]))

    async def order(self, replicas, service=SERVICE):
        fleet = await self.fleet(service)
        leaving = replicas_to_remove(fleet.replicas, replicas)
        (outcome,) = await self.target.scale([ScaleRequest(service, replicas, leaving)])
        return outcome.error


@pytest.fixture
async def world(control_plane, namespace, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    async with World(control_plane, namespace).open() as opened:
        yield opened


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
async def test_what_is_asked_for_shows_at_once_and_its_pods_become_ready(world, kind):
    await world.make(kind=kind)
    await world.follow(sd=world.of(kind=kind))
    assert await world.fleet() == Fleet(0, ())

    assert await world.order(3) == ""
    assert (await world.fleet()).asked == 3

    assert len(set(await world.ready(3))) == 3
    assert await world.replicas(kind=kind) == 3

    assert await world.order(0) == ""
    assert (await world.fleet()).asked == 0
    await world.sees(lambda fleet: not fleet.replicas)


async def test_what_does_not_exist_is_left_out_until_it_does_and_it_is_said_why(world):
    world.target.set_targets({SERVICE: world.of()})
    await until(lambda: "does not exist" in world.target.problem(SERVICE))
    assert await world.target.observe([SERVICE, "team/unheard-of"]) == {}
    assert "does not exist" in await outcome(world, 1)

    await world.make()
    await world.sees(lambda fleet: fleet.asked == 0)
    assert world.target.problem(SERVICE) == ""


async def outcome(world, replicas, service=SERVICE):
    (answer,) = await world.target.scale([ScaleRequest(service, replicas, ())])
    assert answer.service == service
    return answer.error


async def test_every_order_gets_its_outcome_in_its_place_and_a_bad_one_stops_no_other(world):
    await world.make("one")
    await world.make("two")
    await world.follow(one=world.of("one"), two=world.of("two"))

    orders = [
        ScaleRequest("team/one", 1, ()),
        ScaleRequest("team/no", 1, ()),
        ScaleRequest("team/two", -1, ()),
        ScaleRequest("team/two", 2, ()),
    ]
    outcomes = await world.target.scale(orders)

    assert [answer.service for answer in outcomes] == [order.service for order in orders]
    assert [bool(answer.error) for answer in outcomes] == [False, True, True, False]
    assert await world.replicas("one") == 1
    assert await world.replicas("two") == 2


async def test_idle_pods_go_first_and_a_busy_one_stays(world):
    await world.make(replicas=3)
    await world.follow(sd=world.of())
    names = await world.ready(3)
    busy = names[0]
    world.running = {busy: 1}
    await world.sees(lambda fleet: any(replica.running for replica in fleet.replicas))

    assert await world.order(1) == ""

    await world.wait_pods(lambda pods: sum(map(is_going, pods.values())) == 2)
    fleet = await world.sees(lambda fleet: len(fleet.replicas) == 1)
    assert [replica.name for replica in fleet.replicas] == [busy]


async def test_a_pod_that_was_marked_and_stays_after_all_is_unmarked(world):
    await world.make(replicas=2)
    await world.follow(sd=world.of())
    first, _second = await world.ready(2)
    mark = {"metadata": {"annotations": {DELETION_COST: "-1000000"}}}
    await world.ask("patch", f"{world.pods}/{first}", mark)

    def unmarked(pods):
        return DELETION_COST not in pods[first]["metadata"].get("annotations", {})

    waiting = asyncio.create_task(world.wait_pods(unmarked))
    while not waiting.done():
        await world.fleet()
        await asyncio.sleep(0.05)
    assert set(await waiting) == {first, _second}


async def test_an_older_pod_of_somebody_else_is_not_counted_and_leaves_no_mark_on_ours(world):
    spec = {"containers": [{"name": "job", "image": "none"}]}
    await world.ask("create", world.pods, {"metadata": {"name": "nightly", "labels": {"app": "web"}}, "spec": spec})
    await world.wait_pods(lambda pods: len(pods) == 1 and is_ready(pods["nightly"]))
    await world.make(replicas=3)
    await world.follow(sd=world.of())
    names = await world.ready(3)
    assert "nightly" not in names

    assert await world.order(1) == ""
    pods = await world.wait_pods(lambda pods: sum(map(is_going, pods.values())) == 2)
    fleet = await world.sees(lambda fleet: len(fleet.replicas) == 1)
    (left,) = {name for name, pod in pods.items() if not is_going(pod)} - {"nightly"}
    assert [replica.name for replica in fleet.replicas] == [left]
    assert DELETION_COST not in pods[left]["metadata"].get("annotations", {})
    assert DELETION_COST not in pods["nightly"]["metadata"].get("annotations", {})


async def test_a_node_that_is_not_there_and_a_full_quota_are_said_as_kubernetes_says_them(world):
    lost = workload("lost", replicas=1)
    lost["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "none"}
    await world.ask("create", world.workloads(), lost)
    await world.follow(sd=world.of("lost"))
    await world.troubled(lambda trouble: trouble.reason == "Unschedulable")

    quotas = world.path("api/v1", "resourcequotas")
    await world.ask("create", quotas, {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}})
    # The controller that would say so is not among ours.
    full = {"hard": {"pods": "1"}, "used": {"pods": "1"}}
    await world.ask("patch", f"{quotas}/small/status", {"status": full})
    await world.make(replicas=3)
    await world.follow(sd=world.of())
    await world.troubled(lambda trouble: trouble.reason == "FailedCreate" and "exceeded quota" in trouble.message)


async def test_a_replication_controller_of_the_core_group_is_scaled(world):
    template = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "old", "image": "none"}]}}
    old = {"metadata": {"name": "old"}, "spec": {"replicas": 1, "selector": {"app": "old"}, "template": template}}
    controllers = world.path("api/v1", "replicationcontrollers")
    await world.ask("create", controllers, old)
    await world.follow(sd=world.of("old", kind="ReplicationController", api_version="v1"))
    assert (await world.fleet()).asked == 1
    assert await world.order(2) == ""
    assert (await world.ask("get", f"{controllers}/old"))["spec"]["replicas"] == 2


async def test_a_status_that_moves_is_no_other_writer(world):
    await world.make()
    await world.follow(sd=world.of())

    for number in (1, 4, 2, 6, 3, 5):
        assert await world.order(number) == ""
    assert len(await world.ready(5)) == 5
    assert await world.replicas() == 5
    assert world.rivals == []


async def test_a_write_with_an_old_version_is_written_again_at_once_if_only_the_status_moved(world):
    await world.make()
    await world.follow(sd=world.of())
    service = world.target._services[SERVICE]
    old = service.ownership.version
    await world.ask("patch", f"{world.workloads()}/web", {"metadata": {"labels": {"touched": "yes"}}})
    await until(lambda: service.ownership.version != old)
    service.ownership.version = old

    assert await world.order(2) == ""
    assert await world.replicas() == 2
    assert world.rivals == []


async def test_another_writer_is_found_named_and_given_time(world):
    await world.make()
    await world.follow(sd=world.of())
    assert await world.order(2) == ""

    await world.scale(5)

    fleet = await world.sees(lambda fleet: fleet.override is not None)
    assert (fleet.asked, fleet.override.rule, fleet.override.until_s) == (5, "foreignWriter", 300)
    assert "tests has written 5" in await outcome(world, 1)
    assert await world.replicas() == 5
    await until(lambda: world.rivals)
    assert world.rivals == [(SERVICE, f"tests has written 5 replicas to Deployment {world.namespace}/web")]

    world.now_s = 300
    assert (await world.fleet()).override is None
    assert await world.order(1) == ""
    assert await world.replicas() == 1


async def test_another_writer_is_found_by_its_value_also_where_it_was_first(world):
    await world.make()
    await world.follow(sd=world.of())
    missed = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ownership, "seen", lambda _, scale, *_args, **_options: missed.append(scale.replicas))
        await world.scale(4)
        await until(lambda: 4 in missed)

    assert "has written 4" in await outcome(world, 2)
    assert await world.replicas() == 4


async def test_an_autoscaler_that_points_at_the_target_is_named(world):
    await world.make(replicas=1)
    await world.follow(sd=world.of())
    assert await world.order(1) == ""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": reference, "minReplicas": 3, "maxReplicas": 4}
    autoscalers = world.path("apis/autoscaling/v2", "horizontalpodautoscalers")
    await world.ask("create", autoscalers, {"metadata": {"name": "other"}, "spec": spec})

    await until(lambda: world.rivals)
    assert f"HorizontalPodAutoscaler {world.namespace}/other has written 3 replicas" in world.rivals[0][1]


async def test_who_does_not_lead_takes_over_what_the_leader_writes_and_writes_nothing(world):
    await world.make()
    await world.follow(sd=world.of())
    world.leads = False
    await world.scale(2)
    fleet = await world.sees(lambda fleet: fleet.asked == 2)
    assert fleet.override is None
    assert await outcome(world, 1) == "another controller leads"

    world.leads = True
    assert await world.order(1) == ""
    assert await world.replicas() == 1
    assert world.rivals == []


async def test_of_two_policies_for_one_target_the_older_acts(world):
    await world.make()
    await world.follow(young=world.of(created_s=20), old=world.of(created_s=10))

    assert "scaled by team/old" in await outcome(world, 1, "team/young")
    assert (await world.fleet("team/young")).override.rule == "secondPolicy"
    assert await world.order(2, "team/old") == ""
    assert await world.replicas() == 2
    assert (await world.sees(lambda fleet: fleet.asked == 2, "team/young")).override.rule == "secondPolicy"
    assert world.rivals == []

    await world.follow(young=world.of(created_s=20))
    assert (await world.fleet("team/young")).override is None


async def test_a_target_that_is_followed_no_more_keeps_its_replicas(world):
    await world.make(replicas=2)
    await world.follow(sd=world.of())
    await world.ready(2)
    world.target.set_targets({})
    assert await world.target.observe([SERVICE]) == {}
    assert "no service" in await outcome(world, 0)
    assert await world.replicas() == 2


async def test_any_kind_with_a_scale_subresource_is_scaled_also_one_that_comes_later(world):
    group = f"{world.namespace}.example.com"
    world.target.set_targets({SERVICE: world.of("toy", kind="Toy", api_version=f"{group}/v1")})
    await until(lambda: "cannot be scaled" in world.target.problem(SERVICE))

    await world.ask("create", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", toy_kind(group))
    toys = f"/apis/{group}/v1/namespaces/{world.namespace}/toys"
    await until_created(
        world, toys, {"apiVersion": f"{group}/v1", "kind": "Toy", "metadata": {"name": "toy"}, "spec": {"size": 2}}
    )
    await world.ask("patch", f"{toys}/toy/status", {"status": {"size": 2, "selector": "app=toy,!other"}})
    await world.make("toy", replicas=2)

    assert (await world.sees(lambda fleet: len(fleet.replicas) == 2)).asked == 2
    assert await world.order(4) == ""
    assert (await world.ask("get", f"{toys}/toy"))["spec"]["size"] == 4
    await world.ask("patch", f"{toys}/toy", {"spec": {"size": 1}})
    assert (await world.sees(lambda fleet: fleet.override is not None)).asked == 1
    await world.ask("delete", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/toys.{group}")


async def until_created(world, path, body):
    name = f"toys.{body['apiVersion'].partition('/')[0]}"
    await world.ask("wait_established", name)
    await world.ask("create", path, body)
