"""A fixed number of replicas without a controller: one step for each request, and no events.

The end of a request is known when it starts, so `start = max(arrival, earliest time at which a replica is free)`
describes the run (Kiefer and Wolfowitz, *On the theory of queues with many servers*, 1955).
"""

from typing import NamedTuple

import numpy as np

from simulations.engines.jit import compiled
from simulations.model.history import SERVED, Change, History, Replicas, Requests
from simulations.model.run_inputs import Batch, Floats, Integers


class Servers(NamedTuple):
    """The state of a fixed number of replicas; changed in place, so that a run can be done in parts."""

    free: Floats
    """When each replica is free, in seconds."""
    last: Integers
    """The last request of each replica; -1 for none."""


@compiled
def fifo(arrival: Floats, service: Floats, servers: Servers, start: Floats, replica: Integers) -> None:
    """Serve requests in order of arrival, one at a time on each replica, and fill in `start` and `replica`.

    A request goes to the first replica that is free, otherwise to the one that is free earliest. If two become free at
    the same time, it goes to the one with the earlier last request.
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


def run(batch: Batch, replicas: int) -> History:
    """Serve requests on replicas that are ready during the whole run, with an unlimited queue."""
    count = len(batch.arrival)
    servers = Servers(np.zeros(replicas), np.full(replicas, -1, dtype=np.int64))
    start, replica = np.empty(count), np.empty(count, dtype=np.int64)
    fifo(batch.arrival, batch.service, servers, start, replica)
    end = start + batch.service
    end_s = float(end.max(initial=0.0))
    zero, never = np.zeros(replicas), np.full(replicas, np.nan)
    return History(
        engine="fixed replicas, compiled",
        end_s=end_s,
        requests=Requests(
            arrival_s=batch.arrival,
            start_s=start,
            end_s=end,
            status=np.full(count, SERVED, dtype=np.int64),
            replica=replica,
            client=np.full(count, -1, dtype=np.int64),
            latency_s=end - batch.arrival,
            service_s=batch.service,
        ),
        replicas=Replicas(
            asked_s=zero,
            placed_s=zero,
            ready_s=zero,
            leaving_s=never,
            gone_s=never,
            busy_s=np.bincount(replica, weights=batch.service, minlength=replicas).astype(float),
            draining_s=zero,
            pool=np.zeros(replicas, dtype=np.int64),
        ),
        changes=(Change(0.0, replicas),),
        decisions=(),
        inflight_s=integral(batch.arrival, end),
    )


def integral(arrival: Floats, end: Floats) -> float:
    """Integrate the requests in the system over time; gives request-seconds."""
    return path_integral(arrival, np.sort(end))


@compiled
def path_integral(arrival: Floats, left: Floats) -> float:
    """Integrate arrivals minus departures over time, from their sorted times."""
    area, last, came = 0.0, 0.0, 0
    for gone in range(len(left)):
        while came < len(arrival) and arrival[came] <= left[gone]:
            area += (came - gone) * (arrival[came] - last)
            last = arrival[came]
            came += 1
        area += (came - gone) * (left[gone] - last)
        last = left[gone]
    return area
