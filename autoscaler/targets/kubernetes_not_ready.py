"""Why fewer pods of a workload are ready than were asked for. No I/O."""

from collections.abc import Sequence

from autoscaler.kubernetes.objects import NotReady, Pod, Scale


def not_ready(asked: int, scale: Scale | None, staying: Sequence[Pod]) -> NotReady | None:
    """Say why fewer pods are ready than were asked for, in Kubernetes' own words; None if it says nothing.

    Args:
        asked: the replicas asked for.
        scale: the workload's scale, which says why pods are not created.
        staying: its pods, the oldest first, without those that are terminating.
    """
    ready = sum(pod.ready for pod in staying)
    if ready >= asked:
        return None
    share = f"{ready} of {asked} replicas are ready"
    for pod in staying:
        if pod.not_ready is not None:
            return NotReady(pod.not_ready.reason, f"{share}; pod {pod.name}: {pod.not_ready.message}")
    if scale is not None and scale.not_ready is not None:
        return NotReady(scale.not_ready.reason, f"{share}: {scale.not_ready.message}")
    return None
