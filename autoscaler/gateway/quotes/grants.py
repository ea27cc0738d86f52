"""Which request that waits gets which slot, in one future: the order is the dispatcher's.

A property test holds both to the same grants.
"""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace

from autoscaler.gateway.dispatch.outlook import WaitingRequest

Granted = tuple[list[float], list[float]]
"""When each request is granted, and a heap of when slots are free after that."""


def grant(takes_s: Sequence[float], free: list[float]) -> Granted:
    """Grant each request the slot that is free first.

    Args:
        takes_s: for how long each request holds its slot, in the order of turns.
        free: when each slot is free.
    """
    heapify(free)
    granted = []
    for each_s in takes_s if free else ():
        granted.append(free[0])
        heapreplace(free, free[0] + each_s)
    return granted or [math.inf] * len(takes_s), free


def grant_pinned(
    waiting: Sequence[WaitingRequest],
    spills_s: Sequence[float],
    takes_s: Sequence[float],
    free: list[tuple[float, str]],
) -> Granted:
    """Grant requests of which some wait for one pod, until they spill over to all.

    Args:
        waiting: the requests in the order of turns.
        spills_s: when each may go to any pod.
        takes_s: for how long each holds its slot.
        free: when each slot is free, with its pod.
    """
    heapify(free)
    granted = [math.inf] * len(waiting)
    queues = _Queues(waiting, spills_s)
    idle: list[float] = []
    while queues.left and free and free[0][0] < math.inf:
        free_s, pod = heappop(free)
        queues.spill(free_s)
        place = queues.take_first(pod)
        if place is not None:
            granted[place] = free_s
            heappush(free, (free_s + takes_s[place], pod))
        elif queues.spills:
            heappush(free, (queues.spills[0][0], pod))
        else:
            idle.append(free_s)
    left = idle + [free_s for free_s, _ in free]
    heapify(left)
    return granted, left


class _Queues:
    """The places of requests that wait for any pod, under None, and for one pod.

    Attributes:
        left: how many wait.
        spills: when requests may go to any pod, with their places.
    """

    def __init__(self, waiting: Sequence[WaitingRequest], spills_s: Sequence[float]) -> None:
        self.left = len(waiting)
        self.spills = [
            (spills_s[place], place)
            for place, each in enumerate(waiting)
            if each.home is not None and spills_s[place] < math.inf
        ]
        heapify(self.spills)
        self._taken: set[int] = set()
        self._places: dict[str | None, list[int]] = {None: []}
        for place, each in enumerate(waiting):
            self._places.setdefault(each.home, []).append(place)

    def spill(self, now_s: float) -> None:
        """Let those go to any pod whose time has come."""
        while self.spills and self.spills[0][0] <= now_s:
            heappush(self._places[None], heappop(self.spills)[1])

    def take_first(self, pod: str) -> int | None:
        """Take the first that may go to a pod; None if none may."""
        found = []
        for places in (self._places[None], self._places.get(pod, [])):
            while places and places[0] in self._taken:
                heappop(places)
            found += places[:1]
        first = min(found, default=None)
        if first is not None:
            self._taken.add(first)
            self.left -= 1
        return first
