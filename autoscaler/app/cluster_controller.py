"""The controller in a cluster: builds its parts and runs them together.

All replicas of the controller do everything all the time, so that the one that takes over already has the history of
its windows and delays. Only the holder of the Lease writes.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp

from algorithms.observation import Observation
from autoscaler.app.cluster_target import ClusterTarget
from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.followed_budgets import FollowedBudgets
from autoscaler.app.followed_policies import FollowedPolicies
from autoscaler.controller.accounting import Accounting
from autoscaler.controller.backfill import HistoryBackfill
from autoscaler.controller.budgets import Budgets
from autoscaler.controller.controller import Controller, OnObservations, WakeUps
from autoscaler.controller.failures import DECIDER, Failures
from autoscaler.controller.idle import IdleServices
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.services import ServiceRegistry
from autoscaler.controller.step import Service
from autoscaler.kubernetes.budgets import BudgetReporter
from autoscaler.kubernetes.client import Api, connected
from autoscaler.kubernetes.gateways import metrics_address
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.lease import Election
from autoscaler.kubernetes.objects import PODS
from autoscaler.kubernetes.reporting import Reporter
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Fleet, PodCounts, Recorder, ServiceName
from autoscaler.runtime.clock import SystemClock, local_midnight_s
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.sources.known_gateways import KnownGateways
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_credentials import PrometheusCredentials
from autoscaler.sources.prometheus_past import PastCounts

LEASE = "inflight-controller"
PAST_STEP_S = 15.0
"""The distance of values of the past that a page shows."""


class ClusterController:
    """The parts that run together; `cluster_controller` builds it."""

    def __init__(
        self,
        settings: ControllerSettings,
        *,
        api: Api,
        registry: ServiceRegistry,
        election: Election,
        streams: StreamSource,
        target: ClusterTarget,
        reporter: Reporter,
        source: PrometheusSource,
        known_gateways: KnownGateways,
        now: Callable[[], float],
        failures: Failures,
        budgets: Budgets,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self.leads = election.leads
        self.gateway_addresses: Collection[str] = ()
        """The metrics addresses of all gateways that are known now."""
        self.services = registry.services
        self._now = now
        self._election = election
        self._source = source
        self._streams = streams
        self._known_gateways = known_gateways
        self._target = target
        self._reporter = reporter
        self.policies = FollowedPolicies(
            settings, api=api, registry=registry, target=target, reporter=reporter, failures=failures
        )
        self.budgets = FollowedBudgets(settings, api=api, budgets=budgets)
        self._budget_reporter = BudgetReporter(
            api, states=lambda: budgets.states, stored=self.budgets.stored, leads=election.leads
        )
        self.backfill = HistoryBackfill(
            registry,
            source,
            now,
            tick_s=settings.tick_s,
            gateways=streams.known,
            rescale_of=self.policies.last_rescale,
            failures=failures,
        )
        self.gateways: Informer[str] = Informer(
            api,
            PODS.collection(settings.own_namespace),
            metrics_address,
            random.Random(),  # noqa: S311 - spreads attempts
            selector=settings.gateway_label,
            on_change=lambda _changes: self._gateways_changed(),
        )

    @property
    def leader(self) -> str | None:
        """Who leads, as far as it is known."""
        return self._election.leader or None

    def policy(self, service: ServiceName) -> ScalingPolicy | None:
        """Give the policy of a service."""
        entry = self._registry.entries.get(service)
        return None if entry is None else entry.policy

    async def past(self, service: ServiceName, since_s: float, until_s: float) -> Sequence[PastCounts] | str:
        """Ask Prometheus for a service between two times; say why there is nothing."""
        query = self._registry.queries.get(service)
        if query is None:
            return "no Prometheus is known"
        return await self._source.past(query.server, service, start_s=since_s, end_s=until_s, step_s=PAST_STEP_S)

    def recheck(self) -> None:
        """Read the files again, even if they look unchanged."""
        self.policies.recheck()
        self.budgets.recheck()

    def unready(self) -> str:
        """Say why this controller is not ready yet; empty if it is."""
        if unready := self.policies.unready():
            return unready
        if self._settings.gateway_label and not self.gateways.synced.is_set():
            return self.gateways.problem or "the gateways have not been listed yet"
        # Without a gateway's stream its load would be seen only at a tick.
        return self._streams.awaited(self._now())

    async def run(self, controller: Controller) -> None:
        """Run all parts until cancelled.

        Raises:
            DocumentError: the files cannot be read at the start.
        """
        self._registry.set_writing(False)
        self.policies.load_files()
        self.budgets.load_files()
        self._gateways_changed()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._election.run())
            group.create_task(self._reporter.run(self._target.services))
            group.create_task(self._target.copies.run())
            group.create_task(self.policies.run())
            group.create_task(self.budgets.run())
            group.create_task(self._budget_reporter.run())
            if self._settings.gateway_label:
                group.create_task(self.gateways.run())
            group.create_task(self._decide_when_budgets_are_known(controller))
            group.create_task(self._backfill_when_listed(controller))

    async def _decide_when_budgets_are_known(self, controller: Controller) -> None:
        await self.budgets.known()
        await controller.run()

    async def _backfill_when_listed(self, controller: Controller) -> None:
        """Backfill once all policies are known, for one query, and all gateways: series of fewer would be a part."""
        if self._settings.resources:
            await self.policies.resources.synced.wait()
        if self._settings.gateway_label:
            await self.gateways.synced.wait()
        await self.backfill.run(controller.is_writing)

    def _gateways_changed(self) -> None:
        pods = {key.rpartition("/")[2]: address for key, address in self.gateways.store.items().items() if address}
        self._known_gateways.set(self._settings.gateways, pods)
        self.gateway_addresses = {*self._settings.gateways, *pods.values()}
        self._streams.set_gateways(self.gateway_addresses)


def _logged(log: DecisionLog | None) -> dict[str, Any]:
    """Give the registry's callbacks that write policies to a decision log."""
    if log is None:
        return {}

    def begin(policy: ScalingPolicy, service: Service) -> None:
        log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), service.export)

    return {"on_policy": begin, "on_gone": log.forget}


def _pod_counts(
    registry: ServiceRegistry, source: PrometheusSource, service: ServiceName
) -> Callable[[], Awaitable[PodCounts]] | None:
    """Give what asks Prometheus for the requests of a service's pods; None if its policy has no query for that."""
    query = registry.pod_query(service)
    return None if query is None else partial(source.pods, query)


def _both(one: OnObservations, other: OnObservations) -> OnObservations:
    def both(observations: Mapping[ServiceName, tuple[Observation, Fleet]]) -> None:
        one(observations)
        other(observations)

    return both


@asynccontextmanager
async def cluster_controller(
    settings: ControllerSettings,
    clock: SystemClock,
    recorders: Sequence[Recorder],
    log: DecisionLog | None = None,
    on_observations: OnObservations = lambda _observations: None,
) -> AsyncIterator[tuple[ClusterController, Controller]]:
    """Build all parts, to run the first with the second; on exit the Lease is released.

    Args:
        settings: the controller's own.
        clock: the clock of all parts.
        recorders: called with every decision.
        log: records every decision and every policy.
        on_observations: called with the observations before they are decided on.

    Raises:
        ApiError: the cluster cannot be reached.
        DocumentError: the credentials file is not valid.
    """
    rng = random.Random()  # noqa: S311 - spreads attempts
    wake_ups, idle = WakeUps(), IdleServices()
    named = [settings.prometheus] if settings.prometheus else []
    credentials = PrometheusCredentials(settings.prometheus_credentials, (*named, *settings.prometheus_servers))

    def failing(service: ServiceName, part: str, why: str) -> None:
        reporter.failing(service, part, why)

    def woken(service: ServiceName) -> None:
        wake_ups.add(service)
        target.wake(service)

    def load_changed(service: ServiceName) -> None:
        idle.wake(service)
        target.load_changed(service)

    failures = Failures(failing)
    registry = ServiceRegistry(
        settings.prometheus,
        backfills=True,
        refusal=credentials.refusal,
        is_broken=lambda service: failures.is_failing(service, DECIDER),
        **_logged(log),
    )
    budgets = Budgets(registry.services, wake_ups.add)
    async with (
        connected(deadline_s=settings.lease.deadline_s) as api,
        # Its own connections, so that a burst of writes does not delay a renewal.
        connected(deadline_s=settings.lease.deadline_s) as lease_api,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        StreamSource(session, clock.now, rng, woken, on_change=load_changed, tokens=settings.tokens) as streams,
    ):
        known_gateways = KnownGateways(clock.now)
        is_known = bool(settings.gateways or settings.gateway_label)
        source = PrometheusSource(
            session, credentials=credentials, gateways=known_gateways.names if is_known else lambda: None
        )
        election = Election(
            lease_api,
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

        async with ClusterTarget(
            api,
            clock.now,
            rng,
            running=streams.pods,
            undrained=streams.undrained,
            count=partial(_pod_counts, registry, source),
            leads=election.leads,
            hold_s=settings.foreign_writer_hold_s,
            reports=reporter,
            on_change=target_changed,
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
                budgets=budgets,
            )

            controller = Controller(
                registry.services,
                clock=clock,
                target=target.services,
                tick_s=settings.tick_s,
                metered=source,
                queries=registry.queries,
                streams=streams,
                wake_ups=wake_ups,
                idle=idle,
                recorders=[*recorders, reporter.record, *([log] if log else [])],
                on_observations=_both(whole.backfill.saw, on_observations),
                failures=failures,
                renew=registry.renew,
                budgets=budgets,
                accounting=Accounting(registry.services, local_midnight_s, tick_s=settings.tick_s),
            )
            if log is not None:
                log.is_writing = controller.is_writing
            try:
                yield whole, controller
            finally:
                await election.release()
