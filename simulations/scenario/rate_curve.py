"""Arrival rates that change with time, and the arrivals that follow them.

Arrivals of rate 1 are moved to where the cumulative rate reaches them: with exponential distances that is the
inhomogeneous Poisson process (Cinlar, *Introduction to Stochastic Processes*, 1975, section 4.7), with others a renewal
process in operational time (Gerhardt and Nelson, *Transforming renewal processes*, 2009), whose burstiness the rate
does not change.
"""

from dataclasses import dataclass
from math import inf, pi

import numpy as np

from simulations.model.run_inputs import Floats

PIECES_PER_PERIOD = 288
"""Linear pieces of a sine: 5 minutes each in a day, off by less than 0.01 % of the amplitude."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A rate made of linear pieces; the last lasts for ever, or all of them come again."""

    begins_s: Floats
    """When each piece begins, the first at 0."""
    rate: Floats
    """Rate at its beginning."""
    rate_end: Floats
    """Rate at its end; of the last piece, where nothing comes again, the same as at its beginning."""
    period_s: float = inf

    def times(self, reached: Floats) -> Floats:
        """Give when the cumulative rate reaches some values; infinite where it never does."""
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
        # The smaller root of slope t^2 / 2 + rate t = missing, in the form that keeps its digits when slope is small.
        root = rate + np.sqrt(np.maximum(rate**2 + 2 * slope * missing, 0.0))
        within = np.divide(2 * missing, root, out=np.full_like(missing, inf), where=root > 0)
        times: Floats = self.begins_s[piece] + within
        return times


def steps(begins_s: Floats, rates: Floats) -> Curve:
    """Give a rate that jumps."""
    return Curve(begins_s, rates, rates)


def lines(begins_s: Floats, rates: Floats) -> Curve:
    """Give a rate that goes from point to point and stays at the last."""
    return Curve(begins_s, rates, np.append(rates[1:], rates[-1]))


def sine(mean: float, amplitude: float, period_s: float, peak_s: float) -> Curve:
    """Give a rate that swings by `amplitude` x mean, with its peak at `peak_s` of each period."""
    grid_s = np.linspace(0.0, period_s, PIECES_PER_PERIOD + 1)
    rates = mean * (1 + amplitude * np.cos(2 * pi * (grid_s - peak_s) / period_s))
    return Curve(grid_s[:-1], rates[:-1], rates[1:], period_s)
