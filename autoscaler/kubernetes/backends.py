"""Tells a gateway which pods each service has: from ready to leaving to gone, as a watch of pods sees them.

EndpointSlices would say less: not that a pod is about to be chosen for deletion, nor that one leaves and still serves.

Rules:
1. A pod is sent requests while it is Ready and neither leaves nor is marked to go first in a scale-down.
2. One that is no longer so drains: what it serves goes on. Only a pod that is gone is forgotten.
3. While nothing is heard of the pods, the last known ones serve.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.gateways import host_port
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import PODS, Pod, Scale, is_marked, pod
from autoscaler.kubernetes.pods import PodIndex
from autoscaler.kubernetes.scales import Kind, ScaleWatch
from autoscaler.kubernetes.selectors import Selecting
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.watches import Watches
from autoscaler.ports import ServiceName


class Backends(Protocol):
    """What is told of pods: a gateway, by its shape."""

    def add_backend(self, service: str, name: str, address: str) -> None:
        """Send requests to a pod that is ready."""
        ...

    def drain_backend(self, service: str, name: str) -> None:
        """Send a pod nothing new, and let what it serves end."""
        ...

    def remove_backend(self, service: str, name: str) -> None:
        """Forget a pod that is gone."""
        ...


class Backing(NamedTuple):
    """What stands behind one service."""

    kind: Kind
    name: str
    port: int
    """On which its pods serve."""


class BackendWatch:
    """Watches from entering to leaving it as a context manager.

    Args:
        api: whom to ask.
        rng: spreads attempts.
        backends: who is told.
    """

    def __init__(self, api: Api, rng: random.Random, backends: Backends) -> None:
        self._api = api
        self._rng = rng
        self._backends = backends
        self._services: dict[ServiceName, Backing] = {}
        self._behind: dict[tuple[Kind, str], list[ServiceName]] = {}
        """Services by what stands behind them."""
        self._selecting: defaultdict[str, Selecting] = defaultdict(Selecting)
        """The services of each namespace."""
        self._told: defaultdict[tuple[str, str], dict[ServiceName, str]] = defaultdict(dict)
        """The address that was told for each pod, by namespace and name; empty for one that drains."""
        self._scales: Watches[Kind, ScaleWatch] = Watches(self._scale_watch)
        self._pods: Watches[str, _Pods] = Watches(lambda namespace: _Pods(self, api, namespace, rng))
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._scales.need((), self._tasks)
        self._pods.need((), self._tasks)
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    def set_services(self, services: Mapping[ServiceName, Backing]) -> None:
        """Tell of the pods of exactly these from now on; the gateway must know them already."""
        before, self._services = self._services, dict(services)
        for name in before.keys() - services.keys():
            self._forget(name, before[name])
        self._behind = {}
        for name, backing in services.items():
            self._behind.setdefault((backing.kind, backing.name), []).append(name)
        self._scales.need({backing.kind for backing in services.values()}, self._tasks)
        self._pods.need({backing.kind.namespace for backing in services.values()}, self._tasks)
        followed: defaultdict[Kind, set[str]] = defaultdict(set)
        for kind, of_kind in self._behind:
            followed[kind].add(of_kind)
        for kind, watch in self._scales.items():
            watch.follow_only(followed[kind])
        for name, backing in services.items():
            if before.get(name) != backing:
                self._scales[backing.kind].tell(backing.name)

    def _forget(self, name: ServiceName, backing: Backing) -> None:
        self._selecting[backing.kind.namespace].set(name, ())
        for told in self._told.values():
            told.pop(name, None)

    def pods_changed(self, namespace: str, changes: Sequence[Change[Pod]]) -> None:
        """Take in what has changed in a namespace."""
        for change in changes:
            if change.after is None:
                name = change.key.partition("/")[2]
                for service in self._told.pop((namespace, name), {}):
                    self._backends.remove_backend(service, name)
            else:
                for service in self._selecting[namespace].who(change.after.labels):
                    self._tell(service, self._services[service], change.after)

    def _scale_watch(self, kind: Kind) -> ScaleWatch:
        return ScaleWatch(self._api, kind, self._rng, lambda name, scale: self._seen(kind, name, scale))

    def _seen(self, kind: Kind, name: str, scale: Scale | None) -> None:
        if scale is None:
            return
        for service in self._behind.get((kind, name), ()):
            self._selecting[kind.namespace].set(service, scale.selector)
            for found in self._pods[kind.namespace].index.select(scale.selector):
                self._tell(service, self._services[service], found)

    def _tell(self, service: ServiceName, backing: Backing, pod: Pod) -> None:
        told = self._told[backing.kind.namespace, pod.name]
        serves = pod.ready and pod.address and not pod.leaving and not is_marked(pod)
        address = host_port(pod.address, backing.port) if serves else ""
        if address == told.get(service, ""):
            return
        told[service] = address
        if address:
            self._backends.add_backend(service, pod.name, address)
        else:
            self._backends.drain_backend(service, pod.name)


class _Pods:
    """The pods of one namespace."""

    def __init__(self, watch: BackendWatch, api: Api, namespace: str, rng: random.Random) -> None:
        self.index = PodIndex()
        self._watch = watch
        self._namespace = namespace
        self._informer: Informer[Pod] = Informer(api, PODS.collection(namespace), pod, rng, on_change=self._changed)
        self.run = self._informer.run

    def _changed(self, changes: Sequence[Change[Pod]]) -> None:
        self.index.take(changes)
        self._watch.pods_changed(self._namespace, changes)
