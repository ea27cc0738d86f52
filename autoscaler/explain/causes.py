"""The words of a recommendation: what its number rests on."""

from math import ceil

from algorithms.types import Average, Recommendation
from autoscaler.explain.view import ServiceView
from autoscaler.explain.wording import average, number_of, span

_ROUNDING = 6
_OURS = ("concurrency", "mpa")


def needed(value: float, per_replica: float) -> int:
    """Give the replicas that an average needs."""
    return ceil(round(value / per_replica, _ROUNDING))


def per_replica(view: ServiceView) -> float | None:
    """Give the requests in flight that a replica should have; None is unknown."""
    recommended = None if view.record is None else view.record.decision.recommendation.per_replica
    if recommended is not None or view.policy is None:
        return recommended
    return view.policy.spec.requests_per_replica


def takes(view: ServiceView, per: float) -> str:
    """Say what a replica takes."""
    limit = None if view.policy is None else view.policy.spec.container_concurrency
    if per == 1 and limit in (None, 1):
        return "a replica takes 1 at a time"
    if limit is None or per == limit:
        return f"a replica takes {per:g}"
    return f"{per:g} are planned for a replica"


def in_flight(used: Average, per: float | None) -> str:
    """Say how many requests were in flight, and over which time."""
    value = average(used.value, per)
    requests = "request" if value == "1" else "requests"
    if not used.over_s:
        return f"{value} {requests} {'is' if value == '1' else 'are'} in flight"
    was = "was" if value == "1" else "were"
    return f"{value} {requests} {was} in flight on average over {_window(used)}"


def _window(used: Average) -> str:
    if used.known_s < used.over_s:
        return f"the {span(used.known_s)} that are known of {span(used.over_s)}"
    return f"the last {span(used.over_s)}"


def short_in_flight(used: Average, per: float | None) -> str:
    """Say the same in a row of a table."""
    each = "" if per is None or per == 1 else f", {per:g} for each replica"
    value = average(used.value, per)
    if not used.over_s:
        return f"{value} in flight{each}"
    window = span(used.over_s)
    known = window if used.known_s >= used.over_s else f"{span(used.known_s)} of {window}"
    return f"{value} in flight on average over {known}{each}"


def recommended(view: ServiceView, recommendation: Recommendation) -> str:
    """Say why this number is recommended, as it stands behind "5 replicas"."""
    replicas, used, per = recommendation.replicas, recommendation.averages, recommendation.per_replica
    if replicas is None:
        return f", held because {recommendation.why}" if recommendation.why else ", held"
    if not used or per is None:
        return f": {recommendation.why}"
    by_average = needed(used[0].value, per)
    if by_average == replicas:
        return f", because {_plainly(view, used[0], per)}"
    return _limited(view, recommendation, by_average)


def _plainly(view: ServiceView, used: Average, per: float) -> str:
    if used.value:
        return f"{in_flight(used, per)} and {takes(view, per)}"
    if not used.over_s:
        return "nothing is in flight"
    return f"nothing was in flight over {_window(used)}"


def _limited(view: ServiceView, recommendation: Recommendation, by_average: int) -> str:
    """Say why the number is not what the average needs: nothing else changes it in an algorithm of our own."""
    if view.policy is not None and view.policy.spec.algorithm.name not in _OURS:
        return f": {recommendation.why}"
    if by_average > (recommendation.replicas or 0):
        used, per = recommendation.averages[0], recommendation.per_replica
        return f", because the number grows step by step; {in_flight(used, per)} and need {by_average}"
    if recommendation.panic:
        return f", held because the number does not fall in panic; now it would be {by_average}"
    return f", because the number falls step by step; now it would be {by_average}"


def short_recommended(recommendation: Recommendation) -> str:
    """Say in a row of a table what the recommendation rests on."""
    used = recommendation.averages
    if not used:
        return recommendation.why
    if not used[0].value:
        return "nothing in flight"
    return short_in_flight(used[0], recommendation.per_replica)


def requests(number: float) -> str:
    """Write a number of requests with its noun."""
    return number_of(number, "request")
