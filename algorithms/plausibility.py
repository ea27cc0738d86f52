"""What a look may say at all: a number that cannot be true is unknown, never zero, and never an error.

A count comes from somebody else's program over somebody else's network. Whatever it says, the algorithms get numbers
that they can calculate with.
"""

from algorithms.types import Observation

MOST = 2.0**53
"""The largest count that is believed: up to here a double tells one request from the next."""

LAST_S = 253402300799.0
"""The end of the year 9999: no clock that is right says more."""


def is_time(now_s: float) -> bool:
    """Tell whether a clock can have said this; a look at another time says nothing."""
    return -LAST_S <= now_s <= LAST_S


def doubt(count: float) -> str:
    """Say why a number is no count of requests; empty if it is one."""
    if 0 <= count <= MOST:
        return ""
    return f"the value is {count:g}, which is no number of requests" if isinstance(count, float) else _NO_COUNT


_NO_COUNT = "the value is no number of requests"


def plausible(observation: Observation) -> Observation:
    """Give a look without what cannot be true: its count is unknown then, and no time runs backward.

    The count is known from 0 to 2^53, or not at all; no count of uncounted requests is below zero. What a look covers
    begins at a time.
    """
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
    since_s = min(now_s, since_s)  # in this order the present wins over what is no number
    observation = observation._replace(since_s=since_s if since_s >= -LAST_S else now_s)
    if not why:
        return observation
    problem = f"{observation.problem}; {why}" if observation.problem else why
    return observation._replace(inflight=None, latest=0.0, passing=max(passing, 0), problem=problem)
