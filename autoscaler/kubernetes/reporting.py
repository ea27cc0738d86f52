"""Tells on each policy's resource what becomes of it: status and events, by the controller that leads.

Rules:
1. Nothing is written while nothing changes. Changes of a second are one write; a count alone is written rarely.
2. Reporting never holds up deciding: it takes records in, and writes on its own.
3. What cannot be written is said in the log, and written with the next change.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.conditions import Facts, matters, status
from autoscaler.kubernetes.events import Event, EventLimit, body
from autoscaler.kubernetes.objects import Resource
from autoscaler.kubernetes.policies import POLICIES, Stored
from autoscaler.policy import API_VERSION
from autoscaler.ports import Record, ServiceName
from autoscaler.records import explained

_EVENTS = Resource("events.k8s.io/v1", "events")
_EVERY_S = 1.0
_COUNTS_EVERY_S = 15.0
_log = logging.getLogger(__name__)


class Reporter:
    """Writes status and events of all policies that are custom resources; `run` it.

    Args:
        api: whom to tell.
        identity: which controller we are.
        now: gives the controller's time.
        leads: tells whether we may write.
    """

    def __init__(self, api: Api, identity: str, now: Callable[[], float], leads: Callable[[], bool]) -> None:
        self._api = api
        self._identity = identity
        self._now = now
        self._leads = leads
        self._stored: Mapping[str, Stored] = {}
        self._invalid: Mapping[ServiceName, str] = {}
        self._records: dict[ServiceName, Record] = {}
        self._written: dict[ServiceName, dict[str, Any]] = {}
        self._written_s: dict[ServiceName, float] = {}
        self._limits: defaultdict[ServiceName, EventLimit] = defaultdict(EventLimit)
        self._events: asyncio.Queue[tuple[ServiceName, Event]] = asyncio.Queue()

    def set_policies(self, policies: Mapping[str, Stored], invalid: Mapping[ServiceName, str]) -> None:
        """Report on exactly these from now on, some of which cannot be followed."""
        self._stored, self._invalid = policies, invalid
        for gone in self._written.keys() - policies.keys():
            del self._written[gone]
        for service, policy in policies.items():
            if problem := policy.resource.problem or invalid.get(service, ""):
                self._tell(service, Event("InvalidPolicy", problem, warning=True))

    def record(self, record: Record) -> None:
        """Take a decision in."""
        self._records[record.service] = record
        if record.outcome is None:
            return
        if record.outcome.error:
            self._tell(record.service, Event("FailedUpdateScale", record.outcome.error, warning=True))
        else:
            self._tell(record.service, Event("SuccessfulRescale", explained(record)))

    def rival(self, service: ServiceName, what: str) -> None:
        """Take in that another writer has shown."""
        self._tell(service, Event("ForeignWriter", what, warning=True))

    async def run(self, problem_of: Callable[[ServiceName], str]) -> None:
        """Write until cancelled; `problem_of` says why a service's target cannot be observed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._post_events())
            group.create_task(self._write_statuses(problem_of))

    def _tell(self, service: ServiceName, event: Event) -> None:
        if service in self._stored and self._leads() and self._limits[service].allows(event, self._now()):
            self._events.put_nowait((service, event))

    async def _post_events(self) -> None:
        while True:
            service, event = await self._events.get()
            stored = self._stored.get(service)
            if stored is None:
                continue
            namespace, _, name = service.partition("/")
            regarding = {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "namespace": namespace, "name": name}
            regarding["uid"] = stored.resource.uid
            try:
                posted = body(event, regarding, self._identity, self._now())
                await self._api.create(_EVENTS.collection(namespace), posted)
            except ApiError as error:
                _log.warning("event %s of %s not written: %s", event.reason, service, error)

    async def _write_statuses(self, problem_of: Callable[[ServiceName], str]) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            for service, stored in list(self._stored.items()) if self._leads() else ():
                await self._write_status(service, stored, problem_of(service))

    async def _write_status(self, service: ServiceName, stored: Stored, problem: str) -> None:
        before, now_s = self._written.get(service) or stored.status, self._now()
        made = status(self._facts(service, stored, problem), before, now_s)
        counts = now_s - self._written_s.get(service, float("-inf")) >= _COUNTS_EVERY_S
        if matters(made, counts=counts) == matters(before, counts=counts):
            return
        self._written_s[service] = now_s
        namespace, _, name = service.partition("/")
        try:
            await self._api.patch(f"{POLICIES.collection(namespace)}/{name}/status", {"status": made})
        except ApiError as error:
            _log.warning("status of %s not written: %s", service, error)
        else:
            self._written[service] = made

    def _facts(self, service: ServiceName, stored: Stored, problem: str) -> Facts:
        resource = stored.resource
        return Facts(
            generation=resource.generation,
            invalid=resource.problem or self._invalid.get(service, ""),
            problem=problem,
            dry_run=resource.policy is not None and resource.policy.spec.mode == "DryRun",
            record=self._records.get(service),
        )
