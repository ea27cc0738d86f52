"""From one metric's reading to the number of replicas it proposes, as the HorizontalPodAutoscaler computes it.

1. Values and targets are whole thousandths ("milli"): one request in flight is 1000.
2. Ratios are IEEE doubles as upstream, for their error shows at tolerances and at sizes of GPU fleets.
3. Within the tolerance nothing is proposed but what is there. For AverageValue that is status.replicas, not
   spec.replicas (kubernetes/kubernetes#138505): the replicas of a rollout then stay.
4. A reading that does not give a number is a `Failure`, never zero.

Source: pkg/controller/podautoscaler/replica_calculator.go, Kubernetes v1.36.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import NamedTuple

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1


class MetricKind(StrEnum):
    """Where a metric is read: outside of the cluster, at one object, or at each pod."""

    EXTERNAL = "External"
    OBJECT = "Object"
    PODS = "Pods"


class TargetType(StrEnum):
    """What the target is compared with: the value shared out over the pods, or the value itself."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of `spec.metrics`; Pods know AverageValue only."""

    kind: MetricKind
    target_type: TargetType
    target_milli: int


class PodState(StrEnum):
    """What the HPA sees of a pod; NOT_READY is running without being ready."""

    READY = "ready"
    NOT_READY = "notready"
    PENDING = "pending"
    FAILED = "failed"
    TERMINATING = "terminating"


class Failure(StrEnum):
    """Why a metric proposes nothing."""

    UNAVAILABLE = "metric unavailable"
    NO_PODS = "no pods"
    NO_SAMPLES = "no samples of pods that count"


class Reading(NamedTuple):
    """What was read of one metric; a kind of metric looks only at its own fields."""

    values_milli: Sequence[int] = ()
    """The series that an External or Object metric returned, to be summed."""
    pod_values_milli: Mapping[str, int] = {}
    """A Pods metric's samples by pod name."""
    failed: bool = False
    """The metric could not be read: the other fields say nothing."""


FAILED_READING = Reading(failed=True)


class Scale(NamedTuple):
    """The scale subresource, and what the selector finds."""

    spec: int
    """Replicas asked for."""
    status: int
    """Replicas that exist."""
    ready: int | None = None
    """Running and ready pods, terminating ones included, for Value targets; None: the selector finds no pod at all."""
    pods: Mapping[str, PodState] = {}
    """Pods by name, for Pods metrics."""


class Tolerance(NamedTuple):
    """How far a ratio may be off on either side before it asks for a change."""

    up: float
    down: float

    def holds(self, ratio: float) -> bool:
        """Tell whether the ratio is near enough to 1; the edges are."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """What one metric asks for."""

    replicas: int
    usage_milli: int
    """The value that status shows: per pod for AverageValue, else the whole."""


def propose(metric: Metric, reading: Reading, scale: Scale, tolerance: Tolerance) -> Proposal | Failure:
    """Say how many replicas one metric proposes."""
    if reading.failed:
        return Failure.UNAVAILABLE
    if metric.kind is MetricKind.PODS:
        return propose_by_pods(metric.target_milli, reading.pod_values_milli, scale, tolerance)
    total = saturated_sum(reading.values_milli)
    if metric.target_type is TargetType.AVERAGE_VALUE:
        return propose_by_average(metric.target_milli, total, scale.status, tolerance)
    return propose_by_value(metric.target_milli, total, scale, tolerance)


def saturated_sum(values: Sequence[int]) -> int:
    """Add up; what does not fit into 64 bits is the largest number that does."""
    return min(sum(values), MAX_INT64)


def propose_by_average(target: int, total: int, status: int, tolerance: Tolerance) -> Proposal:
    """Share the total out over replicas of the target each; no pod is looked at, and of none nothing is tolerated."""
    if status and tolerance.holds(float(total) / (float(target) * status)):
        return Proposal(status, _per_pod(total, status))
    return Proposal(_whole(total / float(target)), _per_pod(total, status))


def propose_by_value(target: int, total: int, scale: Scale, tolerance: Tolerance) -> Proposal | Failure:
    """Scale the ready pods by total / target; from zero the ratio itself is the number, without tolerance."""
    ratio = float(total) / float(target)
    if scale.spec == 0:
        return Proposal(_whole(ratio), total)
    if tolerance.holds(ratio):
        return Proposal(scale.spec, total)
    if scale.ready is None:
        return Failure.NO_PODS
    return Proposal(_whole(ratio * scale.ready), total)


def ready_pods(pods: Mapping[str, PodState]) -> int | None:
    """Count the pods that a Value target multiplies by: terminating ones still are ready. None: there are none."""
    ready = (PodState.READY, PodState.TERMINATING)
    return sum(state in ready for state in pods.values()) if pods else None


class _Samples(NamedTuple):
    """A Pods metric's samples by what their pods are."""

    values: dict[str, int]
    ready: int
    missing: Sequence[str]
    unready: Sequence[str]


def _classify(samples: Mapping[str, int], pods: Mapping[str, PodState]) -> _Samples:
    ready, missing, unready, gone = 0, [], [], []
    for pod, state in pods.items():
        if state in (PodState.TERMINATING, PodState.FAILED):
            gone.append(pod)
        elif state is PodState.PENDING:
            unready.append(pod)
        elif pod not in samples:
            missing.append(pod)
        else:
            ready += 1
    dropped = {*gone, *unready}
    return _Samples({pod: value for pod, value in samples.items() if pod not in dropped}, ready, missing, unready)


def propose_by_pods(target: int, samples: Mapping[str, int], scale: Scale, tolerance: Tolerance) -> Proposal | Failure:
    """Scale the pods by their mean / target, after filling in what is not known so that it weakens the change."""
    if not scale.pods:
        return Failure.NO_PODS
    found = _classify(samples, scale.pods)
    if not found.values:
        return Failure.NO_SAMPLES
    usage = _mean(found.values)
    ratio = usage / target
    if found.missing or (found.unready and ratio > 1):
        return Proposal(_with_gaps_filled(ratio, target, found, scale.spec, tolerance), usage)
    return Proposal(scale.spec if tolerance.holds(ratio) else _whole(ratio * found.ready), usage)


def _with_gaps_filled(ratio: float, target: int, found: _Samples, spec: int, tolerance: Tolerance) -> int:
    """Take missing pods to be at the target on the way down, and missing and unready ones to be idle on the way up."""
    values = dict(found.values)
    if ratio != 1:
        values |= dict.fromkeys(found.missing, target if ratio < 1 else 0)
    if ratio > 1:
        values |= dict.fromkeys(found.unready, 0)
    filled = _mean(values) / target
    if tolerance.holds(filled) or ratio < 1 < filled or filled < 1 < ratio:
        return spec
    replicas = _whole(filled * len(values))
    turned = replicas > spec if filled < 1 else replicas < spec
    return spec if turned else replicas


def _mean(values: Mapping[str, int]) -> int:
    return sum(values.values()) // len(values)


def _whole(replicas: float) -> int:
    return min(ceil(replicas), MAX_INT32)


def _per_pod(total: int, status: int) -> int:
    if float(total) >= MAX_INT64:
        return MAX_INT64
    return ceil(float(total) / status) if status else 0
