"""The stream of the gateway's counts in the compiled engine, by the rules of `telemetry`."""

from math import inf

from autoscaler import wake_up
from autoscaler.wake_up import Demand
from simulations.engines.compiled_state import (
    AREA,
    AREA_UNTIL,
    ARRIVED,
    FINISHED,
    NOW,
    OBSERVED_AREA,
    QUEUED,
    RUNNING,
    SEND_DUE,
    SENT_AREA,
    SENT_ARRIVED,
    SENT_AT,
    SENT_FINISHED,
    SENT_INFLIGHT,
    SENT_QUEUED,
    SENT_SERVED_S,
    SERVED_S,
    State,
)
from simulations.engines.jit import compiled

needs_wake_up = compiled(wake_up.needs_wake_up)


@compiled
def integrate_inflight(s: State) -> None:
    """Integrate the requests in flight up to now."""
    now = s.clock[NOW]
    s.clock[AREA] += (s.counts[QUEUED] + s.counts[RUNNING]) * (now - s.clock[AREA_UNTIL])
    s.clock[AREA_UNTIL] = now


@compiled
def send_update(s: State) -> bool:
    """Send an update of the stream; say whether it wakes the controller."""
    clock, counts = s.clock, s.counts
    integrate_inflight(s)
    queued, inflight = counts[QUEUED], counts[QUEUED] + counts[RUNNING]
    wakes = needs_wake_up(Demand(counts[SENT_QUEUED], counts[SENT_INFLIGHT], 0), Demand(queued, inflight, 0))
    counts[SENT_QUEUED], counts[SENT_INFLIGHT] = queued, inflight
    clock[SENT_AT], clock[SENT_AREA], clock[SEND_DUE] = clock[NOW], clock[AREA], inf
    counts[SENT_ARRIVED], counts[SENT_FINISHED], clock[SENT_SERVED_S] = (
        counts[ARRIVED],
        counts[FINISHED],
        clock[SERVED_S],
    )
    clock[OBSERVED_AREA] = min(clock[OBSERVED_AREA], clock[AREA])
    return wakes
