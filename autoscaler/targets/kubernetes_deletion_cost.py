"""Which pods get which deletion cost, so that Kubernetes removes the pods that we chose. No I/O."""

from collections.abc import Sequence
from typing import Any

from autoscaler.kubernetes.objects import DELETION_COST, Pod, is_marked, removal_cost


def cost_changes(pods: Sequence[Pod], to_remove: Sequence[str]) -> dict[str, str | None]:
    """Give the cost that each pod needs but does not have; None removes our cost from a pod that stays after all.

    Args:
        pods: all pods that run.
        to_remove: the names of the pods to remove, in this order.
    """
    wanted = {name: removal_cost(place) for place, name in enumerate(to_remove)}
    return {
        pod.name: cost
        for pod in pods
        if pod.cost != (cost := wanted.get(pod.name)) and (cost is not None or is_marked(pod))
    }


def surplus_marks(pods: Sequence[Pod], replicas: int) -> list[str]:
    """Name the marked pods that nobody will remove: no more are removed than there are too many.

    The pods that would be removed last lose their marks first. During a rolling update there are more pods than
    replicas.

    Args:
        pods: all pods that run.
        replicas: how many are asked for.
    """
    marked = [pod for pod in pods if is_marked(pod)]
    stay = max(len(marked) - max(len(pods) - replicas, 0), 0)
    return [pod.name for pod in sorted(marked, key=lambda pod: (-int(pod.cost), pod.created_s, pod.name))[:stay]]


def patch(cost: str | None) -> dict[str, Any]:
    """Give the merge patch that annotates a pod."""
    return {"metadata": {"annotations": {DELETION_COST: cost}}}
