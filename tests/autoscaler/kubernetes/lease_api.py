"""An API server in memory, as far as a roster in a Lease needs one, with what can go wrong there."""

import asyncio
import itertools
import json

from autoscaler.app.roster_lease import LEASE
from autoscaler.kubernetes.client import ApiError

NAMESPACE = "inflight"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class LeaseApi:
    """An API server in memory, as far as `LeaseRoster` asks: objects by path, each with the version of its last write.

    Attributes:
        failing: an error that every request ends with while it is set.
        refusals: errors by path.
        unanswered: writes that are done, and then end with an error.
        lost: writes that end with an error and are not done.
        stuck: writes and reads wait for ever.
    """

    def __init__(self):
        self.numbers = itertools.count(1)
        self.objects = {}
        self.failing = None
        self.refusals = {}
        self.unanswered = self.lost = 0
        self.stuck = False

    def put(self, collection, item):
        item = json.loads(json.dumps(item))
        item["metadata"]["resourceVersion"] = str(next(self.numbers))
        self.objects[f"{collection}/{item['metadata']['name']}"] = item
        return item

    async def get(self, path, query=None, *, deadline_s):
        assert not query, "a read with a resource version may be old"
        assert deadline_s <= 2
        await self._ask(path)
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        return json.loads(json.dumps(self.objects[path]))

    async def create(self, path, body):
        return await self._write(path, body, version=None)

    async def replace(self, path, body):
        return await self._write(path.rpartition("/")[0], body, version=body["metadata"]["resourceVersion"])

    async def _write(self, collection, body, version):
        path = f"{collection}/{body['metadata']['name']}"
        await self._ask(path)
        if self.lost:
            self.lost -= 1
            raise ApiError(0, "Timeout", "no answer")
        before = self.objects.get(path)
        if (before and before["metadata"]["resourceVersion"]) != version:
            raise ApiError(409, "AlreadyExists" if version is None else "Conflict", "another was first")
        stored = self.put(collection, body)
        if self.unanswered:
            self.unanswered -= 1
            raise ApiError(0, "Timeout", "no answer")
        return stored

    async def _ask(self, path):
        await asyncio.sleep(0)
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        if error := self.failing or self.refusals.get(path):
            raise error


def lease(api):
    return api.objects[f"{LEASES}/{LEASE}"]
