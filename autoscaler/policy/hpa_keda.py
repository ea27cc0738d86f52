"""The settings of `hpa` and `keda`: the HPA's `behavior` verbatim, and a ScaledObject's fields.

Defaults and ranges are those of the HPA v2 API and of KEDA. Bounds, target and metric come from the policy around them.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from algorithms.hpa_behavior import Behavior, Policy, PolicyType, ScalingRules, SelectPolicy
from algorithms.hpa_metrics import Metric, MetricKind, TargetType
from algorithms.hpa_reconcile import HpaOptions
from algorithms.keda import Fallback, FallbackBehavior, KedaOptions, switches_of
from autoscaler.documents.fields import LONGEST_TEXT, Duration, ResourceModel, format_quantity, lasting

QUANTITY_PATTERN = r"^([0-9]{1,3}(\.[0-9]{1,9})?|[0-9]{1,6}(\.[0-9]{1,6})?m)$"

MAX_COUNT = 2**31 - 1
"""What Kubernetes can count."""

DOWNSCALE_STABILIZATION_S = 300.0
SYNC_PERIOD_S = 15.0
TOLERANCE = 0.1
"""The controller manager's defaults."""


def _parse_quantity(text: object) -> float:
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or not re.fullmatch(QUANTITY_PATTERN, text):
        raise ValueError('must be a quantity in quotes, such as "0.05" or "50m"')
    return round(float(text[:-1]) / 1000, 9) if text.endswith("m") else float(text)


Quantity = Annotated[
    float,
    BeforeValidator(_parse_quantity),
    PlainSerializer(format_quantity, return_type=str),
    WithJsonSchema({"type": "string", "pattern": QUANTITY_PATTERN, "maxLength": LONGEST_TEXT}),
]
"""A Kubernetes quantity without a unit."""


class Bounds(NamedTuple):
    """What every algorithm takes from the policy around it."""

    target: float
    """Requests in flight that one replica should have."""
    min_replicas: int
    max_replicas: int


class RatePolicy(ResourceModel):
    """At most so many pods, or percent of them, within a period."""

    type: Literal["Pods", "Percent"]
    """What `value` counts: pods, or percent of those at the period's start."""
    value: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """How many of them may come or go."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """How far back changes count against it."""


class Rules(ResourceModel):
    """One direction of `behavior`."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """The number follows the most cautious wish of so long. Absent: 0 upward; downward the controller manager's 300."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which of several policies holds: the one that allows most, or least; Disabled allows no change this way."""
    policies: Annotated[tuple[RatePolicy, ...], Field(min_length=1, max_length=64)] | None = None
    """Absent: upward 4 pods or 100 % in 15 s, downward 100 % in 15 s."""
    tolerance: Quantity | None = None
    """How far the count may be off its target, as a ratio, before anything changes. Absent: that of the flags."""

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


class BehaviorSettings(ResourceModel):
    """The HPA's `behavior`."""

    scale_up: Rules = Rules()
    """How the number rises."""
    scale_down: Rules = Rules()
    """How the number falls."""

    def behavior(self, downscale_stabilization_s: float) -> Behavior:
        """Build it with the API's and the controller's defaults filled in."""
        return Behavior(self.scale_up.rules(_UP, 0.0), self.scale_down.rules(_DOWN, downscale_stabilization_s))


class ControllerManager(ResourceModel):
    """What the flags of the kube-controller-manager say about every HPA."""

    sync_period: Annotated[Duration, lasting("1s", "10m")] = SYNC_PERIOD_S
    """How often the HPA decides."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = TOLERANCE
    """How far the count may be off its target, as a ratio, before anything changes."""
    downscale_stabilization: Annotated[Duration, lasting("0s", "1h")] = DOWNSCALE_STABILIZATION_S
    """The number falls only to the highest wish of this time."""


class Hpa(ResourceModel):
    """The HorizontalPodAutoscaler, decision for decision, on requests in flight as an External AverageValue metric."""

    behavior: BehaviorSettings | None = None
    """Absent: the rules from before `behavior` existed, at most double or 4."""
    controller_manager: ControllerManager = ControllerManager()
    """The flags under which this HPA runs."""
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


class FallbackSettings(ResourceModel):
    """What the trigger reads when Prometheus fails."""

    failure_threshold: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    """Failed reads in a row before it is in force."""
    replicas: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    """What is then asked for, up to the policy's maxReplicas."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """Whether `replicas` itself is asked for, or what runs, or the higher or the lower of both."""


class Keda(ResourceModel):
    """A ScaledObject with a Prometheus trigger, and the HPA that KEDA makes for it."""

    polling_interval: Annotated[Duration, lasting("1s", "1h")] = 30.0
    """How often KEDA reads the count while nothing runs, and decides whether the service is active."""
    cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 300.0
    """How long after it was last active the last replica goes."""
    initial_cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 0.0
    """For so long after its creation a service is not scaled to zero."""
    activation_threshold: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """Active above this number of requests in flight."""
    idle_replica_count: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    """Replicas while the service is not active, below minReplicas. Absent: minReplicas, or zero where that is 0."""
    fallback: FallbackSettings | None = None
    """Absent: an outage of Prometheus holds what there is."""
    behavior: BehaviorSettings | None = None
    """As in `hpa`."""
    controller_manager: ControllerManager = ControllerManager()
    """The flags under which this HPA runs."""

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
