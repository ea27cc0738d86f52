"""The workloads that services scale, as watches see them: their scales, and which pods belong to them.

This is the base of everything that follows services in a cluster: the controller's target and the gateway's backends.

A selector alone also selects pods of others, such as those of a Job or of another Deployment with the same labels.

Rules:
1. A pod belongs to a StatefulSet, ReplicaSet or ReplicationController if its selector selects the pod and the object
   controls the pod.
2. A pod belongs to a Deployment if its selector selects the pod and the Deployment controls the pod's ReplicaSet.
3. What stands between any other kind and its pods is not known. For these the selector alone decides. Their own
   controller has written it into their scale.
4. Before pods have been listed, and ReplicaSets where they matter, the pods are unknown. That is not the same as none.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, Self, TypeVar

from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import PODS, WORKLOADS, Owner, Pod, Scale, owner_uid, pod
from autoscaler.kubernetes.pods import PodIndex
from autoscaler.kubernetes.scales import NamespacedKind, ScaleWatch
from autoscaler.kubernetes.selectors import matches
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.watches import Watches
from autoscaler.ports import ServiceName
from autoscaler.removal_order import NUMBERED_KINDS

_DEPLOYMENT = ("apps/v1", "Deployment")
_REPLICA_SET = ("apps/v1", "ReplicaSet")
_CONTROLS_ITS_PODS = {("apps/v1", "StatefulSet"), _REPLICA_SET, ("v1", "ReplicationController")}
ControllerOf = Callable[[str], str]
"""Gives the uid of the controller of the ReplicaSet of this name; empty if it has none."""
T = TypeVar("T")


class Workload(NamedTuple):
    """One object that is scaled."""

    kind: NamespacedKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.kind.namespace}/{self.name}"


def is_of(pod: Pod, kind: NamespacedKind, scale: Scale, controller_of: ControllerOf) -> bool:
    """Tell whether a pod belongs to a workload.

    Args:
        pod: a pod of the workload's namespace.
        kind: the workload's kind.
        scale: the workload's scale.
        controller_of: gives the controller of a ReplicaSet of the namespace.
    """
    if not matches(scale.selector, pod.labels):
        return False
    if _has_replica_sets(kind):
        return _controller(pod.owner, controller_of) == scale.uid != ""
    if (kind.api_version, kind.kind) in _CONTROLS_ITS_PODS:
        return pod.owner is not None and pod.owner.uid == scale.uid
    return True


def _controller(owner: Owner | None, controller_of: ControllerOf) -> str:
    """Give the uid of the controller of the ReplicaSet that owns a pod; empty if there is none."""
    if owner is None or (owner.api_version, owner.kind) != _REPLICA_SET:
        return ""
    return controller_of(owner.name)


def any_of(scale: Scale | None, changes: Sequence[Change[Pod]]) -> bool:
    """Tell whether changed pods may be pods of a workload; with many drains under way, most are of another one."""
    changed = (pod for _, before, after in changes for pod in (before, after) if pod is not None)
    return scale is not None and any(matches(scale.selector, pod.labels) for pod in changed)


def numbers_its_pods(kind: NamespacedKind) -> bool:
    """Tell whether a kind numbers its pods and always removes the last ones, whatever their deletion cost is."""
    return (kind.api_version, kind.kind) in NUMBERED_KINDS


class Workloads:
    """Follows scales and pods of the workloads of services; use it as an asynchronous context manager.

    Args:
        api: the API server.
        rng: spreads attempts.
        on_scale: called for each service of a workload when its scale has been read, and with None when it is gone.
        on_unread: called for each service of a workload whose scale could not be read.
        on_pods: called with the changes to the pods of a namespace.
        on_controlled: called with the uids of workloads that now control other ReplicaSets than before.
    """

    def __init__(
        self,
        api: Api,
        rng: random.Random,
        *,
        on_scale: Callable[[ServiceName, Scale | None], None],
        on_unread: Callable[[ServiceName], None] = lambda _service: None,
        on_pods: Callable[[str, Sequence[Change[Pod]]], None] = lambda _namespace, _changes: None,
        on_controlled: Callable[[str, Collection[str]], None] = lambda _namespace, _uids: None,
    ) -> None:
        self._on_scale = on_scale
        self._on_unread = on_unread
        self._services: dict[Workload, list[ServiceName]] = {}
        self._scales: Watches[NamespacedKind, ScaleWatch] = Watches(
            lambda kind: ScaleWatch(
                api,
                kind,
                rng,
                lambda name, scale: self._scale_read(Workload(kind, name), scale),
                lambda name: self._scale_unread(Workload(kind, name)),
            )
        )
        self._pods: Watches[str, _Pods] = Watches(lambda namespace: _Pods(api, namespace, rng, on_pods))
        self._replica_sets: Watches[str, _ReplicaSets] = Watches(
            lambda namespace: _ReplicaSets(api, namespace, rng, on_controlled)
        )
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.follow({})
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    def follow(self, services: Mapping[ServiceName, Workload]) -> None:
        """Follow the workloads of exactly these services; `repeat` gives what is already known for a new one."""
        self._services = {}
        names: defaultdict[NamespacedKind, set[str]] = defaultdict(set)
        for service, workload in services.items():
            self._services.setdefault(workload, []).append(service)
            names[workload.kind].add(workload.name)
        self._scales.need(names, self._tasks)
        self._pods.need({kind.namespace for kind in names}, self._tasks)
        self._replica_sets.need({kind.namespace for kind in names if _has_replica_sets(kind)}, self._tasks)
        for kind, watch in self._scales.items():
            watch.follow_only(names[kind])

    def services(self, workload: Workload) -> Sequence[ServiceName]:
        """Give the services of a workload, in the order in which `follow` was given them."""
        return self._services.get(workload, ())

    # Scales.

    def repeat(self, workload: Workload) -> None:
        """Call `on_scale` again with what is known of a workload's scale."""
        self._scales[workload.kind].repeat(workload.name)

    async def read_scale(self, workload: Workload) -> None:
        """Read a workload's scale from the API server itself, and call `on_scale`; raises ApiError."""
        self._scale_read(workload, await self._scales[workload.kind].read(workload.name))

    async def write_scale(self, workload: Workload, replicas: int, version: str) -> Scale:
        """Ask for this number of replicas, unless the workload is newer than `version`; raises ApiError."""
        return await self._scales[workload.kind].write(workload.name, replicas, version)

    def _scale_read(self, workload: Workload, scale: Scale | None) -> None:
        for service in self.services(workload):
            self._on_scale(service, scale)

    def _scale_unread(self, workload: Workload) -> None:
        for service in self.services(workload):
            self._on_unread(service)

    # Pods.

    def know_pods(self, kind: NamespacedKind) -> bool:
        """Tell whether the pods of a kind are known."""
        return all(watch.synced for watch in self._pod_watches(kind))

    def pods(self, workload: Workload, scale: Scale) -> list[Pod]:
        """Give a workload's pods, the oldest first, including those that are being deleted."""
        candidates = self._pods[workload.kind.namespace].index.select(scale.selector)
        return [pod for pod in candidates if self.owns(workload, scale, pod)]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Give one pod of a namespace."""
        return self._pods[namespace].index.get(name)

    def owns(self, workload: Workload, scale: Scale, pod: Pod) -> bool:
        """Tell whether a pod of its namespace belongs to a workload."""
        kind = workload.kind
        controller_of = self._replica_sets[kind.namespace].controller if _has_replica_sets(kind) else _no_controller
        return is_of(pod, kind, scale, controller_of)

    # Problems.

    def problem(self, workload: Workload) -> str:
        """Say why scale or pods of a workload are unknown or may be stale; empty if all is well."""
        return self._scales[workload.kind].problem(workload.name) or next(
            (watch.problem for watch in self._pod_watches(workload.kind) if watch.problem), ""
        )

    def shared_problem(self) -> str:
        """Say what makes all workloads of some kind or namespace unknown; empty if nothing does."""
        problems = [
            *(watch.shared_problem for _, watch in self._scales.items()),
            *(watch.problem for _, watch in self._pods.items()),
            *(watch.problem for _, watch in self._replica_sets.items()),
        ]
        return "; ".join(filter(None, problems))

    def _pod_watches(self, kind: NamespacedKind) -> Iterable["_Pods | _ReplicaSets"]:
        yield self._pods[kind.namespace]
        if _has_replica_sets(kind):
            yield self._replica_sets[kind.namespace]


def _has_replica_sets(kind: NamespacedKind) -> bool:
    return (kind.api_version, kind.kind) == _DEPLOYMENT


def _no_controller(_replica_set: str) -> str:
    return ""


class _NamespaceWatch(Generic[T]):
    """The objects of one resource in one namespace."""

    def __init__(self, informer: Informer[T], objects: str) -> None:
        self.run = informer.run
        self._informer = informer
        self._objects = objects

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    @property
    def problem(self) -> str:
        return self._informer.problem or ("" if self.synced else f"the {self._objects} have not been listed yet")


class _Pods(_NamespaceWatch[Pod]):
    def __init__(
        self,
        api: Api,
        namespace: str,
        rng: random.Random,
        on_change: Callable[[str, Sequence[Change[Pod]]], None],
    ) -> None:
        self.index = PodIndex()
        self._namespace = namespace
        self._on_change = on_change
        informer = Informer(api, PODS.collection(namespace), pod, rng, on_change=self._changed)
        super().__init__(informer, f"pods of {namespace}")

    def _changed(self, changes: Sequence[Change[Pod]]) -> None:
        self.index.take(changes)
        self._on_change(self._namespace, changes)


class _ReplicaSets(_NamespaceWatch[str]):
    """The uid of the controller of each ReplicaSet. Their metadata has it, so no more is requested."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        rng: random.Random,
        on_change: Callable[[str, Collection[str]], None],
    ) -> None:
        self._namespace = namespace
        self._on_change = on_change
        path = WORKLOADS[_REPLICA_SET].collection(namespace)
        informer = Informer(api, path, owner_uid, rng, metadata_only=True, on_change=self._changed)
        super().__init__(informer, f"ReplicaSets of {namespace}")

    def controller(self, name: str) -> str:
        return self._informer.store.get(f"{self._namespace}/{name}") or ""

    def _changed(self, changes: Sequence[Change[str]]) -> None:
        uids = {uid for _key, before, after in changes for uid in (before, after) if uid}
        if uids:
            self._on_change(self._namespace, uids)
