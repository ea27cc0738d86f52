"""The reconcile of the HorizontalPodAutoscaler, decision for decision.

One reconcile, in this order:

1. The first reconcile records the replicas asked for as the first recommendation.
2. At zero replicas the HPA is disabled, unless it scaled to zero itself (feature gate HPAScaleToZero, which is on by
   default since Kubernetes v1.37).
3. Above the maximum, or below the minimum, the bound is restored at once: no metric is read, nothing is stabilised.
4. Else each metric proposes and the highest proposal wins. If all failed, or one failed and the rest would scale down,
   nothing changes.
5. The proposal is stabilised over earlier ones, then limited in its rate and by the bounds, with or without `behavior`.

Source: pkg/controller/podautoscaler/horizontal.go, Kubernetes v1.36.3. The rules of v1.37 are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from algorithms.hpa_behavior import (
    Behavior,
    Limit,
    Limited,
    Recommendations,
    ScaleEvents,
    limit,
    limit_without_behavior,
    stabilise,
    stabilise_without_behavior,
)
from algorithms.hpa_metrics import (
    Failure,
    Metric,
    MetricKind,
    Proposal,
    Reading,
    Scale,
    Tolerance,
    propose,
)
from algorithms.state import VERSION, check
from algorithms.types import State


@dataclass(frozen=True, slots=True)
class HpaOptions:
    """One HPA, with the flags of the controller manager that apply to all."""

    min_replicas: int
    max_replicas: int
    metrics: tuple[Metric, ...]
    behavior: Behavior | None
    """None: the older rules without `behavior`."""
    tolerance: float
    """`--horizontal-pod-autoscaler-tolerance`."""
    downscale_stabilization_s: float
    """`--horizontal-pod-autoscaler-downscale-stabilization`, for an HPA without `behavior`."""
    sync_period_s: float
    """`--horizontal-pod-autoscaler-sync-period`: the time between reconciles."""
    scale_to_zero: bool
    """The feature gate HPAScaleToZero."""


class Able(StrEnum):
    """Reasons of the condition AbleToScale, before a write overrides them."""

    GOT_SCALE = "SucceededGetScale"
    READY = "ReadyForNewScale"
    UP_STABILISED = "ScaleUpStabilized"
    DOWN_STABILISED = "ScaleDownStabilized"


class Active(StrEnum):
    """Reasons of the condition ScalingActive, which is true for VALID only."""

    VALID = "ValidMetricFound"
    DISABLED = "ScalingDisabled"
    NO_EXTERNAL = "FailedGetExternalMetric"
    NO_OBJECT = "FailedGetObjectMetric"
    NO_PODS = "FailedGetPodsMetric"


FAILED_TO_GET = {
    MetricKind.EXTERNAL: Active.NO_EXTERNAL,
    MetricKind.OBJECT: Active.NO_OBJECT,
    MetricKind.PODS: Active.NO_PODS,
}


class Cause(StrEnum):
    """The cause of a write; upstream gives NONE if only earlier recommendations ask for it."""

    NONE = ""
    ABOVE_TARGET = "above target"
    BELOW_TARGET = "All metrics below target"
    ABOVE_MAX = "Current number of replicas above Spec.MaxReplicas"
    BELOW_MIN = "Current number of replicas below Spec.MinReplicas"


class Outcome(NamedTuple):
    """The result of one reconcile; a part that it did not reach is None, and its condition stays."""

    desired: int
    """What spec.replicas should be; if it differs, it must be written."""
    able: Able
    active: Active | None = None
    limited: Limited | None = None
    """The condition ScalingLimited is true for all except WITHIN_RANGE."""
    cause: Cause = Cause.NONE
    proposed: int | None = None
    """The highest proposal."""
    proposer: int | None = None
    """The metric with this proposal, by its place in the options."""
    stabilised: int | None = None
    failures: tuple[tuple[int, Failure], ...] = ()
    """The metrics without a proposal, by their place in the options."""


Read = Callable[[], Sequence[Reading]]
"""Reads the metrics, in the order of the options; called only if the reconcile needs them."""


class Reconciler:
    """The state and the rules of one HPA; `options` may change between reconciles, as an edit of the object does."""

    def __init__(self, options: HpaOptions) -> None:
        """Begin without state."""
        self.options = options
        self.scaled_to_zero = False
        """The condition ScaledToZero: the HPA itself scaled to zero."""
        self._recommendations = Recommendations()
        self._events = ScaleEvents()

    def reconcile(self, now_s: float, scale: Scale, read: Read) -> Outcome:
        """Decide once; the caller writes, and calls `wrote` if that succeeded."""
        options = self.options
        if not self._recommendations:
            self._recommendations.add(now_s, scale.spec)
        if scale.spec == 0:
            if not self._leaves_zero():
                return Outcome(0, Able.GOT_SCALE, Active.DISABLED)
        elif scale.spec > options.max_replicas:
            return Outcome(options.max_replicas, Able.GOT_SCALE, cause=Cause.ABOVE_MAX)
        elif scale.spec < options.min_replicas:
            return Outcome(options.min_replicas, Able.GOT_SCALE, cause=Cause.BELOW_MIN)
        return self._follow(now_s, scale, read())

    def wrote(self, now_s: float, before: int, after: int) -> None:
        """Record a successful write, which may be one from before an edit of the options."""
        options = self.options
        if options.behavior is not None:
            self._events.add(now_s, before, after, options.behavior)
        to_zero = before > 0 and after == 0 and self._has_global_metric()
        self.scaled_to_zero = options.scale_to_zero and to_zero

    def _leaves_zero(self) -> bool:
        """Tell whether the HPA itself scaled to zero, and a metric can end it."""
        own = self.options.scale_to_zero and self.scaled_to_zero
        return own and (self.options.min_replicas != 0 or self._has_global_metric())

    def _has_global_metric(self) -> bool:
        return any(metric.kind is not MetricKind.PODS for metric in self.options.metrics)

    def _follow(self, now_s: float, scale: Scale, readings: Sequence[Reading]) -> Outcome:
        results = self._propose(scale, readings)
        failures = tuple((place, result) for place, result in enumerate(results) if isinstance(result, Failure))
        proposer, proposed = _highest(results)
        if proposer is None or (failures and proposed < scale.spec):
            failed = FAILED_TO_GET[self.options.metrics[failures[0][0]].kind]
            return Outcome(scale.spec, Able.GOT_SCALE, failed, failures=failures)
        stabilised, limited = self._normalise(now_s, scale.spec, proposed)
        self._recommendations.add(now_s, proposed)
        outcome = Outcome(
            desired=limited.replicas,
            able=_able(scale.spec, proposed, stabilised, with_behavior=self.options.behavior is not None),
            active=Active.VALID,
            limited=limited.reason,
            cause=_cause(scale.spec, proposed),
            proposed=proposed,
            proposer=proposer,
            stabilised=stabilised,
            failures=failures,
        )
        return self._at_least_min(outcome) if scale.spec == 0 else outcome

    def _propose(self, scale: Scale, readings: Sequence[Reading]) -> list[Proposal | Failure]:
        options, behavior = self.options, self.options.behavior
        up, down = (behavior.scale_up.tolerance, behavior.scale_down.tolerance) if behavior else (None, None)
        tolerance = Tolerance(
            up=options.tolerance if up is None else up, down=options.tolerance if down is None else down
        )
        pairs = zip(options.metrics, readings, strict=True)
        return [propose(metric, reading, scale, tolerance) for metric, reading in pairs]

    def _normalise(self, now_s: float, spec: int, proposed: int) -> tuple[int, Limit]:
        options, past = self.options, self._recommendations
        bounds = options.min_replicas, options.max_replicas
        if options.behavior is None:
            stabilised = stabilise_without_behavior(proposed, now_s, options.downscale_stabilization_s, past)
            return stabilised, limit_without_behavior(spec, stabilised, *bounds)
        stabilised = stabilise(spec, proposed, now_s, options.behavior, past)
        return stabilised, limit(spec, stabilised, *bounds, now_s=now_s, behavior=options.behavior, events=self._events)

    def _at_least_min(self, outcome: Outcome) -> Outcome:
        """Go from zero at least to the minimum, which may have been raised meanwhile."""
        if outcome.desired >= self.options.min_replicas:
            return outcome
        return outcome._replace(desired=self.options.min_replicas, cause=outcome.cause or Cause.BELOW_MIN)

    def export(self) -> State:
        """Give the state."""
        return {
            "version": VERSION,
            "recommendations": self._recommendations.export(),
            "events": self._events.export(),
            "scaled_to_zero": self.scaled_to_zero,
        }

    def restore(self, state: State) -> None:
        """Continue with an exported state; raises ValueError on an unknown version."""
        check(state, "Reconciler")
        self._recommendations.restore(state["recommendations"])
        self._events.restore(state["events"])
        self.scaled_to_zero = state["scaled_to_zero"]


def _highest(results: Sequence[Proposal | Failure]) -> tuple[int | None, int]:
    """Give the place and the number of the highest proposal: the first of equal ones, but the last of zeros."""
    proposer, highest = None, 0
    for place, result in enumerate(results):
        if isinstance(result, Proposal) and (highest == 0 or result.replicas > highest):
            proposer, highest = place, result.replicas
    return proposer, highest


def _able(spec: int, proposed: int, stabilised: int, *, with_behavior: bool) -> Able:
    if stabilised == proposed:
        return Able.READY
    return Able.UP_STABILISED if with_behavior and proposed >= spec else Able.DOWN_STABILISED


def _cause(spec: int, proposed: int) -> Cause:
    if proposed > spec:
        return Cause.ABOVE_TARGET
    return Cause.BELOW_TARGET if proposed < spec else Cause.NONE
