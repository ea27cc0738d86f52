"""The document `Scenario`: requests, replicas, how they are watched, and the policies to be compared on them.

Distributions are written as in `algorithms.distributions`, such as `lognormal(mean=8, sigma=0.3)`, in seconds; a
duration such as `20s` is always that long, and a list of numbers is drawn from as it is.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from algorithms.distributions import Constant, Distribution, parse
from autoscaler.documents import DocumentError, read_file
from autoscaler.fields import Duration, Model, Percent, between, exactly_one, lasting, parse_duration
from autoscaler.policy import Metadata, ScalingPolicy
from autoscaler.validation import read_policies, validated
from simulations.empirical import Empirical


def _distribution(written: object) -> Distribution:
    if isinstance(written, list):
        return Empirical(tuple(float(value) for value in written))
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

    points: Annotated[tuple[RatePoint, ...], Field(min_length=1)]
    """In order of time, the first at 0s."""
    between: Literal["Steps", "Lines"] = "Steps"
    """Whether the rate jumps at each point, or goes in a straight line from one to the next."""
    cv: Annotated[float, Field(gt=0, le=100)] = 1.0
    """As in `diurnal`."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        times = [point.at for point in self.points]
        if times[0] != 0 or any(later <= earlier for earlier, later in pairwise(times)):
            raise ValueError("points: must begin at 0s and be in order of time")
        return self


class Retries(Model):
    """What clients do about an answer that is not status 200."""

    attempts: Annotated[int, Field(ge=2, le=100)] = 3
    """The first one included."""
    backoff: Dist = Constant(1.0)
    """Before each further one."""


class Trace(Model):
    """Arrivals as they were."""

    arrivals: Annotated[tuple[float, ...], Field(min_length=1)]
    """Seconds since the workload's start, in order."""
    service: tuple[float, ...] | None = None
    """Service time of each, in place of `serviceTime`."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if any(later < earlier for earlier, later in pairwise(self.arrivals)):
            raise ValueError("arrivals: must be in order of time")
        if self.service is not None and len(self.service) != len(self.arrivals):
            raise ValueError(f"service: must have as many values as arrivals, which has {len(self.arrivals)}")
        return self


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
    """How long a client waits for its answer; a replica goes on with what it has begun."""
    retries: Retries | None = None
    """Of an open workload; a client of a closed loop goes on to its next request."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "closed_loop", "poisson", "renewal", "diurnal", "rate_curve", "trace")
        return self

    @property
    def endless(self) -> bool:
        """Whether requests come as long as the run goes on."""
        return self.requests is None and self.closed_loop is None and self.trace is None


class ColdStart(Model):
    """What happens, one after the other, between a GPU that is found and a replica that is ready."""

    schedule: Dist = Constant(0.0)
    pull: Dist = Constant(0.0)
    """Fetching the image."""
    load: Dist = Constant(0.0)
    """Loading the model."""
    readiness: Dist = Constant(0.0)
    """Until the probe has seen it."""


class GpuPool(Model):
    """GPUs of one kind."""

    name: str
    cold_start: ColdStart = ColdStart()
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Service times are divided by it."""
    price_per_hour: Annotated[float, Field(ge=0)] = 0.0
    stock: Annotated[int, Field(ge=0)] | None = None
    """Replicas that fit at a time; without it, any number."""
    lifetime: Dist | None = None
    """How long a ready replica lives until it dies, with what it serves; for ever when left out."""


class SimulatedFleetSpec(Model):
    """Where replicas run."""

    initial_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Ready from the beginning."""
    pools: Annotated[tuple[GpuPool, ...], Field(min_length=1)]
    """In order of preference: the next is taken where one is out of stock."""


class Stream(Model):
    """The gateway's own count."""

    coalesce: Annotated[Duration, lasting("0s", "10s")] = 0.02
    """The first change after a pause is told at once, those within this time of it share the next line."""
    wake_ups: bool = True
    """Whether requests at zero, and a queue that grows, are decided on at once."""


class SimulatedPrometheus(Model):
    """Prometheus' count, on which ticks then decide."""

    scrape_interval: Annotated[Duration, lasting("100ms", "1h")] = 1.0
    lag: Annotated[Duration, lasting("0s", "1h")] = 0.0
    """Until a query finds what was scraped."""


class Watching(Model):
    """What the controller sees, and when."""

    tick: Annotated[Duration, lasting("1ms", "1h")] = 2.0
    stream: Stream | None = Stream()
    prometheus: SimulatedPrometheus | None = None
    immediate: bool = False
    """In place of the policy's algorithm and rules: at every arrival and departure, without delay, as many replicas as
    the requests in flight need within the policy's bounds. For comparison with queueing theory."""


class Run(Model):
    """When a run ends, and what of it counts."""

    duration: Annotated[Duration, lasting("1s", "87600h")] | None = None
    """Without it, the run ends when the last request has left and the fleet is back at its minimum."""
    warm_up: Annotated[Duration, lasting("0s", "8760h")] = 0.0
    """Requests that arrive before it do not count."""


class Objective(Model):
    """What is good enough."""

    latency: Annotated[Duration, lasting("1ms", "24h")]
    """A request answered within this time is a good one."""


class Expectation(Model):
    """What the run must come to; otherwise the exit status is 1."""

    answers: int
    """Requests answered with status 200."""
    peak_replicas: int
    """Exactly so many are asked for at the peak, no later than one decision after as many requests are in flight."""


class PolicyChoice(Model):
    """A policy, here or in a file."""

    file: str | None = None
    """A file with one ScalingPolicy, relative to the scenario's own folder."""
    policy: ScalingPolicy | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "file", "policy")
        return self


class ScenarioSpec(Model):
    """What happens."""

    seed: Annotated[int, Field(ge=0)] = 1
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    fleet: SimulatedFleetSpec
    controller: Watching = Watching()
    policies: tuple[PolicyChoice, ...] = ()
    """Each is simulated alone, all on the same luck."""
    run: Run = Run()
    objective: Objective | None = None
    expect: Expectation | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.run.duration is None and any(workload.endless for workload in self.workloads):
            raise ValueError("run.duration: is required where a workload has no end; or give its number of requests")
        return self


class Scenario(Model):
    """One scenario."""

    api_version: Literal["inflight.dev/v1alpha1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    spec: ScenarioSpec


def read_scenario(path: Path) -> Scenario:
    """Read a file with one Scenario.

    Raises:
        DocumentError: what is wrong with it, with file, line, key, value and what is legal.
    """
    documents = read_file(path)
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, has {len(documents)}"])
    return validated(documents[0], Scenario)


def seeded(scenario: Scenario, seed: int | None) -> Scenario:
    """Give the scenario with another seed; None leaves it."""
    if seed is None:
        return scenario
    return scenario.model_copy(update={"spec": scenario.spec.model_copy(update={"seed": seed})})


def policies_of(scenario: Scenario, folder: Path) -> list[ScalingPolicy]:
    """Give the policies of a scenario whose files lie relative to a folder; raises DocumentError."""
    policies: list[ScalingPolicy] = []
    for choice in scenario.spec.policies:
        policies += [choice.policy] if choice.policy else read_policies([folder / str(choice.file)])
    return policies
