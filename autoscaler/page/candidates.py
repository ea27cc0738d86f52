"""The candidates of a policy beside its decisions: what each changes, and what it wants now. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.explain.candidates import wants
from autoscaler.explain.view import ServiceView
from autoscaler.policy.candidates import Candidate

_ALGORITHM = "algorithm"


def candidates(view: ServiceView) -> list[dict[str, Any]]:
    """Give each candidate of a service, as the policy has them; what they would cost only a simulation knows."""
    if view.policy is None:
        return []
    decided = dict(view.record.candidates) if view.record else {}
    return [
        {
            "name": each.name,
            "what": changes(each),
            "wants": decided[each.name].desired if each.name in decided else None,
            "sentence": wants(view, each.name, decided[each.name]) if each.name in decided else "",
            "gpuSeconds": None,
            "change": None,
            "p95Wait": None,
        }
        for each in view.policy.spec.candidates
    ]


def changes(candidate: Candidate) -> str:
    """Say in a few words what a candidate has in place of the policy's: `stableWindow 30s`, `algorithm mpa`."""
    fields = candidate.model_dump(mode="json", exclude_unset=True, by_alias=True)
    fields.pop("name")
    algorithm: Mapping[str, Any] = fields.pop(_ALGORITHM, {})
    parts = [f"{key} {value}" for name in algorithm for key, value in _leaves("", algorithm[name])]
    named = [] if parts else [f"{_ALGORITHM} {name}" for name in algorithm]
    return ", ".join([*named, *parts, *(f"{key} {value}".strip() for key, value in _leaves("", fields))])


def _leaves(path: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give each value with its path; what stands in a list is not shown."""
    for name, value in fields.items():
        key = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _leaves(key, value)
        else:
            yield key, "" if isinstance(value, list) else value
