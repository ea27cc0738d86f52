"""The few fields that are kept of pods and of scaled objects, and the paths of these resources.

Every value that is read has its declared type, or reading raises one of Python's own errors. Users can rely on that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from msgspec import convert

from autoscaler.accounts import StartTimes
from autoscaler.kubernetes.client import FIELD_MANAGER
from autoscaler.kubernetes.pod_start import gpus, has_place, start_times
from autoscaler.kubernetes.pool_copy import POLICY_ANNOTATION
from autoscaler.kubernetes.selectors import Selector, from_object, from_text
from autoscaler.kubernetes.timestamps import unix_s
from autoscaler.policy.pod_ending import PodEnding, pod_ending
from autoscaler.policy.spec import GROUP

Json = Mapping[str, Any]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_OWN = f"{GROUP}/"
_ENDED = frozenset({"Succeeded", "Failed"})
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
_ALTERNATING = {"ErrImagePull": "ImagePullBackOff"}
"""Reasons that alternate with another one every few seconds, by that other one: a status would be written each time."""
_FAILURES = (("ReplicaFailure", "True"), ("Progressing", "False"))
"""Conditions of a workload that say why pods are missing, the more exact one first."""
_LONGEST_MESSAGE = 500


class Owner(NamedTuple):
    """The object that manages another one, as that one's controller reference names it."""

    api_version: str
    kind: str
    name: str
    uid: str


class NotReady(NamedTuple):
    """Why a pod does not become ready, or is not even created, in Kubernetes' own words."""

    reason: str
    message: str


class Pod(NamedTuple):
    """One pod."""

    name: str
    labels: Mapping[str, str]
    address: str
    """Its IP; empty before it has one."""
    ready: bool
    terminating: bool
    """It is being deleted, or has ended."""
    created_s: float
    """Unix time by the API server's clock."""
    cost: str
    """Its annotated deletion cost; empty if it has none."""
    owner: Owner | None = None
    """Its controller; None for a bare pod."""
    not_ready: NotReady | None = None
    """Why it is not ready, if Kubernetes says more than that it is starting."""
    ended: bool = False
    """Its containers have ended: it occupies nothing."""
    ending: PodEnding | None = None
    """How it ends when it is deleted."""
    ready_since_s: float | None = None
    """Since when it is ready, by the API server's clock; None if that is not known, or if it is not ready."""
    restarts: int = 0
    """How often its containers have been started again."""
    start: StartTimes = StartTimes()
    """How it has started so far."""
    placed: bool = True
    """Whether it has a node."""
    gpus: int | None = None
    """The GPUs that it asks for; None if it asks for none by name."""


def pod(item: Json) -> Pod:
    """Read the fields of a pod that are kept."""
    metadata, status, spec = item["metadata"], item.get("status") or {}, item.get("spec") or {}
    created_s = unix_s(metadata["creationTimestamp"])
    conditions = status.get("conditions") or ()
    is_ready = next((each for each in conditions if each["type"] == "Ready" and each["status"] == "True"), None)
    ready, since = is_ready is not None, (is_ready or {}).get("lastTransitionTime")
    ended = status.get("phase") in _ENDED
    found = Pod(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        address=status.get("podIP") or "",
        ready=ready,
        terminating="deletionTimestamp" in metadata or ended,
        created_s=created_s,
        cost=(metadata.get("annotations") or {}).get(DELETION_COST, ""),
        owner=owner(metadata),
        not_ready=None if ready else next(_reasons_not_ready(status), None),
        ended=ended,
        ending=_ending(spec),
        ready_since_s=unix_s(since) if since else None,
        restarts=sum(each.get("restartCount") or 0 for each in status.get("containerStatuses") or ()),
        start=start_times(created_s, status),
        placed=ready or has_place(spec, status),
        gpus=gpus(spec),
    )
    return convert(tuple(found), Pod)


def _ending(spec: Json | None) -> PodEnding | None:
    """Read how pods end; all that end alike share one object."""
    return _shared(pod_ending(spec)) if spec else None


@lru_cache(maxsize=1024)
def _shared(ending: PodEnding) -> PodEnding:
    return ending


def owner(metadata: Json) -> Owner | None:
    """Give the controller of an object: of several owners the one with `controller: true`."""
    for each in metadata.get("ownerReferences") or ():
        if each.get("controller"):
            # A thousand pods of one ReplicaSet share these texts.
            return Owner(*(intern(each.get(key) or "") for key in ("apiVersion", "kind", "name", "uid")))
    return None


def owner_uid(item: Json) -> str:
    """Read the uid of an object's controller; empty if it has none."""
    found = owner(item["metadata"])
    return "" if found is None else found.uid


def _reasons_not_ready(status: Json) -> Iterator[NotReady]:
    """Give what keeps a pod from being ready: no node has room, or a container cannot start or keeps failing."""
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield _not_ready(each)
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in {"", *_STARTING}:
            yield _not_ready(waiting)
        elif container.get("restartCount") and not container.get("ready"):
            # Between two crashes it runs for a moment. The reason stays the same.
            yield NotReady("CrashLoopBackOff", f"container {container['name']} has ended and was started again")


def _not_ready(state: Json) -> NotReady:
    reason = state.get("reason") or "Unknown"
    return NotReady(_ALTERNATING.get(reason, reason), (state.get("message") or "")[:_LONGEST_MESSAGE])


class Scale(NamedTuple):
    """The replicas that an object asks for."""

    replicas: int
    version: str
    """Its resource version: a write that names it cannot overwrite anything newer."""
    selector: Selector
    writer: str
    """The field manager that wrote `spec.replicas`; empty if managedFields do not name it."""
    uid: str = ""
    """The object's own: names are reused, uids are not."""
    not_ready: NotReady | None = None
    """Why its pods cannot be created or found, if known."""
    ending: PodEnding | None = None
    """How its pods end, if the object itself says that."""
    first_ordinal: int = 0
    """The number of the first pod, for a kind that numbers its pods."""
    own_annotations: tuple[str, ...] = ()
    """The keys of annotations of the object and of its pods that begin with our group."""


_LOWEST_COST = -1_000_000


def removal_cost(place: int) -> str:
    """Give the deletion cost of the pod to remove at this place: far below what anybody else would set."""
    return str(_LOWEST_COST + place)


def is_marked(pod: Pod) -> bool:
    """Tell whether we have marked a pod to be removed first."""
    number = pod.cost.removeprefix("-")
    return number != pod.cost and re.fullmatch("[0-9]{1,10}", number) is not None and -int(number) < _LOWEST_COST // 2


def workload(item: Json) -> Scale:
    """Read the scale of a Deployment, StatefulSet or ReplicaSet from the object itself."""
    metadata, spec = item["metadata"], item["spec"]
    # The API server fills absent replicas with 1 in these three; in a scale object, absent means 0.
    found = Scale(
        replicas=spec.get("replicas", 1),
        version=metadata["resourceVersion"],
        selector=from_object(spec.get("selector") or {}),
        writer=writer(metadata.get("managedFields") or ()),
        uid=intern(metadata.get("uid") or ""),
        not_ready=_workload_not_ready((item.get("status") or {}).get("conditions") or ()),
        ending=_ending((spec.get("template") or {}).get("spec")),
        first_ordinal=(spec.get("ordinals") or {}).get("start", 0),
        own_annotations=own_annotations(metadata, (spec.get("template") or {}).get("metadata") or {}),
    )
    return convert(tuple(found), Scale)


def own_annotations(*metadata: Json) -> tuple[str, ...]:
    """Give the keys of annotations that begin with our group; not of the one that we write on copies for pools."""
    keys = {key for each in metadata for key in each.get("annotations") or () if key.startswith(_OWN)}
    return tuple(sorted(keys - {POLICY_ANNOTATION}))


def _workload_not_ready(conditions: Iterable[Json]) -> NotReady | None:
    """Give why pods are missing: they cannot be created, or, if nothing says so, they do not become ready in time."""
    failures = {each["type"]: each for each in conditions if (each["type"], each["status"]) in _FAILURES}
    return next((_not_ready(failures[kind]) for kind, _ in _FAILURES if kind in failures), None)


def scale(item: Json, *, writer: str = "") -> Scale:
    """Read a scale object, which omits zero replicas and an unset selector."""
    metadata = item["metadata"]
    selector, not_ready = _selector((item.get("status") or {}).get("selector") or "")
    replicas = (item.get("spec") or {}).get("replicas", 0)
    uid = intern(metadata.get("uid") or "")
    return convert((replicas, metadata["resourceVersion"], selector, writer, uid, not_ready), Scale)


def _selector(text: str) -> tuple[Selector, NotReady | None]:
    """Read a scale's selector, or say why no pod can be found by it."""
    try:
        selector = from_text(text)
    except ValueError as error:
        return (), NotReady("InvalidSelector", f"status.selector of its scale: {error}")
    if not selector:
        return (), NotReady("InvalidSelector", "status.selector of its scale is empty, so its pods cannot be found")
    return selector, None


def writer(managed_fields: Sequence[Json]) -> str:
    """Name the last writer of `spec.replicas`; at zero, and for some clients, managedFields name none."""
    owners = [each for each in managed_fields if "f:replicas" in (each.get("fieldsV1") or {}).get("f:spec", {})]
    last = max(owners, key=lambda each: each.get("time") or "", default=None)
    return "" if last is None else last["manager"]


def is_ours(name: str) -> bool:
    """Tell whether a writer is one of our own replicas."""
    return name == FIELD_MANAGER


def group_root(api_version: str) -> str:
    """Give the path of a group and version; the core group has no name and another path."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


class Resource(NamedTuple):
    """A kind as it is named in paths."""

    api_version: str
    plural: str

    def collection(self, namespace: str) -> str:
        """Give the path of its objects; an empty namespace means all namespaces."""
        root = group_root(self.api_version)
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


PODS = Resource("v1", "pods")
WORKLOADS = {
    ("apps/v1", "Deployment"): Resource("apps/v1", "deployments"),
    ("apps/v1", "StatefulSet"): Resource("apps/v1", "statefulsets"),
    ("apps/v1", "ReplicaSet"): Resource("apps/v1", "replicasets"),
}
"""Kinds whose objects contain their scale themselves."""
