"""What the parts of a document are made of: the base of every model, durations, percentages and legal ranges.

The documents must stay what a structural Kubernetes schema can say: a choice is an object with exactly one member,
durations and percentages are strings with a pattern, there are no unions and no tuples. Unknown keys are refused; null
reads as absent.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: object) -> float:
    """Read a duration such as `90s`, `1h30m` or `250ms` as seconds; raises ValueError on anything else."""
    if not isinstance(text, str) or not re.match(DURATION_PATTERN, text):
        raise ValueError("must be a duration such as 30s, 10m or 1h30m")
    return sum(float(number) * _UNIT_S[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", text))


def format_duration(seconds: float) -> str:
    """Write seconds as a duration, in hours or minutes where these are whole."""
    for unit in ("h", "m"):
        if seconds and seconds % _UNIT_S[unit] == 0:
            return f"{seconds / _UNIT_S[unit]:.0f}{unit}"
    return f"{seconds:.10g}s"


def parse_percent(text: object) -> float:
    """Read a percentage such as `70%` as the ratio 0.7; raises ValueError on anything else."""
    if not isinstance(text, str) or not re.match(PERCENT_PATTERN, text):
        raise ValueError("must be a percentage such as 70%")
    return float(text[:-1]) / 100


def format_percent(ratio: float) -> str:
    """Write a ratio as a percentage."""
    return f"{ratio * 100:.10g}%"


def _within(low: str, high: str, read: Callable[[object], float]) -> AfterValidator:
    def check(value: float) -> float:
        if not read(low) <= value <= read(high):
            raise ValueError(f"must be {low} to {high}")
        return value

    return AfterValidator(check)


def lasting(low: str, high: str) -> AfterValidator:
    """Limit a duration to a legal range, written as durations."""
    return _within(low, high, parse_duration)


def between(low: str, high: str) -> AfterValidator:
    """Limit a ratio to a legal range, written as percentages."""
    return _within(low, high, parse_percent)


def _whole_seconds(value: float) -> float:
    if value != int(value):
        raise ValueError("must be whole seconds")
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
"""Seconds; a string with units in the document."""

WholeSeconds = Annotated[Duration, AfterValidator(_whole_seconds)]
"""Whole seconds; a string with units in the document."""

Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(format_percent, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN}),
]
"""A ratio; a percentage in the document."""


class Model(BaseModel):
    """The base of every part of a document: camelCase keys, no unknown ones, frozen, null is absent."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def exactly_one(model: Model, *names: str) -> None:
    """Raise ValueError unless exactly one of the named members was given."""
    given = [to_camel(name) for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        keys = ", ".join(to_camel(name) for name in names)
        raise ValueError(f"must have exactly one of {keys}; has {' and '.join(given) or 'none'}")
