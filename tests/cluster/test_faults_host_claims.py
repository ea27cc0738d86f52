"""A host thief: of two namespaces that claim one host the older policy has it, for gateway and status alike."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cluster_kit import PolicyCluster, condition, new_namespace, until

pytestmark = [pytest.mark.program, pytest.mark.real_time]


@pytest.fixture
async def tenants(installation):
    """Two namespaces; the first one by name also wins among policies of the same second."""
    with new_namespace(installation.control_plane) as other:
        names = sorted([installation.namespace, other])
        yield [PolicyCluster(installation.control_plane, name) for name in names]


@asynccontextmanager
async def asking(gateway, host):
    """Have a request that waits for a pod while the block runs."""
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{gateway.port}/"
        task = asyncio.create_task(session.post(url, headers={"Host": host}, data=b"x"))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def held_at(gateway, host, service):
    async with asking(gateway, host):
        await until(lambda: gateway.dispatcher(service).queued == 1)
    await until(lambda: gateway.dispatcher(service).queued == 0)


async def test_the_older_policy_keeps_its_host_and_the_thief_is_told(installation, tenants):
    victim, thief = tenants
    host = f"shop.{victim.namespace}.example.com"
    await victim.apply("shop", traffic={"hosts": [host]}, metrics={})
    async with installation.controller(namespace="") as whole, installation.gateway("") as gateway:
        await until(whole.leads)
        await thief.apply("evil", traffic={"hosts": [host.upper(), f"evil.{host}"]})
        status = await thief.policy_is(lambda s: condition(s, "Ready") == ("False", "HostConflict"), "evil")
        (ready,) = [each for each in status["conditions"] if each["type"] == "Ready"]
        assert ready["message"] == f"{host} belongs to the policy {victim.namespace}/shop"
        await until(lambda: f"{thief.namespace}/evil" in gateway.proxies)
        await held_at(gateway, host, f"{victim.namespace}/shop")
        await held_at(gateway, f"evil.{host}", f"{thief.namespace}/evil")
        assert condition(await victim.policy_is(lambda s: s, "shop"), "Ready") != ("False", "HostConflict")
        assert ("HostConflict", ready["message"]) in await thief.events("evil")

        await victim.ask("delete", f"{victim.policies}/shop")
        await thief.policy_is(lambda s: condition(s, "Ready") not in {None, ("False", "HostConflict")}, "evil")
        await until(lambda: f"{victim.namespace}/shop" not in gateway.proxies)
        await held_at(gateway, host, f"{thief.namespace}/evil")


async def test_below_a_wildcard_the_annotation_of_its_owners_namespace_gives_leave(installation, tenants):
    owner, other = tenants
    wide = f"{owner.namespace}.example.com"
    async with installation.controller(namespace="") as whole, installation.gateway("") as gateway:
        await until(whole.leads)
        await owner.apply("all", traffic={"hosts": [f"*.{wide}"]})
        await until(lambda: f"{owner.namespace}/all" in gateway.proxies)
        await other.apply("pay", traffic={"hosts": [f"pay.{wide}"]})
        await other.policy_is(lambda s: condition(s, "Ready") == ("False", "HostConflict"), "pay")
        await held_at(gateway, f"pay.{wide}", f"{owner.namespace}/all")

        annotations = {"inflight.dev/host-claims-from": other.namespace}
        namespace = f"/api/v1/namespaces/{owner.namespace}"
        await owner.ask("patch", namespace, {"metadata": {"annotations": annotations}})
        await other.policy_is(lambda s: condition(s, "Ready") not in {None, ("False", "HostConflict")}, "pay")
        await until(lambda: gateway.proxies[f"{other.namespace}/pay"].config.hosts)
        await held_at(gateway, f"pay.{wide}", f"{other.namespace}/pay")
