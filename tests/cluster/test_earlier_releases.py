"""A decision in the status of a policy whose release has another name for a part of it: an upgrade, and back."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from cluster_kit import CRDS, DEFINITION, PolicyCluster, define_policies
from control_plane import RefusedError

pytestmark = [pytest.mark.program, pytest.mark.real_time]

OLD = Path(__file__).parents[1] / "data" / "releases" / "0.1.0" / "definition.yaml"
OLD_KEY, KEY = "wish", "recommendation"


class Policies(PolicyCluster):
    """A cluster with one policy, whose status a test writes as a controller does."""

    async def decision(self):
        policy = await self.ask("get", f"{self.policies}/web")
        return policy.get("status", {}).get("lastDecision", {})

    async def write(self, **status):
        await self.ask("patch", f"{self.policies}/web/status", {"status": status})

    async def keeps(self, key):
        """Write a decision with a key until the API server keeps it: it uses a definition after a while."""
        decision = {"time": "2026-11-30T14:10:14Z", "desired": 1, key: {"replicas": 1, "why": "1 in flight"}}
        async with asyncio.timeout(30):
            while key not in await self.decision():
                await asyncio.sleep(0.1)
                try:
                    await self.write(lastDecision=decision)
                except RefusedError:
                    continue

    async def prunes(self, key):
        """Wait until the API server gives the decision without a key."""
        async with asyncio.timeout(30):
            while key in await self.decision():  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.1)


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    cluster = Policies(control_plane, namespace)
    await cluster.apply()
    return cluster


@asynccontextmanager
async def the_definition_of(cluster, file):
    """Have another definition for a while."""

    async def define(path):
        definition = yaml.safe_load(path.read_text())
        versions = {"versions": definition["spec"]["versions"]}
        await cluster.ask("patch", f"{CRDS}/{definition['metadata']['name']}", {"spec": versions})

    await define(file)
    try:
        yield
    finally:
        await define(DEFINITION)


async def can_be_changed(cluster, desired):
    await cluster.change(spec={"maxReplicas": desired})
    await cluster.write(desiredReplicas=desired)
    policy = await cluster.ask("get", f"{cluster.policies}/web")
    return policy["spec"]["maxReplicas"] == policy["status"]["desiredReplicas"] == desired


async def test_a_policy_can_be_changed_after_an_upgrade_and_after_the_way_back(cluster):
    async with the_definition_of(cluster, OLD):
        await cluster.keeps(OLD_KEY)
    await cluster.prunes(OLD_KEY)
    assert await can_be_changed(cluster, 3)
    await cluster.keeps(KEY)
    async with the_definition_of(cluster, OLD):
        await cluster.prunes(KEY)
        assert await can_be_changed(cluster, 4)
