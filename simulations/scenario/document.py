"""The document `Scenario`: requests, replicas, how they are watched, and the policies to be compared on them."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from algorithms.distributions import Constant
from autoscaler.documents.document import Document, DocumentError, KeyPath, dotted, read_file
from autoscaler.documents.fields import Duration, Model, Percent, between, exactly_one, lasting
from autoscaler.policy.loading import validated
from autoscaler.policy.spec import Metadata, ScalingPolicy
from simulations.model.run_inputs import Floats
from simulations.scenario.workload_spec import Dist, RateCurve, Trace, Workload


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
    service_time: Dist | None = None
    """In place of the workloads' `serviceTime`, and of a trace's; then without `speed`."""
    lifetime: Dist | None = None
    """How long a ready replica lives until it dies, with what it serves; for ever when left out."""
    start_failure: Annotated[Percent, between("0%", "99%")] = 0.0
    """Replicas that die at the end of their cold start; another one takes the place of each."""

    @model_validator(mode="after")
    def _has_one_speed(self) -> Self:
        if self.service_time is not None and self.speed != 1:
            raise ValueError("speed: is not for a pool with a serviceTime of its own")
        return self


class SimulatedFleetSpec(Model):
    """Where replicas run."""

    initial_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Ready from the beginning."""
    pools: Annotated[tuple[GpuPool, ...], Field(min_length=1)]
    """In order of preference: the next is taken where one is out of stock."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError(f"pools: must have names that differ, has {', '.join(names)}")
        return self


class Stream(Model):
    """The gateway's own count."""

    enabled: bool = True
    """Whether the controller listens to it; if not, it decides on Prometheus alone."""
    coalesce: Annotated[Duration, lasting("0s", "10s")] = 0.02
    """The first change after a pause is told at once, those within this time of it share the next line."""
    wake_ups: bool = True
    """Whether requests at zero, and a queue that grows, are decided on at once."""


class SimulatedPrometheus(Model):
    """Prometheus' count, on which ticks then decide."""

    scrape_interval: Annotated[Duration, lasting("100ms", "1h")] = 1.0
    lag: Dist = Constant(0.0)
    """Until a query finds what was scraped, drawn for each scrape."""


class ControllerSpec(Model):
    """What the controller sees, and when."""

    tick: Annotated[Duration, lasting("1ms", "1h")] = 2.0
    stream: Stream = Stream()
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
    name: str | None = None
    """What it is called in comparisons; otherwise by its own name, or by its file's where several have the same."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "file", "policy")
        return self


class ScenarioSpec(Model):
    """What happens."""

    seed: Annotated[int, Field(ge=0)] = 1
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    fleet: SimulatedFleetSpec
    controller: ControllerSpec = ControllerSpec()
    policies: tuple[PolicyChoice, ...] = ()
    """Each is simulated alone, all on the same luck."""
    run: Run = Run()
    objective: Objective | None = None
    expect: Expectation | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.run.duration is None and any(workload.endless for workload in self.workloads):
            raise ValueError("run.duration: is required where a workload has no end; or give its number of requests")
        if self.run.duration is not None and self.run.warm_up >= self.run.duration:
            raise ValueError(f"run.warmUp: must be shorter than the run, which is {self.run.duration:g} s")
        return self


class Scenario(Model):
    """One scenario."""

    api_version: Literal["inflight.dev/v1alpha1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    spec: ScenarioSpec


ModelT = TypeVar("ModelT", bound=Model)
FileModelT = TypeVar("FileModelT", Trace, RateCurve, PolicyChoice)


def read_scenario(path: Path) -> Scenario:
    """Read a file with one Scenario; the files that it names are found from its folder.

    Raises:
        DocumentError: what is wrong with it or a file that it names, with file, line, key, value and what is legal.
    """
    documents = read_file(path)
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, has {len(documents)}"])
    return scenario_of(documents[0])


def scenario_of(document: Document) -> Scenario:
    """Read a document as a Scenario; as `read_scenario`."""
    scenario = _found_from(Path(document.source).parent, validated(document, Scenario))
    problems = [problem for each in enumerate(scenario.spec.workloads) for problem in _problems(document, *each)]
    if problems:
        raise DocumentError(problems)
    return scenario


def _found_from(folder: Path, scenario: Scenario) -> Scenario:
    """Put a folder before all files that a scenario names."""
    spec = scenario.spec
    workloads = tuple(
        _changed(
            workload,
            trace=workload.trace and _placed(folder, workload.trace),
            rate_curve=workload.rate_curve and _placed(folder, workload.rate_curve),
        )
        for workload in spec.workloads
    )
    policies = tuple(_placed(folder, choice) for choice in spec.policies)
    return _changed(scenario, spec=_changed(spec, workloads=workloads, policies=policies))


def _placed(folder: Path, naming: FileModelT) -> FileModelT:
    return _changed(naming, file=str(folder / naming.file)) if naming.file is not None else naming


def _changed(model: ModelT, **values: Any) -> ModelT:
    return model.model_copy(update=values)


def _problems(document: Document, number: int, workload: Workload) -> list[str]:
    """Say what is wrong with the files of a workload."""
    found: list[str] = []
    for key, read in (("trace", workload.trace), ("rateCurve", workload.rate_curve)):
        try:
            if isinstance(read, Trace):
                _check_service_times(read, workload, read.columns()[1])
            elif isinstance(read, RateCurve):
                read.curve()
        except ValueError as error:
            path: KeyPath = ("spec", "workloads", number, key, "file")
            where = f"{document.source}:{document.line(path)}: {dotted(path)}"
            found.append(f"{where}: {document.value_at(path)}: {error}")
    return found


def _check_service_times(trace: Trace, workload: Workload, service_s: Floats | None) -> None:
    """A column by another name must not end as a second for each request."""
    if trace.file and service_s is None and "service_time" not in workload.model_fields_set:
        raise ValueError("has no column service_s; without it the workload must have a serviceTime")


def seeded(scenario: Scenario, seed: int | None) -> Scenario:
    """Give the scenario with another seed; None leaves it."""
    return scenario if seed is None else _changed(scenario, spec=_changed(scenario.spec, seed=seed))
