"""The pods of a service in the order in which they leave, and why."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autoscaler.explain.view import PodFigures, ServiceView
from autoscaler.explain.wording import ordinal
from autoscaler.ports import Replica
from autoscaler.removal_order import NUMBERED_KINDS, last_ones, removal_order


class PodRow(NamedTuple):
    """One pod of the table."""

    name: str
    state: str
    """`starting`, `idle` or `running`."""
    since_s: float | None
    """Since when it is idle or busy as now, in Unix time; None is unknown."""
    age_s: float
    started_in_s: float | None
    """How long it took until it was ready; None is unknown, or it starts."""
    answers: int | None
    """None is unknown."""
    goes: str
    """Its place in the order, and why it is the first or the last."""


def pod_rows(view: ServiceView) -> tuple[PodRow, ...]:
    """Give the pods, the one that leaves first before all others; none if they are unknown."""
    if view.fleet is None:
        return ()
    figures: Mapping[str, PodFigures] = {} if view.figures is None else view.figures.pods
    numbered = _numbers_its_pods(view)
    ordered = _ordered(view.fleet.replicas, numbered=numbered)
    return tuple(
        _row(view, replica, figures.get(replica.name), _goes(ordered, place, numbered=numbered))
        for place, replica in enumerate(ordered)
    )


def _numbers_its_pods(view: ServiceView) -> bool:
    target = None if view.policy is None else view.policy.spec.scale_target_ref
    return target is not None and (target.api_version, target.kind) in NUMBERED_KINDS


def _ordered(replicas: Sequence[Replica], *, numbered: bool) -> list[Replica]:
    names = last_ones(replicas, -1) if numbered else removal_order(replicas)
    by_name = {replica.name: replica for replica in replicas}
    return [by_name[name] for name in names]


def _row(view: ServiceView, replica: Replica, figures: PodFigures | None, goes: str) -> PodRow:
    since_s = None if figures is None else figures.since_s
    if since_s is None and replica.unchanged_s is not None:
        since_s = view.now_s - replica.unchanged_s
    started = next((start.total_s for start in view.starts.newest if start.pod == replica.name), None)
    answers = None if figures is None else figures.answers
    return PodRow(replica.name, _state(replica), since_s, replica.age_s, started, answers, goes)


def _state(replica: Replica) -> str:
    if not replica.ready:
        return "starting"
    return "running" if replica.running else "idle"


def _goes(ordered: Sequence[Replica], place: int, *, numbered: bool) -> str:
    """Say when a pod leaves, and why if it is the first or the last."""
    replica = ordered[place]
    if ordered[0].pool != ordered[-1].pool or any(each.pool != replica.pool for each in ordered):
        return f"in {replica.pool}"
    if len(ordered) == 1:
        return "the only one"
    if place in {0, len(ordered) - 1}:
        first, neighbour = place == 0, ordered[1 if place == 0 else -2]
        why = _why_by_number(first) if numbered else _why(replica, neighbour, first=first)
        return f"{'first' if first else 'last'}{f': {why}' if why else ''}"
    return ordinal(place + 1)


def _why_by_number(first: bool) -> str:  # noqa: FBT001
    return f"it has the {'highest' if first else 'lowest'} number"


def _why(replica: Replica, neighbour: Replica, *, first: bool) -> str:
    """Say what tells a pod apart from the one beside it in the order; empty if only its name, or when it fell idle."""
    if (state := _state(replica)) != _state(neighbour):
        return {"starting": "it is not ready", "idle": "idle", "running": "it is busy"}[state]
    if replica.running != neighbour.running:
        return f"it has the {'fewest' if first else 'most'} requests"
    if replica.age_s != neighbour.age_s:
        return f"it is the {'youngest' if first else 'oldest'}"
    return ""
