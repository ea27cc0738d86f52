"""Arrival rates that change with time, and the arrivals that follow them.

Arrivals of rate 1 are mapped through the inverse of the cumulative rate. With exponential interarrival times this is
the inhomogeneous Poisson process (Cinlar, *Introduction to Stochastic Processes*, 1975, section 4.7). With others it is
a renewal process in operational time (Gerhardt and Nelson, *Transforming renewal processes*, 2009): the rate does not
change its burstiness.
"""

from dataclasses import dataclass
from math import inf, pi

import numpy as np

from simulations.model.run_inputs import Floats

PIECES_PER_PERIOD = 288
"""Linear pieces of a sine: 5 minutes each for a day, with an error below 0.01 % of the amplitude."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear rate, in requests per second. The last piece has no end, or all pieces repeat."""

    begins_s: Floats
    """When each piece begins; the first at 0."""
    rate: Floats
    """Rate at the beginning of each piece."""
    rate_end: Floats
    """Rate at the end of each piece. If the curve does not repeat, the last piece is constant."""
    period_s: float = inf

    def times(self, reached: Floats) -> Floats:
        """Give the times at which the cumulative rate reaches some values; infinite if it never does."""
        lengths = np.diff(np.append(self.begins_s, self.period_s))
        grown = np.where(np.isinf(lengths), 0.0, lengths) * (self.rate + self.rate_end) / 2
        before = np.concatenate([[0.0], np.cumsum(grown)])
        if self.period_s == inf:
            return self._within(reached, before)
        rounds = np.floor(reached / before[-1])
        times: Floats = rounds * self.period_s + self._within(reached - rounds * before[-1], before)
        return times

    def _within(self, reached: Floats, before: Floats) -> Floats:
        last = len(self.begins_s) - 1
        piece = np.clip(np.searchsorted(before[: last + 1], reached, side="right") - 1, 0, last)
        missing, rate = reached - before[piece], self.rate[piece]
        length = np.append(np.diff(self.begins_s), self.period_s - self.begins_s[-1])[piece]
        slope = np.where(np.isinf(length), 0.0, (self.rate_end[piece] - rate) / length)
        # The smaller root of slope t^2 / 2 + rate t = missing, in the form that is exact for a small slope.
        root = rate + np.sqrt(np.maximum(rate**2 + 2 * slope * missing, 0.0))
        within = np.divide(2 * missing, root, out=np.full_like(missing, inf), where=root > 0)
        times: Floats = self.begins_s[piece] + within
        return times


def steps(begins_s: Floats, rates: Floats) -> Curve:
    """Give a rate that jumps at each point."""
    return Curve(begins_s, rates, rates)


def lines(begins_s: Floats, rates: Floats) -> Curve:
    """Give a rate that is linear between points and constant after the last."""
    return Curve(begins_s, rates, np.append(rates[1:], rates[-1]))


def sine(mean: float, amplitude: float, period_s: float, peak_s: float) -> Curve:
    """Give a sinusoidal rate with an amplitude of `amplitude` x `mean`, and its peak at `peak_s` of each period."""
    grid_s = np.linspace(0.0, period_s, PIECES_PER_PERIOD + 1)
    rates = mean * (1 + amplitude * np.cos(2 * pi * (grid_s - peak_s) / period_s))
    return Curve(grid_s[:-1], rates[:-1], rates[1:], period_s)
