"""Converts a history to the run result of the live demo, so that both are rendered by `autoscaler.demo.report`.

That module defines the result, and has the report and the verdict. This one only fills in the result from a history.
"""

from collections.abc import Iterator

import numpy as np

from autoscaler.demo.load_result import LoadResult, Response
from autoscaler.demo.report import DecisionPoint, Moment, RunResult, ServedRequest
from simulations.model.history import STILL_IN, History
from simulations.model.run_inputs import Floats, Integers
from simulations.results.figures import cold_starts


def began_at_s(history: History) -> float:
    """Give the time from which reports count: the first arrival."""
    return float(history.requests.arrival_s[0]) if len(history.requests) else 0.0


def run_result(history: History) -> RunResult:
    """Give one run as the live demo measures it; times are seconds since the first arrival."""
    replicas, began_s = history.replicas, began_at_s(history)
    return RunResult(
        source=f"simulated, engine {history.engine}",
        load=_load(history, began_s),
        requests=tuple(_served(history, began_s)),
        timeline=tuple(_timeline(history)),
        decisions=tuple(DecisionPoint.of(record, began_s) for record in history.decisions),
        cold_starts_s=tuple(cold_starts(history).tolist()),
        gpu_s=float((_nan_filled(replicas.gone_s, history.end_s) - replicas.placed_s).sum()),
        idle_s=float(idle(history).sum()),
        overlaps=0,
    )


def _served(history: History, began_s: float) -> Iterator[ServedRequest]:
    requests = history.requests
    given = ~np.isnan(requests.start_s)
    start_s, end_s = requests.start_s[given], _nan_filled(requests.end_s[given], history.end_s)
    columns = (requests.arrival_s[given] - began_s, start_s - requests.arrival_s[given], end_s - start_s)
    return map(ServedRequest, *(column.tolist() for column in columns))


def _load(history: History, began_s: float) -> LoadResult:
    requests = history.requests
    ended = np.flatnonzero(requests.status != STILL_IN)
    answered_s = requests.arrival_s + requests.latency_s
    in_order = ended[np.argsort(answered_s[ended], kind="stable")]
    answers = tuple(
        Response(
            latency_s, 0.0, 0.0, 0.0, latency_s, 0.0, int(requests.status[i]), float(requests.arrival_s[i]) - began_s
        )
        for i in in_order
        for latency_s in [float(requests.latency_s[i])]
    )
    return LoadResult(float(answered_s[in_order[-1]]) - began_s if len(in_order) else 0.0, answers, {})


def _nan_filled(times_s: Floats, end_s: float) -> Floats:
    filled: Floats = np.where(np.isnan(times_s), end_s, times_s)
    return filled


def idle(history: History) -> Floats:
    """Give how long each replica was ready without a running request, in seconds."""
    replicas = history.replicas
    ready_for = _nan_filled(replicas.gone_s, history.end_s) - replicas.ready_s
    spare: Floats = np.where(np.isnan(ready_for), 0.0, ready_for - replicas.busy_s)
    return spare


def timeline_columns(history: History) -> dict[str, Floats]:
    """Give the state after every change as columns: `time` since the first arrival, and the fields of a `Moment`."""
    times, changes = _steps(history)
    order = np.argsort(times, kind="stable")
    times, states = times[order], np.cumsum(changes[order], axis=0)
    last = np.append(np.diff(times) > 0, [True])
    columns = states[last].astype(float).T
    return {"time": times[last] - began_at_s(history), **dict(zip(Moment._fields[1:], columns, strict=True))}


def _timeline(history: History) -> Iterator[Moment]:
    """Give the numbers of replicas and requests after every change."""
    times, *states = timeline_columns(history).values()
    return map(Moment, times.tolist(), *(column.astype(np.int64).tolist() for column in states))


def _steps(history: History) -> tuple[Floats, Integers]:
    """Give times, and the change of the columns asked, ready, running and queued at each."""
    requests, replicas = history.requests, history.replicas
    asked = np.diff(np.array([change.asked for change in history.changes]), prepend=0)
    went = np.where(np.isnan(replicas.ready_s), np.nan, np.fmin(replicas.leaving_s, replicas.gone_s))
    finished = np.where(np.isnan(requests.start_s), np.nan, requests.end_s)
    steps = [
        (np.array([change.t_s for change in history.changes]), asked, 0),
        (replicas.ready_s, np.ones(len(replicas)), 1),
        (went, -np.ones(len(replicas)), 1),
        (requests.start_s, np.ones(len(requests)), 2),
        (finished, -np.ones(len(requests)), 2),
        (requests.arrival_s, np.ones(len(requests)), 3),
        (np.fmin(requests.start_s, requests.end_s), -np.ones(len(requests)), 3),
    ]
    times = np.concatenate([when for when, _, _ in steps])
    changes = np.concatenate([np.outer(by, np.eye(4)[column]).astype(np.int64) for _, by, column in steps])
    known = ~np.isnan(times)
    return times[known], changes[known]
