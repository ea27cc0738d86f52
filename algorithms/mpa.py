"""Replicas follow the requests in flight directly, as a class of autoscaler `mpa.autoscaling.knative.dev` does.

replicas = ceil(in-flight / (concurrency x utilisation)), where in-flight is queued plus running at the gateway. It has
no window.
"""

from math import ceil

from algorithms.good_time import current_count
from algorithms.observation import Observation
from algorithms.state import Stateless
from algorithms.types import Average, Recommendation


def replicas_for(count: float, target: float) -> int:
    """Give the replicas that `count` requests need at `target` requests each, which is above 0.

    A mean is an integral divided by a time: its rounding error, below a millionth, asks for no replica.
    """
    return ceil(round(count / target, 6))


class Mpa(Stateless):
    """Recommends just enough replicas for the requests in flight now."""

    def __init__(self, *, target: float) -> None:
        """Set how many requests a replica should have in flight: concurrency x utilisation, above 0."""
        self._target = target

    def recommend(self, observation: Observation) -> Recommendation:
        """Divide the count by the target; an unknown count gives no recommendation."""
        if observation.inflight is None:
            return Recommendation(None, observation.problem)
        count = current_count(observation)
        why = f"{count:g} in flight / {self._target:g}"
        return Recommendation(
            replicas_for(count, self._target), why, (Average("latest", count, 0.0, 0.0),), self._target
        )
