"""A controller whose disk is full, and one whose log is rotated."""

import asyncio
import json
import signal

import pytest
from cluster_kit import PolicyCluster, define_policies
from run_process import running

from autoscaler.controller.replay import Replay, summarised

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
            "the decision log /dev/full cannot be written for now: [Errno 28] No space left on device",
            "the decision log /dev/full lost its last lines",
        ]


async def test_a_hangup_ends_nothing_and_leaves_a_decision_log_that_was_renamed(cluster, tmp_path):
    log, old = tmp_path / "decisions.jsonl", tmp_path / "decisions.1.jsonl"
    await cluster.make()
    await cluster.apply(minReplicas=1)
    async with running(cluster, tmp_path, f"--decisions={log}") as controller:
        await cluster.replicas_are(1)
        async with asyncio.timeout(60):
            while log.read_text().count("\n") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        log.rename(old)
        for number in (signal.SIGHUP, signal.SIGUSR1):
            controller.process.send_signal(number)
        await cluster.change(spec={"minReplicas": 2})
        await cluster.replicas_are(2)
        controller.process.send_signal(signal.SIGTERM)
        assert await controller.ended() == 0
    first, *_ = [json.loads(line) for line in log.read_text().splitlines()]
    assert first["policy"]["kind"] == "ScalingPolicy"
    assert all("policy" not in json.loads(line) for line in old.read_text().splitlines()[1:])
    summaries = [summarised(Replay([]).lines(map(json.loads, file.read_text().splitlines())))[1] for file in (old, log)]
    assert summaries[0].decisions > 0
    assert [summary.differing for summary in summaries] == [0, 0]
