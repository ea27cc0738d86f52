"""Replicas of whatever has a scale subresource in Kubernetes.

What is observed comes from watches and asks nobody. A write names the resource version read last; where that is old,
the scale is read again: the same number means that only the status has moved, another one means another writer.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import PODS, Pod, Scale, Trouble, is_marked
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.kubernetes.workloads import Workload, Workloads
from autoscaler.ports import Fleet, Outcome, Override, Replica, ScaleRequest, ServiceName
from autoscaler.removal_order import replicas_to_remove
from autoscaler.targets.kubernetes_deletion_cost import marks, patch
from autoscaler.targets.kubernetes_foreign_writers import find_other_autoscaler
from autoscaler.targets.kubernetes_ownership import Ownership

_log = logging.getLogger(__name__)
_AT_ONCE = 16
"""Orders carried out at the same time: more would only queue in the API server, and there their deadlines run. A server
that writes four a second still answers all of them in time."""
_ATTEMPTS = 5
"""Times that a status write may come between our reading and our writing."""


class Target(NamedTuple):
    """What one service scales."""

    kind: NamespacedKind
    name: str
    created_s: float
    """When its policy was made: of two policies for one target the older acts."""

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
    """As it was read last; of its numbers, `ownership` knows which is the newest."""
    trouble: Trouble | None = None
    """Why some of its pods are not ready, as it was told last."""
    owner: ServiceName = ""
    """The older service that scales the same target."""
    ordered: bool = False
    """An order is being carried out."""
    unmarking: frozenset[str] = frozenset()
    """Pods from which a mark is being taken."""


class KubernetesTarget:
    """A `ScaleTarget` over the scale subresource; it watches from entering to leaving it as a context manager.

    Args:
        api: whom to ask.
        now: gives the controller's time.
        rng: spreads attempts.
        running: gives the running requests of each pod of a service.
        leads: tells whether this replica of the controller may write now.
        hold_s: how long it must be quiet after another writer.
        on_foreign_writer: is told of another writer, with its name and the number it wrote.
        on_change: is told of a service that is new, or whose scale was read, could not be read, or is gone.
        on_trouble: is told why fewer pods of a service are ready than were asked for, as soon as Kubernetes says it,
            and None when that is over.
    """

    def __init__(
        self,
        api: Api,
        now: Callable[[], float],
        rng: random.Random,
        *,
        running: Callable[[ServiceName], Mapping[str, int]],
        leads: Callable[[], bool] = lambda: True,
        hold_s: float = 300.0,
        on_foreign_writer: Callable[[ServiceName, str], None] = lambda _service, _what: None,
        on_change: Callable[[ServiceName], None] = lambda _service: None,
        on_trouble: Callable[[ServiceName, Trouble | None], None] = lambda _service, _trouble: None,
    ) -> None:
        self._api = api
        self._now = now
        self._running = running
        self._leads = leads
        self._hold_s = hold_s
        self._on_foreign_writer = on_foreign_writer
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._services: dict[ServiceName, _Service] = {}
        self._scaling: dict[Workload, list[ServiceName]] = {}
        """Services by what they scale, the owner first."""
        self._workloads = Workloads(api, rng, on_scale=self._seen, on_unread=self._unread)
        self._tasks = asyncio.TaskGroup()
        self._slots = asyncio.Semaphore(_AT_ONCE)
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
        """Observe exactly these from now on; a service that is gone leaves its replicas as they are."""
        before = self._services
        self._services = {
            name: known
            if (known := before.get(name)) and known.target == target
            else _Service(target, Ownership(self._hold_s))
            for name, target in targets.items()
        }
        self._settle_owners()
        self._workloads.follow(self._scaling)
        for name, service in self._services.items():
            if (known := before.get(name)) is not service:
                if known is not None:
                    self._say_trouble(name, known, None)
                self._workloads.tell(service.target.workload)
                self._on_change(name)

    def _settle_owners(self) -> None:
        self._scaling = {}
        for name in sorted(self._services, key=lambda name: (self._services[name].target.created_s, name)):
            target = self._services[name].target
            sharing = self._scaling.setdefault(target.workload, [])
            self._services[name].owner = sharing[0] if sharing else ""
            sharing.append(name)

    # Observing.

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service; one whose scale or pods are not known yet is left out. Raises nothing."""
        known = {name: self._services[name] for name in services if name in self._services}
        fleets = {name: self._fleet(name, service) for name, service in known.items()}
        return {name: fleet for name, fleet in fleets.items() if fleet is not None}

    def problem(self, service: ServiceName) -> str:
        """Say why a service cannot be observed now, or only by what was last heard; empty if all is well."""
        known = self._services.get(service)
        if known is None:
            return f"{service} is no service of this target"
        return self._workloads.problem(known.target.workload)

    def trouble(self) -> str:
        """Say what keeps all services of some kind or namespace from being observed; empty if nothing does."""
        return self._workloads.trouble()

    def _fleet(self, name: ServiceName, service: _Service) -> Fleet | None:
        if service.ownership.asked is None or not self._workloads.know_pods(service.target.kind):
            return None
        running, now_s = self._running(name), self._now()
        staying = self._staying(service)
        self._keep_unmarked(service, staying)
        self._say_trouble(name, service, trouble(service.ownership.asked, service.scale, staying))
        replicas = (
            Replica(pod.name, pod.ready, running.get(pod.name, 0), max(now_s - pod.created_s, 0.0)) for pod in staying
        )
        return Fleet(service.ownership.asked, tuple(replicas), self._hold(service, now_s))

    def _staying(self, service: _Service) -> list[Pod]:
        if service.scale is None:
            return []
        return [pod for pod in self._workloads.pods(service.target.workload, service.scale) if not pod.leaving]

    def _say_trouble(self, name: ServiceName, service: _Service, found: Trouble | None) -> None:
        if found != service.trouble:
            service.trouble = found
            self._on_trouble(name, found)

    def _hold(self, service: _Service, now_s: float) -> Override | None:
        if service.owner:
            return Override(
                "secondPolicy", float("inf"), f"{service.target} is scaled by {service.owner}, an older policy"
            )
        return service.ownership.hold(now_s)

    def _unread(self, workload: Workload) -> None:
        for service in self._scaling.get(workload, ()):
            self._on_change(service)

    def _seen(self, workload: Workload, scale: Scale | None) -> None:
        for service in self._scaling.get(workload, ()):
            try:
                self._seen_by(service, self._services[service], scale)
                self._on_change(service)
            except Exception as error:  # noqa: BLE001 - one service's
                _log.exception("what was seen of %s could not be taken in: %s", service, error)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Do something for one service beside all else; its error is said, and ends nothing else."""
        self._tasks.create_task(_alone(work))

    def _seen_by(self, name: ServiceName, service: _Service, scale: Scale | None) -> None:
        service.scale = scale
        if scale is None:
            service.ownership = Ownership(self._hold_s)
            self._say_trouble(name, service, None)
            return
        if service.ownership.seen(scale, self._now(), leading=self._leads() and not service.owner):
            self._start(self._name_foreign_writer(name, service, scale.replicas))

    async def _name_foreign_writer(self, name: ServiceName, service: _Service, replicas: int) -> None:
        kind = service.target.kind
        found = await find_other_autoscaler(self._api, kind.namespace, kind.kind, service.target.name)
        service.ownership.writer = found or service.ownership.writer or "unknown"
        self._on_foreign_writer(name, f"{service.ownership.writer} has written {replicas} replicas to {service.target}")

    def _keep_unmarked(self, service: _Service, staying: Sequence[Pod]) -> None:
        """Take our marks from pods that stay after all: a gateway sends a marked one nothing."""
        if service.ordered or len(staying) > (service.ownership.asked or 0) or not self._leads():
            return
        for name in [each.name for each in staying if is_marked(each)]:
            if name not in service.unmarking:
                service.unmarking |= {name}
                self._start(self._unmark(service, name))

    async def _unmark(self, service: _Service, pod: str) -> None:
        try:
            await self._annotate(service, pod, None)
        except ApiError as error:
            _log.warning("the mark of pod %s could not be taken away: %s", pod, error)
        finally:
            service.unmarking -= {pod}

    # Scaling.

    async def scale(self, orders: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all orders; says for each what came of it. Raises nothing."""
        self._under_way += len(orders)
        self._quiet.clear()
        try:
            return [Outcome(*each) for each in await asyncio.gather(*map(self._outcome, orders))]
        finally:
            self._under_way -= len(orders)
            if not self._under_way:
                self._quiet.set()

    async def quiet(self) -> None:
        """Wait until no order is under way."""
        await self._quiet.wait()

    async def _outcome(self, order: ScaleRequest) -> tuple[ServiceName, str]:
        async with self._slots:
            try:
                return order.service, await self._carry_out(order)
            except ApiError as error:
                return order.service, str(error)

    async def _carry_out(self, order: ScaleRequest) -> str:
        """Carry out one order; the answer is what is wrong with it, or empty."""
        service = self._services.get(order.service)
        if service is None:
            return f"{order.service} is no service of this target"
        if order.replicas < 0:
            return f"{order.replicas} replicas cannot be"
        asked = service.ownership.asked
        if hold := self._hold(service, self._now()):
            raises = asked is not None and order.replicas > asked
            if not (hold.yields_to_load and raises):
                return hold.why
        if asked is None:
            return self.problem(order.service)
        if asked == order.replicas:
            return ""
        service.ordered = True
        try:
            if order.replicas < asked:
                await self._mark_leaving(order, service)
            return await self._write(order.replicas, service)
        finally:
            service.ordered = False

    async def _write(self, replicas: int, service: _Service) -> str:
        ownership = service.ownership
        ownership.writes(replicas)
        try:
            return await self._insist(replicas, service)
        except ApiError as error:
            ownership.rests(answered=error.is_refusal)
            raise
        finally:
            ownership.rests()

    async def _insist(self, replicas: int, service: _Service) -> str:
        """Write, and again where only the status has moved meanwhile."""
        ownership, workload = service.ownership, service.target.workload
        watch = self._workloads.scale(workload)
        for _ in range(_ATTEMPTS):
            if not self._leads():
                return "another controller leads"
            # Another writer's number may be heard of before the answer comes.
            before = ownership.asked
            try:
                ownership.wrote(await watch.write(workload.name, replicas, ownership.version))
            except ApiError as error:
                if not error.is_conflict:
                    raise
                self._seen(workload, await watch.read(workload.name))
                hold = ownership.hold(self._now())
                if hold and ownership.asked != before:
                    return hold.why
            else:
                return ""
        return f"{service.target} changes faster than it can be written"

    async def _mark_leaving(self, order: ScaleRequest, service: _Service) -> None:
        """Tell Kubernetes which pods should go; a StatefulSet takes its last ones whatever is said."""
        if service.target.kind.kind == "StatefulSet":
            return
        fleet = self._fleet(order.service, service)
        costs = marks(
            self._staying(service), replicas_to_remove(fleet.replicas, order.replicas, order.remove) if fleet else ()
        )
        await asyncio.gather(*(self._annotate(service, name, cost) for name, cost in costs.items()))

    async def _annotate(self, service: _Service, pod: str, cost: str | None) -> None:
        try:
            await self._api.patch(f"{PODS.collection(service.target.kind.namespace)}/{pod}", patch(cost))
        except ApiError as error:
            # One that is gone has gone first, as it should.
            if not error.is_not_found:
                raise


def trouble(asked: int, scale: Scale | None, staying: Sequence[Pod]) -> Trouble | None:
    """Say why fewer pods are ready than asked for, in Kubernetes' own words; None where it says nothing.

    Args:
        asked: how many should be.
        scale: of what they belong to; it says why pods are not made.
        staying: those that there are, the oldest first, without those that leave.
    """
    ready = sum(pod.ready for pod in staying)
    if ready >= asked:
        return None
    share = f"{ready} of {asked} replicas are ready"
    for pod in staying:
        if pod.trouble is not None:
            return Trouble(pod.trouble.reason, f"{share}; pod {pod.name}: {pod.trouble.message}")
    if scale is not None and scale.trouble is not None:
        return Trouble(scale.trouble.reason, f"{share}: {scale.trouble.message}")
    return None


async def _alone(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it is
        _log.error("what was begun for one service failed: %s", error, exc_info=error)
