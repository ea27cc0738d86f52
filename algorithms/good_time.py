"""From observations at any time to windows of whole seconds.

Knative's windows add up the values of a second and read a missing second as zero, because its pods report their shares
every second. Our sources give totals at any time: recorded naively, a constant 5 at a 2 s tick reads 2.5, and five
wake-ups in one second read 15. So there are three rules:

1. An observation puts its mean into every second it covers; the second in progress gets the newest count if it is
   higher.
2. A later observation replaces the value of an earlier one in a second, and never adds to it.
3. While the count is unknown, the clock of the windows stands still.
"""

from math import floor

from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import State


def seconds_covered(observation: Observation) -> range:
    """Give the finished seconds of an observation; the second in progress, `floor(now_s)`, follows them.

    The second of the observation before it is among them: it was in progress then, and is finished now.
    """
    return range(floor(observation.since_s), floor(observation.now_s))


def current_count(observation: Observation) -> float:
    """Give the count of the second in progress: the newest one if it is higher than the mean."""
    return max(observation.inflight or 0.0, observation.latest)


class GoodTimeClock:
    """Moves observations to a clock that stands still while the count is unknown (rule 3)."""

    __slots__ = ("_good_s", "_seen_s")

    def __init__(self) -> None:
        self._seen_s: float | None = None
        self._good_s = 0.0

    def __call__(self, observation: Observation) -> Observation:
        """Give the observation with times of the clock of good time; it must have a count.

        If no count was ever unknown, both clocks are the same, and the observation is returned unchanged.
        """
        if self._seen_s is None:
            self._seen_s = self._good_s = observation.since_s
        if self._seen_s == self._good_s == observation.since_s <= observation.now_s:
            self._seen_s = self._good_s = observation.now_s
            return observation
        since_s = self._good_s
        self._good_s += max(observation.now_s - max(observation.since_s, self._seen_s), 0.0)
        self._seen_s = observation.now_s
        return observation._replace(since_s=since_s, now_s=self._good_s)

    def export(self) -> State:
        """Give both clocks."""
        return {"version": VERSION, "seen_s": self._seen_s, "good_s": self._good_s}

    def restore(self, state: State) -> None:
        """Continue from exported clocks; raises ValueError on an unknown version."""
        check(state, "GoodTime")
        self._seen_s, self._good_s = state["seen_s"], state["good_s"]
