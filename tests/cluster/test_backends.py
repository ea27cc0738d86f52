"""What a gateway is told of pods, by watches of a real API server."""

import random

import pytest
from cluster_kit import Cluster, is_ready, until, workload

from autoscaler.kubernetes.backends import BackendWatch, ServiceBackend
from autoscaler.kubernetes.client import connected
from autoscaler.kubernetes.scales import NamespacedKind

pytestmark = [pytest.mark.program, pytest.mark.real_time]

SERVICE = "team/sd"


class Told:
    """A gateway, as far as its pods go: address of each that serves, those that drain, those that are gone."""

    def __init__(self):
        self.serving, self.draining, self.marked, self.gone = {}, set(), set(), set()
        self.expected = set()

    def expect_backend(self, service, name, *, created_s):  # noqa: ARG002
        assert service == SERVICE
        self.expected.add(name)

    def add_backend(self, service, name, address, *, warm):  # noqa: ARG002
        assert service == SERVICE
        self.expected.discard(name)
        self.serving[name] = address
        self.draining.discard(name)

    def drain_backend(self, service, name, *, marked):
        assert service == SERVICE
        self.serving.pop(name, None)
        self.expected.discard(name)
        self.draining.add(name)
        if marked:
            self.marked.add(name)

    def remove_backend(self, service, name):
        assert service == SERVICE
        self.serving.pop(name, None)
        self.draining.discard(name)
        self.gone.add(name)


@pytest.fixture
async def world(control_plane, namespace, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    cluster = Cluster(control_plane, namespace)
    cluster.told = Told()
    async with connected() as api, BackendWatch(api, random.Random(1), cluster.told, started_s=0.0) as cluster.watch:  # noqa: S311
        cluster.backing = ServiceBackend(NamespacedKind(namespace, "apps/v1", "Deployment"), "web", 7860)
        yield cluster


async def test_pods_come_when_they_are_ready_leave_when_they_are_deleted_and_are_forgotten_when_gone(world):
    world.watch.set_services({SERVICE: world.backing})
    await world.make(replicas=2, annotations={"inflight.test/exit-s": "2"})
    await until(lambda: len(world.told.serving) == 2)
    pods = await world.wait_pods(lambda pods: len(pods) == 2)
    assert world.told.serving == {name: f"{pod['status']['podIP']}:7860" for name, pod in pods.items()}

    await world.scale(1)
    await until(lambda: world.told.draining)
    (leaving,) = world.told.draining
    assert leaving not in world.told.serving
    await until(lambda: world.told.gone == {leaving})
    assert len(world.told.serving) == 1


async def test_a_pod_that_is_marked_to_go_is_sent_nothing_until_the_mark_is_taken_away(world):
    await world.make(replicas=1)
    world.watch.set_services({SERVICE: world.backing})
    (name,) = await until(lambda: dict(world.told.serving))
    cost = "controller.kubernetes.io/pod-deletion-cost"
    await world.ask("patch", f"{world.pods}/{name}", {"metadata": {"annotations": {cost: "-1000000"}}})
    await until(lambda: world.told.draining == {name})
    await world.ask("patch", f"{world.pods}/{name}", {"metadata": {"annotations": {cost: None}}})
    await until(lambda: set(world.told.serving) == {name})


async def test_the_pods_of_a_new_revision_come_and_those_of_the_old_one_go(world):
    world.watch.set_services({SERVICE: world.backing})
    await world.make(replicas=1)
    (old,) = await until(lambda: set(world.told.serving))
    template = {"metadata": {"annotations": {"revision": "2"}}}
    await world.ask("patch", f"{world.workloads()}/web", {"spec": {"template": template}})
    await until(lambda: world.told.gone == {old} and len(world.told.serving) == 1)


async def test_a_relabelled_pod_drains_at_once_and_its_replacement_serves(world):
    await world.make(replicas=2)
    world.watch.set_services({SERVICE: world.backing})
    await until(lambda: len(world.told.serving) == 2)
    first = min(world.told.serving)
    await world.ask("patch", f"{world.pods}/{first}", {"metadata": {"labels": {"app": "quarantine"}}})
    await until(lambda: world.told.draining == {first} and len(world.told.serving) == 2)
    await world.ask("delete", f"{world.pods}/{first}")
    await until(lambda: world.told.gone == {first})


async def test_a_service_that_gets_another_target_has_that_ones_pods_alone(world):
    await world.make("blue", replicas=1)
    await world.make("green", replicas=1)
    world.watch.set_services({SERVICE: world.backing._replace(name="blue")})
    (blue,) = await until(lambda: set(world.told.serving))
    world.watch.set_services({SERVICE: world.backing._replace(name="green")})
    (green,) = await until(lambda: set(world.told.serving) - {blue})
    assert (set(world.told.serving), world.told.draining) == ({green}, {blue})


async def test_pods_of_a_canary_and_of_nobody_with_the_same_labels_serve_no_service(world):
    canary = workload("canary", replicas=1)
    canary["spec"]["selector"]["matchLabels"] = canary["spec"]["template"]["metadata"]["labels"] = {
        "app": "web",
        "track": "canary",
    }
    await world.ask("create", world.workloads(), canary)
    alone = {"metadata": {"name": "nightly", "labels": {"app": "web"}}, "spec": canary["spec"]["template"]["spec"]}
    await world.ask("create", world.pods, alone)
    await world.wait_pods(lambda pods: len(pods) == 2 and all(map(is_ready, pods.values())))
    await world.make(replicas=1)
    world.watch.set_services({SERVICE: world.backing})
    (name,) = await until(lambda: set(world.told.serving))
    assert name.startswith("web-")


async def test_a_service_that_comes_later_is_told_of_the_pods_that_are_there(world):
    await world.make("other", replicas=1)
    await world.make(replicas=1)
    world.watch.set_services({})
    world.watch.set_services({SERVICE: world.backing})
    await until(lambda: world.told.serving)
    world.told.serving.clear()
    world.watch.set_services({})
    world.watch.set_services({SERVICE: world.backing._replace(port=80)})
    await until(lambda: [address.endswith(":80") for address in world.told.serving.values()] == [True])
