"""A scenario, its policies and its replications: simulated, and put together to results.

Replications are told apart by their number alone, so a result does not depend on how many workers there are, and every
policy meets the same luck.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from autoscaler.policy import ScalingPolicy
from simulations.figures import Estimate, Figures, estimates, figures
from simulations.history import History
from simulations.run import run, setup_of
from simulations.scenario import Scenario, policies_of, read_scenario


@dataclass(frozen=True, slots=True)
class Result:
    """What one policy came to in one scenario."""

    scenario: Scenario
    policy: ScalingPolicy
    history: History
    """The first replication, in full."""
    replications: tuple[Figures, ...]
    """The figures of each; see `simulations.figures`."""
    partial: bool = False
    """It was interrupted: there are fewer replications than were asked for, or the last one is cut off."""

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every figure, as mean over the replications with its confidence interval."""
        return estimates(self.replications)


Progress = Callable[[int, int], None]
"""Is told how many runs are done, and of how many."""


def simulate(
    scenario: Scenario | Path,
    policies: Sequence[ScalingPolicy] = (),
    *,
    replications: int = 1,
    workers: int = 1,
    engine: str = "",
    progress: Progress | None = None,
) -> list[Result]:
    """Simulate a scenario, once for each policy and replication.

    Args:
        scenario: the document, or its file.
        policies: in place of the scenario's own.
        replications: independent repetitions, for confidence intervals.
        workers: processes to use.
        engine: "reference" forbids the compiled engine.
        progress: is told after every run.

    Returns:
        One result for each policy, in order. After Ctrl-C those that have at least one run, marked as partial.

    Raises:
        DocumentError: a document is not right.
        BrokenInvariantError: the simulator is wrong.
    """
    if isinstance(scenario, Path):
        path = scenario
        scenario = read_scenario(path)
        policies = policies or policies_of(scenario, path.parent)
    tasks = list(product(policies, range(replications)))
    done: dict[int, list[tuple[History | None, Figures]]] = {}
    try:
        for number, outcome in enumerate(_outcomes(scenario, tasks, workers, engine)):
            done.setdefault(number // replications, []).append(outcome)
            if progress:
                progress(number + 1, len(tasks))
    except KeyboardInterrupt:
        pass
    return [_result(scenario, policies[which], runs, replications) for which, runs in done.items()]


Task = tuple[ScalingPolicy, int]
Outcome = tuple[History | None, Figures]


def _outcomes(scenario: Scenario, tasks: Sequence[Task], workers: int, engine: str) -> Iterator[Outcome]:
    one = partial(_outcome, scenario, engine)
    if workers == 1:
        yield from map(one, tasks)
        return
    # A fork of a process with threads may hang, and numba starts some.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(one, tasks)


def _outcome(scenario: Scenario, engine: str, task: Task) -> Outcome:
    """Run one replication; its history is kept of the first only, as it may be large."""
    policy, replication = task
    spec = scenario.spec
    history = run(scenario, policy, replication=replication, engine=engine)
    found = figures(
        history,
        setup_of(scenario, policy).pools,
        warm_up_s=spec.run.warm_up,
        objective_s=spec.objective.latency if spec.objective else None,
    )
    return (None if replication else history), found


def _result(scenario: Scenario, policy: ScalingPolicy, runs: Sequence[Outcome], replications: int) -> Result:
    histories = [history for history, _ in runs if history is not None]
    cut_off = any(history.partial for history in histories)
    partial = len(runs) < replications or cut_off
    return Result(scenario, policy, histories[0], tuple(found for _, found in runs), partial)
