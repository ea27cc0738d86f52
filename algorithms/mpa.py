"""The reference service's class (`mpa.autoscaling.knative.dev`): replicas follow the requests in flight directly.

replicas = ceil(in-flight / (concurrency x utilisation)), in-flight being queued plus running at the gateway; no window.
"""

from math import ceil

from algorithms.feeder import current_count
from algorithms.state import Stateless
from algorithms.types import Observation, Recommendation


def replicas_for(count: float, target: float) -> int:
    """Give the replicas that `count` requests need at `target` requests each, which is above 0.

    A mean is an integral divided by a time: what is left of rounding it, below a millionth, asks for no replica.
    """
    return ceil(round(count / target, 6))


class Mpa(Stateless):
    """Wishes for just enough replicas for what is in flight now."""

    def __init__(self, *, target: float) -> None:
        """Set how many requests a replica should have in flight: concurrency x utilisation, above 0."""
        self._target = target

    def recommend(self, observation: Observation) -> Recommendation:
        """Divide; an unknown count is no wish."""
        if observation.inflight is None:
            return Recommendation(None, observation.problem)
        count = current_count(observation)
        return Recommendation(replicas_for(count, self._target), f"{count:g} in flight / {self._target:g}")
