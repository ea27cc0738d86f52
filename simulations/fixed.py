"""The fastest engine, for replicas that neither come nor go: one step per request, and no event at all.

When a request starts its end is known, so `start = max(arrival, the earliest time at which a replica is free)` says all
(Kiefer and Wolfowitz, *On the theory of queues with many servers*, 1955).
"""

from typing import NamedTuple

from simulations.jit import compiled
from simulations.setup import Floats, Integers


class Servers(NamedTuple):
    """Replicas that neither come nor go; changed in place, so that the next requests can follow."""

    free: Floats
    """When each is free."""
    last: Integers
    """The last request of each, -1 for none."""


@compiled
def fifo(arrival: Floats, service: Floats, servers: Servers, start: Floats, replica: Integers) -> None:
    """Serve requests in order of arrival, one at a time on each replica, and fill in `start` and `replica`.

    A request goes to the first replica that is free, else to the one that will be free first; of two that become free
    together to the one that has been busy for longer.
    """
    free, last = servers
    count = len(free)
    for request in range(len(arrival)):
        came = arrival[request]
        best, earliest = 0, free[0]
        if earliest > came:
            for other in range(1, count):
                when = free[other]
                if when <= came:
                    best, earliest = other, when
                    break
                if when < earliest or (when == earliest and last[other] < last[best]):
                    best, earliest = other, when
        begins = max(came, earliest)
        start[request] = begins
        replica[request] = best
        free[best] = begins + service[request]
        last[best] = request
