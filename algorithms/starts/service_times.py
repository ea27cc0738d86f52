"""How long a replica takes for a request: a mean that follows what is observed."""

from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import State

MEMORY = 100
"""The requests that the mean rests on, about: with each that finishes the weight of the earlier ones falls by a
hundredth."""


class ServiceTimes:
    """The mean service time of the last requests that finished."""

    def __init__(self) -> None:
        self._served_s = 0.0
        self._finished = 0.0

    @property
    def mean_s(self) -> float | None:
        """The mean in seconds; None while no request has finished, or none took time."""
        return self._served_s / self._finished if self._finished and self._served_s else None

    def record(self, observation: Observation) -> None:
        """Take what an observation says of the requests that finished."""
        served_s, finished = observation.served_s, observation.finished
        if finished and served_s is not None:
            kept = (1 - 1 / MEMORY) ** finished
            self._served_s = self._served_s * kept + served_s
            self._finished = self._finished * kept + finished

    def export(self) -> State:
        """Give both sums."""
        return {"version": VERSION, "served_s": self._served_s, "finished": self._finished}

    def restore(self, state: State) -> None:
        """Continue with both sums."""
        check(state, "ServiceTimes")
        self._served_s, self._finished = state["served_s"], state["finished"]
