"""The rules between an algorithm's wish and the decision, each named and each with its own state.

They run in the order in which a policy lists them. Their times are those of the looks they are given, on the clock of
good time: a delay does not run out while nothing is known.
"""

from algorithms.feeder import current_count
from algorithms.mpa import replicas_for
from algorithms.state import VERSION, Stateless, check
from algorithms.types import Observation, State
from algorithms.windows import DelayWindow


class FromZero(Stateless):
    """While no replica is ready the requests held now must be served; an average over the past says nothing of them."""

    rule = "fromZero"

    def __init__(self, *, target: float) -> None:
        self._target = target

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Ask for all that the requests in flight need, at once."""
        if observation.ready:
            return recommendation
        return max(recommendation, replicas_for(current_count(observation), self._target))

    def why(self, observation: Observation) -> str:
        """Name the count."""
        return f"no replica is ready and {current_count(observation):g} requests are in flight"


class Passing(Stateless):
    """Requests that cost no GPU still need one replica to answer them; never more than one, whatever their number."""

    rule = "passing"

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Keep one replica, or ask for it."""
        return max(recommendation, 1) if observation.passing else recommendation

    def why(self, observation: Observation) -> str:
        """Name their number."""
        return f"{observation.passing} uncounted requests need a replica"


class ScaleDownDelay:
    """The number falls only to the highest wish of the last `delay_s` (Knative's scale-down-delay)."""

    rule = "scaleDown.delay"

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s
        self._recommendations = DelayWindow(delay_s)

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Remember the wish and give the highest remembered one."""
        self._recommendations.record(observation.now_s, recommendation)
        return self._recommendations.maximum(observation.now_s)

    def why(self, _observation: Observation) -> str:
        """Name the delay."""
        return f"so many were wished for within the last {self._delay_s:g} s"

    def export(self) -> State:
        """Give the remembered recommendations."""
        return {"version": 2, "recommendations": self._recommendations.export()}

    def restore(self, state: State) -> None:
        """Continue with the remembered recommendations; version 1 had another name for them."""
        check(state, "ScaleDownDelay", 1, 2)
        self._recommendations.restore(state["wishes" if state["version"] == 1 else "recommendations"])


class ToZeroDelay:
    """The last replica goes only after zero was wished for without a break for `delay_s` (Knative's pod retention)."""

    rule = "scaleDown.toZeroDelay"

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s
        self._zero_since_s: float | None = None

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Keep the last replica while the delay runs; where none is, none is asked for."""
        if recommendation:
            self._zero_since_s = None
            return recommendation
        if self._zero_since_s is None:
            self._zero_since_s = observation.now_s
        waited_s = observation.now_s - self._zero_since_s
        return 0 if waited_s >= self._delay_s else min(observation.replicas, 1)

    def why(self, observation: Observation) -> str:
        """Say how far the delay has run."""
        waited_s = observation.now_s - (observation.now_s if self._zero_since_s is None else self._zero_since_s)
        return f"zero has been wished for {waited_s:.1f} of {self._delay_s:g} s"

    def export(self) -> State:
        """Give the start of the wish for zero."""
        return {"version": VERSION, "zero_since_s": self._zero_since_s}

    def restore(self, state: State) -> None:
        """Continue the delay where it was."""
        check(state, "ToZeroDelay")
        self._zero_since_s = state["zero_since_s"]


class PartOfTheWhole(Stateless):
    """A count of which a part is missing may raise the number, and never lowers it."""

    rule = "partialCount"

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Hold where the count is partial and the wish is lower than what is asked for."""
        return max(recommendation, observation.replicas) if observation.problem else recommendation

    def why(self, observation: Observation) -> str:
        """Repeat what is missing."""
        return observation.problem


class FirstWindow:
    """After a start nothing is lowered before one window is known: what came before may need what is there."""

    rule = "firstWindow"

    def __init__(self, *, window_s: float) -> None:
        self._window_s = window_s
        self._start_s: float | None = None

    def __call__(self, observation: Observation, recommendation: int) -> int:
        """Hold while the first window fills and the wish is lower than what is asked for."""
        if self._start_s is None:
            self._start_s = observation.since_s
        if observation.now_s - self._start_s >= self._window_s:
            return recommendation
        return max(recommendation, observation.replicas)

    def why(self, observation: Observation) -> str:
        """Say how much of the window is known."""
        known_s = observation.now_s - (observation.now_s if self._start_s is None else self._start_s)
        return f"{known_s:.1f} of {self._window_s:g} s are known since the start"

    def export(self) -> State:
        """Give the start."""
        return {"version": VERSION, "start_s": self._start_s}

    def restore(self, state: State) -> None:
        """Continue to fill the same window."""
        check(state, "FirstWindow")
        self._start_s = state["start_s"]
