"""The settings of `kpa`: Knative's annotations in camelCase, and the keys of `config-autoscaler` that have none.

`knative_settings.resolve` reads them as Knative does, so that ranges and defaults are defined in one place. An absent
setting has Knative's default, except bounds, concurrency and utilisation, which come from the policy around it.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from algorithms.kpa_core import ALWAYS_PROXIED
from algorithms.kpa_scale import ScaleOptions
from autoscaler.documents.fields import (
    RULES,
    Duration,
    ResourceModel,
    Rule,
    WholeSeconds,
    format_duration,
    lasting,
    rule,
)
from autoscaler.policy.knative_settings import PREFIX, PROGRESS_DEADLINE, resolve

MAX_SCALE = 2**31 - 1
MAX_LOAD = 1_000_000
"""The largest number of requests in a setting."""
MAX_RATE = 1_000_000
"""The largest rate in a setting: more replicas at once than any policy can have."""
Scale = Annotated[int, Field(ge=0, le=MAX_SCALE)]

_BURST = Rule(
    lambda value: 0 <= value <= MAX_LOAD or value == ALWAYS_PROXIED,
    f"(self >= 0.0 && self <= {MAX_LOAD}.0) || self == -1.0",
    f"must be 0 to {MAX_LOAD}, or exactly -1",
)
_ZERO_CEL = "self.?initialScale.orValue(1) > 0 || self.?allowZeroInitialScale.orValue(false)"

_CONFIG_KEYS = {
    "max_scale_up_rate",
    "max_scale_down_rate",
    "enable_scale_to_zero",
    "scale_to_zero_grace_period",
    "allow_zero_initial_scale",
}


class Kpa(ResourceModel):
    """Knative's autoscaler, decision for decision, with the gateway as the activator that is always in the path."""

    model_config = ConfigDict(
        json_schema_extra={RULES: [rule(_ZERO_CEL, "initialScale: 0 needs allowZeroInitialScale")]}
    )

    target: Annotated[float, Field(ge=0.01, le=MAX_LOAD)] | None = None
    """Requests in flight per replica, before utilisation. Absent: targetPerReplica, or what stands for it."""
    target_utilization_percentage: Annotated[float, Field(ge=1, le=100)] | None = None
    """Absent: the policy's targetUtilization."""
    target_burst_capacity: Annotated[float, _BURST] | None = None
    """Requests that the activator can hold back in a burst; -1 keeps it in the path always."""
    window: Annotated[WholeSeconds, lasting("6s", "1h")] | None = None
    """The stable window."""
    panic_window_percentage: Annotated[float, Field(ge=1, le=100)] | None = None
    """The window in which a burst is seen, in percent of the stable window."""
    panic_threshold_percentage: Annotated[float, Field(ge=110, le=1000)] | None = None
    """A burst above this percentage of what the ready replicas can take is a panic."""
    min_scale: Scale | None = None
    """At most the policy's maxReplicas. Absent: the policy's minReplicas."""
    max_scale: Scale | None = None
    """0 is no limit of its own; the policy's maxReplicas always applies. Absent: maxReplicas."""
    initial_scale: Scale | None = None
    """Replicas with which a revision begins, up to the policy's maxReplicas; 0 needs allowZeroInitialScale."""
    activation_scale: Annotated[int, Field(ge=2, le=MAX_SCALE)] | None = None
    """Replicas that a service gets when it scales from zero, within its bounds."""
    scale_down_delay: Annotated[WholeSeconds, lasting("0s", "1h")] | None = None
    """Scale-down never goes below the highest recommendation of this period."""
    scale_to_zero_pod_retention_period: Annotated[Duration, lasting("0s", "1h")] | None = None
    """How long the last replica stays after the decision for zero."""
    metric_aggregation_algorithm: Literal["linear", "weighted-exponential"] | None = None
    """The weights of the seconds in a window: all equal, or more for newer ones."""
    max_scale_up_rate: Annotated[float, Field(gt=1, le=MAX_RATE)] | None = None
    """One decision asks for at most this many times the ready replicas."""
    max_scale_down_rate: Annotated[float, Field(gt=1, le=MAX_RATE)] | None = None
    """One decision keeps at least the ready replicas divided by this."""
    enable_scale_to_zero: bool | None = None
    """Whether the last replica may be removed."""
    scale_to_zero_grace_period: Annotated[Duration, lasting("1ms", "24h")] | None = None
    """How long Knative waits at most for its activator to take over before the last replica is removed."""
    allow_zero_initial_scale: bool | None = None
    """Whether initialScale may be 0."""
    progress_deadline: Annotated[Duration, lasting("1ms", "24h")] | None = None
    """How long a new revision may take to become ready before it fails."""

    def options(
        self,
        *,
        container_concurrency: int,
        target: float | None,
        utilisation: float,
        min_replicas: int,
        max_replicas: int,
    ) -> ScaleOptions:
        """Resolve as Knative does; raises `SettingError`, a ValueError, if Knative refuses a setting."""
        given = {
            **({} if target is None else {"target": target}),
            "target_utilization_percentage": utilisation * 100,
            "min_scale": min_replicas,
            "max_scale": max_replicas,
            **{name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None},
        }
        deadline = given.pop("progress_deadline", None)
        config = {_kebab(name): self._text(name, value) for name, value in given.items() if name in _CONFIG_KEYS}
        annotations = {
            PREFIX + _kebab(name): self._text(name, value) for name, value in given.items() if name not in _CONFIG_KEYS
        }
        if deadline is not None:
            annotations[PROGRESS_DEADLINE] = format_duration(deadline)
        return resolve(config, annotations, container_concurrency=container_concurrency).options

    def _text(self, name: str, value: Any) -> str:
        """Write a value as in Knative's settings."""
        if isinstance(value, bool):
            return str(value).lower()
        is_time = name == "window" or name.endswith(("_delay", "_period"))
        return format_duration(value) if is_time else str(value)


def _kebab(name: str) -> str:
    return name.replace("_", "-")
