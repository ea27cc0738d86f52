"""From the reading of one metric to the replicas it proposes, as the HorizontalPodAutoscaler computes it.

1. Values and targets are whole thousandths ("milli"): one request in flight is 1000.
2. Ratios are IEEE doubles as upstream, because their error is visible at tolerances and at sizes of GPU fleets.
3. Within the tolerance the present number is proposed. For AverageValue that is status.replicas, not spec.replicas
   (kubernetes/kubernetes#138505): the replicas of a rollout then stay.
4. A reading without a number is a `Failure`, never zero.

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
    """What is compared with the target: the value divided by the pods, or the value itself."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of `spec.metrics`; Pods metrics have AverageValue only."""

    kind: MetricKind
    target_type: TargetType
    target_milli: int


class PodState(StrEnum):
    """The state of a pod for the HPA; NOT_READY runs and is not ready."""

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
    """The reading of one metric; each kind of metric uses only its own fields."""

    values_milli: Sequence[int] = ()
    """The series that an External or Object metric returned, to be summed."""
    pod_values_milli: Mapping[str, int] = {}
    """A Pods metric's samples by pod name."""
    failed: bool = False
    """Whether the metric could not be read; the other fields then have no meaning."""


FAILED_READING = Reading(failed=True)


class Scale(NamedTuple):
    """The scale subresource, and the pods of its selector."""

    spec: int
    """Replicas asked for."""
    status: int
    """Replicas that exist."""
    ready: int | None = None
    """Running and ready pods, terminating ones included, for Value targets; None: the selector finds no pod."""
    pods: Mapping[str, PodState] = {}
    """Pods by name, for Pods metrics."""


class Tolerance(NamedTuple):
    """How far a ratio may differ from 1 in either direction without a change."""

    up: float
    down: float

    def holds(self, ratio: float) -> bool:
        """Tell whether the ratio is close enough to 1; the limits are included."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """The proposal of one metric."""

    replicas: int
    usage_milli: int
    """The value in the status: per pod for AverageValue, else the total."""


def propose(metric: Metric, reading: Reading, scale: Scale, tolerance: Tolerance) -> Proposal | Failure:
    """Give the proposal of one metric."""
    if reading.failed:
        return Failure.UNAVAILABLE
    if metric.kind is MetricKind.PODS:
        return propose_by_pods(metric.target_milli, reading.pod_values_milli, scale, tolerance)
    total = saturated_sum(reading.values_milli)
    if metric.target_type is TargetType.AVERAGE_VALUE:
        return propose_by_average(metric.target_milli, total, scale.status, tolerance)
    return propose_by_value(metric.target_milli, total, scale, tolerance)


def saturated_sum(values: Sequence[int]) -> int:
    """Add up; a sum above 64 bits is the largest number that fits."""
    return min(sum(values), MAX_INT64)


def propose_by_average(target: int, total: int, status: int, tolerance: Tolerance) -> Proposal:
    """Divide the total by the target; pods do not matter, and without replicas there is no tolerance."""
    if status and tolerance.holds(float(total) / (float(target) * status)):
        return Proposal(status, _per_pod(total, status))
    return Proposal(_whole(total / float(target)), _per_pod(total, status))


def propose_by_value(target: int, total: int, scale: Scale, tolerance: Tolerance) -> Proposal | Failure:
    """Multiply the ready pods by total / target; from zero the ratio itself is the number, without tolerance."""
    ratio = float(total) / float(target)
    if scale.spec == 0:
        return Proposal(_whole(ratio), total)
    if tolerance.holds(ratio):
        return Proposal(scale.spec, total)
    if scale.ready is None:
        return Failure.NO_PODS
    return Proposal(_whole(ratio * scale.ready), total)


class _Samples(NamedTuple):
    """The samples of a Pods metric by the states of their pods."""

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
    """Multiply the pods by mean / target, with missing samples filled in so that they weaken the change."""
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
    """Assume missing pods at the target for scale-down, and missing and unready pods idle for scale-up."""
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
