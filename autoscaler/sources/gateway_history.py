"""The totals of one service at one gateway over time: the integral of its requests in flight, and its Pass requests.

Totals only grow. One that falls, or comes from a restarted gateway, counts from zero.
"""

from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from autoscaler.sources.gateway_protocol import IDLE, Count, Totals


class _Point(NamedTuple):
    at_s: float
    seconds: float
    passed: int
    inflight: int
    totals: Totals | None = Totals()


class History:
    """The totals of one service at one gateway, continued over restarts; both begin at zero."""

    __slots__ = ("_last", "_points", "_span_s")

    def __init__(self, span_s: float, since_s: float, count: Count) -> None:
        self._span_s = span_s
        self._last = count
        self._points = [_Point(since_s, 0.0, 0, count.inflight)]

    def restart(self, later_s: float) -> None:
        """Continue with totals from zero, and move the known points `later_s` later, to the restarted clock."""
        self._last = IDLE
        self._points = [point._replace(at_s=point.at_s + later_s) for point in self._points]

    def add(self, at_s: float, count: Count) -> None:
        """Add the totals of a line."""
        newest = self._points[-1]
        seconds = newest.seconds + _grown(self._last.seconds_total, count.seconds_total)
        passed = newest.passed + _grown(self._last.passed_total, count.passed_total)
        totals = _totals_grown(newest.totals, self._last.totals, count.totals)
        self._points.append(_Point(at_s, seconds, int(passed), count.inflight, totals))
        self._last = count
        self._forget(at_s - self._span_s)

    def reaches(self, since_s: float) -> bool:
        """Tell whether the totals at a time are known."""
        return self._points[0].at_s <= since_s

    def seconds(self, since_s: float, until_s: float) -> float:
        """Give the request-seconds between two times."""
        return max(self._seconds_at(until_s) - self._seconds_at(since_s), 0.0)

    def passed(self, since_s: float) -> int:
        """Give the Pass requests since a time."""
        return self._points[-1].passed - self._points[self._index(since_s)].passed

    def requests(self, since_s: float) -> Totals | None:
        """Give what arrived and finished since a time; None if the gateway does not tell it."""
        now, then = self._points[-1].totals, self._points[self._index(since_s)].totals
        if now is None or then is None:
            return None
        return Totals(now.arrived - then.arrived, now.finished - then.finished, now.served_s - then.served_s)

    def _seconds_at(self, when_s: float) -> float:
        """Between two lines assume their mean, after the last line its count: never more than was in flight.

        A late line says what changed since the one before it, but not when.
        """
        index = self._index(when_s)
        point = self._points[index]
        if index + 1 == len(self._points):
            return point.seconds + point.inflight * (when_s - point.at_s)
        following = self._points[index + 1]
        share = (when_s - point.at_s) / (following.at_s - point.at_s)
        return point.seconds + share * (following.seconds - point.seconds)

    def _index(self, when_s: float) -> int:
        return max(bisect_right(self._points, when_s, key=attrgetter("at_s")) - 1, 0)

    def _forget(self, before_s: float) -> None:
        """Drop points that no query reaches; half of them at a time, so that each is moved once on average."""
        useless = self._index(before_s)
        if useless > len(self._points) // 2:
            del self._points[:useless]


def _totals_grown(so_far: Totals | None, before: Totals | None, now: Totals | None) -> Totals | None:
    if now is None:
        return None
    so_far, before = so_far or Totals(), before or Totals()
    if now.arrived < before.arrived or now.finished < before.finished or now.served_s < before.served_s:
        before = Totals()
    return Totals(
        so_far.arrived + now.arrived - before.arrived,
        so_far.finished + now.finished - before.finished,
        so_far.served_s + now.served_s - before.served_s,
    )


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now
