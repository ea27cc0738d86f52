"""The requests of a service that wait: for any pod, or for the one they are pinned to."""

from collections import Counter

from autoscaler.gateway.dispatch.backend import COUNT, KINDS, PASS, TUNNEL, Backend, Request
from autoscaler.gateway.dispatch.backends import Backends
from autoscaler.gateway.dispatch.numbers import Numbers
from autoscaler.gateway.dispatch.turns import TurnQueue
from autoscaler.gateway.dispatch.types import ANY_TURN, SlotUse, Turn


class Waiting:
    """Queues by kind, each in the order of turns, and how many requests are in them.

    Attributes:
        count: requests that wait, by kind.
        waking_pass: Pass requests that wait and may wake a pod.
    """

    def __init__(self, pods: Backends, numbers: Numbers) -> None:
        self.count = dict.fromkeys(SlotUse, 0)
        self.waking_pass = 0
        self._pods = pods
        self._numbers = numbers
        self._for_any: dict[SlotUse, TurnQueue[Request]] = {kind: TurnQueue() for kind in KINDS}
        self._of_level: Counter[int] = Counter()
        """Those below the highest class."""
        self._of_turn: Counter[Turn] = Counter()

    def __bool__(self) -> bool:
        return bool(self.count[COUNT] or self.count[PASS] or self.count[TUNNEL])

    @property
    def any_uncounted(self) -> bool:
        """Whether a Pass request or a tunnel waits."""
        return bool(self.count[PASS] or self.count[TUNNEL])

    def is_full(self, request: Request) -> bool:
        """Return whether a new request may not wait: its class is full, and its client has one there already.

        The first request of a client is taken up to twice the length, so that no other client can keep it out.
        """
        length, turn = self._pods.queue.length, request.turn
        is_first = bool(turn.client) and not self._of_turn[turn]
        return self._in_class(request) >= (2 * length if is_first else length)

    def _in_class(self, request: Request) -> int:
        """Count those that wait and are of the request's kind and class."""
        if request.turn.level:
            return self._of_level[request.turn.level]
        return self.count[request.kind] - (sum(self._of_level.values()) if request.kind is COUNT else 0)

    def add(self, request: Request, home: Backend | None) -> None:
        """Hold a request at its place, for its pod if it has one that is ready."""
        request.queue = (self._for_any if home is None else home.held)[request.kind]
        request.queue.add(request)
        self._counted(request, 1)

    def drop(self, request: Request) -> None:
        """Hold a request no more that has ended."""
        if request.queue is not None:
            request.queue.remove(request, None)
            request.queue = None
            self._counted(request, -1)

    def take(self, request: Request) -> None:
        """Hold a request no more that goes on."""
        if request.queue is not None:
            request.queue.remove(request, self._numbers.behind_all())
            request.queue = None
            self._counted(request, -1)

    def grant(self, request: Request, backend: Backend) -> None:
        """Hold a request no more that is granted to a pod."""
        shares = self._pods.limits.shares
        if shares:
            here, anywhere = backend.held[request.kind], self._for_any[request.kind]
            (here if here.count else anywhere).pay(request, anywhere, shares)
        self.take(request)

    def release(self, backend: Backend) -> None:
        """Let the requests that wait for this pod go to any pod, each at its place."""
        for kind, queue in backend.held.items():
            for request in queue.members():
                queue.remove(request, self._numbers.behind_all())
                request.queue = self._for_any[kind]
                request.queue.add(request)

    def any_for_any(self, kind: SlotUse) -> bool:
        """Return whether a request waits that may go to any pod."""
        return self._for_any[kind].count > 0

    def first_for_any(self, kind: SlotUse) -> Request | None:
        """Return the request whose turn it is among those that may go to any pod."""
        return self._for_any[kind].first(self._pods.limits.shares)

    def first_for(self, backend: Backend, kind: SlotUse) -> Request | None:
        """Return the request whose turn it is among those that may go to this pod."""
        here, shares = backend.held[kind], self._pods.limits.shares
        return here.first_beside(self._for_any[kind], shares) if here.count else self._for_any[kind].first(shares)

    def in_turn(self) -> list[Request]:
        """Return the counted requests that may go to any pod, in the order of turns."""
        return self._for_any[COUNT].in_turn(self._pods.limits.shares)

    def oldest_arrived_s(self, now_s: float) -> float:
        """Return when the oldest counted request arrived; now if none waits."""
        queues = [self._for_any[COUNT], *(backend.held[COUNT] for backend in self._pods)]
        return min((each.arrived_s for queue in queues if (each := queue.oldest()) is not None), default=now_s)

    def _counted(self, request: Request, step: int) -> None:
        self.count[request.kind] += step
        if request.turn is not ANY_TURN:
            self._count_turn(request.turn, step)
        if request.kind is not COUNT and request.wakes:
            self.waking_pass += step

    def _count_turn(self, turn: Turn, step: int) -> None:
        if turn.level:
            self._of_level[turn.level] += step
        self._of_turn[turn] += step
        if not self._of_turn[turn]:
            del self._of_turn[turn]
