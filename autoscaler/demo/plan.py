"""What the demo does, and how it is made faster.

`faster` divides every duration of policy, load, service and cold start before anything starts. The demo then runs in
real time, and multiplies the times that it prints. Some durations do not shrink: none goes below its allowed minimum (a
stable window has at least 6 s), and Prometheus scrapes every second at any speed, so a sample stays valid for at least
5 s.
"""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from algorithms.distributions import Distribution, Uniform
from autoscaler.documents.fields import DURATION_PATTERN, WHOLE, Rule, format_duration, metadata_of
from autoscaler.policy.spec import ScalingPolicy

SERVICE_TIME = Uniform(10, 30)
"""Seconds for one picture: in the reference run the fastest took 9.94 s, the median, with little waiting, 20.08 s."""
COLD_START = Uniform(25, 45)
"""Seconds until a replica serves: in the reference run the slowest request, at zero replicas, took 62.42 s in total."""

FLOORS_S = {"maxSampleAge": 5.0}
"""Keys whose durations have a minimum above the allowed one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The policy, the load, and the durations."""

    policy: ScalingPolicy
    requests: int = 50
    workers: int = 5
    timeout_s: float = 180.0
    service_time: Distribution = SERVICE_TIME
    cold_start: Distribution = COLD_START
    tick_s: float = 2.0
    speed: float = 1.0
    seed: int = 1


def faster(plan: Plan, speed: float) -> Plan:
    """Divide every duration of a plan by `speed`."""
    return replace(
        plan,
        policy=type(plan.policy).model_validate(_shortened(plan.policy, speed)),
        timeout_s=plan.timeout_s / speed,
        service_time=plan.service_time.scaled(1 / speed),
        cold_start=plan.cold_start.scaled(1 / speed),
        tick_s=plan.tick_s / speed,
        speed=plan.speed * speed,
    )


def _shortened(model: BaseModel, speed: float) -> dict[str, Any]:
    """Convert a model to a document in which every duration is divided by `speed`, but not below its minimum."""
    document = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, field in type(model).model_fields.items():
        value, key, metadata = getattr(model, name), field.alias or name, list(metadata_of(field))
        if isinstance(value, BaseModel):
            document[key] = _shortened(value, speed)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            document[key] = [_shortened(item, speed) for item in value]
        elif value is not None and name.endswith("_seconds"):  # the HPA's durations are whole numbers
            document[key] = max(round(value / speed), min(value, 1))
        elif value is not None and _is_duration(metadata):
            document[key] = format_duration(_shorter(key, value, metadata, speed))
    return document


def _shorter(key: str, duration_s: float, metadata: list[Any], speed: float) -> float:
    legal = (rule.least for rule in metadata if isinstance(rule, Rule) and rule.least is not None)
    floor_s = max(FLOORS_S.get(key, 0.0), *legal, 0.0)
    shorter_s = max(duration_s / speed, min(duration_s, floor_s))
    return round(shorter_s) if WHOLE in metadata else shorter_s


def _is_duration(metadata: list[Any]) -> bool:
    schemas = (getattr(part, "json_schema", None) or {} for part in metadata)
    return any(schema.get("pattern") == DURATION_PATTERN for schema in schemas)
