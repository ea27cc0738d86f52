"""Which pods get which deletion cost, so that Kubernetes takes those that we chose. No I/O."""

from collections.abc import Sequence
from typing import Any

from autoscaler.kubernetes.objects import DELETION_COST, Pod, is_marked, leaving_cost


def marks(pods: Sequence[Pod], leaving: Sequence[str]) -> dict[str, str | None]:
    """Give the cost that each pod needs and has not; None takes away one of ours from a pod that stays after all.

    Args:
        pods: all that run.
        leaving: names of those that should go, the first to go first.
    """
    wanted = {name: leaving_cost(place) for place, name in enumerate(leaving)}
    return {
        pod.name: cost
        for pod in pods
        if pod.cost != (cost := wanted.get(pod.name)) and (cost is not None or is_marked(pod))
    }


def patch(cost: str | None) -> dict[str, Any]:
    """Give the merge patch that annotates a pod."""
    return {"metadata": {"annotations": {DELETION_COST: cost}}}
