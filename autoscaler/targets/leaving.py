"""Which pods get which deletion cost, so that Kubernetes takes those that we chose. No I/O."""

from collections.abc import Sequence
from typing import Any

from autoscaler.kubernetes.objects import DELETION_COST, Pod

_LOWEST = -1_000_000
"""Far below what anybody else would set; the first to go has it, the next one more."""


def marks(pods: Sequence[Pod], leaving: Sequence[str]) -> dict[str, str | None]:
    """Give the cost that each pod needs and has not; None takes away one of ours from a pod that stays after all.

    Args:
        pods: all that run.
        leaving: names of those that should go, the first to go first.
    """
    wanted = {name: str(_LOWEST + place) for place, name in enumerate(leaving)}
    return {
        pod.name: cost
        for pod in pods
        if pod.cost != (cost := wanted.get(pod.name)) and (cost is not None or _is_ours(pod.cost))
    }


def patch(cost: str | None) -> dict[str, Any]:
    """Give the merge patch that annotates a pod."""
    return {"metadata": {"annotations": {DELETION_COST: cost}}}


def _is_ours(cost: str) -> bool:
    return cost.startswith("-") and cost[1:].isdecimal() and -int(cost[1:]) < _LOWEST // 2
