"""The fleet of a workload, and which of its replicas have no place, by what Kubernetes says of its pods. No I/O.

Rules:
1. A pod that no node can take has no place, and neither has one that is not scheduled for another reason (a gate, an
   error of the scheduler). Kubernetes tries again, so a place may come.
2. Pods that are missing have no place once Kubernetes says that it cannot create them: a quota is used up, or an
   admission refuses them.
3. Pods that are missing for any other reason are about to be created, and the extra pods of a rollout need no place.
"""

from collections.abc import Mapping, Sequence

from algorithms.observation import PoolState
from autoscaler.kubernetes.objects import Pod, Scale
from autoscaler.ports import Fleet, Replica

_NOT_SCHEDULED = frozenset({"Unschedulable", "SchedulerError", "SchedulingGated"})
"""The reasons of a pod's condition PodScheduled."""
_NOT_CREATED = "FailedCreate"


def observed_fleet(
    asked: int, scale: Scale | None, pods: Sequence[Pod], running: Mapping[str, int], now_s: float
) -> Fleet:
    """Give what runs of one workload, as one pool without a name.

    Args:
        asked: the replicas asked for.
        scale: the workload's scale, which says why pods are not created.
        pods: its pods.
        running: the running requests of each pod that stays.
        now_s: the time.
    """
    staying = [pod for pod in pods if not pod.terminating]
    replicas = (
        Replica(
            *(pod.name, pod.ready, running[pod.name], max(now_s - pod.created_s, 0.0)),
            start=pod.start,
            placed=pod.placed,
            gpus=pod.gpus,
        )
        for pod in staying
    )
    leaving = sum(pod.terminating and not pod.ended for pod in pods)
    state = pool_state(asked, scale, staying)
    return Fleet(asked, tuple(replicas), leaving=leaving, pools=(state,), unplaced=state.unplaced)


def pool_state(asked: int, scale: Scale | None, staying: Sequence[Pod]) -> PoolState:
    """Give the state of one pool, still without its name and without what its replicas serve.

    Args:
        asked: the replicas asked for.
        scale: the workload's scale, which says why pods are not created.
        staying: its pods, without those that are terminating.
    """
    waiting = [pod.not_ready for pod in staying if pod.not_ready and pod.not_ready.reason in _NOT_SCHEDULED]
    refusal = scale.not_ready if scale and scale.not_ready and scale.not_ready.reason == _NOT_CREATED else None
    missing = max(asked - len(staying), 0) if refusal else 0
    unplaced = min(len(waiting) + missing, max(asked - len(staying) + len(waiting), 0))
    why = next((each for each in (refusal if missing else None, *waiting) if each), None)
    return PoolState(
        "",
        asked,
        ready=sum(pod.ready for pod in staying),
        unplaced=unplaced,
        refused=missing > 0,
        why=f"{why.reason}: {why.message}" if unplaced and why else "",
    )
