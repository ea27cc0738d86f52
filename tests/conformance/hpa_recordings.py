"""Reads the parts of recordings of the HPA and of KEDA: options, readings, pods."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from algorithms.hpa_behavior import Behavior, Policy, PolicyType, ScalingRules, SelectPolicy
from algorithms.hpa_metrics import FAILED_READING, Metric, MetricKind, PodState, Reading, TargetType
from algorithms.keda import Fallback, FallbackBehavior, KedaOptions, switches_of

KINDS = {"external": MetricKind.EXTERNAL, "object": MetricKind.OBJECT, "pods": MetricKind.PODS}


def quantity(text: str) -> float:
    """Read a Kubernetes quantity of units or thousandths, as AsApproximateFloat64 does."""
    digits, fraction, thousandth = re.fullmatch(r"(\d+)(?:\.(\d+))?(m?)", text).groups(default="")
    exponent = -len(fraction) - (3 if thousandth else 0)
    return int(digits + fraction) * (10.0**exponent) if exponent else float(digits)


def rules(given: Mapping[str, Any]) -> ScalingRules:
    return ScalingRules(
        stabilization_window_s=given["stabilizationWindowSeconds"],
        select_policy=SelectPolicy(given["selectPolicy"]),
        policies=tuple(
            Policy(PolicyType(policy["type"]), policy["value"], policy["periodSeconds"]) for policy in given["policies"]
        ),
        tolerance=None if given["tolerance"] is None else quantity(given["tolerance"]),
    )


def behavior(given: Mapping[str, Any] | None) -> Behavior | None:
    return None if given is None else Behavior(rules(given["scaleUp"]), rules(given["scaleDown"]))


def metric(given: Mapping[str, Any]) -> Metric:
    return Metric(KINDS[given["kind"]], TargetType(given["target_type"]), given["target_milli"])


def reading(given: Mapping[str, Any]) -> Reading:
    if given["error"]:
        return FAILED_READING
    return Reading(given.get("values_milli", ()), given.get("pod_values_milli", {}))


def pods(given: Iterable[Mapping[str, str]]) -> dict[str, PodState]:
    return {pod["name"]: PodState(pod["state"]) for pod in given}


def keda_options(config: Mapping[str, Any]) -> KedaOptions:
    """Fill KEDA's defaults into what a recording leaves unset."""

    def given(name: str, default: int) -> int:
        return default if config[name] is None else config[name]

    threshold = config["fallback_failure_threshold"]
    return KedaOptions(
        polling_interval_s=config["polling_interval_s"],
        cooldown_period_s=given("cooldown_s", 300),
        initial_cooldown_period_s=given("initial_cooldown_s", 0),
        min_replica_count=given("min_replica_count", 0),
        max_replica_count=given("max_replica_count", 100),
        idle_replica_count=config["idle_replica_count"],
        threshold_milli=config["threshold_milli"],
        activation_threshold_milli=config["activation_threshold_milli"],
        fallback=None
        if threshold is None
        else Fallback(threshold, config["fallback_replicas"], FallbackBehavior.STATIC),
        behavior=behavior(config["behavior_effective"]),
        switches=switches_of({}),
        tolerance=0.1,
        downscale_stabilization_s=300,
        sync_period_s=config["hpa_sync_period_s"],
    )
