"""Copies of a Deployment for pools on a real API server: made, followed, removed, and the rights that it takes."""

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest
import yaml
from cluster_kit import account_of_the_base, condition, until
from control_plane import MERGE, RefusedError
from kubectl import apply, kubectl
from pool_kit import template

pytestmark = [pytest.mark.program, pytest.mark.real_time]

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
COMPONENT = MANIFESTS / "components" / "pools"
NAME = "inflight-controller"
PODS = {
    "inflight.test/cold-start-s": "60",
    "k8s.aliyun.com/eci-use-specs": "ecs.gn7i-c8g1.2xlarge,ecs.gn6i-c4g1.xlarge",
}


async def test_copies_follow_their_template_and_leave_numbers_to_the_autoscaler(installation):
    it = installation
    await it.ask("create", it.workloads(), template(annotations=PODS, replicas=2))
    pools = [{"name": name, "instanceTypes": [f"type-of-{name}"]} for name in ("a10", "l20")]
    async with it.controller() as whole:
        await until(whole.leads)
        await it.apply(maxReplicas=4, pools=pools)
        found = await it.ask(
            "wait",
            it.workloads(),
            lambda all_: all_.keys() >= {"web-a10", "web-l20"} and not all_["web"]["spec"]["replicas"],
        )
        assert [found[name]["spec"]["replicas"] for name in ("web-a10", "web-l20")] == [0, 0]
        pods = found["web-a10"]["spec"]["template"]
        assert pods["metadata"] == {"labels": {"app": "web", "inflight.dev/pool": "a10"}, "annotations": PODS}
        assert "type-of-a10" in str(pods["spec"]["affinity"])
        assert "app.kubernetes.io/instance" not in found["web-a10"]["metadata"]["labels"]

        await it.scale(3, "web-a10")
        await it.scale(0, "web-l20")
        change = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "newer"}]}}}}
        await it.ask("patch", f"{it.workloads()}/web", change)
        found = await it.ask("wait", it.workloads(), lambda all_: {_image(each) for each in all_.values()} == {"newer"})
        assert {name: each["spec"]["replicas"] for name, each in found.items()} == {
            "web": 0,
            "web-a10": 3,
            "web-l20": 0,
        }

        await it.change(spec={"pools": pools[1:]})
        await it.ask("wait", it.workloads(), lambda all_: all_.keys() == {"web", "web-l20"})
        await it.change(spec={"pools": None})
        await it.ask("wait", it.workloads(), lambda all_: all_.keys() == {"web"})


def _image(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture
async def component(installation, tmp_path):
    """Have an account of a controller without the rights to copy, and what grants them as it is shipped."""
    it, account = installation, f"{installation.namespace}-inflight-controller"
    (tmp_path / "account.yaml").write_text(yaml.safe_dump_all(account_of_the_base(NAME)))
    own = {"namespace": it.namespace, "namePrefix": f"{it.namespace}-", "resources": ["account.yaml"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    await asyncio.to_thread(apply, it.control_plane, tmp_path)
    own["components"] = [os.path.relpath(COMPONENT, tmp_path)]  # noqa: ASYNC240 - asks no disk
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    yield await it.ask("service_account", it.namespace, account), tmp_path
    await asyncio.to_thread(kubectl, it.control_plane, "delete", "-k", str(tmp_path), "--ignore-not-found")


async def test_the_status_says_what_to_grant_and_the_component_grants_it_for_copies_alone(
    installation, component, monkeypatch
):
    it, (account, folder) = installation, component
    monkeypatch.setenv("KUBECONFIG", str(account))
    await it.ask("create", it.workloads(), template())
    await it.apply(pools=[{"name": "a10", "instanceTypes": ["gn7"]}])
    async with it.controller() as whole:
        await until(whole.leads)
        status = await it.policy_is(lambda status: condition(status, "Ready") == ("False", "FailedGetScale"))
        message = next(each["message"] for each in status["conditions"] if each["type"] == "AbleToScale")
        assert message.startswith(f"pool a10: Deployment {it.namespace}/web-a10 cannot be applied: ")
        assert message.endswith(
            "grant the controller create, patch and delete of deployments: manifests/components/pools"
        )

        await asyncio.to_thread(apply, it.control_plane, folder)
        await it.ask("wait", it.workloads(), lambda all_: "web-a10" in all_, deadline_s=60)
        await it.policy_is(lambda status: condition(status, "AbleToScale")[0] == "True")

    token = yaml.safe_load(account.read_text())["users"][0]["user"]["token"]
    them, path = dataclasses.replace(it.control_plane, token=token), f"{it.workloads()}/web"

    def refusal(method, path, body):
        try:
            them.request(method, f"{path}?dryRun=All", body, MERGE)
        except RefusedError as error:
            return str(error)
        return ""

    async with asyncio.timeout(30):
        # An admission policy is in force a moment after it was made.
        while not await asyncio.to_thread(refusal, "PATCH", path, {"metadata": {"labels": {"mine": "yes"}}}):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    forbidden = [
        ("PATCH", path, {"metadata": {"labels": {"mine": "yes"}}}),
        ("PATCH", path, {"metadata": {"labels": {"inflight.dev/pool": "a10"}}}),
        ("DELETE", path, None),
    ]
    for each in forbidden:
        assert "may write no Deployment but the copies" in await asyncio.to_thread(refusal, *each), each
    assert not await asyncio.to_thread(refusal, "PATCH", f"{path}-a10", {"spec": {"paused": True}})
