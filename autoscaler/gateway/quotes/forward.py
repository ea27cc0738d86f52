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
from heapq import heapreplace
from itertools import repeat
from typing import NamedTuple
from zlib import crc32

from autoscaler.gateway.dispatch.outlook import Outlook, ReadyPod
from autoscaler.gateway.quotes.grants import grant, grant_pinned
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
    """One run; all times are in seconds from its moment.

    Args:
        outlook: the service at the moment.
        starting: for how long each pod has been starting that is not ready yet.
        measured: the durations.
        now_s: the moment, by the dispatcher's clock.

    Attributes:
        futures: how many there are.
        first_ready_s: when the first pod is ready, in each future.
    """

    def __init__(self, outlook: Outlook, starting: Mapping[str, float], measured: Measured, now_s: float) -> None:
        self._waiting = outlook.waiting[:LONGEST_QUEUE]
        self._measured = measured
        self._now_s = now_s
        slots = sum(max(1, pod.slots) for pod in outlook.pods) + len(starting) * max(1, outlook.concurrency)
        self.futures = futures_for(len(outlook.waiting), slots)
        self._now = [0.0] * self.futures
        self._pods: list[str] = []
        """The pod of each slot."""
        self._ends: list[Sequence[float]] = []
        """When each slot is free, in each future."""
        self._free: list[list[float]] = []
        """For each future a heap: when slots are free once all that wait are granted."""
        ready = [self._add_ready(pod) for pod in outlook.pods]
        ready += [self._add_starting(name, age_s, outlook.concurrency) for name, age_s in starting.items()]
        self.first_ready_s = [min(times) for times in zip(*ready, strict=True)] or [math.inf] * self.futures
        self._is_unlimited = not outlook.concurrency

    # Slots.

    def _add_ready(self, pod: ReadyPod) -> list[float]:
        ends = [self._rests(used.number, used.since_s) for used in pod.used]
        jobs = (_of_pod(f"{pod.name}/{job}", self.futures) for job in range(pod.other_jobs))
        ends += [self._measured.services.rests(0.0, chances) for chances in jobs]
        if len(ends) > pod.slots:  # the first of these ends free no slot
            ordered = [sorted(each)[len(ends) - pod.slots :] for each in zip(*ends, strict=True)]
            ends = [list(each) for each in zip(*ordered, strict=True)]
        self._add(pod.name, ends + [self._now] * (pod.slots - len(ends)))
        return self._now

    def _rests(self, number: int, since_s: float | None) -> list[float]:
        age_s = 0.0 if since_s is None else self._now_s - since_s
        return self._measured.services.rests(age_s, _of_request(number, self.futures))

    def _add_starting(self, name: str, age_s: float, concurrency: int) -> list[float]:
        ready_s = self._measured.starts.rests(age_s, _of_pod(name, self.futures))
        self._add(name, [ready_s] * concurrency)
        return ready_s

    def _add(self, pod: str, ends: Sequence[Sequence[float]]) -> None:
        self._pods += [pod] * len(ends)
        self._ends += ends

    # Grants.

    def granted_s(self) -> list[Sequence[float]]:
        """Return for each request that waits when it is granted, in each future; call it once."""
        if self._is_unlimited:
            return [self.first_ready_s] * len(self._waiting)
        takes_s = [self._measured.services.rests(0.0, _of_request(each.number, self.futures)) for each in self._waiting]
        takes = zip(*takes_s, strict=True) if takes_s else repeat((), self.futures)
        ends = zip(*self._ends, strict=True) if self._ends else repeat((), self.futures)
        if any(each.home is not None for each in self._waiting):
            spills_s = [each.spill_s - self._now_s for each in self._waiting]
            found = [
                grant_pinned(self._waiting, spills_s, of_requests, list(zip(of_slots, self._pods, strict=True)))
                for of_requests, of_slots in zip(takes, ends, strict=True)
            ]
        else:
            found = [grant(each, list(of_slots)) for each, of_slots in zip(takes, ends, strict=True)]
        self._free = [free for _, free in found]
        return list(zip(*(granted for granted, _ in found), strict=True))

    def granted_next_s(self, number: int, after_s: float) -> list[float]:
        """Return when a request is granted that has arrived since, behind all others."""
        granted_s = self.free_s(after_s)
        takes_s = self._measured.services.rests(0.0, _of_request(number, self.futures))
        for free, from_s, each_s in zip(self._free, granted_s, takes_s, strict=False):
            if free:
                heapreplace(free, from_s + each_s)
        return granted_s

    def free_s(self, after_s: float) -> list[float]:
        """Return when the first slot is free that nobody waits for, but not before that time."""
        if self._is_unlimited:
            return [max(after_s, each) for each in self.first_ready_s]
        return [max(after_s, free[0]) if free else math.inf for free in self._free]
