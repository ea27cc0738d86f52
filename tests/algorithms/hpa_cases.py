"""Options and scales that the tests of the HPA and of KEDA start from."""

from dataclasses import replace
from typing import Any

from algorithms.hpa_behavior import Behavior, Policy, PolicyType, ScalingRules, SelectPolicy
from algorithms.hpa_metrics import FAILED_READING, Metric, MetricKind, Reading, Scale, TargetType
from algorithms.hpa_reconcile import HpaOptions, Outcome, Reconciler
from algorithms.keda import KedaOptions, switches_of
from algorithms.observation import Observation

PER_POD = Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, 1000)
FOUR_OR_DOUBLE = (Policy(PolicyType.PODS, 4, 15), Policy(PolicyType.PERCENT, 100, 15))


def pods(value: int, period_s: int) -> Policy:
    return Policy(PolicyType.PODS, value, period_s)


def percent(value: int, period_s: int) -> Policy:
    return Policy(PolicyType.PERCENT, value, period_s)


def rules(
    *policies: Policy,
    window_s: int = 0,
    select: SelectPolicy = SelectPolicy.MAX,
    tolerance: float | None = None,
) -> ScalingRules:
    return ScalingRules(window_s, select, policies or FOUR_OR_DOUBLE, tolerance)


DEFAULT_BEHAVIOR = Behavior(rules(), rules(percent(100, 15), window_s=300))
FREE = Behavior(rules(pods(1000, 15)), rules(percent(100, 15)))
"""As good as no limit."""


def hpa_options(**changes: Any) -> HpaOptions:
    return replace(
        HpaOptions(
            min_replicas=1,
            max_replicas=10,
            metrics=(PER_POD,),
            behavior=None,
            tolerance=0.1,
            downscale_stabilization_s=300.0,
            sync_period_s=15.0,
            scale_to_zero=False,
        ),
        **changes,
    )


def keda_options(**changes: Any) -> KedaOptions:
    return replace(
        KedaOptions(
            polling_interval_s=30.0,
            cooldown_period_s=300.0,
            initial_cooldown_period_s=0.0,
            min_replica_count=0,
            max_replica_count=10,
            idle_replica_count=None,
            threshold_milli=1000,
            activation_threshold_milli=0,
            fallback=None,
            behavior=None,
            switches=switches_of({}),
            tolerance=0.1,
            downscale_stabilization_s=300.0,
            sync_period_s=15.0,
        ),
        **changes,
    )


def observe(now_s: float, inflight: float | None, replicas: int, problem: str = "") -> Observation:
    return Observation(
        now_s=now_s, since_s=now_s - 1, inflight=inflight, replicas=replicas, ready=replicas, problem=problem
    )


class Cluster:
    """One Deployment whose HPA reconciles when it is told to, and whose writes succeed unless it is said otherwise."""

    def __init__(self, options: HpaOptions, replicas: int) -> None:
        self.hpa = Reconciler(options)
        self.replicas = replicas

    def sync(self, now_s: float, *inflight: float | None, write_fails: bool = False) -> Outcome:
        """Reconcile on the requests in flight, one number for each metric, None where it fails."""
        readings = [FAILED_READING if one is None else Reading((int(one * 1000),)) for one in inflight]
        scale = Scale(spec=self.replicas, status=self.replicas, ready=self.replicas)
        outcome = self.hpa.reconcile(now_s, scale, lambda: readings)
        if outcome.desired != self.replicas and not write_fails:
            self.hpa.wrote(now_s, self.replicas, outcome.desired)
            self.replicas = outcome.desired
        return outcome
