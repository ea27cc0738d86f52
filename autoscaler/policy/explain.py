"""The effective settings of a policy: every value, and whether it was given, is a default or is derived."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from autoscaler.documents.document import Document, KeyPath, to_inline_yaml
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.candidates import Candidate
from autoscaler.policy.decider_factory import derived_settings
from autoscaler.policy.spec import ScalingPolicy

COMMENT_COLUMN = 60


class Value(NamedTuple):
    """One effective value."""

    value: Any
    origin: str
    """`given, line 8`, `default`, or what it is derived from."""


Tree = Mapping[str, Any]
"""Keys with values, trees, or lists of trees."""


def explained(document: Document, read: ScalingPolicy | GpuBudget) -> Tree:
    """Give every value of a document with its origin; under `derived` those of a policy that are no settings."""
    effective = read.model_dump(mode="json", exclude_none=True)
    settings = {key: _with_origins(document, (key,), value) for key, value in effective.items()}
    if isinstance(read, GpuBudget):
        return settings
    if read.spec.candidates:
        settings["spec"] = {**settings["spec"], "candidates": list(_candidates(document, read))}
    of_candidates = {name: _derived(policy) for name, policy in read.candidates.items()}
    return {**settings, "derived": _derived(read) | ({"candidates": of_candidates} if of_candidates else {})}


def _candidates(document: Document, policy: ScalingPolicy) -> Iterator[Tree]:
    """Give each candidate with its own values, and with the policy's in place of what it does not have."""
    for number, candidate in enumerate(policy.spec.candidates):
        own = candidate.model_dump(mode="json", exclude_none=True)
        both = policy.candidates[candidate.name].spec.model_dump(mode="json", exclude_none=True)
        yield {
            key: _with_origins(document, ("spec", "candidates", number, key), own[key])
            if key in own
            else _from_the_policy(both[key])
            for key in (field.alias or name for name, field in Candidate.model_fields.items())
            if key in own or both.get(key) is not None
        }


def _from_the_policy(value: Any) -> Any:
    """Give a value, or each value in an object, as one of the policy around it."""
    if isinstance(value, dict) and value:
        return {key: _from_the_policy(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_from_the_policy(inner) for inner in value]
    return Value(value, "the policy's")


def _with_origins(document: Document, path: KeyPath, value: Any) -> Any:
    if isinstance(value, dict) and value:
        return {key: _with_origins(document, (*path, key), inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_with_origins(document, (*path, index), inner) for index, inner in enumerate(value)]
    given = document.value_at(path) is not None
    return Value(value, f"given, line {document.line(path)}" if given else "default")


def _derived(policy: ScalingPolicy) -> dict[str, Value | Tree]:
    spec = policy.spec
    found: dict[str, Value | Tree] = {
        "requestsPerReplica": Value(spec.target, f"{_full_target(policy)} x targetUtilization")
    }
    prometheus = spec.metrics.prometheus
    if prometheus and prometheus.series is None:
        found["series"] = Value(prometheus.raw_series(), "the series that metrics.prometheus.query adds up")
    if priced := [pool for pool in spec.pools or () if pool.price_per_hour]:
        why = "pricePerHour / speed: an hour of work of a pool with speed 1"
        found["pricePerWork"] = {
            each.name: Value(float(f"{each.price_per_hour / each.speed:.4g}"), why) for each in priced
        }
    values, origin = derived_settings(policy)
    return {**found, **{key: _with_origin(value, origin) for key, value in values.items()}}


def _full_target(policy: ScalingPolicy) -> str:
    """Say what gives the requests per replica at 100 % utilization."""
    if policy.spec.target_per_replica is not None:
        return "targetPerReplica"
    return "containerConcurrency" if policy.spec.container_concurrency else "100 because there is no limit"


def _with_origin(value: Any, origin: str) -> Value | Tree:
    """Give a value, or each value of an object that is present, with its origin."""
    plain = _plain(value)
    if not isinstance(plain, dict):
        return Value(plain, origin)
    return {name: Value(inner, origin) for name, inner in plain.items() if inner is not None}


def _plain(value: Any) -> Any:
    """Convert named values to a dict, and enums to their values."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


def to_yaml(tree: Tree) -> str:
    """Write it as YAML, with the origins as comments."""
    lines = ((f"{text:<{COMMENT_COLUMN}} # {origin}" if origin else text) for text, origin in _lines(tree))
    return "".join(f"{line}\n" for line in lines)


def _lines(tree: Tree) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        match value:
            case Value():
                yield f"{key}: {to_inline_yaml(value.value)}", value.origin
            case list():
                yield f"{key}:", ""
                for item in value:
                    yield from _indented(_lines(item), first="  - ", rest="    ")
            case _:
                yield f"{key}:", ""
                yield from _indented(_lines(value), first="  ", rest="  ")


def _indented(lines: Iterator[tuple[str, str]], first: str, rest: str) -> Iterator[tuple[str, str]]:
    for number, (text, origin) in enumerate(lines):
        yield (rest if number else first) + text, origin
