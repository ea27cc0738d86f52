"""The settings of `hpa` and `keda`: the HPA's `behavior` verbatim, and a ScaledObject's fields.

Defaults and ranges are those of the HPA v2 API and of KEDA. Bounds, target and metric come from the policy around them.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from algorithms.hpa_behavior import Behavior, Policy, PolicyType, ScalingRules, SelectPolicy
from algorithms.hpa_metrics import Metric, MetricKind, TargetType
from algorithms.hpa_reconcile import HpaOptions
from algorithms.keda import Fallback, FallbackBehavior, KedaOptions, switches_of
from autoscaler.fields import Duration, Model, lasting

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?m?$"

DOWNSCALE_STABILIZATION_S = 300.0
SYNC_PERIOD_S = 15.0
TOLERANCE = 0.1
"""The controller manager's defaults."""


def _parse_quantity(text: object) -> float:
    if not isinstance(text, str) or not re.match(QUANTITY_PATTERN, text):
        raise ValueError('must be a quantity in quotes, such as "0.05" or "50m"')
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


Quantity = Annotated[
    float,
    BeforeValidator(_parse_quantity),
    PlainSerializer(lambda value: f"{value:.10g}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": QUANTITY_PATTERN}),
]
"""A Kubernetes quantity without a unit."""


class Bounds(NamedTuple):
    """What every algorithm takes from the policy around it."""

    target: float
    """Requests in flight that one replica should have."""
    min_replicas: int
    max_replicas: int


class RatePolicy(Model):
    """At most so many pods, or percent of them, within a period."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1, le=2**31 - 1)]
    period_seconds: Annotated[int, Field(ge=1, le=1800)]


class Rules(Model):
    """One direction of `behavior`."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Absent: 0 upward; downward the controller manager's 300."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[RatePolicy, ...] | None = None
    """Absent: upward 4 pods or 100 % in 15 s, downward 100 % in 15 s."""
    tolerance: Quantity | None = None
    """Absent: the controller manager's."""

    @model_validator(mode="after")
    def _has_a_policy(self) -> Self:
        if self.policies == ():
            raise ValueError("policies: must have at least one, or be left out for the defaults")
        return self

    def rules(self, policies: tuple[Policy, ...], window_s: float) -> ScalingRules:
        """Build the rules, with the direction's own defaults where something was left out."""
        given = tuple(
            Policy(PolicyType(policy.type), policy.value, policy.period_seconds) for policy in self.policies or ()
        )
        window = self.stabilization_window_seconds
        return ScalingRules(
            stabilization_window_s=int(window_s) if window is None else window,
            select_policy=SelectPolicy(self.select_policy),
            policies=given or policies,
            tolerance=self.tolerance,
        )


_UP = (Policy(PolicyType.PODS, 4, 15), Policy(PolicyType.PERCENT, 100, 15))
_DOWN = (Policy(PolicyType.PERCENT, 100, 15),)


class BehaviorSettings(Model):
    """The HPA's `behavior`."""

    scale_up: Rules = Rules()
    scale_down: Rules = Rules()

    def behavior(self, downscale_stabilization_s: float) -> Behavior:
        """Build it with the API's and the controller's defaults filled in."""
        return Behavior(self.scale_up.rules(_UP, 0.0), self.scale_down.rules(_DOWN, downscale_stabilization_s))


class ControllerManager(Model):
    """What the flags of the kube-controller-manager say about every HPA."""

    sync_period: Annotated[Duration, lasting("1s", "10m")] = SYNC_PERIOD_S
    tolerance: Annotated[float, Field(ge=0, le=1)] = TOLERANCE
    downscale_stabilization: Annotated[Duration, lasting("0s", "1h")] = DOWNSCALE_STABILIZATION_S


class Hpa(Model):
    """The HorizontalPodAutoscaler, decision for decision, on requests in flight as an External AverageValue metric."""

    behavior: BehaviorSettings | None = None
    """Absent: the rules from before `behavior` existed, at most double or 4."""
    controller_manager: ControllerManager = ControllerManager()
    scale_to_zero: bool = False
    """The feature gate HPAScaleToZero."""

    def options(self, bounds: Bounds) -> HpaOptions:
        """Build the options; without the gate the HPA's minimum is at least 1, as its API demands."""
        flags = self.controller_manager
        return HpaOptions(
            min_replicas=bounds.min_replicas if self.scale_to_zero else max(1, bounds.min_replicas),
            max_replicas=bounds.max_replicas,
            metrics=(Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, round(bounds.target * 1000)),),
            behavior=_behavior(self.behavior, flags),
            tolerance=flags.tolerance,
            downscale_stabilization_s=flags.downscale_stabilization,
            sync_period_s=flags.sync_period,
            scale_to_zero=self.scale_to_zero,
        )


class FallbackSettings(Model):
    """What the trigger reads when Prometheus fails."""

    failure_threshold: Annotated[int, Field(ge=0)]
    """Failed reads in a row before it is in force."""
    replicas: Annotated[int, Field(ge=0)]
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class Keda(Model):
    """A ScaledObject with a Prometheus trigger, and the HPA that KEDA makes for it."""

    polling_interval: Annotated[Duration, lasting("1s", "1h")] = 30.0
    cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 300.0
    initial_cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 0.0
    activation_threshold: Annotated[float, Field(ge=0)] = 0.0
    """Active above this number of requests in flight."""
    idle_replica_count: Annotated[int, Field(ge=0)] | None = None
    """Must be below minReplicas."""
    fallback: FallbackSettings | None = None
    behavior: BehaviorSettings | None = None
    controller_manager: ControllerManager = ControllerManager()

    def options(self, bounds: Bounds, annotations: Mapping[str, str]) -> KedaOptions:
        """Build the options; KEDA's own annotations (paused, force-activation ...) are read from the policy's."""
        flags = self.controller_manager
        return KedaOptions(
            polling_interval_s=self.polling_interval,
            cooldown_period_s=self.cooldown_period,
            initial_cooldown_period_s=self.initial_cooldown_period,
            min_replica_count=bounds.min_replicas,
            max_replica_count=bounds.max_replicas,
            idle_replica_count=self.idle_replica_count,
            threshold_milli=round(bounds.target * 1000),
            activation_threshold_milli=self.activation_threshold * 1000,
            fallback=_fallback(self.fallback),
            behavior=_behavior(self.behavior, flags),
            switches=switches_of(annotations),
            tolerance=flags.tolerance,
            downscale_stabilization_s=flags.downscale_stabilization,
            sync_period_s=flags.sync_period,
        )


def _behavior(settings: BehaviorSettings | None, flags: ControllerManager) -> Behavior | None:
    return None if settings is None else settings.behavior(flags.downscale_stabilization)


def _fallback(settings: FallbackSettings | None) -> Fallback | None:
    if settings is None:
        return None
    return Fallback(settings.failure_threshold, settings.replicas, FallbackBehavior(settings.behavior))
