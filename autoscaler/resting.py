"""Services at zero with nothing in flight: of ten thousand most rest most of the time, and are not looked at meanwhile.

Rules:
1. A service rests when its last look showed nothing at all, all of it was known, and the same look again would change
   nothing.
2. Whoever hears anything about it ends its rest (`disturb`), and so does any answer of Prometheus but a whole zero, any
   change of its policy, and a gateway that falls silent where there is no Prometheus to ask.
3. Every service is looked at once in a while all the same, so that no rest lasts for ever.
4. Before the look that ends a rest comes one over the time of rest: nothing was in flight, and that is known.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import NamedTuple

from algorithms.types import Look
from autoscaler.loop import Service
from autoscaler.ports import Fleet, Reading, ServiceName

LONGEST_S = 300.0
"""No rest is longer; rests are of different lengths, so that not all services are looked at in the same tick."""
_LENGTHS = 30


class _Rest(NamedTuple):
    service: Service
    since_s: float
    until_s: float


class Resting:
    """Who rests; for a controller whose target and streams tell of every change."""

    def __init__(self) -> None:
        self._rests: dict[ServiceName, _Rest] = {}
        self._over: dict[ServiceName, Look] = {}
        """Looks over rests that the tick which is under way has ended."""
        self._disturbed: set[ServiceName] = set()
        self._quiet_s = 0.0
        """The last tick: until then nothing was in flight at any service that rests still."""
        self._lengths_s = cycle([LONGEST_S * (1 + step / _LENGTHS) / 2 for step in range(_LENGTHS)])

    def disturb(self, service: ServiceName) -> None:
        """End a service's rest with the next tick: something was heard of it."""
        if service in self._rests:
            self._disturbed.add(service)

    def awake(
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
        unasked = Reading(0.0, now_s, gateways) if heard else Reading(None, now_s)
        awake, over, rests, quiet = [], {}, self._rests, None
        for name, service in services.items():
            rest, reading = rests.get(name), readings.get(name, unasked)
            # Most readings are one object, so that most are told at a glance.
            is_quiet = reading is quiet or (reading.value == 0 and not reading.problem and reading.series >= gateways)
            quiet = reading if is_quiet else quiet
            if rest and rest[0] is service and now_s < rest[2] and is_quiet and name not in self._disturbed:
                continue
            awake.append(name)
            if rest is not None and (look := self._ended(name)):
                over[name] = look
        self._over, self._quiet_s = over, now_s
        return awake

    def wake(self, service: ServiceName) -> Look | None:
        """End a service's rest, for it is about to be looked at; gives the look over the time of rest, if it rested."""
        return self._over.pop(service, None) or self._ended(service)

    def _ended(self, service: ServiceName) -> Look | None:
        self._disturbed.discard(service)
        rest = self._rests.pop(service, None)
        if rest is None or self._quiet_s <= rest.since_s:
            return None
        return Look(self._quiet_s, rest.since_s, inflight=0.0, replicas=0, ready=0)

    def settle(self, name: ServiceName, service: Service, look: Look, fleet: Fleet) -> None:
        """Let a service that was looked at just now rest, if it may."""
        if service.decider.rests and not (look.problem or service.orders or fleet.replicas or fleet.hold):
            self._rests[name] = _Rest(service, look.now_s, look.now_s + next(self._lengths_s))
