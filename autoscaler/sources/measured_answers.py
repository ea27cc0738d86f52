"""What gateways have measured of the answers of services, added up over time: for an hour, in parts of 10 s. No I/O.

Rules:
1. A gateway counts since its start. What was counted between two of its reports belongs to the time of the second one.
2. A gateway that has started since the last report begins at zero. Of one that is older than its first report nothing
   is known from before: counting begins at its counters then.
3. A gateway that is silent makes a sum a part, and the figures say so. If no gateway reports, the time is unknown.
4. Percentiles are interpolated within the bucket of a histogram. Above its last bound they are that bound.
"""

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Annotated, NamedTuple

import msgspec

from autoscaler.explain.view import PodFigures, ServiceFigures
from autoscaler.ports import ServiceName

WINDOW_S = 60.0
"""What rates and percentiles are over."""
PART_S = 10.0
FRESH_S = 15.0
"""An older report says nothing of what is now."""
SPAN_S = 3600.0
_PARTS_OF_WINDOW = int(WINDOW_S / PART_S)
_MOST = 2**32 - 1
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_FAILURES, _SERVED, _SERVED_MS, _BUCKETS = 5, 6, 7, 8
"""The places in a part, after the classes."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Histogram(msgspec.Struct, gc=False):
    """Numbers of values up to each bound, and above the last one."""

    bounds: tuple[Seconds, ...]
    counts: list[Count]
    sum: Seconds

    def __post_init__(self) -> None:
        """Check that it is one."""
        if not self.bounds or len(self.counts) != len(self.bounds) + 1 or list(self.bounds) != sorted(self.bounds):
            raise ValueError("a histogram needs rising bounds, and a count more than these")


class PodReport(msgspec.Struct, gc=False):
    """One pod of a service."""

    running: Count
    answers: Count
    since_s: Seconds | None = None


class Quotes(msgspec.Struct, gc=False):
    """Quoted waits that have ended."""

    kept: Count
    missed: Count


class ServiceReport(msgspec.Struct, gc=False):
    """What one gateway has counted of one service."""

    queued: Count
    running: Count
    answers: Mapping[str, Count]
    failures: Count
    response_s: Histogram
    service_s: Histogram
    oldest_wait_s: Seconds | None = None
    pods: Mapping[str, PodReport] = {}
    quotes: Quotes | None = None


class Report(msgspec.Struct, gc=False):
    """What one gateway says."""

    gateway: str
    started: float
    at: float
    services: Mapping[ServiceName, msgspec.Raw]


def counters(report: ServiceReport) -> list[int]:
    """Give what is counted of a service, in the order of a part."""
    return [
        *(report.answers.get(each, 0) for each in CLASSES),
        report.failures,
        sum(report.service_s.counts),
        round(1000 * report.service_s.sum),
        *report.response_s.counts,
    ]


class _Gateway(NamedTuple):
    """The last report of one gateway."""

    incarnation: tuple[str, float]
    at_s: float
    """By our clock."""
    services: dict[ServiceName, ServiceReport]


class _Parts:
    """The answers of one service, in parts that had some."""

    __slots__ = ("bounds", "indices", "rows")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.indices = array("I")
        self.rows = array("I")

    @property
    def width(self) -> int:
        return _BUCKETS + len(self.bounds) + 1

    def add(self, index: int, counted: Sequence[int]) -> None:
        """Add what was counted in a part, and drop what is too old."""
        width = self.width
        if not self.indices or self.indices[-1] != index:
            self.indices.append(index)
            self.rows.extend([0] * width)
        first = len(self.rows) - width
        for place, count in enumerate(counted, first):
            self.rows[place] = min(self.rows[place] + count, _MOST)
        while self.indices[0] < index - SPAN_S / PART_S:
            del self.indices[0], self.rows[:width]

    def window(self, end: int) -> list[int]:
        """Add up the parts of the window that ends with a part."""
        low = bisect_left(self.indices, max(end - _PARTS_OF_WINDOW + 1, 0))
        high = bisect_left(self.indices, end + 1)
        width = self.width
        rows = [self.rows[row * width : (row + 1) * width] for row in range(low, high)]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * width


class MeasuredAnswers:
    """The answers of all services, of all gateways."""

    def __init__(self) -> None:
        self._gateways: dict[str, _Gateway] = {}
        self._problems: dict[str, str] = {}
        self._parts: dict[ServiceName, _Parts] = {}
        self._reported: deque[int] = deque(maxlen=int(SPAN_S / PART_S) + 1)
        """The parts in which a gateway has reported."""
        self._began_s: float | None = None

    def keep(self, addresses: Collection[str], services: Collection[ServiceName]) -> None:
        """Forget all gateways and services but these."""
        for gone_service in self._parts.keys() - set(services):
            del self._parts[gone_service]
        for kept in (self._gateways, self._problems):
            for gone in kept.keys() - set(addresses):
                del kept[gone]

    def failed(self, address: str, why: str) -> None:
        """Note that a gateway did not report."""
        self._problems[address] = why

    def begin(self, address: str, report: Report, now_s: float) -> "Taking":
        """Begin to take in a report."""
        began_s = self._began_s = now_s if self._began_s is None else self._began_s
        last = self._gateways.get(address)
        incarnation = report.gateway, report.started
        is_same = last is not None and last.incarnation == incarnation
        is_new = report.at - report.started <= now_s - (last.at_s if last else began_s) + 1.0
        before = last.services if last and is_same else {}
        taken = self._gateways[address] = _Gateway(incarnation, now_s, {})
        self._problems.pop(address, None)
        index = int(now_s // PART_S)
        if not self._reported or self._reported[-1] != index:
            self._reported.append(index)
        return Taking(self._parts, before, taken.services, index, counts_first=is_same or is_new)

    def figures(self, service: ServiceName, now_s: float) -> ServiceFigures | None:
        """Give the figures of the last window; None if no gateway reports."""
        here = [each for each in self._gateways.values() if now_s - each.at_s <= FRESH_S]
        if not here:
            return None
        reports = [(each.at_s, each.services[service]) for each in here if service in each.services]
        counted, parts = self._window(service, int(now_s // PART_S))
        ended = sum(counted[: _FAILURES + 1])
        problem = "; ".join(f"gateway {address}: {why}" for address, why in self._problems.items())
        waits = [report.oldest_wait_s for _, report in reports if report.oldest_wait_s is not None]
        quotes = [report.quotes for _, report in reports if report.quotes is not None]
        p50, p90, p95, p99 = _percentiles(parts, counted)
        return ServiceFigures(
            oldest_wait_s=max(waits, default=None),
            answers_per_s=ended / WINDOW_S,
            success=sum(counted[:3]) / ended if ended else None,
            errors_4xx_per_s=counted[3] / WINDOW_S,
            errors_5xx_per_s=counted[4] / WINDOW_S,
            p50_s=p50,
            p90_s=p90,
            p95_s=p95,
            p99_s=p99,
            service_s=counted[_SERVED_MS] / counted[_SERVED] / 1000 if counted[_SERVED] else _mean(reports),
            pods=_pods(reports),
            quotes_kept=sum(each.kept for each in quotes) if quotes else None,
            quotes=sum(each.kept + each.missed for each in quotes) if quotes else None,
            problem=problem,
        )

    def _window(self, service: ServiceName, end: int) -> tuple[list[int], tuple[float, ...]]:
        parts = self._parts.get(service)
        return ([0] * (_BUCKETS + 1), ()) if parts is None else (parts.window(end), parts.bounds)

    def quality(self, service: ServiceName, since_s: float, now_s: float) -> list[tuple[float | None, ...]]:
        """Give how well a service was served, every 10 s; None is unknown.

        A row has its time; in a minute the answers, the share that succeeded, 4xx and 5xx; the percentiles 50, 90, 95
        and 99 of response times; and of how many answers these are.
        """
        first, last = int(since_s // PART_S), int(now_s // PART_S)
        reported = set(self._reported)
        known_from = min(reported, default=last + 1)
        rows: list[tuple[float | None, ...]] = []
        for index in range(max(first, known_from - 1), last + 1):
            at_s = min((index + 1) * PART_S, now_s)
            known = sum(each in reported for each in range(index - _PARTS_OF_WINDOW + 1, index + 1))
            rows.append((at_s, *(self._quality(service, index, known) if known else [None] * 9)))
        return rows

    def _quality(self, service: ServiceName, index: int, known: int) -> list[float | None]:
        counted, bounds = self._window(service, index)
        ended, minutes = sum(counted[: _FAILURES + 1]), known * PART_S / 60
        success = round(sum(counted[:3]) / ended, 4) if ended else None
        rates = [round(number / minutes, 2) for number in (ended, counted[3], counted[4])]
        return [rates[0], success, *rates[1:], *_percentiles(bounds, counted), sum(counted[_BUCKETS:])]


class Taking(NamedTuple):
    """A report that is being taken in, service by service."""

    parts: dict[ServiceName, _Parts]
    before: Mapping[ServiceName, ServiceReport]
    taken: dict[ServiceName, ServiceReport]
    part: int
    counts_first: bool
    """Whether all counters of a service that was not in the report before are new."""

    def take(self, service: ServiceName, report: ServiceReport) -> bool:
        """Take in one service; True if something was counted."""
        before = self.before.get(service)
        self.taken[service] = report
        if before is None and not self.counts_first:
            return False
        bounds, now = report.response_s.bounds, counters(report)
        then = counters(before) if before is not None and before.response_s.bounds == bounds else [0] * len(now)
        counted = [max(after - earlier, 0) for after, earlier in zip(now, then, strict=True)]
        if not any(counted):
            return before != report
        parts = self.parts.get(service)
        if parts is None or parts.bounds != bounds:
            # Another release has other buckets; its answers cannot be added to those of the one before.
            parts = self.parts[service] = _Parts(bounds)
        parts.add(self.part, counted)
        return True


def _percentiles(bounds: Sequence[float], counted: Sequence[int]) -> list[float | None]:
    counts = counted[_BUCKETS:]
    total = sum(counts)
    if not total or not bounds:
        return [None] * 4
    below = list(accumulate(counts))
    return [_quantile(bounds, counts, below, share * total) for share in (0.5, 0.9, 0.95, 0.99)]


def _quantile(bounds: Sequence[float], counts: Sequence[int], below: Sequence[int], rank: float) -> float:
    bucket = bisect_left(below, rank)
    if bucket >= len(bounds):
        return bounds[-1]
    low = bounds[bucket - 1] if bucket else 0.0
    into = (rank - (below[bucket] - counts[bucket])) / counts[bucket]
    return round(low + (bounds[bucket] - low) * into, 3)


def _mean(reports: Iterable[tuple[float, ServiceReport]]) -> float | None:
    """Give the mean service time since the gateways' start."""
    histograms = [report.service_s for _, report in reports]
    served = sum(sum(each.counts) for each in histograms)
    return math.fsum(each.sum for each in histograms) / served if served else None


def _pods(reports: Iterable[tuple[float, ServiceReport]]) -> dict[str, PodFigures]:
    """Add up the pods: busy since the first gateway gave it something, idle since the last one has nothing there."""
    found: dict[str, PodFigures] = {}
    for at_s, report in reports:
        for name, pod in report.pods.items():
            since_s = None if pod.since_s is None else at_s - pod.since_s
            here = PodFigures(pod.running, pod.answers, since_s)
            found[name] = _both(found[name], here) if name in found else here
    return found


def _both(one: PodFigures, other: PodFigures) -> PodFigures:
    running, answers = one.running + other.running, (one.answers or 0) + (other.answers or 0)
    busy = [each.since_s for each in (one, other) if each.since_s is not None and bool(each.running) == bool(running)]
    return PodFigures(running, answers, (min(busy) if running else max(busy)) if busy else None)
