"""Starts another replica only if those asked for would not clear the queue in a share of a start.

With a replicas asked for that take c requests each, N requests in flight, and S the mean service time, w = N - a c wait
and are served in B = w S / (a c). A start is worth its GPU time if B is more than the share of the start, which takes
as long as half of the measured ones.
"""

from algorithms.good_time import current_count
from algorithms.observation import Observation
from algorithms.starts.cold_starts import HALF, ColdStarts
from algorithms.starts.service_times import ServiceTimes
from algorithms.state import VERSION, check
from algorithms.types import State


class WorthAStart:
    """Lowers a recommendation to the replicas whose start is worth it; never below those that are asked for.

    The first replica always starts. Without a measured start or a finished request each start is worth it.
    """

    rule = "scaleUp.worthAStart"

    def __init__(self, *, share: float, capacity: float, standby: int = 0) -> None:
        """Take the settings.

        Args:
            share: the part of a start within which the queue may be cleared instead.
            capacity: how many requests a replica serves at a time.
            standby: replicas asked for that are spare, and serve none of the queue.
        """
        self._share = share
        self._capacity = capacity
        self._standby = standby
        self._service_times = ServiceTimes()
        self._cold_starts = ColdStarts()
        self._why = ""

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Learn from the observation, and give how many of the replicas are worth their start."""
        self._service_times.record(observation)
        self._cold_starts.record(observation)
        number = max(observation.replicas - self._standby, 0)
        if recommendation <= number:
            return recommendation
        service_s = self._service_times.mean_s
        start_s = self._cold_starts.quantile_s(HALF, _next_pool(observation)) or self._cold_starts.quantile_s(HALF)
        if service_s is None or start_s is None:
            return recommendation
        inflight = current_count(observation)
        while number < recommendation:
            waiting = max(inflight - number * self._capacity, 0.0)
            clear_s = waiting * service_s / (number * self._capacity) if number else 0.0
            if number and clear_s <= self._share * start_s:
                self._why = (
                    f"{waiting:g} wait, {number} replicas clear them in {clear_s:.0f} s, a start takes {start_s:.0f} s"
                )
                break
            number += 1
        return number

    def why(self, _observation: Observation) -> str:
        """Give how long the queue and a start take."""
        return self._why

    def export(self) -> State:
        """Give what was measured."""
        return {
            "version": VERSION,
            "service_times": self._service_times.export(),
            "cold_starts": self._cold_starts.export(),
        }

    def restore(self, state: State) -> None:
        """Continue with what was measured."""
        check(state, "WorthAStart")
        self._service_times.restore(state["service_times"])
        self._cold_starts.restore(state["cold_starts"])


def _next_pool(observation: Observation) -> str:
    """Give the pool that the next replica gets: the first with room."""
    return next((pool.name for pool in observation.pools if not (pool.unplaced or pool.refused)), "")
