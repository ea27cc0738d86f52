"""Where each setting of Knative's goes in a policy, by its algorithm; or why there is no place for it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from autoscaler.convert.findings import Effect
from autoscaler.documents.fields import format_duration, format_percent
from autoscaler.documents.go_values import SECOND_NS, boolean, duration_ns, int32, number

Write = Callable[[str], Any]
"""Reads a setting as Knative does, and gives it as a policy has it."""


def _duration(text: str) -> str:
    return format_duration(duration_ns(text) / SECOND_NS)


def _percent(text: str) -> str:
    return format_percent(number(text) / 100)


def as_number(text: str) -> float:
    """Read a number; a whole one is written without a point."""
    value = number(text)
    return int(value) if value.is_integer() else value


def _aggregation(text: str) -> str:
    return "weighted-exponential" if text.lower().startswith("weighted") else "linear"


class Row(NamedTuple):
    """Where a setting goes: a key of the policy, or the reason why there is none."""

    key: str | None
    write: Write = str
    why: str = ""
    effect: Effect = Effect.NONE
    """What becomes of it without a key of the policy."""


SAME: Mapping[str, Row] = {
    "window": Row("algorithm.kpa.window", _duration),
    "panic-window-percentage": Row("algorithm.kpa.panicWindowPercentage", as_number),
    "panic-threshold-percentage": Row("algorithm.kpa.panicThresholdPercentage", as_number),
    "target-burst-capacity": Row("algorithm.kpa.targetBurstCapacity", as_number),
    "initial-scale": Row("algorithm.kpa.initialScale", int32),
    "activation-scale": Row("algorithm.kpa.activationScale", int32),
    "scale-down-delay": Row("algorithm.kpa.scaleDownDelay", _duration),
    "scale-to-zero-pod-retention-period": Row("algorithm.kpa.scaleToZeroPodRetentionPeriod", _duration),
    "metric-aggregation-algorithm": Row("algorithm.kpa.metricAggregationAlgorithm", _aggregation),
    "progress-deadline": Row("algorithm.kpa.progressDeadline", _duration),
    "max-scale-up-rate": Row("algorithm.kpa.maxScaleUpRate", as_number),
    "max-scale-down-rate": Row("algorithm.kpa.maxScaleDownRate", as_number),
    "enable-scale-to-zero": Row("algorithm.kpa.enableScaleToZero", boolean),
    "scale-to-zero-grace-period": Row("algorithm.kpa.scaleToZeroGracePeriod", _duration),
    "allow-zero-initial-scale": Row("algorithm.kpa.allowZeroInitialScale", boolean),
}
_STARTS_WITH_ONE = "a Deployment without replicas starts with one pod, and the policy scales it from there"
_ALWAYS_IN_PATH = "the gateway is always in the path"
_OF_THE_DEPLOYMENT = Row(None, why="to the Deployment's progressDeadlineSeconds", effect=Effect.MAPPED)
_WITHOUT_KPA = {
    "target-burst-capacity": Row(None, why=_ALWAYS_IN_PATH),
    "initial-scale": Row(None, why=_STARTS_WITH_ONE),
    "allow-zero-initial-scale": Row(None, why=_STARTS_WITH_ONE),
    "activation-scale": Row(None, why="from zero the service gets what the waiting requests need, in one write"),
    "progress-deadline": _OF_THE_DEPLOYMENT,
    "scale-to-zero-grace-period": Row(None, why=_ALWAYS_IN_PATH),
    "scale-down-delay": Row("scaleDown.delay", _duration),
    "scale-to-zero-pod-retention-period": Row("scaleDown.toZeroDelay", _duration),
    "enable-scale-to-zero": Row(None, why="say minReplicas: 1 if the last replica is to stay"),
}
DEFAULT: Mapping[str, Row] = _WITHOUT_KPA | {
    "window": Row("algorithm.concurrency.stableWindow", _duration),
    "panic-window-percentage": Row("algorithm.concurrency.panicWindow", _percent),
    "panic-threshold-percentage": Row("algorithm.concurrency.panicThreshold", _percent),
    "max-scale-up-rate": Row("algorithm.concurrency.maxScaleUpRate", as_number),
    "max-scale-down-rate": Row("algorithm.concurrency.maxScaleDownRate", as_number),
    "metric-aggregation-algorithm": Row(None, why="the window is linear"),
}
_NO_WINDOW = Row(None, why="the class mpa has no window: replicas follow the requests in flight")
MPA: Mapping[str, Row] = _WITHOUT_KPA | dict.fromkeys(
    (
        *("window", "panic-window-percentage", "panic-threshold-percentage", "metric-aggregation-algorithm"),
        *("max-scale-up-rate", "max-scale-down-rate"),
    ),
    _NO_WINDOW,
)
_OF_THE_CLASS = Row(None, why="only that class uses it, and what it measures is not measured here")
OTHER: Mapping[str, Row] = {
    **dict.fromkeys((*DEFAULT, "target", "target-utilization-percentage", "metric"), _OF_THE_CLASS),
    "progress-deadline": _OF_THE_DEPLOYMENT,
}
"""For the class hpa, and for classes of others."""
