"""What is reported of a service whose replicas run in several pools."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, PODS, REPLICA_SETS, ApiServer, heard, pod, replica_set, workload

from autoscaler.app.cluster_target import ClusterTarget
from autoscaler.controller.services import PolicyEntry
from autoscaler.testing import policy

SD = f"{NAMESPACE}/sd"
POOLS = [{"name": name, "scaleTargetRef": {"name": f"sd-{name}"}} for name in ("a10", "l20")]
UNSCHEDULABLE = {
    "conditions": [
        {"type": "Ready", "status": "False"},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"},
    ]
}


class Reports:
    def __init__(self):
        self.warnings, self.troubles = [], []

    def warn(self, service, reason, message):
        self.warnings.append((service, reason, message))

    def not_ready(self, service, why):
        self.troubles.append((service, why and why.message))


class World:
    def __init__(self):
        self.api, self.reports, self.changed = ApiServer(), Reports(), []
        self.running_pods = {}
        self.target = ClusterTarget(
            self.api,
            asyncio.get_running_loop().time,
            random.Random(1),  # noqa: S311
            running=lambda service: self.running_pods.get(service, {}),
            leads=lambda: True,
            hold_s=300,
            reports=self.reports,
            on_change=self.changed.append,
        )
        for name in ("a10", "l20"):
            self.api.put(DEPLOYMENTS, workload(f"sd-{name}", replicas=1))
            self.api.put(REPLICA_SETS, replica_set(f"sd-{name}-1", f"sd-{name}"))
            self.put_pod(name)

    def put_pod(self, pool, **status):
        labels, owner = {"app": f"sd-{pool}"}, ("ReplicaSet", f"sd-{pool}-1")
        self.api.put(PODS, pod(f"pod-{pool}", labels, owner, status=status, ready=not status))

    @asynccontextmanager
    async def running(self):
        async with self.target:
            self.target.follow({SD: PolicyEntry(policy(SD, pools=POOLS))}, set())
            await heard()
            yield self

    async def fleet(self):
        await heard()
        return (await self.target.services.observe([SD]))[SD]


@pytest.fixture
async def world():
    async with World().running() as world:
        yield world


async def test_a_service_with_pools_is_one_fleet_and_knows_what_its_pods_serve(world):
    world.running_pods[SD] = {"pod-l20": 1}
    fleet = await world.fleet()
    assert [(each.pool, each.name, each.running) for each in fleet.replicas] == [
        ("a10", "pod-a10", 0),
        ("l20", "pod-l20", 1),
    ]
    assert [(each.name, each.asked, each.busy) for each in fleet.pools] == [("a10", 1, 0), ("l20", 1, 1)]
    assert set(world.changed) == {SD}


async def test_of_the_pools_whose_pods_are_not_ready_the_most_wanted_is_reported_until_none_is_left(world):
    world.put_pod("l20", **UNSCHEDULABLE)
    await world.fleet()
    world.put_pod("a10", **UNSCHEDULABLE)
    fleet = await world.fleet()
    assert [(each.unplaced, each.why) for each in fleet.pools] == [(1, "Unschedulable: no node")] * 2
    world.put_pod("a10")
    await world.fleet()
    world.put_pod("l20")
    await world.fleet()

    message = "pool {0}: 0 of 1 replicas are ready; pod pod-{0}: no node"
    reported = [why for service, why in world.reports.troubles if service == SD]
    assert reported == [message.format("l20"), message.format("a10"), message.format("l20"), None]


async def test_another_writer_of_one_pool_is_reported_for_the_service(world):
    await world.fleet()
    before = world.api.find(DEPLOYMENTS, "sd-a10")
    world.api.put(DEPLOYMENTS, {**before, "spec": {**before["spec"], "replicas": 7}})
    fleet = await world.fleet()
    assert fleet.override.why.startswith("pool a10: ")
    ((service, reason, message),) = world.reports.warnings
    assert reason == "ForeignWriter"
    assert service == SD
    assert "has written 7 replicas to Deployment ns/sd-a10" in message


async def test_services_whose_status_shows_pools_and_whose_policy_has_none_lose_their_copies(world):
    followed = {}
    world.target.copies.set_services = lambda services, known: followed.update(services=services, known=set(known))
    entries = {SD: PolicyEntry(policy(SD)), f"{NAMESPACE}/web": PolicyEntry(policy(f"{NAMESPACE}/web"))}
    world.target.follow(entries, {SD, f"{NAMESPACE}/gone"})
    assert {name: copies.names for name, copies in followed["services"].items()} == {SD: {}}
    assert followed["known"] == set(entries)
