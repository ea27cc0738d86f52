"""Simulates the active policy and each candidate on a recorded load, and compares what they used and the waits."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from autoscaler.documents.fields import format_duration
from autoscaler.policy.cost import prices
from autoscaler.policy.spec import API_VERSION, ScalingPolicy
from simulations.model.history import History
from simulations.model.run_inputs import Floats
from simulations.recorded.blocks import Blocks, Interval, blocks_of, class_ends_s, drawn, figures_of, interval, sums_of
from simulations.recorded.load import CompareError, Load
from simulations.run import MAX_REQUESTS_TO_KEEP, run
from simulations.scenario.document import Scenario

ACTIVE = "active policy"
"""The name of the active policy in reports; no candidate can have it, because of the space."""


class Outcome(NamedTuple):
    """One policy on the load."""

    name: str
    figures: Mapping[str, Interval]
    difference: Mapping[str, Interval]
    """From the active policy; empty for that one."""


class Comparison(NamedTuple):
    """All policies on one load."""

    outcomes: tuple[Outcome, ...]
    """The active policy first."""
    blocks: Blocks | None
    """How the time was cut for intervals; None if it was too short."""
    currency: str | None
    """Of the costs; None if the policy has no `cost`."""
    histories: Mapping[str, History]
    """The run of each policy by its name."""


def compared(
    load: Load, policy: ScalingPolicy, cold_start: Any, on_run: Callable[[int, int], None] = lambda _done, _all: None
) -> Comparison:
    """Replay a load with a policy and with each of its candidates.

    Args:
        load: what was recorded.
        policy: the active policy.
        cold_start: a distribution as in a scenario, or measured times in seconds.
        on_run: called with the number of runs that are done, and of all runs.

    Raises:
        DocumentError: the simulator cannot follow a policy.
        CompareError: there are too many requests, or the policy has no candidates.
    """
    if not policy.spec.candidates:
        raise CompareError(f"{policy.service}: spec.candidates: is empty; there is nothing to compare with")
    if len(load.trace) > MAX_REQUESTS_TO_KEEP:
        raise CompareError(f"{len(load.trace)} requests are above {MAX_REQUESTS_TO_KEEP}; compare a shorter --since")
    policies, histories = {ACTIVE: policy.alone(), **policy.candidates}, dict[str, History]()
    scenario = scenario_of(load, policy, cold_start)
    for number, (name, each) in enumerate(policies.items()):
        on_run(number, len(policies))
        histories[name] = run(scenario, each, total_runs=len(policies))
    on_run(len(policies), len(policies))
    return _compared(histories, load.span_s, policy)


def scenario_of(load: Load, policy: ScalingPolicy, cold_start: Any) -> Scenario:
    """Build the scenario of a load. Nothing limits the stock of its pools: what there was is not recorded."""
    cost, start = prices(policy.spec.cost, policy.spec.pools), {"load": cold_start}
    trace: dict[str, Any] = {"arrivals": tuple(load.trace.arrival_s.tolist())}
    if load.trace.service_s is not None:
        trace["service"] = tuple(load.trace.service_s.tolist())
    named = {pool.name: pool.speed for pool in policy.spec.pools or ()} or {"gpu": 1.0}
    pools = [
        {"name": name, "speed": speed, "coldStart": start, "pricePerHour": cost.of(name) if cost else 0.0}
        for name, speed in named.items()
    ]
    return Scenario.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "Scenario",
            "metadata": {"name": policy.metadata.name},
            "spec": {
                "start": load.start,
                "workloads": [{"trace": trace, "serviceTime": load.service_time}],
                "fleet": {"pools": pools},
                "run": {"duration": format_duration(round(max(load.span_s, 1.0), 3))},
            },
        }
    )


def _compared(histories: Mapping[str, History], span_s: float, policy: ScalingPolicy) -> Comparison:
    cost, blocks = prices(policy.spec.cost, policy.spec.pools), blocks_of(span_s)
    pools = [pool.name for pool in policy.spec.pools or ()] or ["gpu"]
    of_pools = np.array([cost.of(name) if cost else 0.0 for name in pools])
    cut, ends_s = blocks or Blocks(max(span_s, 1.0), 1), class_ends_s(histories)
    once = np.ones((1, cut.number), dtype=np.int64)
    weights = drawn(cut) if blocks else once
    sums = {name: sums_of(history, cut, ends_s, of_pools) for name, history in histories.items()}
    whole = {name: _shown(figures_of(each, ends_s, once), has_cost=cost is not None) for name, each in sums.items()}
    draws = {name: figures_of(each, ends_s, weights) for name, each in sums.items()}
    outcomes = tuple(
        Outcome(
            name,
            {key: interval(float(value[0]), draws[name][key] if blocks else None) for key, value in figures.items()},
            {}
            if name == ACTIVE
            else {
                key: interval(
                    float(value[0] - whole[ACTIVE][key][0]),
                    draws[name][key] - draws[ACTIVE][key] if blocks else None,
                )
                for key, value in figures.items()
            },
        )
        for name, figures in whole.items()
    )
    return Comparison(outcomes, blocks, cost.currency if cost else None, histories)


def _shown(figures: Mapping[str, Floats], *, has_cost: bool) -> dict[str, Floats]:
    """Leave out a cost that is not known: it is not 0."""
    return {key: value for key, value in figures.items() if key != "cost" or has_cost}
