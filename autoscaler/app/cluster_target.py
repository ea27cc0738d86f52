"""What scales in a cluster: the objects of all policies, services with pools over them, and the copies for pools."""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, Self

from autoscaler.app.scaled_objects import copies_of, scaled_objects
from autoscaler.controller.services import PolicyEntry
from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.objects import NotReady
from autoscaler.kubernetes.pool_copies import PoolCopies
from autoscaler.pool_members import pool_of, service_of
from autoscaler.ports import PodCounts, ServiceName
from autoscaler.targets.kubernetes import KubernetesTarget, Target
from autoscaler.targets.pooled import PooledTarget


class Reports(Protocol):
    """What is reported of a service."""

    def warn(self, service: ServiceName, reason: str, message: str) -> None:
        """People should know this of a service."""
        ...

    def not_ready(self, service: ServiceName, why: NotReady | None) -> None:
        """Kubernetes says why pods of a service are not ready; None means that this is over."""
        ...


class ClusterTarget:
    """The parts that scale; use it as an asynchronous context manager, and run its `copies`.

    Args:
        api: the API server.
        now: gives the controller's time.
        rng: spreads attempts.
        running: gives the running requests of each pod of a service.
        undrained: says which gateways may still send requests to some of these pods of a service; empty if none does.
        count: gives what asks for the requests of a service's pods, if no gateway knows them.
        leads: tells whether this replica of the controller may write now.
        hold_s: how long nobody else must write before scaling goes on after another writer.
        reports: what is reported of services.
        on_change: called when what is known of a service's objects has changed.
    """

    def __init__(
        self,
        api: Api,
        now: Callable[[], float],
        rng: random.Random,
        *,
        running: Callable[[ServiceName], Mapping[str, int]],
        undrained: Callable[[ServiceName, Collection[str]], str] = lambda _service, _pods: "",
        count: Callable[[ServiceName], Callable[[], Awaitable[PodCounts]] | None] = lambda _service: None,
        leads: Callable[[], bool],
        hold_s: float,
        reports: Reports,
        on_change: Callable[[ServiceName], None],
    ) -> None:
        self._reports = reports
        self._not_ready: defaultdict[ServiceName, dict[ServiceName, NotReady]] = defaultdict(dict)
        """Why pods are not ready, by service and member."""
        self.copies = PoolCopies(api, now, rng, leads=leads, on_change=on_change)
        """Makes the copies for pools."""
        self._members = KubernetesTarget(
            api,
            now,
            rng,
            running=lambda member: running(service_of(member)),
            undrained=lambda member, pods: undrained(service_of(member), pods),
            count=lambda member: count(service_of(member)),
            leads=leads,
            hold_s=hold_s,
            on_foreign_writer=lambda member, why: reports.warn(service_of(member), "ForeignWriter", why),
            on_left=lambda member, why: reports.warn(service_of(member), "TargetLeft", why),
            on_change=lambda member: on_change(service_of(member)),
            on_not_ready=self._pods_not_ready,
        )
        self.services = PooledTarget(self._members, self.copies)
        """The target of services, with and without pools."""

    async def __aenter__(self) -> Self:
        await self._members.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._members.__aexit__(*error)

    def follow(self, entries: Mapping[ServiceName, PolicyEntry], had_pools: Collection[ServiceName]) -> None:
        """Scale what exactly these policies say.

        Args:
            entries: the policies in force.
            had_pools: services whose status shows pools. Copies for pools that their policies no longer have are
                removed.
        """
        policies = {name: entry.policy for name, entry in entries.items()}
        pools = {name: policy.spec.pools for name, policy in policies.items() if policy.spec.pools}
        self.services.set_pools({name: [pool.name for pool in found] for name, found in pools.items()})
        self._members.set_targets(
            {
                member: Target(found.kind, found.name, entry.created_s)
                for entry in entries.values()
                for member, found in scaled_objects(entry.policy).items()
            }
        )
        copies = {name: copies_of(policies[name], had_pools=True) for name in {*pools, *had_pools} & policies.keys()}
        self.copies.set_services({name: found for name, found in copies.items() if found}, policies.keys())

    def load_changed(self, service: ServiceName) -> None:
        """Note that the requests of a service's pods, or the pods that gateways drain, have changed."""
        for member in self.services.members_of(service):
            self._members.load_changed(member)

    def wake(self, service: ServiceName) -> None:
        """Cancel the drains of a service that must be decided on again."""
        for member in self.services.members_of(service):
            self._members.wake(member)

    def _pods_not_ready(self, member: ServiceName, why: NotReady | None) -> None:
        """Report the reason of the most wanted pool that has one."""
        service = service_of(member)
        known = self._not_ready[service]
        if why is None:
            known.pop(member, None)
        elif pool := pool_of(member):
            known[member] = why._replace(message=f"pool {pool}: {why.message}")
        else:
            known[member] = why
        first = next((known[each] for each in self.services.members_of(service) if each in known), None)
        if not known:
            del self._not_ready[service]
        self._reports.not_ready(service, first)
