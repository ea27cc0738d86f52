"""Tells on each policy's resource what becomes of it: status and events, by the controller that leads.

Rules:
1. Nothing is written while nothing changes. Changes of a second are one write; a count alone is written rarely.
2. Reporting never holds up deciding: it takes records in, and writes on its own.
3. What cannot be written is said in the log, and tried again a while later.
4. Orders go first: while some are under way, what is told of them trickles.
5. The first status of a policy tells of its first decision, and is written as soon as that is taken: `kubectl get` has
   nothing to show before. Only where no decision comes soon it says so: a start of ten thousand is not held up by
   writing of each that nothing is known yet.
6. A count that is unknown for a moment, such as between two scrapes that are far apart, is not told of as a failure.
7. What goes wrong with one service's status keeps no other one from being written.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil, inf
from typing import Any, Protocol

from autoscaler.controller.failures import OBSERVATION, Failures
from autoscaler.controller.records import explained
from autoscaler.controller.step import described
from autoscaler.host_claims import Conflict
from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.conditions import Facts, host_problem, matters, status
from autoscaler.kubernetes.events import Event, EventLimit, body
from autoscaler.kubernetes.objects import Resource, Trouble
from autoscaler.kubernetes.policies import POLICIES, Stored
from autoscaler.policy.spec import API_VERSION
from autoscaler.ports import Record, ServiceName

_EVENTS = Resource("events.k8s.io/v1", "events")
_EVERY_S = 1.0
_LATER_S = 15.0
"""After this a count alone is written, or what could not be."""
_FIRST_S = 15.0
"""How long the first decision on a policy is waited for before its status says that there is none."""
_GAP_S = 20.0
"""A count may be unknown for so long: with the default maxSampleAge of 15 s the gap between scrapes every 30 s is as
long as that, and a tick."""
_GIVES_WAY_S = 1.0
"""The longest time that a few statuses, or an event, wait for orders."""
_AT_ONCE = 4
"""Statuses written at the same time: few, so that scaling comes first."""
_log = logging.getLogger(__name__)


class Targets(Protocol):
    """What is scaled, as far as a status speaks of it."""

    def problem(self, service: ServiceName) -> str:
        """Say why a service's target cannot be observed; empty if it can."""
        ...

    def trouble(self) -> str:
        """Say what keeps many of them from being observed; each problem that changes with it need not be told."""
        ...

    async def quiet(self) -> None:
        """Wait until no order is under way."""
        ...


class Reporter:
    """Writes status and events of all policies that are custom resources; `run` it.

    Args:
        api: whom to tell.
        identity: which controller we are.
        now: gives the controller's time.
        leads: tells whether we may write.
        failures: takes in the services whose status cannot be made.
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
        self._stored: dict[ServiceName, Stored] = {}
        self._invalid: dict[ServiceName, str] = {}
        self._conflicts: Mapping[ServiceName, tuple[Conflict, ...]] = {}
        self._records: dict[ServiceName, Record] = {}
        self._changes: dict[ServiceName, tuple[Record, float]] = {}
        """The last records that changed a number, and when they came."""
        self._written: dict[ServiceName, dict[str, Any]] = {}
        self._written_s: dict[ServiceName, float] = {}
        self._counted_s: dict[ServiceName, float] = {}
        """When a count was last known."""
        self._gaps: set[ServiceName] = set()
        """Services whose count is unknown, and was known a moment ago."""
        self._due: dict[ServiceName, float] = {}
        """When to see whether a status has to be written."""
        self._first = asyncio.Event()
        """Set when there is a first decision to tell of."""
        self._problems: dict[ServiceName, str] = {}
        self._unseen: dict[ServiceName, str] = {}
        """Why a service's target could not be observed, where that is no fault of the target."""
        self._trouble = ""
        self._unsure: set[ServiceName] = set()
        """Services whose problem may have become another one."""
        self._troubles: dict[ServiceName, Trouble] = {}
        """What is in the way of pods."""
        self._led = False
        self._limits: defaultdict[ServiceName, EventLimit] = defaultdict(EventLimit)
        self._events: asyncio.Queue[tuple[ServiceName, Event]] = asyncio.Queue()

    def keep(self, service: ServiceName, policy: Stored, problem: str) -> None:
        """Report on this policy from now on; `problem` is why it cannot be followed as it is."""
        before = self._stored.get(service)
        self._stored[service] = policy
        if service in self._written and matters(self._written[service]) == matters(policy.status):
            # What we wrote has come back, and once is enough.
            del self._written[service]
        if before is not None and before.resource == policy.resource and self._invalid[service] == problem:
            return
        self._invalid[service] = problem
        self._unsure.add(service)
        self._due[service] = self._soon(service)
        if problem:
            self._tell(service, Event("InvalidPolicy", problem, warning=True))

    def forget(self, service: ServiceName) -> None:
        """Report on a policy that is gone no more."""
        for known in (
            self._stored,
            self._invalid,
            self._records,
            self._changes,
            self._written,
            self._written_s,
            self._limits,
            self._due,
            self._problems,
            self._troubles,
            self._unseen,
            self._counted_s,
        ):
            known.pop(service, None)
        self._gaps.discard(service)
        self._unsure.discard(service)

    def record(self, record: Record) -> None:
        """Take a decision in; of a policy that is no resource nothing is told."""
        if record.service not in self._stored:
            return
        before = self._records.get(record.service)
        self._records[record.service] = record
        if record.decision.desired != record.observation.replicas and self._leads():
            self._changes[record.service] = record, self._now()
        if self._begins_or_ends_gap(record) or before is None or _signature(before) != _signature(record):
            self._due[record.service] = min(self._now(), self._due.get(record.service, inf))
        if before is None:
            self._first.set()
        if record.outcome is None:
            return
        if record.outcome.error:
            self._tell(record.service, Event("FailedUpdateScale", record.outcome.error, warning=True))
        else:
            self._tell(record.service, Event("SuccessfulRescale", explained(record)))

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
        """Take in which policies cannot have hosts that they name; all others can."""
        before, self._conflicts = self._conflicts, conflicts
        for service in before.keys() | conflicts.keys():
            found = conflicts.get(service, ())
            if found == before.get(service, ()) or service not in self._stored:
                continue
            self._due[service] = min(self._soon(service), self._due.get(service, inf))
            if found:
                self._tell(service, Event(*host_problem(found), warning=True))

    def failing(self, service: ServiceName, part: str, why: str) -> None:
        """Take in that a part of a service fails, or works again where `why` is empty."""
        if part != OBSERVATION:
            if why:
                self._tell(service, Event(f"{part.capitalize()}Failed", why, warning=True))
            return
        if why and service in self._stored:
            self._unseen[service] = f"it cannot be observed: {why}"
        else:
            self._unseen.pop(service, None)
        self.changed(service)

    def foreign_writer(self, service: ServiceName, what: str) -> None:
        """Take in that another writer has shown."""
        self._tell(service, Event("ForeignWriter", what, warning=True))

    def trouble(self, service: ServiceName, trouble: Trouble | None) -> None:
        """Take in why pods of a service are missing; None is that nothing is in their way any more."""
        if service not in self._stored:
            return
        before = self._troubles.pop(service, None)
        if trouble is not None:
            self._troubles[service] = trouble
            # The message names a pod and numbers, which change more often than what is wrong.
            if before is None or before.reason != trouble.reason:
                self._tell(service, Event(trouble.reason, trouble.message, warning=True))
        self._due[service] = min(self._now(), self._due.get(service, inf))

    def changed(self, service: ServiceName) -> None:
        """Take in that what is known of a service's target has changed."""
        self._unsure.add(service)

    async def run(self, targets: Targets) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._post_events(targets))
            group.create_task(self._write_statuses(targets))

    def _tell(self, service: ServiceName, event: Event) -> None:
        if service in self._stored and self._leads() and self._limits[service].allows(event, self._now()):
            self._events.put_nowait((service, event))

    async def _post_events(self, targets: Targets) -> None:
        while True:
            service, event = await self._events.get()
            await _give_way(targets)
            stored = self._stored.get(service)
            if stored is None:
                continue
            try:
                await self._post(service, event, stored.resource.uid)
            except ApiError as error:
                _log.warning("event %s of %s not written: %s", event.reason, service, error)
            except Exception as error:  # noqa: BLE001 - one service's event; the others are told
                self._failures.failed(service, "event", error)

    async def _post(self, service: ServiceName, event: Event, uid: str) -> None:
        namespace, _, name = service.partition("/")
        regarding = {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "namespace": namespace, "name": name}
        posted = body(event, {**regarding, "uid": uid}, self._identity, self._now())
        await self._api.create(_EVENTS.collection(namespace), posted)

    async def _write_statuses(self, targets: Targets) -> None:
        while True:
            await self._next_turn()
            self._notice(targets)
            due = [service for service, due_s in self._due.items() if due_s <= self._now()]
            for start in range(0, len(due), _AT_ONCE):
                await _give_way(targets)
                await asyncio.gather(*map(self._write_if_due, due[start : start + _AT_ONCE]))

    async def _next_turn(self) -> None:
        """Wait a second, or until there is a first decision to tell of."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_S):
                await self._first.wait()
        self._first.clear()

    async def _write_if_due(self, service: ServiceName) -> None:
        if self._due.pop(service, None) is None or service not in self._stored or not self._leads():
            return
        try:
            await self._write_status(service, self._stored[service])
        except Exception as error:  # noqa: BLE001 - one service's status; the others are written
            self._failures.failed(service, "status", error)
            self._due[service] = self._now() + _LATER_S
        else:
            self._failures.works(service, "status")

    def _notice(self, targets: Targets) -> None:
        """See what no record tells: targets that cannot be observed, and that we have begun to lead."""
        was, self._trouble = self._trouble, targets.trouble()
        begins, self._led = self._leads() and not self._led, self._leads()
        if begins:
            # Since we led last, another one may have written.
            self._written.clear()
        unsure = self._stored.keys() if begins or was != self._trouble else self._unsure & self._stored.keys()
        self._unsure = set()
        for service in unsure:
            problem = self._unseen.get(service) or self._problem_of(service, targets)
            before, self._problems[service] = self._problems.get(service, ""), problem
            if begins or problem != before:
                self._due[service] = min(self._soon(service), self._due.get(service, inf))
            if problem and problem != before and not self._is_shared(problem):
                self._tell(service, Event("FailedGetScale", problem, warning=True))

    def _problem_of(self, service: ServiceName, targets: Targets) -> str:
        try:
            return targets.problem(service)
        except Exception as error:  # noqa: BLE001 - one service's; the others are told
            self._failures.failed(service, OBSERVATION, error)
            return f"it cannot be observed: {described(error)}"

    def _soon(self, service: ServiceName) -> float:
        """Say when a status is due: at once, or a while later where a decision may come any moment."""
        own = self._problems.get(service, "")
        unobserved = own and not self._is_shared(own)
        problem = self._invalid.get(service) or service in self._conflicts or unobserved
        return self._now() if problem or service in self._records else self._now() + _FIRST_S

    def _is_shared(self, problem: str) -> bool:
        """Tell whether a problem is one of many services, which may have come with a start and go with it."""
        return problem in self._trouble

    async def _write_status(self, service: ServiceName, stored: Stored) -> None:
        before, now_s = self._written.get(service) or stored.status, self._now()
        made = status(self._facts(service, stored, self._problems.get(service, "")), before, now_s)
        if matters(made) == matters(before):
            return
        later_s = self._written_s.get(service, -inf) + _LATER_S
        if now_s < later_s and matters(made, counts=False) == matters(before, counts=False):
            self._due[service] = later_s
            return
        self._written_s[service] = now_s
        # It may come back by the watch before the answer does.
        self._written[service] = made
        namespace, _, name = service.partition("/")
        try:
            await self._api.patch(f"{POLICIES.collection(namespace)}/{name}/status", {"status": made})
        except ApiError as error:
            _log.warning("status of %s not written: %s", service, error)
            self._written.pop(service, None)
            self._due[service] = now_s + _LATER_S

    def _facts(self, service: ServiceName, stored: Stored, problem: str) -> Facts:
        resource = stored.resource
        return Facts(
            generation=resource.generation,
            invalid=self._invalid.get(service, ""),
            conflicts=self._conflicts.get(service, ()),
            problem=problem,
            dry_run=resource.policy is not None and resource.policy.spec.mode == "DryRun",
            record=self._records.get(service),
            changed=self._changes.get(service),
            trouble=self._troubles.get(service),
            is_gap=service in self._gaps,
            bounds=None if resource.policy is None else resource.policy.spec.replica_range,
        )


async def _give_way(targets: Targets) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_GIVES_WAY_S):
            await targets.quiet()


def _signature(record: Record) -> tuple[object, ...]:
    """Give what two records must differ in for a status to be made anew; it is looked at with every decision."""
    observation, decision = record.observation, record.decision
    count = None if observation.inflight is None else ceil(max(observation.inflight, observation.latest))
    error = record.outcome.error if record.outcome else ""
    return (
        decision.desired,
        observation.replicas,
        observation.ready,
        count,
        [reason.rule for reason in decision.reasons],
        error,
    )
