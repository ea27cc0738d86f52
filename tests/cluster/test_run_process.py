"""`autoscaler run` as the program that it is: what it logs and shows, and how it ends."""

import asyncio
import json
import signal

import pytest
from cluster_kit import PolicyCluster, define_policies
from run_process import PATIENCE_S, running

pytestmark = [pytest.mark.program, pytest.mark.real_time]


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    return PolicyCluster(control_plane, namespace)


async def holder(cluster):
    leases = cluster.path("apis/coordination.k8s.io/v1", "leases")
    return (await cluster.ask("get", f"{leases}/inflight-controller"))["spec"]["holderIdentity"]


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


async def test_a_gateway_that_is_down_keeps_it_from_being_ready_for_a_moment_only(cluster, tmp_path):
    async with running(cluster, tmp_path, "--gateway=127.0.0.1:1") as controller:
        async with asyncio.timeout(PATIENCE_S):
            while await controller.get("/readyz") != (200, "ok\n"):  # noqa: ASYNC110 - another program's state
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy=gone.yaml"], "run: gone.yaml: "),
        (["--prometheus-credentials=gone.yaml"], "run: gone.yaml: "),
        (["--prometheus=http://me:secret@p"], "argument --prometheus: must not have a user name or a password in it"),
        (["--prometheus-servers=http://p,http://q?"], "argument --prometheus-servers: must be http://HOST:PORT/PATH"),
        (["--decisions=/gone/decisions.jsonl"], "run: [Errno 2] No such file or directory: '/gone/decisions.jsonl'"),
    ],
)
async def test_what_cannot_be_used_from_the_start_is_said_and_ends_it(cluster, tmp_path, options, said):
    async with running(cluster, tmp_path, *options) as controller:
        assert await controller.ended() == 2
    log = (tmp_path / "run.log").read_text()
    assert said in log
    assert "secret" not in log
