"""What tests of the controller in a cluster are made of: a Deployment that can be scaled, and waiting for its state."""

import asyncio
import secrets
import socket
from contextlib import contextmanager
from pathlib import Path

import yaml

from autoscaler.testing import policy_document


def workload(name="web", *, kind="Deployment", replicas=0, annotations=None):
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
            "spec": {"containers": [{"name": name, "image": "none"}]},
        },
    }
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    return {"metadata": {"name": name}, "spec": spec}


def toy_kind(group):
    """Define a kind of a group of its own whose number stands at a place of its own."""
    replicas = {"type": "object", "properties": {"size": {"type": "integer"}}}
    status = {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": replicas, "status": status}}}
    scale = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.size",
        "labelSelectorPath": ".status.selector",
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "metadata": {"name": f"toys.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Toy", "plural": "toys"},
            "scope": "Namespaced",
            "versions": [{**version, "subresources": {"status": {}, "scale": scale}}],
        },
    }


@contextmanager
def new_namespace(control_plane):
    """Have a namespace in which pods can be made at once, and which goes with its content in the end."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.create("/api/v1/namespaces", {"metadata": {"name": name}})
    control_plane.wait(f"/api/v1/namespaces/{name}/serviceaccounts", lambda accounts: "default" in accounts)
    try:
        yield name
    finally:
        control_plane.delete(f"/api/v1/namespaces/{name}")


PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}


class Cluster:
    """One namespace of a control plane, asked without holding up the event loop."""

    def __init__(self, control_plane, namespace):
        self.control_plane, self.namespace = control_plane, namespace

    async def ask(self, method, *arguments, **options):
        return await asyncio.to_thread(getattr(self.control_plane, method), *arguments, **options)

    def path(self, group, plural):
        return f"/{group}/namespaces/{self.namespace}/{plural}"

    def workloads(self, kind="Deployment"):
        return self.path("apis/apps/v1", PLURALS[kind])

    @property
    def pods(self):
        return self.path("api/v1", "pods")

    async def make(self, name="web", *, kind="Deployment", **options):
        return await self.ask("create", self.workloads(kind), workload(name, kind=kind, **options))

    async def replicas(self, name="web", *, kind="Deployment"):
        return (await self.ask("get", f"{self.workloads(kind)}/{name}/scale"))["spec"].get("replicas", 0)

    async def scale(self, replicas, name="web", *, kind="Deployment"):
        await self.ask("patch", f"{self.workloads(kind)}/{name}/scale", {"spec": {"replicas": replicas}})

    async def wait_pods(self, condition, name="web"):
        return await self.ask("wait", self.pods, condition, selector=f"app={name}")


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def is_going(pod):
    return "deletionTimestamp" in pod["metadata"]


async def until(condition, deadline_s=60):
    """Wait for what no event tells: the state of our own objects."""
    async with asyncio.timeout(deadline_s):
        while not (answer := condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return answer


BASE = Path(__file__).resolve().parents[2] / "manifests" / "base"
DEFINITION, ROLES = BASE / "definition.yaml", BASE / "roles.yaml"
DEFINITIONS = (DEFINITION, BASE / "budget-definition.yaml")
BUDGETS = "/apis/inflight.dev/v1alpha1/gpubudgets"
RBAC = "rbac.authorization.k8s.io"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
QUICK = {
    "algorithm": {"concurrency": {"stableWindow": "6s"}},
    "scaleDown": {"toZeroDelay": "0s"},
}


def free_port(host="0.0.0.0"):  # noqa: S104
    """Give a port that is free at every address, as one server answers for all pods, and that no connection takes."""
    while True:
        try:
            with socket.create_server((host, secrets.choice(NOT_FOR_CONNECTIONS))) as server:
                return server.getsockname()[1]
        except OSError:
            continue


NOT_FOR_CONNECTIONS = range(10_000, 32_768)
"""Linux takes the port of an outgoing connection from those above."""


def define_policies(control_plane):
    """Make ScalingPolicy and GpuBudget known to a cluster, as the manifests do."""
    for file in DEFINITIONS:
        define(control_plane, yaml.safe_load(file.read_text()))


def define(control_plane, definition):
    """Make a kind known to a cluster, if it is not yet."""
    name = definition["metadata"]["name"]
    if name not in {item["metadata"]["name"] for item in control_plane.get(CRDS)["items"]}:
        control_plane.create(CRDS, definition)
    control_plane.wait_established(name)


def account_of_the_base(name):
    """Give a ServiceAccount with what the base grants it, in one namespace."""
    role = next(each for each in yaml.safe_load_all(ROLES.read_text()) if each["metadata"]["name"] == name)
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    yield {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": name}, "rules": [*role["rules"], leases]}
    yield {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name}],
    }


class PolicyCluster(Cluster):
    """A cluster whose namespace can have policies."""

    @property
    def policies(self):
        return self.path("apis/inflight.dev/v1alpha1", "scalingpolicies")

    async def apply(self, name="web", *, annotations=None, **spec):
        await self.ask("create", self.policies, policy_document(name, annotations=annotations, **spec))

    async def change(self, name="web", **patch):
        await self.ask("patch", f"{self.policies}/{name}", patch)

    async def policy_is(self, condition, name="web", deadline_s=60):
        """Wait for a policy's status to be so, and give it."""
        found = await self.ask(
            "wait", self.policies, lambda all_: condition(_status(all_.get(name))), deadline_s=deadline_s
        )
        return _status(found[name])

    async def replicas_are(self, number, name="web", deadline_s=60):
        await self.ask(
            "wait", self.workloads(), lambda all_: all_[name]["spec"]["replicas"] == number, deadline_s=deadline_s
        )

    async def events(self, name="web"):
        found = (await self.ask("get", self.path("apis/events.k8s.io/v1", "events")))["items"]
        return [
            (e["reason"], e["note"])
            for e in found
            if e["regarding"]["kind"] == "ScalingPolicy" and e["regarding"]["name"] == name
        ]


def _status(policy):
    return (policy or {}).get("status", {})


def condition(status, kind):
    """Give (status, reason) of one condition."""
    return next(((c["status"], c["reason"]) for c in status.get("conditions", ()) if c["type"] == kind), None)
