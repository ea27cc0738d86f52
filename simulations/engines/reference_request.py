"""The requests of the reference engine, and the affinity cookies of their clients."""

from collections.abc import Sequence
from math import nan

import numpy as np

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import Asking, TurnRules
from autoscaler.gateway.dispatch.types import ANY_TURN, Turn
from simulations.engines.reference_fleet import SimulatedReplica
from simulations.model.history import STILL_IN, Requests
from simulations.model.run_inputs import Arrival, RunInputs


class Request:
    """One request in the reference engine."""

    __slots__ = ("arrival", "end_s", "latency_s", "number", "pinned", "replica", "rule", "start_s", "status", "turn")

    def __init__(self, number: int, arrival: Arrival, rule: PathRule, turn: Turn) -> None:
        self.number = number
        self.arrival = arrival
        self.rule = rule
        self.turn = turn
        self.pinned: str | None = None
        """The replica in its affinity cookie."""
        self.replica: SimulatedReplica | None = None
        self.start_s = self.end_s = self.latency_s = nan
        self.status = STILL_IN

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.end_s >= 0

    @property
    def counts(self) -> bool:
        """Whether it takes a slot."""
        return self.rule.kind is SlotUse.COUNT


class Turns:
    """The turns of requests, by the gateway's own rules. Each request comes through a proxy that the gateway trusts."""

    def __init__(self, inputs: RunInputs) -> None:
        self._rules = None
        if inputs.takes_turns:
            self._rules = TurnRules(inputs.service, inputs.classes, inputs.fairness, key=b"")

    def of(self, number: int, arrival: Arrival) -> Turn:
        """Give the turn of a request; without a client that stays, it is of a client of its own."""
        if self._rules is None:
            return ANY_TURN
        client = max(arrival.client, arrival.session)
        address = f"client {arrival.source}-{client}" if client >= 0 else f"request {number}"
        values = {name.lower().encode(): [value.encode()] for name, value in arrival.headers}
        return self._rules.turn(Asking(arrival.host, arrival.path or "/", values, address, trusted=True))


class Cookies:
    """The affinity cookies of all clients.

    As at the gateway, a client without a valid cookie gets one with its response. The cookie's lifetime begins when the
    request starts.
    """

    def __init__(self, lasting_s: float) -> None:
        self._lasting_s = lasting_s
        self._issued: dict[tuple[int, int], tuple[str, float]] = {}

    def read(self, arrival: Arrival) -> str | None:
        """Give the replica in the client's valid cookie; None if there is none."""
        name, issued_s = self._issued.get((arrival.source, arrival.session), ("", 0.0))
        return name if name and arrival.t_s < issued_s + self._lasting_s else None

    def issue(self, request: Request) -> None:
        """Give the client a cookie for the replica that served it, if it has none."""
        if request.arrival.session >= 0 and request.pinned is None and request.replica is not None:
            self._issued[request.arrival.source, request.arrival.session] = request.replica.name, request.start_s


def request_columns(requests: Sequence[Request]) -> Requests:
    """Give requests as arrays; they must be in order of arrival."""
    arrivals = [request.arrival for request in requests]
    return Requests(
        arrival_s=np.array([arrival.t_s for arrival in arrivals], dtype=float),
        start_s=np.array([request.start_s for request in requests], dtype=float),
        end_s=np.array([request.end_s for request in requests], dtype=float),
        status=np.array([request.status for request in requests], dtype=np.int64),
        replica=np.array([-1 if r.replica is None else r.replica.number for r in requests], dtype=np.int64),
        client=np.array([max(arrival.client, arrival.session) for arrival in arrivals], dtype=np.int64),
        latency_s=np.array([request.latency_s for request in requests], dtype=float),
        service_s=np.array([arrival.service_s for arrival in arrivals], dtype=float),
    )
