"""An HPA on live observations: when it reconciles, what it reads, and which of its writes succeeded.

A reconcile follows the one before it by at least the sync period, as in upstream's queue. If the tick does not divide
the period, the period becomes longer, never shorter. Nothing between two reconciles has an effect.

Kubernetes keeps the condition ScaledToZero in the API. This one begins without it, and takes a zero that it finds for
its own: nobody would serve the requests that wait if the controller restarted while its service was at zero.
"""

from collections.abc import Callable
from typing import NamedTuple

from algorithms.hpa_behavior import EDGE_S
from algorithms.hpa_metrics import FAILED_READING, Reading, Scale
from algorithms.hpa_reconcile import Active, HpaOptions, Outcome, Reconciler
from algorithms.observation import Observation
from algorithms.state import VERSION, check
from algorithms.types import Average, Recommendation, State


class Write(NamedTuple):
    """A requested write that is not yet known to have succeeded."""

    at_s: float
    before: int
    after: int


class Syncs:
    """One HPA's reconciles in time, on one External metric."""

    def __init__(self, options: HpaOptions) -> None:
        """Begin with a reconcile at the first observation."""
        self._reconciler = Reconciler(options)
        self._period_s = options.sync_period_s
        self._next_s: float | None = None
        self._write: Write | None = None

    def saw(self, replicas: int) -> None:
        """Compare the replicas asked for with the requested write: if they are equal, it succeeded."""
        if self._write is not None and replicas == self._write.after:
            self._reconciler.wrote(*self._write)
            self._write = None

    def due(self, now_s: float) -> bool:
        """Tell whether a reconcile is due."""
        return self._next_s is None or now_s >= self._next_s - EDGE_S

    def sync(self, now_s: float, replicas: int, read_milli: Callable[[], float | None]) -> Outcome:
        """Reconcile; a write that was not seen by now has failed.

        Args:
            now_s: the time.
            replicas: the replicas asked for now, which are assumed to exist.
            read_milli: gives the value of the metric in thousandths, None if that fails; called only if needed.
        """
        if self._next_s is None:
            self._reconciler.scaled_to_zero = replicas == 0
        self._next_s = now_s + self._period_s
        scale = Scale(spec=replicas, status=replicas)
        outcome = self._reconciler.reconcile(now_s, scale, lambda: (_reading(read_milli()),))
        self._write = Write(now_s, replicas, outcome.desired) if outcome.desired != replicas else None
        return outcome

    def export(self) -> State:
        """Give the state of the HPA, the time of the next reconcile and the open write."""
        return {
            "version": VERSION,
            "reconciler": self._reconciler.export(),
            "next_s": self._next_s,
            "write": None if self._write is None else list(self._write),
        }

    def restore(self, state: State) -> None:
        """Continue; raises ValueError on an unknown version."""
        check(state, "Syncs")
        self._reconciler.restore(state["reconciler"])
        self._next_s = state["next_s"]
        self._write = None if state["write"] is None else Write(*state["write"])


def _reading(value_milli: float | None) -> Reading:
    return FAILED_READING if value_milli is None else Reading(values_milli=(int(value_milli),))


def inflight_milli(observation: Observation) -> float | None:
    """Give the requests in flight in thousandths; None if the count is unknown or partial."""
    return None if observation.inflight is None or observation.problem else observation.inflight * 1000


def recommendation_of(outcome: Outcome, value_milli: float | None, target_milli: int) -> Recommendation:
    """Give the recommendation of a reconcile and why; none if scaling is disabled or a metric failed.

    Args:
        outcome: what the reconcile gave.
        value_milli: what it read, in thousandths; None if that failed.
        target_milli: what one replica should have of it.
    """
    if outcome.active not in (None, Active.VALID):
        return Recommendation(None, outcome.active)
    read = () if value_milli is None else (Average("latest", value_milli / 1000, 0.0, 0.0),)
    return Recommendation(outcome.desired, _why(outcome), read, target_milli / 1000)


def _why(outcome: Outcome) -> str:
    if outcome.proposed is None:
        return outcome.cause
    why = f"the metric asks for {outcome.proposed}"
    if outcome.stabilised != outcome.proposed:
        why += f", {outcome.able} {outcome.stabilised}"
    if outcome.desired != outcome.stabilised:
        why += f", {outcome.limited} {outcome.desired}"
    return why


class Hpa:
    """An HPA on the requests in flight: one External metric with an AverageValue target.

    As in Kubernetes, a count that is unknown or partial is a failed metric. Between two reconciles it holds the
    replicas asked for, also if another writer set them.
    """

    def __init__(self, options: HpaOptions) -> None:
        """Begin with a reconcile at the first observation; `options.metrics` has that one metric."""
        self._syncs = Syncs(options)
        self._target_milli = options.metrics[0].target_milli

    def recommend(self, observation: Observation) -> Recommendation:
        """Reconcile if it is due."""
        self._syncs.saw(observation.replicas)
        if not self._syncs.due(observation.now_s):
            return Recommendation(observation.replicas, "between two syncs")
        value_milli = inflight_milli(observation)
        outcome = self._syncs.sync(observation.now_s, observation.replicas, lambda: value_milli)
        return recommendation_of(outcome, value_milli, self._target_milli)

    def export(self) -> State:
        """Give the whole state."""
        return self._syncs.export()

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        self._syncs.restore(state)
