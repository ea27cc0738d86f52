"""Replicas of anything with a scale subresource in Kubernetes.

Observing reads from watches and sends no request. A write names the resource version that was read last. If that is
stale, the scale is read again: the same number means that only the status changed, another number means another writer.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Self

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import NotReady, Pod, Scale
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.workloads import Workload, Workloads, any_of, numbers_its_pods
from autoscaler.policy.pod_ending import PodEnding
from autoscaler.pool_members import pool_of
from autoscaler.ports import Fleet, Outcome, Override, PodCounts, ScaleRequest, ServiceName
from autoscaler.targets.activity import Activity
from autoscaler.targets.kubernetes_drain import Drain
from autoscaler.targets.kubernetes_foreign_writers import find_other_autoscaler
from autoscaler.targets.kubernetes_marks import PodMarks
from autoscaler.targets.kubernetes_not_ready import not_ready
from autoscaler.targets.kubernetes_ownership import Ownership
from autoscaler.targets.kubernetes_unplaced import observed_fleet

_log = logging.getLogger(__name__)
_AT_ONCE = 16
"""Requests carried out at the same time. More would only queue in the API server while their deadlines run. A server
that writes four a second still answers all of them in time."""
_ATTEMPTS = 5
"""How often a write is repeated because a status write came between our read and our write."""


class Target(NamedTuple):
    """What one service scales."""

    kind: NamespacedKind
    name: str
    created_s: float
    """When its policy was created: of two policies for one target the older one acts."""

    @property
    def workload(self) -> Workload:
        """The object that is scaled."""
        return Workload(self.kind, self.name)

    def __str__(self) -> str:
        return str(self.workload)


@dataclass(slots=True)
class _Service:
    target: Target
    ownership: Ownership
    scale: Scale | None = None
    """As it was last read; `ownership` knows which of its numbers is the newest."""
    not_ready: NotReady | None = None
    """Why some of its pods are not ready, as last reported."""
    owner: ServiceName = ""
    """The older service that scales the same target."""
    is_scaling: bool = False
    """A request is being carried out."""
    activity: Activity = field(default_factory=Activity)


class KubernetesTarget:
    """A `ScaleTarget` over the scale subresource; use it as an asynchronous context manager.

    Args:
        api: the API server.
        now: gives the controller's time.
        rng: spreads attempts.
        running: gives the running requests of each pod of a service.
        undrained: says which gateways may still send requests to some of these pods of a service; empty if none does.
        count: gives what asks for the requests of a service's pods, if no gateway knows them.
        leads: tells whether this replica of the controller may write now.
        hold_s: how long nobody else must write before scaling goes on after another writer.
        on_foreign_writer: called with a message when another writer has changed a service's replicas.
        on_left: called with a message when a policy names another target: the old one keeps its replicas.
        on_change: called when a service is new, and when its scale was read, could not be read, or is gone.
        on_not_ready: called as soon as Kubernetes says why fewer pods of a service are ready than were asked for, and
            with None when that is over.
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
        leads: Callable[[], bool] = lambda: True,
        hold_s: float = 300.0,
        on_foreign_writer: Callable[[ServiceName, str], None] = lambda _service, _message: None,
        on_left: Callable[[ServiceName, str], None] = lambda _service, _message: None,
        on_change: Callable[[ServiceName], None] = lambda _service: None,
        on_not_ready: Callable[[ServiceName, NotReady | None], None] = lambda _service, _why: None,
    ) -> None:
        self._api = api
        self._now = now
        self._running = running
        self._undrained = undrained
        self._count = count
        self._leads = leads
        self._hold_s = hold_s
        self._on_foreign_writer = on_foreign_writer
        self._on_left = on_left
        self._on_change = on_change
        self._on_not_ready = on_not_ready
        self._services: dict[ServiceName, _Service] = {}
        self._drains: dict[ServiceName, Drain] = {}
        self._workloads = Workloads(
            api, rng, on_scale=self._scale_read, on_unread=on_change, on_pods=self._pods_changed
        )
        self._tasks = asyncio.TaskGroup()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._marks = PodMarks(api, self._slots)
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        await self._workloads.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._workloads.__aexit__(*error)
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    def set_targets(self, targets: Mapping[ServiceName, Target]) -> None:
        """Observe exactly these; a service that is no longer among them leaves its replicas as they are."""
        before = self._services
        self._services = {
            name: known
            if (known := before.get(name)) and known.target == target
            else _Service(target, Ownership(self._hold_s))
            for name, target in targets.items()
        }
        for name, drain in self._drains.items():
            if self._services.get(name) is not before.get(name):
                drain.cancel()
        by_age = sorted(targets, key=lambda name: (targets[name].created_s, name))
        self._workloads.follow({name: targets[name].workload for name in by_age})
        for name, service in self._services.items():
            oldest = self._workloads.services(service.target.workload)[0]
            service.owner = "" if oldest == name else oldest
        for name, service in self._services.items():
            if (known := before.get(name)) is not service:
                if known is not None:
                    self._report_not_ready(name, known, None)
                    self._report_left(name, known, service)
                self._workloads.repeat(service.target.workload)
                self._on_change(name)

    # Observing.

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service; one whose scale or pods are not known yet is left out. Raises nothing."""
        fleets = {name: self._fleet(name, self._services[name]) for name in services if name in self._services}
        return {name: fleet for name, fleet in fleets.items() if fleet is not None}

    def problem(self, service: ServiceName) -> str:
        """Say why a service's observation is missing or may be stale; empty if all is well, or it is not followed."""
        known = self._services.get(service)
        return "" if known is None else self._workloads.problem(known.target.workload)

    def ending(self, service: ServiceName) -> PodEnding | None:
        """Say how the pods of a service end: as its target says, or else its youngest pod; None if neither is known."""
        known = self._services.get(service)
        if known is None or known.scale is None or not self._workloads.know_pods(known.target.kind):
            return None
        return known.scale.ending or next((pod.ending for pod in reversed(self._staying(known))), None)

    def own_annotations(self, service: ServiceName) -> tuple[str, ...]:
        """Give the keys of our group that annotate the target or its pods, where they have no effect."""
        known = self._services.get(service)
        return () if known is None or known.scale is None else known.scale.own_annotations

    def shared_problem(self) -> str:
        """Say why all services of some kind or namespace cannot be observed; empty if they can."""
        return self._workloads.shared_problem()

    def _fleet(self, name: ServiceName, service: _Service) -> Fleet | None:
        if service.ownership.asked is None or not self._workloads.know_pods(service.target.kind):
            return None
        running, now_s = self._running(name), self._now()
        pods = self._pods(service)
        staying = [pod for pod in pods if not pod.terminating]
        self._remove_stale_marks(service, staying)
        self._report_not_ready(name, service, not_ready(service.ownership.asked, service.scale, staying))
        fleet = observed_fleet(
            service.ownership.asked, service.scale, pods, {pod.name: running.get(pod.name, 0) for pod in staying}, now_s
        )
        fleet = service.activity.noted(fleet, now_s)
        return fleet._replace(override=self._hold(service, now_s), pools=fleet.pools if pool_of(name) else ())

    def _pods(self, service: _Service) -> Sequence[Pod]:
        return () if service.scale is None else self._workloads.pods(service.target.workload, service.scale)

    def _staying(self, service: _Service) -> list[Pod]:
        return [pod for pod in self._pods(service) if not pod.terminating]

    def _report_not_ready(self, name: ServiceName, service: _Service, why: NotReady | None) -> None:
        if why != service.not_ready:
            service.not_ready = why
            self._on_not_ready(name, why)

    def _report_left(self, name: ServiceName, left: _Service, now: _Service) -> None:
        if left.target.workload != now.target.workload:
            asked = "its" if left.ownership.asked is None else f"its {left.ownership.asked}"
            self._on_left(name, f"{left.target} is no longer scaled and keeps {asked} replicas; {now.target} is")

    def _hold(self, service: _Service, now_s: float) -> Override | None:
        if service.owner:
            return Override(
                "secondPolicy", float("inf"), f"{service.target} is scaled by {service.owner}, an older policy"
            )
        return service.ownership.hold(now_s)

    def _scale_read(self, service: ServiceName, scale: Scale | None) -> None:
        try:
            self._take_scale(service, self._services[service], scale)
            self._on_change(service)
        except Exception as error:  # noqa: BLE001 - an error of one service must not stop the others
            _log.exception("%s: its scale could not be taken in: %s", service, error)

    def _take_scale(self, name: ServiceName, service: _Service, scale: Scale | None) -> None:
        service.scale = scale
        if scale is None:
            service.ownership = Ownership(self._hold_s)
            self._report_not_ready(name, service, None)
            return
        if service.ownership.seen(scale, self._now(), leading=self._leads() and not service.owner):
            self._start(self._name_foreign_writer(name, service, scale.replicas))

    async def _name_foreign_writer(self, name: ServiceName, service: _Service, replicas: int) -> None:
        kind = service.target.kind
        found = await find_other_autoscaler(self._api, kind.namespace, kind.kind, service.target.name)
        service.ownership.writer = found or service.ownership.writer or "unknown"
        self._on_foreign_writer(name, f"{service.ownership.writer} has written {replicas} replicas to {service.target}")

    def _remove_stale_marks(self, service: _Service, staying: Sequence[Pod]) -> None:
        """Remove our marks from pods that stay after all: a gateway sends no requests to a marked pod."""
        if service.is_scaling or not self._leads():
            return
        namespace = service.target.kind.namespace
        for work in self._marks.removals(namespace, staying, service.ownership.asked or 0):
            self._start(work)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Run work for one service in the background; its error is logged and stops nothing else."""
        self._tasks.create_task(_logging_errors(work))

    # Scaling.

    async def scale(self, requests: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all requests and give the outcome of each. Raises nothing."""
        self._under_way += len(requests)
        self._quiet.clear()
        try:
            return await asyncio.gather(*map(self._outcome, requests))
        finally:
            self._under_way -= len(requests)
            if not self._under_way:
                self._quiet.set()

    async def quiet(self) -> None:
        """Wait until no request is under way."""
        await self._quiet.wait()

    def load_changed(self, service: ServiceName) -> None:
        """Note that the requests of a service's pods, or the pods that gateways drain, have changed."""
        if drain := self._drains.get(service):
            drain.changed()

    def wake(self, service: ServiceName) -> None:
        """Cancel the drain of a service that must be decided on again."""
        if drain := self._drains.get(service):
            drain.cancel()

    def _pods_changed(self, namespace: str, changes: Sequence[Change[Pod]]) -> None:
        for name, drain in self._drains.items():
            service = self._services.get(name)
            if service and service.target.kind.namespace == namespace and any_of(service.scale, changes):
                drain.changed()

    async def _outcome(self, request: ScaleRequest) -> Outcome:
        try:
            return await self._carry_out(request)
        except ApiError as error:
            return Outcome(request.service, str(error))

    async def _carry_out(self, request: ScaleRequest) -> Outcome:
        service = self._services.get(request.service)
        if service is None:
            return Outcome(request.service, f"{request.service} is no service of this target")
        if request.replicas < 0:
            return Outcome(request.service, f"{request.replicas} replicas are not possible")
        if refusal := self._refusal(request.service, service, request.replicas):
            return Outcome(request.service, refusal)
        asked = service.ownership.asked
        if asked is None or asked == request.replicas:
            return Outcome(request.service)
        service.is_scaling = True
        try:
            if request.replicas < asked:
                return await self._lower(request, service, asked)
            return Outcome(request.service, await self._write(request.service, service, request.replicas))
        finally:
            service.is_scaling = False

    def _refusal(self, name: ServiceName, service: _Service, replicas: int) -> str:
        """Say why this number cannot be written now; empty if it can."""
        asked = service.ownership.asked
        if hold := self._hold(service, self._now()):
            raises = asked is not None and replicas > asked
            if not (hold.yields_to_load and raises):
                return hold.why
        return self.problem(name) if asked is None else ""

    async def _lower(self, request: ScaleRequest, service: _Service, asked: int) -> Outcome:
        """Drain the pods that leave, then write the number."""
        name = request.service
        drain = self._drains[name] = Drain(
            asked,
            request.replicas,
            request.remove,
            observe=lambda: fleet.replicas if (fleet := self._fleet(name, service)) else (),
            mark=partial(self._mark, service),
            undrained=partial(self._undrained, name),
            first_ordinal=service.scale.first_ordinal
            if service.scale and numbers_its_pods(service.target.kind)
            else None,
            count=self._count(name),
        )
        try:
            replicas, reasons = await drain.run()
        finally:
            del self._drains[name]
        if replicas is None or replicas == asked:
            return Outcome(name, drain=reasons)
        return Outcome(name, await self._write(name, service, replicas), reasons)

    async def _write(self, name: ServiceName, service: _Service, replicas: int) -> str:
        """Write a number; gives the error, or an empty text."""
        async with self._slots:
            # Much may have happened while pods were drained and other requests were carried out.
            if self._services.get(name) is not service:
                return f"{service.target} is no longer the target of {name}"
            if refusal := self._refusal(name, service, replicas):
                return refusal
            ownership = service.ownership
            ownership.begin_write(replicas, self._now())
            try:
                return await self._write_until_settled(replicas, service)
            except ApiError as error:
                ownership.end_write(answered=error.is_refusal)
                raise
            finally:
                ownership.end_write()

    async def _write_until_settled(self, replicas: int, service: _Service) -> str:
        """Write, and again if only the status changed in between."""
        ownership, workload = service.ownership, service.target.workload
        for _ in range(_ATTEMPTS):
            if not self._leads():
                return "another controller leads"
            # The watch may deliver another writer's number before our response arrives.
            before = ownership.asked
            try:
                ownership.wrote(await self._workloads.write_scale(workload, replicas, ownership.version))
            except ApiError as error:
                if not error.is_conflict:
                    raise
                await self._workloads.read_scale(workload)
                hold = ownership.hold(self._now())
                if hold and ownership.asked != before:
                    return hold.why
            else:
                return ""
        return f"{service.target} changes faster than it can be written"

    async def _mark(self, service: _Service, pods: Sequence[str]) -> None:
        if self._leads():
            await self._marks.set(service.target.kind.namespace, self._staying(service), pods)


async def _logging_errors(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - logged, whatever it is
        _log.error("background work for one service failed: %s", error, exc_info=error)
