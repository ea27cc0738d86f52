"""Runs one policy in a scenario once, with the fastest engine that is exact, and gives the history."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from autoscaler.controller.budgets import Budgets
from autoscaler.controller.recorders import OnChange
from autoscaler.controller.services import service_of
from autoscaler.controller.step import Service
from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRules
from autoscaler.gateway.quotes.quotes import FRESH_S
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record, Recorder, ServiceName
from simulations.engines.quoted import QuotedEngine
from simulations.engines.reference import ReferenceEngine
from simulations.engines.shared_fleet import SharedFleet
from simulations.engines.zero_delay import zero_delay_service
from simulations.model import invariants
from simulations.model.history import History
from simulations.model.random_streams import RandomStreams
from simulations.model.run_inputs import Chunk, Floats, NotExactError, RunInputs, Source
from simulations.scenario.announcements import announcements
from simulations.scenario.candidates import budgets_of, services_of
from simulations.scenario.document import Scenario, scenario_of_service
from simulations.scenario.request_sources import source_of
from simulations.scenario.to_run_inputs import run_inputs_of, start_s_of

ENGINES = ("", "reference")
"""What a caller may ask for: the fastest engine that is exact, or the reference engine."""

MIN_REQUESTS_TO_COMPILE = 20_000
"""The reference engine takes about as long for this many requests as the compiled code takes to load."""

MAX_REQUESTS_TO_KEEP = 5_000_000
"""Above this many requests the `fifo` engine keeps figures only: a request takes 150 bytes."""

OnProgress = Callable[[float], None]
"""Called at every decision with the share of the run that is done, from 0 to 1."""


def run(
    scenario: Scenario,
    policy: ScalingPolicy,
    *,
    replication: int = 0,
    total_runs: int = 1,
    engine: str = "",
    on_progress: OnProgress | None = None,
    keep_decisions: bool = True,
) -> History:
    """Simulate one policy once. The history depends only on the scenario, the policy and the replication's number.

    A compiled engine does the run if it is exact for it, and if all runs together have enough requests. The reference
    engine does all other runs. `History.engine` says which one it was.

    Args:
        scenario: the requests and the fleet.
        policy: the policy that scales the fleet.
        replication: the number of the replication; each has random streams of its own.
        total_runs: how many runs the caller makes with this scenario.
        engine: "reference" forbids the compiled engines.
        on_progress: called at every decision.
        keep_decisions: whether the history has the decisions; without them it has their number. A decision takes
            700 bytes, and a month has a million of them.

    Raises:
        DocumentError: the scenario or the policy is invalid.
        BrokenInvariantError: the simulator has a defect.
    """
    inputs = run_inputs_of(scenario, policy)
    task = _Task(scenario, policy, inputs, replication, total_runs, on_progress, keep_decisions=keep_decisions)
    history = _reference(task) if engine == "reference" else _fastest(task)
    if history.streaming_figures is None:
        invariants.check(history, concurrency=task.inputs.limits.concurrency, fifo=task.fifo)
    return history


def run_quoted(
    scenario: Scenario, policy: ScalingPolicy, *, replication: int = 0, after_s: float = FRESH_S
) -> QuotedEngine:
    """Simulate one policy once with a gateway that quotes waits, and give the run with what became of its promises.

    Args:
        scenario: the requests and the fleet.
        policy: the policy that scales the fleet.
        replication: the number of the replication.
        after_s: how long after its arrival a request gets its first quote.

    Raises:
        DocumentError: the scenario or the policy is invalid.
    """
    task = _Task(scenario, policy, run_inputs_of(scenario, policy), replication, 1, None)
    random_streams = task.random_streams()
    quoted = QuotedEngine(task.inputs, task.source(random_streams), task.service(), random_streams, after_s=after_s)
    quoted.run()
    return quoted


def run_services(
    scenario: Scenario, *, replication: int = 0, on_progress: OnProgress | None = None
) -> dict[ServiceName, History]:
    """Simulate several services on one fleet once, with the reference engine; give the history of each.

    Args:
        scenario: a scenario with `services`.
        replication: the number of the replication; each has random streams of its own.
        on_progress: called at every decision.

    Raises:
        DocumentError: the scenario, a policy or a budget is invalid.
        BrokenInvariantError: the simulator has a defect.
    """
    candidates, woken = services_of(scenario), dict[ServiceName, None]()
    budgets = Budgets([candidate.name for candidate in candidates], woken.setdefault)
    budgets.set(budgets_of(scenario))
    # One clock for all: the budgets compare their times.
    start_s = max(start_s_of(scenario, policy) for _, policy in candidates)
    in_use, records = [0] * len(scenario.spec.fleet.pools), defaultdict[ServiceName, list[Record]](list)
    tasks = dict[ServiceName, _Task]()
    for number, (service, (name, policy)) in enumerate(zip(scenario.spec.services, candidates, strict=True)):
        alone = scenario_of_service(scenario, service)
        inputs = replace(run_inputs_of(alone, policy), start_s=start_s)
        tasks[name] = _Task(alone, policy, inputs, replication, 1, on_progress, number)
    engines = {
        name: _reference_engine(task, records[name].append, in_use=in_use, budgets=budgets)
        for name, task in tasks.items()
    }
    histories = SharedFleet(engines, in_use, woken).run()
    for name, history in histories.items():
        invariants.check(history, concurrency=tasks[name].inputs.limits.concurrency, fifo=tasks[name].fifo)
    return {name: replace(history, decisions=tuple(records[name])) for name, history in histories.items()}


@dataclass(frozen=True, slots=True)
class _Task:
    """One run, for any engine."""

    scenario: Scenario
    policy: ScalingPolicy
    inputs: RunInputs
    replication: int
    total_runs: int
    on_progress: OnProgress | None
    service_number: int = 0
    """Which of several services it is."""
    keep_decisions: bool = True

    @property
    def fifo(self) -> bool:
        """Whether requests start in the order of their arrival; one with a cookie waits for its own replica."""
        if self.inputs.takes_turns:
            return False
        return not (self.inputs.cookie_s and any(workload.sessions for workload in self.scenario.spec.workloads))

    def random_streams(self) -> RandomStreams:
        return RandomStreams(self.scenario.spec.seed, self.replication, self.service_number)

    def source(self, random_streams: RandomStreams) -> Source:
        return source_of(self.scenario.spec.workloads, random_streams)

    def service(self) -> Service:
        spec = self.policy.spec
        if self.inputs.immediate:
            return zero_delay_service(spec.min_replicas, spec.max_replicas, spec.target)
        return service_of(self.policy.alone())

    def decisions(self) -> "_Decisions":
        return _Decisions(keep=self.keep_decisions)

    def recorder(self, keep: Recorder) -> Recorder:
        on_progress = self.on_progress
        if on_progress is None:
            return keep
        expected_s = self.scenario.spec.run.duration or max(each.expected_s() for each in self.scenario.spec.workloads)

        def take(record: Record) -> None:
            keep(record)
            on_progress(min(record.observation.now_s / expected_s, 1.0) if expected_s else 0.0)

        return take


def _fastest(task: _Task) -> History:
    needed, count = _needs_reference(task), _requests(task)
    if needed or count * task.total_runs < MIN_REQUESTS_TO_COMPILE:
        return _reference(task, needed)
    from simulations.engines import compiled, fifo  # noqa: PLC0415  # small runs do not load the compiler

    try:
        if count > MAX_REQUESTS_TO_KEEP:
            return _with_streaming_figures(task)
        random_streams, decisions = task.random_streams(), task.decisions()
        chunks = _within_timeout(task.source(random_streams).chunks(), task.inputs)
        history = fifo.run(task.inputs, chunks, task.service(), random_streams, task.recorder(decisions))
    except NotExactError:
        try:
            random_streams, decisions = task.random_streams(), task.decisions()
            batch = task.source(random_streams).batch(task.inputs.until_s)
            if batch is not None:
                _check_within_timeout(batch.service, task.inputs)
            history = compiled.run(task.inputs, batch, task.service(), random_streams, task.recorder(decisions))
        except NotExactError as error:
            return _reference(task, str(error))
    return decisions.added_to(history)


def _within_timeout(chunks: Iterator[Chunk] | None, inputs: RunInputs) -> Iterator[Chunk] | None:
    """Pass chunks on; raises NotExactError at a service time above the request timeout."""
    return None if chunks is None else (chunk for chunk in chunks if _check_within_timeout(chunk[1], inputs))


def _check_within_timeout(service: Floats, inputs: RunInputs) -> bool:
    if service.max(initial=0.0) > inputs.request_timeout_s * min(pool.speed for pool in inputs.pools):
        raise NotExactError("a request takes longer than its timeout")
    return True


def _with_streaming_figures(task: _Task) -> History:
    from simulations.engines import fifo  # noqa: PLC0415  # as above
    from simulations.engines.control_law import ControllerLaw  # noqa: PLC0415
    from simulations.results.streaming_figures import StreamingFigures  # noqa: PLC0415

    random_streams, changes, spec = task.random_streams(), _ChangedDecisions(), task.scenario.spec
    sink = StreamingFigures(
        speed=task.inputs.pools[0].speed,
        until_s=task.inputs.until_s,
        warm_up_s=spec.run.warm_up,
        objective_s=spec.objective.latency if spec.objective else None,
    )
    control_law = ControllerLaw(task.inputs, task.service(), task.recorder(changes))
    history = fifo.run_with_control_law(
        task.inputs,
        _within_timeout(task.source(random_streams).chunks(), task.inputs),
        control_law,
        random_streams,
        sink,
    )
    streaming_figures = sink.figures(history.inflight_s) | {"decisions": float(changes.decisions)}
    return replace(history, decisions=tuple(changes.changed), streaming_figures=streaming_figures)


class _Decisions:
    """Counts all decisions, and keeps them if they are asked for."""

    def __init__(self, *, keep: bool) -> None:
        self._count, self._kept, self._keep = 0, list[Record](), keep

    def __call__(self, record: Record) -> None:
        self._count += 1
        if self._keep:
            self._kept.append(record)

    def added_to(self, history: History) -> History:
        """Give a history with the decisions and their number."""
        return replace(history, decisions=tuple(self._kept), decision_count=self._count)


class _ChangedDecisions:
    """Counts all decisions, and keeps those that differ from the one before."""

    def __init__(self) -> None:
        self.decisions = 0
        self.changed: list[Record] = []
        self._pass_on = OnChange(self.changed.append)

    def __call__(self, record: Record) -> None:
        self.decisions += 1
        self._pass_on(record)


def _requests(task: _Task) -> float:
    """Count the requests of a run until the choice of an engine is clear; infinite if they depend on responses."""
    source, until_s = task.source(task.random_streams()), task.inputs.until_s
    chunks = source.chunks()
    if chunks is None:
        batch = source.batch(until_s)
        return inf if batch is None else len(batch.service)
    known = 0
    for arrival, _ in chunks:
        known += int(np.searchsorted(arrival, until_s, side="right"))
        if known > MAX_REQUESTS_TO_KEEP or (len(arrival) and arrival[-1] > until_s):
            break
    return known


def _needs_reference(task: _Task) -> str:
    """Say why the compiled engines would not be exact for this scenario and policy; empty if they are."""
    workloads, inputs = task.scenario.spec.workloads, task.inputs
    rules = PathRules(inputs.rules)
    found = [rules.find(workload.path) for workload in workloads if workload.path]
    reasons = {
        "some requests take no slot": any(rule.kind is SlotUse.PASS for rule in found),
        "some paths have a timeout of their own": any(rule.request_timeout_s is not None for rule in found),
        "clients have affinity cookies": bool(inputs.cookie_s and any(each.sessions for each in workloads)),
        "requests take turns": inputs.takes_turns,
        "the queue has limits for the time without a ready replica": inputs.limits.depend_on_pods,
        "pods stop work whose client has left": inputs.cancel_on_disconnect and any(each.timeout for each in workloads),
        "requests are announced": inputs.hints is not None and any(each.hints for each in workloads),
        "pods fail to start": any(pool.start_failure for pool in inputs.pools),
        "the policy has pools": bool(inputs.policy_pools),
        "the stock of a pool changes": any(pool.stock_changes for pool in inputs.pools),
        "a pool has service times of its own": any(pool.service is not None for pool in inputs.pools),
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


def _reference(task: _Task, needed: str = "") -> History:
    decisions = task.decisions()
    history = decisions.added_to(_reference_engine(task, decisions).run())
    return replace(history, engine=f"{history.engine} (not compiled: {needed})") if needed else history


def _reference_engine(
    task: _Task, keep: Recorder, *, in_use: list[int] | None = None, budgets: Budgets | None = None
) -> ReferenceEngine:
    random_streams = task.random_streams()
    return ReferenceEngine(
        task.inputs,
        task.source(random_streams),
        task.service(),
        random_streams,
        task.recorder(keep),
        in_use=in_use,
        budgets=budgets,
        announcements=announcements(task.scenario.spec.workloads, task.random_streams()),
    )
