"""Everything that a tenant, a client, a pod, a server and an operator's pipe can do to the others, at the same time.

One service, the neighbour, is used as always meanwhile. Nothing of it may be lost, and it may not wait for the others.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from cluster_kit import condition
from fault_kit import PATIENCE_S, SERVICE_S, Prometheus, installed, together
from fault_processes import LogPipe
from fault_proxy import Answers, Proxy

pytestmark = [pytest.mark.program, pytest.mark.real_time]

MEMORY, DESCRIPTORS = 256 << 20, 700
JSON = {"Content-Type": "application/json"}
HERE = Path(__file__).parent
IDLE_CLIENTS, UPLOADS, SLOW_READERS = 600, 60, 40
REQUESTS = 20
"""Of the neighbour, in turn: the slowest of them is its P99. It may take as long as ten of them, since clients,
pods and attackers share the machine's cores; without the limits it waits for ever."""


async def test_a_neighbour_is_served_as_always_while_every_limit_is_reached(control_plane, tmp_path, prometheus_binary):
    limits = {"prefix": ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"), "options": (f"--memory-limit={MEMORY}",)}
    with LogPipe(tmp_path) as log_pipe:
        names = ["neighbour", "tenant"]
        async with installed(control_plane, tmp_path, names, ahead_s=1, log_pipe=log_pipe, **limits) as it:
            neighbour, tenant = it["neighbour"], it["tenant"]
            prometheus = Prometheus(prometheus_binary, tmp_path / "prometheus", it.gateways[0].scraped)
            async with prometheus.started(), Proxy(prometheus.url).running() as liar:
                await neighbour.install(prometheus=prometheus.url, minReplicas=1)
                paths = [{"match": ["/large"], "class": "Pass", "maxPerPod": SLOW_READERS}]
                await tenant.install(prometheus=liar.url, minReplicas=1, traffic={"paths": paths})
                await together(service.serves(1) for service in (neighbour, tenant))
                alone = await slowest(neighbour)
                async with everything_at_once(it, liar, log_pipe):
                    under_attack = await slowest(neighbour)
                    assert await healthy(it.gateways[0])
                    assert resident_bytes(it.gateways[0]) < MEMORY
        lost = [each for each in neighbour.ledger.requests if each.status != 200]
        assert not lost
        neighbour.ledger.settle()
        assert under_attack < alone + 10 * SERVICE_S, f"{under_attack} s beside {alone} s alone"


async def slowest(service):
    """Send requests one after the other and give the longest time that one took."""
    took = []
    for _ in range(REQUESTS):
        (request,) = await service.one()
        took.append(request.ended_s - request.sent_s)
    return max(took)


async def healthy(gateway):
    """Ask what a kubelet and Prometheus ask."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        for path in ("/healthz", "/metrics"):
            async with session.get(f"http://127.0.0.1:{gateway.metrics_port}{path}") as answer:
                assert answer.ok
    return True


def resident_bytes(gateway):
    pages = int(Path(f"/proc/{gateway.number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


@asynccontextmanager
async def everything_at_once(it, liar, log_pipe):
    """Do it all while the block runs."""
    neighbour, tenant = it["neighbour"], it["tenant"]
    gateway = it.gateways[0]
    async with AsyncExitStack() as stack:
        log_pipe.stand_still()
        stack.callback(log_pipe.go_on)
        liar.does(Answers(200, b'{"status": "success", "data": {"result": [' + b"1," * (20 << 20), **JSON))
        stack.callback(liar.heal)
        it.broken_file.write_text(tenant.key)
        stack.callback(it.broken_file.unlink)
        await tenant.apply("thief", traffic={"hosts": [neighbour.host], "port": it.pod_port})
        conflict = ("False", "HostConflict")
        await tenant.policy_is(lambda status: condition(status, "Ready") == conflict, "thief", deadline_s=PATIENCE_S)
        await asyncio.to_thread(stack.enter_context, bad_clients(gateway, tenant.host))
        yield


@contextmanager
def bad_clients(gateway, host):
    """Run them in a process of their own while the block runs; all have begun when it is entered."""
    numbers = map(str, (gateway.port, IDLE_CLIENTS, UPLOADS, SLOW_READERS))
    command = [sys.executable, HERE / "fault_clients.py", host, *numbers]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline()
            yield
        finally:
            process.kill()
