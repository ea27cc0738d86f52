"""Decides which request of one service goes to which pod, and when: facts in, grants out.

Rules:
1. A pod never has more counted requests than `Limits.concurrency`, whatever comes and goes around it.
2. Nobody is overtaken: a freed pod takes the one who arrived first among those it may serve, and a request that a pod
   refused goes back to the place of its arrival.
3. Of the pods with room a counted request goes to the one that was added first, so that the later ones idle and can
   leave; or to the one with the fewest, as `Limits.load_balancing` says. A Pass request goes to the pod with the fewest
   Pass requests and tunnels.
4. The slots of a pod that tells how many jobs it works on (`busy_told`) are taken as `occupancy` says.
5. No pod idles while a request that it may serve waits, but those that `health` leaves alone. Failures never take the
   last pod away: while no other pod is ready, the ejected ones are.
6. Every request ends exactly once: by `finish`, by `abandon`, in `Due.timed_out`, or refused on arrival.

Nothing here reads a clock or awaits: `now_s` is a parameter, in seconds of any clock that never steps back.
"""

import math
from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush

from autoscaler.gateway.dispatch.ordered_queue import OrderedQueue
from autoscaler.gateway.dispatch.pod_health import EjectionRules, Health
from autoscaler.gateway.dispatch.reported_jobs import Occupancy
from autoscaler.gateway.dispatch.types import (
    Due,
    Grant,
    Granted,
    Held,
    Limits,
    LoadBalancing,
    Refusal,
    Refused,
    SlotUse,
)

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

_TIMER_SLACK = 64
_KINDS = _COUNT, _PASS, _TUNNEL = SlotUse.COUNT, SlotUse.PASS, SlotUse.TUNNEL
"""By short names: looking a member up costs as much as a call."""


class _Backend:
    """One pod. Kept alive by the requests it serves, so that a pod of the same name that follows owes nothing."""

    __slots__ = (
        "aside_until_s",
        "draining",
        "ejected",
        "granted",
        "health",
        "held",
        "name",
        "number",
        "occupancy",
        "opening",
        "passing",
        "running",
        "taken",
        "tunnels",
    )

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.granted = 0
        """Counted requests that it was ever given."""
        self.running = 0
        """Counted requests that are open."""
        self.occupancy: Occupancy | None = None
        """None for a pod that does not tell what it works on."""
        self.taken = 0
        """Slots: `running`, and what the pod works on besides."""
        self.passing = 0
        self.tunnels = 0
        self.opening = 0
        """Those of the tunnels that the pod has not agreed to yet."""
        self.draining = False
        self.health = Health()
        self.aside_until_s: float | None = None
        self.ejected = False
        """Whether it is aside for its failures, and not for a refused connection."""
        self.held: dict[SlotUse, OrderedQueue[_Request]] = {kind: OrderedQueue() for kind in _KINDS}

    @property
    def ready(self) -> bool:
        return not self.draining and self.aside_until_s is None

    @property
    def busy(self) -> bool:
        return bool(self.taken or self.passing or self.opening)

    def count(self) -> int:
        """Count the slots that are taken anew; gives the change."""
        before = self.taken
        self.taken = self.running if self.occupancy is None else self.occupancy.taken(self.running)
        return self.taken - before


class _Request:
    """One request, waiting in `line` or open at `backend`."""

    __slots__ = (
        "arrived_s",
        "backend",
        "deadline_s",
        "id",
        "kind",
        "line",
        "max_per_pod",
        "number",
        "opened",
        "pinned",
        "place",
        "spill_s",
        "wakes",
    )

    def __init__(self, request: Hashable, kind: SlotUse, pinned: str | None, max_per_pod: int, *, wakes: bool) -> None:
        self.id = request
        self.kind = kind
        self.pinned = pinned
        self.max_per_pod = max_per_pod
        self.wakes = wakes
        self.opened = False
        self.place = 0
        """Which of the requests it is that its pod was ever given."""
        self.number = 0
        self.line: OrderedQueue[_Request] | None = None
        self.backend: _Backend | None = None

    def admit(self, number: int, now_s: float, limits: Limits) -> None:
        """Give it its place, and the ends of its patience."""
        self.number = number
        self.arrived_s = now_s
        self.deadline_s = now_s + limits.queue_timeout_s
        self.spill_s = now_s + limits.spill_after_s


class Dispatcher:
    """The queue and the slots of one service.

    `running` is the number of slots that are taken: counted requests that pods serve, and jobs that they tell of.
    `passed_total` is how many Pass requests that may wake a pod ever came; `passing` those of them that are held or
    open, `holding_pass` those held. `ejections_total` is how often a pod was left alone for its failures.
    """

    def __init__(self, limits: Limits, now_s: float = 0.0) -> None:
        self.limits = limits
        self.running = 0
        self.holding_pass = 0
        self.passing = 0
        self.passed_total = 0
        self.ejections_total = 0
        self._area = 0.0
        self._area_until_s = now_s
        self._arrivals = 0
        self._requests: dict[Hashable, _Request] = {}
        self._backends: dict[str, _Backend] = {}
        self._added = 0
        self._free: OrderedQueue[_Backend] = OrderedQueue()
        self._holding = dict.fromkeys(SlotUse, 0)
        self._held: dict[SlotUse, OrderedQueue[_Request]] = {kind: OrderedQueue() for kind in _KINDS}
        self._timers: list[tuple[float, int, _Request | _Backend]] = []
        self._timers_set = 0

    # What comes in.

    def arrive(
        self,
        request: Hashable,
        now_s: float,
        kind: SlotUse = _COUNT,
        pinned: str | None = None,
        *,
        max_per_pod: int = 0,
        wakes: bool = True,
    ) -> Granted | Held | Refused:
        """Take a request in.

        Args:
            request: what it is called from now on.
            now_s: the time.
            kind: whether it takes a slot.
            pinned: the pod it belongs to; a pod that is not there any more, or cannot be reached, binds nobody.
            max_per_pod: for one without a slot, how many of its kind one pod may have open; 0 is no limit.
            wakes: whether it may be held at zero pods.

        Raises:
            ValueError: it is in already.
        """
        if request in self._requests:
            raise ValueError(f"request {request!r} has arrived already")
        self._advance(now_s)
        entry = _Request(request, kind, pinned, max_per_pod, wakes=wakes)
        backend = self._place(entry)
        if backend is None:
            refusal = self._refusal(entry)
            if refusal is not None:
                return Refused(refusal)
        self._arrivals += 1
        entry.admit(self._arrivals, now_s, self.limits)
        self._requests[request] = entry
        self._count_pass(entry, 1)
        if backend is not None:
            self._start(entry, backend)
            return Granted(backend.name)
        self._hold(entry)
        return Held(entry.deadline_s)

    def finish(self, request: Hashable, now_s: float) -> list[Grant]:
        """End a request that a pod served, for good or ill, and say who takes its place.

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
        """End a request wherever it stands, because nobody wants its answer; raises KeyError for an unknown one."""
        self._advance(now_s)
        entry = self._requests.pop(request)
        if not entry.opened:
            self._count_pass(entry, -1)
        if entry.line is None:
            return self._serve(self._stop(entry))
        self._unhold(entry)
        # With caps that differ, the one who left may have stood before somebody whom a pod can take.
        return self._serve_all() if entry.kind is not _COUNT else []

    def open_tunnel(self, request: Hashable, now_s: float) -> None:
        """Take note that a pod agreed to a tunnel: it keeps no pod any more, and takes its place until it ends.

        Raises:
            KeyError: there is no such request.
            ValueError: it asked for no tunnel, or has not been granted.
        """
        self._advance(now_s)
        entry = self._requests[request]
        backend = entry.backend
        if backend is None or entry.kind is not _TUNNEL:
            raise ValueError(f"request {request!r} has not been granted a tunnel")
        self._count_pass(entry, -1)
        entry.opened = True
        backend.opening -= 1
        backend.health.connected()
        self._forget_if_drained(backend)

    def put_back(self, request: Hashable, now_s: float) -> list[Grant]:
        """Take back a request that its pod refused: it waits at the place of its arrival, and the pod is left alone.

        Raises:
            KeyError: there is no such request.
            ValueError: it has not been granted.
        """
        self._advance(now_s)
        entry = self._requests[request]
        backend = self._stop(entry, was_seen=False)
        if backend.ready:
            self._set_aside(backend, now_s + backend.health.refused())
        entry.pinned = None
        self._hold(entry)
        return self._settle()

    def expire(self, now_s: float) -> Due:
        """Let time do its work: waiters time out, spill over to other pods, and refusing pods get another chance."""
        self._advance(now_s)
        due = Due([], [])
        while self._timers and self._timers[0][0] <= now_s:
            _, _, subject = heappop(self._timers)
            if isinstance(subject, _Backend):
                due.grants.extend(self._readmit(subject, now_s))
            elif subject.line is not None and subject.deadline_s <= now_s:
                due.grants.extend(self.abandon(subject.id, now_s))
                due.timed_out.append(subject.id)
            elif subject.line is not None and subject.spill_s <= now_s:
                self._unhold(subject)
                subject.pinned = None
                self._hold(subject)
                due.grants.extend(self._settle())
        return due

    # Pods and limits.

    def add_backend(self, name: str, now_s: float, *, jobs: int | None = None) -> list[Grant]:
        """Send requests to a pod from now on; one that was draining, or put aside, is back.

        Args:
            name: what it is called.
            now_s: the time.
            jobs: how many it works on already; None for one that does not tell.
        """
        self._advance(now_s)
        backend = self._backends.get(name)
        if backend is None:
            self._added += 1
            backend = self._backends[name] = _Backend(name, self._added)
        backend.draining = False
        backend.health = Health()
        self._tell_jobs(backend, jobs, backend.granted)
        return self._take_back(backend)

    def drain_backend(self, name: str, now_s: float) -> list[Grant]:
        """Send a pod nothing new; it is forgotten when the last of its requests has ended."""
        self._advance(now_s)
        backend = self._backends.get(name)
        if backend is None:
            return []
        backend.draining = True
        self._forget_if_drained(backend)
        self._release(backend)
        return self._settle()

    def answered(self, name: str, now_s: float, *, well: bool) -> list[Grant]:
        """Note how a pod answered a request of any kind: one that fails too often in a row is ejected for a while."""
        self._advance(now_s)
        backend = self._backends.get(name)
        if backend is None:
            return []
        if well:
            return self._recover(backend)
        rules = self.limits.ejection
        if not backend.health.failed(rules) or not backend.ready:
            return []
        if not rules.allow(*self._ejected_ready_and_all()):
            backend.health.on_trial = False
            return self._refill(backend)
        backend.ejected = True
        self.ejections_total += 1
        self._set_aside(backend, now_s + backend.health.eject(rules))
        return self._settle()

    def remove_backend(self, name: str, now_s: float) -> list[Grant]:
        """Forget a pod at once; those it serves are still running until they are finished or abandoned."""
        self._advance(now_s)
        backend = self._backends.pop(name, None)
        if backend is None:
            return []
        backend.draining = True
        backend.occupancy = None
        self.running += backend.count()
        self._release(backend)
        return self._settle()

    def granted_to(self, name: str) -> int:
        """Give the number of the newest counted request of a pod, for `busy_told`; 0 for an unknown pod."""
        found = self._backends.get(name)
        return found.granted if found else 0

    def busy_told(self, name: str, jobs: int | None, newest: int, now_s: float) -> list[Grant]:
        """Note how many jobs a pod says it works on; it was asked when `newest` was its newest counted request.

        None is that the pod will tell no more: its requests count alone.
        """
        self._advance(now_s)
        backend = self._backends.get(name)
        if backend is None:
            return []
        self._tell_jobs(backend, jobs, newest)
        self._forget_if_drained(backend)
        return self._refill(backend)

    def set_limits(self, limits: Limits, now_s: float) -> list[Grant]:
        """Change the limits: what runs goes on, and who waits keeps the deadline that was given on arrival."""
        self._advance(now_s)
        self.limits = limits
        for backend in self._backends.values():
            self._refresh(backend)
        return self._serve_all()

    # What can be seen.

    @property
    def queued(self) -> int:
        """Counted requests that wait."""
        return self._holding[_COUNT]

    @property
    def backends(self) -> tuple[str, ...]:
        """Every pod that is known, draining ones included, in the order in which they were added."""
        return tuple(self._backends)

    @property
    def ready(self) -> tuple[str, ...]:
        """The pods that would be sent a request."""
        return tuple(name for name, backend in self._backends.items() if backend.ready)

    @property
    def reachable(self) -> bool:
        """Whether there is a pod that has not just refused a connection."""
        return any(backend.aside_until_s is None or backend.ejected for backend in self._backends.values())

    @property
    def idle(self) -> tuple[str, ...]:
        """The pods that have no request at all."""
        return tuple(name for name, backend in self._backends.items() if not backend.busy)

    def running_on(self, backend: str) -> int:
        """Count the slots of a pod that are taken; 0 for an unknown one."""
        found = self._backends.get(backend)
        return found.taken if found else 0

    def seconds_total(self, now_s: float) -> float:
        """Integrate `queued + running` over time, from the start to now."""
        return self._area + (self.queued + self.running) * (now_s - self._area_until_s)

    def oldest_wait_s(self, now_s: float) -> float:
        """Say for how long the first of the counted waiters has waited; 0 if nobody waits."""
        lines = [self._held[_COUNT], *(backend.held[_COUNT] for backend in self._backends.values())]
        firsts = [first.arrived_s for line in lines if (first := line.first()) is not None]
        return now_s - min(firsts, default=now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do next; None if never."""
        while self._timers and not self._is_live(self._timers[0][2]):
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    # Waiting.

    def _refusal(self, entry: _Request) -> Refusal | None:
        if not entry.wakes and not self.reachable:
            return Refusal.ASLEEP
        return Refusal.QUEUE_FULL if self._holding[entry.kind] >= self.limits.queue_length else None

    def _hold(self, entry: _Request) -> None:
        home = self._home(entry)
        entry.line = (self._held if home is None else home.held)[entry.kind]
        entry.line.add(entry.number, entry)
        self._set_timer(entry.deadline_s, entry)
        if home is not None and entry.kind is _COUNT:
            self._set_timer(entry.spill_s, entry)
        self._holding[entry.kind] += 1
        self.holding_pass += entry.kind is not _COUNT and entry.wakes

    def _unhold(self, entry: _Request) -> None:
        if entry.line is not None:
            entry.line.remove(entry.number)
            entry.line = None
            self._holding[entry.kind] -= 1
            self.holding_pass -= entry.kind is not _COUNT and entry.wakes

    # Serving.

    def _home(self, entry: _Request) -> _Backend | None:
        """The pod that the request belongs to, if requests may be sent there."""
        home = self._backends.get(entry.pinned) if entry.pinned is not None else None
        return home if home is not None and home.ready else None

    def _place(self, entry: _Request) -> _Backend | None:
        """The pod that a newcomer may go to without overtaking anybody."""
        home = self._home(entry)
        if self._held[entry.kind].first() is not None:
            return None
        if home is None:
            return self._pick(entry)
        if self._has_room(home, entry) and home.held[entry.kind].first() is None:
            return home
        spills = entry.kind is _COUNT and self.limits.spill_after_s <= 0
        return self._pick(entry) if spills else None

    def _pick(self, entry: _Request) -> _Backend | None:
        """The pod for a request that may go to any."""
        if entry.kind is _COUNT:
            return self._least(self._free.unordered()) if self.limits.takes_least else self._free.first()
        able = (
            backend
            for backend in self._backends.values()
            if backend.ready and self._has_room(backend, entry) and not self._overtakes(entry, backend)
        )
        return min(able, key=lambda each: (each.passing + each.tunnels, each.taken, each.number), default=None)

    @staticmethod
    def _overtakes(entry: _Request, backend: _Backend) -> bool:
        """Whether somebody who came earlier waits for this pod; a newcomer has no number yet."""
        first = backend.held[entry.kind].first()
        return first is not None and (not entry.number or first.number < entry.number)

    @staticmethod
    def _least(backends: Iterable[_Backend]) -> _Backend | None:
        return min(backends, key=lambda each: (each.taken, each.passing + each.tunnels, each.number), default=None)

    def _has_room(self, backend: _Backend, entry: _Request) -> bool:
        if entry.kind is _COUNT:
            return self._has_slot(backend)
        taken = backend.passing if entry.kind is _PASS else backend.tunnels
        return not entry.max_per_pod or taken < entry.max_per_pod

    def _has_slot(self, backend: _Backend) -> bool:
        cap = 1 if backend.health.on_trial else self.limits.concurrency
        return not cap or backend.taken < cap

    def _start(self, entry: _Request, backend: _Backend) -> Grant:
        self._unhold(entry)
        entry.backend = backend
        if entry.kind is _COUNT:
            backend.running += 1
            backend.granted += 1
            entry.place = backend.granted
            if backend.occupancy is not None:
                backend.occupancy.granted(entry.place)
            self.running += backend.count()
            self._refresh(backend)
        elif entry.kind is _PASS:
            backend.passing += 1
        else:
            backend.tunnels += 1
            backend.opening += 1
        return Grant(entry.id, backend.name)

    def _stop(self, entry: _Request, *, was_seen: bool = True) -> _Backend:
        backend = entry.backend
        if backend is None:
            raise ValueError(f"request {entry.id!r} has not been granted")
        entry.backend = None
        if entry.kind is _COUNT:
            backend.running -= 1
            if backend.occupancy is not None:
                (backend.occupancy.ended if was_seen else backend.occupancy.refused)(entry.place)
            self.running += backend.count()
            self._refresh(backend)
        elif entry.kind is _PASS:
            backend.passing -= 1
        else:
            backend.tunnels -= 1
            backend.opening -= not entry.opened
        self._forget_if_drained(backend)
        return backend

    def _serve(self, backend: _Backend) -> list[Grant]:
        """Give a pod that has room those it may serve, first come first."""
        return self._unblocked(self._fill(backend))

    def _unblocked(self, grants: list[Grant]) -> list[Grant]:
        """Add those before whom somebody stood who has been granted now: the caps of Pass requests may differ."""
        waits = self._holding[_PASS] or self._holding[_TUNNEL]
        return grants + self._serve_all() if grants and waits else grants

    def _fill(self, backend: _Backend) -> list[Grant]:
        grants: list[Grant] = []
        if not (self._holding[_COUNT] or self._holding[_PASS] or self._holding[_TUNNEL]):
            return grants
        for kind in _KINDS:
            while (entry := self._next_for(backend, kind)) is not None:
                grants.append(self._start(entry, backend))
        return grants

    def _next_for(self, backend: _Backend, kind: SlotUse) -> _Request | None:
        anywhere, here = self._held[kind].first(), backend.held[kind].first()
        first = anywhere if here is None or (anywhere is not None and anywhere.number < here.number) else here
        return first if first is not None and backend.ready and self._has_room(backend, first) else None

    def _serve_all(self) -> list[Grant]:
        grants: list[Grant] = []
        while more := [grant for backend in self._backends.values() for grant in self._fill(backend)]:
            grants += more
        return grants

    def _settle(self) -> list[Grant]:
        """Give those who may go anywhere a pod, as long as there is one."""
        grants: list[Grant] = []
        for kind in _KINDS:
            while (entry := self._held[kind].first()) is not None:
                backend = self._pick(entry)
                if backend is None:
                    break
                grants.append(self._start(entry, backend))
        return self._unblocked(grants)

    # Pods that come and go.

    def _refresh(self, backend: _Backend) -> None:
        if backend.ready and self._has_slot(backend):
            self._free.add(backend.number, backend)
        else:
            self._free.remove(backend.number)

    def _refill(self, backend: _Backend) -> list[Grant]:
        self._refresh(backend)
        return self._serve(backend)

    def _release(self, backend: _Backend) -> None:
        """Let those who wait for a pod that takes nothing new go anywhere, each at the place of its arrival."""
        if backend.draining:
            backend.aside_until_s = None
            backend.ejected = False
        self._refresh(backend)
        for kind, line in backend.held.items():
            for entry in line.members():
                line.remove(entry.number)
                entry.line = self._held[kind]
                entry.line.add(entry.number, entry)
        self._need_the_ejected()

    def _set_aside(self, backend: _Backend, until_s: float) -> None:
        backend.aside_until_s = until_s
        self._set_timer(until_s, backend)
        self._release(backend)

    def _readmit(self, backend: _Backend, now_s: float) -> list[Grant]:
        if backend.aside_until_s is None or backend.aside_until_s > now_s:
            return []
        backend.health.on_trial = backend.ejected
        return self._take_back(backend)

    def _take_back(self, backend: _Backend) -> list[Grant]:
        backend.aside_until_s = None
        backend.ejected = False
        return self._refill(backend)

    def _recover(self, backend: _Backend) -> list[Grant]:
        was_on_trial = backend.health.on_trial
        backend.health.recovered()
        return self._refill(backend) if was_on_trial else []

    def _need_the_ejected(self) -> None:
        """Take back those that failed, as if new, where no pod is left: whoever calls this settles who goes there."""
        if any(backend.ready for backend in self._backends.values()):
            return
        for backend in self._backends.values():
            if backend.ejected:
                backend.health = Health()
                backend.aside_until_s = None
                backend.ejected = False
                self._refresh(backend)

    def _ejected_ready_and_all(self) -> tuple[int, int, int]:
        stay = [backend for backend in self._backends.values() if not backend.draining]
        return sum(each.ejected for each in stay), sum(each.ready for each in stay), len(stay)

    def _tell_jobs(self, backend: _Backend, jobs: int | None, newest: int) -> None:
        if jobs is None:
            backend.occupancy = None
        else:
            backend.occupancy = backend.occupancy or Occupancy()
            backend.occupancy.told(jobs, newest)
        self.running += backend.count()

    def _forget_if_drained(self, backend: _Backend) -> None:
        if backend.draining and not backend.busy and self._backends.get(backend.name) is backend:
            del self._backends[backend.name]

    # Time.

    def _advance(self, now_s: float) -> None:
        """Book the time up to now; every fact that comes in begins with it."""
        self._area += (self._holding[_COUNT] + self.running) * (now_s - self._area_until_s)
        self._area_until_s = now_s

    def _count_pass(self, entry: _Request, step: int) -> None:
        if entry.kind is not _COUNT and entry.wakes:
            self.passing += step
            self.passed_total += step > 0

    def _set_timer(self, when_s: float, subject: _Request | _Backend) -> None:
        if when_s == math.inf:
            return
        self._timers_set += 1
        heappush(self._timers, (when_s, self._timers_set, subject))
        if len(self._timers) > _TIMER_SLACK + 4 * (len(self._requests) + len(self._backends)):
            self._timers = [timer for timer in self._timers if self._is_live(timer[2])]
            heapify(self._timers)

    @staticmethod
    def _is_live(subject: _Request | _Backend) -> bool:
        return subject.aside_until_s is not None if isinstance(subject, _Backend) else subject.line is not None
