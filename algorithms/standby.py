"""Replicas beyond what the load needs now: rules that add them, and algorithms that do not count them.

Spare replicas are there while there is load. Replicas for requests that are announced are there before these arrive.

An algorithm limits how fast the number falls by the replicas that are ready. If it counted those beyond the load, it
would keep some of them for ever: with two spare of four it asks for half of four, and two more are four again. `Hints`
runs after the delays of scale-down, which therefore never see its number: when a hint has ended, no delay holds a
replica for it.
"""

from algorithms.good_time import current_count
from algorithms.mpa import replicas_for
from algorithms.observation import Observation
from algorithms.state import VERSION, Stateless, check
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


class Hints:
    """Announced requests count as in flight beside those that are; they raise the number, and never lower it."""

    rule = "hints"

    def __init__(self, *, target: float, most: int) -> None:
        """Build it.

        Args:
            target: requests in flight for each replica.
            most: more announced requests than this do not count, however many gateways report some.
        """
        self._target = target
        self._most = most
        self.added = 0
        """The replicas that the last decision has only for hints."""

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Ask for the replicas of the requests in flight and of those announced."""
        self.added = 0
        if not observation.hinted:
            return recommendation
        number = replicas_for(current_count(observation) + self._counted(observation), self._target)
        self.added = max(number - recommendation, 0)
        return recommendation + self.added

    def why(self, observation: Observation) -> str:
        """Give their number, and when they are to come."""
        return f"{self._counted(observation):g} announced within {observation.hinted_s:.0f} s"

    def _counted(self, observation: Observation) -> float:
        return min(observation.hinted, float(self._most))

    def export(self) -> State:
        """Give the replicas that are there only for hints."""
        return {"version": VERSION, "added": self.added}

    def restore(self, state: State) -> None:
        """Continue with them."""
        check(state, "Hints")
        self.added = state["added"]


class WithoutHinted:
    """Shows an algorithm the replicas that are ready without those that only hints asked for."""

    def __init__(self, algorithm: Algorithm, hints: Hints) -> None:
        self._algorithm = algorithm
        self._hints = hints

    def recommend(self, observation: Observation) -> Recommendation:
        """Give the algorithm's recommendation; of several ready replicas at least one is not for hints."""
        ready = min(observation.ready, max(observation.ready - self._hints.added, 1))
        return self._algorithm.recommend(observation._replace(ready=ready))

    def export(self) -> State:
        """Give the algorithm's state."""
        return self._algorithm.export()

    def restore(self, state: State) -> None:
        """Continue with the algorithm's state."""
        self._algorithm.restore(state)
