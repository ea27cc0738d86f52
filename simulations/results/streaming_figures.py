"""The figures of a run with too many requests to keep: sums and histograms, in constant memory.

Means and counts are those of `simulations.results.figures`. A percentile is the middle of a bin, which is at most 1/512
of its value wide.
"""

from math import inf

import numpy as np

from simulations.engines.fifo_recursion import ARRIVAL, REPLICA_READY, SERVICE, START
from simulations.model.invariants import RELATIVE, BrokenInvariantError
from simulations.model.run_inputs import Floats, Integers
from simulations.results.figures import OUTCOMES, PERCENTILES, Figures

MANTISSA, FINE = 52, 9
"""Bits in the mantissa of a double, and how many of them number the bins of an octave."""

SMALLEST_S = 2.0**-20
"""Shorter times, below a microsecond, count as 0."""

OCTAVES = 50
_LOWEST = int(np.float64(SMALLEST_S).view(np.int64)) >> (MANTISSA - FINE)
BINS = OCTAVES << FINE


class TimeHistogram:
    """The mean and percentiles of any number of times, in 200 kB."""

    def __init__(self) -> None:
        self._bins: Integers = np.zeros(BINS + 1, dtype=np.int64)
        self._total = 0.0

    def add(self, values: Floats) -> None:
        """Add times in seconds."""
        # The upper bits of a positive double are ordered like its value: the exponent, then the leading mantissa bits.
        numbers = (np.ascontiguousarray(values).view(np.int64) >> (MANTISSA - FINE)) - (_LOWEST - 1)
        self._bins += np.bincount(np.clip(numbers, 0, BINS), minlength=BINS + 1)
        self._total += float(values.sum())

    def figures(self, name: str) -> Figures:
        """Give the figures by name, as `simulations.results.figures` does."""
        upto = np.cumsum(self._bins)
        count = int(upto[-1])
        found = {f"{name}_mean_s": self._total / count}
        for percent in PERCENTILES:
            place = int(np.searchsorted(upto, percent / 100 * (count - 1), side="right"))
            low = np.int64((place + _LOWEST - 1) << (MANTISSA - FINE)).view(np.float64)
            found[f"{name}_p{percent}_s"] = float(low * (1 + 2.0 ** -(FINE + 1))) if place else 0.0
        return found


class StreamingFigures:
    """A sink that adds requests to figures and does not keep them."""

    def __init__(
        self, *, speed: float, until_s: float, warm_up_s: float = 0.0, objective_s: float | None = None
    ) -> None:
        """Start without requests.

        Args:
            speed: the speed of all replicas.
            until_s: when the run ends; requests that end later are still in flight.
            warm_up_s: requests that arrive earlier are not counted.
            objective_s: the latency objective.
        """
        self._speed, self._until_s, self._warm_up_s, self._objective_s = speed, until_s, warm_up_s, objective_s
        self._histograms = {name: TimeHistogram() for name in ("wait", "latency", "wait_cold_start", "wait_load")}
        self._counted = self._served = self._cold = self._good = 0
        self._spent_s = 0.0
        self._last_start_s = -inf

    def take(self, requests: Floats) -> None:
        """Check the invariants of some requests, and add them to the figures.

        Raises:
            BrokenInvariantError: the simulator has a defect.
        """
        arrival, start = requests[ARRIVAL], requests[START]
        begun = int(np.searchsorted(start, inf))  # requests that never start are last, with NaN
        self._check(arrival[:begun], start[:begun], requests[REPLICA_READY, :begun])
        end = start + requests[SERVICE] / self._speed
        self._spent_s += float((np.where(end <= self._until_s, end, self._until_s) - arrival).sum())
        counted = arrival >= self._warm_up_s
        self._counted += int(np.count_nonzero(counted))
        chosen = counted & (end <= self._until_s)
        self._add(arrival[chosen], start[chosen], end[chosen], requests[REPLICA_READY][chosen])

    def _add(self, arrival: Floats, start: Floats, end: Floats, since: Floats) -> None:
        cold = np.maximum(np.minimum(start, since) - arrival, 0.0)
        wait, latency = start - arrival, end - arrival
        self._served += len(arrival)
        self._cold += int(np.count_nonzero(cold))
        for histogram, values in zip(self._histograms.values(), (wait, latency, cold, wait - cold), strict=True):
            histogram.add(values)
        if self._objective_s is not None:
            self._good += int(np.count_nonzero(latency <= self._objective_s))

    def _check(self, arrival: Floats, start: Floats, since: Floats) -> None:
        """Check invariants; see `simulations.model.invariants`."""
        if np.any(start < arrival):
            raise BrokenInvariantError("no request started before it arrived, or ended before it started")
        if np.any(np.diff(start, prepend=self._last_start_s) < 0):
            raise BrokenInvariantError("requests started in the order of their arrival")
        if np.any(start < since):
            raise BrokenInvariantError("no request started on a replica before it was ready or after it began to drain")
        if len(start):
            self._last_start_s = float(start[-1])

    def figures(self, inflight_s: float) -> Figures:
        """Give the figures of all requests.

        Raises:
            BrokenInvariantError: Little's law does not hold on the sample path.
        """
        if self._spent_s < inf and abs(self._spent_s - inflight_s) > RELATIVE * max(inflight_s, 1.0):
            raise BrokenInvariantError("Little's law on the sample path")
        found = {"requests": float(self._counted)} | dict.fromkeys(OUTCOMES, 0.0)
        found |= {"served": float(self._served), "still_in": float(self._counted - self._served)}
        if self._served:
            for name, histogram in self._histograms.items():
                found |= histogram.figures(name)
            found["cold_start_probability"] = self._cold / self._served
        if self._objective_s is not None and self._counted:
            found["slo_attainment"] = self._good / self._counted
        return found
