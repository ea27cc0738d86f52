"""The reference service as its owner has it: its Knative document, byte for byte, through `autoscaler convert`.

Its three kinds of GPUs are three pools, of which the first two run out. Only then the output is made quick enough for a
test: short windows, and pods that start soon.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cluster_kit import condition, free_port, until
from in_process import web_uis
from kubectl import kubectl
from pool_kit import Stock

from autoscaler.demo.load import Load, run_hey

pytestmark = [pytest.mark.program, pytest.mark.real_time]

DOCUMENT = Path(__file__).resolve().parents[1] / "data" / "convert" / "reference-service.yaml"
NAME = "knative-sd-demo"
HOST = f"{NAME}.default.example.com"
SPECS = "ecs.gn5-c4g1.xlarge,ecs.gn5i-c8g1.2xlarge,ecs.gn5-c8g1.2xlarge"
PODS = {"first": 2, "second": 1, "third": 10}
"""How many pods the nodes of each kind have room for."""


def converted():
    """Run the command as its user does; gives the documents."""
    command = [sys.executable, "-m", "autoscaler", "convert", "-f", str(DOCUMENT), "--nodes", "ours"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(told.stdout))


def quick(documents, port):
    """Make what came out quick, and let its pods serve on a port of this machine."""
    for each in documents:
        if each["kind"] == "Deployment":
            metadata = each["spec"]["template"]["metadata"]
            metadata.setdefault("annotations", {})["inflight.test/cold-start-s"] = "1"
        if each["kind"] == "ScalingPolicy":
            each["spec"] |= {"spillAfter": "1s", "scaleDown": {"toZeroDelay": "0s"}}
            each["spec"]["traffic"]["port"] = port
        yield each


async def test_it_is_converted_applied_served_by_three_pools_of_which_two_run_out_and_rests_again(
    installation, hey_binary
):
    it, documents, port = installation, converted(), free_port()
    (policy,) = (each for each in documents if each["kind"] == "ScalingPolicy")
    assert [pool["instanceTypes"] for pool in policy["spec"]["pools"]] == [[kind] for kind in SPECS.split(",")]
    kinds = dict(zip(PODS, SPECS.split(","), strict=True))
    async with (
        Stock(it, PODS, resource="pods", types=kinds).there(),
        web_uis(port, 0.3) as pods,
        it.gateway() as gateway,
        it.controller(gateways=(f"127.0.0.1:{gateway.metrics_port}",)) as whole,
    ):
        await until(whole.leads)
        body = yaml.safe_dump_all(quick(documents, port))
        await asyncio.to_thread(kubectl, it.control_plane, "apply", f"--namespace={it.namespace}", "-f", "-", body=body)
        await it.policy_is(lambda status: condition(status, "Ready") == ("True", "ScalingActive"), NAME)
        await it.replicas_are(0, NAME)

        load = Load(f"http://127.0.0.1:{gateway.port}/sdapi/v1/txt2img", host=HOST)
        result = await run_hey(hey_binary, load)

        assert [answer.status for answer in result.answers] == [200] * 50
        assert max(report["overlaps"] for report in pods.reports().values()) == 0
        peak = max(whole.records, key=lambda record: record.observation.ready).observation
        assert peak.ready == 5
        assert {pool.name: pool.ready for pool in peak.pools} == dict(zip(policy_pools(policy), (2, 1, 2), strict=True))
        await it.ask("wait", it.workloads(), lambda all_: not any(each["spec"]["replicas"] for each in all_.values()))
        await it.ask("wait", it.pods, lambda all_: not all_)


def policy_pools(policy):
    return [pool["name"] for pool in policy["spec"]["pools"]]
