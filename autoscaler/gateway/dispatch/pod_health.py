"""When a pod is set aside: after a refused connection, and after several failures in a row. Plain values, no clock.

Rules:
1. A refused connection costs nothing, because the pod has seen nothing. The pod is set aside from the first one on, for
   0.1 s, doubling up to 5 s.
2. A failure costs a request. After `EjectionRules.consecutive_failures` in a row the pod is ejected for `base_s`,
   doubling up to `longest_s`.
3. An ejected pod that returns is on trial: it gets one counted request at a time, and one failure ejects it again.
4. One response without a failure resets all failures.
"""

from typing import NamedTuple

REFUSED_FIRST_S = 0.1
REFUSED_LONGEST_S = 5.0


class EjectionRules(NamedTuple):
    """When a pod that fails is ejected, for how long, and how many may be at a time."""

    consecutive_failures: int = 3
    base_s: float = 30.0
    """How long the first ejection lasts."""
    longest_s: float = 300.0
    most: float = 0.5
    """The share of a service's pods that may be ejected at a time; one pod always may be, if another is ready."""

    def allow(self, ejected: int, ready: int, pods: int) -> bool:
        """Return whether one more of the `ready` pods may be ejected."""
        return ready > 1 and ejected < max(1, int(self.most * pods))


class Health:
    """The results of one pod's connections and responses."""

    __slots__ = ("_ejected_s", "_failures", "_refused_s", "on_trial")

    def __init__(self) -> None:
        self._refused_s = 0.0
        self._ejected_s = 0.0
        self._failures = 0
        self.on_trial = False
        """Whether it gets only one counted request at a time."""

    @property
    def is_well(self) -> bool:
        """Whether another response without a failure would change nothing."""
        return not (self._failures or self._ejected_s or self.on_trial)

    def refused(self) -> float:
        """Note a refused connection; return for how many seconds the pod is set aside."""
        self._refused_s = min(max(2 * self._refused_s, REFUSED_FIRST_S), REFUSED_LONGEST_S)
        return self._refused_s

    def connected(self) -> None:
        """Note that the pod accepted a request, whatever its result."""
        self._refused_s = 0.0

    def failed(self, rules: EjectionRules) -> bool:
        """Note a failure; return whether the pod is to be ejected."""
        self._failures = min(self._failures + 1, rules.consecutive_failures)
        return self._failures >= rules.consecutive_failures

    def eject(self, rules: EjectionRules) -> float:
        """Return for how many seconds the pod is ejected."""
        self._ejected_s = min(max(2 * self._ejected_s, rules.base_s), rules.longest_s)
        return self._ejected_s

    def recovered(self) -> None:
        """Note a response without a failure."""
        self._failures = 0
        self._ejected_s = 0.0
        self.on_trial = False
