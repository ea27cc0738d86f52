"""The few fields that are kept of pods and of what is scaled, and the paths at which they are found."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from autoscaler.kubernetes.client import FIELD_MANAGER
from autoscaler.kubernetes.selectors import Selector, from_object, from_text

Json = Mapping[str, Any]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_ENDED = frozenset({"Succeeded", "Failed"})


class Pod(NamedTuple):
    """One pod."""

    name: str
    labels: Mapping[str, str]
    address: str
    """Its IP; empty before it has one."""
    ready: bool
    leaving: bool
    """It is being deleted, or has ended."""
    created_s: float
    """Unix time by the API server's clock."""
    cost: str
    """Its deletion cost as it is annotated; empty without."""


def pod(item: Json) -> Pod:
    """Keep what matters of a pod."""
    metadata, status = item["metadata"], item.get("status") or {}
    return Pod(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        address=status.get("podIP") or "",
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()),
        leaving="deletionTimestamp" in metadata or status.get("phase") in _ENDED,
        created_s=unix_s(metadata["creationTimestamp"]),
        cost=(metadata.get("annotations") or {}).get(DELETION_COST, ""),
    )


class Scale(NamedTuple):
    """How many replicas an object asks for."""

    replicas: int
    version: str
    """Its resource version: a write that names it meets nothing newer."""
    selector: Selector
    writer: str
    """Who wrote `spec.replicas`, where managedFields tell; else empty."""


_LOWEST_COST = -1_000_000


def leaving_cost(place: int) -> str:
    """Give the deletion cost of the pod that is to go at this place: far below what anybody else would set."""
    return str(_LOWEST_COST + place)


def is_marked(pod: Pod) -> bool:
    """Tell whether we have marked a pod to go first."""
    number = pod.cost.removeprefix("-")
    return number != pod.cost and number.isdecimal() and -int(number) < _LOWEST_COST // 2


def workload(item: Json) -> Scale:
    """Read the scale of a Deployment, StatefulSet or ReplicaSet from the object itself."""
    spec = item["spec"]
    # The API server fills absent replicas with 1 in these three; in a scale object, absent means 0.
    return Scale(
        replicas=spec.get("replicas", 1),
        version=item["metadata"]["resourceVersion"],
        selector=from_object(spec.get("selector") or {}),
        writer=writer(item["metadata"].get("managedFields") or ()),
    )


def scale(item: Json, *, writer: str = "") -> Scale:
    """Read a scale object; zero replicas and an unset selector are absent in it."""
    try:
        selector = from_text((item.get("status") or {}).get("selector") or "")
    except ValueError:
        selector = ()
    return Scale((item.get("spec") or {}).get("replicas", 0), item["metadata"]["resourceVersion"], selector, writer)


def writer(managed_fields: Sequence[Json]) -> str:
    """Name who wrote `spec.replicas` last; at zero, and for some clients, managedFields name nobody."""
    owners = [each for each in managed_fields if "f:replicas" in (each.get("fieldsV1") or {}).get("f:spec", {})]
    last = max(owners, key=lambda each: each.get("time") or "", default=None)
    return "" if last is None else last["manager"]


def is_ours(name: str) -> bool:
    """Tell whether a writer is one of our own replicas."""
    return name == FIELD_MANAGER


def unix_s(text: str) -> float:
    """Read a time stamp of Kubernetes."""
    return datetime.fromisoformat(text).timestamp()


def timestamp(unix: float, *, micro: bool = False) -> str:
    """Write a time stamp as Kubernetes does: whole seconds, or `MicroTime`."""
    text = datetime.fromtimestamp(unix, UTC).isoformat(timespec="microseconds" if micro else "seconds")
    return text.replace("+00:00", "Z")


class Resource(NamedTuple):
    """A kind as it stands in paths."""

    api_version: str
    plural: str

    def collection(self, namespace: str) -> str:
        """Give the path of its objects; an empty namespace is all of them."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


PODS = Resource("v1", "pods")
WORKLOADS = {
    ("apps/v1", "Deployment"): Resource("apps/v1", "deployments"),
    ("apps/v1", "StatefulSet"): Resource("apps/v1", "statefulsets"),
    ("apps/v1", "ReplicaSet"): Resource("apps/v1", "replicasets"),
}
"""Kinds of which the object itself tells its scale."""
