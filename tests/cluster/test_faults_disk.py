"""A controller whose disk is full."""

import asyncio
import signal

import pytest
from cluster_kit import PolicyCluster, define_policies
from run_process import running

pytestmark = [pytest.mark.program, pytest.mark.real_time]


@pytest.fixture
async def cluster(control_plane, namespace):
    await asyncio.to_thread(define_policies, control_plane)
    return PolicyCluster(control_plane, namespace)


async def failures_of(controller):
    return await controller.metric("inflight_controller_recorder_failures_total")


async def test_on_a_full_disk_it_scales_on_says_so_once_and_counts_what_the_log_lacks(cluster, tmp_path):
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path, "--decisions=/dev/full") as controller:
        await cluster.replicas_are(1)
        await cluster.change(spec={"minReplicas": 2})
        await cluster.replicas_are(2)
        # A decision is recorded after its write has been answered, which may be after the number was seen to change.
        async with asyncio.timeout(20):
            while (failures := await failures_of(controller))["DecisionLog",] <= 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert {value for (recorder,), value in failures.items() if recorder != "DecisionLog"} == {0}
        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
        said = [line["message"] for line in controller.lines() if line["level"] == "ERROR"]
        assert said == [
            "DecisionLog does not record, and deciding goes on without it: [Errno 28] No space left on device",
            "/dev/full: the last decisions are not in it: [Errno 28] No space left on device",
        ]
