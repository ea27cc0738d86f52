"""The requests in flight that gateways report: lines in, sums over all gateways out. No I/O, no clock.

Rules:
    * The first line of a connection is a gateway's full state; a later line replaces the services that it names.
    * Only gateways that report count. If one does not, a sum is a part of the whole, and a mean is unknown.
    * A gateway that is known by more than one address counts once.
    * Totals only grow. One that falls, or comes from a restarted gateway, counts from zero.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from autoscaler.ports import Reading, ServiceName
from autoscaler.sources.gateway_protocol import IDLE, Count, Line, MalformedLineError, parse_line
from autoscaler.wake_up import Demand, needs_wake_up

_MOST_DRIFT = 1e-3
"""How many seconds per second two clocks may drift apart; a clock that is being slewed drifts 5e-4."""


class Update(NamedTuple):
    """The services that a line changes."""

    wakes: Sequence[ServiceName]
    """Services that need a wake-up."""
    changed: Sequence[ServiceName]
    """Services whose counts have changed, or that have requests in flight."""


class InflightAggregate:
    """Adds up the counts of all known gateways; every time is by the controller's clock.

    Args:
        silent_s: a gateway that has not reported for longer than this is not counted.
        history_s: how far back `mean` and `passing` reach.
    """

    def __init__(self, silent_s: float, history_s: float) -> None:
        self._silent_s = silent_s
        self._history_s = history_s
        self._gateways: dict[str, _Gateway] = {}

    def add(self, address: str, at_s: float = -math.inf) -> None:
        """Add a known gateway: from now on a sum without it is a part."""
        self._gateways[address] = _Gateway(self._history_s, at_s)

    def remove(self, address: str) -> None:
        """Forget a gateway and all its counts."""
        del self._gateways[address]

    def connected(self, address: str) -> None:
        """Note that the next line is the full state."""
        self._gateways[address].expects_full_state = True

    def failed(self, address: str, why: str) -> None:
        """Note why a connection ended; its counts stay valid until they are too old."""
        self._gateways[address].problem = why

    def take(self, address: str, line: bytes, at_s: float) -> Update:
        """Take in a line, and give the services that it changes.

        Raises:
            MalformedLineError: this gateway does not count until its next full state.
        """
        gateway = self._gateways[address]
        before = self._reporting(at_s)
        try:
            parsed = parse_line(line)
            changed = [name for name, count in parsed.services.items() if _has_changed(count, gateway.count(name))]
            old = [_demand(service, before) for service in changed]
            gateway.take(parsed, at_s)
        except MalformedLineError:
            gateway.last_line_s = -math.inf
            raise
        after = self._reporting(at_s)
        new = [_demand(service, after) for service in changed]
        wakes = [service for service, o, n in zip(changed, old, new, strict=True) if needs_wake_up(o, n)]
        return Update(wakes, changed)

    def readings(self, services: Iterable[ServiceName], now_s: float) -> dict[ServiceName, Reading]:
        """Give queued and running requests of each service, as the gateways last reported them."""
        reporting = self._reporting(now_s)
        missing = self._missing(now_s)
        sampled_s = min((gateway.last_line_s for gateway in reporting), default=now_s)
        return {service: _reading(service, reporting, missing, sampled_s) for service in services}

    def mean(self, service: ServiceName, since_s: float, now_s: float) -> float | None:
        """Give the mean number of requests in flight over `(since_s, now_s]`, from the gateways' integrals.

        It is exact if lines carry their time: a constant five requests are five, and not 5.01. None is unknown: a
        gateway does not report, or did not yet at `since_s`, or none knows the service.
        """
        reporting = self._reporting(now_s)
        known = [gateway for gateway in reporting if service in gateway.counts]
        reaches = all(each.complete_since_s <= since_s and each.reaches(service, since_s) for each in reporting)
        if not known or not reaches or since_s >= now_s or self._missing(now_s):
            return None
        return sum(gateway.seconds(service, since_s, now_s) for gateway in known) / (now_s - since_s)

    def passing(self, service: ServiceName, since_s: float, now_s: float) -> int:
        """Give the Pass requests that need a replica: those held now, and those let through since `since_s`.

        Only gateways that report count. A request that came after `since_s` and is held may count twice. One that is
        merely open, such as an idle WebSocket, does not count.
        """
        reporting = self._reporting(now_s)
        passed = sum(gateway.passed(service, since_s) for gateway in reporting)
        return passed + sum(gateway.count(service).holding_pass for gateway in reporting)

    def all_report(self, now_s: float) -> bool:
        """Tell whether there is a known gateway and all of them report."""
        return not self._missing(now_s)

    def awaited(self, now_s: float, patience_s: float) -> str:
        """Say which gateways have not reported yet and why, except those known for longer than `patience_s`."""
        return "; ".join(
            f"gateway {address} has not reported yet: {gateway.problem}"
            for address, gateway in self._gateways.items()
            if gateway.complete_since_s == math.inf and now_s - gateway.known_since_s <= patience_s
        )

    def pods(self, service: ServiceName) -> dict[str, int]:
        """Give the running requests of each pod; a silent gateway's last counts are used, as its pods may be busy."""
        running: dict[str, int] = {}
        for gateway in _distinct(self._gateways.values()):
            for pod, count in gateway.count(service).pods.items():
                running[pod] = running.get(pod, 0) + count
        return running

    def undrained(self, service: ServiceName, pods: Collection[str], now_s: float) -> str:
        """Say which gateways may still send requests to some of these pods and why; empty if none does.

        A gateway that reports and does not know the service sends its pods nothing.
        """
        return "; ".join(
            f"gateway {address} {why}"
            for address, gateway in self._gateways.items()
            if (why := gateway.undrained(service, pods, now_s - self._silent_s))
        )

    def _reporting(self, now_s: float) -> Collection["_Gateway"]:
        return _distinct(each for each in self._gateways.values() if now_s - each.last_line_s <= self._silent_s)

    def _missing(self, now_s: float) -> str:
        """Say which gateways do not report and why; empty if all do."""
        if not self._gateways:
            return "no gateway is known"
        return "; ".join(
            f"gateway {address} does not report: {gateway.problem or 'it went silent'}"
            for address, gateway in self._gateways.items()
            if now_s - gateway.last_line_s > self._silent_s
        )


class _Gateway:
    """What one gateway has reported."""

    __slots__ = (
        "clock_offset_s",
        "complete_since_s",
        "counts",
        "expects_full_state",
        "histories",
        "history_s",
        "incarnation",
        "known_since_s",
        "last_line_s",
        "problem",
        "sent_s",
    )

    def __init__(self, history_s: float, known_since_s: float) -> None:
        self.history_s = history_s
        self.known_since_s = known_since_s
        self.counts: dict[ServiceName, Count] = {}
        self.histories: dict[ServiceName, _History] = {}
        self.incarnation: tuple[str, float] = ("", 0.0)
        """The gateway's id and when it started."""
        self.last_line_s = -math.inf
        self.complete_since_s = math.inf
        """Since when all its counts are known."""
        self.expects_full_state = True
        self.problem = "no connection yet"
        self.sent_s = -math.inf
        """When it sent its last line, by its own clock."""
        self.clock_offset_s = math.inf
        """Our clock minus the gateway's, by the line that arrived fastest. Old lines count less and less, because
        clocks drift. Histories are kept in the gateway's time, in which integrals and times fit together however long
        a line takes."""

    def count(self, service: ServiceName) -> Count:
        return self.counts.get(service, IDLE)

    def undrained(self, service: ServiceName, pods: Collection[str], since_s: float) -> str:
        if self.last_line_s < since_s:
            return f"does not report: {self.problem or 'it went silent'}"
        known = self.counts.get(service)
        missing = [] if known is None else [pod for pod in pods if pod not in known.draining]
        return f"has not confirmed that it sends {', '.join(missing)} nothing more" if missing else ""

    def take(self, line: Line, at_s: float) -> None:
        incarnation = (line.gateway, line.started_s)
        sent_s = at_s if line.at_s is None else line.at_s
        if incarnation == self.incarnation and sent_s < self.sent_s:
            raise MalformedLineError("a line that is older than the one before it")
        if self.expects_full_state:
            self._take_full_state(incarnation, line, at_s, sent_s)
        elif incarnation != self.incarnation:
            raise MalformedLineError("a line of another gateway on the same connection")
        self.clock_offset_s = min(self.clock_offset_s + _MOST_DRIFT * (sent_s - self.sent_s), at_s - sent_s)
        self.sent_s = sent_s
        for service, count in line.services.items():
            # Most of ten thousand services have never had a request.
            if count is not IDLE or service in self.histories:
                self._history(service).add(sent_s, count)
        self.counts.update(line.services)
        self.last_line_s, self.problem = at_s, ""

    def _take_full_state(self, incarnation: tuple[str, float], line: Line, at_s: float, sent_s: float) -> None:
        """Take in the first line of a connection: a service that it does not name is gone; a restart counts from 0."""
        if self.complete_since_s == math.inf:
            self.histories = {
                name: _History(self.history_s, sent_s, count)
                for name, count in line.services.items()
                if count is not IDLE
            }
            self.complete_since_s = at_s
        elif incarnation != self.incarnation:
            for history in self.histories.values():
                history.restart(self.clock_offset_s - (at_s - sent_s))
        if incarnation != self.incarnation:
            self.clock_offset_s, self.sent_s = at_s - sent_s, sent_s
        self.histories = {name: history for name, history in self.histories.items() if name in line.services}
        self.counts = {}
        self.incarnation = incarnation
        self.expects_full_state = False

    def _history(self, service: ServiceName) -> "_History":
        """Give a service's history; one without had no requests since this gateway reports."""
        if service not in self.histories:
            self.histories[service] = _History(self.history_s, self.complete_since_s - self.clock_offset_s, IDLE)
        return self.histories[service]

    def reaches(self, service: ServiceName, since_s: float) -> bool:
        history = self.histories.get(service)
        return history is None or history.reaches(since_s - self.clock_offset_s)

    def seconds(self, service: ServiceName, since_s: float, until_s: float) -> float:
        history = self.histories.get(service)
        return 0.0 if history is None else history.seconds(since_s - self.clock_offset_s, until_s - self.clock_offset_s)

    def passed(self, service: ServiceName, since_s: float) -> int:
        history = self.histories.get(service)
        return 0 if history is None else history.passed(since_s - self.clock_offset_s)


class _Point(NamedTuple):
    at_s: float
    seconds: float
    passed: int
    inflight: int


class _History:
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
        newest = self._points[-1]
        seconds = newest.seconds + _grown(self._last.seconds_total, count.seconds_total)
        passed = newest.passed + _grown(self._last.passed_total, count.passed_total)
        self._points.append(_Point(at_s, seconds, int(passed), count.inflight))
        self._last = count
        self._forget(at_s - self._span_s)

    def reaches(self, since_s: float) -> bool:
        return self._points[0].at_s <= since_s

    def seconds(self, since_s: float, until_s: float) -> float:
        """Give the request-seconds between two times."""
        return max(self._seconds_at(until_s) - self._seconds_at(since_s), 0.0)

    def passed(self, since_s: float) -> int:
        return self._points[-1].passed - self._points[self._index(since_s)].passed

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


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now


def _distinct(gateways: Iterable[_Gateway]) -> Collection[_Gateway]:
    return {gateway.incarnation: gateway for gateway in gateways}.values()


def _reading(service: ServiceName, reporting: Iterable[_Gateway], missing: str, sampled_s: float) -> Reading:
    known = [gateway.counts[service].inflight for gateway in reporting if service in gateway.counts]
    if known:
        return Reading(float(sum(known)), sampled_s, len(known), missing)
    return Reading(None, sampled_s, problem=missing or f"no gateway knows {service}; is its policy loaded there?")


def _has_changed(count: Count, known: Count) -> bool:
    """Tell whether a count has changed, or has requests in flight."""
    return bool(count.inflight or count.holding_pass) or count._replace(seconds_total=known.seconds_total) != known


def _demand(service: ServiceName, reporting: Iterable[_Gateway]) -> Demand:
    counts = [gateway.count(service) for gateway in reporting]
    return Demand(
        sum(count.queued for count in counts),
        sum(count.inflight for count in counts),
        sum(count.holding_pass for count in counts),
    )
