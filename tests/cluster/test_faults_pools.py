"""Pools of GPUs that run out of stock or of quota under load: the next pool serves, and no request is cut."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cluster_kit import QUICK, condition, free_port, until
from in_process import paint, web_uis
from kubectl import kubectl
from pool_kit import Stock, template

pytestmark = [pytest.mark.program, pytest.mark.real_time]


@asynccontextmanager
async def served(it, clients):
    """Have a gateway, a controller and pods that answer, and so many clients; no request may fail."""
    stop, statuses = asyncio.Event(), []

    async def client(session, gateway):
        while not stop.is_set():
            statuses.append(await paint(session, gateway))

    async with (
        web_uis(it.port, 0.37) as pods,
        it.gateway() as gateway,
        it.controller(gateways=(f"127.0.0.1:{gateway.metrics_port}",)) as whole,
        aiohttp.ClientSession() as session,
    ):
        await until(whole.leads)
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(session, gateway))
            try:
                yield whole
            finally:
                stop.set()
        assert set(statuses) == {200}
        assert max(report["overlaps"] for report in pods.reports().values()) == 0
        await it.policy_is(lambda status: not any(each["desired"] for each in status["pools"]))


def split(key, **numbers):
    """Tell whether the pools of a status have these numbers."""
    return lambda status: {each["name"]: each[key] for each in status.get("pools", ())} == numbers


def traffic(port):
    return {"hosts": ["sd.example.com"], "port": port}


async def test_while_the_first_two_pools_are_out_the_third_serves_and_what_comes_back_is_used_again(installation):
    it, it.port = installation, free_port()
    async with Stock(it, {"a10": 1, "l20": 0, "p100": 5}).there() as stock:
        await it.ask("create", it.workloads(), template(annotations={"inflight.test/cold-start-s": "0.5"}))
        pools = [stock.pool(name) for name in ("a10", "l20", "p100")]
        await it.apply(traffic=traffic(it.port), maxReplicas=2, pools=pools, spillAfter="1s", **QUICK)
        async with served(it, clients=2):
            status = await it.policy_is(split("ready", a10=1, l20=0, p100=1), deadline_s=60)
            assert condition(status, "PoolExhausted") == ("True", "Unschedulable")
            row = await asyncio.to_thread(kubectl, it.control_plane, "get", "spol", f"--namespace={it.namespace}")
            assert "pool l20" in row

            await stock.set("a10", 2)
            status = await it.policy_is(split("ready", a10=2, l20=0, p100=0), deadline_s=90)
            await it.policy_is(lambda status: condition(status, "PoolExhausted") == ("False", "PoolsHaveRoom"))
            assert condition(status, "Ready") == ("True", "ScalingActive")
        told = {reason for reason, _ in await it.events()}
        assert told >= {"PoolExhausted", "PoolSpilled", "PoolRecovered"}


async def test_a_quota_that_is_used_up_sends_the_rest_to_the_next_pool_at_once(installation):
    it, it.port, kind = installation, free_port(), "example.com/a10"
    await it.ask("create", quotas := it.path("api/v1", "resourcequotas"), {"metadata": {"name": "a10"}})
    # The controller that would count is not among ours; the API server itself counts what it admits.
    hard = {f"requests.{kind}": "1"}
    await it.ask("patch", f"{quotas}/a10", {"spec": {"hard": hard}})
    await it.ask("patch", f"{quotas}/a10/status", {"status": {"hard": hard, "used": {f"requests.{kind}": "0"}}})
    async with Stock(it, {"a10": 9}, resource=kind).there(), served_by_two(it, kind):
        status = await it.policy_is(split("ready", a10=1, p100=1), deadline_s=60)
        assert condition(status, "PoolExhausted") == ("True", "FailedCreate")


@asynccontextmanager
async def served_by_two(it, kind):
    """Have two pools with targets of their own: one whose pods need a kind of GPU, and one with room."""
    quick = {"inflight.test/cold-start-s": "0.5"}
    await it.ask("create", it.workloads(), template("fast", resource=kind, annotations=quick))
    await it.ask("create", it.workloads(), template("slow", annotations=quick))
    pools = [{"name": "a10", "scaleTargetRef": {"name": "fast"}}, {"name": "p100", "scaleTargetRef": {"name": "slow"}}]
    spec = {"traffic": traffic(it.port), "maxReplicas": 2, "pools": pools, "spillAfter": "1h", **QUICK}
    await it.apply(**spec)
    async with served(it, clients=2) as whole:
        yield whole
