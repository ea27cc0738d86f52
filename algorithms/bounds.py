"""The bounds of a service at a time: the least and the most replicas, and until when they hold.

A policy may have other bounds by night than by day. What gives them knows the calendar; the decider asks it at each
decision.
"""

from collections.abc import Callable
from math import inf
from typing import NamedTuple


class ReplicaBounds(NamedTuple):
    """The bounds in force, with the words for a reason."""

    least: int
    """It wins if it is higher than `most`."""
    most: int
    least_why: str
    most_why: str
    until_s: float = inf
    """The next time at which they may be others."""


BoundsAt = Callable[[float], ReplicaBounds]
"""Gives the bounds at a time; any number may be asked for, also one that is no time."""


def replica_bounds(
    least: int, most: int, until_s: float = inf, *, least_by: str = "", most_by: str = ""
) -> ReplicaBounds:
    """Give bounds with their words; `least_by` and `most_by` say what set them, if it is not the policy alone."""
    return ReplicaBounds(least, most, f"at least {least}{least_by}", f"at most {most}{most_by}", until_s)


def fixed_bounds(least: int, most: int) -> BoundsAt:
    """Give bounds that are always the same."""
    bounds = replica_bounds(least, most)
    return lambda _now_s: bounds


def with_reserve(bounds: BoundsAt, reserve: int) -> BoundsAt:
    """Give bounds that are never below the reserve of some pools, as far as the upper bound allows."""

    def raised(now_s: float) -> ReplicaBounds:
        now = bounds(now_s)
        least = min(reserve, now.most)
        return now if now.least >= least else now._replace(least=least, least_why=f"at least {least}, a reserve")

    return raised
