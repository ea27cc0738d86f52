"""An API server in memory, as far as watching, scaling and marking go: lists, watches, scales, and refusals."""

import asyncio
import json
from collections import defaultdict

from autoscaler.kubernetes.client import ApiError

NAMESPACE = "ns"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
STATEFUL_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def merged(item, patch):
    """Give an object after a merge patch, in which null removes a key."""
    if not isinstance(patch, dict):
        return patch
    before = item if isinstance(item, dict) else {}
    after = {key: merged(before.get(key), value) for key, value in patch.items() if value is not None}
    return {key: value for key, value in before.items() if key not in patch} | after


class ApiServer:
    """Objects by the path of their collection and their name; whoever watches hears of every change at once."""

    def __init__(self):
        self._version = 1
        self._objects = defaultdict(dict)
        self._watchers = defaultdict(list)
        self.discovered = {}
        """Answers by path, for what is no collection."""
        self.refusals = {}
        """Errors by path, raised while they are here."""
        self.asked, self.created = [], []

    def put(self, collection, item):
        """Have an object, in the place of another of its name."""
        self._version += 1
        name = item["metadata"]["name"]
        metadata = {"namespace": NAMESPACE, "creationTimestamp": "2026-01-01T00:00:00Z", **item["metadata"]}
        stored = {**item, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        kind = "MODIFIED" if name in self._objects[collection] else "ADDED"
        self._objects[collection][name] = stored
        self._tell(collection, kind, stored)

    def delete(self, collection, name):
        """Have an object no more."""
        self._version += 1
        gone = self._objects[collection].pop(name)
        metadata = {**gone["metadata"], "resourceVersion": str(self._version)}
        self._tell(collection, "DELETED", {**gone, "metadata": metadata})

    def find(self, collection, name):
        """Give an object."""
        return self._objects[collection][name]

    def names(self, collection):
        """Name all objects."""
        return list(self._objects[collection])

    def forget_watches(self, collection):
        """Tell nobody of this collection what happens from now on, and say that only a list can tell."""
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        for watcher in self._watchers.pop(collection, ()):
            watcher.put_nowait(json.dumps({"type": "ERROR", "object": status}).encode())

    def _tell(self, collection, kind, item):
        line = json.dumps({"type": kind, "object": item}).encode()
        for watcher in self._watchers[collection]:
            watcher.put_nowait(line)

    # What is asked.

    async def get(self, path, _query=None, *, accept="", **_options):
        self._ask("GET", path)
        if "as=PartialObjectMetadata;" in accept:
            raise ApiError(406, "NotAcceptable", "the requested object is a list")
        collection, _, name = path.removesuffix("/scale").rpartition("/")
        if path in self.discovered:
            return self.discovered[path]
        if not path.endswith("/scale"):
            items = list(self._objects[path].values())
            return json.loads(json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": items}))
        if name not in self._objects[collection]:
            raise ApiError(404, "NotFound", f"{name} not found")
        return self._scale(self._objects[collection][name])

    async def patch(self, path, body):
        self._ask("PATCH", path)
        collection, _, name = path.removesuffix("/scale").removesuffix("/status").rpartition("/")
        item = self._objects[collection][name]
        changed = merged(item, body)
        if path.endswith("/scale"):
            _check_version(item, body)
            # The number is now of whoever wrote it.
            changed["metadata"] = {**item["metadata"], "managedFields": []}
        self.put(collection, changed)
        stored = self._objects[collection][name]
        return self._scale(stored) if path.endswith("/scale") else stored

    async def apply(self, path, body, manager, *, force):
        """Apply as far as numbers go: one that is not applied stays, and without force one of others is a conflict."""
        self._ask("APPLY", path)
        collection, _, name = path.rpartition("/")
        before = self._objects[collection].get(name)
        spec, owned = dict(body["spec"]), "replicas" in body["spec"]
        if before is not None:
            number = spec.setdefault("replicas", before["spec"].get("replicas", 1))
            _check_version(before, body)
            if not force and number != before["spec"].get("replicas", 1):
                raise ApiError(409, "Conflict", f"the replicas of {name} are another's")
        fields = {"f:replicas": {}} if owned else {}
        managed = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": fields}}
        kept = before["metadata"] if before else {"uid": f"uid-of-{name}"}
        metadata = {**kept, **body["metadata"], "managedFields": [managed]}
        stored = {**body, "metadata": metadata, "spec": spec, "status": (before or {}).get("status", {})}
        if before != stored:
            self.put(collection, stored)
        return self._objects[collection][name]

    async def remove(self, path, uid):
        self._ask("DELETE", path)
        collection, _, name = path.rpartition("/")
        assert self._objects[collection][name]["metadata"]["uid"] == uid
        self.delete(collection, name)

    async def create(self, path, body):
        self._ask("POST", path)
        self.created.append(body)

    def _ask(self, method, path):
        self.asked.append((method, path))
        if path in self.refusals:
            raise self.refusals[path]

    @staticmethod
    def _scale(item):
        labels = item["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        metadata = {key: item["metadata"][key] for key in ("name", "uid", "resourceVersion")}
        return {"metadata": metadata, "spec": {"replicas": item["spec"]["replicas"]}, "status": {"selector": selector}}

    async def lines(self, path, _query, *, accept="", **_options):
        self._ask("WATCH", path)
        told = asyncio.Queue()
        if "as=PartialObjectMetadataList;" in accept:
            # A real one says nothing then either.
            await told.get()
        self._watchers[path].append(told)
        try:
            while True:
                yield await told.get()
        finally:
            if told in self._watchers[path]:
                self._watchers[path].remove(told)


def _check_version(item, body):
    version = (body.get("metadata") or {}).get("resourceVersion")
    if version and version != item["metadata"]["resourceVersion"]:
        raise ApiError(409, "Conflict", f"{item['metadata']['name']} was written by another")


# What there is.


def controlled(kind, name, uid, *, api_version="apps/v1"):
    """Give the part of an object's metadata that names what manages it."""
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


def workload(name, *, uid=None, replicas=1, labels=None, conditions=(), **metadata):
    """Give a Deployment, a StatefulSet, or anything of their shape."""
    spec = {"replicas": replicas, "selector": {"matchLabels": labels or {"app": name}}}
    return {
        "metadata": {"name": name, "uid": uid or f"uid-of-{name}", **metadata},
        "spec": spec,
        "status": {"conditions": list(conditions)},
    }


def replica_set(name, deployment=None):
    """Give a ReplicaSet of a Deployment, or one of nobody's."""
    owners = controlled("Deployment", deployment, f"uid-of-{deployment}") if deployment else {}
    return workload(name, **owners)


def pod(name, labels, owner=None, *, ready=True, address="10.0.0.1", leaving=False, cost="", status=None, age=0):
    """Give a pod; `owner` is kind and name of what manages it."""
    metadata = {"name": name, "labels": labels, "creationTimestamp": f"2026-01-01T00:{age:02}:00Z"}
    if owner:
        metadata |= controlled(*owner, f"uid-of-{owner[1]}", api_version="batch/v1" if owner[0] == "Job" else "apps/v1")
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:59:00Z"
    if cost:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "status": {"podIP": address, "conditions": conditions, **(status or {})}}


async def heard():
    """Let everybody hear of what has changed."""
    await asyncio.sleep(0.001)
