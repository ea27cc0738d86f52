"""The settings of `kpa`: Knative's annotations in camelCase, and the keys of `config-autoscaler` that have none.

They are handed on to `knative.resolve` as Knative would be given them, so that ranges and defaults stand in one place.
What is left out is Knative's default, but for what the policy around it says: bounds, concurrency and utilisation.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from algorithms.knative_scale import ScaleOptions
from autoscaler.fields import Duration, Model, WholeSeconds, format_duration
from autoscaler.knative import PREFIX, PROGRESS_DEADLINE, resolve

Scale = Annotated[int, Field(ge=0, le=2**31 - 1)]

_CONFIG_KEYS = {
    "max_scale_up_rate",
    "max_scale_down_rate",
    "enable_scale_to_zero",
    "scale_to_zero_grace_period",
    "allow_zero_initial_scale",
}


class Kpa(Model):
    """Knative's autoscaler, decision for decision, as if its activator were always in the path: our gateway is."""

    target: Annotated[float, Field(ge=0.01)] | None = None
    """Requests in flight per replica before utilisation; absent: containerConcurrency, or 100 without a limit."""
    target_utilization_percentage: Annotated[float, Field(ge=1, le=100)] | None = None
    """Absent: the policy's targetUtilization."""
    target_burst_capacity: Annotated[float, Field(ge=-1)] | None = None
    window: WholeSeconds | None = None
    panic_window_percentage: Annotated[float, Field(ge=1, le=100)] | None = None
    panic_threshold_percentage: Annotated[float, Field(ge=110, le=1000)] | None = None
    min_scale: Scale | None = None
    """Absent: the policy's minReplicas."""
    max_scale: Scale | None = None
    """Absent: the policy's maxReplicas."""
    initial_scale: Scale | None = None
    activation_scale: Annotated[int, Field(ge=2, le=2**31 - 1)] | None = None
    scale_down_delay: WholeSeconds | None = None
    scale_to_zero_pod_retention_period: Duration | None = None
    metric_aggregation_algorithm: Literal["linear", "weighted-exponential"] | None = None
    max_scale_up_rate: float | None = None
    max_scale_down_rate: float | None = None
    enable_scale_to_zero: bool | None = None
    scale_to_zero_grace_period: Duration | None = None
    allow_zero_initial_scale: bool | None = None
    progress_deadline: Duration | None = None

    def options(
        self, *, container_concurrency: int, utilisation: float, min_replicas: int, max_replicas: int
    ) -> ScaleOptions:
        """Resolve as Knative does; raises `knative.SettingError`, a ValueError, on what Knative refuses."""
        given = {
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
        """Write a value as Knative's settings are written."""
        if isinstance(value, bool):
            return str(value).lower()
        is_time = name == "window" or name.endswith(("_delay", "_period"))
        return format_duration(value) if is_time else str(value)


def _kebab(name: str) -> str:
    return name.replace("_", "-")
