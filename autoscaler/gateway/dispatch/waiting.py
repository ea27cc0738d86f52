"""The requests of a service that wait: for any pod, or for the one they are pinned to."""

from autoscaler.gateway.dispatch.backend import COUNT, KINDS, PASS, TUNNEL, Backend, Request
from autoscaler.gateway.dispatch.ordered_queue import OrderedQueue
from autoscaler.gateway.dispatch.types import SlotUse


class Waiting:
    """Queues by kind, each in the order of arrival, and how many requests are in them.

    Attributes:
        count: requests that wait, by kind.
        waking_pass: Pass requests that wait and may wake a pod.
    """

    def __init__(self) -> None:
        self.count = dict.fromkeys(SlotUse, 0)
        self.waking_pass = 0
        self._for_any: dict[SlotUse, OrderedQueue[Request]] = {kind: OrderedQueue() for kind in KINDS}

    def __bool__(self) -> bool:
        return bool(self.count[COUNT] or self.count[PASS] or self.count[TUNNEL])

    @property
    def any_uncounted(self) -> bool:
        """Whether a Pass request or a tunnel waits."""
        return bool(self.count[PASS] or self.count[TUNNEL])

    def add(self, request: Request, home: Backend | None) -> None:
        """Hold a request at its place of arrival, for its pod if it has one that is ready."""
        queue = request.queue = (self._for_any if home is None else home.held)[request.kind]
        queue.add(request.number, request)
        self._counted(request, 1)

    def remove(self, request: Request) -> None:
        """Hold a request no more, if it is held."""
        if request.queue is not None:
            request.queue.remove(request.number)
            request.queue = None
            self._counted(request, -1)

    def release(self, backend: Backend) -> None:
        """Let the requests that wait for this pod go to any pod, each at its place of arrival."""
        for kind, queue in backend.held.items():
            for request in queue.members():
                queue.remove(request.number)
                request.queue = self._for_any[kind]
                request.queue.add(request.number, request)

    def first_for_any(self, kind: SlotUse) -> Request | None:
        """Return the first request that may go to any pod."""
        return self._for_any[kind].first()

    def first_for(self, backend: Backend, kind: SlotUse) -> Request | None:
        """Return the first request that may go to this pod."""
        anywhere, here = self._for_any[kind].first(), backend.held[kind].first()
        return anywhere if here is None or (anywhere is not None and anywhere.number < here.number) else here

    def _counted(self, request: Request, step: int) -> None:
        self.count[request.kind] += step
        if request.kind is not COUNT and request.wakes:
            self.waking_pass += step
