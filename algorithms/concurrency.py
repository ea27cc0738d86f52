"""The default algorithm: Knative's windows and panic, fed by totals that come at any time.

Its safety rules are in `good_time` and `safety_rules` (the others). Only the effect of a partial count on the
windows is here. Without these rules the recommendation is Knative's decision on the same seconds.
"""

from algorithms.good_time import current_count
from algorithms.kpa_core import KpaCore, KpaOptions
from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import Recommendation, State

_IDLE = Recommendation(0, "nothing is in flight and nothing runs")
_NO_DATA = Recommendation(None, "the stable window has no data")


class Concurrency:
    """Recommends the replicas that keep the requests in flight per replica at the target."""

    def __init__(self, options: KpaOptions, *, partial_counts_may_lower: bool = True) -> None:
        """Begin with empty windows.

        Args:
            options: Knative's settings.
            partial_counts_may_lower: whether a partial count goes into the windows as it is. If not, it does not lower
                them: the missing part may be all that they contain, and must still be there when it is known again.
        """
        self._options = options
        self._parts_lower = partial_counts_may_lower
        self._core: KpaCore | None = None

    def recommend(self, observation: Observation) -> Recommendation:
        """Put the observation into the windows and decide on them.

        As in Knative, a service without replicas reports nothing. Its idle seconds are not in the windows, so that they
        do not lower the average of the first requests.
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
        why = f"stable {stable:g}, panic {panic:g} in flight{mode}{part}"
        return core.recommendation(decision.desired, why, observation.now_s, (stable, panic))

    def export(self) -> State:
        """Give windows, panic and delay; None before the first observation."""
        return {"version": VERSION, "core": self._core and self._core.export()}

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        check(state, "Concurrency")
        self._core = None
        if state["core"] is not None:
            self._core = KpaCore(self._options, 0.0, 0)
            self._core.restore(state["core"])


def _no_lower(observation: Observation, core: KpaCore) -> Observation:
    """Give the observation with at least the load of the stable window at the observation before it."""
    stable, _ = core.averages(observation.since_s)
    return (
        observation
        if observation.inflight is None
        else observation._replace(inflight=max(observation.inflight, stable or 0.0))
    )
