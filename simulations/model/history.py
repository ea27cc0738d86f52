"""The history of one run, request by request and replica by replica: every figure is computed from it."""

from dataclasses import dataclass
from typing import NamedTuple

from autoscaler.ports import Record
from simulations.model.run_inputs import Floats, Integers

SERVED = 200
REFUSED = 503
QUEUE_TIMEOUT = REQUEST_TIMEOUT = 504
"""The request waited too long in the queue, or its replica took too long."""
REPLICA_DIED = 502
HUNG_UP = 499
"""The client disconnected, in the queue or while the request ran; the status is nginx's."""
STILL_IN = 0
"""The run ended before the request did."""


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests in order of arrival: arrays of one length, a value for each request.

    Times are seconds since the run began; NaN if it did not happen in the run.
    """

    arrival_s: Floats
    start_s: Floats
    """When a replica began to serve it."""
    end_s: Floats
    """When it left the gateway: served, refused or given up."""
    status: Integers
    """HTTP status; `STILL_IN` if the run ended before."""
    replica: Integers
    """Number of the replica that served it; -1 for none."""
    client: Integers
    """Number of the client in a closed loop, or of the session; -1 for none."""
    latency_s: Floats
    """How long its client waited; less than `end_s - arrival_s` if the client disconnected first."""
    service_s: Floats
    """How long a replica of speed 1 works on it."""

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True)
class Replicas:
    """All replicas of the run: arrays of one length, indexed by the replica's number.

    Times are seconds since the run began; NaN if it did not happen in the run.
    """

    asked_s: Floats
    placed_s: Floats
    """When it got a GPU; its cost begins here."""
    ready_s: Floats
    leaving_s: Floats
    """When it began to drain: it got no request after this."""
    gone_s: Floats
    busy_s: Floats
    """Total time with at least one running request."""
    draining_s: Floats
    """The part of `busy_s` after `leaving_s`."""
    pool: Integers
    """Index of its GPU pool; -1 for none."""

    def __len__(self) -> int:
        return len(self.asked_s)


class Change(NamedTuple):
    """A change of the number of replicas asked for."""

    t_s: float
    asked: int


@dataclass(frozen=True, slots=True, repr=False)
class History:
    """One complete run."""

    engine: str
    end_s: float
    requests: Requests
    replicas: Replicas
    changes: tuple[Change, ...]
    """Changes of the number of replicas; the first has the number at the beginning."""
    decisions: tuple[Record, ...]
    """Empty if they were not asked for."""
    inflight_s: float
    """Integral of the requests in flight over time, in request-seconds, as the gateway counts it."""
    partial: bool = False
    """The run was interrupted: the history is correct up to `end_s`, and ends there."""
    passing: Requests | None = None
    """Requests that take no slot; `requests` does not have them."""
    classes: tuple[str, ...] = ()
    """The policy's priority classes by name, from the highest."""
    levels: Integers | None = None
    """The index of the class of each of `requests`; None without classes."""
    decision_count: int | None = None
    """How many decisions there were, also if they were not kept; None is the number of `decisions`."""
    streaming_figures: dict[str, float] | None = None
    """Figures by name if there were too many requests to keep; then `requests` is empty, and `decisions` has only those
    that differ from the one before."""

    def __repr__(self) -> str:
        """Say in one line how many requests, replicas and decisions the run has."""
        counts = f"{len(self.requests)} requests, {len(self.replicas)} replicas, {len(self.decisions)} decisions"
        return f"<History of {self.end_s:.0f} s: {counts}, engine {self.engine}>"
