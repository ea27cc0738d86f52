"""What an engine is given: plain values in seconds, with nothing left of the document they were read from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from algorithms.distributions import Distribution
from autoscaler.gateway.dispatch import Limits

NEVER_S = math.inf


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


class Source(Protocol):
    """Where requests come from."""

    def arrivals(self) -> Iterator[Arrival]:
        """Give those that come whatever happens, in order of time."""
        ...

    def after(self, ended: Arrival, status: int, now_s: float) -> Arrival | None:
        """Give what a client sends because its request has ended: the next one of a closed loop, or a retry."""
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


@dataclass(frozen=True, slots=True)
class Setup:
    """One service, its fleet and how it is watched."""

    service: str
    limits: Limits
    pools: tuple[Pool, ...]
    """In order of preference: the next is taken where one is out of stock."""
    initial: int = 0
    """Replicas that are ready at the beginning."""
    least: int = 0
    """The fleet is at rest when no more than these are asked for."""
    tick_s: float = 2.0
    """Distance of the ticks; infinite is none."""
    line_s: float = 0.02
    """How long the gateway gathers changes before its stream tells them."""
    wakes: bool = True
    """Whether the stream wakes the controller: at zero, and when the queue grows."""
    immediate: bool = False
    """Decide at every arrival and departure, without any delay, and never else."""
    scrape_s: float = NEVER_S
    """Distance of Prometheus' scrapes; infinite is no Prometheus: ticks then decide on the stream."""
    metric_lag_s: float = 0.0
    """How long a scraped value takes until a query finds it."""
    until_s: float = NEVER_S
    """The run ends here, whatever is under way."""
    settle_s: float = 3600.0
    """The run ends when nothing but ticks has happened for so long."""
