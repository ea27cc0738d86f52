"""The requests in flight that gateways report: lines in, sums over all gateways out. No I/O, no clock.

Rules:
    * The first line of a connection is a gateway's full state; a later line replaces the services that it names.
    * Each gateway reports the requests of its own clients, so a sum over gateways counts each request once.
    * `counted_gateways` says which gateways count. If one that belongs to the sum does not report, the sum is a part of
      the whole, and a mean is unknown.
    * A slot that an owner holds for a lost gateway counts as a running request. While the lost gateway itself still
      reports, its requests and the slots held for them are the same: on each pod the larger number counts. A request
      that waits by its last line may have started since, and may be one of them: then the sum is a part.
    * What a gateway reported before it left stays in the means over that time.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from autoscaler.ports import Reading, ServiceName
from autoscaler.sources.counted_gateways import CountedGateways, counted_gateways, distinct
from autoscaler.sources.gateway_protocol import Count, MalformedLineError, Totals, parse_line
from autoscaler.sources.gateway_report import GatewayReport
from autoscaler.wake_up import Demand, needs_wake_up


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
        self._gateways: dict[str, GatewayReport] = {}
        self._removed: list[GatewayReport] = []
        """Gateways that are not known any more, while a mean may reach back to their last line."""
        self._counted: CountedGateways | None = None
        self._counted_s = math.inf
        """The time for which `_counted` was found; it holds until a gateway changes or falls silent."""

    def add(self, address: str, at_s: float = -math.inf) -> None:
        """Add a known gateway: without a roster, from now on a sum without it is a part."""
        self._gateways[address] = GatewayReport(address, self._history_s, at_s)
        self._counted = None

    def remove(self, address: str) -> None:
        """Forget a gateway; only means over the time before its last line still include it."""
        self._removed.append(self._gateways.pop(address))
        self._counted = None

    def connected(self, address: str) -> None:
        """Note that the next line is the full state."""
        self._gateways[address].expects_full_state = True

    def failed(self, address: str, why: str) -> None:
        """Note why a connection ended; its counts stay valid until they are too old."""
        self._gateways[address].problem = why
        self._counted = None

    def take(self, address: str, line: bytes, at_s: float) -> Update:
        """Take in a line, and give the services that it changes.

        Raises:
            MalformedLineError: this gateway does not count until its next full state.
        """
        gateway = self._gateways[address]
        before = self._at(at_s).reporting
        try:
            parsed = parse_line(line)
            changed = [name for name, count in parsed.services.items() if _has_changed(count, gateway.count(name))]
            old = [_demand(service, before) for service in changed]
            hinted = {name: gateway.count(name).hinted for name in changed}
            gateway.take(parsed, at_s)
        except MalformedLineError:
            gateway.last_line_s = -math.inf
            raise
        finally:
            self._counted = None
        self._removed = [each for each in self._removed if at_s - each.last_line_s <= self._history_s]
        after = self._at(at_s).reporting
        new = [_demand(service, after) for service in changed]
        wakes = [service for service, o, n in zip(changed, old, new, strict=True) if needs_wake_up(o, n)]
        wakes += [name for name in changed if gateway.count(name).hinted > hinted[name] and name not in wakes]
        return Update(wakes, changed)

    def readings(self, services: Iterable[ServiceName], now_s: float) -> dict[ServiceName, Reading]:
        """Give queued and running requests of each service, as the gateways last reported them, with held slots."""
        counted = self._at(now_s)
        sampled_s = min(counted.oldest_line_s, now_s)
        return {service: _reading(service, counted, sampled_s) for service in services}

    def queued(self, service: ServiceName, now_s: float) -> int | None:
        """Give the requests that wait; None if a gateway does not report, or held slots may have taken some."""
        counted = self._at(now_s)
        if counted.missing or not any(service in each.counts for each in counted.reporting) or _held(service, counted):
            return None
        return sum(gateway.count(service).queued for gateway in counted.reporting)

    def mean(self, service: ServiceName, since_s: float, now_s: float) -> float | None:
        """Give the mean number of requests in flight over `(since_s, now_s]`, from the gateways' integrals.

        It is exact if lines carry their time: a constant five requests are five, and not 5.01. None is unknown: a
        gateway does not report, or did not yet at `since_s`, or none knows the service, or slots are held, of which
        there is no integral.
        """
        counted = self._at(now_s)
        known = [gateway for gateway in counted.reporting if service in gateway.counts]
        left = self._left(counted, since_s)
        reaches = all(each.reaches(service, since_s) for each in (*counted.reporting, *left))
        if not known or not reaches or since_s >= now_s or counted.missing or _held(service, counted):
            return None
        seconds = sum(gateway.seconds(service, since_s, now_s) for gateway in known)
        seconds += sum(gateway.seconds(service, since_s, min(gateway.last_line_s, now_s)) for gateway in left)
        return seconds / (now_s - since_s)

    def passing(self, service: ServiceName, since_s: float, now_s: float) -> int:
        """Give the Pass requests that need a replica: those held now, and those let through since `since_s`.

        A request that came after `since_s` and is held may count twice. One that is merely open, such as an idle
        WebSocket, does not count.
        """
        counted = self._at(now_s)
        passed = sum(each.passed(service, since_s) for each in (*counted.reporting, *self._left(counted, since_s)))
        return passed + sum(gateway.count(service).holding_pass for gateway in counted.reporting)

    def hinted(self, service: ServiceName, now_s: float) -> tuple[int, float]:
        """Give the requests that are announced to the gateways that report, and in how many seconds all will have come.

        Each gateway has hints of its own, and a gateway that is lost takes them with it.
        """
        found = [gateway.hinted(service, now_s) for gateway in self._at(now_s).reporting]
        return sum(requests for requests, _ in found), max((left_s for _, left_s in found), default=0.0)

    def requests(self, service: ServiceName, since_s: float, now_s: float) -> Totals | None:
        """Give what arrived and finished in `(since_s, now_s]`; None under the conditions of `mean`, but for slots."""
        counted = self._at(now_s)
        every = (*counted.reporting, *self._left(counted, since_s))
        if counted.missing or not all(each.reaches(service, since_s) for each in every):
            return None
        found = [each.requests(service, since_s) for each in every if service in each.counts]
        if not found or None in found:
            return None
        return Totals(*map(sum, zip(*filter(None, found), strict=True)))

    def all_report(self, now_s: float) -> bool:
        """Tell whether there is a known gateway and a sum over all gateways is whole."""
        return not self._at(now_s).missing

    def expected(self, now_s: float) -> int:
        """Count the gateways that a whole sum has."""
        return self._at(now_s).expected

    def awaited(self, now_s: float, patience_s: float) -> str:
        """Say which gateways have not reported yet and why, except those known for longer than `patience_s`."""
        return "; ".join(
            f"gateway {address} has not reported yet: {gateway.problem}"
            for address, gateway in self._gateways.items()
            if gateway.complete_since_s == math.inf and now_s - gateway.known_since_s <= patience_s
        )

    def pods(self, service: ServiceName, now_s: float) -> dict[str, int]:
        """Give the running requests and held slots of each pod.

        The last counts of a gateway that does not report are used too, because its pods may be busy.
        """
        counted = self._at(now_s)
        running = _held(service, counted, counted.silent)
        for gateway in distinct((*counted.silent, *counted.reporting)):
            for pod, count in gateway.count(service).pods.items():
                running[pod] = running.get(pod, 0) + count
        return running

    def undrained(self, service: ServiceName, pods: Collection[str], now_s: float) -> str:
        """Say which gateways may still send requests to some of these pods and why; empty if none does.

        A gateway that reports and does not know the service sends its pods nothing.
        """
        if not self._gateways:
            return ""
        counted = self._at(now_s)
        unconfirmed = [why for gateway in counted.reporting if (why := gateway.undrained(service, pods))]
        return "; ".join(filter(None, [counted.missing, *unconfirmed]))

    def _at(self, now_s: float) -> CountedGateways:
        counted = self._counted
        if counted is None or now_s < self._counted_s or now_s - counted.oldest_line_s > self._silent_s:
            counted = counted_gateways(self._gateways, now_s, self._silent_s)
            self._counted, self._counted_s = counted, now_s
        return counted

    def _left(self, counted: CountedGateways, since_s: float) -> Sequence[GatewayReport]:
        """Give the gateways that have reported after `since_s`, and are gone."""
        here = {gateway.incarnation for gateway in (*counted.reporting, *counted.silent)}
        left = distinct((*self._removed, *counted.gone))
        return [each for each in left if each.last_line_s > since_s and each.incarnation not in here]


def _held(service: ServiceName, counted: CountedGateways, silent: Sequence[GatewayReport] = ()) -> dict[str, int]:
    """Give the held slots of each pod beyond the requests that gateways, lost or silent, report themselves."""
    reported = [by_pod for gateway in counted.members if (by_pod := gateway.count(service).held)]
    if not reported:
        return {}
    held: dict[str, int] = {}
    for by_pod in reported:
        for pod, slots in by_pod.items():
            held[pod] = max(held.get(pod, 0), slots)
    for gateway in (*counted.others, *silent):
        for pod, running in gateway.count(service).pods.items():
            held[pod] = held.get(pod, 0) - running
    return {pod: slots for pod, slots in held.items() if slots > 0}


def _reading(service: ServiceName, counted: CountedGateways, sampled_s: float) -> Reading:
    known = [gateway.counts[service].inflight for gateway in counted.reporting if service in gateway.counts]
    if not known:
        problem = counted.missing or f"no gateway knows {service}; is its policy loaded there?"
        return Reading(None, sampled_s, problem=problem)
    held = sum(_held(service, counted).values())
    started = min(held, sum(gateway.count(service).queued for gateway in counted.others if gateway.was_member))
    uncertain = f"of {held} held slots, {started} may be of requests that wait by an earlier line" if started else ""
    return Reading(float(sum(known) + held - started), sampled_s, len(known), counted.missing or uncertain)


def _has_changed(count: Count, known: Count) -> bool:
    """Tell whether a count has changed, or has requests in flight."""
    return bool(count.inflight or count.holding_pass) or count._replace(seconds_total=known.seconds_total) != known


def _demand(service: ServiceName, reporting: Iterable[GatewayReport]) -> Demand:
    counts = [gateway.count(service) for gateway in reporting]
    return Demand(
        sum(count.queued for count in counts),
        sum(count.inflight for count in counts),
        sum(count.holding_pass for count in counts),
    )
