"""The rules between an algorithm's recommendation and the decision, each with its name and its own state.

`_with_safety_rules` in `autoscaler.policy.decider_factory` lists them in the order in which they run; a new rule gets
its place there, and a switch in `Safety` in `autoscaler.policy.algorithm` if a user may turn it off. A pause, an
override and a foreign writer come after the decision, in `autoscaler.controller.step`. `MaxCold` runs after the
bounds, all others before them. Their times are those of the
observations, on the clock of good time: a delay does not end while the count is unknown.
"""

from algorithms.good_time import current_count
from algorithms.mpa import replicas_for
from algorithms.observation import Observation
from algorithms.state import VERSION, Stateless, check
from algorithms.types import State
from algorithms.windows import DelayWindow


class FromZero(Stateless):
    """While no replica is ready, the requests held now decide: an average over earlier seconds does not know them."""

    rule = "fromZero"

    def __init__(self, *, target: float) -> None:
        self._target = target

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Ask at once for the replicas that the requests in flight need."""
        if observation.ready:
            return recommendation
        return max(recommendation, replicas_for(current_count(observation), self._target))

    def why(self, observation: Observation) -> str:
        """Give the count."""
        return f"no replica is ready and {current_count(observation):g} requests are in flight"


class Passing(Stateless):
    """Pass requests need one replica to answer them, and never more than one."""

    rule = "passing"

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Keep one replica, or ask for one."""
        return max(recommendation, 1) if observation.passing else recommendation

    def why(self, observation: Observation) -> str:
        """Give their number."""
        return f"{observation.passing} uncounted requests need a replica"


class ScaleDownDelay:
    """Scale-down never goes below the highest recommendation of the last `delay_s` (Knative's scale-down-delay)."""

    rule = "scaleDown.delay"

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s
        self._recommendations = DelayWindow(delay_s)

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Record the recommendation and give the highest recorded one."""
        self._recommendations.record(observation.now_s, recommendation)
        return self._recommendations.maximum(observation.now_s)

    def why(self, _observation: Observation) -> str:
        """Give the delay."""
        return f"the highest recommendation within the last {self._delay_s:g} s"

    def export(self) -> State:
        """Give the recorded recommendations."""
        return {"version": 2, "recommendations": self._recommendations.export()}

    def restore(self, state: State) -> None:
        """Continue with the recorded recommendations; version 1 had another name for them."""
        check(state, "ScaleDownDelay", 1, 2)
        self._recommendations.restore(state["wishes" if state["version"] == 1 else "recommendations"])


class ToZeroDelay:
    """The last replica is removed after `delay_s` of recommendations of zero (Knative's pod retention)."""

    rule = "scaleDown.toZeroDelay"

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s
        self._zero_since_s: float | None = None

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Keep the last replica during the delay; if there is none, none is asked for."""
        if recommendation:
            self._zero_since_s = None
            return recommendation
        if self._zero_since_s is None:
            self._zero_since_s = observation.now_s
        waited_s = observation.now_s - self._zero_since_s
        return 0 if waited_s >= self._delay_s else min(observation.replicas, 1)

    def why(self, observation: Observation) -> str:
        """Give the elapsed part of the delay."""
        waited_s = observation.now_s - (observation.now_s if self._zero_since_s is None else self._zero_since_s)
        return f"zero has been recommended for {waited_s:.1f} of {self._delay_s:g} s"

    def export(self) -> State:
        """Give the time since which zero is recommended."""
        return {"version": VERSION, "zero_since_s": self._zero_since_s}

    def restore(self, state: State) -> None:
        """Continue the delay."""
        check(state, "ToZeroDelay")
        self._zero_since_s = state["zero_since_s"]


class PartialCount(Stateless):
    """A count with a missing part may raise the number, and never lowers it."""

    rule = "partialCount"

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Hold the number if the count is partial and the recommendation is lower."""
        return max(recommendation, observation.replicas) if observation.problem else recommendation

    def why(self, observation: Observation) -> str:
        """Say what is missing."""
        return observation.problem


class FirstWindow:
    """After a start the number does not fall before one window is known: earlier requests may need the replicas."""

    rule = "firstWindow"

    def __init__(self, *, window_s: float) -> None:
        self._window_s = window_s
        self._start_s: float | None = None

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Hold the number while the first window fills and the recommendation is lower."""
        if self._start_s is None:
            self._start_s = observation.since_s
        if observation.now_s - self._start_s >= self._window_s:
            return recommendation
        return max(recommendation, observation.replicas)

    def why(self, observation: Observation) -> str:
        """Give the known part of the window."""
        known_s = observation.now_s - (observation.now_s if self._start_s is None else self._start_s)
        return f"{known_s:.1f} of {self._window_s:g} s are known since the start"

    def export(self) -> State:
        """Give the start."""
        return {"version": VERSION, "start_s": self._start_s}

    def restore(self, state: State) -> None:
        """Continue to fill the same window."""
        check(state, "FirstWindow")
        self._start_s = state["start_s"]


class MaxCold(Stateless):
    """No more replicas start at once than `most`. It never lowers the number that is asked for now."""

    rule = "maxCold"

    def __init__(self, *, most: int) -> None:
        self._most = most

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Ask for no more than those that are ready, and `most` that start."""
        return min(recommendation, max(observation.replicas, observation.ready + self._most))

    def why(self, observation: Observation) -> str:
        """Give the ready replicas."""
        return f"{observation.ready} are ready, and at most {self._most} may start at once"
