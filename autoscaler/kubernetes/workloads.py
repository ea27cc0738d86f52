"""Workloads that are scaled, as watches tell of them: their scales, and which pods are theirs.

A selector alone selects pods of others too: those of a Job or of another Deployment with the same labels. Rules:

1. A pod of a StatefulSet, ReplicaSet or ReplicationController is one that its selector selects and that it controls.
2. A pod of a Deployment is one that its selector selects and that a ReplicaSet controls which the Deployment controls.
3. What stands between any other kind and its pods is not known. There its selector alone tells, which its own
   controller has written into its scale.
4. Before pods have been listed, and ReplicaSets where they matter, no pods are known, which is not the same as none.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Self

from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import PODS, WORKLOADS, Owner, Pod, Scale, owner_uid, pod
from autoscaler.kubernetes.pods import PodIndex
from autoscaler.kubernetes.scales import NamespacedKind, ScaleWatch
from autoscaler.kubernetes.selectors import matches
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.watches import Watches

_DEPLOYMENT = ("apps/v1", "Deployment")
_REPLICA_SET = ("apps/v1", "ReplicaSet")
_CONTROLS_ITS_PODS = {("apps/v1", "StatefulSet"), _REPLICA_SET, ("v1", "ReplicationController")}
Uids = Callable[[str], str]
"""Gives the uid of what controls the ReplicaSet of this name; empty where nothing does."""


class Workload(NamedTuple):
    """One object that is scaled."""

    kind: NamespacedKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.kind.namespace}/{self.name}"


def is_of(pod: Pod, kind: NamespacedKind, scale: Scale, replica_sets: Uids) -> bool:
    """Tell whether a pod is one of a workload's.

    Args:
        pod: the pod, of the workload's namespace.
        kind: the workload's.
        scale: the workload's.
        replica_sets: tells what controls a ReplicaSet of the namespace.
    """
    if not matches(scale.selector, pod.labels):
        return False
    what = (kind.api_version, kind.kind)
    if what == _DEPLOYMENT:
        return _controller(pod.owner, replica_sets) == scale.uid != ""
    if what in _CONTROLS_ITS_PODS:
        return pod.owner is not None and pod.owner.uid == scale.uid
    return True


def _controller(owner: Owner | None, replica_sets: Uids) -> str:
    """Give the uid of what controls the ReplicaSet that controls a pod; empty where there is none."""
    if owner is None or (owner.api_version, owner.kind) != _REPLICA_SET:
        return ""
    return replica_sets(owner.name)


class Workloads:
    """Follows scales and pods of workloads from entering to leaving it as a context manager.

    Args:
        api: whom to ask.
        rng: spreads attempts.
        on_scale: is told of a workload's scale whenever it was read, and None when the workload is gone.
        on_unread: is told of a workload whose scale could not be read.
        on_pods: is told of what has changed of the pods of a namespace.
        on_controlled: is told of the uids of workloads that control other ReplicaSets than before.
    """

    def __init__(
        self,
        api: Api,
        rng: random.Random,
        *,
        on_scale: Callable[[Workload, Scale | None], None],
        on_unread: Callable[[Workload], None] = lambda _workload: None,
        on_pods: Callable[[str, Sequence[Change[Pod]]], None] = lambda _namespace, _changes: None,
        on_controlled: Callable[[str, Collection[str]], None] = lambda _namespace, _uids: None,
    ) -> None:
        self._on_scale = on_scale
        self._on_unread = on_unread
        self._scales: Watches[NamespacedKind, ScaleWatch] = Watches(
            lambda kind: ScaleWatch(
                api,
                kind,
                rng,
                lambda name, scale: on_scale(Workload(kind, name), scale),
                lambda name: on_unread(Workload(kind, name)),
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
        self.follow(())
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    def follow(self, workloads: Iterable[Workload]) -> None:
        """Follow exactly these from now on; `tell` tells what is known already of one that is new."""
        names: defaultdict[NamespacedKind, set[str]] = defaultdict(set)
        for workload in workloads:
            names[workload.kind].add(workload.name)
        self._scales.need(names, self._tasks)
        self._pods.need({kind.namespace for kind in names}, self._tasks)
        through = {kind.namespace for kind in names if (kind.api_version, kind.kind) == _DEPLOYMENT}
        self._replica_sets.need(through, self._tasks)
        for kind, watch in self._scales.items():
            watch.follow_only(names[kind])

    def tell(self, workload: Workload) -> None:
        """Tell once more what is known of a workload's scale, for somebody who begins to follow it."""
        self._scales[workload.kind].tell(workload.name)

    def scale(self, workload: Workload) -> ScaleWatch:
        """Give what reads and writes the scale of a workload that is followed."""
        return self._scales[workload.kind]

    # Pods.

    def know_pods(self, kind: NamespacedKind) -> bool:
        """Tell whether the pods of a kind are known."""
        return all(watch.synced for watch in self._behind(kind))

    def pods(self, workload: Workload, scale: Scale) -> list[Pod]:
        """Give a workload's pods, the oldest first, those that leave among them."""
        candidates = self._pods[workload.kind.namespace].index.select(scale.selector)
        return [pod for pod in candidates if self.owns(workload, scale, pod)]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Give one pod of a namespace."""
        return self._pods[namespace].index.get(name)

    def owns(self, workload: Workload, scale: Scale, pod: Pod) -> bool:
        """Tell whether a pod of its namespace is one of a workload's."""
        kind = workload.kind
        through = self._replica_sets[kind.namespace].controller if _passes_replica_sets(kind) else _nobody
        return is_of(pod, kind, scale, through)

    # Problems.

    def problem(self, workload: Workload) -> str:
        """Say why scale or pods of a workload are not known, or may be old; empty if all is well."""
        return self._scales[workload.kind].problem(workload.name) or next(
            (watch.problem for watch in self._behind(workload.kind) if watch.problem), ""
        )

    def trouble(self) -> str:
        """Say what keeps all workloads of some kind or namespace from being observed; empty if nothing does."""
        troubles = [
            *(watch.trouble for _, watch in self._scales.items()),
            *(watch.problem for _, watch in self._pods.items()),
            *(watch.problem for _, watch in self._replica_sets.items()),
        ]
        return "; ".join(filter(None, troubles))

    def _behind(self, kind: NamespacedKind) -> Iterable["_Pods | _ReplicaSets"]:
        yield self._pods[kind.namespace]
        if _passes_replica_sets(kind):
            yield self._replica_sets[kind.namespace]


def _passes_replica_sets(kind: NamespacedKind) -> bool:
    return (kind.api_version, kind.kind) == _DEPLOYMENT


def _nobody(_replica_set: str) -> str:
    return ""


class _Pods:
    """The pods of one namespace."""

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
        self._informer: Informer[Pod] = Informer(api, PODS.collection(namespace), pod, rng, on_change=self._changed)
        self.run = self._informer.run

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    @property
    def problem(self) -> str:
        return self._informer.problem or (
            "" if self.synced else f"the pods of {self._namespace} have not been listed yet"
        )

    def _changed(self, changes: Sequence[Change[Pod]]) -> None:
        self.index.take(changes)
        self._on_change(self._namespace, changes)


class _ReplicaSets:
    """What controls the ReplicaSets of one namespace; of them it is all that matters, and their metadata has it."""

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
        self._informer: Informer[str] = Informer(api, path, owner_uid, rng, metadata_only=True, on_change=self._changed)
        self.run = self._informer.run

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    @property
    def problem(self) -> str:
        return self._informer.problem or (
            "" if self.synced else f"the ReplicaSets of {self._namespace} have not been listed yet"
        )

    def controller(self, name: str) -> str:
        return self._informer.store.get(f"{self._namespace}/{name}") or ""

    def _changed(self, changes: Sequence[Change[str]]) -> None:
        uids = {uid for _key, before, after in changes for uid in (before, after) if uid}
        if uids:
            self._on_change(self._namespace, uids)
