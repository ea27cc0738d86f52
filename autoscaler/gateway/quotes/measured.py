"""How long the last starts or requests took, and how long those that go on will still take.

Each of `n` measured durations and "longer than all of them" is equally likely for the next one, which is what is known
if durations are exchangeable. One that has lasted for a while is compared with those only that lasted longer.

Beyond the longest nothing was measured. There the rest is exponential; its mean is the standard deviation of what was
measured, or half of the mean duration while fewer than `_FEW` are known. What has lasted longer than all of them takes
on average at least as long again as it is late. From nine durations on this decides no P90, except for what is late.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from statistics import fmean

_FEW = 3


class Durations:
    """How long things take.

    Args:
        durations_s: what was measured; with nothing measured each duration is unknown, which is infinite.
    """

    __slots__ = ("_beyond_s", "_sorted")

    def __init__(self, durations_s: Iterable[float]) -> None:
        ordered = sorted(durations_s)
        self._sorted = [*ordered, math.inf]
        self._beyond_s = math.inf
        if ordered:
            mean_s, few = fmean(ordered), len(ordered) < _FEW
            # Not `pstdev`: it is exact, and takes longer than a run forward.
            self._beyond_s = mean_s / 2 if few else math.sqrt(fmean([(each - mean_s) ** 2 for each in ordered]))

    def rests(self, age_s: float, chances: Sequence[float]) -> list[float]:
        """Return for each chance how long something of this age still takes.

        Args:
            age_s: for how long it has gone on.
            chances: each at least 0 and below 1.
        """
        durations = self._sorted
        if len(durations) == 1:  # the end of all
            return [math.inf for _ in chances]
        shorter = bisect_right(durations, age_s) if age_s > 0 else 0
        ways = len(durations) - shorter
        rests = [durations[shorter + int(chance * ways)] - age_s for chance in chances]
        if math.inf in rests:
            rests = [
                self._beyond(age_s, chance * ways - ways + 1) if rest == math.inf else rest
                for rest, chance in zip(rests, chances, strict=True)
            ]
        return rests

    def _beyond(self, age_s: float, chance: float) -> float:
        """Return how much is left of what lasts longer than all that was measured."""
        longest_s = self._sorted[-2]
        mean_s = max(self._beyond_s, age_s - longest_s)
        return max(longest_s - age_s, 0.0) - mean_s * math.log1p(-chance)
