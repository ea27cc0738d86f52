"""The kinds of workloads of a scenario: which requests arrive, and when. `request_sources` draws the requests.

Distributions are written as in `algorithms.distributions`, such as `lognormal(mean=8, sigma=0.3)`, in seconds. A
duration such as `20s` is a constant, and a list of numbers is an empirical distribution.
"""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from algorithms.distributions import Constant, Distribution, parse
from autoscaler.documents.fields import Duration, Model, Percent, between, exactly_one, lasting, parse_duration
from autoscaler.policy.http_texts import Token
from simulations.model.run_inputs import Floats
from simulations.scenario.columns import read_columns
from simulations.scenario.empirical import Empirical

LEAST_S = 1e-9
LONGEST_S = 10 * 8760 * 3600.0
"""A larger time is a Unix time by mistake, not a time since the beginning of a run."""


def distribution(written: object) -> Distribution:
    """Read a distribution as a document has it; raises ValueError."""
    if isinstance(written, list):
        if not all(isinstance(value, int | float) for value in written):
            raise ValueError("must be a list of numbers, in seconds")
        return Empirical(tuple(float(value) for value in written))
    if isinstance(written, dict):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError only
            "must be a distribution such as lognormal(mean=8, sigma=0.3), a duration or a list of numbers"
        )
    text = str(written)
    return Constant(parse_duration(text)) if text[:1].isdigit() and text[-1:] in "smh" else parse(text)


def _written(drawn: Distribution) -> str | list[float]:
    return list(drawn.values) if isinstance(drawn, Empirical) else str(drawn)


Dist = Annotated[
    Any,
    BeforeValidator(distribution),
    PlainSerializer(_written),
    WithJsonSchema({"type": "string"}),
]
"""A `Distribution`; the module says how to write one."""

Rate = Annotated[float, Field(gt=0, le=1e6)]
"""Requests per second."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class ClosedLoop(Model):
    """Clients that each send the next request after the response to the last, as `hey -n REQUESTS -c CLIENTS` does."""

    requests: Count
    """In total. Each client sends the same number, and a remainder is left out, as in hey."""
    clients: Annotated[int, Field(ge=1, le=1_000_000)]
    think_time: Dist = Constant(0.0)
    """Time between a response and the client's next request."""


class Poisson(Model):
    """A Poisson process: independent arrivals at a constant rate."""

    rate: Rate


class Renewal(Model):
    """A renewal process: independent interarrival times; bursty if their coefficient of variation is above 1."""

    interarrival: Dist
    """Time between arrivals, in seconds, such as `gamma(mean=0.2, cv=12)`."""

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.interarrival.expected() <= 0:
            raise ValueError("interarrival: must have a mean above 0")
        return self


class Diurnal(Model):
    """A rate that follows a sine, such as that of a day."""

    mean_rate: Rate
    amplitude: Annotated[Percent, between("0%", "100%")] = 0.5
    """Share of the mean rate."""
    period: Annotated[Duration, lasting("1s", "8760h")] = 86400.0
    peak: Annotated[Duration, lasting("0s", "8760h")] = 50400.0
    """Time in each period at which the rate is highest."""
    cv: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Coefficient of variation of interarrival times at a constant rate: 1 is Poisson, above 1 is bursty."""


class RatePoint(Model):
    """One point of a rate curve."""

    at: Annotated[Duration, lasting("0s", "87600h")]
    rate: Annotated[float, Field(ge=0, le=1e6)]


class RateCurve(Model):
    """A rate given by points; after the last point it is constant."""

    points: Annotated[tuple[RatePoint, ...], Field(min_length=1)] | None = None
    """In order of time, the first at 0s."""
    file: str | None = None
    """Instead of points: a file with the columns `at_s` and `rate`, in the formats of `trace`."""
    between: Literal["Steps", "Lines"] = "Steps"
    """Whether the rate jumps at each point, or is linear between points."""
    cv: Annotated[float, Field(gt=0, le=100)] = 1.0
    """As in `diurnal`."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        exactly_one(self, "points", "file")
        if self.points:
            _check_curve("points", self.curve()[0])
        return self

    def curve(self) -> tuple[Floats, Floats]:
        """Give times in seconds and rates, arrays of one length; raises ValueError if the file is invalid."""
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
    """Retries of clients after a response that is not status 200."""

    attempts: Annotated[int, Field(ge=2, le=100)] = 3
    """Including the first."""
    backoff: Dist = Constant(1.0)
    """Time before each further attempt."""


class Trace(Model):
    """Recorded arrivals, inline or in a file."""

    arrivals: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """Arrival times in seconds since the workload's start, in order."""
    service: tuple[float, ...] | None = None
    """Service time of each request in seconds, instead of `serviceTime`."""
    file: str | None = None
    """A .csv (with a header), .jsonl or .parquet file, relative to the scenario. It needs the column `arrival_s`,
    and optionally `service_s`; missing service times are drawn from `serviceTime`. The option `--records` writes such a
    file."""
    keep: Annotated[Percent, between("0.001%", "100%")] = 1.0
    """Probability with which a request is kept, drawn again in each replication: a large trace for a small fleet."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        exactly_one(self, "arrivals", "file")
        if self.file is not None and self.service is not None:
            raise ValueError("service: must not be set beside file; use the file's column service_s")
        if self.arrivals is not None:
            _check_trace("arrivals", "service", *self.columns())
        return self

    def columns(self) -> tuple[Floats, Floats | None]:
        """Give arrival and service times in seconds, arrays of one length; an unknown service time is NaN.

        Raises:
            ValueError: the file is invalid.
        """
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


class Hints(Model):
    """Announcements of requests, for a policy with `hints`: what its clients would tell the gateway."""

    hit_rate: Annotated[Percent, between("1%", "100%")] = 1.0
    """Share of the announced requests that come. The others come to nothing: each is announced within an hour after
    one that comes."""
    coverage: Annotated[Percent, between("0%", "100%")] = 1.0
    """Share of the workload's requests that are announced."""
    lead_time: Annotated[Duration, lasting("0s", "1h")] = 30.0
    """How long before its arrival a request is announced, or at the beginning of the run."""
    within: Annotated[Duration, lasting("1s", "1h")] | None = None
    """How long a hint counts if its request does not come; absent: twice `leadTime`, and at least 1s."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.within is not None and self.within <= self.lead_time:
            raise ValueError("within: must be longer than leadTime, or no request comes in time")
        return self

    @property
    def within_s(self) -> float:
        """How long a hint counts at most."""
        return max(2 * self.lead_time, 1.0) if self.within is None else self.within


KINDS = ("closed_loop", "poisson", "renewal", "diurnal", "rate_curve", "trace")
"""How requests arrive: each workload has exactly one of these fields, and `request_sources` draws its requests."""


class Workload(Model):
    """Requests of one kind; several workloads are added up."""

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
    """The workload ends after this many requests; without it, at the end of the run. Not for a closed loop."""
    patience: Dist | None = None
    """How long a client waits in the queue before it disconnects; without it, there is no limit."""
    timeout: Annotated[Duration, lasting("1ms", "8760h")] | None = None
    """How long a client waits for its response. `traffic.onAbort` in the policy says if the replica goes on."""
    path: Annotated[str, Field(pattern=r"^/[^ ?#]*$")] | None = None
    """The URL's path: the policy's `traffic.paths` says if it takes a slot. Without a path it does."""
    host: Annotated[str, Field(max_length=253)] | None = None
    """The host: the policy's `traffic.priority` may have a class for it."""
    headers: Annotated[dict[Token, str], Field(min_length=1, max_length=16)] | None = None
    """Headers that a trusted proxy has set, for `traffic.priority` and `traffic.fairness`."""
    sessions: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of clients that keep the gateway's affinity cookie. Each request is from one of them, at random. In a
    closed loop it must be the number of clients. Without it, no client keeps cookies. With `traffic.fairness` these
    clients, and those of a closed loop, take turns; any other request is of a client of its own."""
    hints: Hints | None = None
    """Which requests are announced before they arrive, if the policy has `hints`. Without it, none. Not for a closed
    loop, whose requests depend on responses."""
    retries: Retries | None = None
    """Without it, no client retries. A client of a closed loop goes on to its next request in any case."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, *KINDS)
        if self.closed_loop and self.requests is not None:
            raise ValueError("requests: is not allowed beside closedLoop; set closedLoop.requests")
        if self.closed_loop and self.hints is not None:
            raise ValueError("hints: is not allowed beside closedLoop, whose requests depend on responses")
        if self.closed_loop and self.sessions not in (None, self.closed_loop.clients):
            raise ValueError(f"sessions: must be the number of clients, which is {self.closed_loop.clients}")
        return self

    @property
    def endless(self) -> bool:
        """Whether requests arrive until the end of the run."""
        return self.requests is None and self.closed_loop is None and self.trace is None

    def expected_s(self) -> float:
        """Estimate when the last request arrives, for a progress bar; infinite if that is unknown."""
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
