"""What gateways say of their requests in flight: lines in, sums over all gateways out. No I/O, no clock.

Rules:
    * The first line of a connection is a gateway's whole state; a later one replaces the services that it names.
    * Only gateways that are heard count. Where one is not, a sum is a part of the whole, and a mean is unknown.
    * A gateway that is known by more than one address counts once.
    * Totals only grow. One that falls, or comes from a gateway that started again, counts from zero.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from autoscaler.ports import Reading, ServiceName
from autoscaler.sources.gateway_protocol import AT_REST, Count, GarbledLineError, Line, parse_line
from autoscaler.wake_up import Demand, needs_wake_up

_MOST_DRIFT = 1e-3
"""How many seconds in a second two clocks may drift apart; one that is set right slowly does 5e-4."""


class Heard(NamedTuple):
    """What a line brought."""

    urgent: Sequence[ServiceName]
    """Services that need a wake-up."""
    news: Sequence[ServiceName]
    """Services of which it says anything but what was known and nothing in flight."""


class InflightAggregate:
    """Adds up what all known gateways say; every time is by the controller's clock.

    Args:
        silent_s: a gateway that has not been heard for longer than this is not counted.
        history_s: how far back `mean` and `passing` can look.
    """

    def __init__(self, silent_s: float, history_s: float) -> None:
        self._silent_s = silent_s
        self._history_s = history_s
        self._gateways: dict[str, _Gateway] = {}

    def add(self, address: str, at_s: float = -math.inf) -> None:
        """Take a gateway among the known ones: from now on a sum without it is a part."""
        self._gateways[address] = _Gateway(self._history_s, at_s)

    def remove(self, address: str) -> None:
        """Forget a gateway and all that it said."""
        del self._gateways[address]

    def connected(self, address: str) -> None:
        """Note that the next line is the whole state."""
        self._gateways[address].next_is_whole = True

    def failed(self, address: str, why: str) -> None:
        """Note why a connection ended; what was said on it is believed until it is too old."""
        self._gateways[address].problem = why

    def take(self, address: str, line: bytes, at_s: float) -> Heard:
        """Take a line in and name the services that it is about.

        Raises:
            GarbledLineError: nothing that this gateway said is believed until its next whole state.
        """
        gateway = self._gateways[address]
        before = self._heard(at_s)
        try:
            parsed = parse_line(line)
            news = [name for name, count in parsed.services.items() if _is_news(count, gateway.count(name))]
            old = [_demand(service, before) for service in news]
            gateway.take(parsed, at_s)
        except GarbledLineError:
            gateway.heard_s = -math.inf
            raise
        after = self._heard(at_s)
        new = [_demand(service, after) for service in news]
        return Heard([service for service, o, n in zip(news, old, new, strict=True) if needs_wake_up(o, n)], news)

    def readings(self, services: Iterable[ServiceName], now_s: float) -> dict[ServiceName, Reading]:
        """Give queued and running requests of each service, as the gateways said last."""
        heard = self._heard(now_s)
        missing = self._missing(now_s)
        sampled_s = min((gateway.heard_s for gateway in heard), default=now_s)
        return {service: _reading(service, heard, missing, sampled_s) for service in services}

    def mean(self, service: ServiceName, since_s: float, now_s: float) -> float | None:
        """Give the mean number of requests in flight over `(since_s, now_s]`, from the gateways' integrals.

        It is exact where lines carry their moment: five requests all the time are five, and not 5.01. None is unknown:
        a gateway is not heard or was not yet heard at `since_s`, or none knows the service.
        """
        heard = self._heard(now_s)
        known = [gateway for gateway in heard if service in gateway.counts]
        reaches = all(each.whole_since_s <= since_s and each.reaches(service, since_s) for each in heard)
        if not known or not reaches or since_s >= now_s or self._missing(now_s):
            return None
        return sum(gateway.seconds(service, since_s, now_s) for gateway in known) / (now_s - since_s)

    def passing(self, service: ServiceName, since_s: float, now_s: float) -> int:
        """Give the uncounted requests that need a replica: those held now, and those let through since `since_s`.

        It is what the heard gateways know. A request that came after `since_s` and is held may count twice; one that
        is merely open, such as an idle WebSocket, does not count.
        """
        heard = self._heard(now_s)
        passed = sum(gateway.passed(service, since_s) for gateway in heard)
        return passed + sum(gateway.count(service).holding_pass for gateway in heard)

    def heard_all(self, now_s: float) -> bool:
        """Tell whether all known gateways are heard, and there is one."""
        return not self._missing(now_s)

    def awaited(self, now_s: float, patience_s: float) -> str:
        """Say which gateways have said nothing yet and why; none is waited for longer than this."""
        return "; ".join(
            f"gateway {address} has not been heard yet: {gateway.problem}"
            for address, gateway in self._gateways.items()
            if gateway.whole_since_s == math.inf and now_s - gateway.known_since_s <= patience_s
        )

    def pods(self, service: ServiceName) -> dict[str, int]:
        """Give the running requests of each pod; of a silent gateway its last word, as its pods may still be busy."""
        running: dict[str, int] = {}
        for gateway in _distinct(self._gateways.values()):
            for pod, count in gateway.count(service).pods.items():
                running[pod] = running.get(pod, 0) + count
        return running

    def _heard(self, now_s: float) -> Collection["_Gateway"]:
        return _distinct(each for each in self._gateways.values() if now_s - each.heard_s <= self._silent_s)

    def _missing(self, now_s: float) -> str:
        """Say which gateways are not heard and why; empty if all are."""
        if not self._gateways:
            return "no gateway is known"
        return "; ".join(
            f"gateway {address} is not heard: {gateway.problem or 'it fell silent'}"
            for address, gateway in self._gateways.items()
            if now_s - gateway.heard_s > self._silent_s
        )


class _Gateway:
    """What one gateway said."""

    __slots__ = (
        "behind_s",
        "counts",
        "heard_s",
        "histories",
        "history_s",
        "known_since_s",
        "life",
        "moment_s",
        "next_is_whole",
        "problem",
        "whole_since_s",
    )

    def __init__(self, history_s: float, known_since_s: float) -> None:
        self.history_s = history_s
        self.known_since_s = known_since_s
        self.counts: dict[ServiceName, Count] = {}
        self.histories: dict[ServiceName, _History] = {}
        self.life: tuple[str, float] = ("", 0.0)
        """Which gateway it is and when that started."""
        self.heard_s = -math.inf
        self.whole_since_s = math.inf
        """Since when all that it counts is known."""
        self.next_is_whole = True
        self.problem = "no connection yet"
        self.moment_s = -math.inf
        """The moment of its last line, by its own clock."""
        self.behind_s = math.inf
        """Our clock less the gateway's, by the line that came fastest; one of long ago says less and less, as clocks
        drift. Histories are kept in the gateway's time, where integrals and moments fit together whatever time a line
        takes."""

    def count(self, service: ServiceName) -> Count:
        return self.counts.get(service, AT_REST)

    def take(self, line: Line, at_s: float) -> None:
        life = (line.gateway, line.started_s)
        moment_s = at_s if line.at_s is None else line.at_s
        if life == self.life and moment_s < self.moment_s:
            raise GarbledLineError("a line that is older than the one before it")
        if self.next_is_whole:
            self._start_whole(life, line, at_s, moment_s)
        elif life != self.life:
            raise GarbledLineError("another gateway speaks on the same connection")
        self.behind_s = min(self.behind_s + _MOST_DRIFT * (moment_s - self.moment_s), at_s - moment_s)
        self.moment_s = moment_s
        for service, count in line.services.items():
            # Most of ten thousand have never had a request.
            if count is not AT_REST or service in self.histories:
                self._history(service).add(moment_s, count)
        self.counts.update(line.services)
        self.heard_s, self.problem = at_s, ""

    def _start_whole(self, life: tuple[str, float], line: Line, at_s: float, moment_s: float) -> None:
        """Begin a connection: what the whole state does not name is gone; a new life counts from zero."""
        if self.whole_since_s == math.inf:
            self.histories = {
                name: _History(self.history_s, moment_s, count)
                for name, count in line.services.items()
                if count is not AT_REST
            }
            self.whole_since_s = at_s
        elif life != self.life:
            for history in self.histories.values():
                history.restart(self.behind_s - (at_s - moment_s))
        if life != self.life:
            self.behind_s, self.moment_s = at_s - moment_s, moment_s
        self.histories = {name: history for name, history in self.histories.items() if name in line.services}
        self.counts = {}
        self.life = life
        self.next_is_whole = False

    def _history(self, service: ServiceName) -> "_History":
        """Give a service's history; one that has none had no requests since this gateway is heard."""
        if service not in self.histories:
            self.histories[service] = _History(self.history_s, self.whole_since_s - self.behind_s, AT_REST)
        return self.histories[service]

    def reaches(self, service: ServiceName, since_s: float) -> bool:
        history = self.histories.get(service)
        return history is None or history.reaches(since_s - self.behind_s)

    def seconds(self, service: ServiceName, since_s: float, until_s: float) -> float:
        history = self.histories.get(service)
        return 0.0 if history is None else history.seconds(since_s - self.behind_s, until_s - self.behind_s)

    def passed(self, service: ServiceName, since_s: float) -> int:
        history = self.histories.get(service)
        return 0 if history is None else history.passed(since_s - self.behind_s)


class _Point(NamedTuple):
    at_s: float
    seconds: float
    passed: int
    inflight: int


class _History:
    """The totals of one service at one gateway, continued over restarts; it begins with both at zero."""

    __slots__ = ("_last", "_points", "_span_s")

    def __init__(self, span_s: float, since_s: float, count: Count) -> None:
        self._span_s = span_s
        self._last = count
        self._points = [_Point(since_s, 0.0, 0, count.inflight)]

    def restart(self, later_s: float) -> None:
        """Go on with totals from zero, by a clock on which what is known happened so much later."""
        self._last = AT_REST
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
        """Between two lines the mean between them holds, behind the last one its count: never more than was in flight.

        A line that came late says what changed since the one before it, but not when.
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
        """Drop what no question reaches; half of the points at a time, so that each is moved once on average."""
        useless = self._index(before_s)
        if useless > len(self._points) // 2:
            del self._points[:useless]


def _grown(before: float, now: float) -> float:
    return now - before if now >= before else now


def _distinct(gateways: Iterable[_Gateway]) -> Collection[_Gateway]:
    return {gateway.life: gateway for gateway in gateways}.values()


def _reading(service: ServiceName, heard: Iterable[_Gateway], missing: str, sampled_s: float) -> Reading:
    known = [gateway.counts[service].inflight for gateway in heard if service in gateway.counts]
    if known:
        return Reading(float(sum(known)), sampled_s, len(known), missing)
    return Reading(None, sampled_s, problem=missing or f"no gateway knows {service}; is its policy loaded there?")


def _is_news(count: Count, known: Count) -> bool:
    """Tell whether a count says more than that nothing goes on, as before."""
    return bool(count.inflight or count.holding_pass) or count._replace(seconds_total=known.seconds_total) != known


def _demand(service: ServiceName, heard: Iterable[_Gateway]) -> Demand:
    counts = [gateway.count(service) for gateway in heard]
    return Demand(
        sum(count.queued for count in counts),
        sum(count.inflight for count in counts),
        sum(count.holding_pass for count in counts),
    )
