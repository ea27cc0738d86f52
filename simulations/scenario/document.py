"""The document `Scenario`: requests, the fleet, what the controller observes, and the policies to compare."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, model_validator

from algorithms.distributions import Constant
from autoscaler.documents.document import Document, DocumentError, KeyPath, dotted, read_file
from autoscaler.documents.fields import Duration, Model, Percent, between, exactly_one, lasting
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.loading import unlisted, validated
from autoscaler.policy.spec import Metadata, ScalingPolicy
from simulations.model.run_inputs import Floats
from simulations.scenario.building import Buildable
from simulations.scenario.dates import A_MONDAY, Date
from simulations.scenario.workloads import Dist, RateCurve, Trace, Workload


class ColdStart(Model):
    """The stages from a replica's placement on a GPU until it is ready, one after the other."""

    schedule: Dist = Constant(0.0)
    """Scheduling the pod."""
    pull: Dist = Constant(0.0)
    """Pulling the image."""
    load: Dist = Constant(0.0)
    """Loading the model."""
    readiness: Dist = Constant(0.0)
    """Until the readiness probe succeeds."""


class StockChange(Model):
    """The stock of a pool from some time on."""

    at: Annotated[Duration, lasting("0s", "87600h")]
    """When, since the beginning of the run."""
    stock: Annotated[int, Field(ge=0)] | None = None
    """How many replicas have room from then on; without it, there is no limit."""


class GpuPool(Model):
    """GPUs of one kind."""

    name: str
    cold_start: ColdStart = ColdStart()
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Service times are divided by this."""
    price_per_hour: Annotated[float, Field(ge=0)] = 0.0
    stock: Annotated[int, Field(ge=0)] | None = None
    """How many replicas have room at a time; without it, there is no limit."""
    stock_changes: tuple[StockChange, ...] = ()
    """When the stock changes, in order of time. Replicas that run stay, also if they are more than the new stock."""
    service_time: Dist | None = None
    """Used instead of the service times of workloads and traces; then `speed` must be 1."""
    lifetime: Dist | None = None
    """How long a ready replica lives until it dies with its requests; without it, replicas do not die."""
    start_failure: Annotated[Percent, between("0%", "99%")] = 0.0
    """Share of replicas that die at the end of their cold start; each is replaced."""

    @model_validator(mode="after")
    def _has_one_speed(self) -> Self:
        if self.service_time is not None and self.speed != 1:
            raise ValueError("speed: must be 1 in a pool with a serviceTime")
        return self

    @model_validator(mode="after")
    def _changes_in_order(self) -> Self:
        times = [change.at for change in self.stock_changes]
        if times != sorted(set(times)):
            raise ValueError("stockChanges: must be in order of time, each at a time of its own")
        return self


class SimulatedFleetSpec(Model):
    """The GPUs on which replicas run."""

    initial_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Replicas that are ready at the beginning."""
    pools: Annotated[tuple[GpuPool, ...], Field(min_length=1)]
    """In order of preference: if one is out of stock, the next is used."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError(f"pools: must have unique names, has {', '.join(names)}")
        return self


class Stream(Model):
    """The stream of counts from the gateway."""

    enabled: bool = True
    """Whether the controller reads the stream; if not, it uses Prometheus alone."""
    coalesce: Annotated[Duration, lasting("0s", "10s")] = 0.02
    """The first change after a pause is sent immediately; changes within this time of an update share the next one."""
    wake_ups: bool = True
    """Whether a request at zero replicas, or a growing queue, triggers a decision immediately."""


class SimulatedPrometheus(Model):
    """Prometheus' count of requests in flight; with it, decisions at ticks use this count."""

    scrape_interval: Annotated[Duration, lasting("100ms", "1h")] = 1.0
    lag: Dist = Constant(0.0)
    """Time from a scrape until a query finds its value, drawn for each scrape."""


class ControllerSpec(Model):
    """What the controller observes, and when."""

    tick: Annotated[Duration, lasting("1ms", "1h")] = 2.0
    stream: Stream = Stream()
    prometheus: SimulatedPrometheus | None = None
    immediate: bool = False
    """Replaces the policy's algorithm and rules: at every arrival and departure the replicas are set, without delay, to
    what the requests in flight need, within the policy's bounds. For comparison with queueing theory."""


class Run(Model):
    """When a run ends, and when its figures begin."""

    duration: Annotated[Duration, lasting("1s", "87600h")] | None = None
    """Without it, the run ends when the last request has left and the fleet is back at its minimum."""
    warm_up: Annotated[Duration, lasting("0s", "8760h")] = 0.0
    """Requests that arrive earlier are not counted in the figures."""


class Objective(Model):
    """The service level objective."""

    latency: Annotated[Duration, lasting("1ms", "24h")]
    """A request is good if its latency is at most this."""


class Expectation(Model):
    """The expected outcome of the run; if it differs, the exit status is 1."""

    answers: int
    """Requests answered with status 200."""
    peak_replicas: int
    """The exact peak of replicas asked for, no later than one decision after this many requests are in flight."""


class PolicyChoice(Model):
    """A policy, inline or in a file."""

    file: str | None = None
    """A file with ScalingPolicies, relative to the scenario's folder."""
    policy: ScalingPolicy | None = None
    name: str | None = None
    """The name in comparisons. Without it, the policy's own name; if that is not unique, the file's."""
    _where: str = PrivateAttr("policies")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "file", "policy")
        return self

    @property
    def where(self) -> str:
        """The scenario's file, line, key and value that name `file`, for messages."""
        return self._where

    def read_from(self, where: str) -> Self:
        """Give a copy that knows where it is in a scenario's file."""
        copy = self.model_copy()
        copy._where = where  # noqa: SLF001  # of its own class
        return copy


class SimulatedService(PolicyChoice):
    """One of several services on the fleet: its policy, inline or in a file, and its requests."""

    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    initial_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Replicas that are ready at the beginning."""


class BudgetChoice(Model):
    """Budgets, inline or in a file."""

    file: str | None = None
    """A file with GpuBudgets, relative to the scenario's folder."""
    budget: GpuBudget | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        exactly_one(self, "file", "budget")
        return self


class ScenarioSpec(Model):
    """The requests, the fleet, the controller and the policies."""

    seed: Annotated[int, Field(ge=0)] = 1
    start: Date = A_MONDAY
    """The date at which a run begins, for policies with a schedule. Absent: Monday, 2026-01-05T00:00:00Z."""
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)] = ()
    """The requests of one service; exactly one of this and `services`."""
    services: Annotated[tuple[SimulatedService, ...], Field(min_length=1, max_length=100)] = ()
    """Several services on one fleet, each with its own policy and requests."""
    budgets: Annotated[tuple[BudgetChoice, ...], Field(min_length=1)] = ()
    """What the services may use together."""
    fleet: SimulatedFleetSpec
    controller: ControllerSpec = ControllerSpec()
    policies: tuple[PolicyChoice, ...] = ()
    """The policies to compare; each has a fleet of its own, and all use the same random streams."""
    run: Run = Run()
    objective: Objective | None = None
    expect: Expectation | None = None

    @model_validator(mode="after")
    def _is_of_one_service_or_of_several(self) -> Self:
        if bool(self.workloads) == bool(self.services):
            raise ValueError("must have exactly one of workloads, services")
        if self.budgets and not self.services:
            raise ValueError("budgets: needs services, which share them")
        of_one = {
            "policies": (self.policies, "each of services has its policy"),
            "expect": (self.expect, "it is for one service"),
            "fleet.initialReplicas": (self.fleet.initial_replicas, "set it in each of services"),
            "controller.immediate": (self.controller.immediate, "it is for one service"),
        }
        for key, (given, why) in of_one.items():
            if self.services and given:
                raise ValueError(f"{key}: is not allowed beside services; {why}")
        return self

    @property
    def all_workloads(self) -> tuple[Workload, ...]:
        """The workloads of all services."""
        return (*self.workloads, *(workload for service in self.services for workload in service.workloads))

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.run.duration is None and any(workload.endless for workload in self.all_workloads):
            raise ValueError(
                "run.duration: is required if a workload has no end; or set the workload's number of requests"
            )
        if self.run.duration is not None and self.run.warm_up >= self.run.duration:
            raise ValueError(f"run.warmUp: must be shorter than the run, which is {self.run.duration:g} s")
        return self


class Scenario(Buildable):
    """A document of the kind Scenario. `build`, `with_` and `with_policy` make one in Python."""

    api_version: Literal["inflight.dev/v1alpha1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    spec: ScenarioSpec

    def __repr__(self) -> str:
        """Say in one line what it has."""
        spec = self.spec
        parts = (
            _counted("service", spec.services) if spec.services else _counted("workload", spec.workloads),
            _counted("pool", spec.fleet.pools),
            _counted("policies" if len(spec.policies) != 1 else "policy", spec.policies, plural=""),
        )
        return f"<Scenario {self.metadata.name}: {', '.join(parts)}, seed {spec.seed}>"

    __str__ = __repr__


def _counted(word: str, items: Sequence[object], plural: str = "s") -> str:
    return f"{len(items)} {word}{plural if len(items) != 1 else ''}"


ModelT = TypeVar("ModelT", bound=Model)
FileModelT = TypeVar("FileModelT", Trace, RateCurve, PolicyChoice, SimulatedService, BudgetChoice)


DEMO = "demo"
"""Names the scenario that comes with the program: the load and the policy of `autoscaler demo`."""
_DEMO_FILE = Path(__file__).parents[1] / "demo.yaml"


def read_scenario(path: Path | str) -> Scenario:
    """Read a file with one Scenario, also inside of a List; paths in it are relative to its folder.

    Raises:
        DocumentError: the scenario or a file that it names is invalid; each problem has file, line, key, value and
            the allowed values.
    """
    documents = list(unlisted(read_file(_DEMO_FILE if path == DEMO else Path(path))))
    if len(documents) != 1:
        raise DocumentError([f"{path}: must have one document, has {len(documents)}"])
    return scenario_of(documents[0])


def scenario_of(document: Document) -> Scenario:
    """Read a document as a Scenario; raises as `read_scenario`."""
    scenario = _found_from(document, validated(document, Scenario))
    problems = [problem for each in _workloads(scenario) for problem in _problems(document, *each)]
    if problems:
        raise DocumentError(problems)
    return scenario


def _workloads(scenario: Scenario) -> Iterator[tuple[KeyPath, Workload]]:
    """Give each workload with its place in the document."""
    for number, workload in enumerate(scenario.spec.workloads):
        yield ("spec", "workloads", number), workload
    for which, service in enumerate(scenario.spec.services):
        for number, workload in enumerate(service.workloads):
            yield ("spec", "services", which, "workloads", number), workload


def _found_from(document: Document, scenario: Scenario) -> Scenario:
    """Resolve the paths in a scenario from its folder."""
    folder, spec = Path(document.source).parent, scenario.spec
    policies = tuple(
        _placed(folder, choice).read_from(_where(document, "spec", "policies", number, "file"))
        for number, choice in enumerate(spec.policies)
    )
    services = tuple(
        _changed(
            _placed(folder, service).read_from(_where(document, "spec", "services", number, "file")),
            workloads=_with_files(folder, service.workloads),
        )
        for number, service in enumerate(spec.services)
    )
    budgets = tuple(_placed(folder, budget) for budget in spec.budgets)
    workloads = _with_files(folder, spec.workloads)
    placed = {"workloads": workloads, "services": services, "budgets": budgets, "policies": policies}
    return _changed(scenario, spec=_changed(spec, **{key: found for key, found in placed.items() if found}))


def _with_files(folder: Path, workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    return tuple(
        _changed(
            workload,
            trace=workload.trace and _placed(folder, workload.trace),
            rate_curve=workload.rate_curve and _placed(folder, workload.rate_curve),
        )
        for workload in workloads
    )


def _placed(folder: Path, naming: FileModelT) -> FileModelT:
    return _changed(naming, file=str(folder / naming.file)) if naming.file is not None else naming


def _changed(model: ModelT, **values: Any) -> ModelT:
    return model.model_copy(update=values)


def _problems(document: Document, path: KeyPath, workload: Workload) -> list[str]:
    """List the problems in the files of a workload."""
    found: list[str] = []
    for key, read in (("trace", workload.trace), ("rateCurve", workload.rate_curve)):
        try:
            if isinstance(read, Trace):
                _check_service_times(read, workload, read.columns()[1])
            elif isinstance(read, RateCurve):
                read.curve()
        except ValueError as error:
            found.append(f"{_where(document, *path, key, 'file')}: {error}")
    return found


def _where(document: Document, *path: str | int) -> str:
    """Give file, line, key and value."""
    return f"{document.source}:{document.line(path)}: {dotted(path)}: {document.value_at(path)}"


def _check_service_times(trace: Trace, workload: Workload, service_s: Floats | None) -> None:
    """Require a service time, so that a misspelled column does not become the default of 1 s."""
    if trace.file and service_s is None and "service_time" not in workload.model_fields_set:
        raise ValueError("has no column service_s; without it the workload must have a serviceTime")


def seeded(scenario: Scenario, seed: int | None) -> Scenario:
    """Give the scenario with another seed; None keeps its own."""
    return scenario if seed is None else _changed(scenario, spec=_changed(scenario.spec, seed=seed))


def scenario_of_service(scenario: Scenario, service: SimulatedService) -> Scenario:
    """Give the scenario of one of several services, as if it were alone."""
    spec = scenario.spec
    fleet = _changed(spec.fleet, initial_replicas=service.initial_replicas)
    alone = _changed(spec, workloads=service.workloads, services=(), budgets=(), fleet=fleet)
    return _changed(scenario, spec=alone)
