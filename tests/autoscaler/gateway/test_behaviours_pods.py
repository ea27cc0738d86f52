"""Which pods a gateway sends requests to as the objects of a cluster change: real sockets, an API server in memory."""

import random
from contextlib import asynccontextmanager

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, PODS, REPLICA_SETS, ApiServer, pod, replica_set, workload
from gateway_kit import NAME, until

from autoscaler.kubernetes.backends import BackendWatch, ServiceBackend
from autoscaler.kubernetes.scales import NamespacedKind

pytestmark = pytest.mark.real_time

OURS = ("ReplicaSet", "sd-1")


class World:
    """A Deployment `sd` with two pods, at addresses of their own and one port, and a gateway that follows it."""

    def __init__(self, kit):
        self.kit, self.api, self.pods = kit, ApiServer(), {}

    @asynccontextmanager
    async def running(self):
        self.api.put(DEPLOYMENTS, workload("sd"))
        self.api.put(REPLICA_SETS, replica_set("sd-1", "sd"))
        self.port = (await self.add("a", {"app": "sd"}, OURS)).port
        await self.add("b", {"app": "sd"}, OURS)
        self.gateway = await self.kit.gateway()
        async with BackendWatch(self.api, random.Random(1), self.gateway, started_s=0.0) as self.watch:  # noqa: S311
            self.follows("sd")
            await until(lambda: self.known() == {"a", "b"})
            yield self

    async def add(self, name, labels, owner):
        address = f"127.0.0.{2 + len(self.pods)}"
        port = {"port": self.port} if self.pods else {}
        self.pods[name] = await self.kit.pod(host=address, **port)
        self.change(name, labels, owner, address=address)
        return self.pods[name]

    def change(self, name, labels, owner=OURS, **more):
        self.api.put(PODS, pod(name, labels, owner, **{"address": self.address(name), **more}))

    def address(self, name):
        return f"127.0.0.{2 + list(self.pods).index(name)}"

    def follows(self, deployment):
        self.watch.set_services(
            {NAME: ServiceBackend(NamespacedKind(NAMESPACE, "apps/v1", "Deployment"), deployment, self.port)}
        )

    def known(self):
        """Name the pods that would be sent a request."""
        return set(self.gateway.proxies[NAME].pods.listed)

    async def runs_at(self, name):
        """Send requests until one runs at this pod; give it with its client, when no other runs."""
        others = []
        for _ in self.pods:
            client = (await self.kit.client(self.gateway)).get()
            await until(lambda: any(not each.requests.empty() for each in self.pods.values()))
            at = next(name for name, each in self.pods.items() if not each.requests.empty())
            request = await self.pods[at].next()
            if at == name:
                for other in others:
                    other.reply()
                return client, request
            others.append(request)
        raise AssertionError(f"no request reached {name}")

    async def answers(self, name):
        """Send a request that only this pod answers, while all others have nothing to do."""
        client, request = await self.runs_at(name)
        request.reply()
        return (await client.response()).status


@pytest.fixture
async def world(kit):
    async with World(kit).running() as world:
        yield world


async def test_b96_a_pod_whose_labels_match_no_more_ends_what_it_serves_and_gets_nothing_new(world):
    client, request = await world.runs_at("a")
    world.change("a", {"app": "quarantine"})
    await until(lambda: world.known() == {"b"})
    for _ in range(3):
        assert await world.answers("b") == 200
    request.reply()
    assert (await client.response()).status == 200
    assert world.pods["a"].seen == ["/"]


@pytest.mark.parametrize("state", [{"ready": False}, {"leaving": True}])
async def test_b96_a_pod_that_is_relabelled_as_it_ends_gets_nothing_new(world, state):
    world.change("a", {"app": "quarantine"}, **state)
    await until(lambda: world.known() == {"b"})
    assert await world.answers("b") == 200


async def test_b97_a_policy_that_names_another_target_sends_all_to_that_ones_pods_at_once(world):
    world.api.put(DEPLOYMENTS, workload("green"))
    world.api.put(REPLICA_SETS, replica_set("green-1", "green"))
    await world.add("g", {"app": "green"}, ("ReplicaSet", "green-1"))
    client, request = await world.runs_at("a")
    world.follows("green")
    await until(lambda: world.known() == {"g"})
    for _ in range(3):
        assert await world.answers("g") == 200
    request.reply()
    assert (await client.response()).status == 200


@pytest.mark.parametrize("owner", [("Job", "nightly"), ("ReplicaSet", "canary-1"), None])
async def test_b98_pods_of_others_with_the_same_labels_are_sent_nothing(world, owner):
    world.api.put(DEPLOYMENTS, workload("canary", labels={"app": "sd", "track": "canary"}))
    world.api.put(REPLICA_SETS, replica_set("canary-1", "canary"))
    other = await world.add("x", {"app": "sd", "track": "canary"}, owner)
    world.change("a", {"app": "sd"}, ready=False)
    await until(lambda: world.known() == {"b"})
    assert await world.answers("b") == 200
    assert other.connections == 0
