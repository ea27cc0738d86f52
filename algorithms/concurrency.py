"""The default algorithm: Knative's windows and panic, fed by totals that come at any time.

The safety that it adds stands elsewhere, each rule by itself: good time in `feeder`, the others in `stabilisers`; all
but what a count with a missing part does to the windows. Without it the wish is Knative's decision on the same seconds.
"""

from algorithms.feeder import current_count
from algorithms.kpa import KpaCore, KpaOptions
from algorithms.state import VERSION, check
from algorithms.types import Observation, Recommendation, State

_IDLE = Recommendation(0, "nothing is in flight and nothing runs")
_NO_DATA = Recommendation(None, "the stable window has no data")


class Concurrency:
    """Wishes for what keeps the requests in flight per replica at the target."""

    def __init__(self, options: KpaOptions, *, parts_lower: bool = True) -> None:
        """Begin without a window.

        Args:
            options: Knative's settings.
            parts_lower: whether a count of which a part is missing is taken as it is. Else the windows do not fall by
                it: what is missing may be all that they know of, and must not be gone when it is heard again.
        """
        self._options = options
        self._parts_lower = parts_lower
        self._core: KpaCore | None = None

    def recommend(self, observation: Observation) -> Recommendation:
        """Put the look into the windows and decide on them.

        As in Knative a service without replicas reports nothing: its idle seconds are not in the windows, so that the
        first requests after them are not averaged away.
        """
        if not observation.replicas and not current_count(observation):
            return _IDLE
        core = self._core = self._core or KpaCore(self._options, observation.now_s, observation.ready)
        is_part = bool(observation.problem) and not self._parts_lower
        core.feed(_no_lower(observation, core) if is_part else observation)
        stable, panic = core.averages(observation.now_s)
        decision = core.decider.decide(observation.now_s, observation.ready, stable, panic)
        if not decision.valid:
            return _NO_DATA
        mode = ", in panic" if core.decider.panicking else ""
        part = f", only a part is known: {observation.problem}" if is_part else ""
        return Recommendation(decision.desired, f"stable {stable:g}, panic {panic:g} in flight{mode}{part}")

    def export(self) -> State:
        """Give windows, panic and delay; None before the first look."""
        return {"version": VERSION, "core": self._core and self._core.export()}

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        check(state, "Concurrency")
        self._core = None
        if state["core"] is not None:
            self._core = KpaCore(self._options, 0.0, 0)
            self._core.restore(state["core"])


def _no_lower(observation: Observation, core: KpaCore) -> Observation:
    """Give the look with at least the load that the stable window knew when the look before it was taken."""
    stable, _ = core.averages(observation.since_s)
    return (
        observation
        if observation.inflight is None
        else observation._replace(inflight=max(observation.inflight, stable or 0.0))
    )
