"""A scenario, its policies and its replications: simulated, and put together to results.

Replications are told apart by their number alone, so a result does not depend on how many workers there are, and every
policy meets the same luck.
"""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.documents.document import DocumentError
from autoscaler.policy.spec import ScalingPolicy
from simulations.model.history import History
from simulations.results import tables
from simulations.results.figures import Estimate, Figures, estimates, figures
from simulations.run import run
from simulations.scenario.candidates import Candidate, candidates_of
from simulations.scenario.document import Scenario, read_scenario
from simulations.scenario.to_run_inputs import run_inputs_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa  # type: ignore[import-untyped]
    from matplotlib.figure import Figure


_SHOWN = {"served": "served", "wait_p95_s": "P95 of the wait (s)", "gpu_s": "GPU-seconds"}
"""Figures in the representation of a result, and what they are called there."""


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What one policy came to in one scenario: numbers over all replications, tables and figures of the first."""

    scenario: Scenario
    policy: ScalingPolicy
    name: str
    """What the policy is called beside others."""
    history: History
    """The first replication, in full."""
    replications: tuple[Figures, ...]
    """The figures of each; see `simulations.results.figures`."""
    partial: bool = False
    """It was interrupted: there are fewer replications than were asked for, or the last one is cut off."""

    def __repr__(self) -> str:
        """Say in one line what was simulated, and the figures that people look at first."""
        known = self.estimates
        shown = (f"{label} {known[name].mean:.4g}" for name, label in _SHOWN.items() if name in known)
        runs = f"{len(self.replications)} run{'s' * (len(self.replications) > 1)}{', partial' * self.partial}"
        return f"<Result {self.scenario.metadata.name} by {self.name}: {', '.join([runs, *shown])}>"

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every figure, as mean over the replications with its confidence interval."""
        return estimates(self.replications)

    def figures(self) -> "pd.DataFrame":
        """Give one row for each replication."""
        import pandas as pd  # noqa: PLC0415  # as in tables

        return pd.DataFrame(self.replications)

    def requests(self) -> "pd.DataFrame":
        """Give one row for each request, in order of arrival."""
        return tables.requests_table(self.history)

    def requests_arrow(self) -> "pa.Table":
        """Give the same as an Arrow table."""
        return tables.requests_arrow(self.history)

    def replicas(self) -> "pd.DataFrame":
        """Give one row for each replica that ever was."""
        return tables.replicas_table(self.history)

    def decisions(self) -> "pd.DataFrame":
        """Give one row for each tick and wake-up: what was seen, what was decided, and why."""
        return tables.decisions_table(self.history)

    def timeline(self) -> "pd.DataFrame":
        """Give replicas asked for and ready, requests running and queued, after every change."""
        return tables.timeline_table(self.history)

    def figure(self) -> "Figure":
        """Draw requests and replicas over time."""
        return tables.figure(self.history)


Progress = Callable[[float, int], None]
"""Is told how many runs are done, a part of the present one included where that is known, and of how many."""


def simulate(
    scenario: Scenario | Path | str,
    policy: ScalingPolicy | None = None,
    *,
    replications: int = 1,
    workers: int = 1,
    engine: str = "",
    progress: Progress | None = None,
) -> Result:
    """Simulate one policy in a scenario.

    Args:
        scenario: the document, or the path of its file.
        policy: in place of the scenario's own, of which there must be one otherwise.
        replications: independent repetitions, for confidence intervals.
        workers: processes to use.
        engine: "reference" forbids the compiled engines.
        progress: is told after every run, and within one where they are made in this process.

    Returns:
        The result; after Ctrl-C what there is of it, marked as partial.

    Raises:
        DocumentError: a document is not right.
        BrokenInvariantError: the simulator is wrong.
        KeyboardInterrupt: there is nothing of it yet.
    """
    scenario = scenario if isinstance(scenario, Scenario) else read_scenario(Path(scenario))
    candidates = [Candidate(policy.metadata.name, policy)] if policy else candidates_of(scenario)
    if len(candidates) > 1:
        raise DocumentError([f"{scenario.metadata.name}: spec.policies: has {len(candidates)}; use compare"])
    results = compare(
        scenario, candidates, replications=replications, workers=workers, engine=engine, progress=progress
    )
    if not results:
        raise KeyboardInterrupt
    return results[0]


def compare(
    scenario: Scenario | Path | str,
    candidates: Sequence[Candidate] = (),
    *,
    replications: int = 1,
    workers: int = 1,
    engine: str = "",
    progress: Progress | None = None,
) -> list[Result]:
    """Simulate a scenario once for each policy and replication; every policy meets the same luck.

    Args:
        scenario: as for `simulate`.
        candidates: policies and what they are called, in place of the scenario's own.
        replications: as for `simulate`.
        workers: as for `simulate`.
        engine: as for `simulate`.
        progress: as for `simulate`.

    Returns:
        One result for each policy, in order. After Ctrl-C those that have at least one run, marked as partial.

    Raises:
        DocumentError: a document is not right.
        BrokenInvariantError: the simulator is wrong.
    """
    scenario = scenario if isinstance(scenario, Scenario) else read_scenario(Path(scenario))
    candidates = candidates or candidates_of(scenario)
    if not candidates:
        raise DocumentError([f"{scenario.metadata.name}: spec.policies: has none"])
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
    return [_result(scenario, candidates[which], runs, replications) for which, runs in done.items()]


Task = tuple[ScalingPolicy, int]


class RunOutcome(NamedTuple):
    """What is kept of one run."""

    history: History | None
    """Of the first replication only, as it may be large."""
    figures: Figures
    partial: bool


def _outcomes(
    scenario: Scenario, tasks: Sequence[Task], workers: int, engine: str, progress: Progress | None
) -> Generator[RunOutcome, None, None]:
    one = partial(_outcome, scenario, engine, len(tasks))
    if workers > 1:
        yield from _in_processes(one, tasks, workers)
        return
    for number, task in enumerate(tasks):
        yield one(task, progress and partial(_within, progress, number, len(tasks)))


def _within(progress: Progress, done: int, total: int, part: float) -> None:
    progress(done + part, total)


def _in_processes(one: Callable[[Task], RunOutcome], tasks: Sequence[Task], workers: int) -> Iterator[RunOutcome]:
    """Run in processes of their own, which Ctrl-C ends at once."""
    # A fork of a process with threads may hang, and numba starts some.
    context, others = multiprocessing.get_context("forkserver"), set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(one, tasks)
        except (KeyboardInterrupt, GeneratorExit):
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outcome(
    scenario: Scenario, engine: str, total_runs: int, task: Task, on_progress: Callable[[float], None] | None = None
) -> RunOutcome:
    policy, replication = task
    spec = scenario.spec
    history = run(
        scenario, policy, replication=replication, total_runs=total_runs, engine=engine, on_progress=on_progress
    )
    found = figures(
        history,
        run_inputs_of(scenario, policy).pools,
        warm_up_s=spec.run.warm_up,
        objective_s=spec.objective.latency if spec.objective else None,
    )
    return RunOutcome(None if replication else history, found, history.partial)


def _result(scenario: Scenario, candidate: Candidate, runs: Sequence[RunOutcome], replications: int) -> Result:
    histories = [outcome.history for outcome in runs if outcome.history is not None]
    return Result(
        scenario=scenario,
        policy=candidate.policy,
        name=candidate.name,
        history=histories[0],
        replications=tuple(outcome.figures for outcome in runs),
        partial=len(runs) < replications or any(outcome.partial for outcome in runs),
    )
