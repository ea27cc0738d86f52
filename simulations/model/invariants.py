"""Invariants that hold in every run of every scenario. A run that breaks one is not reported.

Little's law is an identity on a sample path (Little, *A Proof for the Queuing Formula L = lambda W*, 1961): the
integral of the requests in the system is the sum of the times that each spends in it.
"""

from dataclasses import replace

import numpy as np

from simulations.model.history import SERVED, STILL_IN, History, Requests
from simulations.model.run_inputs import Floats, Integers

RELATIVE = 1e-9
"""Tolerance for the rounding errors of sums over many requests."""


class BrokenInvariantError(Exception):
    """The simulator has a defect; the message names the invariants that do not hold."""


def check(history: History, *, concurrency: int, fifo: bool = True) -> None:
    """Check one run.

    Args:
        history: the run.
        concurrency: the concurrency limit of a replica; 0 is no limit.
        fifo: whether requests must start in the order of their arrival.

    Raises:
        BrokenInvariantError: it names each invariant that does not hold.
    """
    requests = history.requests
    all_kinds = [history] if history.passing is None else [history, replace(history, requests=history.passing)]
    checks = {
        "Little's law on the sample path": _obeys_little(history),
        "every request ended or is still in flight": all(map(_is_conserved, all_kinds)),
        "no request started before it arrived, or ended before it started": all(
            _is_causal(e.requests) for e in all_kinds
        ),
        "requests started in the order of their arrival": not fifo or _is_fifo(requests),
        f"no replica served more than {concurrency} requests at a time": _is_within(history, concurrency),
        "no request started on a replica before it was ready or after it began to drain": all(
            map(_ran_on_ready_replicas, all_kinds)
        ),
    }
    broken = [name for name, holds in checks.items() if not holds]
    if broken:
        raise BrokenInvariantError("; ".join(broken))


def _ends(history: History) -> Floats:
    """When each request left; the end of the run for those still in flight."""
    ends: Floats = np.where(np.isnan(history.requests.end_s), history.end_s, history.requests.end_s)
    return ends


def _obeys_little(history: History) -> bool:
    spent = _ends(history) - history.requests.arrival_s
    return bool(abs(spent.sum() - history.inflight_s) <= RELATIVE * max(history.inflight_s, history.end_s, 1.0))


def _is_conserved(history: History) -> bool:
    left = ~np.isnan(history.requests.end_s)
    answered = history.requests.status != STILL_IN
    started = ~np.isnan(history.requests.start_s)
    served = history.requests.status == SERVED
    return bool(
        np.all(answered[left]) and np.all(started[served]) and np.all(started == (history.requests.replica >= 0))
    )


def _is_causal(requests: Requests) -> bool:
    early = (requests.start_s < requests.arrival_s) | (requests.end_s < requests.arrival_s)
    return not bool(np.any(early | (requests.end_s < requests.start_s)))


def _is_fifo(requests: Requests) -> bool:
    starts = requests.start_s[~np.isnan(requests.start_s)]
    return bool(np.all(np.diff(starts) >= 0))


def _is_within(history: History, concurrency: int) -> bool:
    requests = history.requests
    started = requests.replica >= 0
    starts, ends, replicas = requests.start_s[started], _ends(history)[started], requests.replica[started]
    if concurrency == 1 and _is_fifo(requests):
        return _do_not_overlap(starts, ends, replicas)
    return not concurrency or bool(np.all(running_counts(starts, ends, replicas) <= concurrency))


def _do_not_overlap(starts: Floats, ends: Floats, replicas: Integers) -> bool:
    """Say whether no two requests on one replica overlap; they are in order of start."""
    # numpy sorts 16-bit numbers in linear time, and most fleets are small.
    numbers = replicas.astype(np.int16) if np.all(replicas < np.iinfo(np.int16).max) else replicas
    order = np.argsort(numbers, kind="stable")
    owner, starts, ends = replicas[order], starts[order], ends[order]
    return bool(np.all((starts[1:] >= ends[:-1]) | (owner[1:] != owner[:-1])))


def running_counts(starts_s: Floats, ends_s: Floats, replicas: Integers) -> Integers:
    """Count the running requests on a replica at each start and end; an end comes before a start at the same time."""
    lasting = starts_s < ends_s
    times = np.concatenate([ends_s[lasting], starts_s[lasting]])
    owner = np.concatenate([replicas[lasting], replicas[lasting]])
    steps = np.repeat(np.array([-1, 1], dtype=np.int64), np.count_nonzero(lasting))
    order = np.lexsort((steps, times, owner))
    # Starts and ends of a replica cancel out: the count is zero where the next replica begins.
    return np.cumsum(steps[order])


def _ran_on_ready_replicas(history: History) -> bool:
    requests, replicas = history.requests, history.replicas
    started = requests.replica >= 0
    starts, which = requests.start_s[started], requests.replica[started]
    leaving = np.where(np.isnan(replicas.leaving_s), np.inf, replicas.leaving_s)
    gone = np.where(np.isnan(replicas.gone_s), np.inf, replicas.gone_s)
    return bool(np.all(starts >= replicas.ready_s[which]) and np.all(starts <= np.minimum(leaving, gone)[which]))
