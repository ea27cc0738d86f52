"""The gateway in a cluster, put together: services are the policies with `traffic`, pods those of their targets."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from autoscaler.app import gateway_services
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.proxy import Gateway
from autoscaler.kubernetes.backends import BackendWatch, Backing
from autoscaler.kubernetes.client import Api, connected
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.policies import POLICIES, Stored, stored
from autoscaler.kubernetes.scales import Kind
from autoscaler.kubernetes.store import Change
from autoscaler.policy import ScalingPolicy
from autoscaler.ports import ServiceName


class ClusterServices:
    """Follows the policies of a cluster for a gateway; made by `cluster_services`."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._rng = random.Random()  # noqa: S311 - spreads attempts
        self._policies: dict[ServiceName, ScalingPolicy] = {}
        self._changed = asyncio.Event()
        self.informer: Informer[Stored] = Informer(
            api, POLICIES.collection(namespace), stored, self._rng, on_change=self._take
        )

    def load(self) -> Mapping[str, GatewayService]:
        """Give the services as they are now."""
        return gateway_services(self._policies.values())

    async def follow(self, gateway: Gateway) -> None:
        """Keep a gateway at the services and pods of the cluster, for ever."""
        async with BackendWatch(self._api, self._rng, gateway) as watch:
            while True:
                self._changed.clear()
                gateway.reload(self.load())
                watch.set_services(self._backings())
                await self._changed.wait()

    def _take(self, changes: Sequence[Change[Stored]]) -> None:
        for service, before, after in changes:
            if after is None:
                self._policies.pop(service, None)
            elif before is not None and before.resource == after.resource:
                # The controller has written a status.
                continue
            elif after.resource.policy is not None:
                # One that has become illegal stays in force as it was; the controller says so in its status.
                self._policies[service] = after.resource.policy
            self._changed.set()

    def _backings(self) -> dict[ServiceName, Backing]:
        found = ((name, _backing(policy)) for name, policy in self._policies.items())
        return {name: backing for name, backing in found if backing is not None}


def _backing(policy: ScalingPolicy) -> Backing | None:
    reference, traffic = policy.spec.scale_target_ref, policy.spec.traffic
    if reference is None or traffic is None:
        return None
    kind = Kind(policy.metadata.namespace, reference.api_version, reference.kind)
    return Backing(kind, reference.name, traffic.port)


@asynccontextmanager
async def cluster_services(namespace: str) -> AsyncIterator[ClusterServices]:
    """Connect, and give the services when all policies have been read once.

    Args:
        namespace: where policies are read; empty is all.

    Raises:
        ApiError: there is no cluster to talk to.
    """
    async with connected() as api, asyncio.TaskGroup() as group:
        services = ClusterServices(api, namespace)
        task = group.create_task(services.informer.run())
        try:
            await services.informer.synced.wait()
            yield services
        finally:
            task.cancel()
