"""The figures of a run: waits, replicas, GPU time and cost.

Requests that arrive during the warm-up are not counted; replicas are counted from the beginning. A request's wait is
split at the time at which its replica became ready: *cold start* before it, *load* after it. Percentiles are those of
served requests, with linear interpolation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf, pi, sqrt, tan
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulations.model.history import (
    HUNG_UP,
    QUEUE_TIMEOUT,
    REFUSED,
    REPLICA_DIED,
    REQUEST_TIMEOUT,
    SERVED,
    STILL_IN,
    History,
    Requests,
)
from simulations.model.run_inputs import Floats, Pool

PERCENTILES = (50, 90, 95, 99)
OUTCOMES = {
    "served": SERVED,
    "refused": REFUSED,
    "queue_timeouts": QUEUE_TIMEOUT,
    "request_timeouts": REQUEST_TIMEOUT,
    "hung_up": HUNG_UP,
    "replica_died": REPLICA_DIED,
    "still_in": STILL_IN,
}
HOUR_S = 3600.0

Figures = dict[str, float]


class Estimate(NamedTuple):
    """The mean of a figure over independent replications."""

    mean: float
    half_width: float
    """Half width of the 95 % confidence interval by Student's t; infinite for one replication."""


class Waits(NamedTuple):
    """The wait of each request by its cause, in seconds."""

    cold_start: Floats
    load: Floats


def figures(
    history: History, pools: Sequence[Pool], *, warm_up_s: float = 0.0, objective_s: float | None = None
) -> Figures:
    """Give all figures of one run by name; a name ends with its unit, such as `wait_p95_s`.

    Args:
        history: the run.
        pools: its GPU pools, for prices.
        warm_up_s: requests that arrive earlier are not counted.
        objective_s: the latency objective, for `slo_attainment`.
    """
    return (
        _request_figures(history, warm_up_s, objective_s)
        | _class_figures(history, warm_up_s)
        | _uncounted_figures(history, warm_up_s)
        | _replica_figures(history)
        | _cost_figures(history, pools)
        | {"decisions": float(_decisions(history)), "duration_s": history.end_s}
        | (history.streaming_figures or {})
    )


def _decisions(history: History) -> int:
    return len(history.decisions) if history.decision_count is None else history.decision_count


def waits(history: History, served: NDArray[np.integer[Any]]) -> Waits:
    """Split the waits of some requests, which are given by index."""
    requests = history.requests
    arrival, start = requests.arrival_s[served], requests.start_s[served]
    ready = history.replicas.ready_s[requests.replica[served]]
    cold = np.maximum(np.minimum(start, ready) - arrival, 0.0)
    return Waits(cold, start - arrival - cold)


def _request_figures(history: History, warm_up_s: float, objective_s: float | None) -> Figures:
    requests = history.requests
    counted = requests.arrival_s >= warm_up_s
    found = {"requests": float(np.count_nonzero(counted))} | _outcomes(requests, counted)
    served = np.flatnonzero(counted & (requests.status == SERVED))
    if len(served):
        split, latency = waits(history, served), requests.latency_s[served]
        found |= _distribution("wait", split.cold_start + split.load) | _distribution("latency", latency)
        found |= _distribution("wait_cold_start", split.cold_start) | _distribution("wait_load", split.load)
        found["cold_start_probability"] = float(np.mean(split.cold_start > 0))
    if objective_s is not None and found["requests"]:
        good = np.count_nonzero(requests.latency_s[served] <= objective_s)
        found["slo_attainment"] = float(good / found["requests"])
    return found


def _outcomes(requests: Requests, counted: NDArray[np.bool_]) -> Figures:
    """Count how requests ended; the two timeouts have one status, and differ in whether the request had a replica."""
    ends = Counter(zip(requests.status[counted].tolist(), (requests.replica[counted] >= 0).tolist(), strict=True))
    found = {name: float(ends[status, True] + ends[status, False]) for name, status in OUTCOMES.items()}
    return found | {
        "queue_timeouts": float(ends[QUEUE_TIMEOUT, False]),
        "request_timeouts": float(ends[REQUEST_TIMEOUT, True]),
    }


def _class_figures(history: History, warm_up_s: float) -> Figures:
    """Give the waits of the served requests of each priority class, and how many there are."""
    requests, found = history.requests, Figures()
    served = (requests.arrival_s >= warm_up_s) & (requests.status == SERVED)
    for level, name in enumerate(history.classes if history.levels is not None else ()):
        waits_s = (requests.start_s - requests.arrival_s)[served & (history.levels == level)]
        found[f"class_{name}_served"] = float(len(waits_s))
        found |= _distribution(f"class_{name}_wait", waits_s) if len(waits_s) else {}
    return found


def _uncounted_figures(history: History, warm_up_s: float) -> Figures:
    """Give the figures of requests that take no slot, if there are any."""
    passing = history.passing
    if passing is None or not len(passing):
        return {}
    counted = passing.arrival_s >= warm_up_s
    served = counted & (passing.status == SERVED)
    found = {"passing": float(np.count_nonzero(counted)), "passing_served": float(np.count_nonzero(served))}
    waits_s = (passing.start_s - passing.arrival_s)[served]
    return found | (_distribution("passing_wait", waits_s) if len(waits_s) else {})


def _distribution(name: str, values: Floats) -> Figures:
    quantiles = np.quantile(values, np.array(PERCENTILES) / 100)
    found = {f"{name}_p{p}_s": float(value) for p, value in zip(PERCENTILES, quantiles, strict=True)}
    return {f"{name}_mean_s": float(values.mean())} | found


def _replica_figures(history: History) -> Figures:
    end_s = history.end_s
    spent = states(history)
    asked_s = np.diff(np.array([change.t_s for change in history.changes] + [end_s]))
    asked = np.array([change.asked for change in history.changes], dtype=float)
    return {
        "replicas_mean": float((asked * asked_s).sum() / end_s) if end_s else float(asked[-1]),
        "replicas_peak": float(asked.max()),
        "ready_mean": float((spent["busy"] + spent["idle"]).sum() / end_s) if end_s else 0.0,
        "cold_starts": float(len(cold_starts(history))),
        "start_failures": float(_died(history, ready=False)),
        "replicas_died": float(_died(history, ready=True)),
        **{f"{state}_replica_s": float(seconds.sum()) for state, seconds in spent.items()},
    }


def cold_starts(history: History) -> Floats:
    """Give the cold start of each replica that became ready, in seconds, without the initial replicas."""
    replicas = history.replicas
    started = (replicas.ready_s > replicas.asked_s) | (replicas.asked_s > 0)
    took: Floats = (replicas.ready_s - replicas.asked_s)[started]
    return took[~np.isnan(took)]


def _died(history: History, *, ready: bool) -> int:
    """Count the replicas that died, after or before they became ready."""
    replicas = history.replicas
    lost = ~np.isnan(replicas.gone_s) & np.isnan(replicas.leaving_s)
    return int(np.count_nonzero(lost & (np.isnan(replicas.ready_s) != ready)))


def states(history: History) -> Mapping[str, Floats]:
    """Give how long each replica was starting, busy, idle and draining, in seconds."""
    replicas = history.replicas
    gone = np.where(np.isnan(replicas.gone_s), history.end_s, replicas.gone_s)
    placed = np.where(np.isnan(replicas.placed_s), gone, replicas.placed_s)
    ready = np.where(np.isnan(replicas.ready_s), gone, replicas.ready_s)
    return {
        "starting": ready - placed,
        "busy": replicas.busy_s - replicas.draining_s,
        "idle": np.maximum(gone - ready - replicas.busy_s, 0.0),
        "draining": replicas.draining_s,
    }


def _cost_figures(history: History, pools: Sequence[Pool]) -> Figures:
    spent, of_pool = sum(states(history).values()), history.replicas.pool
    seconds = [float(np.sum(np.asarray(spent)[of_pool == number])) for number in range(len(pools))]
    costs = {f"cost_{pool.name}": s / HOUR_S * pool.price_per_hour for pool, s in zip(pools, seconds, strict=True)}
    return {"gpu_s": float(np.sum(spent)), **costs, "cost": sum(costs.values())}


def estimates(replications: Sequence[Figures]) -> dict[str, Estimate]:
    """Give the mean and the confidence interval of every figure that all replications have."""
    names = [name for name in replications[0] if all(name in each for each in replications)]
    return {name: _estimate(np.array([each[name] for each in replications])) for name in names}


def _estimate(values: Floats) -> Estimate:
    count = len(values)
    if count == 1:
        return Estimate(float(values[0]), inf)
    error = float(values.std(ddof=1)) / sqrt(count)
    return Estimate(float(values.mean()), student_95(count - 1) * error)


def student_95(freedom: int) -> float:
    """Give the 97.5 % quantile of Student's t.

    It is exact for 1 and 2 degrees of freedom. Otherwise it is the expansion of Hill (*Algorithm 396*, 1970) to three
    terms, with an error below 0.3 %.
    """
    p = 0.975
    if freedom == 1:
        return tan(pi * (p - 0.5))
    if freedom == 2:  # noqa: PLR2004
        a = 4 * p * (1 - p)
        return 2 * (p - 0.5) * sqrt(2 / a)
    z = NormalDist().inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / (4 * freedom),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3),
    )
    return sum(terms)
