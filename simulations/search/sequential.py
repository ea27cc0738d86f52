"""Says whether runs settle a question, and how many more would: paired differences with Student's t.

All variants meet the same requests in runs of the same number, so a difference is taken run by run: what both have in
common falls out of it, and its interval is narrower than that of either figure.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import atan, ceil, cos, inf, isfinite, isnan, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
MOST_MORE = 9_999
"""More runs than this are not told apart."""
_ROUNDING = 1e-9


class Difference(NamedTuple):
    """How a figure of one variant differs from that of another, over their runs."""

    runs: int
    mean: float
    """NaN if the figure is unknown in some run."""
    half_width: float
    """Half width of the interval; infinite for one run."""
    tolerance: float
    """A smaller difference does not matter."""

    @property
    def known(self) -> bool:
        """Whether both variants have the figure in all runs."""
        return not isnan(self.mean)

    @property
    def settled(self) -> bool:
        """Whether the runs say which variant is better, or that the difference does not matter."""
        if not self.known or not isfinite(self.half_width):
            return False
        least = _ROUNDING * max(abs(self.mean), 1.0)
        apart = abs(self.mean) > self.half_width
        return apart or self.half_width <= least or abs(self.mean) + self.half_width <= self.tolerance

    @property
    def more(self) -> int:
        """Estimate how many more runs would settle it: the half width falls with the root of their number."""
        if self.settled or not self.known:
            return 0
        if not isfinite(self.half_width):
            return 1
        # Either the interval leaves 0, or all of it is within the tolerance.
        needed = max(abs(self.mean), self.tolerance - abs(self.mean))
        if needed <= 0:
            return MOST_MORE
        runs = self.runs * (self.half_width / needed) ** 2
        return min(max(ceil(runs * (1 + _ROUNDING)) - self.runs, 1), MOST_MORE)


def difference(
    ours: Sequence[float | None],
    theirs: Sequence[float | None],
    *,
    confidence: float = CONFIDENCE,
    within: float = 0.0,
) -> Difference:
    """Compare a figure of two variants, run by run.

    Args:
        ours: the figure in each run; None is unknown.
        theirs: the same of the variant to compare with. Runs that only one of them has are left out.
        confidence: of the interval, between 0 and 1.
        within: a difference of less than this share of theirs does not matter.
    """
    pairs = list(zip(ours, theirs, strict=False))
    if not pairs or any(value is None for pair in pairs for value in pair):
        return Difference(len(pairs), float("nan"), inf, 0.0)
    mine, other = np.array(pairs, dtype=float).T
    apart, tolerance = mine - other, within * abs(float(other.mean()))
    if len(pairs) == 1:
        return Difference(1, float(apart[0]), inf, tolerance)
    error = float(apart.std(ddof=1)) / sqrt(len(pairs))
    return Difference(len(pairs), float(apart.mean()), student(len(pairs) - 1, confidence) * error, tolerance)


@lru_cache(maxsize=4096)
def student(freedom: int, confidence: float) -> float:
    """Give the half width of a two-sided interval of Student's t with a whole number of degrees of freedom.

    It inverts the finite series for the probability within plus and minus t (Abramowitz and Stegun, 26.7.3 and 26.7.4)
    by bisection.
    """
    low, high = 0.0, 1.0
    while _probability(high, freedom) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _probability(middle, freedom) < confidence else (low, middle)
    return high


def _probability(t: float, freedom: int) -> float:
    angle = atan(t / sqrt(freedom))
    square = cos(angle) ** 2
    even = freedom % 2 == 0
    term, total = (1.0, 0.0) if even else (cos(angle), 0.0)
    for number in range(1 if even else 2, freedom if even else freedom + 1, 2):
        total += term
        term *= square * number / (number + 1)
    return sin(angle) * total if even else 2 / pi * (angle + sin(angle) * total)


def stages(least: int, most: int) -> list[int]:
    """Give the numbers of runs after which the differences are looked at: each about twice the one before."""
    found = [least]
    while found[-1] < most:
        found.append(min(2 * found[-1], most))
    return found


def confidence_of(number_of_stages: int) -> float:
    """Give the confidence of each stage, so that all of them together have `CONFIDENCE` (Bonferroni).

    Whoever stops as soon as an interval leaves 0 has as many chances to be wrong as there are stages.
    """
    return 1 - (1 - CONFIDENCE) / number_of_stages
