"""The HPA's `behavior`, which an HPA and a ScaledObject write alike."""

from copy import deepcopy
from typing import Any

from autoscaler.convert.draft import Draft
from autoscaler.convert.source import Source
from autoscaler.documents.document import KeyPath
from autoscaler.documents.fields import format_duration

_NOT_IN_CONCURRENCY = "the default algorithm has no such rule; algorithm.concurrency has rates of its own"


def map_behavior(draft: Draft, source: Source, path: KeyPath, algorithm: str) -> None:
    """Map `behavior`: word for word for an algorithm that has it, else its delay of scale-down.

    Args:
        draft: the service.
        source: the document.
        path: the path of `behavior` there; nothing is done if it is not there.
        algorithm: `hpa`, `keda` or `concurrency`.
    """
    behavior = source.get(*path)
    if behavior is None:
        return
    if algorithm != "concurrency":
        draft.map(source, path, f"algorithm.{algorithm}.behavior", _in_quotes(deepcopy(behavior)), "word for word")
        return
    source.ineffective(path, _NOT_IN_CONCURRENCY)
    window = source.get(*path, "scaleDown", "stabilizationWindowSeconds")
    if isinstance(window, int):
        place = (*path, "scaleDown", "stabilizationWindowSeconds")
        draft.map(source, place, "scaleDown.delay", format_duration(window))
    if source.get(*path, "scaleDown", "selectPolicy") == "Disabled":
        source.decide((*path, "scaleDown", "selectPolicy"), "replicas will fall with the default algorithm")


def _in_quotes(behavior: dict[str, Any]) -> dict[str, Any]:
    """Write a tolerance, a quantity that may be a number there, as a text."""
    for rules in behavior.values():
        if isinstance(rules, dict) and isinstance(rules.get("tolerance"), int | float):
            rules["tolerance"] = f"{rules['tolerance']:.9f}".rstrip("0").rstrip(".")
    return behavior
