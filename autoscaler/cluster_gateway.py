"""The gateway in a cluster, put together: services are the policies with `traffic`, pods those of their targets."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from autoscaler.app import gateway_services
from autoscaler.files import FileWatch
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.proxy import Gateway
from autoscaler.kubernetes.backends import BackendWatch, Backing
from autoscaler.kubernetes.client import Api, connected
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.policies import POLICIES, PolicyReader, Stored
from autoscaler.kubernetes.scales import Kind
from autoscaler.kubernetes.store import Change
from autoscaler.policy import ScalingPolicy
from autoscaler.policy_files import follow_files
from autoscaler.ports import ServiceName
from autoscaler.validation import read_policies

_CHANGES_WITHIN_S = 0.1


class ClusterServices:
    """The policies as they are now, and the pods of a cluster; made by `cluster_services` and `file_services`."""

    def __init__(self, api: Api, rng: random.Random) -> None:
        self._api = api
        self._rng = rng
        self._services: dict[ServiceName, GatewayService] = {}
        self._backings: dict[ServiceName, Backing] = {}
        self._changed = asyncio.Event()
        self.read = PolicyReader()
        """Reads custom resources, whose statuses change often and whose policies seldom do."""

    def load(self) -> Mapping[str, GatewayService]:
        """Give the services as they are now."""
        return self._services

    async def follow(self, gateway: Gateway) -> None:
        """Keep a gateway at the services and pods of the cluster, for ever; not for each of many changes."""
        async with BackendWatch(self._api, self._rng, gateway) as watch:
            while True:
                self._changed.clear()
                gateway.reload(self.load())
                watch.set_services(self._backings)
                await asyncio.sleep(_CHANGES_WITHIN_S)
                await self._changed.wait()

    def set(self, policies: Iterable[ScalingPolicy]) -> None:
        """Follow exactly these from now on."""
        self._services, self._backings = {}, {}
        for policy in policies:
            self._put(policy)
        self._changed.set()

    def take(self, changes: Sequence[Change[Stored]]) -> None:
        """Follow what has changed of the custom resources."""
        for service, before, after in changes:
            if after is None:
                self.read.forget(service)
                self._services.pop(service, None)
                self._backings.pop(service, None)
            elif before is not None and before.resource == after.resource:
                # The controller has written a status.
                continue
            elif after.resource.policy is not None:
                # One that has become illegal stays in force as it was; the controller says so in its status.
                self._put(after.resource.policy)
            self._changed.set()

    def _put(self, policy: ScalingPolicy) -> None:
        service, backing = policy.service, _backing(policy)
        if policy.spec.traffic is None:
            self._services.pop(service, None)
        self._services.update(gateway_services([policy]))
        if backing is None:
            self._backings.pop(service, None)
        else:
            self._backings[service] = backing


def _backing(policy: ScalingPolicy) -> Backing | None:
    reference, traffic = policy.spec.scale_target_ref, policy.spec.traffic
    if reference is None or traffic is None:
        return None
    kind = Kind(policy.metadata.namespace, reference.api_version, reference.kind)
    return Backing(kind, reference.name, traffic.port)


def need_pods(policies: Iterable[ScalingPolicy]) -> list[ServiceName]:
    """Name the services whose pods have to be watched; those of all others are in the document."""
    return [policy.service for policy in policies if _backing(policy) is not None]


@asynccontextmanager
async def cluster_services(namespace: str) -> AsyncIterator[ClusterServices]:
    """Connect, and give the services of the custom resources when all have been read once.

    Args:
        namespace: where policies are read; empty is all.

    Raises:
        ApiError: there is no cluster to talk to.
    """
    rng = random.Random()  # noqa: S311 - spreads attempts
    async with connected() as api:
        services = ClusterServices(api, rng)
        path = POLICIES.collection(namespace)
        policies: Informer[Stored] = Informer(api, path, services.read, rng, on_change=services.take)
        async with _beside(policies.run()):
            await policies.synced.wait()
            yield services


@asynccontextmanager
async def file_services(file: Path) -> AsyncIterator[ClusterServices]:
    """Connect, and give the services of a file, which is read again when it changes.

    Raises:
        DocumentError: the file cannot be used.
        ApiError: there is no cluster to talk to.
    """
    async with connected() as api:
        services = ClusterServices(api, random.Random())  # noqa: S311 - spreads attempts
        watch = FileWatch([file])
        services.set(read_policies(watch.files))
        async with _beside(follow_files(watch, services.set)):
            yield services


@asynccontextmanager
async def _beside(running: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run beside the block what has no end; of the two, the error of the one that fails comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(running)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
