"""Which observations are possible: a number that cannot be true is unknown. It is never zero, and never an error.

A count comes from another program over a network. The algorithms get only numbers that they can calculate with.
"""

from algorithms.observation import Observation

MOST = 2.0**53
"""The largest possible count: up to here a double can count single requests."""

LAST_S = 253402300799.0
"""The end of the year 9999, the last possible time."""


def is_time(now_s: float) -> bool:
    """Tell whether this is a possible time."""
    return -LAST_S <= now_s <= LAST_S


def doubt(count: float) -> str:
    """Say why a number is no count of requests; empty if it is one."""
    if 0 <= count <= MOST:
        return ""
    return f"the value is {count:g}, which is no number of requests" if isinstance(count, float) else _NO_COUNT


_NO_COUNT = "the value is no number of requests"


def plausible(observation: Observation) -> Observation:
    """Replace what cannot be true in an observation: its count becomes unknown, and no time runs backwards.

    A possible count is from 0 to 2^53. A number of Pass requests is not below zero. An observation begins at a possible
    time. What it says of finished requests, of starts and of hints is left out where it is impossible.
    """
    arrived, finished, served_s = observation.arrived, observation.finished, observation.served_s
    if (
        observation.starts
        or (arrived is not None and not 0 <= arrived <= MOST)
        or (finished is not None and not 0 <= finished <= MOST)
        or (served_s is not None and not 0 <= served_s <= MOST)
    ):
        observation = _measures(observation)
    if observation.hinted and not (_is_count(observation.hinted) and 0 <= observation.hinted_s <= LAST_S):
        observation = observation._replace(hinted=0.0, hinted_s=0.0)
    since_s, now_s, inflight, latest, passing = (
        observation.since_s,
        observation.now_s,
        observation.inflight,
        observation.latest,
        observation.passing,
    )
    if (
        -LAST_S <= since_s <= now_s
        and (inflight is None or 0 <= inflight <= MOST)
        and 0 <= latest <= MOST
        and passing >= 0
    ):
        return observation
    why = doubt(latest) or (doubt(inflight) if inflight is not None else "") or ("" if passing >= 0 else _NO_COUNT)
    since_s = min(now_s, since_s)  # in this order `now_s` wins over NaN
    observation = observation._replace(since_s=since_s if since_s >= -LAST_S else now_s)
    if not why:
        return observation
    problem = f"{observation.problem}; {why}" if observation.problem else why
    return observation._replace(inflight=None, latest=0.0, passing=max(passing, 0), problem=problem)


def _measures(observation: Observation) -> Observation:
    """Leave out what cannot be true of requests and starts; the count itself is not touched."""
    arrived, finished, served_s = observation.arrived, observation.finished, observation.served_s
    return observation._replace(
        arrived=arrived if _is_count(arrived) else None,
        finished=finished if _is_count(finished) else None,
        served_s=served_s if _is_count(served_s) else None,
        starts=tuple(each for each in observation.starts if _is_count(each.seconds)),
    )


def _is_count(number: float | None) -> bool:
    return number is not None and 0 <= number <= MOST
