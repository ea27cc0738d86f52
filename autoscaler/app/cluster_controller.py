"""The controller in a cluster, put together: where policies, pods and counts come from, and who may write.

Both replicas of a controller do all of it all the time, so the one that takes over already has windows and delays. Only
the holder of the Lease writes.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from algorithms.decider import Decider
from autoscaler.app.gateway_config import host_claim
from autoscaler.app.host_permissions import WatchedHostPermissions
from autoscaler.app.policy_files import follow_files
from autoscaler.controller.backfill import HistoryBackfill
from autoscaler.controller.controller import Controller, WakeUps
from autoscaler.controller.failures import DECIDER, Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.services import Origins, PolicyEntry, ServiceRegistry
from autoscaler.host_claims import Claim, HostPermissions, NamespaceHostPermissions, settle
from autoscaler.kubernetes.client import Api, connected
from autoscaler.kubernetes.conditions import last_rescale
from autoscaler.kubernetes.gateways import metrics_address
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.lease import Election, Times
from autoscaler.kubernetes.objects import PODS
from autoscaler.kubernetes.policies import POLICIES, PolicyReader, StoredPolicy
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.store import Change
from autoscaler.policy.host_claims_file import read_grants
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import HistorySource, Recorder, Rescale, ServiceName
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.clock import SystemClock
from autoscaler.runtime.files import FileWatch
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.sources.known_gateways import KnownGateways
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_credentials import PrometheusCredentials
from autoscaler.targets.kubernetes import KubernetesTarget, Target

LEASE = "inflight-controller"
_CHANGES_WITHIN_S = 0.1
_AGAIN_S = 10.0
"""How long after an error that concerns all policies they are looked at again."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """The controller's own settings; none is about a service."""

    own_namespace: str
    """Where the controller runs: of its Lease, and of the gateways."""
    identity: str
    """A name that no other replica of the controller has."""
    namespace: str = ""
    """Policies of this namespace only; empty is all."""
    resources: bool = True
    """Whether policies are read as custom resources."""
    files: tuple[Path, ...] = ()
    """Files with policies."""
    host_claims: Path | None = None
    """The file that says which namespaces may claim which hosts; None is their annotations."""
    prometheus: str | None = None
    prometheus_credentials: Path | None = None
    """What says how Prometheus servers are spoken to that ask who one is."""
    prometheus_servers: tuple[str, ...] = ()
    """What else policies may name."""
    tick_s: float = 2.0
    gateways: tuple[str, ...] = ()
    """Metrics addresses of gateways that are no pods."""
    gateway_label: str = ""
    """Label selector of gateways that are; empty is none."""
    foreign_writer_hold_s: float = 300.0
    tokens: BearerTokens | None = None
    """Shown to the gateways."""
    lease: Times = field(default_factory=Times)


class ClusterController:
    """What runs; made by `cluster_controller`."""

    def __init__(
        self,
        settings: Settings,
        *,
        api: Api,
        registry: ServiceRegistry,
        election: Election,
        streams: StreamSource,
        target: KubernetesTarget,
        reporter: Reporter,
        source: HistorySource,
        known_gateways: KnownGateways,
        now: Callable[[], float],
        failures: Failures,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self.leads = election.leads
        self.services = registry.services
        self._now = now
        self._election = election
        self._streams = streams
        self._known_gateways = known_gateways
        self._target = target
        self._reporter = reporter
        self._failures = failures
        self.backfill = HistoryBackfill(
            registry,
            source,
            now,
            tick_s=settings.tick_s,
            gateways=streams.known,
            rescale_of=self._rescale_of,
            failures=failures,
        )
        self._watch = FileWatch([*settings.files, *([settings.host_claims] if settings.host_claims else [])])
        self._origins = Origins(registry, ("resources", "files"))
        self._in_files: Sequence[ScalingPolicy] = ()
        self._changed = asyncio.Event()
        self._permissions: HostPermissions = NamespaceHostPermissions()
        rng = random.Random()  # noqa: S311 - spreads attempts
        # Policies of files alone are checked as a whole when they are read.
        only = settings.namespace if settings.resources else settings.own_namespace
        self.permissions = WatchedHostPermissions(
            api, rng, namespace=only, file=settings.host_claims, on_change=self._permissions_changed
        )
        self._read = PolicyReader()
        self.policies: Informer[StoredPolicy] = Informer(
            api,
            POLICIES.collection(settings.namespace),
            self._read,
            rng,
            on_change=self._policies_changed,
        )
        self.gateways: Informer[str] = Informer(
            api,
            PODS.collection(settings.own_namespace),
            metrics_address,
            rng,
            selector=settings.gateway_label,
            on_change=lambda _changes: self._gateways_changed(),
        )

    def recheck(self) -> None:
        """Read the files again, whether or not they look the same."""
        self._watch.recheck()

    def unready(self) -> str:
        """Say why this controller cannot do its work yet; empty if it can."""
        if self._settings.resources and not self.policies.synced.is_set():
            return self.policies.problem or "the policies have not been listed yet"
        if unready := self.permissions.unready():
            return unready
        if self._settings.gateway_label and not self.gateways.synced.is_set():
            return self.gateways.problem or "the gateways have not been listed yet"
        # Load of a gateway that is not heard yet would be asked for at a tick only.
        return self._streams.awaited(self._now())

    async def run(self, controller: Controller) -> None:
        """Run all parts until cancelled.

        Raises:
            DocumentError: the files cannot be read at the start.
        """
        self._registry.set_writing(False)
        self._files_changed(self._read_files(self._watch.files))
        self._gateways_changed()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._election.run())
            group.create_task(self._reporter.run(self._target))
            group.create_task(self._follow_policies())
            group.create_task(self.permissions.run())
            if self._settings.resources:
                group.create_task(self.policies.run())
            if self._settings.gateway_label:
                group.create_task(self.gateways.run())
            if self._settings.files:
                group.create_task(follow_files(self._watch, self._read_files, self._files_changed))
            if self._settings.prometheus_credentials:
                group.create_task(self._follow_servers(FileWatch([self._settings.prometheus_credentials])))
            group.create_task(controller.run())
            group.create_task(self._backfill_when_listed(controller))

    async def _backfill_when_listed(self, controller: Controller) -> None:
        """Recall when all policies are there, for one query, and all gateways: series of fewer were a part."""
        if self._settings.resources:
            await self.policies.synced.wait()
        if self._settings.gateway_label:
            await self.gateways.synced.wait()
        await self.backfill.run(controller.is_writing)

    async def _follow_servers(self, watch: FileWatch) -> None:
        """Try each policy again when other servers may be asked; one that names a server no more may not ask it."""
        while True:
            await watch.changed()
            self._files_changed(self._in_files)
            stored = self.policies.store.items()
            self._policies_changed([Change(service, each, each) for service, each in stored.items()])

    def _rescale_of(self, service: ServiceName) -> Rescale | None:
        stored = self.policies.store.get(service)
        return None if stored is None else last_rescale(stored.status)

    def _gateways_changed(self) -> None:
        pods = {key.rpartition("/")[2]: address for key, address in self.gateways.store.items().items() if address}
        self._known_gateways.set(self._settings.gateways, pods)
        self._streams.set_gateways({*self._settings.gateways, *pods.values()})

    def _read_files(self, _files: Sequence[Path]) -> list[ScalingPolicy]:
        return read_policies(self._settings.files, read_grants(self._settings.host_claims))

    def _permissions_changed(self, permissions: HostPermissions) -> None:
        self._permissions = permissions
        self._changed.set()

    def _files_changed(self, policies: Sequence[ScalingPolicy]) -> None:
        self._in_files = policies
        for service, problem in self._origins.set(
            "files", {each.service: PolicyEntry(each) for each in policies}
        ).items():
            _log.error("%s: %s", service, problem)
        self._changed.set()

    def _policies_changed(self, changes: Sequence[Change[StoredPolicy]]) -> None:
        for service, _before, after in changes:
            try:
                self._policy_changed(service, after)
            except Exception as error:  # noqa: BLE001 - one policy's; the others are followed
                self._failures.failed(service, "policy", error)
            else:
                self._failures.works(service, "policy")
        # Our own writes of status come back too, and change nothing that is followed.
        if any(before is None or after is None or before.resource != after.resource for _, before, after in changes):
            self._changed.set()

    def _policy_changed(self, service: ServiceName, after: StoredPolicy | None) -> None:
        if after is None:
            self._origins.put("resources", service, None)
            self._reporter.forget(service)
            self._read.forget(service)
            self._failures.forget(service)
            return
        resource = after.resource
        problem = resource.problem
        # One that has become illegal stays in force as it was; its status says so.
        if resource.policy is not None:
            problem = self._origins.put("resources", service, PolicyEntry(resource.policy, resource.created_s))
        else:
            self._registry.pause(service, resource.annotations)
        self._reporter.keep(service, after, problem)

    async def _follow_policies(self) -> None:
        """Tell the target what there is to scale, and who owns which host; of many changes at once not for each one."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._tell_of_policies()
            except Exception as error:  # noqa: BLE001 - what was known before holds; it is tried again
                _log.error("what is to be scaled could not be taken in: %s", error, exc_info=error)
                self._changed.set()
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_CHANGES_WITHIN_S)

    def _tell_of_policies(self) -> None:
        targets = {name: _target(entry) for name, entry in self._registry.entries.items()}
        self._target.set_targets({name: target for name, target in targets.items() if target is not None})
        if not self.permissions.unready():
            self._reporter.set_host_conflicts(settle(self._claims(), self._permissions).conflicts)

    def _claims(self) -> Iterator[Claim]:
        """Give what policies claim; one that was never legal keeps its hosts from others too, as at the gateway."""
        for entry in self._registry.entries.values():
            yield host_claim(entry.policy, entry.created_s)
        for service, (resource, _) in self.policies.store.items().items():
            if service not in self._registry.entries:
                yield Claim(service, resource.hosts, resource.created_s)


def _logged(log: DecisionLog | None) -> dict[str, Any]:
    """Give what a roster has to tell a decision log."""
    if log is None:
        return {}

    def begin(policy: ScalingPolicy, follows: Decider) -> None:
        log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), follows.export)

    return {"on_policy": begin, "on_gone": log.forget}


def _target(entry: PolicyEntry) -> Target | None:
    reference, namespace = entry.policy.spec.scale_target_ref, entry.policy.metadata.namespace
    if reference is None:
        return None
    return Target(NamespacedKind(namespace, reference.api_version, reference.kind), reference.name, entry.created_s)


@asynccontextmanager
async def cluster_controller(
    settings: Settings, clock: SystemClock, recorders: Sequence[Recorder], log: DecisionLog | None = None
) -> AsyncIterator[tuple[ClusterController, Controller]]:
    """Build everything; whoever enters runs the first with the second. The Lease is given back on leaving.

    Args:
        settings: the controller's own.
        clock: the time of everything.
        recorders: are given every decision.
        log: is given every decision and every policy.

    Raises:
        ApiError: there is no cluster to talk to.
        DocumentError: the credentials file cannot be used.
    """
    rng = random.Random()  # noqa: S311 - spreads attempts
    wake_ups, idle = WakeUps(), IdleServices()
    named = [settings.prometheus] if settings.prometheus else []
    access = PrometheusCredentials(settings.prometheus_credentials, (*named, *settings.prometheus_servers))

    def failing(service: ServiceName, part: str, why: str) -> None:
        reporter.failing(service, part, why)

    failures = Failures(failing)
    registry = ServiceRegistry(
        settings.prometheus,
        backfills=True,
        refusal=access.refusal,
        is_broken=lambda service: failures.is_failing(service, DECIDER),
        **_logged(log),
    )
    async with (
        connected(deadline_s=settings.lease.deadline_s) as api,
        # Connections of its own, so that no burst of writes stands before a renewal.
        connected(deadline_s=settings.lease.deadline_s) as api_of_the_lease,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        StreamSource(session, clock.now, rng, wake_ups.add, on_news=idle.wake, tokens=settings.tokens) as streams,
    ):
        known_gateways = KnownGateways(clock.now)
        is_known = bool(settings.gateways or settings.gateway_label)
        source = PrometheusSource(session, access=access, gateways=known_gateways.names if is_known else lambda: None)
        election = Election(
            api_of_the_lease,
            settings.own_namespace,
            LEASE,
            settings.identity,
            now=clock.now,
            rng=rng,
            on_change=registry.set_writing,
            times=settings.lease,
        )
        reporter = Reporter(api, settings.identity, clock.now, election.leads, failures)

        def target_changed(service: ServiceName) -> None:
            idle.wake(service)
            reporter.changed(service)

        async with KubernetesTarget(
            api,
            clock.now,
            rng,
            running=streams.pods,
            leads=election.leads,
            hold_s=settings.foreign_writer_hold_s,
            on_foreign_writer=reporter.foreign_writer,
            on_change=target_changed,
            on_not_ready=reporter.not_ready,
        ) as target:
            whole = ClusterController(
                settings,
                api=api,
                registry=registry,
                election=election,
                streams=streams,
                target=target,
                reporter=reporter,
                source=source,
                known_gateways=known_gateways,
                now=clock.now,
                failures=failures,
            )
            controller = Controller(
                registry.services,
                clock=clock,
                target=target,
                tick_s=settings.tick_s,
                metered=source,
                queries=registry.queries,
                streams=streams,
                wake_ups=wake_ups,
                idle=idle,
                recorders=[*recorders, reporter.record, *([log] if log else [])],
                on_observations=whole.backfill.saw,
                failures=failures,
                renew=registry.renew,
            )
            if log is not None:
                log.is_writing = controller.is_writing
            try:
                yield whole, controller
            finally:
                await election.release()
