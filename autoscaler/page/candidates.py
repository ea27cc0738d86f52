"""The candidates of a policy beside its decisions: what each changes, and what it wants now. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.explain.candidates import wants
from autoscaler.explain.view import ServiceView
from autoscaler.policy.candidates import Candidate
from autoscaler.policy.spec import PolicySpec

_ALGORITHM = "algorithm"


def candidates(view: ServiceView) -> list[dict[str, Any]]:
    """Give each candidate of a service, as the policy has them; what they would cost only a simulation knows."""
    if view.policy is None:
        return []
    decided = dict(view.record.candidates) if view.record else {}
    return [
        {
            "name": each.name,
            "what": changes(each, view.policy.spec),
            "wants": decided[each.name].desired if each.name in decided else None,
            "sentence": wants(view, each.name, decided[each.name]) if each.name in decided else "",
            "gpuSeconds": None,
            "change": None,
            "p95Wait": None,
        }
        for each in view.policy.spec.candidates
    ]


def changes(candidate: Candidate, spec: PolicySpec) -> str:
    """Say in a few words what a candidate has that the policy has not: `stableWindow 30s`, `algorithm mpa`."""
    policy = spec.model_dump(mode="json", by_alias=True)
    fields = candidate.model_dump(mode="json", exclude_unset=True, by_alias=True)
    fields.pop("name")
    algorithm: Mapping[str, Any] = fields.pop(_ALGORITHM, {})
    parts = [part for name in algorithm for part in _differing(algorithm[name], policy[_ALGORITHM].get(name) or {})]
    named = [f"{_ALGORITHM} {name}" for name in algorithm if not policy[_ALGORITHM].get(name)]
    return ", ".join([*named, *parts, *_differing(fields, policy)])


def _differing(fields: Mapping[str, Any], policy: Mapping[str, Any]) -> list[str]:
    known = dict(_leaves("", policy))
    return [f"{key} {value}".strip() for key, value in _leaves("", fields) if known.get(key) != value or value == ""]


def _leaves(path: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give each value with its path; what stands in a list is not shown."""
    for name, value in fields.items():
        key = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _leaves(key, value)
        else:
            yield key, "" if isinstance(value, list) else value
