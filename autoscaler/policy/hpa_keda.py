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
"""The largest number in Kubernetes."""

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
    """The values of the policy that every algorithm uses."""

    target: float
    """Requests in flight for each replica."""
    min_replicas: int
    max_replicas: int


class RatePolicy(ResourceModel):
    """The number, or the percentage, of pods that may change within a period."""

    type: Literal["Pods", "Percent"]
    """The unit of `value`: pods, or percent of the pods at the start of the period."""
    value: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """How many may be added or removed."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """The period in which changes count."""


class Rules(ResourceModel):
    """One direction of `behavior`."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """The most cautious recommendation of this period applies. Absent: 0 upwards; downwards the flag (default 300)."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which of several policies applies: the one that allows most, or least. Disabled: no change in this direction."""
    policies: Annotated[tuple[RatePolicy, ...], Field(min_length=1, max_length=64)] | None = None
    """Absent: upwards 4 pods or 100 % in 15 s, downwards 100 % in 15 s."""
    tolerance: Quantity | None = None
    """How far the count may differ from its target, as a ratio, without a change. Absent: that of the flags."""

    def rules(self, policies: tuple[Policy, ...], window_s: float) -> ScalingRules:
        """Build the rules, with the defaults of the direction for absent settings."""
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
    """Rules for scale-up."""
    scale_down: Rules = Rules()
    """Rules for scale-down."""

    def behavior(self, downscale_stabilization_s: float) -> Behavior:
        """Build it with the API's and the controller's defaults filled in."""
        return Behavior(self.scale_up.rules(_UP, 0.0), self.scale_down.rules(_DOWN, downscale_stabilization_s))


class ControllerManager(ResourceModel):
    """Flags of the kube-controller-manager that apply to every HPA."""

    sync_period: Annotated[Duration, lasting("1s", "10m")] = SYNC_PERIOD_S
    """How often the HPA decides."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = TOLERANCE
    """How far the count may differ from its target, as a ratio, without a change."""
    downscale_stabilization: Annotated[Duration, lasting("0s", "1h")] = DOWNSCALE_STABILIZATION_S
    """Scale-down never goes below the highest recommendation of this period."""


class Hpa(ResourceModel):
    """The HorizontalPodAutoscaler, decision for decision, on requests in flight as an External AverageValue metric."""

    behavior: BehaviorSettings | None = None
    """Absent: the older rules of the HPA, which at most double the number, or raise it to 4."""
    kubernetes: Literal["1.36", "1.37"] = "1.36"
    """The version of Kubernetes whose defaults apply. In 1.37 an HPA may scale to zero; all else is as in 1.36."""
    controller_manager: ControllerManager = ControllerManager()
    """Flags of the controller manager."""
    scale_to_zero: bool | None = None
    """The feature gate HPAScaleToZero. Absent: on in Kubernetes 1.37, off in 1.36. If it is off, minReplicas 0 means 1,
    and at zero replicas nothing is decided. If it is on, only a zero that another writer set stays."""

    @property
    def scales_to_zero(self) -> bool:
        """Whether the feature gate HPAScaleToZero is on."""
        return self.kubernetes == "1.37" if self.scale_to_zero is None else self.scale_to_zero

    def options(self, bounds: Bounds) -> HpaOptions:
        """Build the options; without the feature gate the minimum is at least 1, as the API of the HPA requires."""
        flags = self.controller_manager
        return HpaOptions(
            min_replicas=bounds.min_replicas if self.scales_to_zero else max(1, bounds.min_replicas),
            max_replicas=bounds.max_replicas,
            metrics=(Metric(MetricKind.EXTERNAL, TargetType.AVERAGE_VALUE, round(bounds.target * 1000)),),
            behavior=_behavior(self.behavior, flags),
            tolerance=flags.tolerance,
            downscale_stabilization_s=flags.downscale_stabilization,
            sync_period_s=flags.sync_period,
            scale_to_zero=self.scales_to_zero,
        )


class FallbackSettings(ResourceModel):
    """The replicas to ask for if Prometheus fails."""

    failure_threshold: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    """Failed reads in a row before it applies."""
    replicas: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    """Replicas to ask for, up to the policy's maxReplicas."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """Which number to ask for: `replicas`, the current one, or the higher or the lower of both."""


class Keda(ResourceModel):
    """A ScaledObject with a Prometheus trigger, and the HPA that KEDA makes for it."""

    polling_interval: Annotated[Duration, lasting("1s", "1h")] = 30.0
    """How often KEDA decides whether the service is active, and reads the count while nothing runs."""
    cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 300.0
    """How long the last replica stays after the service was last active."""
    initial_cooldown_period: Annotated[Duration, lasting("0s", "24h")] = 0.0
    """How long after its creation a service is not scaled to zero."""
    activation_threshold: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """The service is active above this number of requests in flight."""
    idle_replica_count: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    """Replicas while the service is not active, below minReplicas. Absent: minReplicas."""
    fallback: FallbackSettings | None = None
    """Absent: the number is held while Prometheus fails."""
    behavior: BehaviorSettings | None = None
    """As in `hpa`."""
    controller_manager: ControllerManager = ControllerManager()
    """Flags of the controller manager."""

    def options(self, bounds: Bounds, annotations: Mapping[str, str]) -> KedaOptions:
        """Build the options. KEDA's own annotations (paused, force-activation ...) are read from the policy."""
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
