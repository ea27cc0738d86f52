"""The zero-delay policy, for comparison with queueing theory: replicas match the requests in flight at every moment.

A request that must wait starts a replica. A request that ends frees its replica for the queue, and a replica without a
request is removed at once (the setup models of Gandhi, Harchol-Balter and Adan, *Server farms with setup costs*, 2010).
"""

from algorithms.bounds import fixed_bounds
from algorithms.decider import Decider
from algorithms.mpa import replicas_for
from algorithms.observation import Observation
from algorithms.state import Stateless
from algorithms.types import Recommendation
from autoscaler.controller.step import Service


class ZeroDelay(Stateless):
    """Recommends replicas for the requests in flight now, without a memory."""

    def __init__(self, target: float) -> None:
        self._target = target

    def recommend(self, observation: Observation) -> Recommendation:
        """Divide the newest count by the target."""
        return Recommendation(replicas_for(observation.latest, self._target), f"{observation.latest:g} in flight now")


def zero_delay_service(min_replicas: int, max_replicas: int, target: float = 1.0) -> Service:
    """Give a service with the zero-delay policy, between `min_replicas` and `max_replicas`."""
    return Service(Decider(ZeroDelay(target), bounds=fixed_bounds(min_replicas, max_replicas)))
