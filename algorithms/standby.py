"""Spare replicas while there is load: a rule that adds them, and an algorithm that does not count them.

An algorithm limits how fast the number falls by the replicas that are ready. If it counted the spare ones, it would
keep some of them for ever: with two spare of four it asks for half of four, and two more are four again.
"""

from algorithms.observation import Observation
from algorithms.state import Stateless
from algorithms.types import Algorithm, Recommendation, State


class Standby(Stateless):
    """Spare replicas while there is load; none at rest."""

    rule = "standby"

    def __init__(self, *, replicas: int) -> None:
        self._replicas = replicas

    def __call__(self, observation: Observation, recommendation: int) -> int:  # noqa: ARG002 - as every rule
        """Add the spare replicas to a recommendation above zero."""
        return recommendation + self._replicas if recommendation else 0

    def why(self, _observation: Observation) -> str:
        """Give their number."""
        return f"{self._replicas} spare while there is load"


class WithoutStandby:
    """Shows an algorithm the replicas that are ready without the spare ones."""

    def __init__(self, algorithm: Algorithm, *, replicas: int) -> None:
        self._algorithm = algorithm
        self._replicas = replicas

    def recommend(self, observation: Observation) -> Recommendation:
        """Give the algorithm's recommendation; of several ready replicas at least one is not spare."""
        ready = min(observation.ready, max(observation.ready - self._replicas, 1))
        return self._algorithm.recommend(observation._replace(ready=ready))

    def export(self) -> State:
        """Give the algorithm's state."""
        return self._algorithm.export()

    def restore(self, state: State) -> None:
        """Continue with the algorithm's state."""
        self._algorithm.restore(state)
