"""Pools of GPUs for tests: nodes with a few GPUs each, whose number a test sets as a cloud would."""

import secrets
from contextlib import asynccontextmanager

LABEL = "inflight.test/pool"
GPU = "nvidia.com/gpu"


class Stock:
    """Nodes of this test alone: one for each pool.

    Args:
        cluster: whose control plane has the nodes.
        gpus: how many each pool has at first.
    """

    def __init__(self, cluster, **gpus):
        self._cluster, self._gpus = cluster, gpus
        self._nodes = {pool: f"{pool}-{cluster.namespace}" for pool in gpus}

    @asynccontextmanager
    async def there(self):
        """Have the nodes while the block runs."""
        for number, (pool, name) in enumerate(self._nodes.items()):
            room = self._room(self._gpus[pool])
            network = f"127.{2 + secrets.randbelow(200)}.{number}.0/24"
            labels = {"kubernetes.io/hostname": name, LABEL: name, "node.kubernetes.io/instance-type": name}
            node = {"metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": network}, "status": room}
            await self._cluster.ask("create", "/api/v1/nodes", node)
        try:
            yield self
        finally:
            for name in self._nodes.values():
                await self._cluster.ask("delete", f"/api/v1/nodes/{name}")

    async def set(self, pool, gpus):
        """Let a pool have so many GPUs from now on; those in use stay in use."""
        await self._cluster.ask("patch", f"/api/v1/nodes/{self._nodes[pool]}/status", {"status": self._room(gpus)})

    def pool(self, name, **settings):
        """Give a pool of a policy whose nodes are these."""
        return {"name": name, "nodeSelector": {LABEL: self._nodes[name]}, **settings}

    def instance_type(self, name):
        """Give the instance type of the nodes of a pool."""
        return self._nodes[name]

    @staticmethod
    def _room(gpus):
        room = {"cpu": "64", "memory": "512Gi", "pods": "250", "ephemeral-storage": "512Gi", GPU: str(gpus)}
        return {"allocatable": room, "capacity": room}


def template(name="web", *, annotations=None, image="none", replicas=0):
    """Give a Deployment whose pods need a GPU each."""
    limits = {"limits": {GPU: "1"}}
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "shop"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
                "spec": {"containers": [{"name": name, "image": image, "resources": limits}]},
            },
        },
    }
