"""Policies of one tenant that try to end the controller of all: each is held and says why, the others are scaled."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import yaml
from cluster_kit import CRDS, DEFINITION, PolicyCluster, condition, define_policies
from control_plane import RefusedError
from run_process import running

pytestmark = [pytest.mark.program, pytest.mark.real_time]

OLD = Path(__file__).parents[1] / "data" / "releases" / "0.1.0" / "definition.yaml"
MPA = {"algorithm": {"mpa": {}}, "minReplicas": 1, "maxReplicas": 8}


class Prometheus:
    """Answers every query with one value for each service of a namespace, and with a time of its own."""

    def __init__(self, namespace, *services):
        self.namespace, self.services = namespace, services
        self.value, self.clock = "4", "1000"
        self.address = ""

    async def __call__(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        asked = parse_qs((await reader.readexactly(length)).decode())
        if asked["query"] == ["time()"]:
            data = {"resultType": "scalar", "result": [1000, self.clock]}
        else:
            data = {"resultType": "vector", "result": [*self._elements()]}
        body = json.dumps({"status": "success", "data": data}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    def _elements(self):
        for service in self.services:
            for f, text in (("value", self.value), ("oldest", "999"), ("series", "1")):
                yield {"metric": {"namespace": self.namespace, "service": service, "f": f}, "value": [1000, text]}


@asynccontextmanager
async def serving(prometheus):
    async with await asyncio.start_server(prometheus, "127.0.0.1", 0) as server:
        prometheus.address = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        yield prometheus


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    return PolicyCluster(control_plane, namespace)


@asynccontextmanager
async def the_definition_of(cluster, file):
    """Have another definition for a while: what was stored under it stays."""

    async def define(path):
        definition = yaml.safe_load(path.read_text())
        path_of_it = f"{CRDS}/{definition['metadata']['name']}"
        await cluster.ask("patch", path_of_it, {"spec": {"versions": definition["spec"]["versions"]}})

    await define(file)
    try:
        yield
    finally:
        await define(DEFINITION)


async def stored(cluster, name, **spec):
    """Store a policy as soon as the API server takes it."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await cluster.apply(name, **spec)
            except RefusedError:
                await asyncio.sleep(0.2)


async def test_no_policy_of_one_tenant_ends_the_controller_of_all(cluster, tmp_path):
    for name in ("good", "value", "clock", "rate"):
        await cluster.make(name, replicas=1)
    good, infinite, timeless = (Prometheus(cluster.namespace, "good", "value", "clock") for _ in range(3))
    infinite.value, timeless.clock = "1e308", "1" * 400
    async with serving(good), serving(infinite), serving(timeless):
        for name, server in (("good", good), ("value", infinite), ("clock", timeless)):
            settings = {"serverAddress": server.address, "query": "a", "series": "a"}
            await cluster.apply(name, metrics={"prometheus": settings}, **MPA)
        async with the_definition_of(cluster, OLD):
            rates = {"concurrency": {"maxScaleUpRate": 1e308}}
            await stored(cluster, "rate", algorithm=rates, minReplicas=2)
        servers = ",".join(each.address for each in (good, infinite, timeless))
        async with running(cluster, tmp_path, f"--prometheus-servers={servers}") as controller:
            await cluster.replicas_are(4, "good")
            unknown = await cluster.policy_is(lambda found: condition(found, "ScalingActive"), "value")
            assert condition(unknown, "ScalingActive") == ("False", "FailedGetExternalMetric")
            await cluster.replicas_are(4, "clock")  # its clock is asked for the past, which it begins without
            refused = await cluster.policy_is(lambda found: condition(found, "Ready"), "rate")
            assert condition(refused, "Ready") == ("False", "InvalidPolicy")
            good.value = "6"
            await cluster.replicas_are(6, "good")
            assert [await cluster.replicas(name) for name in ("value", "rate")] == [1, 1]
            assert controller.process.returncode is None
            said = (tmp_path / "run.log").read_text()
            assert "services begin without their history" in said
            assert "Traceback" not in said
