"""What `onAbort` means for a GPU: clients hang up on the demo's stand-in, which computes on as the web UI does."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from gateway_kit import until

from autoscaler.app.gateway_config import gateway_services
from autoscaler.commands.demo import POLICY
from autoscaler.demo.fake_webui import Pods, application
from autoscaler.policy.loading import read_policies

pytestmark = pytest.mark.real_time

JOBS = 20
FOR_EVER_S = 3600.0


@asynccontextmanager
async def standin(takes_s):
    """A stand-in on a free port; give its pod and its address."""
    pods = Pods(1, lambda: takes_s)
    runner = web.AppRunner(application(pods), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield pods["127.0.0.1"], f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        pods["127.0.0.1"].interrupt()
        await runner.cleanup()


async def gateway_before(kit, address, **traffic):
    """A gateway with the reference policy, but for these keys."""
    (policy,) = read_policies([POLICY])
    changed = policy.spec.traffic.model_copy(update=traffic)
    policy = policy.model_copy(update={"spec": policy.spec.model_copy(update={"traffic": changed})})
    ((name, service),) = gateway_services([policy]).items()
    gateway = await kit.gateway(service)
    gateway.set_backends(name, {"sd": address})
    return gateway, name, service.hosts[0]


async def job(kit, gateway, host):
    """A client that asks for a picture."""
    client = await kit.client(gateway)
    client.send(f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    return client


async def test_by_the_reference_policy_an_abandoned_job_is_broken_off_and_none_meets_another(kit):
    async with standin(FOR_EVER_S) as (pod, address):
        gateway, name, host = await gateway_before(kit, address)
        client = await job(kit, gateway, host)
        for n in range(JOBS):
            await until(lambda n=n: pod.jobs and pod.report().interrupted == n)
            following = await job(kit, gateway, host)
            await until(lambda: gateway.dispatcher(name).queued == 1)
            client.close()
            client = following
        await until(lambda: pod.jobs and pod.report().interrupted == JOBS)
        assert (pod.report().overlaps, pod.report().peak, pod.report().served) == (0, 1, 0)


async def test_by_default_the_slot_is_free_when_the_abandoned_job_is_done(kit):
    async with standin(0.05) as (pod, address):
        gateway, _, host = await gateway_before(kit, address, on_abort="WaitUpstream")
        for _ in range(3):
            gone = await job(kit, gateway, host)
            await until(lambda: pod.jobs)
            gone.close()
            assert (await (await job(kit, gateway, host)).response()).status == 200
        assert pod.report().overlaps == 0
        assert pod.report().served == 6


async def test_close_lets_the_next_job_meet_the_abandoned_one_and_so_is_not_the_default(kit):
    async with standin(FOR_EVER_S) as (pod, address):
        gateway, _, host = await gateway_before(kit, address, on_abort="Close")
        gone = await job(kit, gateway, host)
        await until(lambda: pod.jobs)
        gone.close()
        assert (await (await job(kit, gateway, host)).response()).status == 429
        assert pod.report().overlaps == 1
