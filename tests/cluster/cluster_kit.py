"""What tests of the controller in a cluster are made of: a Deployment that can be scaled, and waiting for its state."""

import asyncio


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


async def until(condition, deadline_s=20):
    """Wait for what no event tells: the state of our own objects."""
    async with asyncio.timeout(deadline_s):
        while not (answer := condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return answer
