"""Matches the requests that wait with the pods that have room."""

from collections import deque

from autoscaler.gateway.dispatch.backend import COUNT, KINDS, PASS, Backend, Request
from autoscaler.gateway.dispatch.backends import Backends
from autoscaler.gateway.dispatch.reported_jobs import ReportedJobs
from autoscaler.gateway.dispatch.types import Grant, SlotUse
from autoscaler.gateway.dispatch.waiting import Waiting

_KEPT = 256


class Slots:
    """The slots of a service's pods.

    Attributes:
        running: slots that are taken.
        now_s: the time of the present event.
        held_s: for how long the last requests held their slots.
    """

    def __init__(self, pods: Backends, waiting: Waiting, now_s: float) -> None:
        self.running = 0
        self.now_s = now_s
        self.held_s: deque[float] = deque(maxlen=_KEPT)
        self._pods = pods
        self._waiting = waiting
        self._passes = 0
        """Pass requests and tunnels that were granted."""

    def place(self, entry: Request) -> Backend | None:
        """Return the pod that a new request may go to without overtaking another."""
        if self._waiting.any_for_any(entry.kind):
            return None
        home = self._pods.home(entry)
        if home is None:
            return self._pods.pick(entry)
        if self._pods.has_room(home, entry) and not home.held[entry.kind].count:
            return home
        spills = entry.kind is COUNT and self._pods.limits.spill_after_s <= 0
        return self._pods.pick(entry) if spills else None

    def start(self, entry: Request, backend: Backend) -> Grant:
        """Let a request run on a pod."""
        if entry.queue is not None:
            self._waiting.grant(entry, backend)
        entry.backend = backend
        entry.granted_s = self.now_s
        if entry.kind is COUNT:
            backend.running += 1
            backend.granted += 1
            entry.grant_number = backend.granted
            if backend.jobs is not None:
                backend.jobs.granted(entry.grant_number)
            self.running += backend.update_slots(self.now_s)
            self._pods.refresh(backend)
        elif entry.kind is PASS:
            backend.passing += 1
        else:
            backend.tunnels += 1
            backend.opening += 1
        if entry.kind is not COUNT:
            self._passes += 1
            backend.newest_pass = self._passes
        return Grant(entry.id, backend.name)

    def stop(self, entry: Request, *, was_seen: bool = True) -> Backend:
        """End a request on its pod; `was_seen` says whether the pod received any of it."""
        backend = entry.backend
        if backend is None:
            raise ValueError(f"request {entry.id!r} has not been granted")
        entry.backend = None
        if entry.kind is COUNT:
            backend.running -= 1
            if was_seen and entry.granted_s is not None:
                self.held_s.append(self.now_s - entry.granted_s)
            if backend.jobs is not None:
                (backend.jobs.ended if was_seen else backend.jobs.refused)(entry.grant_number)
            self.running += backend.update_slots(self.now_s)
            self._pods.refresh(backend)
        elif entry.kind is PASS:
            backend.passing -= 1
        else:
            backend.tunnels -= 1
            backend.opening -= not entry.opened
        self.forget_if_drained(backend)
        return backend

    def serve(self, backend: Backend) -> list[Grant]:
        """Grant a pod with room the requests that it may serve, in the order of turns."""
        return self._with_unblocked(self._fill(backend))

    def _with_unblocked(self, grants: list[Grant]) -> list[Grant]:
        """Add the grants of Pass requests that stood behind one that is granted now: their limits may differ."""
        return grants + self.serve_all() if grants and self._waiting.any_uncounted else grants

    def _fill(self, backend: Backend) -> list[Grant]:
        grants: list[Grant] = []
        if not self._waiting:
            return grants
        for kind in KINDS:
            while self._waiting.count[kind] and (entry := self._next_for(backend, kind)) is not None:
                grants.append(self.start(entry, backend))
        return grants

    def _next_for(self, backend: Backend, kind: SlotUse) -> Request | None:
        first = self._waiting.first_for(backend, kind)
        return first if first is not None and backend.ready and self._pods.has_room(backend, first) else None

    def serve_all(self) -> list[Grant]:
        """Grant every pod the requests that it may serve, in the order of turns."""
        grants: list[Grant] = []
        while more := [grant for backend in self._pods for grant in self._fill(backend)]:
            grants += more
        return grants

    def settle(self) -> list[Grant]:
        """Grant pods to the requests that may go anywhere, as long as a pod has room."""
        grants: list[Grant] = []
        for kind in KINDS:
            while (entry := self._waiting.first_for_any(kind)) is not None:
                backend = self._pods.pick(entry)
                if backend is None:
                    break
                grants.append(self.start(entry, backend))
        return self._with_unblocked(grants)

    def refill(self, backend: Backend) -> list[Grant]:
        """Grant a pod that has changed the requests that it may serve."""
        self._pods.refresh(backend)
        return self.serve(backend)

    def set_jobs(self, backend: Backend, jobs: int | None, newest: int) -> None:
        """Note how many jobs a pod reports; see `Dispatcher.report_jobs`."""
        if jobs is None:
            backend.jobs = None
        else:
            backend.jobs = backend.jobs or ReportedJobs()
            backend.jobs.reported(jobs, newest)
        self.count(backend)

    def forget_if_drained(self, backend: Backend) -> None:
        """Forget a pod that drains and has nothing left to do."""
        if backend.draining and not backend.busy:
            self._pods.forget(backend)

    def count(self, backend: Backend) -> None:
        """Count again how many slots of a pod are taken."""
        self.running += backend.update_slots(self.now_s)
