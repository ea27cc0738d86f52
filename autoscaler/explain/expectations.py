"""When replicas that start are ready, and when requests that wait are served: from measured starts and service times.

Of n replicas that start, the k-th is expected when (k - 1/2) / n of all starts were ready, counted from its creation.
If it takes longer than that, nine of ten starts count, and after that nothing is promised.
"""

from typing import NamedTuple

from autoscaler.explain.view import ServiceView


class Expected(NamedTuple):
    """When replicas that start are expected, in seconds from now."""

    starting: int
    first_s: float | None
    """None if no start was measured, or if this one takes longer than nine of ten."""
    last_s: float | None


def expected_starts(view: ServiceView, asked: int) -> Expected:
    """Give when the replicas that are missing are expected."""
    ages_s = sorted(_ages_s(view, asked), reverse=True)
    if not ages_s or None in ages_s:
        return Expected(len(ages_s), None, None)
    share = 0.5 / len(ages_s)
    return Expected(len(ages_s), _left_s(view, share, ages_s[0]), _left_s(view, 1 - share, ages_s[-1]))


def _ages_s(view: ServiceView, asked: int) -> list[float]:
    """Give the ages of the replicas that start; one that does not exist yet is as old as the order for it."""
    ready = 0 if view.record is None else view.record.observation.ready
    ordered_s = view.episodes.asked_since_s
    age_s = 0.0 if ordered_s is None else max(view.now_s - ordered_s, 0.0)
    if view.fleet is None:
        return [age_s] * max(asked - ready, 0)
    starting = [replica.age_s for replica in view.fleet.replicas if not replica.ready]
    return [*starting, *[age_s] * max(asked - len(view.fleet.replicas), 0)]


def _left_s(view: ServiceView, share: float, age_s: float) -> float | None:
    for length_s in (view.starts.quantile_s(share), view.starts.p90_s):
        if length_s is not None and length_s > age_s:
            return length_s - age_s
    return None


def last_served_s(view: ServiceView, queued: float, ready: int) -> float | None:
    """Give when the last of the requests that wait gets a slot, with the replicas that are ready."""
    service_s = None if view.figures is None else view.figures.service_s
    slots = 0 if view.policy is None else ready * view.policy.spec.container_concurrency
    return queued * service_s / slots if service_s is not None and slots else None
