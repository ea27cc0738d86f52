"""The choice `algorithm:` of a policy: one model for each algorithm, with defaults, ranges and meanings.

A new algorithm is a file in `algorithms`, a field of `AlgorithmChoice` and a row of the table in `decider_factory`.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoscaler.documents.fields import (
    RULES,
    Duration,
    Percent,
    ResourceModel,
    WholeSeconds,
    between,
    exactly_one,
    exactly_one_rule,
    lasting,
)
from autoscaler.policy.hpa_keda import Hpa, Keda
from autoscaler.policy.kpa import MAX_RATE, Kpa

Rate = Annotated[float, Field(gt=1, le=MAX_RATE)]


class Safety(ResourceModel):
    """The rules that `concurrency` adds to Knative's. With all of them off it decides exactly as `kpa` does."""

    from_zero: bool = True
    """While no replica is ready, the requests in flight now decide, not their average."""
    good_time: bool = True
    """While the count is unknown, windows and delays are paused, and the number is held."""
    partial_count: bool = True
    """A count with a missing part may raise the number, and never lowers it."""
    first_window: bool = True
    """After a start the number does not fall before a stable window is known, or scaleDown.delay if that is longer."""


class Concurrency(ResourceModel):
    """The default: Knative's concurrency target on totals that come at any time, with safety rules."""

    stable_window: Annotated[WholeSeconds, lasting("6s", "1h")] = 60.0
    """The window over which the count is averaged."""
    panic_window: Annotated[Percent, between("1%", "100%")] = 0.1
    """The window in which a burst is seen, as a part of the stable window."""
    panic_threshold: Annotated[Percent, between("110%", "1000%")] = 2.0
    """A burst above this part of what the ready replicas can take is a panic. In a panic the number never falls."""
    max_scale_up_rate: Rate = 1000.0
    """One decision asks for at most this many times the ready replicas."""
    max_scale_down_rate: Rate = 2.0
    """One decision keeps at least the ready replicas divided by this."""
    safety: Safety = Safety()
    """The safety rules, each of which can be switched off."""


class ScaleDown(ResourceModel):
    """Delays of scale-down, for `concurrency` and `mpa`; the other algorithms have rules of their own."""

    delay: Annotated[Duration, lasting("0s", "1h")] = 0.0
    """Scale-down never goes below the highest recommendation of this period (Knative's scale-down-delay, HPA's
    stabilization)."""
    to_zero_delay: Annotated[Duration, lasting("0s", "24h")] = 30.0
    """The last replica is removed after the recommendation has been zero for this long (Knative's pod retention, KEDA's
    cooldown)."""


class ScaleUp(ResourceModel):
    """What holds back a scale-up, for `concurrency` and `mpa`."""

    worth_a_start: Annotated[Percent, between("1%", "1000%")] | None = None
    """Another replica starts only if those asked for would need more than this part of a cold start to serve what
    waits. The service time and the starts are measured; half of the starts take no longer than the one that counts.
    Absent: every replica that is recommended starts. It needs the gateway's stream."""


class Mpa(ResourceModel):
    """Replicas follow the requests in flight, without a window. It has no settings."""


def _add_rule(schema: dict[str, Any], model: type[BaseModel]) -> None:
    schema[RULES] = [exactly_one_rule(*model.model_fields)]


class AlgorithmChoice(ResourceModel):
    """Exactly one algorithm with its settings."""

    model_config = ConfigDict(json_schema_extra=_add_rule)

    concurrency: Concurrency | None = None
    kpa: Kpa | None = None
    mpa: Mpa | None = None
    hpa: Hpa | None = None
    keda: Keda | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, *type(self).model_fields)
        return self

    @property
    def name(self) -> str:
        """The name of the algorithm that was chosen."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)
