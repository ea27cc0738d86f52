"""How long a replica takes for a request: a mean that follows what is observed."""

from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import State

MEMORY = 100
"""The requests that the mean rests on, about: with each finished request the weight of the earlier ones falls by a
hundredth."""


class ServiceTimes:
    """The mean service time of the last requests, as seconds of serving divided by requests finished.

    The quotient counts a long request while it runs, and not only when it ends. It is the mean service time as soon as
    more has finished than runs (Little's law for what replicas serve).
    """

    def __init__(self) -> None:
        self._busy_s = 0.0
        self._finished = 0.0

    @property
    def mean_s(self) -> float | None:
        """The mean in seconds; None while no request has finished, or none took time."""
        return self._busy_s / self._finished if self._finished and self._busy_s else None

    def record(self, observation: Observation) -> None:
        """Take what an observation says of requests; one that knows only a part says nothing."""
        busy_s, finished = observation.busy_s, observation.finished
        if busy_s is None or finished is None:
            return
        if finished:
            kept = (1 - 1 / MEMORY) ** finished
            self._busy_s *= kept
            self._finished *= kept
        self._busy_s += busy_s
        self._finished += finished

    def export(self) -> State:
        """Give both sums."""
        return {"version": VERSION, "busy_s": self._busy_s, "finished": self._finished}

    def restore(self, state: State) -> None:
        """Continue with both sums."""
        check(state, "ServiceTimes")
        self._busy_s, self._finished = state["busy_s"], state["finished"]
