"""Keeps a gateway's backends equal to the pods of each service: ready, draining, gone.

It watches pods. EndpointSlices say less: neither that a pod is about to be deleted, nor that a terminating pod serves.

Rules:
1. A pod gets requests while it belongs to the service, is Ready, is not terminating, and is not marked to be removed
   first in a scale-down. It stops belonging to the service if its labels or owners change, or if the policy names
   another target. Whatever changed, the gateway's state is compared with the pod. The gateway's stream names the pods
   whose marks it has seen.
2. Otherwise the pod drains: requests that it serves go on. Only a deleted pod is removed.
3. A pod is warm if it is ready since before the gateway started, or was served before and has not started again since.
4. While the API server cannot be reached, the last known pods serve.
5. A pod that is not ready yet and was never served here is expected, also while no node has room for it.
6. A service with pools has the pods of all its members. A pod of a pool that is no longer one of them drains.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.gateways import host_port
from autoscaler.kubernetes.objects import Pod, Scale, is_marked
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.selectors import SelectorIndex
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.workloads import Workload, Workloads
from autoscaler.pool_members import service_of
from autoscaler.ports import ServiceName


class Backends(Protocol):
    """The part of a gateway that is kept in step with pods."""

    def expect_backend(self, service: str, name: str, *, created_s: float) -> None:
        """Note a pod that exists since then and is not ready yet."""
        ...

    def add_backend(self, service: str, name: str, address: str, *, warm: bool) -> None:
        """Send requests to a pod that is ready; one that is not warm gets its warm-up first."""
        ...

    def drain_backend(self, service: str, name: str, *, marked: bool) -> None:
        """Send a pod no new requests, and let those that it serves finish; say in the stream if it is marked."""
        ...

    def remove_backend(self, service: str, name: str) -> None:
        """Forget a deleted pod."""
        ...


class ServiceBackend(NamedTuple):
    """The workload whose pods serve one service, or one member of it."""

    kind: NamespacedKind
    name: str
    port: int
    """The port on which its pods serve."""

    @property
    def workload(self) -> Workload:
        """The workload."""
        return Workload(self.kind, self.name)


class _Seen(NamedTuple):
    """What the gateway knows of a pod."""

    address: str
    """Where it gets requests; empty while it must not get any."""
    marked: bool
    """It is marked to be removed first."""
    expected: bool = False
    """It is not ready yet."""


_UNKNOWN = _Seen("", marked=False)


def address_for(pod: Pod, port: int) -> str:
    """Give the address at which a pod gets requests; empty while it must not get any."""
    serves = pod.ready and pod.address and not pod.terminating and not is_marked(pod)
    return host_port(pod.address, port) if serves else ""


class BackendWatch:
    """Follows the pods of services; use it as an asynchronous context manager.

    Args:
        api: the API server.
        rng: spreads attempts.
        backends: the gateway to keep in step.
        started_s: when it started, in Unix time.
    """

    def __init__(self, api: Api, rng: random.Random, backends: Backends, *, started_s: float) -> None:
        self._backends = backends
        self._started_s = started_s
        self._members: dict[ServiceName, ServiceBackend] = {}
        self._services: dict[ServiceName, tuple[ServiceName, ...]] = {}
        """The members of each service."""
        self._scales: dict[ServiceName, Scale] = {}
        """The last known scale of each member's workload."""
        self._selectors: defaultdict[str, SelectorIndex] = defaultdict(SelectorIndex)
        """The members of each namespace, by their selectors."""
        self._seen: defaultdict[ServiceName, dict[str, _Seen]] = defaultdict(dict)
        """Each pod that the gateway knows, by name."""
        self._served: defaultdict[ServiceName, dict[str, int]] = defaultdict(dict)
        """Each pod that the gateway has served, by name, with its restarts then."""
        self._services_of: defaultdict[tuple[str, str], set[ServiceName]] = defaultdict(set)
        """Services of which the gateway knows a pod, by the pod's namespace and name."""
        self._workloads = Workloads(
            api, rng, on_scale=self._scale_read, on_pods=self.pods_changed, on_controlled=self._controlled
        )

    async def __aenter__(self) -> Self:
        await self._workloads.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        # Changes that arrive while the watches end belong to no service.
        self.set_services({})
        await self._workloads.__aexit__(*error)

    def set_services(self, services: Mapping[ServiceName, ServiceBackend]) -> None:
        """Follow the pods of exactly these services; the gateway must know the services already.

        Args:
            services: the workload of each service, or of each of its members.
        """
        before, self._members = self._members, dict(services)
        followed, self._services = self._services, _by_service(services)
        for member in before.keys() - services.keys():
            self._select(member, before[member], None)
        for name in followed.keys() - self._services.keys():
            self._forget(name, before[followed[name][0]].kind.namespace)
        self._workloads.follow({member: backend.workload for member, backend in services.items()})
        for member, backend in services.items():
            known = before.get(member)
            if known is None or known.workload != backend.workload:
                self._select(member, backend, None)
                self._workloads.repeat(backend.workload)
        for name, members in self._services.items():
            if members != followed.get(name) or any(services[each] != before.get(each) for each in members):
                self._update_all(name)

    def _forget(self, name: ServiceName, namespace: str) -> None:
        """Forget a service that the gateway has forgotten with all its pods."""
        self._served.pop(name, None)
        for pod in self._seen.pop(name, ()):
            self._unlink(name, namespace, pod)

    # Changes in the cluster.

    def pods_changed(self, namespace: str, changes: Sequence[Change[Pod]]) -> None:
        """Take in changes to the pods of a namespace."""
        for change in changes:
            name = change.key.partition("/")[2]
            selecting = self._selectors[namespace].selecting(change.after.labels) if change.after else ()
            for service in {*self._services_of.get((namespace, name), ()), *map(service_of, selecting)}:
                self._update(service, namespace, name, change.after)

    def _controlled(self, _namespace: str, uids: Collection[str]) -> None:
        for service in {service_of(member) for member, scale in self._scales.items() if scale.uid in uids}:
            self._update_all(service)

    def _scale_read(self, member: ServiceName, scale: Scale | None) -> None:
        self._select(member, self._members[member], scale)
        self._update_all(service_of(member))

    def _select(self, member: ServiceName, backend: ServiceBackend, scale: Scale | None) -> None:
        if scale is None:
            self._scales.pop(member, None)
        else:
            self._scales[member] = scale
        self._selectors[backend.kind.namespace].set(member, scale.selector if scale else ())

    # Updates of the gateway.

    def _update_all(self, service: ServiceName) -> None:
        """Update all pods that a service has, and all that the gateway knows of it."""
        members = self._services[service]
        namespace = self._members[members[0]].kind.namespace
        names = set(self._seen[service])
        for member in members:
            if scale := self._scales.get(member):
                names |= {pod.name for pod in self._workloads.pods(self._members[member].workload, scale)}
        for name in names:
            self._update(service, namespace, name, self._workloads.pod(namespace, name))

    def _update(self, service: ServiceName, namespace: str, name: str, pod: Pod | None) -> None:
        """Update the gateway if it does not know the state of this pod yet; None is a deleted pod."""
        known = self._seen[service]
        if pod is None:
            self._served[service].pop(name, None)
            if known.pop(name, None) is not None:
                self._unlink(service, namespace, name)
                self._backends.remove_backend(service, name)
            return
        seen = self._seen_of(service, pod)
        if seen == known.get(name, _UNKNOWN):
            return
        known[name] = seen
        self._services_of[namespace, name].add(service)
        if seen.address:
            warm = self._is_warm(service, pod)
            self._served[service][name] = pod.restarts
            self._backends.add_backend(service, name, seen.address, warm=warm)
        elif seen.expected:
            self._backends.expect_backend(service, name, created_s=pod.created_s)
        else:
            self._backends.drain_backend(service, name, marked=seen.marked)

    def _is_warm(self, service: ServiceName, pod: Pod) -> bool:
        """Tell whether a pod needs no warm-up: another gateway has served it, or this one, since it started."""
        if pod.ready_since_s is not None and pod.ready_since_s <= self._started_s:
            return True
        return self._served[service].get(pod.name) == pod.restarts

    def _seen_of(self, service: ServiceName, pod: Pod) -> _Seen:
        backend, marked = self._backend_of(service, pod), is_marked(pod)
        if backend is None:
            return _Seen("", marked)
        new = pod.name not in self._served[service]
        expected = new and not (pod.ready or pod.terminating or marked)
        return _Seen(address_for(pod, backend.port), marked, expected)

    def _backend_of(self, service: ServiceName, pod: Pod) -> ServiceBackend | None:
        for member in self._services[service]:
            backend, scale = self._members[member], self._scales.get(member)
            if scale is not None and self._workloads.owns(backend.workload, scale, pod):
                return backend
        return None

    def _unlink(self, service: ServiceName, namespace: str, pod: str) -> None:
        services = self._services_of[namespace, pod]
        services.discard(service)
        if not services:
            del self._services_of[namespace, pod]


def _by_service(members: Mapping[ServiceName, ServiceBackend]) -> dict[ServiceName, tuple[ServiceName, ...]]:
    found: defaultdict[ServiceName, list[ServiceName]] = defaultdict(list)
    for member in members:
        found[service_of(member)].append(member)
    return {service: tuple(names) for service, names in found.items()}
