"""What happened in one run, request by request and replica by replica: the raw material of every figure."""

from dataclasses import dataclass
from typing import NamedTuple

from autoscaler.ports import Record
from simulations.model.run_inputs import Floats, Integers

SERVED = 200
REFUSED = 503
QUEUE_TIMEOUT = REQUEST_TIMEOUT = 504
"""It waited too long in the queue, or its replica took too long."""
REPLICA_DIED = 502
HUNG_UP = 499
"""The client went away, from the queue or from the replica; nginx's number for it."""
STILL_IN = 0


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests in order of arrival, a column each; a time that never came is NaN."""

    arrival_s: Floats
    start_s: Floats
    """When a replica was given it."""
    end_s: Floats
    """When it left: served, refused, given up."""
    status: Integers
    """HTTP status, `STILL_IN` when the run ended before."""
    replica: Integers
    """Number of the replica that was given it, -1 for none."""
    client: Integers
    latency_s: Floats
    """What its client waited; a client that hangs up does so before the replica is done."""
    service_s: Floats
    """Work it needs on a replica of speed 1."""

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True)
class Replicas:
    """All replicas that ever were, by number, a column each; a time that never came is NaN."""

    asked_s: Floats
    placed_s: Floats
    """When a GPU was found for it: from here it costs."""
    ready_s: Floats
    leaving_s: Floats
    """From here on it was given nothing new."""
    gone_s: Floats
    busy_s: Floats
    """Time with at least one request, all in all."""
    draining_s: Floats
    """The part of it that lies after `leaving_s`."""
    pool: Integers

    def __len__(self) -> int:
        return len(self.asked_s)


class Change(NamedTuple):
    """A new number of replicas asked for."""

    t_s: float
    asked: int


@dataclass(frozen=True, slots=True, repr=False)
class History:
    """One run from its beginning to its end."""

    engine: str
    end_s: float
    requests: Requests
    replicas: Replicas
    changes: tuple[Change, ...]
    """Replicas asked for; the first says with how many it began."""
    decisions: tuple[Record, ...]
    inflight_s: float
    """Integral of the requests in flight over time, as the gateway kept it."""
    partial: bool = False
    """It was interrupted: what there is is right, and not all."""
    passing: Requests | None = None
    """The requests that take no slot, which are not among the others."""
    streaming_figures: dict[str, float] | None = None
    """Their figures, where there were too many requests to keep: `requests` is empty, `decisions` has changes only."""

    def __repr__(self) -> str:
        """Say in one line how much happened."""
        counts = f"{len(self.requests)} requests, {len(self.replicas)} replicas, {len(self.decisions)} decisions"
        return f"<History of {self.end_s:.0f} s: {counts}, engine {self.engine}>"
