"""The zero-delay policy, for comparison with queueing theory: replicas are what is in flight, at every moment.

A request that must wait starts a replica; one that ends frees its replica for the queue, and a replica too many goes at
once (the setup models of Gandhi, Harchol-Balter and Adan, *Server farms with setup costs*, 2010).
"""

from algorithms.decider import Decider
from algorithms.mpa import replicas_for
from algorithms.state import Stateless
from algorithms.types import Observation, Recommendation
from autoscaler.controller.step import Service


class ZeroDelay(Stateless):
    """Wishes for what is in flight now, whatever was before."""

    def __init__(self, target: float) -> None:
        self._target = target

    def recommend(self, observation: Observation) -> Recommendation:
        """Divide the newest count."""
        return Recommendation(replicas_for(observation.latest, self._target), f"{observation.latest:g} in flight now")


def zero_delay_service(min_replicas: int, max_replicas: int, target: float = 1.0) -> Service:
    """Give a service that follows it."""
    return Service(Decider(ZeroDelay(target), min_replicas=min_replicas, max_replicas=max_replicas))
