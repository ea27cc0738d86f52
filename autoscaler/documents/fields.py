"""The parts of a document: the base of every model, durations, percentages and ranges.

A structural Kubernetes schema must be able to express the documents: a choice is an object with exactly one member,
durations and percentages are strings with a pattern, and there are no unions or tuples. Unknown keys are refused; null
is absent. What a schema cannot express is a rule in CEL and a check in Python, which refuse the same documents.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isclose
from typing import Annotated, Any, TypeGuard, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"

DIGITS = 10
"""Significant digits of a written number: enough for numbers by people, few enough to hide rounding."""

_ROUNDING = 1e-14
"""The largest rounding error of a number, as a ratio."""

LONGEST_TEXT = 32
"""The most characters of a duration or a percentage; the API server needs a limit to estimate the cost of rules."""

RULES = "x-kubernetes-validations"
"""The key of the CEL rules in a schema."""

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _is_text(value: object, pattern: str) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and re.fullmatch(pattern, value) is not None


def parse_duration(text: object) -> float:
    """Read a duration such as `90s`, `1h30m` or `250ms` as seconds; raises ValueError on anything else."""
    if not _is_text(text, DURATION_PATTERN):
        raise ValueError("must be a duration such as 30s, 10m or 1h30m")
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return round(sum(float(number) * _UNIT_S[unit] for number, unit in parts), 9)  # nanoseconds, as in Go


def format_duration(seconds: float) -> str:
    """Write seconds as a duration, in hours or minutes if these are whole."""
    for unit in ("h", "m"):
        if seconds and seconds % _UNIT_S[unit] == 0:
            return f"{seconds / _UNIT_S[unit]:.0f}{unit}"
    return f"{_number(round(seconds, 9))}s"


def parse_percent(text: object) -> float:
    """Read a percentage such as `70%` as the ratio 0.7; raises ValueError on anything else."""
    if not _is_text(text, PERCENT_PATTERN):
        raise ValueError("must be a percentage such as 70%")
    return float(text[:-1]) / 100


def format_percent(ratio: float) -> str:
    """Write a ratio as a percentage."""
    return f"{_number(ratio * 100)}%"


def format_quantity(value: float) -> str:
    """Write a Kubernetes quantity without a unit."""
    return _number(value)


def _number(value: float) -> str:
    """Write a number with up to nine decimals, without an exponent, which the patterns do not allow.

    It has few digits if more would be a rounding error, and all digits if they were written.
    """
    short = f"{value:.{DIGITS}g}"
    text = short if isclose(float(short), value, rel_tol=_ROUNDING) else repr(value)
    return f"{Decimal(text):.9f}".rstrip("0").rstrip(".")


def rule(cel: str, message: str) -> Any:
    """Give a rule for a schema's RULES, which the API server checks; `self` in it is the value of that schema."""
    return {"rule": cel, "message": message}


@dataclass(frozen=True, slots=True)
class Rule:
    """One check in two forms: in Python on the value that was read, in CEL on the written one."""

    holds: Callable[[float], bool]
    cel: str
    message: str
    least: float | None = None
    """The lower end of the range, if there is one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        inner = handler(schema)
        return {**inner, RULES: [*inner.get(RULES, []), rule(self.cel, self.message)]}

    def _check(self, value: float) -> float:
        if not self.holds(value):
            raise ValueError(self.message)
        return value


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern that a whole text must match, with words for the message."""

    pattern: str
    legal: str
    longest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "maxLength": self.longest}

    def _check(self, value: str) -> str:
        if len(value) > self.longest or re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"must be {self.legal}, in at most {self.longest} characters")
        return value


def lasting(low: str, high: str) -> Rule:
    """Limit a duration to a range, written as durations."""
    low_s, high_s = parse_duration(low), parse_duration(high)
    cel = f"duration(self) >= duration('{low}') && duration(self) <= duration('{high}')"
    return Rule(lambda value: low_s <= value <= high_s, cel, f"must be {low} to {high}", low_s)


def between(low: str, high: str) -> Rule:
    """Limit a ratio to a range, written as percentages."""
    least, most = parse_percent(low), parse_percent(high)
    number = "double(self.replace('%', ''))"
    cel = f"{number} >= {float(low[:-1])} && {number} <= {float(high[:-1])}"
    return Rule(lambda value: least <= value <= most, cel, f"must be {low} to {high}", least)


WHOLE = Rule(
    lambda value: value == int(value),
    "timestamp(0) + duration(self) == timestamp(duration(self).getSeconds())",
    "must be whole seconds",
)

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": LONGEST_TEXT}),
]
"""Seconds; a string with units in the document."""

WholeSeconds = Annotated[Duration, WHOLE]
"""Whole seconds; a string with units in the document."""

Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(format_percent, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "maxLength": LONGEST_TEXT}),
]
"""A ratio; a percentage in the document."""


class Model(BaseModel):
    """The base of every part of a document: camelCase keys, no unknown keys, frozen, null is absent."""

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


def _as_in_json(value: Any) -> Any:
    """Convert a list to a tuple, and 10.0 to 10: JSON, which kubectl sends, has one kind of number."""
    if isinstance(value, list):
        return tuple(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ResourceModel(Model):
    """A part of a custom resource: as strict about types as the API server, so that both accept the same documents."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_in_json(cls, value: Any) -> Any:
        return {key: _as_in_json(item) for key, item in value.items()} if isinstance(value, dict) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Write defaults as in a document; pydantic's own schema has 60.0 for `60s`."""
        reference = handler(schema)
        properties = handler.resolve_ref_schema(reference)["properties"]
        written = cls.model_construct().model_dump(mode="json", exclude_none=True, warnings=False)
        for key in properties:
            properties[key].pop("default", None)
            if key in written:
                properties[key]["default"] = written[key]
        return reference


ModelT = TypeVar("ModelT", bound=Model)


def sharing_parts(model: ModelT, given: Any) -> ModelT:
    """Share the equal parts of all documents; give the model itself.

    Ten thousand policies are much alike, and parts never change: sharing saves half of their memory. Two parts are
    known to be equal by the text of the document, which is much faster to compare than the parts.

    Args:
        model: a part, or a whole document.
        given: what the document says of it.
    """
    said = given if isinstance(given, Mapping) else {}
    fields = type(model).model_fields
    parts = {
        name: _PARTS.first_equal(part, said.get(fields[name].alias))
        for name, part in model.__dict__.items()
        if isinstance(part, Model)
    }
    model.__dict__.update(parts)
    object.__setattr__(model, "__pydantic_fields_set__", _one_set(frozenset(model.model_fields_set)))
    return model


class _Parts:
    """The parts of documents that were read last, by their type and text."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[tuple[type[Model], str], Model] = OrderedDict()

    def first_equal(self, part: Model, given: Any) -> Model:
        """Give the first part of this type with this text."""
        key = type(part), repr(given)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        if len(self._known) == self._most:
            self._known.popitem(last=False)
        self._known[key] = sharing_parts(part, given)
        return part


_PARTS = _Parts(256)


@lru_cache(maxsize=1024)
def _one_set(keys: frozenset[str]) -> set[str]:
    return set(keys)


def metadata_of(field: FieldInfo) -> Iterator[Any]:
    """Give the annotations of a field, or of the `X` in its `X | None`."""
    yield from field.metadata
    for item in get_args(field.annotation):
        for annotation in get_args(item)[1:]:
            yield from annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]


def exactly_one(model: Model, *names: str) -> None:
    """Raise ValueError unless exactly one of the named members was given."""
    given = [to_camel(name) for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise ValueError(f"{_one_of(names)}; has {' and '.join(given) or 'none'}")


def exactly_one_rule(*names: str) -> Any:
    """Give the rule of `exactly_one` in CEL."""
    given = ", ".join(f"has(self.{to_camel(name)})" for name in names)
    return rule(f"[{given}].exists_one(given, given)", _one_of(names))


def _one_of(names: tuple[str, ...]) -> str:
    return f"must have exactly one of {', '.join(to_camel(name) for name in names)}"
