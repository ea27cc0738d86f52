"""Simulates policies in a scenario, with replications, and gives one result for each policy.

The random streams depend only on the seed and the replication's number. So a result does not depend on the number of
workers, and all policies are compared on the same random streams.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.documents.document import DocumentError
from autoscaler.policy.spec import ScalingPolicy
from simulations.model.history import History
from simulations.processes import in_processes
from simulations.results import tables
from simulations.results.figures import Estimate, Figures, estimates, figures
from simulations.results.sum_of_services import sum_of
from simulations.run import ENGINES, run, run_services
from simulations.scenario.candidates import Candidate, Given, candidates_in, candidates_of, services_of
from simulations.scenario.document import Scenario, read_scenario
from simulations.scenario.to_run_inputs import pools_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa  # type: ignore[import-untyped]
    from matplotlib.figure import Figure


ALL_SERVICES = "all services"
"""The name of the sum of several services."""
_SHOWN = {"served": "served", "wait_p95_s": "P95 of the wait (s)", "gpu_s": "GPU-seconds"}
"""Figures in the repr of a result, with their labels."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The outcome of one policy in one scenario: figures of all replications, tables and plots of the first."""

    scenario: Scenario
    policy: ScalingPolicy | None
    """None for the sum of several services."""
    name: str
    """The policy's name in comparisons, or the service's among several; unique among them."""
    history: History
    """All of the first replication."""
    replications: tuple[Figures, ...]
    """The figures of each replication by name; see `simulations.results.figures`."""
    partial: bool = False
    """The simulation was interrupted: replications are missing, or the last one is incomplete."""

    def __repr__(self) -> str:
        """Say in one line what was simulated, with its main figures."""
        known = self.estimates
        shown = (f"{label} {known[name].mean:.4g}" for name, label in _SHOWN.items() if name in known)
        runs = f"{len(self.replications)} run{'s' * (len(self.replications) > 1)}{', partial' * self.partial}"
        return f"<Result {self.scenario.metadata.name} by {self.name}: {', '.join([runs, *shown])}>"

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The mean of every figure over the replications, with its 95 % confidence interval."""
        return estimates(self.replications)

    @property
    def classes(self) -> tuple[str, ...]:
        """The policy's priority classes by name, from the highest."""
        return self.history.classes

    def figures(self) -> "pd.DataFrame":
        """Give a table of the figures, with a row for each replication."""
        import pandas as pd  # noqa: PLC0415  # as in tables

        return pd.DataFrame(self.replications)

    def requests(self) -> "pd.DataFrame":
        """Give one row for each request, in order of arrival."""
        return tables.requests_table(self.history)

    def requests_arrow(self) -> "pa.Table":
        """Give `requests` as an Arrow table."""
        return tables.requests_arrow(self.history)

    def replicas(self) -> "pd.DataFrame":
        """Give one row for each replica of the run."""
        return tables.replicas_table(self.history)

    def decisions(self) -> "pd.DataFrame":
        """Give one row for each tick and wake-up: the observation, the decision and its reasons."""
        return tables.decisions_table(self.history)

    def timeline(self) -> "pd.DataFrame":
        """Give replicas asked for and ready, and requests running and queued, after every change."""
        return tables.timeline_table(self.history)

    def figure(self) -> "Figure":
        """Draw requests and replicas over time."""
        return tables.figure(self.history)


Progress = Callable[[float, int], None]
"""Called with the number of runs done, a fraction within a run, and the number of all runs."""


def simulate(
    scenario: Scenario | Path | str,
    policy: Given | None = None,
    *,
    replications: int = 1,
    workers: int = 1,
    engine: str = "",
    progress: Progress | None = None,
) -> Result:
    """Simulate one policy in a scenario.

    Args:
        scenario: the document, or the path of its file, or `demo` for the scenario of `autoscaler demo`.
        policy: the policy to simulate, or the path of its file; without it the scenario must have exactly one.
        replications: independent repetitions, for confidence intervals; 1 or more.
        workers: processes to use; 1 or more.
        engine: "reference" forbids the compiled engines.
        progress: called after every run; with one worker also within a run.

    Returns:
        The result. After Ctrl-C it has what was simulated so far, and `partial` is true.

    Raises:
        DocumentError: a document is invalid.
        ValueError, TypeError: an argument is invalid.
        BrokenInvariantError: the simulator has a defect.
        RuntimeError: a worker process ended early; the message says what a script needs.
        KeyboardInterrupt: Ctrl-C came before anything was simulated.
    """
    scenario = scenario if isinstance(scenario, Scenario) else read_scenario(scenario)
    if scenario.spec.services:
        raise DocumentError([f"{scenario.metadata.name}: spec.services: has several services; use compare"])
    candidates = candidates_of(scenario) if policy is None else candidates_in([policy])
    if len(candidates) > 1:
        where = f"{scenario.metadata.name}: spec.policies" if policy is None else policy
        raise DocumentError([f"{where}: has {len(candidates)} policies; use compare"])
    results = compare(
        scenario, candidates, replications=replications, workers=workers, engine=engine, progress=progress
    )
    if not results:
        raise KeyboardInterrupt
    return results[0]


def compare(
    scenario: Scenario | Path | str,
    candidates: Sequence[Given] = (),
    *,
    replications: int = 1,
    workers: int = 1,
    engine: str = "",
    progress: Progress | None = None,
) -> list[Result]:
    """Simulate a scenario once for each policy and replication, all policies on the same random streams.

    A scenario with several services is simulated once for each replication, with all of them at once. It gives a
    result for each service, and as the last one the sum.

    Args:
        scenario: as for `simulate`.
        candidates: policies, with names or without, or paths of their files; without them the scenario's own. A
            scenario with several services has its own.
        replications: as for `simulate`.
        workers: as for `simulate`.
        engine: as for `simulate`.
        progress: as for `simulate`.

    Returns:
        One result for each policy, in order. After Ctrl-C only policies with a run have a result, and the last
        one is partial.

    Raises:
        DocumentError: a document is invalid.
        ValueError, TypeError: an argument is invalid.
        BrokenInvariantError: the simulator has a defect.
        RuntimeError: as `simulate`.
    """
    _check(replications, workers, engine)
    scenario = scenario if isinstance(scenario, Scenario) else read_scenario(scenario)
    candidates = candidates_in(candidates) or candidates_of(scenario)
    if scenario.spec.services:
        return _compare_services(scenario, candidates, replications, workers, progress)
    if not candidates:
        raise DocumentError([f"{scenario.metadata.name}: spec.policies: is empty"])
    tasks = list(product((candidate.policy for candidate in candidates), range(replications)))
    done: dict[int, list[RunOutcome]] = {}
    with closing(_outcomes(scenario, tasks, workers, engine, progress)) as outcomes:
        try:
            for number, outcome in enumerate(outcomes):
                runs = done.setdefault(number // replications, [])
                if outcome.partial and runs:
                    break
                runs.append(outcome)
                if outcome.partial:
                    break
                if progress:
                    progress(number + 1, len(tasks))
        except KeyboardInterrupt:
            pass
    return [_result(scenario, *candidates[which], runs, replications) for which, runs in done.items()]


def _compare_services(
    scenario: Scenario, candidates: Sequence[Candidate], replications: int, workers: int, progress: Progress | None
) -> list[Result]:
    if candidates:
        raise DocumentError([f"{scenario.metadata.name}: spec.services: each has its policy; no other can be given"])
    services, runs = services_of(scenario), list[list[RunOutcome]]()
    with closing(_service_outcomes(scenario, replications, workers, progress)) as outcomes:
        try:
            for number, outcome in enumerate(outcomes):
                if outcome[-1].partial and runs:
                    break
                runs.append(outcome)
                if outcome[-1].partial:
                    break
                if progress:
                    progress(number + 1, replications)
        except KeyboardInterrupt:
            pass
    if not runs:
        return []
    named: list[tuple[str, ScalingPolicy | None]] = [*services, (ALL_SERVICES, None)]
    return [
        _result(scenario, name, policy, [outcomes[number] for outcomes in runs], replications)
        for number, (name, policy) in enumerate(named)
    ]


def _check(replications: int, workers: int, engine: str) -> None:
    for name, value in (("replications", replications), ("workers", workers)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {value!r}: must be a whole number of at least 1")
    if engine not in ENGINES:
        raise ValueError(f"engine: {engine!r}: must be {' or '.join(map(repr, ENGINES))}")


Task = tuple[ScalingPolicy, int]


class RunOutcome(NamedTuple):
    """What is kept of one run."""

    history: History | None
    """None except in the first replication: histories are large."""
    figures: Figures
    partial: bool


def _outcomes(
    scenario: Scenario, tasks: Sequence[Task], workers: int, engine: str, progress: Progress | None
) -> Generator[RunOutcome, None, None]:
    one = partial(_outcome, scenario, engine, len(tasks))
    if workers > 1:
        yield from in_processes(one, tasks, workers)
        return
    for number, task in enumerate(tasks):
        yield one(task, progress and partial(_within, progress, number, len(tasks)))


def _service_outcomes(
    scenario: Scenario, replications: int, workers: int, progress: Progress | None
) -> Generator[list[RunOutcome], None, None]:
    if workers > 1:
        yield from in_processes(partial(_outcomes_of_services, scenario), range(replications), workers)
        return
    for number in range(replications):
        yield _outcomes_of_services(scenario, number, progress and partial(_within, progress, number, replications))


def _within(progress: Progress, done: int, total: int, part: float) -> None:
    progress(done + part, total)


def _outcome(
    scenario: Scenario, engine: str, total_runs: int, task: Task, on_progress: Callable[[float], None] | None = None
) -> RunOutcome:
    policy, replication = task
    history = run(
        scenario,
        policy,
        replication=replication,
        total_runs=total_runs,
        engine=engine,
        on_progress=on_progress,
        keep_decisions=not replication,
    )
    return _kept(scenario, history, replication)


def _outcomes_of_services(
    scenario: Scenario, replication: int, on_progress: Callable[[float], None] | None = None
) -> list[RunOutcome]:
    """Run all services of a scenario; give the outcome of each, and the sum."""
    histories = list(run_services(scenario, replication=replication, on_progress=on_progress).values())
    return [_kept(scenario, history, replication) for history in (*histories, sum_of(histories))]


def _kept(scenario: Scenario, history: History, replication: int) -> RunOutcome:
    spec = scenario.spec
    found = figures(
        history,
        pools_of(scenario),
        warm_up_s=spec.run.warm_up,
        objective_s=spec.objective.latency if spec.objective else None,
    )
    return RunOutcome(None if replication else history, found, history.partial)


def _result(
    scenario: Scenario, name: str, policy: ScalingPolicy | None, runs: Sequence[RunOutcome], replications: int
) -> Result:
    histories = [outcome.history for outcome in runs if outcome.history is not None]
    return Result(
        scenario=scenario,
        policy=policy,
        name=name,
        history=histories[0],
        replications=tuple(outcome.figures for outcome in runs),
        partial=len(runs) < replications or any(outcome.partial for outcome in runs),
    )
