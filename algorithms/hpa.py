"""An HPA on live looks: when it reconciles, what it reads, and which of its writes happened.

A reconcile follows the one before it by at least the sync period, as upstream's queue does, so a driver whose tick does
not divide the period makes it longer, never shorter. What happens between two reconciles changes nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

from algorithms.hpa_behavior import EDGE_S
from algorithms.hpa_metrics import FAILED_READING, Reading, Scale
from algorithms.hpa_reconcile import Active, HpaOptions, Outcome, Reconciler
from algorithms.state import VERSION, check
from algorithms.types import Observation, Recommendation, State


class Write(NamedTuple):
    """A write that was wished for, and is not yet known to have happened."""

    at_s: float
    before: int
    after: int


class Syncs:
    """One HPA's reconciles in time, on one External metric."""

    def __init__(self, options: HpaOptions) -> None:
        """Begin with a reconcile at the first look."""
        self._reconciler = Reconciler(options)
        self._period_s = options.sync_period_s
        self._next_s = 0.0
        self._write: Write | None = None

    def saw(self, replicas: int) -> None:
        """Take note of the replicas asked for: where they are what was wished for, the write happened."""
        if self._write is not None and replicas == self._write.after:
            self._reconciler.wrote(*self._write)
            self._write = None

    def due(self, now_s: float) -> bool:
        """Tell whether a reconcile is due."""
        return now_s >= self._next_s - EDGE_S

    def sync(self, now_s: float, replicas: int, read_milli: Callable[[], float | None]) -> Outcome:
        """Reconcile; a write that has not shown up by now has failed.

        Args:
            now_s: the time.
            replicas: what is asked for now; as many are taken to exist.
            read_milli: gives the metric's value in thousandths, None if that fails; called only if it is needed.
        """
        self._next_s = now_s + self._period_s
        scale = Scale(spec=replicas, status=replicas)
        outcome = self._reconciler.reconcile(now_s, scale, lambda: (_reading(read_milli()),))
        self._write = Write(now_s, replicas, outcome.desired) if outcome.desired != replicas else None
        return outcome

    def export(self) -> State:
        """Give the HPA's memory, the next reconcile's time and the open write."""
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
    """Give the requests in flight in thousandths; a count that is unknown, or only a part, could not be read."""
    return None if observation.inflight is None or observation.problem else observation.inflight * 1000


def recommendation_of(outcome: Outcome) -> Recommendation:
    """Say what a reconcile asks for and how it came to that; where it is switched off or refuses, it has no opinion."""
    if outcome.active not in (None, Active.VALID):
        return Recommendation(None, outcome.active)
    return Recommendation(outcome.desired, _why(outcome))


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

    It behaves as the real one does: a count that is unknown, or only a part, is a failed metric; between two reconciles
    it holds what is asked for, whoever asked.
    """

    def __init__(self, options: HpaOptions) -> None:
        """Begin with a reconcile at the first look; `options.metrics` is that one metric."""
        self._syncs = Syncs(options)

    def recommend(self, observation: Observation) -> Recommendation:
        """Reconcile if that is due."""
        self._syncs.saw(observation.replicas)
        if not self._syncs.due(observation.now_s):
            return Recommendation(observation.replicas, "between two syncs")
        return recommendation_of(
            self._syncs.sync(observation.now_s, observation.replicas, lambda: inflight_milli(observation))
        )

    def export(self) -> State:
        """Give everything that the next wish depends on."""
        return self._syncs.export()

    def restore(self, state: State) -> None:
        """Continue from an exported state; raises ValueError on an unknown version."""
        self._syncs.restore(state)
