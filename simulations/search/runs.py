"""One run of one variant, which can be done in any process: it gives figures and keeps nothing else."""

from typing import NamedTuple

from autoscaler.policy.spec import ScalingPolicy
from simulations.results.figures import Figures, figures
from simulations.run import run
from simulations.scenario.document import Scenario
from simulations.scenario.to_run_inputs import pools_of


class Task(NamedTuple):
    """What a worker needs for one run."""

    scenario: Scenario
    policy: ScalingPolicy
    replication: int
    total_runs: int


def figures_of(task: Task) -> Figures:
    """Simulate once and give the figures; decisions are counted and not kept."""
    scenario, spec = task.scenario, task.scenario.spec
    history = run(scenario, task.policy, replication=task.replication, total_runs=task.total_runs, keep_decisions=False)
    return figures(
        history,
        pools_of(scenario),
        warm_up_s=spec.run.warm_up,
        objective_s=spec.objective.latency if spec.objective else None,
    )
