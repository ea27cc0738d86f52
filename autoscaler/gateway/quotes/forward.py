"""Runs a service forward from one moment to the grants of all that wait, in several futures.

The grants are those of the dispatcher if nothing else arrives: a freed slot gets the first request in the order of
turns that its pod may serve. In each future the durations of what runs, of what starts and of what waits are drawn. A
request or a pod has the same chances in each run, so that a quote changes only by what happened meanwhile.

Left out are pods that do not exist yet, pods that are set aside, and requests that are still to come, also those of a
higher class.
"""

import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple
from zlib import crc32

from autoscaler.gateway.dispatch.outlook import Outlook, ReadyPod, WaitingRequest
from autoscaler.gateway.quotes.measured import Durations

FUTURES = 48
_FEWEST_FUTURES = 12
_DRAWS = 1_200
"""For each request that waits: about a millisecond on a slow core."""
LONGEST_QUEUE = 1_000
"""Requests behind these get no quote."""
_COLUMNS = 509
"""A prime, so that the numbers of requests that arrive at one time do not share their chances."""


class Measured(NamedTuple):
    """What is known of durations."""

    starts: Durations
    """From a pod's creation until it gets requests."""
    services: Durations
    """For how long a request holds its slot."""


@lru_cache(maxsize=1)
def _chances() -> tuple[tuple[float, ...], ...]:
    """Return columns of chances, one for each future; each column has one in each of as many equal parts of [0, 1)."""
    rng = random.Random(1)  # noqa: S311 - draws futures
    columns = []
    for _ in range(_COLUMNS):
        places = [place + rng.random() for place in range(FUTURES)]
        rng.shuffle(places)
        columns.append(tuple(place / FUTURES for place in places))
    return tuple(columns)


def _of_request(number: int, futures: int) -> tuple[float, ...]:
    return _chances()[number % _COLUMNS][:futures]


def _of_pod(name: str, futures: int) -> tuple[float, ...]:
    return _chances()[crc32(name.encode()) % _COLUMNS][:futures]


def futures_for(waiting: int, slots: int) -> int:
    """Return how many futures are run: fewer where each costs more."""
    steps = min(waiting, LONGEST_QUEUE) + slots
    return max(_FEWEST_FUTURES, min(FUTURES, _DRAWS * max(1, waiting) // max(1, steps), 8 * _DRAWS // max(1, steps)))


class Forward:
    """One run.

    Args:
        outlook: the service at the moment.
        starting: since when each pod starts that is not ready yet.
        measured: the durations.
        now_s: the moment.
    """

    def __init__(self, outlook: Outlook, starting: Mapping[str, float], measured: Measured, now_s: float) -> None:
        self._waiting = outlook.waiting[:LONGEST_QUEUE]
        self._measured = measured
        self._now_s = now_s
        slots = sum(max(1, pod.slots) for pod in outlook.pods) + len(starting) * max(1, outlook.concurrency)
        self.futures = futures_for(len(outlook.waiting), slots)
        self._slots: list[list[tuple[float, str]]] = [[] for _ in range(self.futures)]
        self._unlimited_from_s = [math.inf] * self.futures
        self.first_ready_s = [math.inf] * self.futures
        for pod in outlook.pods:
            self._add_ready(pod)
        for name, since_s in starting.items():
            self._add_starting(name, now_s - since_s, outlook.concurrency)

    # Slots.

    def _add_ready(self, pod: ReadyPod) -> None:
        self.first_ready_s = [self._now_s] * self.futures
        if not pod.slots:
            self._unlimited_from_s = self.first_ready_s
            return
        rests = [self._rests(used.number, used.since_s) for used in pod.used]
        rests += (
            self._measured.services.rests(0.0, _of_pod(f"{pod.name}/{job}", self.futures))
            for job in range(pod.other_jobs)
        )
        excess = len(rests) - pod.slots
        for future in range(self.futures):
            ends = [self._now_s + rest[future] for rest in rests]
            if excess > 0:  # the first of these ends free no slot
                ends = sorted(ends)[excess:]
            ends += [self._now_s] * -excess
            self._slots[future] += ((end_s, pod.name) for end_s in ends)

    def _rests(self, number: int, since_s: float | None) -> list[float]:
        age_s = 0.0 if since_s is None else self._now_s - since_s
        return self._measured.services.rests(age_s, _of_request(number, self.futures))

    def _add_starting(self, name: str, age_s: float, concurrency: int) -> None:
        for future, rest_s in enumerate(self._measured.starts.rests(age_s, _of_pod(name, self.futures))):
            ready_s = self._now_s + rest_s
            self.first_ready_s[future] = min(self.first_ready_s[future], ready_s)
            self._slots[future] += [(ready_s, name)] * concurrency
            if not concurrency:
                self._unlimited_from_s[future] = min(self._unlimited_from_s[future], ready_s)

    # Grants.

    def granted_s(self) -> list[list[float]]:
        """Return for each request that waits when it is granted, in each future; call it once."""
        of_requests = [
            self._measured.services.rests(0.0, _of_request(each.number, self.futures)) for each in self._waiting
        ]
        pinned = any(each.home is not None for each in self._waiting)
        by_future = []
        for future, slots in enumerate(self._slots):
            heapify(slots)
            takes_s = [rests[future] for rests in of_requests]
            from_s = self._unlimited_from_s[future]
            if not slots or from_s < math.inf:
                by_future.append([from_s] * len(takes_s))
            else:
                by_future.append(_grant_pinned(self._waiting, takes_s, slots) if pinned else _grant(takes_s, slots))
        return [list(times) for times in zip(*by_future, strict=True)]

    def granted_next_s(self, number: int, now_s: float) -> list[float]:
        """Return when a request is granted that has arrived since, behind all others."""
        granted_s = self.free_s(now_s)
        takes_s = self._measured.services.rests(0.0, _of_request(number, self.futures))
        for slots, from_s, each_s in zip(self._slots, granted_s, takes_s, strict=True):
            if slots:
                heapreplace(slots, (from_s + each_s, slots[0][1]))
        return granted_s

    def free_s(self, now_s: float) -> list[float]:
        """Return when the first slot is free that nobody waits for."""
        free_s = (slots[0][0] if slots else math.inf for slots in self._slots)
        return [max(now_s, min(each)) for each in zip(free_s, self._unlimited_from_s, strict=True)]


def _grant(takes_s: Sequence[float], slots: list[tuple[float, str]]) -> list[float]:
    """Grant each request the slot that is free first."""
    granted = []
    for each_s in takes_s:
        free_s, pod = slots[0]
        granted.append(free_s)
        heapreplace(slots, (free_s + each_s, pod))
    return granted


def _grant_pinned(
    waiting: Sequence[WaitingRequest], takes_s: Sequence[float], slots: list[tuple[float, str]]
) -> list[float]:
    """Grant requests of which some wait for one pod, until they spill over to all."""
    granted = [math.inf] * len(waiting)
    queues = _Queues(waiting)
    idle: list[tuple[float, str]] = []
    while queues.left and slots and slots[0][0] < math.inf:
        free_s, pod = heappop(slots)
        queues.spill(free_s)
        place = queues.take_first(pod)
        if place is not None:
            granted[place] = free_s
            heappush(slots, (free_s + takes_s[place], pod))
        elif queues.spills:
            heappush(slots, (queues.spills[0][0], pod))
        else:
            idle.append((free_s, pod))
    for each in idle:
        heappush(slots, each)
    return granted


class _Queues:
    """The places of requests that wait for any pod, under None, and for one pod.

    Attributes:
        left: how many wait.
        spills: when requests may go to any pod, with their places.
    """

    def __init__(self, waiting: Sequence[WaitingRequest]) -> None:
        self.left = len(waiting)
        self.spills = [
            (each.spill_s, place)
            for place, each in enumerate(waiting)
            if each.home is not None and each.spill_s < math.inf
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
