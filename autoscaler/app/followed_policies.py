"""The policies that the controller follows: from custom resources and files to the registry, the target and the status.

Rules:
1. A policy that becomes invalid stays in force as it was; its status says so.
2. A policy that was never valid keeps its hosts from others, as at the gateway.
3. An error with one policy does not stop the others from being followed.
"""

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence

from autoscaler.app.cluster_target import ClusterTarget
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.gateway_config import host_claim
from autoscaler.app.host_permissions import WatchedHostPermissions
from autoscaler.app.policy_files import follow_files
from autoscaler.controller.failures import Failures
from autoscaler.controller.services import Origins, PolicyEntry, ServiceRegistry
from autoscaler.host_claims import Claim, HostPermissions, NamespaceHostPermissions, settle
from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.policies import POLICIES, PolicyReader, StoredPolicy
from autoscaler.kubernetes.policy_status import last_rescale
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.kubernetes.store import Change
from autoscaler.policy.host_claims_file import read_grants
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Rescale, ServiceName
from autoscaler.runtime.files import FileWatch

_CHANGES_WITHIN_S = 0.1
"""Changes within this time are applied together."""
_AGAIN_S = 10.0
"""The wait after an error that concerns all policies."""
_log = logging.getLogger(__name__)


class FollowedPolicies:
    """The policies of resources and files; `load_files` first, then `run` it.

    Args:
        settings: the controller's own.
        api: the API server.
        registry: the services to decide on.
        target: what they scale.
        reporter: writes their status.
        failures: records the services whose policy cannot be followed.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        *,
        api: Api,
        registry: ServiceRegistry,
        target: ClusterTarget,
        reporter: Reporter,
        failures: Failures,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._target = target
        self._reporter = reporter
        self._failures = failures
        self._watch = FileWatch([*settings.files, *([settings.host_claims] if settings.host_claims else [])])
        self._origins = Origins(registry, ("resources", "files"))
        self._in_files: Sequence[ScalingPolicy] = ()
        self._changed = asyncio.Event()
        self._permissions: HostPermissions = NamespaceHostPermissions()
        rng = random.Random()  # noqa: S311 - spreads attempts
        # Policies of files alone are checked as a whole when they are read.
        only = settings.namespace if settings.resources else settings.own_namespace
        self._watched_permissions = WatchedHostPermissions(
            api, rng, namespace=only, file=settings.host_claims, on_change=self._permissions_changed
        )
        self._read = PolicyReader()
        self.resources: Informer[StoredPolicy] = Informer(
            api, POLICIES.collection(settings.namespace), self._read, rng, on_change=self._resources_changed
        )

    def recheck(self) -> None:
        """Read the files again, even if they look unchanged."""
        self._watch.recheck()

    def unready(self) -> str:
        """Say why the policies are not known yet; empty if they are."""
        if self._settings.resources and not self.resources.synced.is_set():
            return self.resources.problem or "the policies have not been listed yet"
        return self._watched_permissions.unready()

    def last_rescale(self, service: ServiceName) -> Rescale | None:
        """Give the last change of a service's replicas, from the status of its policy."""
        stored = self.resources.store.get(service)
        return None if stored is None else last_rescale(stored.status)

    def load_files(self) -> None:
        """Read the files for the first time; raises DocumentError."""
        self._files_changed(self._read_files(self._watch.files))

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._apply_changes())
            group.create_task(self._watched_permissions.run())
            if self._settings.resources:
                group.create_task(self.resources.run())
            if self._settings.files:
                group.create_task(follow_files(self._watch, self._read_files, self._files_changed))
            if self._settings.prometheus_credentials:
                group.create_task(self._follow_servers(FileWatch([self._settings.prometheus_credentials])))

    async def _follow_servers(self, watch: FileWatch) -> None:
        """Check each policy again when the allowed servers change: one may name a server that is no longer allowed."""
        while True:
            await watch.changed()
            self._files_changed(self._in_files)
            stored = self.resources.store.items()
            self._resources_changed([Change(service, each, each) for service, each in stored.items()])

    def _read_files(self, _files: object) -> list[ScalingPolicy]:
        return read_policies(self._settings.files, read_grants(self._settings.host_claims))

    def _permissions_changed(self, permissions: HostPermissions) -> None:
        self._permissions = permissions
        self._changed.set()

    def _files_changed(self, policies: Sequence[ScalingPolicy]) -> None:
        self._in_files = policies
        entries = {each.service: PolicyEntry(each) for each in policies}
        for service, problem in self._origins.set("files", entries).items():
            _log.error("%s: %s", service, problem)
        self._changed.set()

    def _resources_changed(self, changes: Sequence[Change[StoredPolicy]]) -> None:
        for service, _before, after in changes:
            try:
                self._resource_changed(service, after)
            except Exception as error:  # noqa: BLE001 - one policy's; the others are followed
                self._failures.failed(service, "policy", error)
            else:
                self._failures.works(service, "policy")
        # The watch also delivers our own status writes, which change nothing here.
        if any(before is None or after is None or before.resource != after.resource for _, before, after in changes):
            self._changed.set()

    def _resource_changed(self, service: ServiceName, after: StoredPolicy | None) -> None:
        if after is None:
            self._origins.put("resources", service, None)
            self._reporter.forget(service)
            self._read.forget(service)
            self._failures.forget(service)
            return
        resource = after.resource
        problem = resource.problem
        if resource.policy is not None:
            problem = self._origins.put("resources", service, PolicyEntry(resource.policy, resource.created_s))
        else:
            self._registry.pause(service, resource.annotations)
        self._reporter.keep(service, after, problem)

    async def _apply_changes(self) -> None:
        """Keep the target's services and the owners of hosts up to date; many changes at once are applied together."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._apply()
            except Exception as error:  # noqa: BLE001 - the last known state stays, and it is tried again
                _log.error("changed policies could not be applied: %s", error, exc_info=error)
                self._changed.set()
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_CHANGES_WITHIN_S)

    def _apply(self) -> None:
        had_pools = {name for name, (_, status) in self.resources.store.items().items() if status.get("pools")}
        self._target.follow(self._registry.entries, had_pools)
        if not self._watched_permissions.unready():
            self._reporter.set_host_conflicts(settle(self._claims(), self._permissions).conflicts)

    def _claims(self) -> Iterator[Claim]:
        for entry in self._registry.entries.values():
            yield host_claim(entry.policy, entry.created_s)
        for service, (resource, _) in self.resources.store.items().items():
            if service not in self._registry.entries:
                yield Claim(service, resource.hosts, resource.created_s)
