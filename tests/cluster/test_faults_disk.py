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


async def test_on_a_full_disk_it_scales_on_says_so_once_and_at_the_end_that_the_log_lacks_lines(cluster, tmp_path):
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path, "--decisions=/dev/full") as controller:
        await cluster.replicas_are(1)
        await cluster.change(spec={"minReplicas": 2})
        await cluster.replicas_are(2)
        assert {value for (recorder,), value in (await failures_of(controller)).items()} == {0}
        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
        said = [line["message"] for line in controller.lines() if line["level"] == "ERROR"]
        assert said == [
            "the decision log /dev/full takes no lines for now: [Errno 28] No space left on device",
            "the decision log /dev/full has not taken its last lines",
        ]
