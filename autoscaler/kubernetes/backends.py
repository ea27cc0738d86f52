"""Tells a gateway which pods each service has: from ready to leaving to gone, as a watch of pods sees them.

EndpointSlices would say less: not that a pod is about to be chosen for deletion, nor that one leaves and still serves.

Rules:
1. A pod is sent requests while it is one of its service's, is Ready, and neither leaves nor is marked to go first in a
   scale-down. One is its service's no more when its labels or its owners change, and when the policy names another
   target: what was told is compared with what is, whatever changed.
2. One that is no longer so drains: what it serves goes on. Only a pod that is gone is forgotten.
3. While nothing is heard of the pods, the last known ones serve.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.gateways import host_port
from autoscaler.kubernetes.objects import Pod, Scale, is_marked
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.selectors import Selecting
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.workloads import Workload, Workloads
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


class ServiceBackend(NamedTuple):
    """What stands behind one service."""

    kind: NamespacedKind
    name: str
    port: int
    """On which its pods serve."""

    @property
    def workload(self) -> Workload:
        """Whose pods they are."""
        return Workload(self.kind, self.name)


def address_for(pod: Pod, port: int) -> str:
    """Give where a pod of a service is sent requests; empty while it must not be sent any."""
    serves = pod.ready and pod.address and not pod.leaving and not is_marked(pod)
    return host_port(pod.address, port) if serves else ""


class BackendWatch:
    """Watches from entering to leaving it as a context manager.

    Args:
        api: whom to ask.
        rng: spreads attempts.
        backends: who is told.
    """

    def __init__(self, api: Api, rng: random.Random, backends: Backends) -> None:
        self._backends = backends
        self._services: dict[ServiceName, ServiceBackend] = {}
        self._behind: dict[Workload, list[ServiceName]] = {}
        """Services by what stands behind them."""
        self._scales: dict[ServiceName, Scale] = {}
        """What is known of that."""
        self._selecting: defaultdict[str, Selecting] = defaultdict(Selecting)
        """The services of each namespace, by what they select."""
        self._told: defaultdict[ServiceName, dict[str, str]] = defaultdict(dict)
        """The address that was told for each pod, by name; empty for one that drains."""
        self._hearing: defaultdict[tuple[str, str], set[ServiceName]] = defaultdict(set)
        """Services that were told of a pod, by its namespace and name."""
        self._workloads = Workloads(
            api, rng, on_scale=self._seen, on_pods=self.pods_changed, on_controlled=self._controlled
        )

    async def __aenter__(self) -> Self:
        await self._workloads.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        # What is heard in the middle of ending is nobody's.
        self.set_services({})
        await self._workloads.__aexit__(*error)

    def set_services(self, services: Mapping[ServiceName, ServiceBackend]) -> None:
        """Tell of the pods of exactly these from now on; the gateway must know them already."""
        before, self._services = self._services, dict(services)
        for name in before.keys() - services.keys():
            self._forget(name, before[name])
        self._behind = {}
        for name, backing in services.items():
            self._behind.setdefault(backing.workload, []).append(name)
        self._workloads.follow(self._behind)
        for name, backing in services.items():
            if (known := before.get(name)) != backing:
                if known is None or known.workload != backing.workload:
                    self._select(name, None)
                    self._workloads.tell(backing.workload)
                self._settle_all(name)

    def _forget(self, name: ServiceName, backing: ServiceBackend) -> None:
        """Forget a service that the gateway has forgotten with all its pods."""
        namespace = backing.kind.namespace
        self._scales.pop(name, None)
        self._selecting[namespace].set(name, ())
        for pod in self._told.pop(name, ()):
            self._hear_no_more(name, namespace, pod)

    # What changes.

    def pods_changed(self, namespace: str, changes: Sequence[Change[Pod]]) -> None:
        """Take in what has changed of the pods of a namespace."""
        for change in changes:
            name = change.key.partition("/")[2]
            selecting = self._selecting[namespace].who(change.after.labels) if change.after else ()
            for service in {*self._hearing.get((namespace, name), ()), *selecting}:
                self._settle(service, name, change.after)

    def _controlled(self, _namespace: str, uids: Collection[str]) -> None:
        for service in [name for name, scale in self._scales.items() if scale.uid in uids]:
            self._settle_all(service)

    def _seen(self, workload: Workload, scale: Scale | None) -> None:
        for service in self._behind.get(workload, ()):
            self._select(service, scale)
            self._settle_all(service)

    def _select(self, service: ServiceName, scale: Scale | None) -> None:
        if scale is None:
            self._scales.pop(service, None)
        else:
            self._scales[service] = scale
        namespace = self._services[service].kind.namespace
        self._selecting[namespace].set(service, scale.selector if scale else ())

    # What is told.

    def _settle_all(self, service: ServiceName) -> None:
        """Tell of all pods that a service has, or was told of."""
        workload, scale = self._services[service].workload, self._scales.get(service)
        found = self._workloads.pods(workload, scale) if scale else ()
        for name in {*self._told[service], *(pod.name for pod in found)}:
            self._settle(service, name, self._workloads.pod(workload.kind.namespace, name))

    def _settle(self, service: ServiceName, name: str, pod: Pod | None) -> None:
        """Tell what a pod is to a service now, if that is not what was told last; None is one that is gone."""
        told, namespace = self._told[service], self._services[service].kind.namespace
        if pod is None:
            if told.pop(name, None) is not None:
                self._hear_no_more(service, namespace, name)
                self._backends.remove_backend(service, name)
            return
        address = self._address(service, pod)
        if address == told.get(name, ""):
            return
        told[name] = address
        self._hearing[namespace, name].add(service)
        if address:
            self._backends.add_backend(service, name, address)
        else:
            self._backends.drain_backend(service, name)

    def _address(self, service: ServiceName, pod: Pod) -> str:
        backing, scale = self._services[service], self._scales.get(service)
        if scale is None or not self._workloads.owns(backing.workload, scale, pod):
            return ""
        return address_for(pod, backing.port)

    def _hear_no_more(self, service: ServiceName, namespace: str, pod: str) -> None:
        hearing = self._hearing[namespace, pod]
        hearing.discard(service)
        if not hearing:
            del self._hearing[namespace, pod]
