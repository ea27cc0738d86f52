"""Figures of a replay by blocks of time, and 95 % intervals for them and for differences of two policies.

A replay has one load, so there are no independent runs to average. The time is cut into blocks of equal length. What
happens in distant blocks is nearly independent, so blocks are drawn with replacement, as many as there are, and each
figure is computed from those drawn: the bootstrap over non-overlapping blocks (Carlstein, *The use of subseries values
for estimating the variance of a general statistic from a stationary sequence*, Annals of Statistics 14, 1986). With the
figures T*_1 ... T*_R of R draws the interval is from their 2.5 % to their 97.5 % quantile (Efron and Tibshirani, *An
introduction to the bootstrap*, 1993, chapter 13).

Differences are paired: the difference of two policies uses the same blocks for both, D* = T*(candidate) - T*(active).
Where the interval of a difference has 0 in it, the recording does not settle which of the two is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulations.model.history import SERVED, STILL_IN, History
from simulations.model.run_inputs import Floats
from simulations.results.figures import HOUR_S

LENGTHS_S = (86400.0, 3600.0, 600.0)
"""Blocks last a day, an hour or ten minutes: the longest of which there are enough. Shorter ones would depend on each
other, because windows, delays and cold starts take minutes."""
LEAST_BLOCKS = 10
DRAWS = 2000
_BINS = 2000
"""Waits are counted in this many classes of about equal numbers: a percentile is exact to a twentieth of a percent."""

Weights = NDArray[np.int64]
"""How often each draw has each block: one row for each draw."""


class Interval(NamedTuple):
    """A figure with its 95 % interval; None if the recording is too short for one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def settled(self) -> bool:
        """Whether a difference is above or below 0 in the whole interval, or is 0 in each block."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0 or (self.low == self.high == self.value == 0)


class Blocks(NamedTuple):
    """How a time is cut."""

    length_s: float
    number: int

    @property
    def edges_s(self) -> Floats:
        """The beginning of each block, and the end of the last one."""
        return np.array([number * self.length_s for number in range(self.number + 1)])


def blocks_of(span_s: float) -> Blocks | None:
    """Cut a time into blocks; what is left at its end belongs to the last one. None if it is too short."""
    for length_s in LENGTHS_S:
        if span_s >= LEAST_BLOCKS * length_s:
            return Blocks(length_s, int(span_s // length_s))
    return None


@dataclass(frozen=True, slots=True)
class Sums:
    """What a run used and did, in each block: arrays of one length."""

    gpu_s: Floats
    cost: Floats
    served: Floats
    wait_s: Floats
    waits: Floats
    """How many requests of each block waited as long as each of `_BINS` classes says: a row for each block."""
    cold_starts: Floats
    unserved: Floats
    """Requests that were refused, timed out or lost."""


def class_ends_s(histories: Mapping[str, History]) -> Floats:
    """Give the upper ends of the classes of waits: the same for all runs, so that their percentiles can be compared."""
    waits_s = np.concatenate([_waits(history)[0] for history in histories.values()])
    if not len(waits_s):
        return np.zeros(1)
    return np.unique(np.quantile(waits_s, np.linspace(0, 1, _BINS + 1)[1:], method="higher"))


def _waits(history: History) -> tuple[Floats, Floats]:
    """Give the waits of the requests that were served, and when they arrived."""
    requests = history.requests
    served = requests.status == SERVED
    return (requests.start_s - requests.arrival_s)[served], requests.arrival_s[served]


def sums_of(history: History, blocks: Blocks, ends_s: Floats, prices: Floats) -> Sums:
    """Add up a run by blocks.

    Args:
        history: the run.
        blocks: how its time is cut.
        ends_s: the classes of waits.
        prices: what a replica costs in an hour, by the index of its pool.
    """
    waits_s, arrival_s = _waits(history)
    replicas, requests = history.replicas, history.requests
    lost = (requests.status != SERVED) & (requests.status != STILL_IN)
    which = _block_of(arrival_s, blocks)
    per_class = np.zeros((blocks.number, len(ends_s)))
    np.add.at(per_class, (which, np.minimum(np.searchsorted(ends_s, waits_s), len(ends_s) - 1)), 1)
    gone_s = np.where(np.isnan(replicas.gone_s), history.end_s, replicas.gone_s)
    has_gpu = ~np.isnan(replicas.placed_s)
    used = _overlaps(replicas.placed_s[has_gpu], gone_s[has_gpu], blocks, history.end_s)
    started_s = replicas.ready_s[(replicas.ready_s > replicas.asked_s) | (replicas.asked_s > 0)]
    return Sums(
        gpu_s=used.sum(axis=1),
        cost=used @ (prices[replicas.pool[has_gpu]] / HOUR_S),
        served=per_class.sum(axis=1),
        wait_s=_counted(arrival_s, blocks, waits_s),
        waits=per_class,
        cold_starts=_counted(started_s[~np.isnan(started_s)], blocks),
        unserved=_counted(requests.arrival_s[lost], blocks),
    )


def _block_of(times_s: Floats, blocks: Blocks) -> NDArray[np.int64]:
    return np.minimum(times_s // blocks.length_s, blocks.number - 1).astype(np.int64)


def _counted(times_s: Floats, blocks: Blocks, values: Floats | None = None) -> Floats:
    return np.bincount(_block_of(times_s, blocks), values, blocks.number).astype(float)


def _overlaps(from_s: Floats, to_s: Floats, blocks: Blocks, end_s: float) -> Floats:
    """Give how long each interval lies in each block: a row for each block."""
    edges_s = np.append(blocks.edges_s[:-1], max(end_s, blocks.edges_s[-1]))
    before_s = np.clip(edges_s[:, None], from_s, to_s) - from_s
    return np.diff(before_s, axis=0)


def drawn(blocks: Blocks) -> Weights:
    """Draw blocks with replacement, always with the same random numbers."""
    rng = np.random.default_rng(0)
    return rng.multinomial(blocks.number, np.full(blocks.number, 1 / blocks.number), DRAWS)


def figures_of(sums: Sums, ends_s: Floats, weights: Weights) -> dict[str, Floats]:
    """Give each figure for each row of weights; NaN where nothing was served."""
    served = weights @ sums.served
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_s = (weights @ sums.wait_s) / served
    return {
        "gpu_hours": weights @ sums.gpu_s / HOUR_S,
        "cost": weights @ sums.cost,
        "wait_mean_s": mean_s,
        "wait_p95_s": _percentiles(weights @ sums.waits, ends_s, 0.95),
        "cold_starts": weights @ sums.cold_starts,
        "unserved": weights @ sums.unserved,
    }


def _percentiles(per_class: Floats, ends_s: Floats, share: float) -> Floats:
    """Give the end of the class in which a percentile lies, for each row."""
    reached = np.cumsum(per_class, axis=1)
    total = reached[:, -1:]
    found: Floats = np.where(total[:, 0] > 0, ends_s[np.argmax(reached >= share * total, axis=1)], np.nan)
    return found


def interval(whole: float, draws: Floats | None) -> Interval:
    """Give a figure of the whole time with the interval of its draws; those without a value are left out."""
    known = draws if draws is None else draws[~np.isnan(draws)]
    if known is None or not len(known):
        return Interval(whole)
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(whole, float(low), float(high))
