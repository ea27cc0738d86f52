"""`autoscaler run` as the program that it is: a full disk, what it logs and shows, and how it ends."""

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cluster_kit import PolicyCluster, define_policies, free_port
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.program, pytest.mark.real_time]

PATIENCE_S = 60


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    return PolicyCluster(control_plane, namespace)


class Controller:
    def __init__(self, process, address, log):
        self.process, self.address, self._log = process, address, log

    async def get(self, path):
        """Ask, from when it listens on."""
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.address}{path}") as answer:
                        return answer.status, await answer.text()
                except aiohttp.ClientConnectionError:
                    assert self.process.returncode is None, self._log.read_text()
                    await asyncio.sleep(0.1)

    async def metric(self, name):
        _, text = await self.get("/metrics")
        families = text_string_to_metric_families(text)
        return {tuple(s.labels.values()): s.value for family in families for s in family.samples if s.name == name}

    def lines(self):
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def ended(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def running(cluster, folder, *options):
    port, log = free_port(), folder / "run.log"
    command = [sys.executable, "-m", "autoscaler.cli", "run", f"--namespace={cluster.namespace}", "--tick=500ms"]
    command += [f"--own-namespace={cluster.namespace}", "--identity=me", f"--port={port}", "--host=127.0.0.1", *options]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=cluster.control_plane.environment()
        )
    try:
        yield Controller(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def holder(cluster):
    leases = cluster.path("apis/coordination.k8s.io/v1", "leases")
    return (await cluster.ask("get", f"{leases}/inflight-controller"))["spec"]["holderIdentity"]


async def test_on_a_full_disk_it_scales_on_says_so_once_and_counts_what_the_log_lacks(cluster, tmp_path):
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path, "--decisions=/dev/full") as controller:
        await cluster.replicas_are(1)
        await cluster.change(spec={"minReplicas": 2})
        await cluster.replicas_are(2)
        failures = await controller.metric("inflight_controller_recorder_failures_total")
        assert failures["DecisionLog",] > 1
        assert {value for (recorder,), value in failures.items() if recorder != "DecisionLog"} == {0}
        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
        said = [line["message"] for line in controller.lines() if line["level"] == "ERROR"]
        assert said == [
            "DecisionLog does not record, and deciding goes on without it: [Errno 28] No space left on device",
            "/dev/full: the last decisions are not in it: [Errno 28] No space left on device",
        ]


async def test_what_it_shows_and_logs_and_that_it_gives_the_lease_back_when_it_is_told_to_end(cluster, tmp_path):
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path) as controller:
        await cluster.replicas_are(1)
        assert await controller.get("/healthz") == (200, "ok\n")
        assert await controller.get("/readyz") == (200, "ok\n")
        shown = json.loads((await controller.get("/status"))[1])[f"{cluster.namespace}/web"]
        assert shown["desired"] == 1
        assert await controller.metric("inflight_controller_leader") == {(): 1}
        assert await controller.metric("inflight_desired_replicas") == {(cluster.namespace, "web"): 1}
        assert await holder(cluster) == "me"

        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
        assert await holder(cluster) == ""
        (decided,) = [line for line in controller.lines() if line.get("desired") == 1]
        assert (decided["service"], decided["before"]) == (f"{cluster.namespace}/web", 0)
        assert (decided["rules"], decided["inflight"]) == (["minReplicas"], None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy=gone.yaml"], "run: gone.yaml: "),
        (["--prometheus-credentials=gone.yaml"], "run: gone.yaml: "),
        (["--decisions=/gone/decisions.jsonl"], "run: [Errno 2] No such file or directory: '/gone/decisions.jsonl'"),
    ],
)
async def test_what_cannot_be_used_from_the_start_is_said_and_ends_it(cluster, tmp_path, options, said):
    async with running(cluster, tmp_path, *options) as controller:
        assert await controller.ended() == 2
    assert said in (tmp_path / "run.log").read_text()
