"""The pods of a service: which are ready, which have room, and which one a request goes to."""

from collections.abc import Iterable, Iterator

from autoscaler.gateway.dispatch.backend import COUNT, PASS, Backend, Request
from autoscaler.gateway.dispatch.ordered_queue import OrderedQueue
from autoscaler.gateway.dispatch.pod_health import Health
from autoscaler.gateway.dispatch.types import Limits, QueueLimits


class Backends:
    """Pods by name, in the order in which they were added."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._by_name: dict[str, Backend] = {}
        self._added = 0
        self._free: OrderedQueue[Backend] = OrderedQueue()
        """Ready pods with a free slot."""

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Backend | None:
        """Return a pod, None for an unknown one."""
        return self._by_name.get(name)

    def known(self, name: str) -> Backend:
        """Return a pod; raises KeyError for an unknown one."""
        return self._by_name[name]

    def get_or_add(self, name: str, now_s: float) -> Backend:
        """Return a pod, a new one if the name is unknown."""
        backend = self._by_name.get(name)
        if backend is None:
            self._added += 1
            backend = self._by_name[name] = Backend(name, self._added, now_s)
        return backend

    def forget(self, backend: Backend) -> None:
        """Remove a pod, unless a new one has its name."""
        if self._by_name.get(backend.name) is backend:
            del self._by_name[backend.name]

    @property
    def any_reachable(self) -> bool:
        """Whether there is a pod that has not just refused a connection."""
        return any(backend.aside_until_s is None or backend.ejected for backend in self)

    @property
    def queue(self) -> QueueLimits:
        """The limits of the queue for a request that arrives now."""
        any_ready = self.limits.depend_on_pods and any(backend.ready for backend in self)
        return self.limits.queue(any_ready=any_ready)

    # Room.

    def has_slot(self, backend: Backend) -> bool:
        """Return whether a counted request may be sent to a pod."""
        limit = self.slots_of(backend)
        return not limit or backend.taken < limit

    def slots_of(self, backend: Backend) -> int:
        """Return how many counted requests a pod may run at a time; 0 is no limit."""
        return 1 if backend.health.on_trial else self.limits.concurrency

    def has_room(self, backend: Backend, request: Request) -> bool:
        """Return whether a pod has room for a request of this kind."""
        if request.kind is COUNT:
            return self.has_slot(backend)
        open_now = backend.passing if request.kind is PASS else backend.tunnels
        return not request.max_per_pod or open_now < request.max_per_pod

    def refresh(self, backend: Backend) -> None:
        """Find out again whether a pod is ready and has a free slot; call it after each change of the pod."""
        if backend.ready and self.has_slot(backend):
            self._free.add(backend.number, backend)
        else:
            self._free.remove(backend.number)

    # Which pod.

    def home(self, request: Request) -> Backend | None:
        """Return the pod that a request is pinned to, if it is ready."""
        home = self._by_name.get(request.pinned) if request.pinned is not None else None
        return home if home is not None and home.ready else None

    def pick(self, request: Request) -> Backend | None:
        """Return the pod for a request that may go to any, None if no pod has room."""
        if request.kind is COUNT:
            return _least(self._free.unordered()) if self.limits.takes_least else self._free.first()
        able = (
            backend
            for backend in self
            if backend.ready and self.has_room(backend, request) and not _overtakes(request, backend)
        )
        return min(able, key=_uncounted, default=None)

    # Ejection.

    @property
    def may_eject(self) -> bool:
        """Whether one more pod may be ejected."""
        stay = [backend for backend in self if not backend.draining]
        ejected, ready = sum(each.ejected for each in stay), sum(each.ready for each in stay)
        return self.limits.ejection.allow(ejected, ready, len(stay))

    def readmit_ejected_if_none_is_ready(self) -> None:
        """Use ejected pods again, with no failure remembered, if no pod is ready."""
        if any(backend.ready for backend in self):
            return
        for backend in self:
            if backend.ejected:
                backend.health = Health()
                backend.put_aside(None, ejected=False)
                self.refresh(backend)


def _least(backends: Iterable[Backend]) -> Backend | None:
    return min(backends, key=lambda each: (each.taken, each.passing + each.tunnels, each.number), default=None)


def _uncounted(backend: Backend) -> tuple[int, int, int, int]:
    """Return where a pod stands among those for a Pass request: of equal pods they take turns.

    The first Pass request of a client binds it. If the first pod were taken each time, clients that come one after the
    other would all be bound to it, and wait there beside an idle pod.
    """
    return backend.passing + backend.tunnels, backend.taken, backend.newest_pass, backend.number


def _overtakes(request: Request, backend: Backend) -> bool:
    """Return whether a request that arrived earlier waits for this pod; a new request has no number yet."""
    first = backend.held[request.kind].first(())
    return first is not None and (not request.number or first.number < request.number)
