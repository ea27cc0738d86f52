"""Makes a trace from the records of a service: Prometheus' counters on a time grid, or the gateway's request log.

Missing data is never zero. A span without data is cut out of the trace's time and reported, so the trace has no idle
time that the service did not have.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.random import default_rng

from simulations.model.run_inputs import Floats

COUNT, SERVED = "Count", "served"
NEVER_DISPATCHED = frozenset({"asleep", "bad_request", "body_late", "body_too_large", "waiting_page"})
"""Outcomes of requests that reach no replica under any policy; after a waiting page the browser asks again."""

Points = Mapping[int, float]
"""Values by grid point; a value that is not here is unknown."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival: arrays of one length."""

    arrival_s: Floats
    """Seconds since the trace began."""
    service_s: Floats | None = None
    """Service time in seconds; NaN if unknown. None if all are unknown."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    def columns(self) -> dict[str, Floats]:
        """Give the columns by their names in a file."""
        return {"arrival_s": self.arrival_s} | ({} if self.service_s is None else {"service_s": self.service_s})


class Missing(NamedTuple):
    """A span between two grid points without data."""

    first: int
    last: int


class Arrivals(NamedTuple):
    """Requests that arrived in each interval of a grid."""

    counts: tuple[int | None, ...]
    """In order of time; None if unknown."""
    restarts: tuple[int, ...]
    """Intervals with a counter reset: `counts` lacks the requests between the last sample and the reset."""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Spans of unknown intervals."""
        spans, at = [], 0
        for known, group in groupby(self.counts, lambda count: count is not None):
            length = len(list(group))
            spans += [] if known else [Missing(at, at + length)]
            at += length
        return tuple(spans)


def arrivals(counters: Iterable[Points], instants: int) -> Arrivals:
    """Add up the increase of one service's counters, one for each gateway, between neighbouring grid points.

    An interval is known if a counter has values at both ends, and no other counter has a gap there.
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
    """Spread the requests of each interval over it at random, always with the same random numbers.

    The trace begins with the first known interval. Unknown intervals take no time in it.
    """
    rng, times, at_s = default_rng(0), [], 0.0
    for count in found.counts:
        if count is not None:
            times.append(at_s + np.sort(rng.random(count)) * step_s)
            at_s += step_s
    return Trace(np.concatenate(times) if times else np.zeros(0))


def inflight_columns(by_state: Mapping[str, Sequence[Points]], instants: int, step_s: float) -> dict[str, Floats]:
    """Give requests in flight by state at each grid point, summed over gateways; NaN if one gateway is unknown."""
    columns: dict[str, Floats] = {"t_s": np.arange(instants, dtype=np.float64) * step_s}
    for state, gateways in by_state.items():
        total = np.full(instants, np.nan)
        for number in range(instants):
            alive = [points for points in gateways if points and min(points) <= number <= max(points)]
            if alive and all(number in points for points in alive):
                total[number] = sum(points[number] for points in alive)
        columns[state] = total
    return columns


def checked_line(line: Any) -> dict[str, Any]:
    """Check a line of a request log; raises ValueError that names key, value and what is legal."""
    if not isinstance(line, dict):
        raise ValueError(f"{_shown(line)}: must be an object, a line of a request log")  # noqa: TRY004  # as all others
    for key, (is_legal, legal) in _LOG_KEYS.items():
        if key not in line:
            raise ValueError(f"{key}: is required in a line of a request log")
        if not is_legal(line[key]):
            raise ValueError(f"{key}: {_shown(line[key])}: must be {legal}")
    if line["outcome"] == SERVED and line["service_s"] is None:
        raise ValueError(f"service_s: null: must be {_SECONDS}, as the request was served")
    return line


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= LONGEST_S


def _shown(value: Any) -> str:
    return json.dumps(value)[:LONGEST_SHOWN]


LONGEST_S = 1e11
"""The largest number that can be a time in seconds: some thousand years."""
LONGEST_SHOWN = 60
"""The most characters of a value in a message."""
_SECONDS = "a number of seconds, 0 or more"
_LOG_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "service": (_is_text, "a text"),
    "kind": (_is_text, "a text"),
    "outcome": (_is_text, "a text"),
    "arrival": (_is_seconds, _SECONDS),
    "service_s": (lambda value: value is None or _is_seconds(value), f"{_SECONDS}, or null"),
}


def trace_of_log(lines: Iterable[Mapping[str, Any]], service: str, start_s: float, end_s: float) -> Trace:
    """Give the counted requests of a service in a span of time, from the gateway's request log.

    The lines are checked. Served requests have a service time. The trace begins with the first request.
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
