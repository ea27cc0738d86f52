"""What one gateway has reported: its last counts, and their history by the gateway's own clock."""

import math
from collections.abc import Collection

from autoscaler.ports import ServiceName
from autoscaler.sources.gateway_history import History
from autoscaler.sources.gateway_protocol import IDLE, Count, Line, MalformedLineError, Membership, Totals

_MOST_DRIFT = 1e-3
"""How many seconds per second two clocks may drift apart; a clock that is being slewed drifts 5e-4."""


class GatewayReport:
    """What one gateway has reported."""

    __slots__ = (
        "address",
        "clock_offset_s",
        "complete_since_s",
        "counts",
        "expects_full_state",
        "histories",
        "history_s",
        "incarnation",
        "known_since_s",
        "last_line_s",
        "membership",
        "problem",
        "sent_s",
    )

    def __init__(self, address: str, history_s: float, known_since_s: float) -> None:
        self.address = address
        self.history_s = history_s
        self.known_since_s = known_since_s
        self.counts: dict[ServiceName, Count] = {}
        self.histories: dict[ServiceName, History] = {}
        self.incarnation: tuple[str, float] = ("", 0.0)
        """The gateway's id and when it started."""
        self.membership: Membership | None = None
        """What its last line says of the roster; None without peers."""
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

    @property
    def name(self) -> str:
        """How messages name it."""
        return self.membership.name if self.membership else self.address

    @property
    def was_member(self) -> bool:
        """Whether it was a member when it sent its last line, and could start requests."""
        return self.membership is not None and self.membership.name in self.membership.members

    @property
    def silence(self) -> str:
        """Why it does not report."""
        return f"gateway {self.name} does not report: {self.problem or 'it went silent'}"

    def count(self, service: ServiceName) -> Count:
        """Give its last count of a service."""
        return self.counts.get(service, IDLE)

    def hinted(self, service: ServiceName, now_s: float) -> tuple[int, float]:
        """Give the announced requests of a service, and in how many seconds the last of them ends; not after its end.

        A gateway without times in its lines is believed until its next line.
        """
        count = self.count(service)
        if not count.hinted:
            return 0, 0.0
        left_s = count.hinted_until_s + self.clock_offset_s - now_s
        return (count.hinted, left_s) if left_s > 0 else (0, 0.0)

    def undrained(self, service: ServiceName, pods: Collection[str]) -> str:
        """Say to which of these pods it may still send requests; empty if to none."""
        known = self.counts.get(service)
        missing = [] if known is None else [pod for pod in pods if pod not in known.draining]
        return (
            f"gateway {self.name} has not confirmed that it sends {', '.join(missing)} nothing more" if missing else ""
        )

    def take(self, line: Line, at_s: float) -> None:
        """Take in a line.

        Raises:
            MalformedLineError: it cannot be the next line of this gateway.
        """
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
        self.membership = line.membership
        self.last_line_s, self.problem = at_s, ""

    def _take_full_state(self, incarnation: tuple[str, float], line: Line, at_s: float, sent_s: float) -> None:
        """Take in the first line of a connection: a service that it does not name is gone; a restart counts from 0."""
        if self.complete_since_s == math.inf:
            self.histories = {
                name: History(self.history_s, sent_s, count)
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

    def _history(self, service: ServiceName) -> History:
        """Give a service's history; one without had no requests since this gateway reports."""
        if service not in self.histories:
            self.histories[service] = History(self.history_s, self.complete_since_s - self.clock_offset_s, IDLE)
        return self.histories[service]

    def reaches(self, service: ServiceName, since_s: float) -> bool:
        """Tell whether its totals at a time are known."""
        if self.complete_since_s > since_s:
            return False
        history = self.histories.get(service)
        return history is None or history.reaches(since_s - self.clock_offset_s)

    def seconds(self, service: ServiceName, since_s: float, until_s: float) -> float:
        """Give the request-seconds of a service between two times."""
        history = self.histories.get(service)
        return 0.0 if history is None else history.seconds(since_s - self.clock_offset_s, until_s - self.clock_offset_s)

    def requests(self, service: ServiceName, since_s: float) -> Totals | None:
        """Give what arrived and finished of a service since a time; None if it does not tell that."""
        history = self.histories.get(service)
        return Totals() if history is None else history.requests(since_s - self.clock_offset_s)

    def passed(self, service: ServiceName, since_s: float) -> int:
        """Give the Pass requests of a service since a time."""
        history = self.histories.get(service)
        return 0 if history is None else history.passed(since_s - self.clock_offset_s)
