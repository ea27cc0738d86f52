"""What an engine is given: plain values in seconds, with nothing left of the document they were read from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.distributions import Constant, Distribution
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.path_rules import PathRule

NEVER_S = math.inf
NO_TIME = Constant(0.0)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Chunk = tuple[Floats, Floats]
"""Arrivals in order, and what each needs of a replica."""
EMPTY: Floats = np.zeros(0)


class NotExactError(Exception):
    """An engine cannot do this run exactly; the text says why."""


def next_on_grid(now_s: float, every_s: float) -> float:
    """Give the next point of a fixed grid that begins at 0; rounding must not give the present one again."""
    number = math.floor(now_s / every_s) + 1
    return (number if number * every_s > now_s else number + 1) * every_s


class Arrival(NamedTuple):
    """One request as it reaches the gateway."""

    t_s: float
    service_s: float
    """How long a replica of speed 1 works on it."""
    patience_s: float = NEVER_S
    """How long its client waits in the queue before it hangs up."""
    timeout_s: float = NEVER_S
    """How long its client waits for the answer, all in all; a replica that has begun goes on without it."""
    client: int = -1
    """Which client of a closed loop it is from."""
    source: int = 0
    """Which of several sources it is from."""
    attempt: int = 1
    path: str = ""
    """What it asks for; empty for what takes a slot in any case."""
    session: int = -1
    """Which of several clients that keep the gateway's cookie it is from."""


class Batch(NamedTuple):
    """All requests of a run at once, a column each, in order of arrival."""

    arrival: Floats
    """Of a closed loop, where it is not known before, only as many as there will be."""
    service: Floats
    """Of a closed loop: of the first request of each client, then of the second of each, and so on."""
    patience: Floats
    timeout: Floats
    clients: int = 0
    """Of a closed loop; 0 for requests that come whatever happens."""
    each: int = 0
    think: Floats = EMPTY
    """Before the first second request of any client, before the next, and so on."""
    start_s: float = 0.0


class Source(Protocol):
    """Where requests come from."""

    def arrivals(self) -> Iterator[Arrival]:
        """Give those that come whatever happens, in order of time."""
        ...

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give what a client sends because its request has ended: the next one of a closed loop, or a retry."""
        ...

    def batch(self, until_s: float) -> Batch | None:
        """Give all that come up to a time at once; None where that cannot be known. In place of `arrivals`."""
        ...

    def chunks(self) -> Iterator[Chunk] | None:
        """Give arrivals and service times, some at a time, in order; None where a client may not wait. As `batch`."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """GPUs of one kind."""

    name: str
    cold_start: tuple[Distribution, ...]
    """Stages from asking for a replica to its being ready, one after the other."""
    speed: float = 1.0
    """Service times are divided by it."""
    price_per_hour: float = 0.0
    stock: float = math.inf
    """Replicas that fit at a time."""
    lifetime: Distribution | None = None
    """How long a replica that became ready lives until it dies; None is for ever."""
    start_failure: float = 0.0
    """Probability that a replica dies at the moment in which it would have become ready."""
    service: Distribution | None = None
    """How long a replica works on a request, in place of what the request says."""


@dataclass(frozen=True, slots=True)
class RunInputs:
    """One service, its fleet and how it is watched."""

    service: str
    limits: Limits
    pools: tuple[Pool, ...]
    """In order of preference: the next is taken where one is out of stock."""
    initial: int = 0
    """Replicas that are ready at the beginning."""
    min_replicas: int = 0
    """The fleet is at rest when no more than these are asked for."""
    max_replicas: int = 1_000_000
    target: float = 1.0
    """Requests in flight for each replica; with `most` only for `immediate`."""
    tick_s: float = 2.0
    """Distance of the ticks; infinite is none."""
    coalesce_s: float = 0.02
    """How long after a line the gateway gathers changes for the next one; infinite is no stream."""
    wakes: bool = True
    """Whether the stream wakes the controller: at zero, and when the queue grows."""
    immediate: bool = False
    """Replicas follow the requests in flight at every arrival and departure, without any delay or other rule."""
    scrape_s: float = NEVER_S
    """Distance of Prometheus' scrapes; infinite is no Prometheus: ticks then decide on the stream."""
    metric_lag: Distribution = NO_TIME
    """How long a scraped value takes until a query finds it."""
    rules: tuple[PathRule, ...] = ()
    """Which paths take a slot; all, where there are none."""
    cookie_s: float = 0.0
    """How long the gateway's cookie brings a client back to its replica; 0 is no cookie."""
    request_timeout_s: float = NEVER_S
    """How long a replica may take for a request of a path that has no such time of its own."""
    cancel_on_disconnect: bool = False
    """Whether a replica stops working on a request whose client has gone."""
    until_s: float = NEVER_S
    """The run ends here, whatever is under way."""
    settle_s: float = 3600.0
    """The run ends when nothing but ticks has happened for so long."""
