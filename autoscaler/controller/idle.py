"""Idle services: without replicas and traffic. Of ten thousand services most are idle, and ticks skip them.

Rules:
1. A service is idle if its last observation showed nothing at all, all of it was known, and the same observation again
   would change nothing.
2. A change of its counts (`wake`) ends its idle period. So does any answer of Prometheus except a complete zero, any
   change of its policy, and, if it has no Prometheus query, a gateway that falls silent.
3. Every idle period has an end, so that every service is observed from time to time: at the latest when the service
   changes by itself (`Service.next_change_s`), as by a window of its schedule.
4. Before the first observation after an idle period comes one over the whole period: nothing was in flight.
"""

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import cycle
from typing import NamedTuple

from algorithms.observation import Observation
from autoscaler.controller.revisions import LastRead
from autoscaler.controller.step import Service
from autoscaler.ports import Fleet, Reading, ServiceName

LONGEST_S = 600.0
"""The longest idle period. Periods differ in length, so that not all services are observed in the same tick."""
_DIFFERENT_LENGTHS = 30


class _IdlePeriod(NamedTuple):
    since_s: float
    until_s: float


class IdleServices:
    """Knows which services are idle, for a controller whose target and streams report every change."""

    def __init__(self) -> None:
        self._periods: dict[ServiceName, _IdlePeriod] = {}
        self._active: set[ServiceName] = set()
        """The services of the last tick that are not idle."""
        self._ends: list[tuple[float, ServiceName]] = []
        """A heap of the ends of idle periods; some periods have ended earlier."""
        self._services: dict[ServiceName, Service] = {}
        """The services of the last tick."""
        self._last_services = LastRead()
        self._ended_in_tick: dict[ServiceName, Observation] = {}
        """Observations over the idle periods that the present tick has ended."""
        self._woken: set[ServiceName] = set()
        self._quiet_s = 0.0
        """The last tick: until then nothing was in flight at any service that is still idle."""
        self._lengths_s = cycle([LONGEST_S * (1 + n / _DIFFERENT_LENGTHS) / 2 for n in range(_DIFFERENT_LENGTHS)])

    def wake(self, service: ServiceName) -> None:
        """End a service's idle period with the next tick: its counts have changed."""
        if service in self._periods:
            self._woken.add(service)

    def active(
        self,
        services: Mapping[ServiceName, Service],
        readings: Mapping[ServiceName, Reading],
        now_s: float,
        *,
        gateways: int,
        complete: bool,
    ) -> list[ServiceName]:
        """Give the services that a tick has to observe; the others stay idle.

        Args:
            services: all services.
            readings: Prometheus' readings of those that have a query.
            now_s: the time of the tick.
            gateways: how many gateways are known.
            complete: whether all of them have sent their counts just now.
        """
        # Sets, because a loop over ten thousand services would take most of a tick.
        active = self._changed(services) | self._active | self._woken | self._ended_by(now_s)
        active |= _not_zero(readings, gateways)
        if not complete:
            active |= services.keys() - readings.keys()
        names = sorted(active & services.keys())
        self._ended_in_tick = {name: period for name in names if (period := self._end(name))}
        self._quiet_s = now_s
        return names

    def _changed(self, services: Mapping[ServiceName, Service]) -> set[ServiceName]:
        """Give the services that have changed since the last tick, and forget those that are gone."""
        if not self._last_services.is_stale(services):
            return set()
        before, self._services = self._services, dict(services)
        for name in before.keys() - services.keys():
            self.forget(name)
        return {name for name, service in services.items() if before.get(name) is not service}

    def _ended_by(self, now_s: float) -> set[ServiceName]:
        ended = set()
        while self._ends and self._ends[0][0] <= now_s:
            until_s, name = heappop(self._ends)
            period = self._periods.get(name)
            if period is not None and period.until_s == until_s:
                ended.add(name)
        return ended

    def end_idle_period(self, service: ServiceName) -> Observation | None:
        """End a service's idle period before it is observed; give the observation over the period, if there was one."""
        return self._ended_in_tick.pop(service, None) or self._end(service)

    def _end(self, service: ServiceName) -> Observation | None:
        self._woken.discard(service)
        self._active.add(service)
        period = self._periods.pop(service, None)
        if period is None or self._quiet_s <= period.since_s:
            return None
        return Observation(self._quiet_s, period.since_s, inflight=0.0, replicas=0, ready=0)

    def forget(self, service: ServiceName) -> None:
        """Forget a service that is gone."""
        self._end(service)
        self._active.discard(service)
        self._ended_in_tick.pop(service, None)

    def mark_idle(self, name: ServiceName, service: Service, observation: Observation, fleet: Fleet) -> None:
        """Begin an idle period of a service that was just observed, if it has nothing to do."""
        now_s = observation.now_s
        has_override = fleet.override or any(now_s < override.until_s for override in service.overrides)
        if service.is_settled and not (observation.problem or has_override or fleet.replicas or fleet.leaving):
            self._active.discard(name)
            until_s = min(now_s + next(self._lengths_s), service.next_change_s(now_s))
            self._periods[name] = _IdlePeriod(now_s, until_s)
            heappush(self._ends, (self._periods[name].until_s, name))


def _not_zero(readings: Mapping[ServiceName, Reading], gateways: int) -> set[ServiceName]:
    """Give the services with any reading except a complete zero."""

    def is_zero(reading: Reading) -> bool:
        return reading.value == 0 and not reading.problem and reading.series >= gateways

    # Most readings are one object, so that an identity check decides most of them.
    zero = next(filter(is_zero, readings.values()), None)
    return {name for name, reading in readings.items() if reading is not zero and not is_zero(reading)}
