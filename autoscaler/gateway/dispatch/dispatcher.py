"""Decides which request of one service goes to which pod, and when: events in, grants out.

Rules:
1. A pod never has more counted requests than `Limits.concurrency`.
2. No request overtakes another: a freed pod gets the first of those that it may serve, in the order of arrival, or in
   that of `turns` if requests have a `Turn`. A request that a pod refused returns to its place.
3. A counted request goes to the pod with room that was added first, so that later pods become idle and can leave; or
   to the pod with the fewest requests, if `Limits.load_balancing` says so. A Pass request goes to the pod with the
   fewest Pass requests and tunnels, and pods with equally many take turns.
4. The slots of a pod that reports how many jobs it runs (`report_jobs`) are counted by `reported_jobs`.
5. No pod is idle while a request that it may serve waits, except pods that `pod_health` sets aside. Failures never
   remove the last pod: if no other pod is ready, the ejected ones are used.
6. Every request ends exactly once: by `finish`, by `abandon`, in `Due.timed_out`, or refused on arrival.

Nothing here reads a clock or awaits: `now_s` is a parameter, in seconds of any clock that never steps back.
"""

from collections.abc import Hashable, Iterable

from autoscaler.gateway.dispatch.absences import Absences
from autoscaler.gateway.dispatch.backend import COUNT, TUNNEL, Backend, Request
from autoscaler.gateway.dispatch.backends import Backends
from autoscaler.gateway.dispatch.numbers import Numbers
from autoscaler.gateway.dispatch.outlook import Outlook, outlook
from autoscaler.gateway.dispatch.pod_health import EjectionRules, Health
from autoscaler.gateway.dispatch.slots import Slots
from autoscaler.gateway.dispatch.timers import Timers
from autoscaler.gateway.dispatch.types import (
    ANY_TURN,
    Due,
    Grant,
    Granted,
    Held,
    Limits,
    LoadBalancing,
    Refusal,
    Refused,
    SlotUse,
    Turn,
)
from autoscaler.gateway.dispatch.waiting import Waiting

__all__ = [
    "Dispatcher",
    "Due",
    "EjectionRules",
    "Grant",
    "Granted",
    "Held",
    "Limits",
    "LoadBalancing",
    "Refusal",
    "Refused",
    "SlotUse",
]


class Dispatcher:
    """The queue and the slots of one service.

    Attributes:
        passing: Pass requests that may wake a pod and are held or open.
        passed_total: how many of them ever arrived.
    """

    def __init__(self, limits: Limits, now_s: float = 0.0) -> None:
        self.passing = 0
        self.passed_total = 0
        self._seconds = 0.0
        self._seconds_until_s = now_s
        self._numbers = Numbers()
        self._requests: dict[Hashable, Request] = {}
        self._pods = Backends(limits)
        self._waiting = Waiting(self._pods, self._numbers)
        self._slots = Slots(self._pods, self._waiting, now_s)
        self._timers = Timers()
        self._absences = Absences(self._pods, self._waiting, self._slots, self._set_timer)

    def __contains__(self, request: Hashable) -> bool:
        """Tell whether a request waits or is open."""
        return request in self._requests

    def arrive(
        self,
        request: Hashable,
        now_s: float,
        kind: SlotUse = COUNT,
        pinned: str | None = None,
        *,
        max_per_pod: int = 0,
        wakes: bool = True,
        turn: Turn = ANY_TURN,
        arrived_s: float | None = None,
    ) -> Granted | Held | Refused:
        """Take a request in.

        Args:
            request: its name from now on.
            now_s: the time.
            kind: whether it takes a slot.
            pinned: the pod it belongs to; ignored if that pod is gone or cannot be reached.
            max_per_pod: for one without a slot, how many of its kind one pod may have open; 0 is no limit.
            wakes: whether it may be held at zero pods.
            turn: its priority class and its client, if it takes a slot and has to wait.
            arrived_s: when it arrived at a gateway that held it: it stands by its age, and a full queue takes it.

        Raises:
            ValueError: it has arrived already.
        """
        if request in self._requests:
            raise ValueError(f"request {request!r} has arrived already")
        self._advance(now_s)
        entry = Request(request, kind, pinned, max_per_pod, wakes=wakes, turn=turn)
        backend = self._slots.place(entry)
        if backend is None and (refusal := self._refusal(entry, again=arrived_s is not None)) is not None:
            return Refused(refusal)
        self._admit(entry, now_s, arrived_s)
        if backend is not None:
            self._slots.start(entry, backend)
            return Granted(backend.name)
        self._hold(entry)
        return Held(entry.deadline_s)

    def adopt(self, request: Hashable, now_s: float, backend: str) -> None:
        """Take in a counted request that a known pod runs already, as another gateway says, even beyond its limit."""
        self._advance(now_s)
        entry = Request(request, COUNT, None, 0, wakes=True)
        self._admit(entry, now_s, None)
        self._slots.start(entry, self._pods.known(backend))
        entry.granted_s = None

    def finish(self, request: Hashable, now_s: float) -> list[Grant]:
        """End a request that a pod ran, successfully or not, and return the requests that are granted now.

        Raises:
            KeyError: there is no such request.
            ValueError: it waits; only `abandon` ends that.
        """
        entry = self._requests[request]
        backend = entry.backend
        if backend is None:
            raise ValueError(f"request {request!r} has not been granted")
        backend.health.connected()
        return self.abandon(request, now_s)

    def abandon(self, request: Hashable, now_s: float) -> list[Grant]:
        """End a request in any state, because its client is gone; raises KeyError for an unknown one."""
        self._advance(now_s)
        entry = self._requests.pop(request)
        self._numbers.ended(entry.number)
        if not entry.opened:
            self._count_pass(entry, -1)
        if entry.queue is None:
            return self._slots.serve(self._slots.stop(entry))
        self._waiting.drop(entry)
        # Limits differ, so the request that left may have stood before one that a pod has room for.
        return self._slots.serve_all() if entry.kind is not COUNT else []

    def open_tunnel(self, request: Hashable, now_s: float) -> None:
        """Note that a pod accepted a tunnel: it no longer keeps the pod busy, but counts as open until it ends.

        Raises:
            KeyError: there is no such request.
            ValueError: it asked for no tunnel, or has not been granted.
        """
        self._advance(now_s)
        entry = self._requests[request]
        backend = entry.backend
        if backend is None or entry.kind is not TUNNEL:
            raise ValueError(f"request {request!r} has not been granted a tunnel")
        self._count_pass(entry, -1)
        entry.opened = True
        backend.opening -= 1
        backend.health.connected()
        self._slots.forget_if_drained(backend)

    def put_back(self, request: Hashable, now_s: float) -> list[Grant]:
        """Take back a request that its pod refused: it waits at its place of arrival, and the pod is set aside.

        Raises:
            KeyError: there is no such request.
            ValueError: it has not been granted.
        """
        self._advance(now_s)
        entry = self._requests[request]
        backend = self._slots.stop(entry, was_seen=False)
        if backend.ready:
            self._absences.set_aside(backend, now_s + backend.health.refused(), ejected=False)
        entry.pinned = None
        self._hold(entry)
        return self._slots.settle()

    def give_back(self, request: Hashable, now_s: float) -> list[Grant]:
        """Take back a request of which its pod has seen nothing, and do not blame the pod; raises as `put_back`."""
        self._advance(now_s)
        entry = self._requests[request]
        self._slots.stop(entry, was_seen=False)
        self._hold(entry)
        return self._slots.serve_all()

    def expire(self, now_s: float) -> Due:
        """Do what is due: requests time out or spill over to other pods, and pods that were set aside return."""
        self._advance(now_s)
        due = Due([], [])
        while (subject := self._timers.pop_due(now_s)) is not None:
            if isinstance(subject, Backend):
                due.grants.extend(self._absences.readmit(subject, now_s))
            elif subject.queue is not None and subject.deadline_s <= now_s:
                due.grants.extend(self.abandon(subject.id, now_s))
                due.timed_out.append(subject.id)
            elif subject.queue is not None and subject.spill_s <= now_s:
                self._waiting.take(subject)
                subject.pinned = None
                self._hold(subject)
                due.grants.extend(self._slots.settle())
        return due

    # Pods and limits.

    def add_backend(
        self, name: str, now_s: float, *, jobs: int | None = None, running: Iterable[Hashable] = ()
    ) -> list[Grant]:
        """Send requests to a pod from now on, also to one that was draining or set aside.

        `jobs` is how many jobs it runs already, None if it does not report that. `running` are counted requests that it
        runs already, see `adopt`.
        """
        self._advance(now_s)
        backend = self._pods.get_or_add(name, now_s)
        backend.draining = False
        backend.health = Health()
        for request in running:
            self.adopt(request, now_s, name)
        self._slots.set_jobs(backend, jobs, backend.granted)
        return self._absences.take_back(backend)

    def drain_backend(self, name: str, now_s: float) -> list[Grant]:
        """Send a pod nothing new; it is forgotten when its last request has ended."""
        self._advance(now_s)
        backend = self._pods.get(name)
        if backend is None:
            return []
        backend.draining = True
        self._slots.forget_if_drained(backend)
        self._absences.release(backend)
        return self._slots.settle()

    def answered(self, name: str, now_s: float, *, well: bool) -> list[Grant]:
        """Note how a pod answered a request of any kind; a pod that fails too often in a row is ejected for a while."""
        backend = self._pods.get(name)
        if backend is None or (well and backend.health.is_well):
            return []
        self._advance(now_s)
        return self._absences.answered(backend, now_s, well=well)

    def remove_backend(self, name: str, now_s: float) -> list[Grant]:
        """Forget a pod at once; its requests are open until they are finished or abandoned."""
        self._advance(now_s)
        backend = self._pods.get(name)
        if backend is None:
            return []
        self._pods.forget(backend)
        backend.draining = True
        backend.jobs = None
        self._slots.count(backend)
        self._absences.release(backend)
        return self._slots.settle()

    def newest_granted(self, name: str) -> int:
        """Return the number of the newest counted request of a pod, for `report_jobs`; 0 for an unknown pod."""
        found = self._pods.get(name)
        return found.granted if found else 0

    def report_jobs(self, name: str, jobs: int | None, newest: int, now_s: float) -> list[Grant]:
        """Note how many jobs a pod reports; it was asked when `newest` was its newest counted request.

        None means that the pod reports no more: only its requests count.
        """
        self._advance(now_s)
        backend = self._pods.get(name)
        if backend is None:
            return []
        self._slots.set_jobs(backend, jobs, newest)
        self._slots.forget_if_drained(backend)
        return self._slots.refill(backend)

    @property
    def limits(self) -> Limits:
        """What the service may take, and how its pods share it."""
        return self._pods.limits

    def set_limits(self, limits: Limits, now_s: float) -> list[Grant]:
        """Change the limits: running requests go on, and requests that wait keep the deadline of their arrival."""
        self._advance(now_s)
        self._pods.limits = limits
        for backend in self._pods:
            self._pods.refresh(backend)
        return self._slots.serve_all()

    # The state to report.

    @property
    def ejections_total(self) -> int:
        """How often a pod was ejected for its failures."""
        return self._absences.ejections_total

    @property
    def queued(self) -> int:
        """Counted requests that wait."""
        return self._waiting.count[COUNT]

    @property
    def running(self) -> int:
        """Slots that are taken: counted requests that pods run, and other jobs that pods report."""
        return self._slots.running

    @property
    def holding_pass(self) -> int:
        """Pass requests that may wake a pod and wait."""
        return self._waiting.waking_pass

    @property
    def backends(self) -> tuple[str, ...]:
        """Every known pod, also those that drain, in the order in which they were added."""
        return tuple(backend.name for backend in self._pods)

    @property
    def ready(self) -> tuple[str, ...]:
        """The pods that are sent requests."""
        return tuple(backend.name for backend in self._pods if backend.ready)

    @property
    def reachable(self) -> bool:
        """Whether there is a pod that has not just refused a connection."""
        return self._pods.any_reachable

    @property
    def idle(self) -> tuple[str, ...]:
        """The pods that have no request at all."""
        return tuple(backend.name for backend in self._pods if not backend.busy)

    def running_on(self, backend: str) -> int:
        """Return how many slots of a pod are taken; 0 for an unknown one."""
        found = self._pods.get(backend)
        return found.taken if found else 0

    def idle_or_busy_since_s(self, backend: str) -> float | None:
        """Return since when no slot of a pod is taken, or at least one; None for an unknown pod."""
        found = self._pods.get(backend)
        return found.since_s if found else None

    def seconds_total(self, now_s: float) -> float:
        """Return the integral of `queued + running` over time, from the start to now."""
        return self._seconds + (self.queued + self.running) * (now_s - self._seconds_until_s)

    def oldest_wait_s(self, now_s: float) -> float:
        """Return how long the oldest counted request in the queue has waited; 0 if none waits."""
        return now_s - self._waiting.oldest_arrived_s(now_s)

    def outlook(self) -> Outlook:
        """Return what can be known of the grants to come."""
        return outlook(self._requests.values(), self._pods, self._waiting, self._slots.held_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do next; None if never."""
        return self._timers.next_s

    def _admit(self, entry: Request, now_s: float, arrived_s: float | None) -> None:
        number = self._numbers.next(now_s) if arrived_s is None else self._numbers.of_age(arrived_s)
        since_s = now_s if arrived_s is None else arrived_s
        entry.admit(number, since_s, self._pods.limits, self._pods.queue.timeout_s)
        self._requests[entry.id] = entry
        self._count_pass(entry, 1)

    def _refusal(self, entry: Request, *, again: bool) -> Refusal | None:
        if not entry.wakes and not self.reachable:
            return Refusal.ASLEEP
        return Refusal.QUEUE_FULL if self._waiting.is_full(entry) and not again else None

    def _hold(self, entry: Request) -> None:
        home = self._pods.home(entry)
        self._waiting.add(entry, home)
        self._set_timer(entry.deadline_s, entry)
        if home is not None and entry.kind is COUNT:
            self._set_timer(entry.spill_s, entry)

    def _advance(self, now_s: float) -> None:
        """Add the time up to now to the integral; each event begins with this."""
        self._seconds += (self._waiting.count[COUNT] + self._slots.running) * (now_s - self._seconds_until_s)
        self._seconds_until_s = self._slots.now_s = now_s

    def _count_pass(self, entry: Request, step: int) -> None:
        if entry.kind is not COUNT and entry.wakes:
            self.passing += step
            self.passed_total += step > 0

    def _set_timer(self, when_s: float, subject: Request | Backend) -> None:
        self._timers.set(when_s, subject, len(self._requests) + len(self._pods))
