"""The part of a scenario that says which requests come: the models of its workloads.

Distributions are written as in `algorithms.distributions`, such as `lognormal(mean=8, sigma=0.3)`, in seconds; a
duration such as `20s` is always that long, and a list of numbers is drawn from as it is.
"""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from algorithms.distributions import Constant, Distribution, parse
from autoscaler.documents.fields import Duration, Model, Percent, between, exactly_one, lasting, parse_duration
from simulations.model.run_inputs import Floats
from simulations.scenario.columns import read_columns
from simulations.scenario.empirical import Empirical

LEAST_S = 1e-9
LONGEST_S = 10 * 8760 * 3600.0
"""A later time is no time since the beginning of a run, but one of day."""


def _distribution(written: object) -> Distribution:
    if isinstance(written, list):
        if not all(isinstance(value, int | float) for value in written):
            raise ValueError("must be a list of numbers, in seconds")
        return Empirical(tuple(float(value) for value in written))
    if isinstance(written, dict):
        raise ValueError(  # noqa: TRY004 - pydantic tells only this one
            "must be a distribution such as lognormal(mean=8, sigma=0.3), a duration or a list of numbers"
        )
    text = str(written)
    return Constant(parse_duration(text)) if text[:1].isdigit() and text[-1:] in "smh" else parse(text)


Dist = Annotated[
    Any,
    BeforeValidator(_distribution),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A `Distribution`; see the module."""

Rate = Annotated[float, Field(gt=0, le=1e6)]
"""Per second."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class ClosedLoop(Model):
    """Clients that each send the next request when the last one was answered, as `hey -n REQUESTS -c CLIENTS` does."""

    requests: Count
    """All in all; each client sends as many, and a remainder is left out, as in hey."""
    clients: Annotated[int, Field(ge=1, le=1_000_000)]
    think_time: Dist = Constant(0.0)
    """Between an answer and the client's next request."""


class Poisson(Model):
    """Independent arrivals."""

    rate: Rate


class Renewal(Model):
    """Arrivals whose distances are independent: bursty where their coefficient of variation is above 1."""

    interarrival: Dist
    """Seconds between arrivals, such as `gamma(mean=0.2, cv=12)`."""

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.interarrival.expected() <= 0:
            raise ValueError("interarrival: must have a mean above 0")
        return self


class Diurnal(Model):
    """A rate that swings as a sine."""

    mean_rate: Rate
    amplitude: Annotated[Percent, between("0%", "100%")] = 0.5
    """Of the mean rate."""
    period: Annotated[Duration, lasting("1s", "8760h")] = 86400.0
    peak: Annotated[Duration, lasting("0s", "8760h")] = 50400.0
    """When in each period the rate is highest."""
    cv: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Coefficient of variation of the distances, were the rate constant: 1 is Poisson, above it is bursty."""


class RatePoint(Model):
    """One point of a curve."""

    at: Annotated[Duration, lasting("0s", "87600h")]
    rate: Annotated[float, Field(ge=0, le=1e6)]


class RateCurve(Model):
    """A rate given by points; after the last it stays as it is."""

    points: Annotated[tuple[RatePoint, ...], Field(min_length=1)] | None = None
    """In order of time, the first at 0s."""
    file: str | None = None
    """In place of points: a file with the columns `at_s` and `rate`; see `trace`."""
    between: Literal["Steps", "Lines"] = "Steps"
    """Whether the rate jumps at each point, or goes in a straight line from one to the next."""
    cv: Annotated[float, Field(gt=0, le=100)] = 1.0
    """As in `diurnal`."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        exactly_one(self, "points", "file")
        if self.points:
            _check_curve("points", self.curve()[0])
        return self

    def curve(self) -> tuple[Floats, Floats]:
        """Give times and rates; raises ValueError where the file is not right."""
        if self.points:
            points = [(point.at, point.rate) for point in self.points]
            return tuple(np.array(column) for column in zip(*points, strict=True))  # type: ignore[return-value]
        at_s, rate = read_columns(Path(str(self.file)), ("at_s", "rate")).values()
        _check_curve("at_s", at_s)
        if np.any(rate < 0) or np.any(np.isinf(rate)):
            raise ValueError("rate: must be finite numbers of at least 0")
        return at_s, rate


def _check_curve(name: str, at_s: Floats) -> None:
    if at_s[0] != 0 or np.any(np.diff(at_s) <= 0) or at_s[-1] > LONGEST_S:
        raise ValueError(f"{name}: must begin at 0s and be in order of time, within 87600h")


class Retries(Model):
    """What clients do about an answer that is not status 200."""

    attempts: Annotated[int, Field(ge=2, le=100)] = 3
    """The first one included."""
    backoff: Dist = Constant(1.0)
    """Before each further one."""


class Trace(Model):
    """Arrivals as they were, here or in a file."""

    arrivals: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """Seconds since the workload's start, in order."""
    service: tuple[float, ...] | None = None
    """Service time of each, in place of `serviceTime`."""
    file: str | None = None
    """A .csv (with a line of names), .jsonl or .parquet file, relative to the scenario's own folder, with the column
    `arrival_s` and, where service times are known, `service_s`; what is missing there is drawn from `serviceTime`.
    What `--records` writes is such a file."""
    keep: Annotated[Percent, between("0.001%", "100%")] = 1.0
    """Each request is kept with this probability, in each replication others: a large trace for a small fleet."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        exactly_one(self, "arrivals", "file")
        if self.file is not None and self.service is not None:
            raise ValueError("service: stands in the file, as column service_s")
        if self.arrivals is not None:
            _check_trace("arrivals", "service", *self.columns())
        return self

    def columns(self) -> tuple[Floats, Floats | None]:
        """Give arrivals and service times, NaN where one is not known; raises ValueError where a file is not right."""
        if self.arrivals is not None:
            return np.array(self.arrivals), None if self.service is None else np.array(self.service)
        found = read_columns(Path(str(self.file)), ("arrival_s",), ("service_s",))
        arrival_s, service_s = found["arrival_s"], found.get("service_s")
        _check_trace("arrival_s", "service_s", arrival_s, service_s)
        return arrival_s, service_s


def _check_trace(arrivals: str, service: str, arrival_s: Floats, service_s: Floats | None) -> None:
    if arrival_s[0] < 0 or np.any(np.diff(arrival_s) < 0) or not arrival_s[-1] <= LONGEST_S:
        raise ValueError(f"{arrivals}: must be in order of time, in seconds since the workload's start, within 87600h")
    if service_s is None:
        return
    if len(service_s) != len(arrival_s):
        raise ValueError(f"{service}: must have as many values as {arrivals}, which has {len(arrival_s)}")
    if np.any(service_s < 0) or np.any(np.isinf(service_s)):
        raise ValueError(f"{service}: must be finite numbers of at least 0")


class Workload(Model):
    """Requests of one kind; several workloads come on top of each other."""

    closed_loop: ClosedLoop | None = None
    poisson: Poisson | None = None
    renewal: Renewal | None = None
    diurnal: Diurnal | None = None
    rate_curve: RateCurve | None = None
    trace: Trace | None = None
    service_time: Dist = Constant(1.0)
    """How long a replica of speed 1 works on a request."""
    start: Annotated[Duration, lasting("0s", "8760h")] = 0.0
    requests: Count | None = None
    """An open workload ends after so many; without it, it goes on to the end of the run."""
    patience: Dist | None = None
    """How long a client waits in the queue before it hangs up; for ever when left out."""
    timeout: Annotated[Duration, lasting("1ms", "8760h")] | None = None
    """How long a client waits for its answer; whether a replica then goes on is `traffic.onAbort` of the policy."""
    path: Annotated[str, Field(pattern=r"^/[^ ?#]*$")] | None = None
    """What it asks for: the policy's `traffic.paths` says whether that takes a slot. It does where this is left out."""
    sessions: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Clients that keep the gateway's cookie, where the policy has affinity: each request is one of so many, at random;
    of a closed loop each client is one, and the number must be that of the clients. Without it nobody keeps cookies."""
    retries: Retries | None = None
    """Without it nobody tries again; a client of a closed loop goes on to its next request in any case."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "closed_loop", "poisson", "renewal", "diurnal", "rate_curve", "trace")
        if self.closed_loop and self.requests is not None:
            raise ValueError("requests: is not for a closed loop, which has its own")
        if self.closed_loop and self.sessions not in (None, self.closed_loop.clients):
            raise ValueError(f"sessions: must be the number of clients, which is {self.closed_loop.clients}")
        return self

    @property
    def endless(self) -> bool:
        """Whether requests come as long as the run goes on."""
        return self.requests is None and self.closed_loop is None and self.trace is None

    def expected_s(self) -> float:
        """Estimate when the last request comes, for a progress bar; infinite where nobody knows."""
        return self.start + self._lasting_s()

    def _lasting_s(self) -> float:
        if self.trace:
            return float(self.trace.columns()[0][-1])
        if self.closed_loop:
            each_s = self.service_time.expected() + self.closed_loop.think_time.expected()
            return float(self.closed_loop.requests / self.closed_loop.clients * each_s)
        rate = self._mean_rate()
        return inf if self.requests is None or not rate else self.requests / rate

    def _mean_rate(self) -> float:
        if self.renewal:
            return float(1 / max(self.renewal.interarrival.expected(), LEAST_S))
        if self.rate_curve:
            return float(self.rate_curve.curve()[1].mean())
        return self.poisson.rate if self.poisson else self.diurnal.mean_rate if self.diurnal else 0.0
