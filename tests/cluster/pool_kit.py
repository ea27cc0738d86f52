"""Pools of GPUs for tests: nodes with room for a few pods each, which a test sets as a cloud would."""

import secrets
from contextlib import asynccontextmanager

LABEL = "inflight.test/pool"
GPU = "nvidia.com/gpu"


class Stock:
    """Nodes of this test alone: one for each pool.

    Args:
        cluster: whose control plane has the nodes.
        room: how much of the resource each pool has at first.
        resource: what pods need one of.
        types: the instance types of the nodes, by pool.
    """

    def __init__(self, cluster, room, *, resource=GPU, types=None):
        self._cluster, self._first, self._resource, self._types = cluster, room, resource, types or {}
        self._nodes = {pool: f"{pool}-{cluster.namespace}" for pool in room}

    @asynccontextmanager
    async def there(self):
        """Have the nodes while the block runs."""
        networks = secrets.randbelow(200) + 2
        for number, (pool, name) in enumerate(self._nodes.items()):
            labels = {
                "kubernetes.io/hostname": name,
                LABEL: name,
                "node.kubernetes.io/instance-type": self._types.get(pool, name),
            }
            node = {
                "metadata": {"name": name, "labels": labels},
                "spec": {"podCIDR": f"127.{networks}.{number}.0/24"},
                "status": self._status(self._first[pool]),
            }
            await self._cluster.ask("create", "/api/v1/nodes", node)
        try:
            yield self
        finally:
            for name in self._nodes.values():
                await self._cluster.ask("delete", f"/api/v1/nodes/{name}")

    async def set(self, pool, room):
        """Let a pool have this much from now on; what is in use stays in use."""
        await self._cluster.ask("patch", f"/api/v1/nodes/{self._nodes[pool]}/status", {"status": self._status(room)})

    def pool(self, name, **settings):
        """Give a pool of a policy whose nodes are these."""
        return {"name": name, "nodeSelector": {LABEL: self._nodes[name]}, **settings}

    def _status(self, room):
        found = {"cpu": "64", "memory": "512Gi", "pods": "250", "ephemeral-storage": "512Gi", self._resource: str(room)}
        return {"allocatable": found, "capacity": found}


def template(name="web", *, annotations=None, image="none", replicas=0, resource=GPU):
    """Give a Deployment whose pods need one of a resource each."""
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "shop"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
                "spec": {
                    "containers": [{"name": name, "image": image, "resources": {"limits": {resource: "1"}}}],
                },
            },
        },
    }
