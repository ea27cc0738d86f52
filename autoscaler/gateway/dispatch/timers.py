"""The times at which the dispatcher has something to do: deadlines of requests, and ends of pods' absences."""

import math
from heapq import heapify, heappop, heappush

from autoscaler.gateway.dispatch.backend import Backend, Request

_SLACK = 64
"""How many timers may be left over from what has ended, before they are cleared."""

Subject = Request | Backend


class Timers:
    """A heap of times. Timers are not cancelled: what has ended meanwhile is skipped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Subject]] = []
        self._set = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, when_s: float, subject: Subject, live: int) -> None:
        """Set a timer; `live` is how many requests and pods there are."""
        if when_s == math.inf:
            return
        self._set += 1
        heappush(self._heap, (when_s, self._set, subject))
        if len(self._heap) > _SLACK + 4 * live:
            self._heap = [timer for timer in self._heap if _is_live(timer[2])]
            heapify(self._heap)

    def pop_due(self, now_s: float) -> Subject | None:
        """Take the next timer that is due, None if none is."""
        return heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now_s else None

    @property
    def next_s(self) -> float | None:
        """When the next timer is due; None if never."""
        while self._heap and not _is_live(self._heap[0][2]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None


def _is_live(subject: Subject) -> bool:
    return subject.aside_until_s is not None if isinstance(subject, Backend) else subject.queue is not None
