"""Controllers and a gateway of one namespace, in this process, and what they serve."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web
from cluster_kit import PolicyCluster

from autoscaler.app.cluster_controller import cluster_controller
from autoscaler.app.cluster_gateway import cluster_services
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.demo.fake_webui import Pods, application
from autoscaler.gateway.server import GatewayServer
from autoscaler.kubernetes.lease import Times
from autoscaler.runtime.clock import SystemClock

QUICK_LEASE = Times(lease_s=6, renew_s=4, retry_s=0.3)


class Installation(PolicyCluster):
    """Controllers and a gateway of one namespace, in this process."""

    def settings(self, identity="one", **options):
        given = {"namespace": self.namespace, "tick_s": 0.5, "lease": QUICK_LEASE, **options}
        return ControllerSettings(own_namespace=self.namespace, identity=identity, **given)

    @asynccontextmanager
    async def controller(self, identity="one", **options):
        records = []
        settings = self.settings(identity, **options)
        async with cluster_controller(settings, SystemClock(), [records.append]) as (whole, loop):
            task = asyncio.create_task(whole.run(loop))
            whole.records, whole.task = records, task
            try:
                yield whole
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def gateway(self, namespace=None):
        """Run a gateway of the own namespace, or of another; empty is all."""
        async with cluster_services(self.namespace if namespace is None else namespace) as services:
            gateway = GatewayServer(services.load())
            await gateway.start(0, 0, ["127.0.0.1"])
            task = asyncio.create_task(services.follow(gateway))
            try:
                yield gateway
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await gateway.stop()


@asynccontextmanager
async def web_uis(port, service_s):
    """One server that answers for all pods, and tells them apart by the address that was called."""
    pods = Pods(1, lambda: service_s)
    runner = web.AppRunner(application(pods), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - the point of it
    try:
        yield pods
    finally:
        await runner.cleanup()


async def paint(session, gateway):
    headers = {"Host": "sd.example.com"}
    url = f"http://127.0.0.1:{gateway.port}/sdapi/v1/txt2img"
    async with session.post(url, json={"prompt": "pretty dog"}, headers=headers) as answer:
        await answer.read()
        return answer.status
