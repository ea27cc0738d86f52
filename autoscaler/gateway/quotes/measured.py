"""How long the last starts or requests took, and how long those that go on will still take.

Each of `n` measured durations and "longer than all of them" is equally likely for the next one, which is what is known
if durations are exchangeable. One that has lasted for a while is compared with those only that lasted longer.

Beyond the longest nothing was measured. There the rest is exponential; its mean is the standard deviation of what was
measured, or half of the mean duration while fewer than `_FEW` are known. What has lasted longer than all of them takes
on average at least as long again as it is late. From nine durations on this decides no P90, except for what is late.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from statistics import fmean, pstdev

_FEW = 3


class Durations:
    """How long things take.

    Args:
        durations_s: what was measured; with nothing measured each duration is unknown, which is infinite.
    """

    __slots__ = ("_beyond_s", "_sorted")

    def __init__(self, durations_s: Iterable[float]) -> None:
        self._sorted = sorted(durations_s)
        self._beyond_s = math.inf
        if self._sorted:
            few = len(self._sorted) < _FEW
            self._beyond_s = fmean(self._sorted) / 2 if few else pstdev(self._sorted)

    def __bool__(self) -> bool:
        return bool(self._sorted)

    def rests(self, age_s: float, chances: Iterable[float]) -> list[float]:
        """Return for each chance how long something of this age still takes.

        Args:
            age_s: for how long it has gone on.
            chances: each at least 0 and below 1.
        """
        durations = self._sorted
        if not durations:
            return [math.inf for _ in chances]
        beyond_s = max(durations[-1] - age_s, 0.0)
        mean_s = max(self._beyond_s, age_s - durations[-1])
        shorter = bisect_right(durations, age_s) if age_s > 0 else 0
        longer = len(durations) - shorter
        rests = []
        for chance in chances:
            place = chance * (longer + 1)
            if place < longer:
                rests.append(durations[shorter + int(place)] - age_s)
            else:
                rests.append(beyond_s - mean_s * math.log1p(longer - place))
        return rests
