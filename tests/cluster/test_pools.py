"""Pools of GPUs on a real API server: copies of Deployments, stock-outs, quotas, and requests that are not cut."""

import pytest
from cluster_kit import until
from pool_kit import template

pytestmark = [pytest.mark.program, pytest.mark.real_time]

SPECS = {"k8s.aliyun.com/eci-use-specs": "ecs.gn7i-c8g1.2xlarge,ecs.gn6i-c4g1.xlarge"}


async def test_copies_follow_their_template_and_leave_numbers_to_the_autoscaler(installation):
    it = installation
    await it.ask("create", it.workloads(), template(annotations=SPECS, replicas=2))
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
        assert pods["metadata"] == {"labels": {"app": "web", "inflight.dev/pool": "a10"}, "annotations": SPECS}
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
