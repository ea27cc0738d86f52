"""From what was recorded of a service to a trace: counters of Prometheus on a grid, or lines of the gateway's log.

What is not known is never taken for zero. A span of which nothing is known is cut out of the trace's time, as if it had
not been, and named; so a trace has no rest in it that the service did not have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.random import default_rng

from simulations.model.run_inputs import Floats

COUNT, SERVED = "Count", "served"
NEVER_DISPATCHED = frozenset({"asleep", "bad_request", "body_late", "body_too_large"})
"""Endings of requests that never reach a replica whatever the policy is."""

Points = Mapping[int, float]
"""Values by the number of their instant on a grid; what is not there is not known."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival, a column each."""

    arrival_s: Floats
    """Since the trace began."""
    service_s: Floats | None = None
    """NaN where it is not known; None where it is known of none."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    def columns(self) -> dict[str, Floats]:
        """Give its columns by the names that they have in a file."""
        return {"arrival_s": self.arrival_s} | ({} if self.service_s is None else {"service_s": self.service_s})


class Missing(NamedTuple):
    """A span between two instants of a grid of which nothing is known."""

    first: int
    last: int


class Arrivals(NamedTuple):
    """Requests that came in each interval of a grid."""

    counts: tuple[int | None, ...]
    """In order; None where it is not known."""
    restarts: tuple[int, ...]
    """Intervals in which a counter began anew: what came before it did is not in `counts`."""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Spans of intervals that are not known."""
        spans, at = [], 0
        for known, group in groupby(self.counts, lambda count: count is not None):
            length = len(list(group))
            spans += [] if known else [Missing(at, at + length)]
            at += length
        return tuple(spans)


def arrivals(counters: Iterable[Points], instants: int) -> Arrivals:
    """Add up the growth of counters of one service, one for each gateway, between neighbouring instants.

    An interval is known if a counter is known at both its ends, and no other counter misses within its own life.
    """
    counts: list[int | None] = [None] * (instants - 1)
    restarts: set[int] = set()
    unknown: set[int] = set()
    for points in counters:
        for first, last in pairwise(sorted(points)):
            if last - first > 1:
                unknown.update(range(first, last))
                continue
            grown = points[last] - points[first]
            restarts.update([first] if grown < 0 else [])
            counts[first] = (counts[first] or 0) + round(grown if grown >= 0 else points[last])
    known = tuple(None if number in unknown else count for number, count in enumerate(counts))
    return Arrivals(known, tuple(sorted(restarts)))


def trace_of_counts(found: Arrivals, step_s: float) -> Trace:
    """Spread what came in each interval over it as independent arrivals would be, always with the same luck.

    The trace begins with the first known interval; intervals that are not known take no time in it.
    """
    rng, times, at_s = default_rng(0), [], 0.0
    for count in found.counts:
        if count is not None:
            times.append(at_s + np.sort(rng.random(count)) * step_s)
            at_s += step_s
    return Trace(np.concatenate(times) if times else np.zeros(0))


def inflight_columns(by_state: Mapping[str, Sequence[Points]], instants: int, step_s: float) -> dict[str, Floats]:
    """Give requests in flight by state at each instant, summed over gateways; NaN where one of them is not known."""
    columns: dict[str, Floats] = {"t_s": np.arange(instants, dtype=np.float64) * step_s}
    for state, gateways in by_state.items():
        total = np.full(instants, np.nan)
        for number in range(instants):
            alive = [points for points in gateways if points and min(points) <= number <= max(points)]
            if alive and all(number in points for points in alive):
                total[number] = sum(points[number] for points in alive)
        columns[state] = total
    return columns


def trace_of_log(lines: Iterable[Mapping[str, Any]], service: str, start_s: float, end_s: float) -> Trace:
    """Give the counted requests of a service that came in a time, from the gateway's request log.

    The service time is known of those that were served. The trace begins with the first request.

    Raises:
        LookupError, TypeError: a line is none of a request log.
    """
    rows = sorted(
        (line["arrival"], line["service_s"] if line["outcome"] == SERVED else None)
        for line in lines
        if line["service"] == service
        and line["kind"] == COUNT
        and line["outcome"] not in NEVER_DISPATCHED
        and start_s <= line["arrival"] < end_s
    )
    arrival_s = np.array([arrival for arrival, _ in rows], dtype=float)
    return Trace(arrival_s - arrival_s[:1].sum(), np.array([service_s for _, service_s in rows], dtype=float))
