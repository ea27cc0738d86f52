"""What the demo does, and the one place where it is made faster.

`faster` divides every duration of policy, load, service and cold start before anything starts; the demo then runs in
real time, and multiplies back what it prints. Some things do not shrink: no duration goes below what is legal for it (a
stable window has at least 6 s), and Prometheus scrapes every second whatever the speed, so a sample stays good for at
least 5 s.
"""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from algorithms.distributions import Distribution, Uniform
from autoscaler.documents.fields import DURATION_PATTERN, WHOLE, Rule, format_duration, metadata_of
from autoscaler.policy.spec import ScalingPolicy

SERVICE_TIME = Uniform(10, 30)
"""Seconds that one picture takes: the reference run's fastest took 9.94 s, its median, with hardly a wait, 20.08 s."""
COLD_START = Uniform(25, 45)
"""Seconds until a replica serves: the reference run's slowest, which met zero replicas, took 62.42 s in all."""

FLOORS_S = {"maxSampleAge": 5.0}
"""Keys whose durations stay longer than what is legal would ask for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The policy, the load, and how long things take."""

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
    """Give a model as a document in which every duration is divided by `speed`, down to its floor."""
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
