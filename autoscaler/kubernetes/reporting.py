"""Writes status and events of each policy's resource; only the leading controller writes.

Rules:
1. Nothing is written while nothing changes. All changes within a second are one write; a count alone is written rarely.
2. Reporting never delays decisions: it takes records in and writes on its own.
3. A failed write is logged and tried again later.
4. Scaling goes first: while scale requests are under way, statuses and events are written slowly.
5. The first status of a policy shows its first decision, and is written as soon as that is made, because `kubectl get`
   has nothing to show before. If no decision comes soon, the status says so. A start with ten thousand policies thus
   does not begin with ten thousand statuses that say nothing.
6. A count that is unknown for a moment, such as between two rare scrapes, is not reported as a failure.
7. An error with one service's status does not stop the others.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Any, Protocol

from autoscaler.controller.failures import OBSERVATION, Failures
from autoscaler.controller.records import explained
from autoscaler.host_claims import Conflict
from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.events import Event, EventLimit, body
from autoscaler.kubernetes.objects import NotReady, Resource
from autoscaler.kubernetes.policies import POLICIES, StoredPolicy
from autoscaler.kubernetes.policy_status import Facts, contested, host_problem, matters, status, visible
from autoscaler.kubernetes.pool_status import PoolReport
from autoscaler.policy.annotations import without_effect
from autoscaler.policy.pod_ending import PodEnding, drain_problem
from autoscaler.policy.spec import API_VERSION
from autoscaler.ports import Record, ServiceName
from autoscaler.runtime.errors import described

_EVENTS = Resource("events.k8s.io/v1", "events")
_EVERY_S = 1.0
_LATER_S = 15.0
"""The wait before a count alone is written, and before a failed write is tried again."""
_FIRST_S = 15.0
"""How long a status waits for the first decision before it says that there is none."""
_GAP_S = 20.0
"""A count may be unknown this long: with the default maxSampleAge of 15 s the gap between scrapes every 30 s is 15 s
and a tick."""
_GIVES_WAY_S = 1.0
"""The longest time that a few statuses, or an event, wait for scale requests."""
_AT_ONCE = 4
"""Statuses that are written at the same time: few, so that scaling goes first."""
_log = logging.getLogger(__name__)


class Targets(Protocol):
    """The parts of a target that a status shows."""

    def problem(self, service: ServiceName) -> str:
        """Say why a service's target cannot be observed; empty if it can."""

    def ending(self, service: ServiceName) -> PodEnding | None:
        """Say how the pods of a service end; None if that is not known."""

    def own_annotations(self, service: ServiceName) -> tuple[str, ...]:
        """Give the keys of our group that annotate a service's target, where they have no effect."""
        ...

    def shared_problem(self) -> str:
        """Say why many targets cannot be observed; it is not reported for each service."""

    async def quiet(self) -> None:
        """Wait until no scale request is under way."""


class Reporter:
    """Writes status and events of all policies that are custom resources; `run` it.

    Args:
        api: the API server.
        identity: the name of this replica of the controller.
        now: gives the controller's time.
        leads: tells whether we may write.
        failures: records the services whose status cannot be made.
    """

    def __init__(
        self,
        api: Api,
        identity: str,
        now: Callable[[], float],
        leads: Callable[[], bool],
        failures: Failures | None = None,
    ) -> None:
        self._api = api
        self._failures = failures or Failures()
        self._identity = identity
        self._now = now
        self._leads = leads
        self._policies: dict[ServiceName, StoredPolicy] = {}
        self._invalid: dict[ServiceName, str] = {}
        self._conflicts: Mapping[ServiceName, tuple[Conflict, ...]] = {}
        self._records: dict[ServiceName, Record] = {}
        self._changes: dict[ServiceName, tuple[Record, float]] = {}
        """The last record of each service that changed its number, and when it came."""
        self._written: dict[ServiceName, dict[str, Any]] = {}
        self._written_s: dict[ServiceName, float] = {}
        self._counted_s: dict[ServiceName, float] = {}
        """When each count was last known."""
        self._gaps: set[ServiceName] = set()
        """Services whose count is unknown, and was known a moment ago."""
        self._due: dict[ServiceName, float] = {}
        """When to check whether a status has to be written."""
        self._first = asyncio.Event()
        """Set when there is a first decision to report."""
        self._problems: dict[ServiceName, str] = {}
        self._unobservable: dict[ServiceName, str] = {}
        """Why a service cannot be observed, if the cause is not its target."""
        self._led, self._shared_problem = False, ""
        self._to_check: set[ServiceName] = set()
        """Services whose problem may have changed."""
        self._targets: dict[ServiceName, tuple[PodEnding | None, str]] = {}
        """How the pods of services end, and which annotations of their targets have no effect."""
        self._not_ready: dict[ServiceName, NotReady] = {}
        """Why pods of services are not ready."""
        self._pools: dict[ServiceName, PoolReport] = {}
        """The pools of services that have some."""
        self._limits: defaultdict[ServiceName, EventLimit] = defaultdict(EventLimit)
        self._events: asyncio.Queue[tuple[ServiceName, Event]] = asyncio.Queue()

    def keep(self, service: ServiceName, policy: StoredPolicy, problem: str) -> None:
        """Report on this policy from now on; `problem` says why it cannot be in force as it is."""
        before = self._policies.get(service)
        self._policies[service] = policy
        if service in self._written and matters(self._written[service]) == matters(policy.status):
            # The watch has delivered what we wrote.
            del self._written[service]
        if before is not None and before.resource == policy.resource and self._invalid[service] == problem:
            return
        self._invalid[service] = problem
        self._to_check.add(service)
        self._due[service] = self._due_s(service)
        if problem:
            self._emit(service, Event("InvalidPolicy", problem, warning=True))

    def forget(self, service: ServiceName) -> None:
        """Stop reporting on a deleted policy."""
        for known in (
            self._policies,
            self._invalid,
            self._records,
            self._changes,
            self._written,
            self._written_s,
            self._limits,
            self._due,
            self._problems,
            self._targets,
            self._not_ready,
            self._pools,
            self._unobservable,
            self._counted_s,
        ):
            known.pop(service, None)
        self._gaps.discard(service)
        self._to_check.discard(service)

    def record(self, record: Record) -> None:
        """Take in a decision; a policy that is not a resource has no status."""
        if record.service not in self._policies:
            return
        before = self._records.get(record.service)
        self._records[record.service] = record
        self._take_pools(record)
        if record.decision.desired != record.observation.replicas and self._leads():
            self._changes[record.service] = record, self._now()
        if self._begins_or_ends_gap(record) or before is None or visible(before) != visible(record):
            self._due[record.service] = min(self._now(), self._due.get(record.service, inf))
        if before is None:
            self._first.set()
        if why := contested(record):
            self._emit(record.service, Event("ReplicasContested", why, warning=True))
        if record.outcome and record.outcome.error:
            self._emit(record.service, Event("FailedUpdateScale", record.outcome.error, warning=True))
        elif record.written is not None:
            self._emit(record.service, Event("SuccessfulRescale", explained(record)))

    def _take_pools(self, record: Record) -> None:
        service, states = record.service, record.observation.pools
        if not states:
            self._pools.pop(service, None)
            return
        if service not in self._pools:
            self._pools[service] = PoolReport(self._policies[service].status.get("pools") or ())
        for event in self._pools[service].take(states, self._now()):
            self._emit(service, event)

    def _begins_or_ends_gap(self, record: Record) -> bool:
        if record.observation.inflight is not None:
            self._counted_s[record.service] = self._now()
        was = record.service in self._gaps
        is_gap = (
            record.observation.inflight is None and self._now() - self._counted_s.get(record.service, -inf) <= _GAP_S
        )
        (self._gaps.add if is_gap else self._gaps.discard)(record.service)
        return is_gap != was

    def set_host_conflicts(self, conflicts: Mapping[ServiceName, tuple[Conflict, ...]]) -> None:
        """Take in which policies cannot have hosts that they claim; all other policies can."""
        before, self._conflicts = self._conflicts, conflicts
        for service in before.keys() | conflicts.keys():
            found = conflicts.get(service, ())
            if found == before.get(service, ()) or service not in self._policies:
                continue
            self._due[service] = min(self._due_s(service), self._due.get(service, inf))
            if found:
                self._emit(service, Event(*host_problem(found), warning=True))

    def failing(self, service: ServiceName, part: str, why: str) -> None:
        """Take in that a part of a service fails, or works again if `why` is empty."""
        if part != OBSERVATION:
            if why:
                self._emit(service, Event(f"{part.capitalize()}Failed", why, warning=True))
            return
        if why and service in self._policies:
            self._unobservable[service] = f"it cannot be observed: {why}"
        else:
            self._unobservable.pop(service, None)
        self.changed(service)

    def warn(self, service: ServiceName, reason: str, message: str) -> None:
        """Take in what people should know of a service: an event, and nothing in its status."""
        self._emit(service, Event(reason, message, warning=True))

    def not_ready(self, service: ServiceName, why: NotReady | None) -> None:
        """Take in why pods of a service are not ready; None means that nothing keeps them from it any more."""
        if service not in self._policies:
            return
        before = self._not_ready.pop(service, None)
        if why is not None:
            self._not_ready[service] = why
            # The message names a pod and numbers, which change more often than the reason.
            if before is None or before.reason != why.reason:
                self._emit(service, Event(why.reason, why.message, warning=True))
        self._due[service] = min(self._now(), self._due.get(service, inf))

    def changed(self, service: ServiceName) -> None:
        """Take in that a service's target has changed."""
        self._to_check.add(service)

    async def run(self, targets: Targets) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._post_events(targets))
            group.create_task(self._write_statuses(targets))

    def _emit(self, service: ServiceName, event: Event) -> None:
        if service in self._policies and self._leads() and self._limits[service].allows(event, self._now()):
            self._events.put_nowait((service, event))

    async def _post_events(self, targets: Targets) -> None:
        while True:
            service, event = await self._events.get()
            await _give_way(targets)
            policy = self._policies.get(service)
            if policy is None:
                continue
            try:
                await self._post(service, event, policy.resource.uid)
            except ApiError as error:
                _log.warning("event %s of %s not written: %s", event.reason, service, error)
            except Exception as error:  # noqa: BLE001 - one service's event; the others are posted
                self._failures.failed(service, "event", error)

    async def _post(self, service: ServiceName, event: Event, uid: str) -> None:
        namespace, _, name = service.partition("/")
        regarding = {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "namespace": namespace, "name": name}
        posted = body(event, {**regarding, "uid": uid}, self._identity, self._now())
        await self._api.create(_EVENTS.collection(namespace), posted)

    async def _write_statuses(self, targets: Targets) -> None:
        while True:
            await self._next_turn()
            self._check_targets(targets)
            due = [service for service, due_s in self._due.items() if due_s <= self._now()]
            for start in range(0, len(due), _AT_ONCE):
                await _give_way(targets)
                await asyncio.gather(*map(self._write_if_due, due[start : start + _AT_ONCE]))

    async def _next_turn(self) -> None:
        """Wait a second, or until there is a first decision to report."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_S):
                await self._first.wait()
        self._first.clear()

    async def _write_if_due(self, service: ServiceName) -> None:
        if self._due.pop(service, None) is None or service not in self._policies or not self._leads():
            return
        try:
            await self._write_status(service, self._policies[service])
        except Exception as error:  # noqa: BLE001 - one service's status; the others are written
            self._failures.failed(service, "status", error)
            self._due[service] = self._now() + _LATER_S
        else:
            self._failures.works(service, "status")

    def _check_targets(self, targets: Targets) -> None:
        """Check what no record shows: targets that cannot be observed, and whether we have started to lead."""
        was, self._shared_problem = self._shared_problem, targets.shared_problem()
        begins, self._led = self._leads() and not self._led, self._leads()
        if begins:
            # Another replica may have written since we last led.
            self._written.clear()
        all_of_them = begins or was != self._shared_problem
        to_check = self._policies.keys() if all_of_them else self._to_check & self._policies.keys()
        self._to_check = set()
        for service in to_check:
            problem = self._unobservable.get(service) or self._problem_of(service, targets)
            before, self._problems[service] = self._problems.get(service, ""), problem
            known = self._targets.get(service, (None, ""))
            ending, annotated = targets.ending(service), without_effect(targets.own_annotations(service))
            self._targets[service] = ending, annotated
            if begins or problem != before or known != self._targets[service]:
                self._due[service] = min(self._due_s(service), self._due.get(service, inf))
            if problem and problem != before and not self._is_shared(problem):
                self._emit(service, Event("FailedGetScale", problem, warning=True))
            if annotated and annotated != known[1]:
                self._emit(service, Event("AnnotationIgnored", annotated, warning=True))

    def _problem_of(self, service: ServiceName, targets: Targets) -> str:
        try:
            return targets.problem(service)
        except Exception as error:  # noqa: BLE001 - one service's; the others are reported
            self._failures.failed(service, OBSERVATION, error)
            return f"it cannot be observed: {described(error)}"

    def _due_s(self, service: ServiceName) -> float:
        """Give when a status is due: now, or later if a first decision may come soon."""
        own = self._problems.get(service, "")
        unobserved = own and not self._is_shared(own)
        problem = self._invalid.get(service) or service in self._conflicts or unobserved
        return self._now() if problem or service in self._records else self._now() + _FIRST_S

    def _is_shared(self, problem: str) -> bool:
        """Tell whether a problem is shared by many services, as during a start."""
        return problem in self._shared_problem

    async def _write_status(self, service: ServiceName, policy: StoredPolicy) -> None:
        before, now_s = self._written.get(service) or policy.status, self._now()
        self._due_when_bounds_change(service, policy, now_s)
        made = status(self._facts(service, policy, now_s), before, now_s)
        if matters(made) == matters(before):
            return
        later_s = self._written_s.get(service, -inf) + _LATER_S
        if now_s < later_s and matters(made, counts=False) == matters(before, counts=False):
            self._due[service] = later_s
            return
        self._written_s[service] = now_s
        # The watch may deliver it before the response arrives.
        self._written[service] = made
        namespace, _, name = service.partition("/")
        try:
            await self._api.patch(f"{POLICIES.collection(namespace)}/{name}/status", {"status": made})
        except ApiError as error:
            _log.warning("status of %s not written: %s", service, error)
            self._written.pop(service, None)
            self._due[service] = now_s + _LATER_S

    def _due_when_bounds_change(self, service: ServiceName, policy: StoredPolicy, now_s: float) -> None:
        if policy.resource.policy is not None and policy.resource.policy.spec.schedule:
            self._due[service] = policy.resource.policy.spec.bounds_over_time(0)(now_s).until_s

    def _facts(self, service: ServiceName, policy: StoredPolicy, now_s: float) -> Facts:
        resource, (ending, annotated) = policy.resource, self._targets.get(service, (None, ""))
        return Facts(
            generation=resource.generation,
            invalid=self._invalid.get(service, ""),
            conflicts=self._conflicts.get(service, ()),
            problem=self._problems.get(service, ""),
            dry_run=resource.policy is not None and resource.policy.spec.mode == "DryRun",
            record=self._records.get(service),
            changed=self._changes.get(service),
            not_ready=self._not_ready.get(service),
            annotated=annotated,
            cuts=drain_problem(ending, resource.policy) if ending and resource.policy else None,
            is_gap=service in self._gaps,
            pools=self._pools.get(service),
            bounds=None if resource.policy is None else resource.policy.spec.replica_range(now_s),
        )


async def _give_way(targets: Targets) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_GIVES_WAY_S):
            await targets.quiet()
