"""An account that lacks a grant: the status says what the API server said, and all goes on once it is granted."""

import pytest
from cluster_kit import condition, toy_kind

pytestmark = [pytest.mark.program, pytest.mark.real_time]

ALL = ["*"]
RIGHTS = {
    "inflight.dev": ["scalingpolicies", "scalingpolicies/status"],
    "apps": ["deployments", "deployments/scale", "replicasets"],
    "coordination.k8s.io": ["leases"],
    "events.k8s.io": ["events"],
}
RBAC = "rbac.authorization.k8s.io"
ACCOUNT = "controller"


class World:
    """A controller under an account of its own, whose rights are given one by one."""

    def __init__(self, installation, monkeypatch):
        self.installation, self.monkeypatch = installation, monkeypatch

    async def begin(self):
        accounts = self.installation.path("api/v1", "serviceaccounts")
        await self.installation.ask("create", accounts, {"metadata": {"name": ACCOUNT}})
        for number, (group, resources) in enumerate(RIGHTS.items()):
            await self.grant(f"base-{number}", group, resources, ALL)
        kubeconfig = await self.installation.ask("service_account", self.installation.namespace, ACCOUNT)
        self.monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    async def grant(self, name, group, resources, verbs):
        roles, bindings = (self.installation.path(f"apis/{RBAC}/v1", plural) for plural in ("roles", "rolebindings"))
        rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
        await self.installation.ask("create", roles, {"metadata": {"name": name}, "rules": [rule]})
        reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.installation.namespace}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        await self.installation.ask("create", bindings, binding)

    async def says(self, *words):
        def is_said(status):
            found = {each["type"]: each for each in status.get("conditions", ())}.get("AbleToScale")
            return found and found["status"] == "False" and all(word in found["message"] for word in words)

        status = await self.installation.policy_is(is_said, deadline_s=40)
        assert condition(status, "AbleToScale") == condition(status, "Ready") == ("False", "FailedGetScale")


@pytest.fixture
async def world(installation, monkeypatch):
    world = World(installation, monkeypatch)
    await world.begin()
    return world


async def test_a_custom_kind_whose_scale_may_not_be_read_is_scaled_once_it_may_and_nobody_touches_it(world):
    it, group = world.installation, f"{world.installation.namespace}.example.com"
    await it.ask("create", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", toy_kind(group))
    await it.ask("wait_established", f"toys.{group}")
    toys = it.path(f"apis/{group}/v1", "toys")
    await it.ask(
        "create", toys, {"apiVersion": f"{group}/v1", "kind": "Toy", "metadata": {"name": "web"}, "spec": {"size": 1}}
    )
    await world.grant("pods", "", ["pods"], ALL)
    await world.grant("toys", group, ["toys"], ["list", "watch"])
    await it.apply(minReplicas=3, scaleTargetRef={"apiVersion": f"{group}/v1", "kind": "Toy", "name": "web"})
    async with it.controller():
        await world.says("cannot get resource", "toys/scale")
        assert "FailedGetScale" in {reason for reason, _ in await it.events()}
        await world.grant("toys-scale", group, ["toys/scale"], ["get", "patch"])
        await it.ask("wait", toys, lambda all_: all_["web"]["spec"]["size"] == 3, deadline_s=60)
    await it.ask("delete", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/toys.{group}")


async def test_that_pods_may_not_be_listed_is_said_and_all_goes_on_once_they_may(world):
    it = world.installation
    await it.make()
    await it.apply(minReplicas=2)
    async with it.controller():
        await world.says("pods is forbidden", "cannot list resource")
        assert await it.replicas() == 0
        await world.grant("pods", "", ["pods"], ALL)
        await it.replicas_are(2, deadline_s=60)
