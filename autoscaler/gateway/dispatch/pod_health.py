"""When a pod is left alone: after a refused connection, and after several failures in a row. Plain values, no clock.

Rules:
1. A refused connection costs nothing, as the pod has seen nothing: the pod is left alone from the first one on, for
   0.1 s, then for twice as long each time, up to 5 s.
2. A failure costs a request: after `EjectionRules.consecutive_failures` in a row the pod is to be ejected, for
   `base_s`, then for twice as long each time, up to `longest_s`.
3. An ejected pod that comes back is on trial: one counted request at a time, and the first failure ejects it again.
4. One answer without a failure forgets all failures.
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
        """Whether one more of the `ready` pods may be ejected."""
        return ready > 1 and ejected < max(1, int(self.most * pods))


class Health:
    """What the connections and answers of one pod have come to."""

    __slots__ = ("_ejected_s", "_failures", "_refused_s", "on_trial")

    def __init__(self) -> None:
        self._refused_s = 0.0
        self._ejected_s = 0.0
        self._failures = 0
        self.on_trial = False
        """Whether it is given one counted request at a time."""

    def refused(self) -> float:
        """Note a refused connection; gives for how many seconds the pod is to be left alone."""
        self._refused_s = min(max(2 * self._refused_s, REFUSED_FIRST_S), REFUSED_LONGEST_S)
        return self._refused_s

    def connected(self) -> None:
        """Note that the pod took a request, whatever became of it."""
        self._refused_s = 0.0

    def failed(self, rules: EjectionRules) -> bool:
        """Note a failure; whether it is one too many."""
        self._failures = min(self._failures + 1, rules.consecutive_failures)
        return self._failures >= rules.consecutive_failures

    def eject(self, rules: EjectionRules) -> float:
        """Give for how many seconds the pod is to be left alone, now that it is ejected."""
        self._ejected_s = min(max(2 * self._ejected_s, rules.base_s), rules.longest_s)
        return self._ejected_s

    def recovered(self) -> None:
        """Note an answer without a failure."""
        self._failures = 0
        self._ejected_s = 0.0
        self.on_trial = False
