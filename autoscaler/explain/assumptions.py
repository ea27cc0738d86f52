"""What a forecast assumes: nothing arrives, what is in flight ends as usual, and what starts is ready as usual.

Rules:
1. The requests that run now end evenly over one mean service time: of R the k-th after (k - 1/2) / R of it. One that
   waits takes the first free slot, and ends a service time later. Without a known service time all end at once.
2. A replica that starts is ready after the usual time of a start, less its age. If that time is unknown, it is never
   ready within the forecast.
3. Replicas that are not ready leave first, those that were asked for last before all others.
4. Above 200 requests in flight some end together, because a forecast must be cheap.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heapreplace
from math import ceil, inf
from typing import NamedTuple

from algorithms.good_time import current_count
from algorithms.observation import Observation
from algorithms.plausibility import doubt
from autoscaler.ports import Fleet

_MOST_ENDS = 200
_ROUNDING = 6


class Assumed(NamedTuple):
    """What happens next at a service where nothing arrives."""

    ends_s: tuple[float, ...] = ()
    """When requests that are in flight now end, in order of time."""
    each: float = 1.0
    """How many end at each of these times."""
    starts: tuple[tuple[float, int], ...] = ()
    """When replicas that start now are ready, and how many."""
    start_s: float = inf
    """How long a replica takes that is asked for later."""


def assumed(
    observation: Observation,
    fleet: Fleet | None = None,
    *,
    slots: int = 1,
    service_s: float | None = None,
    start_s: float | None = None,
) -> Assumed:
    """Give what happens next.

    Args:
        observation: a plausible one, with a count.
        fleet: the replicas then.
        slots: how many requests a replica takes at a time; 0 is no limit.
        service_s: the mean time that it takes for one.
        start_s: how long a start usually takes.
    """
    length_s = inf if start_s is None else start_s
    starts = _starts(observation, fleet, length_s)
    running, queued = _in_flight(observation, slots)
    each = max((running + queued) / _MOST_ENDS, 1.0)
    running, queued, lanes = ceil(running / each), ceil(queued / each), slots / each
    free = [(observation.now_s, observation.ready * lanes - running)]
    free += [(ready_s, replicas * lanes) for ready_s, replicas in starts]
    now_s, work_s = observation.now_s, service_s or 0.0
    ends_s = [now_s + work_s * (number + 0.5) / running for number in range(running)]
    ends_s += _served(ends_s, free, queued, work_s) if slots else [now_s + work_s] * queued
    return Assumed(tuple(sorted(ends_s)), each, starts, length_s)


def _starts(observation: Observation, fleet: Fleet | None, length_s: float) -> tuple[tuple[float, int], ...]:
    now_s = observation.now_s
    if fleet is None:
        return ((now_s + length_s, observation.starting),) if observation.starting else ()
    ages_s = sorted((replica.age_s for replica in fleet.replicas if not replica.ready), reverse=True)
    return tuple((now_s + max(length_s - age_s, 0.0), 1) for age_s in ages_s)


def _in_flight(observation: Observation, slots: int) -> tuple[int, int]:
    """Give the requests that run and that wait; if only their sum is known, as many run as there are slots."""
    running, queued = observation.running, observation.queued
    if running is not None and queued is not None and not (doubt(running) or doubt(queued)):
        return ceil(running), ceil(queued)
    total = ceil(round(observation.latest or current_count(observation), _ROUNDING))
    running = min(total, observation.ready * slots) if slots else total
    return running, total - running


def _served(ends_s: list[float], free: Iterable[tuple[float, float]], queued: int, work_s: float) -> Iterator[float]:
    """Give when requests that wait end: each takes the first slot that becomes free (rule 1).

    Args:
        ends_s: when those that run end.
        free: how many other slots become free, and when.
        queued: how many wait.
        work_s: how long each takes.
    """
    slots = list(ends_s)
    for at_s, number in free:
        slots += [at_s] * min(max(ceil(number), 0), queued)
    if not slots:
        yield from [inf] * queued
        return
    heapify(slots)
    for _ in range(queued):
        end_s = slots[0] + work_s
        heapreplace(slots, end_s)
        yield end_s


class World:
    """A service where nothing arrives, from one decision to the next.

    Args:
        observation: the last one of the real service.
        happens: what happens.
        asked: the replicas asked for after the decision on it.
    """

    def __init__(self, observation: Observation, happens: Assumed, asked: int) -> None:
        self._now_s = observation.now_s
        self._ends_s = list(happens.ends_s)
        self._each, self._start_s = happens.each, happens.start_s
        self._ready, self._starts = observation.ready, list(happens.starts)
        self._asked = asked
        self.ask(asked)

    def ask(self, replicas: int) -> None:
        """Ask for replicas."""
        exist = self._ready + sum(number for _, number in self._starts)
        if replicas > exist:
            self._starts.append((self._now_s + self._start_s, replicas - exist))
        too_many = exist - replicas
        while too_many > 0 and self._starts:
            at_s, number = self._starts.pop()
            if number > too_many:
                self._starts.append((at_s, number - too_many))
            too_many -= number
        self._ready = min(self._ready, replicas)
        self._asked = replicas

    def observe(self, now_s: float) -> Observation:
        """Give the observation at a later time."""
        since_s, self._now_s = self._now_s, now_s
        open_s = sum(min(max(end_s - since_s, 0.0), now_s - since_s) for end_s in self._ends_s) * self._each
        self._ends_s = [end_s for end_s in self._ends_s if end_s > now_s]
        self._ready += sum(number for at_s, number in self._starts if at_s <= now_s)
        self._starts = [(at_s, number) for at_s, number in self._starts if at_s > now_s]
        return Observation(
            now_s,
            since_s,
            open_s / (now_s - since_s),
            self._asked,
            self._ready,
            latest=len(self._ends_s) * self._each,
            starting=sum(number for _, number in self._starts),
        )

    def back_to(self, now_s: float) -> None:
        """Undo an observation before which nothing happened since `now_s`."""
        self._now_s = now_s

    @property
    def next_s(self) -> float:
        """When something happens next by itself; infinity if nothing does."""
        return min((*self._ends_s[:1], *(at_s for at_s, _ in self._starts)), default=inf)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in flight any more."""
        return not self._ends_s
