"""The inputs of an engine: plain values in seconds, independent of the document they were read from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.distributions import Constant, Distribution
from autoscaler.gateway.dispatch.dispatcher import Limits
from autoscaler.gateway.dispatch.hints import HintLimits
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import Fairness, PriorityClass

NEVER_S = math.inf
NO_TIME = Constant(0.0)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Chunk = tuple[Floats, Floats]
"""Arrival times in order and service times, in seconds; arrays of one length."""
EMPTY: Floats = np.zeros(0)


class NotExactError(Exception):
    """An engine cannot do this run exactly; the message says why."""


def next_on_grid(now_s: float, every_s: float) -> float:
    """Give the first multiple of `every_s` after `now_s`, in spite of rounding."""
    number = math.floor(now_s / every_s) + 1
    return (number if number * every_s > now_s else number + 1) * every_s


class Arrival(NamedTuple):
    """One request when it arrives at the gateway."""

    t_s: float
    service_s: float
    """How long a replica of speed 1 works on it."""
    patience_s: float = NEVER_S
    """How long its client waits in the queue before it disconnects."""
    timeout_s: float = NEVER_S
    """How long its client waits for the response in total. A replica that serves the request may go on."""
    client: int = -1
    """Number of its client in a closed loop; -1 for none."""
    source: int = 0
    """Index of its source, if there are several."""
    attempt: int = 1
    path: str = ""
    """The URL's path; empty for a request that always takes a slot."""
    session: int = -1
    """Number of its client among those that keep the gateway's cookie; -1 for none."""
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that a trusted proxy has set, which decide about its priority class and its client."""


class Announcement(NamedTuple):
    """One request that is announced at a time of the run."""

    t_s: float
    request: tuple[int, float]
    """The source of the request and its time of arrival; a time below 0 for one that does not come."""
    within_s: float
    """How long it counts if it does not come."""


class Batch(NamedTuple):
    """All requests of a run at once: arrays of one length, in order of arrival."""

    arrival: Floats
    """In a closed loop the times are unknown, and only the length counts."""
    service: Floats
    """In a closed loop: for the first request of each client, then for the second of each, and so on."""
    patience: Floats
    timeout: Floats
    clients: int = 0
    """Clients of a closed loop; 0 if arrivals do not depend on responses."""
    each: int = 0
    """Requests of each client in a closed loop."""
    think: Floats = EMPTY
    """Think times, in the order in which clients need them."""
    start_s: float = 0.0


class Source(Protocol):
    """A source of requests."""

    def arrivals(self) -> Iterator[Arrival]:
        """Give the requests that do not depend on responses, in order of time."""
        ...

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give what a client sends after its request ended: the next one of a closed loop, or a retry."""
        ...

    def batch(self, until_s: float) -> Batch | None:
        """Give all requests up to a time at once, instead of `arrivals`; None if they depend on responses."""
        ...

    def chunks(self) -> Iterator[Chunk] | None:
        """Give all requests in chunks, instead of `arrivals`; None if clients may retry or leave."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """GPUs of one kind."""

    name: str
    cold_start: tuple[Distribution, ...]
    """Stages from asking for a replica until it is ready, one after the other."""
    speed: float = 1.0
    """Service times are divided by this."""
    price_per_hour: float = 0.0
    stock: float = math.inf
    """How many replicas have room at a time."""
    lifetime: Distribution | None = None
    """How long a replica lives after it became ready; None is for ever."""
    start_failure: float = 0.0
    """Probability that a replica dies at the end of its cold start."""
    service: Distribution | None = None
    """How long a replica works on a request, instead of the request's own service time."""
    stock_changes: tuple[tuple[float, float], ...] = ()
    """The time of each change of the stock, and the stock from then on."""


@dataclass(frozen=True, slots=True)
class RunInputs:
    """One service, its fleet, and how the controller observes it."""

    service: str
    limits: Limits
    pools: tuple[Pool, ...]
    """In order of preference: if one is out of stock, the next is used."""
    initial: int = 0
    """Replicas that are ready at the beginning."""
    min_replicas: int = 0
    """The run may end when the fleet is back at this number."""
    max_replicas: int = 1_000_000
    target: float = 1.0
    """Requests in flight for each replica; this and `max_replicas` are for `immediate` only."""
    tick_s: float = 2.0
    """Time between ticks; infinite for no ticks."""
    coalesce_s: float = 0.02
    """How long the gateway's stream coalesces changes into one update; infinite for no stream."""
    wakes: bool = True
    """Whether an update can wake the controller: see `autoscaler.wake_up`."""
    immediate: bool = False
    """Replicas follow the requests in flight at every arrival and departure, without a delay or a rule."""
    scrape_s: float = NEVER_S
    """Prometheus' scrape interval; infinite for no Prometheus: ticks then use the stream."""
    metric_lag: Distribution = NO_TIME
    """Time from a scrape until a query finds its value."""
    rules: tuple[PathRule, ...] = ()
    """Path rules; without them every path takes a slot."""
    classes: tuple[PriorityClass, ...] = ()
    """Priority classes from the highest; without them all requests are equal. `limits` has their shares."""
    fairness: Fairness | None = None
    """What tells clients apart that take turns; None if they take none."""
    hints: HintLimits | None = None
    """How many requests may be announced; None for none."""
    cookie_s: float = 0.0
    """Lifetime of the gateway's affinity cookie; 0 for no cookie."""
    request_timeout_s: float = NEVER_S
    """How long a request may run on a replica, if its path rule has no timeout."""
    cancel_on_disconnect: bool = False
    """Whether a replica stops a request when its client disconnects."""
    until_s: float = NEVER_S
    """The run ends here, also with requests in flight; infinite for no such end."""
    settle_s: float = 3600.0
    """The run ends after this long without an event other than ticks and scrapes."""
    policy_pools: tuple[int, ...] = ()
    """The pools that the policy names, in its order: the controller decides in which of them each replica runs. If it
    names none, a replica runs in the first pool with a GPU."""
    start_s: float = 0.0
    """The date at which the run begins, in Unix time; only a policy with a schedule needs it."""

    @property
    def takes_turns(self) -> bool:
        """Whether a request may go before one that arrived earlier."""
        return bool(self.classes) or self.fairness is not None

    @property
    def last_stock_change_s(self) -> float:
        """When the stock of a pool changes for the last time; 0 if it never does."""
        return max((at_s for pool in self.pools for at_s, _ in pool.stock_changes), default=0.0)
