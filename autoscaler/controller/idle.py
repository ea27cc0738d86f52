"""Services at zero with nothing in flight: of ten thousand most rest most of the time, and are not looked at meanwhile.

Rules:
1. A service rests when its last look showed nothing at all, all of it was known, and the same look again would change
   nothing.
2. Whoever hears anything about it ends its rest (`wake`), and so does any answer of Prometheus but a whole zero, any
   change of its policy, and a gateway that falls silent where there is no Prometheus to ask.
3. Every service is looked at once in a while all the same, so that no rest lasts for ever.
4. Before the look that ends a rest comes one over the time of rest: nothing was in flight, and that is known.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import cycle
from typing import NamedTuple

from algorithms.types import Observation
from autoscaler.controller.step import Service
from autoscaler.ports import Fleet, Reading, ServiceName

LONGEST_S = 600.0
"""No rest is longer; rests are of different lengths, so that not all services are looked at in the same tick."""
_LENGTHS = 30


class _IdlePeriod(NamedTuple):
    since_s: float
    until_s: float


class IdleServices:
    """Who rests; for a controller whose target and streams tell of every change."""

    def __init__(self) -> None:
        self._periods: dict[ServiceName, _IdlePeriod] = {}
        self._active: set[ServiceName] = set()
        """Those that do not rest, of all that there were at the last tick."""
        self._ends: list[tuple[float, ServiceName]] = []
        """A heap of when each rest ends by itself; some have ended before."""
        self._services: dict[ServiceName, Service] = {}
        """As they were at the last tick."""
        self._over: dict[ServiceName, Observation] = {}
        """Looks over rests that the tick which is under way has ended."""
        self._woken: set[ServiceName] = set()
        self._quiet_s = 0.0
        """The last tick: until then nothing was in flight at any service that rests still."""
        self._lengths_s = cycle([LONGEST_S * (1 + step / _LENGTHS) / 2 for step in range(_LENGTHS)])

    def wake(self, service: ServiceName) -> None:
        """End a service's rest with the next tick: something was heard of it."""
        if service in self._periods:
            self._woken.add(service)

    def active(
        self,
        services: Mapping[ServiceName, Service],
        readings: Mapping[ServiceName, Reading],
        now_s: float,
        *,
        gateways: int,
        heard: bool,
    ) -> list[ServiceName]:
        """Give the services that a tick has to look at; the others rest on.

        Args:
            services: all there are.
            readings: what Prometheus says of those that it is asked for.
            now_s: when.
            gateways: how many are known to live.
            heard: whether all of these are.
        """
        # Sets, as a loop over ten thousand services would be most of a tick.
        active = (
            self._changed(services) | self._active | self._woken | self._ended_by(now_s) | _loud(readings, gateways)
        )
        if not heard:
            active |= services.keys() - readings.keys()
        names = sorted(active & services.keys())
        self._over = {name: observation for name in names if (observation := self._ended(name))}
        self._quiet_s = now_s
        return names

    def _changed(self, services: Mapping[ServiceName, Service]) -> set[ServiceName]:
        """Give those that are decided on in another way than at the last tick, and forget those that are gone."""
        if services == self._services:
            return set()
        before, self._services = self._services, dict(services)
        for name in before.keys() - services.keys():
            self.forget(name)
        return {name for name, service in services.items() if before.get(name) is not service}

    def _ended_by(self, now_s: float) -> set[ServiceName]:
        ended = set()
        while self._ends and self._ends[0][0] <= now_s:
            until_s, name = heappop(self._ends)
            rest = self._periods.get(name)
            if rest is not None and rest.until_s == until_s:
                ended.add(name)
        return ended

    def end_idle_period(self, service: ServiceName) -> Observation | None:
        """End a service's rest, for it is about to be looked at; gives the look over the time of rest, if it rested."""
        return self._over.pop(service, None) or self._ended(service)

    def _ended(self, service: ServiceName) -> Observation | None:
        self._woken.discard(service)
        self._active.add(service)
        rest = self._periods.pop(service, None)
        if rest is None or self._quiet_s <= rest.since_s:
            return None
        return Observation(self._quiet_s, rest.since_s, inflight=0.0, replicas=0, ready=0)

    def forget(self, service: ServiceName) -> None:
        """Take in that a service is gone."""
        self._ended(service)
        self._active.discard(service)
        self._over.pop(service, None)

    def mark_idle(self, name: ServiceName, service: Service, observation: Observation, fleet: Fleet) -> None:
        """Let a service that was looked at just now rest, if it may."""
        if service.decider.is_settled and not (observation.problem or service.orders or fleet.replicas or fleet.hold):
            self._active.discard(name)
            self._periods[name] = _IdlePeriod(observation.now_s, observation.now_s + next(self._lengths_s))
            heappush(self._ends, (self._periods[name].until_s, name))


def _loud(readings: Mapping[ServiceName, Reading], gateways: int) -> set[ServiceName]:
    """Give those of which anything is said but a whole zero."""
    loud, quiet = set(), None
    for name, reading in readings.items():
        # Most readings are one object, so that most are told at a glance.
        if reading is quiet:
            continue
        if reading.value == 0 and not reading.problem and reading.series >= gateways:
            quiet = reading
        else:
            loud.add(name)
    return loud
