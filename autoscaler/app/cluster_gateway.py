"""The gateway in a cluster: its services are the policies with `traffic`, its backends the pods of their targets."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from autoscaler.app.beside import beside
from autoscaler.app.gateway_config import gateway_services, host_claim
from autoscaler.app.host_permissions import WatchedHostPermissions
from autoscaler.app.policy_files import follow_files
from autoscaler.app.scaled_objects import serving_objects
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.server import GatewayServer
from autoscaler.host_claims import Claim, Conflict, HostGrants, HostPermissions, NamespaceHostPermissions, settle
from autoscaler.kubernetes.backends import BackendWatch, ServiceBackend
from autoscaler.kubernetes.client import Api, connected
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.policies import POLICIES, PolicyReader, StoredPolicy
from autoscaler.kubernetes.store import Change
from autoscaler.policy.host_claims_file import read_grants
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import ServiceName
from autoscaler.runtime.files import FileWatch

_CHANGES_WITHIN_S = 0.1
_log = logging.getLogger(__name__)


class ClusterServices:
    """The current policies, and the pods of a cluster; `cluster_services` and `file_services` build it."""

    def __init__(self, api: Api, rng: random.Random) -> None:
        self._api = api
        self._rng = rng
        self._services: dict[ServiceName, GatewayService] = {}
        self._backings: dict[ServiceName, Mapping[ServiceName, ServiceBackend]] = {}
        """The members of each service."""
        self._claims: dict[ServiceName, Claim] = {}
        self._conflicts: Mapping[ServiceName, tuple[Conflict, ...]] = {}
        self._changed = asyncio.Event()
        self.reserved: Collection[str] = ()
        """Hosts of policies that were never valid, as of the last `load`: no other policy gets their requests."""
        self._permissions: HostPermissions = NamespaceHostPermissions()
        self.recheck: Callable[[], None] | None = None
        """Reads the file again; None for resources."""
        self.read = PolicyReader()
        """Reads custom resources, whose statuses change often and whose policies seldom change."""

    def load(self) -> Mapping[str, GatewayService]:
        """Give the current services, each with the hosts that it owns."""
        ownership = settle(self._claims.values(), self._permissions)
        self._log_new(ownership.conflicts)
        hosts = ownership.hosts()
        self.reserved = {host for host, owner in ownership.owners.items() if owner not in self._services}
        return {name: _with_hosts(service, hosts.get(name, ())) for name, service in self._services.items()}

    def _log_new(self, conflicts: Mapping[ServiceName, tuple[Conflict, ...]]) -> None:
        for service, found in conflicts.items():
            if found != self._conflicts.get(service):
                _log.warning("%s: not routed: %s", service, "; ".join(conflict.why for conflict in found))
        self._conflicts = conflicts

    def set_permissions(self, permissions: HostPermissions) -> None:
        """Set which hosts namespaces may claim."""
        self._permissions = permissions
        self._changed.set()

    async def follow(self, gateway: GatewayServer) -> None:
        """Keep a gateway in step with the services and pods of the cluster, for ever; many changes are one reload."""
        async with BackendWatch(self._api, self._rng, gateway, started_s=gateway.started_s) as watch:
            while True:
                self._changed.clear()
                gateway.reload(self.load(), self.reserved)
                watch.set_services({member: each for some in self._backings.values() for member, each in some.items()})
                await asyncio.sleep(_CHANGES_WITHIN_S)
                await self._changed.wait()

    def set(self, policies: Iterable[ScalingPolicy]) -> None:
        """Follow exactly these policies."""
        self._services, self._backings, self._claims = {}, {}, {}
        for policy in policies:
            self._put(policy, 0.0)
        self._changed.set()

    def take(self, changes: Sequence[Change[StoredPolicy]]) -> None:
        """Take in changes to the custom resources."""
        for service, before, after in changes:
            if before is not None and after is not None and before.resource == after.resource:
                # Only the status has changed.
                continue
            try:
                self._take_one(service, after)
            except Exception as error:  # noqa: BLE001 - one policy's, which stays in force as it was
                _log.error("%s: its policy could not be taken in: %s", service, error, exc_info=error)
            self._changed.set()

    def _take_one(self, service: ServiceName, after: StoredPolicy | None) -> None:
        if after is None:
            self.read.forget(service)
            self._services.pop(service, None)
            self._backings.pop(service, None)
            self._claims.pop(service, None)
        elif after.resource.policy is not None:
            self._put(after.resource.policy, after.resource.created_s)
        else:
            # A policy that became invalid stays in force as it was, and its status says so. One that was never valid
            # keeps its hosts too, so that no host changes its owner while the policy is corrected.
            self._claims.setdefault(service, Claim(service, after.resource.hosts, after.resource.created_s))

    def _put(self, policy: ScalingPolicy, created_s: float) -> None:
        service, built = policy.service, gateway_services([policy])
        self._claims[service] = host_claim(policy, created_s)
        if policy.spec.traffic is None:
            self._services.pop(service, None)
        self._services.update(built)
        self._backings[service] = _backings(policy)


def _with_hosts(service: GatewayService, hosts: tuple[str, ...]) -> GatewayService:
    return service if service.hosts == hosts else replace(service, hosts=hosts)


def _backings(policy: ScalingPolicy) -> dict[ServiceName, ServiceBackend]:
    """Give the objects whose pods serve a service, by its members; none if its policy has no `traffic`."""
    traffic = policy.spec.traffic
    if traffic is None:
        return {}
    return {member: ServiceBackend(*found, traffic.port) for member, found in serving_objects(policy).items()}


def need_pods(policies: Iterable[ScalingPolicy]) -> list[ServiceName]:
    """Give the services whose pods have to be watched; the policies of all others name their backends."""
    return [policy.service for policy in policies if _backings(policy)]


@asynccontextmanager
async def cluster_services(namespace: str, host_claims: Path | None = None) -> AsyncIterator[ClusterServices]:
    """Connect, and give the services of the custom resources when all have been read once.

    Args:
        namespace: the namespace of the policies; empty means all namespaces.
        host_claims: the file that says which namespaces may claim which hosts; None uses their annotations.

    Raises:
        ApiError: the cluster cannot be reached.
        DocumentError: the file is not valid.
    """
    rng = random.Random()  # noqa: S311 - spreads attempts
    async with connected() as api, AsyncExitStack() as stack:
        services = ClusterServices(api, rng)
        permissions = WatchedHostPermissions(
            api, rng, namespace=namespace, file=host_claims, on_change=services.set_permissions
        )
        path = POLICIES.collection(namespace)
        policies: Informer[StoredPolicy] = Informer(api, path, services.read, rng, on_change=services.take)
        for running in (policies.run(), permissions.run()):
            await stack.enter_async_context(beside(running))
        await policies.synced.wait()
        await permissions.known()
        yield services


@asynccontextmanager
async def file_services(file: Path, host_claims: Path | None = None) -> AsyncIterator[ClusterServices]:
    """Connect, and give the services of a file; it and the file of the claims are read again when they change.

    Raises:
        DocumentError: a file is not valid.
        ApiError: the cluster cannot be reached.
    """

    def read(_files: Sequence[Path]) -> tuple[list[ScalingPolicy], HostGrants | None]:
        grants = read_grants(host_claims)
        return read_policies([file], grants), grants

    def take(found: tuple[list[ScalingPolicy], HostGrants | None]) -> None:
        policies, grants = found
        services.set_permissions(grants or NamespaceHostPermissions())
        services.set(policies)

    async with connected() as api:
        services = ClusterServices(api, random.Random())  # noqa: S311 - spreads attempts
        watch = FileWatch([file, *([host_claims] if host_claims else [])])
        services.recheck = watch.recheck
        take(read(watch.files))
        async with beside(follow_files(watch, read, take)):
            yield services
