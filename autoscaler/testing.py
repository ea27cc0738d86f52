"""What tests of this package, and of code built on it, are made of: documents, virtual time, and fakes of the ports.

The fakes pass the contract suites of what they stand for: `tests/contracts`.
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from autoscaler.controller.controller import Controller
from autoscaler.controller.observe import StreamedCounts
from autoscaler.gateway.peers.roster import Roster
from autoscaler.gateway.peers.roster_store import RosterUnavailableError
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.spec import API_VERSION, ScalingPolicy
from autoscaler.ports import (
    Fleet,
    Outcome,
    Query,
    Reading,
    ReadingHistory,
    Replica,
    ScaleRequest,
    ServiceName,
    TimedReading,
)
from autoscaler.removal_order import replicas_to_remove

HANGING_S = 20.0
"""Real seconds without anything to do, and no timer set, after which `VirtualTimeLoop` says that a test hangs."""


def policy_document(
    service: ServiceName = "sd", *, annotations: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """Make a policy as a file has it.

    Args:
        service: `name` or `namespace/name`.
        annotations: those of its metadata.
        spec: the spec's fields; if it names no target, no pool's and no `backends`, the target has the service's name.
    """
    namespace, _, name = service.rpartition("/")
    given = [spec, *spec.get("pools", ())]
    has_target = any(each.keys() & {"scaleTargetRef", "backends"} for each in given)
    target = {} if has_target else {"scaleTargetRef": {"name": name}}
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": metadata | ({"annotations": dict(annotations)} if annotations else {}),
        "spec": target | spec,
    }


def policy(service: ServiceName = "sd", *, annotations: Mapping[str, str] | None = None, **spec: Any) -> ScalingPolicy:
    """Make a policy, checked as one from a file is; the arguments are those of `policy_document`."""
    return ScalingPolicy.model_validate(policy_document(service, annotations=annotations, **spec))


def budget_document(name: str = "shared", **spec: Any) -> dict[str, Any]:
    """Make a budget as a file has it; `spec` has the spec's fields."""
    return {"apiVersion": API_VERSION, "kind": "GpuBudget", "metadata": {"name": name}, "spec": spec}


def budget(name: str = "shared", **spec: Any) -> GpuBudget:
    """Make a budget, checked as one from a file is; the arguments are those of `budget_document`."""
    return GpuBudget.model_validate(budget_document(name, **spec))


@asynccontextmanager
async def running(controller: Controller, *, first_s: float = 0.1) -> AsyncIterator[None]:
    """Run a controller for as long as a test needs it, beginning with its first seconds; it must not end by itself."""
    task = asyncio.create_task(controller.run())
    await asyncio.sleep(first_s)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        raise RuntimeError("the controller has ended") from task.exception()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time: where nothing is ready, its clock jumps to the next timer.

    It starts at 0 and counts in whole nanoseconds, so that `sleep(0.1)` three times ends at 0.3. It is for code that
    waits only for itself: a socket or a thread takes real time to answer, and the clock would jump over its deadline.
    """

    def __init__(self) -> None:
        self._selector_of_time = _JumpingSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Return the seconds since the loop was made, by the timers that went off."""
        return self._selector_of_time.now


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._wait_for_others()
        ready = super().select(0)
        if not ready:
            self.now = round(self.now + max(timeout, 0), 9)
        return ready

    def _wait_for_others(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(HANGING_S)
        if not ready:
            raise RuntimeError("the test hangs: every task waits, no timer is set, and nothing else came")
        return ready


class FakeMetricsSource:
    """A `MetricsSource` whose readings a test sets; a service without a reading is unknown."""

    def __init__(self) -> None:
        self._last: dict[ServiceName, Reading] = {}
        self._all: dict[ServiceName, list[Reading]] = {}

    def tell(self, service: ServiceName, reading: Reading) -> None:
        """Answer with this reading from now on, until it is older than the query allows."""
        self._last[service] = reading
        self._all.setdefault(service, []).append(reading)

    def forget(self, service: ServiceName) -> None:
        """Know nothing of this service from now on."""
        self._last.pop(service, None)

    async def read(self, queries: Mapping[ServiceName, Query], now_s: float) -> Mapping[ServiceName, Reading]:
        """Give the readings at once."""
        return {service: self._reading(service, query, now_s) for service, query in queries.items()}

    async def history(
        self, queries: Mapping[ServiceName, Query], now_s: float, *, span_s: float, step_s: float
    ) -> Mapping[ServiceName, ReadingHistory]:
        """Give the readings by the time of their samples; a service without readings has no history."""
        times = [now_s - step * step_s for step in range(round(span_s / step_s), -1, -1)]
        return {
            service: ReadingHistory(tuple(TimedReading(at_s, self._then(service, query, at_s)) for at_s in times))
            for service, query in queries.items()
        }

    def _reading(self, service: ServiceName, query: Query, now_s: float) -> Reading:
        return _aged(service, self._last.get(service), query, now_s)

    def _then(self, service: ServiceName, query: Query, at_s: float) -> Reading:
        earlier = [reading for reading in self._all.get(service, ()) if reading.sampled_s <= at_s]
        return _aged(service, earlier[-1] if earlier else None, query, at_s)


def _aged(service: ServiceName, reading: Reading | None, query: Query, now_s: float) -> Reading:
    if reading is None:
        return Reading(None, now_s, problem=f"there is no reading of {service}")
    if now_s - reading.sampled_s > query.max_age_s:
        return Reading(None, now_s, problem=f"the reading of {service} is {now_s - reading.sampled_s:g} s old")
    return reading


class FakeStreams:
    """The streams of one gateway: a test sets `counts[service]`; a service without a count is unknown.

    While it is `silent` nothing is known, and a service in `failing` raises.
    """

    def __init__(self, services: Iterable[ServiceName] = ()) -> None:
        self.counts: dict[ServiceName, float | None] = dict.fromkeys(services, 0.0)
        self.failing: set[ServiceName] = set()
        self.silent = False

    def known(self) -> int:
        """Count the gateway."""
        return 1

    def complete(self, _now_s: float) -> bool:
        """Tell whether it is heard."""
        return not self.silent

    def live(self, service: ServiceName, _since_s: float, _now_s: float) -> StreamedCounts:
        """Give the count; it is the mean as well."""
        if service in self.failing:
            raise KeyError(service)
        if self.silent:
            return StreamedCounts(None, None, problem="the gateway is silent")
        if (count := self.counts.get(service)) is None:
            return StreamedCounts(None, None, problem=f"the gateway has no count of {service}")
        return StreamedCounts(count, count)


class FakeScaleTarget:
    """A `ScaleTarget` in memory, by the clock it is given: a replica is ready when its cold start is over.

    A test says what goes on: `running[replica]` is how many requests it serves, `errors[service]` the error that an
    order for it comes to, and a service in `unseen` cannot be observed.
    """

    def __init__(self, services: Iterable[ServiceName], now: Callable[[], float], *, cold_start_s: float = 0.0) -> None:
        self.running: dict[str, int] = {}
        self.errors: dict[ServiceName, str] = {}
        self.unseen: set[ServiceName] = set()
        self._now = now
        self._cold_start_s = cold_start_s
        self._asked = dict.fromkeys(services, 0)
        self._started = dict.fromkeys(self._asked, 0)
        self._replicas: dict[ServiceName, dict[str, _FakeReplica]] = {service: {} for service in self._asked}

    async def observe(self, services: Sequence[ServiceName]) -> Mapping[ServiceName, Fleet]:
        """Give what runs for each service."""
        seen = [service for service in services if service in self._asked and service not in self.unseen]
        return {service: self._fleet(service) for service in seen}

    def _fleet(self, service: ServiceName) -> Fleet:
        staying = self._staying(service)
        return Fleet(self._asked[service], staying, leaving=len(self.alive(service)) - len(staying))

    async def scale(self, orders: Sequence[ScaleRequest]) -> Sequence[Outcome]:
        """Carry out all orders at once."""
        return [Outcome(order.service, self._carry_out(order)) for order in orders]

    def alive(self, service: ServiceName) -> tuple[str, ...]:
        """Name the replicas that are there, those included that leave and have something to serve, the oldest first."""
        replicas = self._replicas[service]
        return tuple(name for name, replica in replicas.items() if not replica.leaving or self.running.get(name))

    def kill(self, name: str) -> None:
        """Let a replica die: it serves nothing more, and is started anew."""
        self.running.pop(name, None)
        for replicas in self._replicas.values():
            if name in replicas:
                replicas[name].started_s = self._now()

    def _staying(self, service: ServiceName) -> tuple[Replica, ...]:
        replicas = self._replicas[service].items()
        return tuple(self._seen(name, replica) for name, replica in replicas if not replica.leaving)

    def _seen(self, name: str, replica: "_FakeReplica") -> Replica:
        now_s = self._now()
        ready = now_s - replica.started_s >= self._cold_start_s
        return Replica(name, ready, self.running.get(name, 0), now_s - replica.born_s)

    def _carry_out(self, order: ScaleRequest) -> str:
        if order.service not in self._asked:
            return f"{order.service} is no service of this target"
        if order.replicas < 0:
            return f"{order.replicas} replicas are not possible"
        if order.service in self.errors:
            return self.errors[order.service]
        self._asked[order.service] = order.replicas
        staying = self._staying(order.service)
        for name in replicas_to_remove(staying, order.replicas, order.remove):
            self._replicas[order.service][name].leaving = True
        for _ in range(order.replicas - len(staying)):
            self._start(order.service)
        return ""

    def _start(self, service: ServiceName) -> None:
        self._started[service] += 1
        name = f"{service.rpartition('/')[2]}-{self._started[service]}"
        self._replicas[service][name] = _FakeReplica(self._now())


class _FakeReplica:
    def __init__(self, now_s: float) -> None:
        self.born_s = now_s
        self.started_s = now_s
        self.leaving = False


class FakeRosterStore:
    """A `RosterStore` in memory, shared by all gateways of a test.

    Attributes:
        roster: what is stored.
        dead: names and lives that are known to have ended.
        away: while it is set every call raises RosterUnavailableError.
        conflicts: how many of the next writes find that another gateway was first.
        unanswered: how many of the next writes are done and raise, as if the answer was lost.
        late_s: how long each call takes.
        writes: how many were done.
    """

    def __init__(self) -> None:
        self.roster: Roster | None = None
        self.dead: set[tuple[str, str]] = set()
        self.away = False
        self.conflicts = 0
        self.unanswered = 0
        self.late_s = 0.0
        self.writes = 0

    async def read(self) -> Roster | None:
        """Give the roster, as it is when the call ends."""
        await self._called()
        return self.roster

    async def write(self, roster: Roster, expected: int) -> bool:
        """Compare and set."""
        await self._called()
        if self.conflicts:
            self.conflicts -= 1
            return False
        if (self.roster.epoch if self.roster else 0) != expected:
            return False
        self.roster = roster
        self.writes += 1
        if self.unanswered:
            self.unanswered -= 1
            raise RosterUnavailableError("the answer of the store is lost")
        return True

    async def is_dead(self, name: str, life: str) -> bool:
        """Tell what the test has set."""
        await self._called()
        return (name, life) in self.dead

    async def _called(self) -> None:
        await asyncio.sleep(self.late_s)
        if self.away:
            raise RosterUnavailableError("the store is away")
